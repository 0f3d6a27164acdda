"""The recorder: the gateway's way into the span store. It never blocks and never fails a request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from trimtab.core import Score, Span, now_ns

from .masking import Mask

_LOG = logging.getLogger(__name__)
_SAY_EVERY_NS = 60 * 1_000_000_000


class Sink(Protocol):
    """Where spans go: the store, or the way to the process that has it."""

    def offer(self, spans: Sequence[Span], scores: Sequence[Score] = ()) -> bool:
        """Take them all or none, without waiting; False: there is no room, they are dropped."""
        ...


class Recorder:
    """Offers spans and scores to the store; what a full queue drops is counted, and said at most once a minute."""

    def __init__(self, store: Sink, *, clock: Callable[[], int] = now_ns, mask: Mask | None = None) -> None:
        self._store = store
        self._mask = mask
        self._clock = clock
        self._said_ns: int | None = None
        self._unsaid = 0
        self.dropped = 0

    def record(self, spans: Sequence[Span], scores: Sequence[Score] = ()) -> None:
        """Take the spans and scores of one request, all or none of them. Returns at once."""
        if self._mask is not None:
            spans, scores = self._mask(spans, scores)
        if not self._store.offer(spans, scores):
            self._count(len(spans) + len(scores))

    def _count(self, lost: int) -> None:
        self.dropped += lost
        self._unsaid += lost
        now = self._clock()
        if self._said_ns is None or now - self._said_ns >= _SAY_EVERY_NS:
            _LOG.warning(
                "The span store's queue is full: %d spans and scores were dropped, %d since the start. "
                "The disk is slower than the traffic.",
                self._unsaid,
                self.dropped,
            )
            self._said_ns, self._unsaid = now, 0
