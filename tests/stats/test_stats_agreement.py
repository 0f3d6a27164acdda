"""Agreement: equal to independent implementations, with intervals that hold what they say."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from trimtab.core import BadInput
from trimtab.stats import (
    alpha_interval,
    cohen_kappa,
    confusion,
    design_effect,
    deviance,
    fleiss_kappa,
    gwet_ac1,
    kappa_interval,
    kappa_lower,
    kappa_standard_error,
    kappa_upper,
    krippendorff_alpha,
    look_alpha,
    percent_agreement,
)

TABLES = st.integers(2, 4).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 40), min_size=k, max_size=k), min_size=k, max_size=k)
)
# Krippendorff (2011), Computing Krippendorff's alpha-reliability, example C: 4 observers, 12 units, values missing.
KRIPPENDORFF = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def units() -> list[list[float]]:
    rows = [row.split() for row in KRIPPENDORFF]
    return [[float(row[i]) for row in rows if row[i] != "."] for i in range(12)]


def cells(kappa: float, p: float) -> list[float]:
    """Both fail, one, the other, both pass: two raters who fail the share p each and agree with this kappa."""
    both = (2.0 * p - (2.0 * p - 2.0 * p * p) * (1.0 - kappa)) / 2.0
    return [both, p - both, p - both, 1.0 - 2.0 * p + both]


@given(TABLES, st.sampled_from(["none", "linear", "quadratic"]))
def test_kappa_equals_scikit_learn(table: list[list[int]], weights: str) -> None:
    pairs = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    used = {i for i, _ in pairs} | {j for _, j in pairs}
    if len(used) < 2:
        return
    mine = cohen_kappa(table, weights)
    first, second = zip(*pairs, strict=True)
    theirs = cohen_kappa_score(first, second, labels=range(len(table)), weights=None if weights == "none" else weights)
    assert mine == pytest.approx(theirs, abs=1e-9)
    assert percent_agreement(table) == pytest.approx(np.trace(np.array(table)) / len(pairs), abs=1e-12)


@given(TABLES)
def test_standard_error_and_fleiss_equal_statsmodels(table: list[list[int]]) -> None:
    full = [[n + 1 for n in row] for row in table]
    theirs = inter_rater.cohens_kappa(np.array(full))
    assert kappa_standard_error(full) == pytest.approx(theirs.std_kappa, abs=1e-9)
    ratings = [[sum(row), *row] for row in full]
    most = max(map(sum, ratings))
    ratings = [[most - sum(row) + row[0], *row[1:]] for row in ratings]
    assert fleiss_kappa(ratings) == pytest.approx(inter_rater.fleiss_kappa(np.array(ratings)), abs=1e-9)


def test_krippendorff_equals_the_published_example() -> None:
    assert krippendorff_alpha(units()) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(units(), distance="interval") == pytest.approx(0.849, abs=5e-4)
    interval = alpha_interval(units())
    assert interval.n == 11
    assert -1.0 <= interval.low < interval.value < interval.high <= 1.0


def test_gwet_ac1_equals_its_formula() -> None:
    # Gwet (2008), by hand: agreement .9, both categories' mean share .95 and .05, chance 2 * .95 * .05.
    assert gwet_ac1([[90, 5], [5, 0]]) == pytest.approx((0.9 - 0.095) / (1.0 - 0.095), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 60), min_size=4, max_size=4), st.floats(0.01, 0.2))
def test_bounds_are_in_order_and_where_the_deviance_says(flat: list[int], alpha: float) -> None:
    a, b, c, d = flat
    table = [[a, b], [c, d]]
    if min(a + b, c + d) == 0 and min(a + c, b + d) == 0:
        return
    if sum(flat) < 5:  # of so few labels the fit does not come together far from the peak, and nobody asks for them
        return
    interval = kappa_interval(table)
    assert -1.0 <= interval.low <= interval.value <= interval.high <= 1.0
    assert kappa_lower(table, alpha=alpha) <= interval.value <= kappa_upper(table, alpha=alpha)
    assert kappa_lower(table, alpha=alpha / 2) <= kappa_lower(table, alpha=alpha) + 1e-9
    for end in (interval.low, interval.high):
        if -0.8 < end < 0.99 and end != interval.value:
            assert deviance(table, end) == pytest.approx(1.959964**2, abs=1e-3)


def test_deviance_is_the_best_multinomial_with_that_kappa() -> None:
    """Against a brute search over both raters' shares."""
    table, kappa = [[30, 4], [7, 59]], 0.6
    counts = np.array(table, dtype=float).ravel() + 0.25
    p, q = np.meshgrid(np.linspace(0.2, 0.55, 1401), np.linspace(0.2, 0.55, 1401))
    both = (p + q - (p + q - 2 * p * q) * (1 - kappa)) / 2
    cell = np.stack([both, p - both, q - both, 1 - p - q + both])
    logs = np.where((cell > 0).all(axis=0), (counts[:, None, None] * np.log(np.maximum(cell, 1e-300))).sum(0), -np.inf)
    best = float((counts * np.log(counts / counts.sum())).sum())
    assert deviance(table, kappa) == pytest.approx(2 * (best - logs.max()), abs=1e-3)


@pytest.mark.parametrize("n", [200, 500])
@pytest.mark.parametrize("p", [0.5, 0.2, 0.1])
def test_interval_covers(n: int, p: float) -> None:
    """93 to 97 % at kappas of .6 to .95, and the one-sided bound is too high at most one time in twenty."""
    rng = np.random.default_rng(7)
    for kappa in (0.6, 0.8, 0.95):
        drawn, times = np.unique(rng.multinomial(n, cells(kappa, p), size=800), axis=0, return_counts=True)
        held = bold = 0
        for (a, b, c, d), count in zip(drawn.tolist(), times.tolist(), strict=True):
            table = [[a, b], [c, d]]
            lost = deviance(table, kappa)
            held += count * (lost <= 1.959964**2)
            bold += count * (lost > 1.644854**2 and cohen_kappa(table) > kappa)
        noise = 3.0 * math.sqrt(0.05 * 0.95 / 800)
        assert 0.93 - noise <= held / 800 <= 0.97 + noise
        assert bold / 800 <= 0.05 + noise


def test_clustered_labels_count_less() -> None:
    rng = random.Random(3)
    pairs, clusters = [], []
    for group in range(60):
        truth = int(rng.random() < 0.5)
        judge = truth if rng.random() < 0.9 else 1 - truth
        pairs += [(truth, judge)] * 5
        clusters += [group] * 5
    effect = design_effect(pairs, clusters, 2)
    assert effect == pytest.approx(5.0, rel=0.1)  # five copies of each label are one label
    table = confusion(pairs, (0, 1))
    once = confusion(pairs[::5], (0, 1))
    wide, same = kappa_interval(table, design=effect), kappa_interval(once)
    assert wide.high - wide.low == pytest.approx(same.high - same.low, rel=0.15)
    assert design_effect(pairs, range(300), 2) == pytest.approx(1.0)


def test_what_does_not_exist_is_refused() -> None:
    for table in ([[9, 0], [0, 0]], [[0, 0], [0, 0]]):
        with pytest.raises(BadInput):
            cohen_kappa(table)
    with pytest.raises(BadInput):
        krippendorff_alpha([[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(BadInput):
        confusion([("a", "b")], ["a"])
    with pytest.raises(BadInput):
        kappa_interval([[5, 1], [1, 5]], design=0.5)
    with pytest.raises(BadInput):
        fleiss_kappa([[2, 0], [3, 0]])


def test_perfect_agreement_is_not_certainty() -> None:
    few, many = kappa_interval([[5, 0], [0, 5]]), kappa_interval([[500, 0], [0, 500]])
    assert few.value == few.high == 1.0
    assert few.low < 0.6
    assert many.low > 0.98
    alike = alpha_interval([[1.0, 1.0]] * 30 + [[0.0, 0.0]] * 30)
    assert alike.value == 1.0
    assert 0.8 < alike.low < 0.95


@given(st.integers(1, 60))
def test_all_looks_share_one_error_rate(looks: int) -> None:
    spent = [look_alpha(k, 0.05) for k in range(1, looks + 1)]
    assert sum(spent) <= 0.05 + 1e-12
    assert spent == sorted(spent, reverse=True)
    assert spent[0] == pytest.approx(0.04)
