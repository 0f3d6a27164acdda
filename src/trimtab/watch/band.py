"""The band in which a measured value is usual: order statistics of a reference, whatever its distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trimtab.core import BadInput
from trimtab.stats import lower_bound

#: Which direction is bad: more, less, or both.
Worse = Literal["up", "down", "either"]
#: The share of the reference that the band is to hold.
COVERAGE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """``low`` to ``high`` is usual. ``mean`` is the expected share of healthy values inside, ``bound`` what that share
    is above with the confidence asked for."""

    low: float
    high: float
    mean: float
    bound: float

    def holds(self, value: float) -> float:
        """1 inside, 0 outside."""
        return 1.0 if self.low <= value <= self.high else 0.0


def band_of(values: Sequence[float], worse: Worse, tolerance: float, alpha: float, least: float = 0.0) -> Band:
    """The band of a reference of ``n`` values.

    Its ends are order statistics, so that the share of future values from the same distribution that lie inside is
    distributed as Beta(k, n - k + 1), with k the values of the reference between them, whatever the distribution
    (Wilks 1941); ties only make the share larger. Its ``alpha`` quantile is ``bound``, the same as the lower bound of
    Clopper and Pearson for k of n. ``tolerance`` widens the band by that part of its end, and by ``least``
    at least, for a change that small is no harm: the bound then holds all the more. Raises BadInput for an empty
    reference.
    """
    n = len(values)
    if not n:
        raise BadInput("a band of nothing", field="values", mend="Gather a reference first.")
    ordered = sorted(values)
    outside = (1.0 - COVERAGE) / (2.0 if worse == "either" else 1.0)
    # The first and last place that stay inside; at least one value beyond each end once there are enough of them.
    cut = min(math.floor(outside * (n + 1)), (n - 1) // 2)
    first = cut if worse != "up" else 0
    last = n - 1 - (cut if worse != "down" else 0)
    # k counts the gaps between the ends: an open end counts its own gap too.
    k = last - first + (worse == "up") + (worse == "down")
    low = ordered[first] - _room(ordered[first], tolerance, least) if worse != "up" else -math.inf
    high = ordered[last] + _room(ordered[last], tolerance, least) if worse != "down" else math.inf
    return Band(low=low, high=high, mean=k / (n + 1), bound=lower_bound(float(k), n, alpha, binary=True) if k else 0.0)


def _room(end: float, tolerance: float, least: float) -> float:
    return max(abs(end) * tolerance, least)
