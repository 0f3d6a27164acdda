"""The newest rows, kept in memory: who follows the ledger reads what was just written without going to the disk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from trimtab.core import Score, Span, evolve

from .answers import Batch
from .payload import read_attributes

#: Rows that are kept, and characters of their payloads: more than a busy second brings, and little memory.
ROWS = 16_384
CHARACTERS = 16 * 1024 * 1024
_seq = itemgetter(0)


class Committed(NamedTuple):
    """One commit: its rows by number, spans with the line of attributes that they were stored with."""

    spans: Sequence[tuple[int, Span, bytes]]
    scores: Sequence[tuple[int, Score]]
    last_seq: int


class _Block:
    """One commit as it is kept. Its spans become what a reader of the disk gets once somebody reads them."""

    __slots__ = ("_committed", "_spans", "last_seq", "rows", "scores", "size")

    def __init__(self, committed: Committed) -> None:
        self._committed: Sequence[tuple[int, Span, bytes]] = committed.spans
        self._spans: Sequence[tuple[int, Span]] | None = None
        self.scores = committed.scores
        self.last_seq = committed.last_seq
        self.rows = len(committed.spans) + len(committed.scores)
        self.size = sum([len(line) + len(span.input) + len(span.output) for _, span, line in committed.spans])

    @property
    def spans(self) -> Sequence[tuple[int, Span]]:
        """By number. Two threads that ask at the same time make the same of them."""
        committed = self._committed  # Read before ``_spans``: who makes those lets go of this after it.
        if self._spans is None:
            self._spans = [(seq, _as_stored(span, line)) for seq, span, line in committed]
            self._committed = ()
        return self._spans


class Recent:
    """The commits after ``floor``, whole, as many of the newest as fit. The writer's thread calls ``add`` and
    ``forget``; ``after`` is for any thread, since what it reads is replaced and never changed.

    A batch from here equals one from the disk: an attribute that JSON would change (a tuple, a key that is no text) is
    read back from what was stored.
    """

    def __init__(self, floor: int) -> None:
        self._kept: tuple[int, tuple[_Block, ...]] = (floor, ())

    @property
    def floor(self) -> int:
        """The number up to which nothing is kept here."""
        return self._kept[0]

    def add(self, committed: Committed) -> None:
        """Keep a commit, and let go of the oldest beyond the bounds."""
        floor, blocks = self._kept
        blocks = (*blocks, _Block(committed))
        rows = sum(one.rows for one in blocks)
        size = sum(one.size for one in blocks)
        gone = 0
        while gone < len(blocks) and (rows > ROWS or size > CHARACTERS):
            oldest = blocks[gone]
            rows -= oldest.rows
            size -= oldest.size
            floor = oldest.last_seq
            gone += 1
        self._kept = (floor, blocks[gone:])

    def forget(self, floor: int) -> None:
        """Keep nothing up to this number: it may have been deleted on disk."""
        self._kept = (floor, ())

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
