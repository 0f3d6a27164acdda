"""The difference between two arms, compared like with like."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """``value`` = exposed minus unexposed mean, with its 95 % interval and the observations that it rests on."""

    value: float
    low: float
    high: float
    n_exposed: int
    n_unexposed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Counts and sums of values in [0, 1] of both arms among comparable requests (one slice, one stage)."""

    n_exposed: int
    sum_exposed: float
    n_unexposed: int
    sum_unexposed: float


def difference_interval(strata: Iterable[Stratum], z: float = 1.96) -> Estimate | None:
    """The stratified difference of means, exposed minus unexposed; None when no stratum holds both arms.

    Mantel-Haenszel weights n1*n0/(n1+n0) (Greenland and Robins 1985), which let sparse strata in without blowing up.
    The variance of each arm is p(1-p)/n at Agresti and Caffo's (2000) p = (sum+1)/(n+2): a value in [0, 1] never varies
    more than a coin of the same mean, so the interval is conservative for graded values. Strata with one arm only say
    nothing and are left out of the counts.
    """
    weight_sum = weighted = variance = 0.0
    n_exposed = n_unexposed = 0
    for s in strata:
        if s.n_exposed <= 0 or s.n_unexposed <= 0:
            continue
        weight = s.n_exposed * s.n_unexposed / (s.n_exposed + s.n_unexposed)
        weight_sum += weight
        weighted += weight * (s.sum_exposed / s.n_exposed - s.sum_unexposed / s.n_unexposed)
        spread = _variance(s.sum_exposed, s.n_exposed) + _variance(s.sum_unexposed, s.n_unexposed)
        variance += weight * weight * spread
        n_exposed += s.n_exposed
        n_unexposed += s.n_unexposed
    if weight_sum == 0.0:
        return None
    value = weighted / weight_sum
    half = z * math.sqrt(variance) / weight_sum
    return Estimate(
        value=value,
        low=max(-1.0, value - half),
        high=min(1.0, value + half),
        n_exposed=n_exposed,
        n_unexposed=n_unexposed,
    )


def _variance(total: float, n: int) -> float:
    p = (total + 1.0) / (n + 2.0)
    return p * (1.0 - p) / n
