"""Sampling of live answers: it rises with evidence, stays unbiased, and keeps to its budget."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from trimtab.core import BadInput, Score
from trimtab.evals import WARNING, Sampling, Spending, live_rates, weight_of, weighted_rate
from trimtab.evals.sampling import drawn_label

DAY = 86_400 * 10**9


class Clock:
    def __init__(self) -> None:
        self.ns = 20_000 * DAY

    def __call__(self) -> int:
        return self.ns


def make(**more: Any) -> tuple[Sampling, Clock]:
    clock = Clock()
    return Sampling(0.1, rng=random.Random(3).random, clock=clock, **more), clock


def score(value: float, *, p: float = 1.0, trace: str = "t", name: str = "quality", **more: Any) -> Score:
    label = drawn_label(p) if p < 1.0 else ""
    return Score(id=f"{trace}{name}", trace_id=trace, name=name, value=value, by="x", time_ns=1, label=label, **more)


def test_the_share_rises_with_evidence_and_falls_back() -> None:
    evidence = [0.0]
    sampling, _ = make(raised=0.6, evidence=lambda: evidence[0])
    assert (sampling.probability(), sampling.note) == (0.1, "")
    evidence[0] = WARNING
    assert sampling.probability() == 0.6
    assert "sees 60% of the answers and not 10%" in sampling.note
    evidence[0] = WARNING / 2
    assert sampling.probability() == 0.1


def test_a_raised_share_below_the_usual_one_changes_nothing() -> None:
    sampling, _ = make(raised=0.05, evidence=lambda: 1e9)
    assert (sampling.probability(), sampling.note) == (0.1, "")


def test_the_budget_ends_judging_until_the_next_day() -> None:
    clock = Clock()
    spending = Spending(None, clock)
    sampling = Sampling(0.1, rng=random.Random(3).random, clock=clock, budget_usd=0.05, spend=spending.of("quality"))
    spending.pay("quality", None)
    spending.pay("quality", 0.03)
    assert not sampling.resting
    spending.pay("quality", 0.03)
    assert sampling.resting
    assert sampling.probability() == 0.0
    assert not sampling.draw(sampling.probability())
    assert sampling.note == "The judge rests until midnight UTC: today's budget of $0.05 is spent."
    assert sampling.unpriced == 1
    clock.ns += DAY
    assert not sampling.resting
    assert (sampling.probability(), sampling.spent_usd, sampling.unpriced) == (0.1, 0.0, 0)


@pytest.mark.parametrize(("more", "field"), [({"raised": 1.5}, "sample_raised"), ({"budget_usd": 0.0}, "budget_usd")])
def test_what_cannot_be_meant_is_refused(more: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        make(**more)
    assert refused.value.field == field


def test_draws_come_as_often_as_they_should() -> None:
    sampling, _ = make()
    assert sum(sampling.draw(0.3) for _ in range(10_000)) == pytest.approx(3000, abs=200)


def test_the_weight_is_one_over_the_probability_and_one_for_other_labels() -> None:
    assert weight_of(score(1.0, p=0.25)) == 4.0
    assert weight_of(score(1.0)) == 1.0
    for label in ("a person's word", "drawn p=0", "drawn p=7"):
        assert weight_of(Score(id="1", trace_id="t", name="q", value=1, by="x", time_ns=1, label=label)) == 1.0


def test_equal_weights_are_the_plain_mean() -> None:
    found = weighted_rate([score(1.0, p=0.2), score(0.0, p=0.2), score(1.0, p=0.2), score(1.0, p=0.2)])
    assert found.value == 0.75
    assert 0 < found.low < 0.75 < found.high < 1
    with pytest.raises(BadInput):
        weighted_rate([])


def test_weights_undo_a_share_that_was_raised_in_bad_times() -> None:
    """Nine quiet hours at 95 % drawn with 0.05, one bad hour at 40 % drawn with 0.8: the truth is 89.5 %."""
    rng, truth, inside, plain, weighted = random.Random(11), 0.895, 0, 0.0, 0.0
    for _ in range(300):
        drawn = [
            score(float(rng.random() < rate), p=p)
            for n, rate, p in ((9000, 0.95, 0.05), (1000, 0.40, 0.8))
            for _ in range(sum(rng.random() < p for _ in range(n // 10)))
        ]
        found = weighted_rate(drawn)
        inside += found.low <= truth <= found.high
        weighted += found.value / 300
        plain += sum(s.value for s in drawn) / len(drawn) / 300
    assert weighted == pytest.approx(truth, abs=0.005)
    assert plain < 0.65
    assert 0.91 <= inside / 300 <= 0.985


def test_certainty_is_never_claimed_from_few_alike_verdicts() -> None:
    found = weighted_rate([score(1.0, p=0.1), score(1.0, p=0.9), score(1.0, p=0.9)])
    assert found.value == 1.0
    assert found.low < 0.8


def test_verdicts_of_two_judge_versions_are_not_averaged() -> None:
    old = [score(0.0, trace=f"o{n}", by_version="quality/1", slice="billing") for n in range(20)]
    new = [replace(score(1.0, trace=f"n{n}", by_version="quality/2"), time_ns=2) for n in range(10)]
    whole, billing = live_rates([*new, *old], [])
    assert whole.judge is not None
    assert (whole.judge.value, whole.judge.n, whole.others) == (1.0, 10, 20)
    assert (billing.slice, billing.judge, billing.others) == ("billing", None, 20)


def test_users_words_are_joined_however_late_and_the_last_one_counts() -> None:
    judged = [score(1.0, trace=f"t{n}", slice="billing" if n % 2 else "delivery") for n in range(10)]
    thumbs = [
        Score(id=f"u{n}", trace_id=f"t{n}", name="thumb", value=float(n > 1), by="user", time_ns=100 + n,
              slice="billing" if n % 2 else "delivery") for n in range(4)
    ]  # fmt: skip
    thumbs.append(Score(id="late", trace_id="t0", name="thumb", value=1.0, by="user", time_ns=9999, slice="delivery"))
    whole, *slices = live_rates(judged, reversed(thumbs))
    assert (whole.slice, whole.judge and whole.judge.n, whole.thumbs and whole.thumbs.value) == ("", 10, 0.75)
    assert whole.agree is not None
    assert (whole.agree.n, whole.agree.value) == (4, 0.75)
    assert [s.slice for s in slices] == ["billing", "delivery"]
    assert slices[0].thumbs is not None
    assert slices[0].thumbs.value == 0.5


def test_nothing_is_none_and_slices_are_bounded() -> None:
    (whole,) = live_rates([], [])
    assert (whole.judge, whole.thumbs, whole.agree) == (None, None, None)
    many = [score(1.0, trace=f"t{n}", slice=f"s{n}") for n in range(30)]
    assert len(live_rates(many, [], most=5)) == 6
    assert live_rates(many, [], project="other")[0].judge is None
