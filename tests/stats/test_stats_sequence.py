"""Bets on the difference of two arms: never above what is allowed, and sharp enough to be of use."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.stats import PER_ARM, Block, Blocks, ConfidenceSequence, DifferenceBet

ARM = st.lists(st.floats(0, 1), min_size=1, max_size=4)


def spread(mean: float) -> list[tuple[float, float]]:
    """A distribution on [0, 1] with this mean that is no coin: (value, chance)."""
    return [(mean / 2, 0.5), (min(1.0, mean * 1.5), 0.5)] if mean <= 2 / 3 else [(1.0, mean), (0.0, 1.0 - mean)]


@settings(max_examples=150, deadline=None)
@given(
    base=ARM,
    more=ARM,
    edge=st.floats(-0.9, 0.9),
    better=st.booleans(),
    guess=st.floats(0.01, 0.99),
)
def test_a_block_gains_nothing_on_average_where_the_hypothesis_holds(
    base: list[float], more: list[float], edge: float, better: bool, guess: float
) -> None:
    # The means of the candidate's values are set so that the arms differ by exactly the edge, however uneven they are.
    gap = sum(base) / len(base) + edge - sum(more) / len(more)
    candidate = [m + gap for m in more]
    if any(not 0.0 <= m <= 1.0 for m in candidate):
        candidate = [min(1.0, max(0.0, sum(base) / len(base) + edge))] * len(more)
        short = candidate[0] - (sum(base) / len(base) + edge)
        if short > 0 if better else short < 0:
            return  # No such arm exists on this side: the hypothesis is empty there.
    mean = 0.0
    arms = [spread(m) for m in (*base, *candidate)]
    for chosen in itertools.product(*arms):
        chance = math.prod(p for _, p in chosen)
        values = [v for v, _ in chosen]
        bet = DifferenceBet(edge, better=better)
        block = Block(
            tuple((v, 1) for v in values[: len(base)]), tuple((v, 1) for v in values[len(base) :]), guess
        )  # fmt: skip
        bet.block(block)
        mean += chance * bet.value
    assert mean <= 1.0 + 1e-9


@given(edge=st.floats(-0.9, 0.9), better=st.booleans(), worst=st.floats(-1, 1))
def test_a_pair_gains_nothing_on_average_where_the_hypothesis_holds(edge: float, better: bool, worst: float) -> None:
    # A difference of -1 or 1, or ``worst``, with the mean at the edge.
    for low, high in ((-1.0, 1.0), (min(worst, edge), 1.0), (-1.0, max(worst, edge))):
        if high <= low:
            continue
        chance = (edge - low) / (high - low)
        mean = 0.0
        for difference, p in ((high, chance), (low, 1.0 - chance)):
            bet = DifferenceBet(edge, better=better)
            bet.pair(difference)
            mean += p * bet.value
        assert mean <= 1.0 + 1e-9


def test_blocks_close_when_both_arms_are_in_and_never_mix_strata() -> None:
    cut = Blocks()
    assert [cut.add(False, 1.0, "a") for _ in range(5)] == [None] * 5
    assert [cut.add(True, 0.0, "b") for _ in range(PER_ARM)] == [None] * PER_ARM
    assert [cut.add(True, 0.0, "a") for _ in range(PER_ARM - 1)] == [None] * (PER_ARM - 1)
    block = cut.add(True, 0.5, "a")
    assert block == Block(((1.0, 5),), ((0.0, 2), (0.5, 1)), 0.9)
    later = [cut.add(arm, 1.0, "a") for arm in (False, True) for _ in range(PER_ARM)][-1]
    assert later is not None
    assert later.guess > 0.9, "the base arm's own answers moved the guess"
    with pytest.raises(BadInput, match="outside 0 to 1"):
        cut.add(True, 1.5)


def test_strata_are_bounded() -> None:
    cut = Blocks()
    closed = [cut.add(arm, 1.0, f"s{i}") for i in range(2_000) for arm in (False, True)]
    assert any(closed), "strata beyond the limit share one, which fills up"


@pytest.mark.parametrize("edge", [1.0, -1.0, 2.0, math.nan])
def test_an_edge_that_no_difference_can_have_is_refused(edge: float) -> None:
    with pytest.raises(BadInput, match="no difference"):
        DifferenceBet(edge, better=True)


def stream(rng: random.Random, base: float, candidate: float, share: float) -> tuple[bool, float]:
    exposed = rng.random() < share
    return exposed, float(rng.random() < (candidate if exposed else base))


def test_a_fall_is_told_from_few_answers_and_a_healthy_candidate_rarely() -> None:
    def until(base: float, candidate: float, seed: int, most: int) -> int:
        rng, cut, bet, n = random.Random(seed), Blocks(), DifferenceBet(0.0, better=False), 0
        while n < most and bet.value < 150.0:
            exposed, x = stream(rng, base, candidate, 0.1)
            n += exposed
            if block := cut.add(exposed, x):
                bet.block(block)
        return n if bet.peak >= 150.0 else most

    falls = sorted(until(0.92, 0.72, seed, 400) for seed in range(60))
    assert falls[30] <= 60, "20 points at the median"
    assert sum(until(0.92, 0.92, seed, 300) < 300 for seed in range(60)) <= 2


def test_the_sequence_holds_the_truth_narrows_and_never_widens() -> None:
    missed = 0
    for seed in range(40):
        rng, cut = random.Random(seed), Blocks()
        sequence = ConfidenceSequence(alpha_low=0.05, alpha_high=0.05)
        bounds = [(sequence.low, sequence.high)]
        for _ in range(2_000):
            if block := cut.add(*stream(rng, 0.9, 0.8, 0.5)):
                sequence.block(block)
                bounds.append((sequence.low, sequence.high))
        assert bounds == sorted(bounds, key=lambda b: (b[0], -b[1]))
        assert all(a[1] >= b[1] for a, b in itertools.pairwise(bounds))
        assert sequence.high - sequence.low < 0.2
        missed += not sequence.low <= -0.1 <= sequence.high
    assert missed <= 8, "at most 10 % of 40, and some chance"


def test_the_ends_agree_with_the_bets_that_decide() -> None:
    rng, cut = random.Random(4), Blocks()
    sequence = ConfidenceSequence(alpha_low=0.05, alpha_high=0.01)
    harm, calm = DifferenceBet(0.0, better=False), DifferenceBet(-0.3, better=True)
    told = []
    for _ in range(3_000):
        if block := cut.add(*stream(rng, 0.92, 0.8, 0.2)):
            for bet in (harm, calm):
                bet.block(block)
            sequence.block(block)
            told.append((harm.peak >= 100.0, sequence.high <= 0.0, calm.peak >= 20.0, sequence.low >= -0.3))
    first = [next(i for i, row in enumerate(told) if row[k]) for k in range(4)]
    assert abs(first[0] - first[1]) <= 2
    assert abs(first[2] - first[3]) <= 2


def test_pairs_count_only_where_they_differ() -> None:
    bet = DifferenceBet(0.0, better=False)
    for _ in range(100):
        bet.pair(0.0)
    assert bet.value == pytest.approx(1.0)
    for _ in range(30):
        bet.pair(-1.0)
    assert bet.value > 1e6
    assert bet.peak == bet.value
    sequence = ConfidenceSequence(alpha_low=0.05, alpha_high=0.05)
    for _ in range(200):
        sequence.pair(0.0)
    assert -0.05 < sequence.low < 0.0 < sequence.high < 0.05


def test_growth_tells_how_many_answers_are_to_come() -> None:
    calm = DifferenceBet(-0.1, better=True)
    assert calm.growth(0.9, 0.9, 6, 6) > calm.growth(0.9, 0.85, 6, 6) > 0.0
    assert calm.growth(0.9, 0.78, 6, 6) <= 0.0, "a candidate that is worse by more than the margin never passes"
    assert calm.growth_of_pairs(0.05, 0.05) > 0.0 > calm.growth_of_pairs(0.0, 0.2)
