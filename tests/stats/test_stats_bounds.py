"""Bounds against exact sums, and their coverage."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.stats import binomial_tail, lower_bound, wilson


def exact_tail(k: int, n: int, p: float) -> float:
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@given(n=st.integers(1, 120), data=st.data(), p=st.floats(0.001, 0.999))
def test_binomial_tail_is_the_sum(n: int, data: st.DataObject, p: float) -> None:
    k = data.draw(st.integers(0, n))
    assert binomial_tail(k, n, p) == pytest.approx(exact_tail(k, n, p), rel=1e-9, abs=1e-12)


def test_binomial_tail_of_large_samples() -> None:
    # Exactly, in integers: sum of comb * 23^i * 2^(n-i) over 25^n.
    exact = sum(comb(5000, i) * 23**i * 2 ** (5000 - i) for i in range(4600, 5001))
    assert binomial_tail(4600, 5000, 0.92) == pytest.approx(float(Fraction(exact, 25**5000)), rel=1e-10)
    assert binomial_tail(0, 5, 0.0) == 1.0
    assert binomial_tail(5, 5, 1.0) == 1.0
    assert binomial_tail(6, 5, 0.5) == 0.0


@given(n=st.integers(1, 200), data=st.data())
def test_clopper_pearson_solves_its_equation(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    low = lower_bound(k, n, 1e-3)
    assert 0.0 < low < k / n
    assert exact_tail(k, n, low) == pytest.approx(1e-3, rel=1e-6)


def test_all_passed() -> None:
    assert lower_bound(60, 60, 1e-3) == pytest.approx(math.exp(math.log(1e-3) / 60))
    assert lower_bound(0, 60, 1e-3) == 0.0
    assert lower_bound(0, 0, 1e-3) == 0.0


@given(n=st.integers(2, 300), share=st.floats(0.01, 0.99))
def test_graded_values_get_a_looser_bound_that_beats_the_classical_one(n: int, share: float) -> None:
    total = share * n
    graded = lower_bound(total, n, 0.01, binary=False)
    assert graded <= lower_bound(math.ceil(total), n, 0.01, binary=True) + 1e-9
    assert graded >= share - math.sqrt(math.log(100) / (2 * n)) - 1e-9


@pytest.mark.parametrize("kind", ["coin", "graded"])
def test_coverage(kind: str) -> None:
    rng = random.Random(5)
    above = 0
    for _ in range(2000):
        draws = [rng.random() for _ in range(60)]
        values = [float(d < 0.9) for d in draws] if kind == "coin" else [1 - 0.2 * d for d in draws]
        above += lower_bound(sum(values), 60, 0.05, binary=kind == "coin") > 0.9
    assert above / 2000 <= 0.06


@pytest.mark.parametrize("bad", [(-1, 5, 0.1), (6, 5, 0.1), (1, -1, 0.1), (1, 5, 0.0), (1, 5, 1.0), (math.nan, 5, 0.1)])
def test_impossible_arguments_are_refused(bad: tuple[float, int, float]) -> None:
    with pytest.raises(BadInput):
        lower_bound(*bad)


def test_wilson_against_published_values() -> None:
    # Newcombe (1998), table I, method 3 (score without continuity correction).
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@given(n=st.integers(1, 1000), data=st.data())
def test_wilson_holds_the_rate(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0.0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1.0


@given(n=st.integers(2, 20_000), part=st.floats(0.0, 1.0), alpha=st.floats(1e-9, 0.5), binary=st.booleans())
def test_a_bound_lies_at_the_error_rate_and_below_it(n: int, part: float, alpha: float, binary: bool) -> None:
    """However the search came there: a hair above it the chance is as large as was asked for, at it hardly larger."""
    successes = float(min(n - 1, max(1, round(part * n)))) if binary else min(n - 0.25, max(0.25, part * n))
    low = lower_bound(successes, n, alpha, binary=binary)

    def chance(p: float) -> float:
        if binary:
            return binomial_tail(int(successes), n, p)
        x = successes / n
        return math.exp(-n * (x * math.log(x / p) + (1.0 - x) * math.log((1.0 - x) / (1.0 - p))))

    assert 0.0 <= low < successes / n
    assert chance(max(low, 1e-300)) <= alpha * (1.0 + 1e-6)
    assert chance(min(low + 1e-9, successes / n)) >= alpha * (1.0 - 1e-6) or low + 1e-9 >= successes / n
