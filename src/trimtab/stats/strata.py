"""Kappa and rates from labels drawn by strata of known size, such as the judge's verdict (two-phase sampling).

Where failures are rare, more labels are drawn among what the judge fails. A stratum's labels then stand for its share
of the pool and not for their own number (Horvitz and Thompson 1952): every figure here is one of the pool. The interval
of kappa is by profile likelihood, as in ``kappa_profile``: a kappa is inside when the best world that has it loses less
than z^2 / 2 of log-likelihood, of the labels within their strata and of the strata within the pool.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trimtab.core import BadInput

from .agreement import Table, cohen_kappa, disagreement_weights
from .distributions import normal_quantile
from .intervals import Interval, wilson_effective, z_of
from .kappa_profile import ends, multiplier, slopes

#: Rounds of the restricted fit, the movement of a cell that ends it, and a share that no cell falls below.
_ROUNDS, _SETTLED, _LEAST = 2_000, 1e-9, 1e-300
#: Labels of each kind that are added where the spread of a rate is measured.
_ADDED = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStratum:
    """How many outputs of the pool a stratum holds, and the labels drawn at random from them: people's category down,
    the judge's across."""

    size: int
    table: Table

    @property
    def labels(self) -> float:
        """How many labels it has."""
        return sum(map(sum, self.table))


class _Part(NamedTuple):
    counts: list[list[float]]  # labels, the added ones included
    rest: float  # outputs without a label


def pooled(strata: Sequence[LabelStratum]) -> list[list[float]]:
    """The table of the pool by the labels, scaled to as many as there are labels. Raises BadInput for a stratum that is
    smaller than its labels, or has none."""
    for stratum in strata:
        if not 0 < stratum.labels <= stratum.size:
            said = f"{stratum.labels:g} labels of a stratum of {stratum.size}"
            raise BadInput(said, field="strata", mend="Label something in each, and give its size in the pool.")
    if not strata:
        raise BadInput("there are no strata", field="strata", mend="Give at least one.")
    n, pool = sum(s.labels for s in strata), sum(s.size for s in strata)
    k = len(strata[0].table)
    return [[n * sum(s.size / pool * s.table[i][j] / s.labels for s in strata) for j in range(k)] for i in range(k)]


def strata_kappa(strata: Sequence[LabelStratum], *, level: float = 0.95, design: float = 1.0) -> Interval:
    """Kappa of the pool with its two-sided interval. Raises BadInput where it does not exist."""
    value, (low, high) = _bounds(strata, z_of(level), design)
    return Interval(value=value, low=min(low, value), high=max(high, value), n=round(sum(s.labels for s in strata)))


def strata_kappa_bounds(
    strata: Sequence[LabelStratum], *, alpha: float = 0.05, design: float = 1.0
) -> tuple[float, float]:
    """The one-sided lower and upper bound, each on the wrong side of the true kappa with probability ``alpha``."""
    value, (low, high) = _bounds(strata, -normal_quantile(alpha), design)
    return min(low, value), max(high, value)


def strata_deviance(strata: Sequence[LabelStratum], kappa: float) -> float:
    """Twice the log-likelihood that the best world with this kappa loses, after the added label."""
    return _deviance(_parts(strata), kappa)


def _bounds(strata: Sequence[LabelStratum], z: float, design: float) -> tuple[float, tuple[float, float]]:
    if design < 1.0:
        raise BadInput(f"{design} is no design effect", field="design", mend="Give 1 or more.")
    value, parts = cohen_kappa(pooled(strata)), _parts(strata)
    inside: Callable[[float], float] = lambda kappa: _deviance(parts, kappa) / design - z * z  # noqa: E731
    return value, ends(inside, value)


def _parts(strata: Sequence[LabelStratum]) -> list[_Part]:
    """One label is added, spread evenly over the cells; in a stratum only where the judge was seen to say so."""
    k = len(strata[0].table)
    said = [[sum(row[j] for row in s.table) > 0 for j in range(k)] for s in strata]
    times = [sum(seen[j] for seen in said) for j in range(k)]
    parts = []
    for stratum, seen in zip(strata, said, strict=True):
        counts = [
            [stratum.table[i][j] + (1.0 / (k * k * times[j]) if seen[j] else 0.0) for j in range(k)] for i in range(k)
        ]
        parts.append(_Part(counts, max(0.0, stratum.size - sum(map(sum, counts)))))
    return parts


def _deviance(parts: Sequence[_Part], kappa: float) -> float:
    """The restricted fit by expectation and maximization (Dempster, Laird and Rubin 1977): outputs without a label are
    shared out over the cells of their stratum, and the slopes of kappa at the present margins held in between; the
    steps are lengthened after Varadhan and Roland (2008). Infinite where it does not settle: far outside."""
    k = len(parts[0].counts)
    total = sum(part.rest + sum(map(sum, part.counts)) for part in parts)
    weights = disagreement_weights(k, "none")
    free = [
        count / sum(map(sum, p.counts)) * (p.rest + sum(map(sum, p.counts))) / total
        for p in parts for row in p.counts for count in row
    ]  # fmt: skip

    def step(shares: list[float]) -> list[float]:
        return _step(parts, shares, total, kappa, weights)

    shares = free
    for _ in range(_ROUNDS // 3):
        first = step(shares)
        second = step(first)
        move = max(abs(new - old) for new, old in zip(second, first, strict=True))
        if move < _SETTLED:
            lost = 2.0 * (_likelihood(parts, free) - _likelihood(parts, second))
            return max(0.0, lost)
        r = [b - a for a, b in zip(shares, first, strict=True)]
        v = [c - b - d for b, c, d in zip(first, second, r, strict=True)]
        size = math.sqrt(sum(x * x for x in r) / max(1e-300, sum(x * x for x in v)))
        far = [a + 2.0 * size * d + size * size * e for a, d, e in zip(shares, r, v, strict=True)]
        shares = step(far) if all(x > 0.0 or c == 0.0 for x, c in zip(far, second, strict=True)) else second
    return math.inf


def _step(
    parts: Sequence[_Part], shares: Sequence[float], total: float, kappa: float, weights: Sequence[Sequence[float]]
) -> list[float]:
    k = len(weights)
    expected: list[float] = []
    rows, columns, cells = [0.0] * k, [0.0] * k, [0.0] * (k * k)
    for n, part in enumerate(parts):
        own = shares[n * k * k : (n + 1) * k * k]
        whole = math.fsum(own)
        for at, share in enumerate(own):
            i, j = divmod(at, k)
            count = part.counts[i][j] + part.rest * share / whole
            expected.append(count)
            cells[at] += count
            rows[i] += share
            columns[j] += share
    steep = slopes(rows, columns, weights, 1.0 - kappa)
    flat = [(steep[at // k][at % k], cells[at]) for at in range(k * k)]
    pull = multiplier(flat, 0.0)
    found = [count / (total * (1.0 + pull * flat[at % (k * k)][0])) for at, count in enumerate(expected)]
    whole = math.fsum(found)
    return [share / whole for share in found]


def _likelihood(parts: Sequence[_Part], shares: Sequence[float]) -> float:
    size = len(parts[0].counts) ** 2
    found = 0.0
    for n, part in enumerate(parts):
        own = shares[n * size : (n + 1) * size]
        flat = [count for row in part.counts for count in row]
        found += sum(c * math.log(max(_LEAST, s)) for c, s in zip(flat, own, strict=True) if c)
        found += part.rest * math.log(max(_LEAST, math.fsum(own)))
    return found


Cell = tuple[int, int]


def strata_rate(
    strata: Sequence[LabelStratum], hits: Collection[Cell], among: Collection[Cell], *, level: float = 0.95,
    design: float = 1.0,
) -> tuple[Interval, float] | None:  # fmt: skip
    """The share of the ``hits`` among some cells (people, judge) of the pool, with its two-sided interval, and how many
    labels drawn blindly would be worth as much. None where none of the cells was seen.

    A ratio of Horvitz and Thompson's estimates. Its variance is the linearized one of two phases (Saerndal, Swensson
    and Wretman 1992, 9.3), with a quarter of a label added to the cells that may occur, and the interval Wilson's on
    the effective number of labels.
    """
    pooled(strata)  # which refuses what is no sample
    value = _ratio(strata, hits, among)
    if value is None:
        return None
    eased = [_eased(s) for s in strata]
    near = _ratio(eased, hits, among)
    assert near is not None
    variance = design * _variance(eased, near, hits, among)
    worth = near * (1.0 - near) / variance
    seen = round(sum(s.table[i][j] for s in strata for i, j in among))
    low, high = wilson_effective(value, value * (1.0 - value) / worth, max(1, round(worth)), z_of(level))
    return Interval(value=value, low=low, high=high, n=seen), worth


def _eased(s: LabelStratum) -> LabelStratum:
    seen = [any(column) for column in zip(*s.table, strict=True)]
    table = [[count + _ADDED * there for count, there in zip(row, seen, strict=True)] for row in s.table]
    return LabelStratum(size=s.size, table=table)


def _ratio(strata: Sequence[LabelStratum], hits: Collection[Cell], among: Collection[Cell]) -> float | None:
    part = sum(s.size / s.labels * s.table[i][j] for s in strata for i, j in hits)
    whole = sum(s.size / s.labels * s.table[i][j] for s in strata for i, j in among)
    return part / whole if whole > 0.0 else None


def _variance(
    strata: Sequence[LabelStratum], value: float, hits: Collection[Cell], among: Collection[Cell]
) -> float:  # fmt: skip
    """Of the linearized ratio: within the strata by their labels, between them by the pool."""
    pool = sum(s.size for s in strata)
    whole = sum(s.size / pool / s.labels * s.table[i][j] for s in strata for i, j in among)
    found = 0.0
    for s in strata:
        pull = {cell: (float(cell in hits) - value) / whole for cell in among}
        mean = sum(s.table[i][j] * x for (i, j), x in pull.items()) / s.labels
        square = sum(s.table[i][j] * x * x for (i, j), x in pull.items()) / s.labels - mean * mean
        share = s.size / pool
        found += share * share * max(0.0, square) / max(1.0, s.labels - 1.0) + share * mean * mean / pool
    return found
