"""How far raters agree, beyond what chance would give them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from trimtab.core import BadInput

from .distributions import t_quantile
from .intervals import Interval

#: Counts of pairs of verdicts: rows are one rater's category, columns the other's.
Table = Sequence[Sequence[float]]


def confusion(pairs: Sequence[tuple[Hashable, Hashable]], categories: Sequence[Hashable]) -> list[list[float]]:
    """Counts of (first, second) over the categories in this order. Raises BadInput for a verdict that is none."""
    place = {category: i for i, category in enumerate(categories)}
    table = [[0.0] * len(categories) for _ in categories]
    for first, second in pairs:
        if first not in place or second not in place:
            raise BadInput(f"({first}, {second}) is in no category", field="categories", mend="Name every verdict.")
        table[place[first]][place[second]] += 1.0
    return table


def disagreement_weights(k: int, weights: str) -> list[list[float]]:
    """How much each cell disagrees: 0 or 1 (``none``), the distance (``linear``) or its square (``quadratic``)."""
    if weights == "none":
        return [[float(i != j) for j in range(k)] for i in range(k)]
    if weights == "linear":
        return [[float(abs(i - j)) for j in range(k)] for i in range(k)]
    if weights == "quadratic":
        return [[float((i - j) ** 2) for j in range(k)] for i in range(k)]
    raise BadInput(f"{weights} is no weighting", field="weights", mend="Give none, linear or quadratic.")


def percent_agreement(table: Table) -> float:
    """The share of pairs on which both say the same."""
    n = _total(table)
    return sum(row[i] for i, row in enumerate(table)) / n


def cohen_kappa(table: Table, weights: str = "none") -> float:
    """Cohen's kappa (1960), or weighted kappa (1968): 1 - observed / chance disagreement.

    Raises BadInput where chance alone agrees always, so that there is no kappa.
    """
    n = _total(table)
    k = len(table)
    cost = disagreement_weights(k, weights)
    rows = [sum(row) for row in table]
    columns = [sum(table[i][j] for i in range(k)) for j in range(k)]
    cells = [(i, j) for i in range(k) for j in range(k)]
    chance = sum(cost[i][j] * rows[i] * columns[j] for i, j in cells) / (n * n)
    if chance == 0.0:
        raise BadInput("all verdicts are the same, so kappa does not exist", field="table", mend="Add other cases.")
    return 1.0 - sum(cost[i][j] * table[i][j] for i, j in cells) / n / chance


def kappa_standard_error(table: Table) -> float:
    """The asymptotic standard error of unweighted kappa (Fleiss, Cohen and Everitt 1969, eq. 13): for planning."""
    n = _total(table)
    k = len(table)
    p = [[table[i][j] / n for j in range(k)] for i in range(k)]
    rows = [sum(row) for row in p]
    columns = [sum(p[i][j] for i in range(k)) for j in range(k)]
    kappa = cohen_kappa(table)
    rest = 1.0 - kappa
    chance = sum(rows[i] * columns[i] for i in range(k))
    same = sum(p[i][i] * (1.0 - (rows[i] + columns[i]) * rest) ** 2 for i in range(k))
    other = sum(p[i][j] * (columns[i] + rows[j]) ** 2 for i in range(k) for j in range(k) if i != j)
    variance = same + rest * rest * other - (kappa - chance * rest) ** 2
    return math.sqrt(max(0.0, variance) / n) / (1.0 - chance)


def design_effect(
    pairs: Sequence[tuple[int, int]], clusters: Sequence[Hashable], k: int, weights: Sequence[float] | None = None
) -> float:
    """How many times the variance of kappa grows because labels come in clusters; at least 1.

    The ratio of the clustered to the independent variance of kappa's influence values. ``weights`` say for how many
    outputs each pair stands.
    """
    n = len(pairs)
    weights = weights or [1.0] * n
    table = [[0.0] * k for _ in range(k)]
    for (i, j), weight in zip(pairs, weights, strict=True):
        table[i][j] += weight
    size = math.fsum(weights)
    rows = [sum(row) / size for row in table]
    columns = [sum(table[i][j] for i in range(k)) / size for j in range(k)]
    rest = 1.0 - cohen_kappa(table)
    slope = [[float(i != j) + rest * (rows[j] + columns[i]) for j in range(k)] for i in range(k)]
    mean = sum(slope[i][j] * weight for (i, j), weight in zip(pairs, weights, strict=True)) / size
    sums: dict[Hashable, float] = defaultdict(float)
    alone = 0.0
    for (i, j), cluster, weight in zip(pairs, clusters, weights, strict=True):
        pull = weight * (slope[i][j] - mean)
        sums[cluster] += pull
        alone += pull**2
    groups = len(sums)
    if alone == 0.0 or groups < 2:
        return 1.0 if groups == n else float(n) / max(1, groups)
    return max(1.0, sum(total * total for total in sums.values()) / alone * groups / (groups - 1) * (n - 1) / n)


def fleiss_kappa(ratings: Sequence[Sequence[int]]) -> float:
    """Fleiss' kappa (1971): one row of counts per category and item, the same number of raters everywhere."""
    raters = {sum(row) for row in ratings}
    if len(raters) != 1 or min(raters) < 2:
        raise BadInput("items differ in their raters", field="ratings", mend="Give 2 or more, as many for every item.")
    m, n = raters.pop(), len(ratings)
    seen = sum(sum(c * c for c in row) - m for row in ratings) / (n * m * (m - 1))
    columns = [sum(row[j] for row in ratings) for j in range(len(ratings[0]))]
    chance = sum((column / (n * m)) ** 2 for column in columns)
    if chance == 1.0:
        raise BadInput("all verdicts are the same, so kappa does not exist", field="ratings", mend="Add other cases.")
    return (seen - chance) / (1.0 - chance)


def gwet_ac1(table: Table) -> float:
    """Gwet's AC1 (2008) of two raters: steadier than kappa where one category is rare."""
    n = _total(table)
    k = len(table)
    if k < 2:
        raise BadInput("one category", field="table", mend="Give two or more.")
    share = [(sum(table[i]) + sum(row[i] for row in table)) / (2.0 * n) for i in range(k)]
    chance = sum(p * (1.0 - p) for p in share) / (k - 1)
    return (percent_agreement(table) - chance) / (1.0 - chance)


#: How far two values are apart, for Krippendorff's alpha.
DISTANCES: Mapping[str, Callable[[float, float], float]] = {
    "nominal": lambda a, b: float(a != b),
    "interval": lambda a, b: (a - b) ** 2,
}


def krippendorff_alpha(units: Sequence[Sequence[float]], *, distance: str = "nominal") -> float:
    """Krippendorff's alpha (2011): ``units`` hold the values that each item got, from however many raters.

    Items with fewer than two values say nothing. Raises BadInput where alpha does not exist.
    """
    parts = [part for unit in units if (part := _within(unit, DISTANCES[distance])) is not None]
    return _alpha(sum(d for d, _, _ in parts), _pooled(counts for _, _, counts in parts), DISTANCES[distance])


def alpha_interval(units: Sequence[Sequence[float]], *, distance: str = "nominal", level: float = 0.95) -> Interval:
    """Alpha with a jackknife interval over items, on the scale of the inverse hyperbolic tangent."""
    far = DISTANCES[distance]
    parts = [part for unit in units if (part := _within(unit, far)) is not None]
    total, pool = sum(d for d, _, _ in parts), _pooled(counts for _, _, counts in parts)
    value = _alpha(total, pool, far)
    n = len(parts)
    if n < 3 or value >= 1.0:
        return Interval(value=value, low=-1.0 if n < 3 else _all_agree(n, level, pool, far), high=1.0, n=n)
    kinds: Counter[tuple[float, tuple[tuple[float, int], ...]]] = Counter()
    for d, _, counts in parts:
        kinds[d, tuple(sorted(counts.items()))] += 1
    left: list[tuple[float, int]] = []
    for (d, held), times in kinds.items():
        rest = Counter(pool)
        rest.subtract(dict(held))
        try:
            without = _alpha(total - d, +rest, far)
        except BadInput:
            without = 1.0
        left.append((math.atanh(min(1.0 - 1e-9, max(-1.0 + 1e-9, without))), times))
    mean = sum(x * times for x, times in left) / n
    error = math.sqrt((n - 1) / n * sum(times * (x - mean) ** 2 for x, times in left))
    half = t_quantile(0.5 + level / 2.0, n - 1) * error
    at = math.atanh(max(-1.0 + 1e-9, value))
    return Interval(value=value, low=math.tanh(at - half), high=math.tanh(at + half), n=n)


def _all_agree(n: int, level: float, pool: Counter[float], far: Callable[[float, float], float]) -> float:
    """A lower end where all items agree: the share that may differ all the same (exact) over what chance gives."""
    differ = 1.0 - math.exp(math.log((1.0 - level) / 2.0) / n)
    m = sum(pool.values())
    chance = sum(ca * cb * far(a, b) for a, ca in pool.items() for b, cb in pool.items()) / (m * (m - 1))
    return max(-1.0, 1.0 - differ / chance)


def _within(unit: Sequence[float], far: Callable[[float, float], float]) -> tuple[float, int, Counter[float]] | None:
    m = len(unit)
    if m < 2:
        return None
    counts = Counter(unit)
    values = list(counts.items())
    apart = sum(ca * cb * far(a, b) for a, ca in values for b, cb in values)
    return apart / (m - 1), m, counts


def _pooled(parts: Iterable[Counter[float]]) -> Counter[float]:
    pool: Counter[float] = Counter()
    for counts in parts:
        pool.update(counts)
    return pool


def _alpha(apart: float, pool: Counter[float], far: Callable[[float, float], float]) -> float:
    n = sum(pool.values())
    values = list(pool.items())
    chance = sum(ca * cb * far(a, b) for a, ca in values for b, cb in values)
    if n < 2 or chance == 0.0:
        raise BadInput("all values are the same, so alpha does not exist", field="units", mend="Add other items.")
    return 1.0 - (n - 1) * apart / chance


def _total(table: Table) -> float:
    n = sum(map(sum, table))
    if n <= 0:
        raise BadInput("the table is empty", field="table", mend="Give at least one pair of verdicts.")
    return n
