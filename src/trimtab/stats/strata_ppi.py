"""A pass rate by prediction-powered inference from labels that were drawn by strata of known size."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput

from .corrected import Corrected
from .intervals import clustered_variance, wilson_effective, z_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnValues:
    """How many outputs of the pool a stratum holds, and of those drawn at random from it people's values and the
    judge's, in the same order, with the cluster of each."""

    size: int
    people: Sequence[float]
    judge: Sequence[float]
    clusters: Sequence[Hashable]


def strata_ppi(
    strata: Sequence[DrawnValues],
    judge: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Corrected:
    """The mean of people's values over all outputs: ``judge`` holds its value of every one of them, labelled or not.

    The strata's means, each weighted by its size, of people - lambda * judge, and lambda * mean(judge) added: the
    difference estimator (Saerndal, Swensson and Wretman 1992, 6.3) with the lambda of least variance in 0 to 1. Where
    the strata are this judge's verdicts, it says nothing more within them and lambda is 0. The Wilson intervals of the
    strata and that of the outputs themselves are put together by the square-and-add rule (Zou and Donner 2008), which
    keeps its level where failures are few. Values are in [0, 1]. Raises BadInput for a stratum with fewer than two
    labels, or more than its size.
    """
    for part in strata:
        if not 2 <= len(part.people) <= part.size:
            said = f"{len(part.people)} labels of a stratum of {part.size}"
            raise BadInput(said, field="strata", mend="Label two or more of each.")
    if not strata or len(judge) < 2:
        raise BadInput("there is too little to estimate from", field="strata", mend="Give strata and cases.")
    pool, z = sum(part.size for part in strata), z_of(level)
    trust = _trust(strata, pool)
    value, below, above = trust * math.fsum(judge) / len(judge), 0.0, 0.0
    for part in strata:
        share, n = part.size / pool, len(part.people)
        mean, low, high = _mean(part, trust, z)
        value += share * mean
        left = share * share * (1.0 - n / part.size)
        below += left * (mean - low) ** 2
        above += left * (high - mean) ** 2
    value = min(1.0, max(0.0, value))
    cases = len(judge) / _clustering(judge, clusters)
    low, high = wilson_effective(value, value * (1.0 - value) / cases, max(1, round(cases)), z)
    labels = sum(len(part.people) for part in strata)
    return Corrected(
        value=value, low=max(0.0, value - math.sqrt(below + (value - low) ** 2)),
        high=min(1.0, value + math.sqrt(above + (high - value) ** 2)), labels=labels,
        unlabelled=max(0, len(judge) - labels), trust=trust,
    )  # fmt: skip


def _mean(part: DrawnValues, trust: float, z: float) -> tuple[float, float, float]:
    """The mean of people - lambda * judge in a stratum and the ends of Wilson's interval on what it may be."""
    least, most = -trust * max(part.judge), 1.0 - trust * min(part.judge)
    width = most - least
    values = [(y - trust * f - least) / width for y, f in zip(part.people, part.judge, strict=True)]
    n, mean = len(values), math.fsum(values) / len(values)
    own = len(set(part.clusters)) == n
    variance, groups = clustered_variance(values, None if own else part.clusters)
    low, high = (0.0, 1.0) if groups < 2 else wilson_effective(mean, variance * (groups - 1) / groups, groups, z)
    return least + width * mean, least + width * low, least + width * high


def _trust(strata: Sequence[DrawnValues], pool: int) -> float:
    """Lambda: the slope of people's values on the judge's within the strata, each by what it adds to the variance."""
    together = spread = 0.0
    for part in strata:
        n = len(part.people)
        share = (part.size / pool) ** 2 / (n * (n - 1))
        y, f = math.fsum(part.people) / n, math.fsum(part.judge) / n
        together += share * math.fsum((a - y) * (b - f) for a, b in zip(part.people, part.judge, strict=True))
        spread += share * math.fsum((b - f) ** 2 for b in part.judge)
    return min(1.0, max(0.0, together / spread)) if spread > 0.0 else 0.0


def _clustering(judge: Sequence[float], clusters: Sequence[Hashable] | None) -> float:
    """How many times the variance over all outputs grows because they come in clusters, by what the judge says of them;
    the size of the clusters where it says one thing of all."""
    if clusters is None:
        return 1.0
    alone, robust = clustered_variance(judge)[0], clustered_variance(judge, clusters)[0]
    return max(1.0, robust / alone) if alone > 0.0 and math.isfinite(robust) else len(judge) / len(set(clusters))
