"""The stratified difference: right where pooling is wrong, and honest about what it does not know."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats import Stratum, difference_interval


def stratum(n1: int, s1: float, n0: int, s0: float) -> Stratum:
    return Stratum(n_exposed=n1, sum_exposed=s1, n_unexposed=n0, sum_unexposed=s0)


def test_simpson() -> None:
    # Each slice is equal in both arms; pooled, the exposed arm looks 48 points worse because it has the hard slice.
    estimate = difference_interval([stratum(900, 450, 100, 50), stratum(100, 99, 900, 891)])
    assert estimate is not None
    assert estimate.value == pytest.approx(0.0, abs=1e-12)
    assert estimate.low < 0 < estimate.high
    assert (estimate.n_exposed, estimate.n_unexposed) == (1000, 1000)


def test_one_armed_strata_say_nothing() -> None:
    assert difference_interval([stratum(10, 5, 0, 0), stratum(0, 0, 10, 5)]) is None
    assert difference_interval([]) is None
    estimate = difference_interval([stratum(10, 5, 0, 0), stratum(10, 5, 10, 9)])
    assert estimate is not None
    assert estimate.value == pytest.approx(-0.4)
    assert estimate.n_exposed == 10


@pytest.mark.parametrize(("sizes", "drop"), [((200, 300), 0.1), ((4, 6), 0.3), ((50, 20), 0.0)])
def test_coverage(sizes: tuple[int, int], drop: float) -> None:
    rng = random.Random(11)
    covered = 0
    for _ in range(600):
        strata = []
        for rate in (0.95, 0.8, 0.6, 0.9):
            s1 = sum(rng.random() < rate - drop for _ in range(sizes[0]))
            s0 = sum(rng.random() < rate for _ in range(sizes[1]))
            strata.append(stratum(sizes[0], s1, sizes[1], s0))
        estimate = difference_interval(strata)
        assert estimate is not None
        covered += estimate.low <= -drop <= estimate.high
    assert covered / 600 >= 0.93


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.floats(0, 1), st.integers(0, 50), st.floats(0, 1)), min_size=1, max_size=8
    )
)
def test_interval_is_in_order_and_in_range(parts: list[tuple[int, float, int, float]]) -> None:
    estimate = difference_interval([stratum(a, a * p, b, b * q) for a, p, b, q in parts])
    if estimate is None:
        assert all(a == 0 or b == 0 for a, _, b, _ in parts)
    else:
        assert -1.0 <= estimate.low <= estimate.value + 1e-12
        assert estimate.value - 1e-12 <= estimate.high <= 1.0
