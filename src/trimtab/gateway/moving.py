"""Times as they are kept: quantiles of the last ones, and counts of all since the start."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

#: Answers of which the time to the first token is kept for quantiles, and how few are too few to speak of one.
SAMPLES, FEW = 512, 20
#: Upper bounds, in seconds, of what a histogram counts together; longer ones are counted after the last.
BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)


class Quantiles:
    """Quantiles of the last SAMPLES values."""

    def __init__(self) -> None:
        self._last: deque[float] = deque()
        self._sorted: list[float] = []

    def observe(self, value: float) -> None:
        """One more value."""
        if len(self._last) == SAMPLES:
            del self._sorted[bisect_left(self._sorted, self._last.popleft())]
        self._last.append(value)
        insort(self._sorted, value)

    def quantile(self, share: float) -> float | None:
        """The value below which ``share`` of them lie; None while they are too few."""
        if len(self._sorted) < FEW:
            return None
        return self._sorted[min(len(self._sorted) - 1, int(share * len(self._sorted)))]


class Times(NamedTuple):
    """How many times fell between two of BOUNDS, the last count being of those above all, and the sum of all."""

    counts: tuple[int, ...]
    seconds: float

    def with_those_of(self, other: Times) -> Times:
        """Both together."""
        return Times(tuple(map(sum, zip(self.counts, other.counts, strict=True))), self.seconds + other.seconds)


NO_TIMES = Times((0,) * (len(BOUNDS) + 1), 0.0)


class Histogram:
    """Counts of times, by BOUNDS. Who observes one adds it in place: it is on the path of every request."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = list(NO_TIMES.counts)
        self.seconds = 0.0

    def add(self, other: Histogram) -> None:
        """Count those of another as well."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.seconds += other.seconds


def added(some: Iterable[Histogram]) -> Times:
    """Several histograms as one."""
    every = list(some)
    counts = tuple(map(sum, zip(*(one.counts for one in every), strict=True))) if every else NO_TIMES.counts
    return Times(counts, sum(one.seconds for one in every))
