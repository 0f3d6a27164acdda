"""What the detector of all slices bets against: bounds that hold for the slices together. Pure.

Bets are linear in the value, so the detector's guarantee asks only that the bounds are right on average over the slices
as the traffic mixes them: the sum of w (m0 - mean) over the slices with shares w must not be above 0. The errors of
many references partly cancel in that sum, so it takes far less room than a bound for each slice apart. With standard
errors e of the references the sum of w (estimate - mean) stays below c sqrt(sum of w^2 e^2) for all mixes w at once,
where c^2 is the quantile of a chi-square with as many degrees as slices (Scheffe 1953). A slice gives up
c w e^2 / sqrt(sum of w^2 e^2), and these sum up to just that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.stats import normal_quantile

from .reference import ALPHA, Reference

#: No slice's share counts as less: it may grow before the shares are looked at again.
_LEAST_SHARE = 0.01
#: The steps of rounded bounds.
_STEP = 1.05
_LOG_STEP = math.log(_STEP)
_Z = normal_quantile(1.0 - ALPHA / 5.0)


def bounds(parts: Sequence[tuple[Reference, float]]) -> list[float]:
    """The bounds of slices, given as (reference, how often it comes). Each slice's own where those give up less."""
    own = [reference.low for reference, _ in parts]
    if len(parts) < 2:
        return own
    total = sum(recent for _, recent in parts) or 1.0
    shares = [max(_LEAST_SHARE, recent / total) for _, recent in parts]
    variances = [reference.variance for reference, _ in parts]
    spread = math.sqrt(sum(w * w * v for w, v in zip(shares, variances, strict=True)))
    scale = _scheffe(len(parts)) / spread
    given = [scale * w * v for w, v in zip(shares, variances, strict=True)]
    together = [max(0.0, reference.mean - room) for (reference, _), room in zip(parts, given, strict=True)]
    return max(own, together, key=lambda lows: sum(w * low for w, low in zip(shares, lows, strict=True)))


def rounded(low: float) -> float:
    """The bound, a little lower: with a distance from 1 that is a power of 1.05, so that slices share it and are bet on
    together."""
    if not 0.0 < low < 1.0:
        return low
    return max(0.0, 1.0 - _STEP ** math.ceil(math.log(1.0 - low) / _LOG_STEP))


def _scheffe(slices: int) -> float:
    """The root of the chi-square's quantile, after Wilson and Hilferty (1931)."""
    part = 2.0 / (9.0 * slices)
    return math.sqrt(slices * (1.0 - part + _Z * math.sqrt(part)) ** 3)
