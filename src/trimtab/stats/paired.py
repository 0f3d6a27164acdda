"""The same case answered twice: e-values, tests and intervals for the difference."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput

from .bounds import binomial_tail, lower_bound
from .distributions import t_cdf, t_quantile
from .intervals import Interval, clustered_variance, z_of

_BETS = (0.2, 0.5, 0.8)
_LOG_CAP = math.log(1e280)
#: With fewer changed clusters than this no spread can be measured, and counting takes the place of Student's t.
FEW = 5


def paired_e_value(wins: int, losses: int) -> float:
    """E-value that wins are likelier than losses among discordant pairs; 1 says nothing, 500 is strong.

    Null: each discordant pair is a win with probability at most 1/2. The mean over the bets b in .2, .5, .8 of
    (1+b)^wins * (1-b)^losses: a test martingale (Ville 1939; Shafer and Vovk 2019), so it may be looked at after each
    pair. Capped at 1e280. Raises BadInput for negative counts.
    """
    if wins < 0 or losses < 0:
        raise BadInput(f"{wins} wins and {losses} losses", field="wins", mend="Give counts of 0 or more.")
    logs = [wins * math.log1p(bet) + losses * math.log1p(-bet) for bet in _BETS]
    return sum(math.exp(min(log, _LOG_CAP)) for log in logs) / len(logs)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """New minus old over paired cases: the mean, its standard error and what it rests on.

    ``better`` and ``worse`` count clusters that changed. Below FEW changes the standard error means nothing, and the
    exact bounds for the share of clusters that can have changed are used instead.
    """

    value: float
    error: float
    n: int
    clusters: int
    better: int
    worse: int

    @property
    def few(self) -> bool:
        """Whether too few clusters changed to measure their spread."""
        return self.better + self.worse < FEW or self.clusters < 3

    def interval(self, level: float = 0.95) -> Interval:
        """The two-sided interval."""
        z_of(level)
        tail = (1.0 - level) / 2.0
        return Interval(value=self.value, low=self.lower(tail), high=self.upper(tail), n=self.n)

    def lower(self, alpha: float) -> float:
        """The one-sided lower bound at error rate ``alpha``."""
        if self.few:
            return min(self.value, -_at_most(self.worse, self.clusters, alpha))
        return max(-1.0, self.value - t_quantile(1.0 - alpha, self.clusters - 1) * self.error)

    def upper(self, alpha: float) -> float:
        """The one-sided upper bound at error rate ``alpha``."""
        if self.few:
            return max(self.value, _at_most(self.better, self.clusters, alpha))
        return min(1.0, self.value + t_quantile(1.0 - alpha, self.clusters - 1) * self.error)

    def p_worse(self) -> float:
        """The p-value of "new is not worse": small when the drop is real."""
        if self.few:
            return binomial_tail(self.worse, self.better + self.worse, 0.5)
        return self._t_cdf(self.value)

    def p_drop(self, most: float) -> float:
        """The p-value of "new is worse by ``most`` or more": small when the drop is less than that."""
        if self.few:
            return 1.0 - binomial_tail(self.worse + 1, self.clusters, most)
        return self._t_cdf(-(self.value + most))

    def _t_cdf(self, distance: float) -> float:
        if self.error == 0.0:
            return 0.5 if distance == 0.0 else float(distance > 0.0)
        return t_cdf(distance / self.error, self.clusters - 1)


def paired_difference(differences: Sequence[float], clusters: Sequence[Hashable] | None = None) -> PairedDifference:
    """New minus old, one difference a case (the mean over its repeats), each in [-1, 1].

    Averaging the repeats first makes the case the unit that was drawn, as a model with random effects of case and
    repeat does; with as many repeats everywhere it is that model's estimate and error. Clusters are robust to any
    correlation inside (CR1). Raises BadInput without cases.
    """
    if any(not -1.0 <= d <= 1.0 for d in differences):
        raise BadInput("a difference is outside -1 to 1", field="differences", mend="Scale scores to 0 to 1.")
    variance, groups = clustered_variance(differences, clusters)
    sums: dict[Hashable, float] = {}
    for cluster, d in zip(clusters if clusters is not None else range(len(differences)), differences, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + d
    return PairedDifference(
        value=math.fsum(differences) / len(differences),
        error=math.sqrt(variance) if groups > 1 else 1.0,
        n=len(differences),
        clusters=groups,
        better=sum(total > 1e-12 for total in sums.values()),
        worse=sum(total < -1e-12 for total in sums.values()),
    )


def _at_most(count: int, n: int, alpha: float) -> float:
    """The exact upper bound (Clopper and Pearson 1934) of the share behind ``count`` of ``n``."""
    return 1.0 - lower_bound(n - count, n, alpha, binary=True)
