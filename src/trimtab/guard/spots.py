"""One reading of a text, and the way back from its characters to those that arrived."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass


class Stretches:
    """Where the characters of a reading come from. Stretch ``n`` begins at ``at[n]`` in the reading and comes from
    ``start[n]`` to ``end[n]`` below it.

    In an ``even`` stretch each character has its own source; otherwise they all come from the whole of it. A hostile
    text has a stretch for each of its characters, so they are columns of numbers: the garbage collector, which stops
    every thread while it looks at objects, has none to look at.
    """

    __slots__ = ("at", "end", "even", "start")

    def __init__(self) -> None:
        self.at, self.start, self.end = array("Q"), array("Q"), array("Q")
        self.even = bytearray()

    def __len__(self) -> int:
        return len(self.at)

    @classmethod
    def one(cls, start: int, end: int, *, even: bool) -> Stretches:
        """One stretch that is the whole reading."""
        made = cls()
        made.add(0, start, end, even=even)
        return made

    def add(self, at: int, start: int, end: int, *, even: bool) -> None:
        """One more stretch; one that goes on evenly from the last is the same one."""
        if self.at and even and self.even[-1] and self.start[-1] + at - self.at[-1] == start:
            return
        self.at.append(at)
        self.start.append(start)
        self.end.append(end)
        self.even.append(even)

    def below(self, position: int) -> tuple[int, int]:
        """The characters below (``end`` excluded) that the character at ``position`` comes from."""
        n = max(0, bisect_right(self.at, position) - 1)
        if not self.even[n]:
            return self.start[n], self.end[n]
        source = self.start[n] + position - self.at[n]
        return source, source + 1


@dataclass(frozen=True, slots=True)
class Reading:
    """A text to scan. ``how`` names what was undone to see it, in order; it is empty for the text as it arrived."""

    text: str
    how: tuple[str, ...] = ()
    #: Where the characters come from; none means from the same place.
    stretches: Stretches | None = None
    #: The reading that this one was made from, if that is not what arrived.
    below: Reading | None = None

    def spot(self, start: int, end: int) -> tuple[int, int]:
        """The original characters (``end`` excluded) that characters ``start`` to ``end`` of this reading come from."""
        if self.stretches is not None:
            first, last = self.stretches.below(start), self.stretches.below(max(end, start + 1) - 1)
            # In turned text the last character comes before the first.
            start, end = min(first[0], last[0]), max(first[1], last[1])
        return self.below.spot(start, end) if self.below is not None else (start, end)

    def parts(self, block: int, overlap: int) -> list[Reading]:
        """The reading in overlapping parts of at most ``block`` characters; itself if it is no longer."""
        size = len(self.text)
        if size <= block:
            return [self]
        return [
            Reading(self.text[at : at + block], self.how, Stretches.one(at, min(size, at + block), even=True), self)
            for at in range(0, size - overlap, block - overlap)
        ]


class Weave:
    """Builds a reading from another: copied stretches and replaced ones."""

    def __init__(self, below: Reading) -> None:
        self._below = below
        self._out: list[str] = []
        self._stretches = Stretches()
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
        stretches = self._stretches or Stretches.one(0, 0, even=False)
        return Reading("".join(self._out), (*self._below.how, how), stretches, self._below)

    def _add(self, text: str, start: int, end: int, *, even: bool) -> None:
        self._stretches.add(self._at, start, end, even=even)
        self._out.append(text)
        self._at += len(text)
