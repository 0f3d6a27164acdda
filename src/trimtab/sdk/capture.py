"""Any Python value as text that is safe to keep: bounded, JSON where possible, and never an exception."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

#: Characters of one text.
TEXT_LIMIT = 256 * 1024
_VALUES, _ITEMS, _DEPTH, _REPR_LIMIT = 5000, 200, 12, 2000


def text_of(value: Any) -> str:
    """Text as it is, nothing as empty text, everything else as JSON; long things are cut and say so."""
    if value is None:
        return ""
    if isinstance(value, str):
        return cut(value)
    try:
        return cut(json.dumps(_Plain().of(value, _DEPTH), ensure_ascii=False))
    except Exception as error:  # house: except because a value that cannot be shown must not break the application
        return _unseen(value, error)


def arguments_text(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """What a function was called with: the text itself when it is one text, else JSON by parameter name."""
    named = _named(signature, args, kwargs)
    if len(named) == 1:
        only = next(iter(named.values()))
        if isinstance(only, str):
            return cut(only)
    return text_of(named) if named else ""


def cut(text: str, limit: int = TEXT_LIMIT) -> str:
    """At most ``limit`` characters, saying how many there were; half a surrogate pair, which has no UTF-8, replaced."""
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text)} characters)"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _named(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    if signature is not None:
        try:
            named = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:
            # The call itself is about to fail in the same way, and says it better.
            named = {}
    if not named:
        named = {**{str(position): value for position, value in enumerate(args)}, **kwargs}
    return {name: value for name, value in named.items() if name not in ("self", "cls")}


class _Plain:
    """One value in JSON's types, at most so many values of it."""

    def __init__(self) -> None:
        self._left = _VALUES

    def of(self, value: Any, depth: int) -> Any:
        """The value itself when JSON has its type, else the nearest thing that a person can read."""
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return cut(str(value))
        if isinstance(value, int):
            return int(value) if abs(value) < 1 << 63 else "a very large integer"
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        if depth == 0 or self._left <= 0:
            return "…"
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._sequence(value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: self.of(getattr(value, f.name, None), depth - 1) for f in dataclasses.fields(value)}
        return self._object(value, depth)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        shown = {str(key): self.of(item, depth - 1) for key, item in _first(value.items())}
        return shown if len(value) <= _ITEMS else {**shown, "…": f"{len(value) - _ITEMS} more"}

    def _sequence(self, value: Collection[Any], depth: int) -> list[Any]:
        shown: list[Any] = [self.of(item, depth - 1) for item in _first(value)]
        return shown if len(value) <= _ITEMS else [*shown, f"… {len(value) - _ITEMS} more"]

    def _object(self, value: Any, depth: int) -> Any:
        try:
            dump = getattr(value, "model_dump", None)
            if callable(dump) and not isinstance(value, type):
                return self.of(dump(), depth - 1)
            return cut(repr(value), _REPR_LIMIT)
        except Exception as error:  # house: except because an application's repr must not break the application
            return _unseen(value, error)


def _first(values: Iterable[Any]) -> list[Any]:
    return [value for value, _ in zip(values, range(_ITEMS), strict=False)]


def _unseen(value: Any, error: Exception) -> str:
    return f"<{type(value).__name__}, not shown: {type(error).__name__}>"
