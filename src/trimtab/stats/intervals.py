"""Intervals for means and rates of cases that may share their luck."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput

from .bounds import wilson
from .distributions import normal_quantile, t_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with the two-sided interval that it was asked for and the observations it rests on."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2.0


def z_of(level: float) -> float:
    """The normal quantile of a two-sided level: 1.96 for .95. Raises BadInput unless 0 < level < 1."""
    if not 0.0 < level < 1.0:
        raise BadInput(f"{level} is no confidence level", field="level", mend="Give one such as 0.95.")
    return normal_quantile(0.5 + level / 2.0)


def clustered_variance(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> tuple[float, int]:
    """The variance of the mean, robust to any correlation within clusters, and the number of clusters.

    sum over clusters of (sum of deviations)^2 / n^2, times G / (G - 1) (CR1; Liang and Zeger 1986). Without clusters
    each value is its own, which gives the usual s^2 / n. One cluster has no variance to tell: infinity.
    """
    n = len(values)
    if n == 0:
        raise BadInput("there are no values", field="values", mend="Give at least one.")
    mean = math.fsum(values) / n
    if clusters is None:
        squares, groups = math.fsum((x - mean) ** 2 for x in values), n
    else:
        if len(clusters) != n:
            raise BadInput(f"{len(clusters)} clusters for {n} values", field="clusters", mend="Give one a value.")
        sums: dict[Hashable, float] = defaultdict(float)
        for x, cluster in zip(values, clusters, strict=True):
            sums[cluster] += x - mean
        squares, groups = math.fsum(total * total for total in sums.values()), len(sums)
    if groups < 2:
        return math.inf, groups
    return squares / (n * n) * groups / (groups - 1), groups


def mean_interval(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, *, level: float = 0.95
) -> Interval:
    """The mean with a Student t interval on clusters - 1 degrees of freedom."""
    z_of(level)
    variance, groups = clustered_variance(values, clusters)
    mean = math.fsum(values) / len(values)
    half = t_quantile(0.5 + level / 2.0, groups - 1) * math.sqrt(variance) if groups > 1 else math.inf
    return Interval(value=mean, low=mean - half, high=mean + half, n=len(values))


def rate_interval(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, *, level: float = 0.95
) -> Interval:
    """The mean of values in [0, 1] with an interval that stays in [0, 1] and is right near its ends.

    Wilson's interval on the effective number of observations p (1 - p) / variance: the plain one for independent 0/1
    values; with clusters Student's t takes the place of the normal quantile.
    """
    if any(not 0.0 <= x <= 1.0 for x in values):
        raise BadInput("a value is outside 0 to 1", field="values", mend="Scale them to 0 to 1.")
    variance, groups = clustered_variance(values, clusters)
    mean = min(1.0, math.fsum(values) / len(values))
    if groups < 2:
        return Interval(value=mean, low=0.0, high=1.0, n=len(values))
    if clusters is None:
        variance *= (groups - 1) / groups
        z = z_of(level)
    else:
        z = t_quantile(0.5 + level / 2.0, groups - 1)
    low, high = wilson_effective(mean, variance, groups, z)
    return Interval(value=mean, low=low, high=high, n=len(values))


def wilson_effective(rate: float, variance: float, fallback: int, z: float) -> tuple[float, float]:
    """Wilson's interval for a rate with this variance of its estimate; ``fallback`` observations if nothing varied."""
    spread = rate * (1.0 - rate)
    n = spread / variance if variance > 0.0 and spread > 0.0 else float(fallback)
    centre, room = (rate + z * z / (2.0 * n)) / (1.0 + z * z / n), z / (1.0 + z * z / n)
    half = room * math.sqrt(max(0.0, spread) / n + z * z / (4.0 * n * n))
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def newcombe_difference(k1: int, n1: int, k2: int, n2: int, *, level: float = 0.95) -> Interval:
    """Rate 1 minus rate 2 of independent samples: Newcombe's hybrid score interval (1998, method 10)."""
    if n1 <= 0 or n2 <= 0:
        raise BadInput(f"{n1} and {n2} observations", field="n", mend="Give at least one of each.")
    z = z_of(level)
    (low1, high1), (low2, high2) = wilson(k1, n1, z), wilson(k2, n2, z)
    p1, p2 = k1 / n1, k2 / n2
    value = p1 - p2
    low = value - math.hypot(p1 - low1, high2 - p2)
    high = value + math.hypot(high1 - p1, p2 - low2)
    return Interval(value=value, low=max(-1.0, low), high=min(1.0, high), n=n1 + n2)
