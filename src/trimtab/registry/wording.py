"""The difference of two texts, word by word. Pure, and bounded: what is too long is compared line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
#: Words of one stretch, and lines of a text, that are compared one with each other; comparing takes their product.
MAX_WORDS = 2_000
MAX_LINES = 5_000

_Some = Sequence[str]


class Piece(NamedTuple):
    """A stretch of text: ``op`` is ``=`` (in both), ``-`` (only in the old one) or ``+`` (only in the new one)."""

    op: str
    text: str


def pieces(old: str, new: str) -> tuple[Piece, ...]:
    """Both texts as one sequence: what is ``=`` or ``-`` is the old text, what is ``=`` or ``+`` the new one."""
    return tuple(_joined(_by_line(old.splitlines(keepends=True), new.splitlines(keepends=True))))


def _by_line(old: Sequence[str], new: Sequence[str]) -> Iterator[Piece]:
    for same, removed, added in _runs(old, new, MAX_LINES):
        yield Piece("=", "".join(same))
        yield from _by_word("".join(removed), "".join(added))


def _by_word(old: str, new: str) -> Iterator[Piece]:
    for same, removed, added in _runs(_WORDS.findall(old), _WORDS.findall(new), MAX_WORDS):
        yield Piece("=", "".join(same))
        yield Piece("-", "".join(removed))
        yield Piece("+", "".join(added))


def _runs(old: Sequence[str], new: Sequence[str], limit: int) -> Iterator[tuple[_Some, _Some, _Some]]:
    """What is the same, then what was removed and added after it, again and again."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    yield old[:head], (), ()
    if max(len(a), len(b)) > limit:
        yield (), a, b
    else:
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
            yield (a[i1:i2], (), ()) if tag == "equal" else ((), a[i1:i2], b[j1:j2])
    yield old[len(old) - tail :], (), ()


def _joined(found: Iterator[Piece]) -> Iterator[Piece]:
    """Neighbours of one kind become one piece; empty ones go. Of each change the removed text comes first."""
    removed = added = same = ""
    for op, text in found:
        if not text:
            continue
        if op == "=":
            if removed:
                yield Piece("-", removed)
            if added:
                yield Piece("+", added)
            removed = added = ""
            same += text
            continue
        if same:
            yield Piece("=", same)
            same = ""
        if op == "-":
            removed += text
        else:
            added += text
    for op, text in (("=", same), ("-", removed), ("+", added)):
        if text:
            yield Piece(op, text)
