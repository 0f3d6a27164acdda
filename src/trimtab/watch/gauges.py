"""The signals that are measured as requests pass: what is read of each request, kept until the batch is whole."""

from __future__ import annotations

import math
from typing import Final

from .measures import MEASURES
from .observation import Alarm, Observation
from .stream import Stream
from .traffic import Traffic


class Gauge:
    """One measured signal: its rule, its stream, and what it read of the requests of a batch."""

    __slots__ = ("_level", "_read", "_rule", "_values", "dear", "name", "stream")

    def __init__(self, name: str, stream: Stream) -> None:
        #: ``dear``: of a busy server's measured requests it is read of one in so many.
        self.name, self.dear = name, MEASURES[name].dear
        self._rule: Final = MEASURES[name].of
        self.stream, self._level = stream, stream.level
        self._read: list[Observation] = []
        self._values: list[float] = []

    def read(self, seen: Traffic, one: Observation) -> None:
        """Read a request. ``one`` is an observation of it that says 1; most of its values do, and share it."""
        value = self._rule(seen)
        if value is None:
            return
        if value == 1.0 and not self._level:
            self._read.append(one)
        elif math.isfinite(value):
            if self._level:
                self._values.append(value)
                self._read.append(one)
            else:
                self._read.append(Observation(one.served, one.slice, value))

    @property
    def holds(self) -> bool:
        """Whether it has read anything that was not given yet."""
        return bool(self._read)

    def give(self, *, more: bool) -> list[Alarm]:
        """The batch is whole: the stream takes what was read. With ``more`` to come at once, bets may wait for it."""
        if not self._read:
            return []
        read, values = self._read, self._values
        self._read, self._values = [], []
        return self.stream.take(read, values, more=more)
