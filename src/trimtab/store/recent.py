"""The newest rows, kept in memory: who follows the ledger, and who writes down its words, reads what was just written
without going to the disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from trimtab.core import Score, Span, evolve

from .answers import Batch
from .payload import read_attributes

#: Rows that are kept, and characters of their payloads: more than a busy second brings, and little memory.
ROWS = 16_384
CHARACTERS = 16 * 1024 * 1024
_seq = itemgetter(0)


class Committed(NamedTuple):
    """One commit: its rows by number, spans with the line of attributes that they were stored with, and how many
    characters their payloads have."""

    spans: Sequence[tuple[int, Span, bytes]]
    scores: Sequence[tuple[int, Score]]
    last_seq: int
    characters: int


class _Block:
    """One commit as it is kept. Its spans become what a reader of the disk gets once somebody reads them."""

    __slots__ = ("_committed", "_spans", "last_seq", "rows", "scores", "size")

    def __init__(self, committed: Committed) -> None:
        self._committed: Sequence[tuple[int, Span, bytes]] = committed.spans
        self._spans: Sequence[tuple[int, Span]] | None = None
        self.scores = committed.scores
        self.last_seq = committed.last_seq
        self.rows = len(committed.spans) + len(committed.scores)
        self.size = committed.characters

    def texts(self, first: int, last: int) -> list[str]:
        """The inputs and outputs of its spans with a number in [first, last]."""
        committed: Sequence[Any] = self._committed  # Read before ``_spans``, as below.
        rows: Sequence[Any] = committed if self._spans is None else self._spans
        some = rows[bisect_left(rows, first, key=_seq) : bisect_right(rows, last, key=_seq)]
        return [text for row in some for text in (row[1].input, row[1].output)]

    @property
    def spans(self) -> Sequence[tuple[int, Span]]:
        """By number. Two threads that ask at the same time make the same of them."""
        committed = self._committed  # Read before ``_spans``: who makes those lets go of this after it.
        if self._spans is None:
            self._spans = [(seq, _as_stored(span, line)) for seq, span, line in committed]
            self._committed = ()
        return self._spans


class Texts:
    """What the newest spans said, as of one moment, to be read in order: what was passed is let go."""

    def __init__(self, floor: int, blocks: tuple[_Block, ...]) -> None:
        self._floor = floor
        self._last_seq = blocks[-1].last_seq if blocks else floor
        self._blocks = deque(blocks)

    def of(self, first: int, last: int) -> list[str] | None:
        """The inputs and outputs of the spans with a number in [first, last], or None when some were not kept. Nothing
        before ``first`` can be asked for afterwards."""
        if first <= self._floor or last > self._last_seq:
            return None
        self._floor, blocks = first - 1, self._blocks
        while blocks[0].last_seq < first:
            blocks.popleft()
        found: list[str] = []
        for block in blocks:
            found += block.texts(first, last)
            if block.last_seq >= last:
                break
        return found


class Recent:
    """The commits after ``floor``, whole, as many of the newest as fit. The writer's thread calls ``add`` and
    ``forget``; ``after`` is for any thread, since what it reads is replaced and never changed.

    A batch from here equals one from the disk: an attribute that JSON would change (a tuple, a key that is no text) is
    read back from what was stored.
    """

    def __init__(self, floor: int) -> None:
        self._kept: tuple[int, tuple[_Block, ...]] = (floor, ())
        self._rows = self._size = 0

    @property
    def floor(self) -> int:
        """The number up to which nothing is kept here."""
        return self._kept[0]

    def add(self, committed: Committed) -> None:
        """Keep a commit, and let go of the oldest beyond the bounds."""
        floor, blocks = self._kept
        blocks = (*blocks, _Block(committed))
        self._rows += blocks[-1].rows
        self._size += blocks[-1].size
        gone = 0
        while gone < len(blocks) and (self._rows > ROWS or self._size > CHARACTERS):
            oldest = blocks[gone]
            self._rows -= oldest.rows
            self._size -= oldest.size
            floor = oldest.last_seq
            gone += 1
        self._kept = (floor, blocks[gone:])

    def forget(self, floor: int) -> None:
        """Keep nothing up to this number: it may have been deleted on disk."""
        self._kept = (floor, ())
        self._rows = self._size = 0

    def texts(self) -> Texts:
        """The texts of what is kept now: they stay while they are read, and newer commits push none of them out."""
        return Texts(*self._kept)

    def after(self, position: int, until: int, limit: int) -> Batch | None:
        """At most ``limit`` rows with a number in (position, until], or None when some of them are not kept here."""
        floor, blocks = self._kept
        if position < floor:
            return None
        spans: list[tuple[int, Span]] = []
        scores: list[tuple[int, Score]] = []
        for block in blocks:
            if block.last_seq > position and len(spans) + len(scores) < limit:
                spans += (one for one in block.spans if position < one[0] <= until)
                scores += (one for one in block.scores if position < one[0] <= until)
        end = until
        if len(spans) + len(scores) >= limit:
            numbers = sorted([*map(_seq, spans), *map(_seq, scores)])
            end = next(islice(numbers, limit - 1, None))
        return Batch(
            spans=tuple(span for seq, span in spans if seq <= end),
            scores=tuple(score for seq, score in scores if seq <= end),
            position=str(max(end, position)),
        )


def _as_stored(span: Span, line: bytes) -> Span:
    """The span as a reader of the disk gets it."""
    stored = read_attributes(line)
    return span if stored == span.attributes else evolve(span, attributes=stored)
