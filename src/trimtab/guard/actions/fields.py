"""The fields of a tool's result. Only what was read as a whole counts: a text that looks like a field is not one.

JSON, Python's way to print it, and the block YAML that programs dump. Anything else has no fields.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from .values import LONGEST, leaves

_KEY = re.compile(r"^([\w][\w -]{0,63}):(?: (.*))?$", re.DOTALL)
_INDEX = re.compile(r"\[\d+\]")
_FOLD = re.compile(r"\n( *\n)*\s*")
_ESCAPED_FOLD = re.compile(r"\\\n\s*(?:\\(?=\s))?")
_MOST_LINES = 20_000


class Field(NamedTuple):
    """One value of a result, by the name of its field without positions: ``participants``, ``contact.email``."""

    name: str
    value: Any


@lru_cache(maxsize=256)
def fields_of(text: str) -> tuple[Field, ...]:
    """The fields of a result, none if it is not structured."""
    found = _structured(text[:LONGEST].strip())
    if not isinstance(found, dict | list):
        return ()
    return tuple(Field(_INDEX.sub("", name).lstrip("."), value) for name, value in leaves(found))


@lru_cache(maxsize=256)
def texts_of(text: str) -> tuple[str, ...]:
    """The texts that a result holds: those of its fields, else the whole."""
    fields = fields_of(text)
    return tuple(str(field.value) for field in fields if isinstance(field.value, str)) if fields else (text[:LONGEST],)


def _structured(text: str) -> Any:
    if text[:1] in "{[":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    try:
        lines = _Lines(text)
        found = _block(lines, 0)
        return found if not lines.left else None
    except (ValueError, IndexError, RecursionError):
        return None


class _Lines:
    """The lines of a block with a place in it."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        if len(self.lines) > _MOST_LINES:
            raise ValueError("too long")
        self.at = 0

    @property
    def left(self) -> bool:
        return self.at < len(self.lines)

    @property
    def here(self) -> str:
        return self.lines[self.at]

    @property
    def indent(self) -> int:
        return len(self.here) - len(self.here.lstrip(" "))


def _block(lines: _Lines, indent: int) -> Any:
    if not lines.left or lines.indent != indent:
        raise ValueError("no block here")
    return (
        _list(lines, indent)
        if lines.here.lstrip().startswith("- ") or lines.here.strip() == "-"
        else _map(lines, indent)
    )


def _list(lines: _Lines, indent: int) -> list[Any]:
    out = []
    while lines.left and lines.indent == indent and lines.here[indent : indent + 2] in ("- ", "-"):
        rest = lines.here[indent + 2 :]
        if _KEY.match(rest) and rest[:1] not in "'\"":
            lines.lines[lines.at] = " " * (indent + 2) + rest
            out.append(_map(lines, indent + 2))
        else:
            lines.at += 1
            out.append(_scalar(lines, rest, indent))
    return out


def _map(lines: _Lines, indent: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    while lines.left and lines.indent == indent:
        found = _KEY.match(lines.here[indent:])
        if found is None or found[1].startswith("- "):
            break
        lines.at += 1
        key, rest = found[1], found[2]
        if key in out:
            raise ValueError("the same key twice")
        if rest:
            out[key] = _scalar(lines, rest, indent)
        elif lines.left and lines.here.strip() and (lines.indent > indent or _dashed(lines, indent)):
            out[key] = _block(lines, lines.indent)
        else:
            out[key] = None
    if not out:
        raise ValueError("no key here")
    return out


def _dashed(lines: _Lines, indent: int) -> bool:
    return lines.indent == indent and lines.here[indent : indent + 2] == "- "


def _scalar(lines: _Lines, first: str, indent: int) -> Any:
    if first[:1] in ("'", '"'):
        return _quoted(lines, first)
    if first in ("[]", "{}"):
        return [] if first == "[]" else {}
    if first[:1] in "|>&*!%@`":
        raise ValueError("not read here")
    parts = [first, *_continued(lines, indent)]
    text = " ".join(part.strip() for part in parts)
    return {"null": None, "true": True, "false": False}.get(text, text)


def _continued(lines: _Lines, indent: int) -> Iterator[str]:
    """The further lines of a plain value: deeper than its key and, as every dumper quotes them, without a colon."""
    while lines.left and lines.here.strip() and lines.indent > indent:
        if ": " in lines.here or lines.here.rstrip().endswith(":"):
            raise ValueError("a plain value with a colon")
        yield lines.here
        lines.at += 1


def _quoted(lines: _Lines, first: str) -> str:
    quote, text = first[0], first
    while not _closed(text, quote):
        text += "\n" + lines.here
        lines.at += 1
    body = text[1:-1]
    if quote == "'":
        return _FOLD.sub(_folded, body).replace("''", "'")
    body = _FOLD.sub(_folded, _ESCAPED_FOLD.sub("", body))
    return str(json.loads(f'"{body}"', strict=False))


def _folded(found: re.Match[str]) -> str:
    """A folded line break is a space; each empty line more is a break."""
    return "\n" * (found[0].count("\n") - 1) or " "


def _closed(text: str, quote: str) -> bool:
    if len(text) < 2 or not text.endswith(quote):
        if text[1:].rstrip() != text[1:] and _closed(text.rstrip(), quote):
            raise ValueError("space after a quotation")
        return False
    body = text[1:-1]
    if quote == "'":
        return "'" not in body.replace("''", "")
    return len(body) - len(body.rstrip("\\")) & 1 == 0
