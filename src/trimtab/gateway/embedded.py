"""Sketches of the vectors that pass as answers to requests for embeddings, so that a question embedded by another model
than its index is seen. A few a second are enough: a vector is long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import VECTOR, Chunk, sketch

from .live import LiveTrace

#: Sketches of one second.
_MOST = 40


class Embedded:
    """Counts by the second."""

    __slots__ = ("_n", "_second")

    def __init__(self) -> None:
        self._second, self._n = 0, 0

    def note(self, live: LiveTrace, reply: Chunk) -> None:
        """Keep the sketch of an embedding with its request; of one text, for a question is one. Documents come many at
        a time, and other answers of other dialects have no vectors."""
        found: Any = (reply.native or {}).get("data")
        if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], Mapping):
            return
        second = live.start_ns // 10**9
        if second != self._second:
            self._second, self._n = second, 0
        self._n += 1
        if self._n <= _MOST and (vector := sketch(found[0].get("embedding"))) is not None:
            live.notes = {**live.notes, VECTOR: vector}
