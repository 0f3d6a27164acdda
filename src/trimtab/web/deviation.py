"""How far a measured cell lies from what is usual, in the bad direction, in units of its own noise.

Scores are compared slice by slice with the frozen baselines of the watch, so that a change of the traffic mix alone
moves nothing. What has no baseline (errors, latency, cost) is compared with the window's own middle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from trimtab.watch import REST

#: Cells that a window needs before its own middle says what is usual.
FEWEST_CELLS = 4
#: A percentile read from the log histogram is exact to 9 %, so less than that is no deviation.
RESOLUTION = 0.09


class Usual(Protocol):
    """A frozen baseline: the mean of ``n`` values in [0, 1]."""

    @property
    def n(self) -> int: ...
    @property
    def mean(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The values of one slice within one cell."""

    slice: str
    n: int
    total: float


def stratified_z(tallies: Iterable[Tally], baselines: Mapping[str, Usual]) -> float | None:
    """z = sum of (expected - observed) over slices, divided by its standard error; None without a baseline.

    The variance of a value in [0, 1] with mean m is at most m (1 - m); m is taken half an observation away from the
    ends, because sixty perfect answers do not prove a perfect service. The baseline's own error counts as well:
    ``n v (1 + n / n_baseline)`` per slice.
    """
    gap = variance = 0.0
    for tally in tallies:
        usual = _of(tally.slice, baselines)
        if usual is None or tally.n <= 0 or usual.n <= 0:
            continue
        mean = (usual.mean * usual.n + 0.5) / (usual.n + 1)
        gap += tally.n * usual.mean - tally.total
        variance += tally.n * mean * (1 - mean) * (1 + tally.n / usual.n)
    return gap / math.sqrt(variance) if variance > 0 else None


def expected(tallies: Iterable[Tally], baselines: Mapping[str, Usual]) -> float | None:
    """What the same mix of slices would usually score; None without a baseline for any of it."""
    total = n = 0.0
    for tally in tallies:
        if (usual := _of(tally.slice, baselines)) is not None:
            total += tally.n * usual.mean
            n += tally.n
    return total / n if n else None


def _of(slice: str, baselines: Mapping[str, Usual]) -> Usual | None:
    """A slice's baseline; the watch keeps one in common for slices that are too many to keep apart."""
    return baselines.get(slice) or baselines.get(REST)


def rate_z(cells: Sequence[tuple[int, int] | None]) -> list[float | None]:
    """Deviation of each cell's (events, requests) from the pooled rate of the quieter three quarters of the cells.

    The square root stabilises the variance (Anscombe), so that one error among ten requests is no alarm.
    """
    known = sorted((c for c in cells if c is not None and c[1] > 0), key=lambda cell: cell[0] / cell[1])
    if len(known) < FEWEST_CELLS:
        return [None] * len(cells)
    quiet = known[: math.ceil(len(known) * 0.75)]
    usual = sum(events for events, _ in quiet) / sum(n for _, n in quiet)
    return [
        None if cell is None or cell[1] <= 0 else 2 * (math.sqrt(cell[0] + 0.375) - math.sqrt(cell[1] * usual + 0.375))
        for cell in cells
    ]


def value_z(values: Sequence[float | None]) -> list[float | None]:
    """Deviation of each cell's value upwards from the window's median, in units of its scaled median deviation."""
    known = [value for value in values if value is not None]
    if len(known) < FEWEST_CELLS:
        return [None] * len(values)
    middle = median(known)
    noise = max(1.4826 * median(abs(value - middle) for value in known), RESOLUTION * abs(middle), 1e-12)
    return [None if value is None else (value - middle) / noise for value in values]
