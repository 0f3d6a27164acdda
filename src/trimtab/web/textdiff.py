"""The difference of two texts, line by line, and word by word inside a line that was rewritten. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
#: Unchanged lines kept around a change.
CONTEXT = 3
#: Characters up to which two texts are compared word by word.
MOST_MARKED = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a line; ``changed`` marks the words that differ."""

    text: str
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the difference: ``sign`` is "+", "−" or "" (the same), "…" for lines left out."""

    sign: str
    old: int | None
    new: int | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The lines, and how many were added and removed."""

    lines: tuple[Line, ...]
    added: int
    removed: int


def difference(old: str, new: str) -> Difference:
    """Compare two texts."""
    before, after = old.splitlines(), new.splitlines()
    lines: list[Line] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [_same(before[i1 + k], i1 + k + 1, j1 + k + 1) for k in range(i2 - i1)]
        else:
            lines += _changed(before[i1:i2], after[j1:j2], i1, j1)
    return Difference(
        lines=tuple(_folded(lines)),
        added=sum(line.sign == "+" for line in lines),
        removed=sum(line.sign == "−" for line in lines),
    )


def _same(text: str, old: int, new: int) -> Line:
    return Line(sign="", old=old, new=new, pieces=(Piece(text=text, changed=False),))


def _changed(removed: Sequence[str], added: Sequence[str], old: int, new: int) -> Iterator[Line]:
    """Removed lines, then added ones; the k-th of each are compared word by word."""
    pairs = [_words(a, b) for a, b in zip(removed, added, strict=False)]
    for k, text in enumerate(removed):
        pieces = pairs[k][0] if k < len(pairs) else (Piece(text=text, changed=False),)
        yield Line(sign="−", old=old + k + 1, new=None, pieces=pieces)
    for k, text in enumerate(added):
        pieces = pairs[k][1] if k < len(pairs) else (Piece(text=text, changed=False),)
        yield Line(sign="+", old=None, new=new + k + 1, pieces=pieces)


def _words(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both lines in pieces. Lines that share little are not marked: everything would be."""
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    if matcher.ratio() < 0.4:
        return (Piece(text=old, changed=False),), (Piece(text=new, changed=False),)
    left: list[Piece] = []
    right: list[Piece] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for side, text in ((left, "".join(a[i1:i2])), (right, "".join(b[j1:j2]))):
            if text:
                side.append(Piece(text=text, changed=tag != "equal"))
    return tuple(left), tuple(right)


def side_by_side(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts in pieces, word by word; texts that share little or are very long are one piece each, unmarked where
    they are the same."""
    if old == new or max(len(old), len(new)) > MOST_MARKED:
        whole = [(Piece(text=text, changed=old != new),) if text else () for text in (old, new)]
        return whole[0], whole[1]
    left, right = _words(old, new)
    if len(left) == len(right) == 1 and not left[0].changed:
        left, right = (Piece(text=old, changed=True),), (Piece(text=new, changed=True),)
    return tuple(one for one in left if one.text), tuple(one for one in right if one.text)


def _folded(lines: Sequence[Line]) -> Iterator[Line]:
    """Long unchanged stretches become one line that counts them."""
    near = {k for at, line in enumerate(lines) if line.sign for k in range(at - CONTEXT, at + CONTEXT + 1)}
    if not near:
        yield from lines
        return
    hidden = 0
    for at, line in enumerate(lines):
        if at in near:
            yield from _count(hidden)
            hidden = 0
            yield line
        else:
            hidden += 1
    yield from _count(hidden)


def _count(hidden: int) -> Iterator[Line]:
    if hidden:
        text = f"{hidden} line{'' if hidden == 1 else 's'} the same"
        yield Line(sign="…", old=None, new=None, pieces=(Piece(text=text, changed=False),))
