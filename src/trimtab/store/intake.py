"""What waits to be written: a bounded queue that hands out groups, each the size of a good commit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trimtab.core import BadInput, Overloaded, Score, Span, TrimtabError

from .payload import payload_of
from .rows import Row, score_row, span_row

#: Rows that fill a commit; no commit waits for more.
GROUP_ROWS = 1000
#: Seconds that a commit waits for company: offered rows have nobody waiting (or somebody patient), written ones do.
#: A commit costs as much as some ten rows, so company is what makes a busy store cheap.
_LINGER_OFFERED = 0.050
_LINGER_WRITTEN = 0.002
#: Characters of input and output that may wait, so that a few huge spans cannot fill the memory.
_MOST_CHARACTERS = 256 * 1024 * 1024

PackedSpan = tuple[Span, Row, bytes]
PackedScore = tuple[Score, Row]


@dataclass(slots=True, kw_only=True, eq=False)
class Item:
    """Rows that came together and are kept or refused together, and who waits for them, if anybody.

    A ``patient`` one does not make the commit hurry. ``errand`` is something else to be done by the writer's thread in
    its turn, after the rows that came before.
    """

    spans: Sequence[Span] = ()
    scores: Sequence[Score] = ()
    waiter: asyncio.Future[None] | None = None
    patient: bool = False
    errand: Callable[[], None] | None = None
    error: TrimtabError | None = None
    packed_spans: list[PackedSpan] = field(default_factory=list)
    packed_scores: list[PackedScore] = field(default_factory=list)
    rows: int = 0
    characters: int = 0
    arrived: float = 0.0

    def __post_init__(self) -> None:
        self.rows = len(self.spans) + len(self.scores)
        self.characters = sum(len(span.input) + len(span.output) for span in self.spans)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits who would rather not."""
        return self.waiter is not None and not self.patient

    def pack(self) -> None:
        """Turn into rows, or note why that cannot be."""
        try:
            self.packed_spans = [(span, span_row(span), payload_of(span)) for span in self.spans]
            self.packed_scores = [(score, score_row(score)) for score in self.scores]
        except Exception as error:  # house: except because a row that is bad in any way must fail its own caller only
            self.refuse(error)

    def refuse(self, error: Exception) -> None:
        """Keep nothing of it: one of its rows is bad."""
        self.packed_spans, self.packed_scores = [], []
        self.error = BadInput(
            f"these spans and scores cannot be stored: {error}.", mend="Send text, finite numbers and JSON values."
        )


class Intake:
    """The queue. ``put`` is for any thread, ``take`` for the writer's."""

    def __init__(self, capacity: int) -> None:
        self.dropped = 0
        self._capacity = capacity
        self._changed = threading.Condition()
        self._queue: deque[Item] = deque()
        self._rows = 0
        self._characters = 0
        self._urgent = False
        self._closed = False

    def put(self, item: Item) -> None:
        """Queue an item. Raises Overloaded when the queue is full or closed. Never waits for the disk."""
        item.arrived = time.monotonic()
        with self._changed:
            if self._closed:
                raise Overloaded("the span store is closed.", retry_after=1.0)
            full = self._rows + item.rows > self._capacity or self._characters + item.characters > _MOST_CHARACTERS
            if full and item.rows and self._rows:
                raise Overloaded(
                    f"{self._rows} spans and scores wait to be stored already.", mend="Try again.", retry_after=1.0
                )
            asleep = not self._queue
            hurry = item.urgent and not self._urgent
            self._urgent = self._urgent or hurry
            self._queue.append(item)
            self._rows += item.rows
            self._characters += item.characters
            if asleep or hurry or self._rows >= GROUP_ROWS:
                self._changed.notify()

    def drop(self, rows: int) -> None:
        """Count rows that nobody will see again."""
        with self._changed:
            self.dropped += rows

    def take(self) -> list[Item]:
        """The next group, as soon as it is worth a commit or has waited long enough. Empty once closed and empty."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            while self._queue and self._rows < GROUP_ROWS and not self._closed:
                linger = _LINGER_WRITTEN if self._urgent else _LINGER_OFFERED
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

    def _group(self) -> list[Item]:
        group: list[Item] = []
        rows = 0
        while self._queue and rows < GROUP_ROWS:
            item = self._queue.popleft()
            group.append(item)
            rows += item.rows
            self._characters -= item.characters
        self._rows -= rows
        self._urgent = self._urgent and any(item.urgent for item in self._queue)
        return group
