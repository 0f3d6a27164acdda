"""The bets on one endpoint: a swap is found at once, a year of wobbling health is quiet."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.probes import Answer, Drift, Input, frozen
from trimtab.probes.drift import KEPT, is_far, logprob_distance

A_YEAR = 365 * 24 * 8
THRESHOLD = 2.0 * A_YEAR


def drawn(rng: random.Random, shares: Mapping[str, float]) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


def mind(rng: random.Random, model: str, inputs: int) -> list[dict[str, float]]:
    """What a model answers to each border input: mostly two tokens, now and then a third."""
    found = []
    for at in range(inputs):
        lean = rng.uniform(0.3, 0.7)
        found.append({f"{model}-{at}a": lean, f"{model}-{at}b": 0.97 - lean, "rare": 0.03})
    return found


def watched(rng: random.Random, shares: list[dict[str, float]], *, tolerance: float = 0.2, n: int = 20) -> Drift:
    inputs = [frozen(f"input {at}", [drawn(rng, one) for _ in range(n)], []) for at, one in enumerate(shares)]
    return Drift(inputs, tolerance=tolerance, threshold=THRESHOLD)


def probes_until(drift: Drift, rng: random.Random, shares: list[dict[str, float]], most: int = 500) -> int:
    for number in range(1, most + 1):
        at = drift.draw(rng)
        drift.take(Answer(at=at, token=drawn(rng, shares[at])))
        if drift.swapped:
            return number
    return most + 1


def test_a_swapped_model_is_found_within_fifty_probes() -> None:
    needed = []
    for seed in range(60):
        rng = random.Random(seed)
        healthy = mind(rng, "old", 10)
        drift = watched(rng, healthy)
        assert probes_until(drift, rng, healthy, most=200) == 201, f"healthy, seed {seed}"
        needed.append(probes_until(drift, rng, mind(rng, "new", 10)))
    assert max(needed) <= 50
    assert sorted(needed)[len(needed) // 2] <= 25


def test_a_model_that_answers_with_the_same_two_tokens_but_leans_the_other_way_is_found() -> None:
    rng = random.Random(2)
    healthy = [{"a": 0.9, "b": 0.1} for _ in range(10)]
    drift = watched(rng, healthy)
    assert probes_until(drift, rng, [{"a": 0.1, "b": 0.9} for _ in range(10)]) <= 120


def test_a_year_of_health_with_a_wobble_every_day_raises_no_alarm() -> None:
    rng = random.Random(7)
    healthy = mind(rng, "old", 10)
    drift = watched(rng, healthy)
    for _day in range(365):
        # Each day every input leans a little elsewhere, up to .15 in total variation: as recorded endpoints do.
        today = [_leaning(rng, one) for one in healthy]
        for _ in range(24 * 8):
            at = drift.draw(rng)
            drift.take(Answer(at=at, token=drawn(rng, today[at])))
    assert not drift.swapped
    assert drift.distance <= 0.2


def _leaning(rng: random.Random, shares: Mapping[str, float]) -> dict[str, float]:
    first, second, *rest = shares
    moved = rng.uniform(-0.12, 0.12)
    return {
        first: max(0.0, shares[first] + moved), second: max(0.0, shares[second] - moved),
        **{name: shares[name] for name in rest}, "stray": rng.uniform(0.0, 0.03),
    }  # fmt: skip


def test_a_part_of_the_traffic_that_goes_elsewhere_is_a_warning_and_no_alarm() -> None:
    rng = random.Random(4)
    healthy, other = [{"same": 1.0} for _ in range(10)], mind(rng, "new", 10)
    drift = watched(rng, healthy, n=60)
    for _ in range(1500):
        at = drift.draw(rng)
        drift.take(Answer(at=at, token=drawn(rng, other[at] if rng.random() < 0.16 else healthy[at])))
    assert drift.moved
    assert not drift.swapped


def test_what_was_proven_is_proven_again_after_a_restart() -> None:
    rng = random.Random(1)
    drift = watched(rng, mind(rng, "old", 5))
    probes_until(drift, rng, mind(rng, "new", 5), most=12)
    again = Drift(drift.inputs, tolerance=0.2, threshold=THRESHOLD, seen=drift.seen)
    assert again.evidence == pytest.approx(drift.evidence)
    assert again.distance == pytest.approx(drift.distance)
    assert len(drift.seen) <= KEPT


def test_answers_to_inputs_that_are_gone_are_passed_over() -> None:
    drift = Drift([frozen("a", ["x"] * 9, [])], tolerance=0.2, threshold=100.0, seen=[Answer(at=7, token="y")])
    assert not drift.seen


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40), st.lists(st.sampled_from("abcdz"), max_size=80))
def test_the_distance_is_a_share_and_the_evidence_never_negative(reference: list[str], answers: list[str]) -> None:
    drift = Drift([frozen("in", reference, [])], tolerance=0.2, threshold=1000.0)
    for token in answers:
        drift.take(Answer(at=0, token=token))
    assert 0.0 <= drift.distance <= 1.0
    assert drift.evidence >= 0.0


def test_log_probabilities_that_lie_further_off_than_the_reference_are_told() -> None:
    rows = [{"a": -0.5 + 0.01 * i, "b": -1.5 - 0.01 * i} for i in range(5)]
    one = frozen("in", ["a"] * 5, rows)
    assert one.logprobs == pytest.approx({"a": -0.48, "b": -1.52})
    assert not is_far(one, {"a": -0.49, "b": -1.53})
    assert is_far(one, {"a": -1.5, "b": -0.5})
    assert not is_far(one, {}), "a provider that stops giving them says nothing of its model"
    assert logprob_distance({"a": -1.0, "b": -2.0}, {"a": -1.0, "c": -3.0}) == pytest.approx(0.5)


def test_log_probabilities_are_used_only_where_every_answer_brings_them() -> None:
    assert frozen("in", ["a"] * 4, [{"a": -1.0}] * 3).logprobs == {}
    assert frozen("in", ["a"] * 4, [{"a": -1.0}, {}, {"a": -1.0}, {"a": -1.0}]).logprobs == {}


def test_what_the_reference_leaves_open_shrinks_with_its_size() -> None:
    one = Input(text="in", counts={"a": 19, "b": 1}, logprobs={})
    assert one.n == 20
    assert one.border
    assert one.unseen == pytest.approx(2 / 21)
    assert Input(text="in", counts={"a": 99}, logprobs={}).unseen == pytest.approx(0.01)
