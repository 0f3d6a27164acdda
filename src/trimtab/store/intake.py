"""What waits to be written: a bounded queue that hands out groups, each the size of a good commit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trimtab.core import BadInput, Overloaded, Score, Span, TrimtabError

from .payload import attributes_line
from .rows import Row, score_row, span_row


class Pace(NamedTuple):
    """How commits are made: so many rows fill one, and no commit waits for more.

    ``offered_s`` and ``written_s`` are the seconds that a commit waits for company: offered rows have nobody waiting
    (or somebody patient), written ones do. A commit costs as much as ten rows, so company makes a busy store cheap.
    """

    rows: int = 2000
    offered_s: float = 0.100
    written_s: float = 0.002


#: Characters of input and output that may wait, so that a few huge spans cannot fill the memory.
_MOST_CHARACTERS = 256 * 1024 * 1024

#: A span, its row and the line of its attributes.
PackedSpan = tuple[Span, Row, bytes]
PackedScore = tuple[Score, Row]


class Item:
    """Rows that came together and are kept or refused together, and who waits for them, if anybody.

    A ``patient`` one does not make the commit hurry. ``errand`` is something else to be done by the writer's thread in
    its turn, after the rows that came before.
    """

    # What few items have stands here, and costs the others nothing.
    waiter: asyncio.Future[None] | None = None
    patient = False
    errand: Callable[[], None] | None = None
    error: TrimtabError | None = None
    packed = False
    packed_spans: Sequence[PackedSpan] = ()
    packed_scores: Sequence[PackedScore] = ()
    arrived = 0.0

    def __init__(self, spans: Sequence[Span] = (), scores: Sequence[Score] = ()) -> None:
        self.spans = spans
        self.scores = scores
        self.rows = len(spans) + len(scores)
        characters = 0
        for span in spans:
            characters += len(span.input) + len(span.output)
        self.characters = characters

    @property
    def urgent(self) -> bool:
        """Whether somebody waits who would rather not."""
        return self.waiter is not None and not self.patient

    def pack(self) -> bool:
        """Turn into rows, once, or note why that cannot be; says whether it can."""
        if not self.packed:
            self.packed = True
            try:
                self.packed_spans = [(span, span_row(span), attributes_line(span)) for span in self.spans]
                self.packed_scores = [(score, score_row(score)) for score in self.scores]
            except Exception as error:  # house: except because a bad row of any kind must fail its own caller only
                self.refuse(error)
        return self.error is None

    def refuse(self, error: Exception) -> None:
        """Keep nothing of it: one of its rows is bad."""
        self.packed_spans, self.packed_scores = (), ()
        self.error = BadInput(
            f"these spans and scores cannot be stored: {error}.", mend="Send text, finite numbers and JSON values."
        )


class Intake:
    """The queue. ``put`` is for any thread, ``take`` for the writer's."""

    def __init__(self, capacity: int, pace: Pace = Pace()) -> None:  # noqa: B008 - never changed
        self.dropped = 0
        self._pace = pace
        self._capacity = capacity
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[Item] = deque()
        self._rows = 0
        self._characters = 0
        self._urgent = False
        self._closed = False

    def put(self, item: Item) -> None:
        """Queue an item. Raises Overloaded when the queue is full or closed. Never waits for the disk."""
        item.arrived = time.monotonic()
        with self._lock:
            if self._closed:
                raise Overloaded("the span store is closed.", retry_after=1.0)
            before = self._rows
            rows, characters = before + item.rows, self._characters + item.characters
            if (rows > self._capacity or characters > _MOST_CHARACTERS) and item.rows and before:
                raise Overloaded(
                    f"{before} spans and scores wait to be stored already.", mend="Try again.", retry_after=1.0
                )
            hurry = item.waiter is not None and not self._urgent and item.urgent
            if hurry:
                self._urgent = True
            asleep = not self._queue
            self._queue.append(item)
            self._rows, self._characters = rows, characters
            if asleep or hurry or before < self._pace.rows <= rows:
                self._changed.notify()

    def drop(self, rows: int) -> None:
        """Count rows that nobody will see again."""
        with self._changed:
            self.dropped += rows

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken in."""
        return self._closed

    def put_back(self, items: Sequence[Item]) -> None:
        """Queue again what could not be stored now, before all others."""
        with self._changed:
            self._queue.extendleft(reversed(items))
            self._rows += sum(item.rows for item in items)
            self._characters += sum(item.characters for item in items)

    def take(self, not_before: float = 0.0) -> list[Item]:
        """The next group, as soon as it is worth a commit or has waited long enough. Empty once closed and empty.

        Before a time (of ``time.monotonic``) only what somebody waits for is handed out.
        """
        with self._changed:
            while not self._closed and (left := not_before - time.monotonic()) > 0:
                if waited_for := [item for item in self._queue if item.waiter is not None]:
                    return self._without(waited_for)
                self._changed.wait(left)
            while not self._queue and not self._closed:
                self._changed.wait()
            while self._queue and self._rows < self._pace.rows and not self._closed:
                linger = self._pace.written_s if self._urgent else self._pace.offered_s
                left = self._queue[0].arrived + linger - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._group()

    def close(self) -> None:
        """Take nothing more in; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _without(self, items: list[Item]) -> list[Item]:
        """Take these out of the queue, whatever their place in it."""
        self._queue = deque(item for item in self._queue if item.waiter is None)
        self._rows -= sum(item.rows for item in items)
        self._characters -= sum(item.characters for item in items)
        self._urgent = False
        return items

    def _group(self) -> list[Item]:
        group: list[Item] = []
        rows = 0
        while self._queue and rows < self._pace.rows:
            item = self._queue.popleft()
            group.append(item)
            rows += item.rows
            self._characters -= item.characters
        self._rows -= rows
        self._urgent = self._urgent and any(item.urgent for item in self._queue)
        return group
