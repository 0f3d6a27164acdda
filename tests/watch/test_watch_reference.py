"""How a reference grows: what it learns, what it does not, and what its bounds promise."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats import EDetector
from trimtab.watch.pooled import bounds, on_grid, rounded
from trimtab.watch.reference import MOST, Reference


def feed(reference: Reference, values: Iterable[float], *, suspected: bool = False) -> Reference:
    """As a stream does it."""
    for value in values:
        reference.left -= 1
        if value < 1.0:
            reference.lost(value, reference.left)
        if reference.left == 0:
            reference.full(suspected)
    return reference


def coins(rng: random.Random, n: int, rate: float) -> list[float]:
    return [float(rng.random() < rate) for _ in range(n)]


def test_a_healthy_reference_grows_and_its_bound_comes_near_its_mean() -> None:
    rng = random.Random(1)
    reference, gaps = Reference(60), []
    for n in (60, 2000, 20_000):
        feed(reference, coins(rng, n, 0.92))
        gaps.append(reference.mean - reference.low)
    assert reference.n == MOST
    assert reference.mean == pytest.approx(0.92, abs=0.01)
    assert gaps[0] > 0.08
    assert gaps[1] < 0.04
    assert gaps[2] < 0.012


def test_a_bound_is_hardly_ever_above_the_truth_at_any_time() -> None:
    wrong = 0
    for seed in range(200):
        reference = feed(Reference(60), coins(random.Random(seed), 1500, 0.9))
        wrong += reference.low > 0.9
    assert wrong <= 5  # .005 of 200 is 1; six or more have a chance below one in a thousand


def test_a_slow_fall_is_not_learnt() -> None:
    rng = random.Random(3)
    reference = feed(Reference(60), coins(rng, 1000, 0.95))
    height = reference.low
    for step in range(40):
        feed(reference, coins(rng, 250, 0.95 - 0.005 * step))
        assert reference.low >= height
    assert reference.low > 0.9


def test_a_sudden_fall_moves_neither_mean_nor_bound() -> None:
    rng = random.Random(4)
    reference = feed(Reference(60), coins(rng, 500, 0.95))
    before = reference.mean
    feed(reference, coins(rng, 3000, 0.5))
    assert reference.mean == before
    other = feed(Reference(60), coins(rng, 461, 0.95))
    known = other.n
    feed(other, coins(rng, 3000, 0.95), suspected=True)
    assert other.n == known


def test_after_an_alarm_it_gathers_anew_and_keeps_what_it_knew() -> None:
    rng = random.Random(5)
    reference = feed(Reference(60), coins(rng, 700, 0.95))
    known = (reference.n, reference.mean, reference.low)
    feed(reference, coins(rng, 100, 0.2))
    reference.again()
    assert (reference.n, reference.mean, reference.low) == known
    feed(reference, coins(rng, 6000, 0.95))
    assert reference.n > known[0]


def test_sessions_that_share_their_luck_make_the_bound_lower() -> None:
    rng = random.Random(6)
    alone = feed(Reference(60), coins(rng, 4000, 0.9))
    together: list[float] = []
    while len(together) < 4000:
        together += coins(rng, 8, rng.choice([0.8, 1.0]))
    shared = feed(Reference(60), together[:4000])
    assert shared.inflated > 1.2
    assert alone.inflated < 1.4
    assert shared.mean - shared.low > alone.mean - alone.low


@given(st.lists(st.sampled_from([1.0, 1.0, 1.0, 0.0, 0.5]), min_size=1, max_size=400), st.integers(1, 399))
def test_a_restart_anywhere_changes_nothing(values: list[float], at: int) -> None:
    whole = feed(Reference(20), values)
    half = feed(Reference(20), values[:at])
    again = Reference(20)
    again.restore(json.loads(json.dumps(half.state())))
    feed(again, values[at:])
    assert again.state() == whole.state()


def test_slices_together_give_up_less_than_each_apart() -> None:
    rng = random.Random(7)
    parts = [(feed(Reference(60), coins(rng, 400, 0.9)), 100.0) for _ in range(12)]
    own = sum(reference.low for reference, _ in parts) / 12
    found = bounds(parts)
    assert own + 0.01 < sum(found) / 12 < sum(reference.mean for reference, _ in parts) / 12
    assert bounds(parts[:1]) == [parts[0][0].low]
    rare = bounds([*parts[:-1], (parts[-1][0], 0.0)])
    assert rare[-1] > found[-1], "who hardly comes has little to give up"


@pytest.mark.parametrize("mix", [[1.0] * 8, [8.0] + [0.5] * 7, [4.0, 4.0] + [0.1] * 6])
def test_bounds_of_slices_together_hold_on_average_over_the_mix(mix: list[float]) -> None:
    wrong = 0
    for seed in range(120):
        rng = random.Random(seed)
        rates = [0.8 + 0.02 * i for i in range(8)]
        parts = [(feed(Reference(60), coins(rng, 200, rate)), w) for rate, w in zip(rates, mix, strict=True)]
        lows = bounds(parts)
        wrong += sum(w * (low - rate) for w, low, rate in zip(mix, lows, rates, strict=True)) > 0
    assert wrong <= 2


@given(st.floats(0.0, 1.0))
def test_a_rounded_bound_is_lower_by_a_twentieth_of_its_distance(low: float) -> None:
    found = rounded(low)
    assert 0.0 <= found <= low + 1e-12
    assert 1.0 - found <= (1.0 - low) * 1.0501 + 1e-12


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.01, 1.0)), min_size=1, max_size=30))
def test_bounds_on_the_grid_are_no_higher_on_average_and_each_is_near_its_own(
    slices: list[tuple[float, float]],
) -> None:
    lows, shares = [low for low, _ in slices], [share for _, share in slices]
    found = on_grid(lows, shares)
    assert sum(w * (new - low) for w, new, low in zip(shares, found, lows, strict=True)) <= 1e-9
    for new, low in zip(found, lows, strict=True):
        assert 0.0 <= new <= 1.0
        assert (1.0 - low) / 1.0501 - 1e-12 <= 1.0 - new <= (1.0 - low) * 1.0501 + 1e-12


def test_bounds_on_the_grid_are_shared_and_give_up_little() -> None:
    rng = random.Random(11)
    lows = [rng.uniform(0.85, 0.95) for _ in range(25)]
    found = on_grid(lows, [0.04] * 25)
    assert len(set(found)) < 25
    assert sum(lows) / 25 - sum(found) / 25 < 0.0005
    assert sum(lows) / 25 - sum(map(rounded, lows)) / 25 > 0.001, "rounded down throughout"


@given(st.lists(st.tuples(st.sampled_from([0.95, 0.9, 0.8]), st.booleans()), min_size=1, max_size=200))
def test_ones_taken_later_leave_no_more_evidence_than_one_step_at_a_time(
    seen: list[tuple[float, bool]],
) -> None:
    exact, lazy = EDetector(1e6, 0.9), EDetector(1e6, 0.9)
    waiting: dict[float, int] = {}
    for low, passed in seen:
        exact.update(float(passed), low)
        if passed:
            waiting[low] = waiting.get(low, 0) + 1
            continue
        lazy.passed([(n, m0) for m0, n in sorted(waiting.items(), reverse=True)])
        waiting.clear()
        lazy.update(0.0, low)
        assert lazy.value <= exact.value * (1 + 1e-9)
    if len({low for low, _ in seen}) == 1:
        lazy.passed([(n, m0) for m0, n in waiting.items()])
        assert lazy.value == pytest.approx(exact.value)
        assert lazy.n_since == exact.n_since
