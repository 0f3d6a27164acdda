"""One reading of a text, and the way back from its characters to those that arrived."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Stretch(NamedTuple):
    """Characters of a reading from ``at`` on, which come from ``start`` to ``end`` below it.

    In an ``even`` stretch each character has its own source; otherwise they all come from the whole of it.
    """

    at: int
    start: int
    end: int
    even: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """A text to scan. ``how`` names what was undone to see it, in order; it is empty for the text as it arrived."""

    text: str
    how: tuple[str, ...] = ()
    #: Where the characters come from, in order; none means from the same place.
    stretches: Sequence[Stretch] = ()
    #: The reading that this one was made from, if that is not what arrived.
    below: Reading | None = None

    def spot(self, start: int, end: int) -> tuple[int, int]:
        """The original characters (``end`` excluded) that characters ``start`` to ``end`` of this reading come from."""
        if self.stretches:
            last = max(end, start + 1) - 1
            # In turned text the last character comes before the first.
            start, end = min(self._first(start), self._first(last)), max(self._last(start), self._last(last))
        return self.below.spot(start, end) if self.below is not None else (start, end)

    def parts(self, block: int, overlap: int) -> list[Reading]:
        """The reading in overlapping parts of at most ``block`` characters; itself if it is no longer.

        Work on a part is short, so that in a thread it keeps nobody else waiting for long.
        """
        size = len(self.text)
        if size <= block:
            return [self]
        return [
            Reading(self.text[at : at + block], self.how, (Stretch(0, at, min(size, at + block), True),), self)
            for at in range(0, size - overlap, block - overlap)
        ]

    def _first(self, position: int) -> int:
        stretch = self._stretch(position)
        return stretch.start + (position - stretch.at if stretch.even else 0)

    def _last(self, position: int) -> int:
        stretch = self._stretch(position)
        return stretch.start + (position - stretch.at) + 1 if stretch.even else stretch.end

    def _stretch(self, position: int) -> Stretch:
        return self.stretches[max(0, bisect_right(self.stretches, position, key=lambda stretch: stretch.at) - 1)]


class Weave:
    """Builds a reading from another: copied stretches and replaced ones."""

    def __init__(self, below: Reading) -> None:
        self._below = below
        self._out: list[str] = []
        self._stretches: list[Stretch] = []
        self._at = 0

    @property
    def length(self) -> int:
        """Characters woven so far."""
        return self._at

    def copy(self, start: int, end: int) -> None:
        """Take characters ``start`` to ``end`` of the reading below as they are."""
        if end > start:
            self._add(self._below.text[start:end], start, end, even=True)

    def put(self, text: str, start: int, end: int) -> None:
        """Write ``text`` for characters ``start`` to ``end`` of the reading below."""
        if text:
            self._add(text, start, end, even=len(text) == end - start == 1)

    def put_even(self, text: str, start: int, end: int) -> None:
        """Write ``text`` for characters ``start`` to ``end`` of the reading below, each for one."""
        if text:
            self._add(text, start, end, even=True)

    def backwards(self, start: int, end: int) -> None:
        """Take characters ``start`` to ``end`` of the reading below from last to first."""
        for position in range(end - 1, start - 1, -1):
            self._add(self._below.text[position], position, position + 1, even=True)

    def done(self, how: str) -> Reading:
        """The reading; ``how`` is what was undone."""
        below = self._below
        return Reading("".join(self._out), (*below.how, how), self._stretches or (Stretch(0, 0, 0, False),), below)

    def _add(self, text: str, start: int, end: int, *, even: bool) -> None:
        last = self._stretches[-1] if self._stretches else None
        if last is not None and even and last.even and last.start + self._at - last.at == start:
            pass  # the stretch before goes on
        else:
            self._stretches.append(Stretch(self._at, start, end, even))
        self._out.append(text)
        self._at += len(text)
