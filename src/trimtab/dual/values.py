"""Values with their capabilities: where each came from, and who may read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: The source of what the user said, and of what the planner wrote, who saw nothing else.
USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Data that never loses its history. ``sources`` are ``user`` and tools (``tool:search``); ``readers`` are those
    who may get it, None for anybody. What is made of several values has all their sources and their common readers."""

    data: Any
    sources: frozenset[str] = frozenset({USER})
    readers: frozenset[str] | None = None

    @property
    def trusted(self) -> bool:
        """Whether it is the user's alone."""
        return self.sources <= {USER}

    def made(self, data: Any) -> Value:
        """Other data made of this value."""
        return Value(data=data, sources=self.sources, readers=self.readers)


def read_json(text: str) -> Any:
    """JSON that can be kept and passed on. Raises ValueError, also for ``NaN`` and for halves of characters, and
    RecursionError."""
    data = json.loads(text, parse_constant=_no_number)
    json.dumps(data, ensure_ascii=False).encode()
    return data


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def joined(data: Any, parts: Iterable[Value]) -> Value:
    """Data made of several values."""
    sources: frozenset[str] = frozenset()
    readers: frozenset[str] | None = None
    for part in parts:
        sources |= part.sources
        if part.readers is not None:
            readers = part.readers if readers is None else readers & part.readers
    return Value(data=data, sources=sources or frozenset({USER}), readers=readers)


def inner(value: Value, path: list[str]) -> Value:
    """A field of a value: ``["items", "0", "email"]``. What is not there is None."""
    data = value.data
    for name in path:
        if isinstance(data, Mapping):
            data = data.get(name)
        elif isinstance(data, list | tuple) and name.isdigit() and int(name) < len(data):
            data = data[int(name)]
        else:
            return value.made(None)
    return value.made(data)
