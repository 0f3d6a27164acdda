"""The band of a level: its coverage, its direction, its tolerance."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.watch import band_of


@pytest.mark.parametrize("worse", ["up", "down", "either"])
@pytest.mark.parametrize("n", [20, 60, 500])
def test_the_bound_is_below_the_true_coverage_as_often_as_it_says(worse: str, n: int) -> None:
    draw = random.Random(f"{worse}{n}")
    alpha, misses, covered = 0.05, 0, 0.0
    rounds = 2000
    for _ in range(rounds):
        band = band_of([draw.random() for _ in range(n)], worse, 0.0, alpha)  # type: ignore[arg-type]
        share = min(1.0, band.high) - max(0.0, band.low)  # of a uniform value
        misses += share < band.bound
        covered += share
    assert misses / rounds < alpha + 3 * math.sqrt(alpha * (1 - alpha) / rounds)
    assert misses / rounds > alpha - 3 * math.sqrt(alpha * (1 - alpha) / rounds)
    assert covered / rounds == pytest.approx(band.mean, abs=0.01)


@given(
    st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=60),
    st.sampled_from(["up", "down", "either"]),
)
def test_a_wider_band_holds_whatever_a_narrow_one_holds(values: list[float], worse: str) -> None:
    narrow = band_of(values, worse, 0.0, 0.01)  # type: ignore[arg-type]
    wide = band_of(values, worse, 0.5, 0.01)  # type: ignore[arg-type]
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high
    assert 0.0 <= narrow.bound <= narrow.mean <= 1.0
    assert sum(narrow.holds(value) for value in values) >= 0.5 * len(values) - 1


def test_only_the_bad_direction_is_outside() -> None:
    values = [float(n) for n in range(100)]
    slow, thin, other = (band_of(values, worse, 0.1, 0.01) for worse in ("up", "down", "either"))
    assert (slow.holds(-1000.0), slow.holds(1000.0)) == (1.0, 0.0)
    assert (thin.holds(-1000.0), thin.holds(1000.0)) == (0.0, 1.0)
    assert (other.holds(-1000.0), other.holds(50.0), other.holds(1000.0)) == (0.0, 1.0, 0.0)


def test_a_constant_is_its_own_band() -> None:
    band = band_of([3.0] * 60, "either", 0.0, 0.001)
    assert (band.holds(3.0), band.holds(3.1)) == (1.0, 0.0)


def test_nothing_has_no_band() -> None:
    with pytest.raises(BadInput, match="a band of nothing"):
        band_of([], "up", 0.0, 0.01)
