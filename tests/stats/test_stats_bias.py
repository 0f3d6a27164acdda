"""Bias diagnostics: equal to scipy and statsmodels, and quiet on judges without a bias."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from trimtab.core import BadInput
from trimtab.stats import (
    BothOrders,
    FeatureVerdict,
    feature_bias,
    fisher_exact,
    flip_rate,
    holm,
    lean_bias,
    position_bias,
)


@given(*[st.integers(0, 40)] * 4)
def test_fisher_equals_scipy(a: int, b: int, c: int, d: int) -> None:
    assert fisher_exact(a, b, c, d) == pytest.approx(float(stats.fisher_exact([[a, b], [c, d]])[1]), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(values: list[float]) -> None:
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist(), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=30), st.lists(st.integers(0, 9), min_size=2, max_size=30))
def test_one_stratum_equals_mann_whitney(passed: list[int], failed: list[int]) -> None:
    if len({*passed, *failed}) < 2:
        return
    rows = [FeatureVerdict(float(x), True, True) for x in passed]
    rows += [FeatureVerdict(float(x), False, True) for x in failed]
    found = feature_bias("length", rows)
    test = stats.mannwhitneyu(passed, failed, method="asymptotic", use_continuity=False)
    assert found is not None
    assert found.p == pytest.approx(float(test.pvalue), abs=1e-9)
    assert found.effect == pytest.approx(2 * test.statistic / (len(passed) * len(failed)) - 1, abs=1e-9)


def test_position_is_the_exact_sign_test() -> None:
    pairs = [BothOrders("a", "b")] * 12 + [BothOrders("b", "a")] * 2 + [BothOrders("a", "a")] * 30
    found = position_bias(pairs)
    assert found.p == pytest.approx(stats.binomtest(12, 14).pvalue, abs=1e-12)
    assert found.effect == pytest.approx(10 / 44)
    assert flip_rate(pairs).value == pytest.approx(14 / 44)
    # A tie in one order and the first place in the other is half a pull, and counts as one.
    assert position_bias([BothOrders("a", "tie"), BothOrders("tie", "b")]).effect == 1.0
    with pytest.raises(BadInput):
        position_bias([])


def test_a_judge_worse_than_a_coin_on_one_side_leans() -> None:
    """Wrong on 38 of 41 pairs whose better answer is shorter, and only 4 pairs the other way."""
    found = lean_bias("length", 0, 4, 3, 41)
    assert found.p < 1e-6
    assert found.effect == pytest.approx(38 / 41 - 0.5)
    away = lean_bias("length", 3, 41, 0, 4)
    assert away.effect < -0.4
    with pytest.raises(BadInput):
        lean_bias("length", 0, 0, 0, 0)


def test_unbiased_judges_are_rarely_accused() -> None:
    rng = random.Random(4)
    accused = {"position": 0, "length": 0, "feature": 0}
    runs = 400
    for _ in range(runs):
        pairs = [
            BothOrders(rng.choice("ab"), rng.choice("ab")) if rng.random() < 0.3 else BothOrders("a", "a")
            for _ in range(100)
        ]
        accused["position"] += position_bias(pairs).p < 0.05
        right = [sum(rng.random() < 0.8 for _ in range(n)) for n in (30, 70)]
        accused["length"] += lean_bias("length", right[0], 30, right[1], 70).p < 0.05
        rows = []
        for _ in range(150):
            people = rng.random() < 0.7
            length = rng.gauss(0.5 if people else 0.0, 1.0)  # people's good outputs are longer; the judge errs blindly
            rows.append(FeatureVerdict(length, people if rng.random() < 0.85 else not people, people))
        bias = feature_bias("length", rows)
        accused["feature"] += bias is not None and bias.p < 0.05
    assert all(count / runs <= 0.05 + 0.03 for count in accused.values()), accused


def test_a_judge_that_follows_length_is_found() -> None:
    rng = random.Random(5)
    rows = []
    for _ in range(200):
        people, length = rng.random() < 0.5, rng.gauss(0.0, 1.0)
        rows.append(FeatureVerdict(length, (1.0 if people else -1.0) + 1.5 * length > 0.0, people))
    found = feature_bias("length", rows)
    assert found is not None
    assert found.p < 1e-6
    assert found.low > 0.3
    assert feature_bias("length", [FeatureVerdict(1.0, True, True)] * 5) is None


def test_pairs_that_all_differ_one_way_are_told_of_and_a_judge_that_is_right_on_them_is_not_accused() -> None:
    for right_with, n_with, right_against, n_against in ((29, 29, 0, 0), (0, 0, 29, 29), (15, 29, 0, 0)):
        found = lean_bias("length", right_with, n_with, right_against, n_against)
        assert found.p > 0.5
        assert found.n == 29
    assert lean_bias("length", 0, 0, 2, 29).p < 0.001
