"""Distributions and intervals: equal to scipy and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from trimtab.core import BadInput
from trimtab.stats import (
    binomial_two_sided,
    clustered_variance,
    incomplete_beta,
    mean_interval,
    newcombe_difference,
    normal_cdf,
    normal_quantile,
    rate_interval,
    t_cdf,
    t_quantile,
)


@given(st.floats(0.05, 400), st.floats(0.05, 400), st.floats(0, 1))
def test_incomplete_beta_equals_scipy(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-9)


@given(st.floats(-30, 30), st.floats(1, 500))
def test_t_equals_scipy(x: float, df: float) -> None:
    assert t_cdf(x, df) == pytest.approx(stats.t.cdf(x, df), abs=1e-9)
    assert normal_cdf(x) == pytest.approx(stats.norm.cdf(x), abs=1e-12)


@given(st.floats(0.001, 0.999), st.integers(1, 300))
def test_quantiles_equal_scipy(p: float, df: int) -> None:
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9, abs=1e-9)
    assert normal_quantile(p) == pytest.approx(stats.norm.ppf(p), abs=1e-9)


@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_test_equals_scipy(k: int, more: int) -> None:
    n = k + more
    expected = stats.binomtest(k, n).pvalue if n else 1.0
    assert binomial_two_sided(k, n) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=6, max_size=60))
def test_clustered_error_equals_statsmodels(rows: list[tuple[float, int]]) -> None:
    values, groups = [x for x, _ in rows], [g for _, g in rows]
    if len(set(groups)) < 2:
        return
    fit = sm.OLS(np.array(values), np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(groups), "use_correction": True}
    )
    variance, count = clustered_variance(values, groups)
    assert math.sqrt(variance) == pytest.approx(float(fit.bse[0]), abs=1e-9)
    assert count == len(set(groups))


def test_mean_interval_equals_scipy() -> None:
    values = [0.2, 0.4, 0.9, 0.3, 0.7]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    interval = mean_interval(values)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


@given(st.integers(1, 200), st.floats(0, 1))
def test_rate_interval_of_a_coin_is_wilsons(n: int, share: float) -> None:
    k = round(share * n)
    interval = rate_interval([1.0] * k + [0.0] * (n - k))
    if n == 1:
        assert (interval.low, interval.high) == (0.0, 1.0)
        return
    low, high = proportion_confint(k, n, method="wilson")
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


@given(st.integers(1, 80), st.integers(1, 80), st.floats(0, 1), st.floats(0, 1))
def test_newcombe_equals_statsmodels(n1: int, n2: int, s1: float, s2: float) -> None:
    k1, k2 = round(n1 * s1), round(n2 * s2)
    low, high = confint_proportions_2indep(k1, n1, k2, n2, method="newcomb", compare="diff")
    interval = newcombe_difference(k1, n1, k2, n2)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_rate_interval_covers_with_clusters() -> None:
    """Clusters of five that share their luck: the clustered interval holds, the one that ignores them does not."""
    rng = np.random.default_rng(5)
    held = blind = 0
    for _ in range(400):
        luck = rng.beta(2.0, 0.5, 60)
        values = (rng.random((60, 5)) < luck[:, None]).astype(float).ravel().tolist()
        groups = [i // 5 for i in range(300)]
        interval = rate_interval(values, groups)
        held += interval.low <= 0.8 <= interval.high
        plain = rate_interval(values)
        blind += plain.low <= 0.8 <= plain.high
    assert 0.92 <= held / 400 <= 0.98
    assert blind / 400 < 0.85


def test_bad_input_is_named() -> None:
    with pytest.raises(BadInput, match="no values"):
        clustered_variance([])
    with pytest.raises(BadInput, match="outside 0 to 1"):
        rate_interval([1.5])
    with pytest.raises(BadInput, match="clusters"):
        clustered_variance([1.0, 0.0], ["a"])
    with pytest.raises(BadInput, match="level"):
        mean_interval([1.0, 0.0], level=1.0)
    assert rate_interval([1.0, 0.0], ["a", "a"]).high == 1.0
