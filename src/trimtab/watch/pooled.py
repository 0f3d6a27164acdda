"""What the detector of all slices bets against: bounds that hold for the slices together. Pure.

Bets are linear in the value, so the detector's guarantee asks only that the bounds are right on average over the slices
as the traffic mixes them: the sum of w (m0 - mean) over the slices with shares w must not be above 0. The errors of
many references partly cancel in that sum, so it takes far less room than a bound for each slice apart. A slice gives up
c w e^2 / sqrt(sum of w^2 e^2), with e the standard error of its reference and w its share of the newest traffic; these
sum up to c sqrt(sum of w^2 e^2).

How large must c be? For one mix a normal quantile does; for every mix that there could be, all at once, it takes the
root of a chi-square's quantile with as many degrees as slices (Scheffe 1953), which costs a long reference most of
what it is worth. Traffic does not choose its mix by the errors of our references. So c is Scheffe's for two degrees: it
covers at once the mix that is, another one, and whatever lies between them. The shares are looked at anew every few
hundred values; until then, of mixes that have nothing to do with the one before, four in a thousand are worse than
allowed for, by a thousandth on average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

from .reference import ALPHA, Reference

#: No slice's share counts as less: it may grow before the shares are looked at again.
_LEAST_SHARE = 0.01
#: The steps of rounded bounds.
_STEP = 1.05
_LOG_STEP = math.log(_STEP)
#: The quantile of a chi-square with two degrees has a closed form.
_SCALE = math.sqrt(-2.0 * math.log(ALPHA / 2.0))


def bounds(parts: Sequence[tuple[Reference, float]]) -> list[float]:
    """The bounds of slices, given as (reference, how often it comes). Each slice's own where those give up less."""
    own = [reference.low for reference, _ in parts]
    if len(parts) < 2:
        return own
    shares = shares_of([recent for _, recent in parts])
    variances = [reference.variance for reference, _ in parts]
    spread = math.sqrt(sum([w * w * v for w, v in zip(shares, variances, strict=True)]))
    scale = _SCALE / spread
    given = [scale * w * v for w, v in zip(shares, variances, strict=True)]
    together = [max(0.0, reference.mean - room) for (reference, _), room in zip(parts, given, strict=True)]
    return max(own, together, key=lambda lows: sum(map(mul, shares, lows)))


def shares_of(recent: Sequence[float]) -> list[float]:
    """How large a part of the traffic each slice is, from how often it comes; none counts as less than a hundredth."""
    total = sum(recent) or 1.0
    return [max(_LEAST_SHARE, each / total) for each in recent]


def on_grid(lows: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Bounds with distances from 1 that are powers of 1.05, so that slices share them and are bet on together.

    Each moves up or down to the next one, the largest slice first, so that on average over the slices they never lie
    above what they were: rounded down throughout they would give up a fortieth of the distance, as much as a long
    reference does.
    """
    found = list(lows)
    above = 0.0
    for at in sorted(range(len(lows)), key=lambda at: -shares[at]):
        low = lows[at]
        if not 0.0 < low < 1.0:
            continue
        place = math.ceil(math.log(1.0 - low) / _LOG_STEP)
        up = _at(place - 1)
        found[at] = up if above + shares[at] * (up - low) <= 0.0 else max(0.0, _at(place))
        above += shares[at] * (found[at] - low)
    return found


def _at(place: int) -> float:
    return 1.0 - _STEP**place


def rounded(low: float) -> float:
    """The bound, a little lower: with a distance from 1 that is a power of 1.05."""
    if not 0.0 < low < 1.0:
        return low
    return max(0.0, _at(math.ceil(math.log(1.0 - low) / _LOG_STEP)))
