"""Whether a rollout goes on, waits or ends: the pure core, on evidence that the tests set."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_world import SECOND, plan

from trimtab.core import BadInput
from trimtab.rollouts import Guard, Judgement, Plan, RolloutTest, Standing, decide, default_guards, passes, width

NOW = 10_000 * SECOND


def judgement(state: str = "no_worse", **changed: Any) -> Judgement:
    """A guard's standing, of which only the state decides."""
    given: dict[str, Any] = {
        "metric": "quality", "margin": 0.05, "width": 0.1, "state": state, "named": True, "base_n": 900,
        "base_mean": 0.92, "candidate_n": 100, "candidate_mean": 0.91, "pairs": 0, "difference": -0.01, "low": -0.08,
        "high": 0.05, "harm": 0.7, "harm_needed": 100.0, "calm": 25.0, "calm_needed": 20.0, "more": 0, "harm_at": 0,
        **changed,
    }  # fmt: skip
    return Judgement(**given)


def standing(**changed: Any) -> Standing:
    given: dict[str, Any] = {"share": 0.1, "since_ns": 0, "answers": 1000, "paused": "", **changed}
    return Standing(**given)


def test_it_goes_on_when_time_answers_and_test_allow() -> None:
    decision = decide(plan(), standing(), [judgement()], NOW)
    assert (decision.action, decision.share) == ("advance", 0.5)
    assert "quality −1.0 points (−8.0 to +5.0) over 100 answers" in decision.text
    last = decide(plan(), standing(share=0.5), [judgement()], NOW)
    assert (last.action, last.share) == ("advance", 0.95), "the holdback stays on the base version"
    done = decide(plan(), standing(share=0.95), [judgement()], NOW)
    assert (done.action, done.share) == ("promote", 1.0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"answers": 19}, "1 answer of the candidate to go"),
        ({"since_ns": NOW - 4 * SECOND}, "6 s of this stage to go"),
        ({"share": 0.95, "since_ns": NOW - 10 * SECOND}, "20 s of this stage to go while 5 % stay on the base"),
        ({"paused": "by mara: lunch"}, "Paused by mara: lunch"),
    ],
)
def test_what_is_missing_is_said(changed: dict[str, Any], said: str) -> None:
    decision = decide(plan(), standing(**changed), [judgement()], NOW)
    assert decision.action == "hold"
    assert said in decision.text
    assert decision.share == standing(**changed).share


def test_inconclusive_never_goes_on() -> None:
    for state, more in (("undecided", 240), ("undecided", None), ("not_measured", 10)):
        held = judgement(state, more=more, metric="cites")
        decision = decide(plan(), standing(), [judgement(), held], NOW + 10**9 * SECOND)
        assert decision.action == "hold"
        assert "cites" in decision.text
    assert (
        "about 240 more to tell it from −10.0"
        in decide(plan(), standing(), [judgement("undecided", more=240)], NOW).text
    )


def test_a_guard_that_nobody_named_need_not_apply_but_something_must() -> None:
    absent = judgement("not_measured", named=False)
    assert decide(plan(), standing(), [judgement(), absent], NOW).action == "advance"
    assert decide(plan(), standing(), [absent], NOW).action == "hold"
    assert not passes([])
    assert not passes([judgement("not_measured")])


def test_harm_ends_it_at_once_and_while_paused_and_is_only_told_when_watching() -> None:
    worse = judgement("harm", harm=812.0, candidate_mean=0.71, difference=-0.21)
    for where in (standing(answers=0, since_ns=NOW), standing(paused="by mara")):
        decision = decide(plan(), where, [judgement(), worse], NOW)
        assert (decision.action, decision.share) == ("rollback", 0.0)
        assert decision.text.startswith("Quality is worse: 0.71 against 0.92")
        assert "evidence 812 of 100 needed" in decision.text
    watched = decide(plan(mode="watch"), standing(), [worse], NOW)
    assert (watched.action, watched.share) == ("hold", 0.1)
    assert "Harm was shown, and nothing is moved" in watched.text


def test_a_rollout_that_leads_nowhere_by_itself_waits_for_a_hand() -> None:
    for course in (plan(mode="watch"), plan(stages=())):
        assert "promoted by hand" in decide(course, standing(), [judgement()], NOW).text
    half = decide(plan(stages=(0.1, 0.5)), standing(share=0.5), [judgement()], NOW)
    assert half.action == "hold"
    assert "The last stage is 50 %" in half.text


def test_without_a_holdback_the_last_stage_lasts_as_long_as_any() -> None:
    course = plan(holdback=0.0)
    assert decide(course, standing(share=0.5), [judgement()], NOW).share == 1.0
    assert decide(course, standing(share=1.0, since_ns=NOW - 11 * SECOND), [judgement()], NOW).action == "promote"


@given(share=st.floats(0, 1), answers=st.integers(0, 500), waited=st.floats(0, 1e6), states=st.lists(
    st.sampled_from(["harm", "no_worse", "undecided", "not_measured"]), min_size=1, max_size=4))  # fmt: skip
def test_exposure_grows_only_past_a_passed_test(share: float, answers: int, waited: float, states: list[str]) -> None:
    where = standing(share=share, answers=answers, since_ns=NOW - int(waited * SECOND))
    judgements = [judgement(state) for state in states]
    decision = decide(plan(), where, judgements, NOW)
    if decision.action in ("advance", "promote"):
        assert all(state == "no_worse" for state in states)
        assert answers >= 20
        assert waited >= 9.999
        assert decision.share >= share - 1e-9
    if "harm" in states:
        assert decision.action == "rollback"
    assert decision == decide(plan(), where, judgements, NOW), "the same evidence, the same answer"


def test_a_small_step_needs_little_proof_and_everybody_needs_the_margin() -> None:
    guard = Guard(metric="quality", margin=0.05)
    assert [width(guard, share) for share in (0.05, 0.25, 0.5, 1.0)] == [1.0, 0.2, 0.1, 0.05]
    course = plan()
    assert [course.share_of(i) for i in (-1, 0, 1, 2)] == [0.0, 0.1, 0.5, 0.95]
    assert [course.stage_at(share) for share in (0.0, 0.05, 0.1, 0.3, 0.5, 0.95, 1.0)] == [-1, -1, 0, 0, 1, 2, 2]
    assert [course.next_share(share) for share in (0.0, 0.1, 0.5, 0.95)] == [0.1, 0.5, 1.0, 1.0]


def test_the_error_is_split_over_the_guards_and_judged_answers_get_most_of_it() -> None:
    course = Plan(guards=default_guards("prompts", judged=True)).check()
    errors = {guard.metric: course.error_of(guard) for guard in course.guards}
    assert sum(errors.values()) == pytest.approx(0.01)
    assert errors["quality"] == pytest.approx(0.01 * 2 / 3)
    assert "quality" not in {guard.metric for guard in default_guards("prompts", judged=False)}
    assert [guard.metric for guard in default_guards("judges", judged=True)] == ["judge_agreement"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"mode": "yolo"}, "mode"),
        ({"stages": (0.5, 0.1)}, "stages"),
        ({"stages": (0.0, 0.1)}, "stages"),
        ({"stages": tuple(i / 50 for i in range(1, 30))}, "stages"),
        ({"mode": "shadow", "stages": ()}, "stages"),
        ({"guards": ()}, "guards"),
        ({"guards": (Guard(metric="a"), Guard(metric="a", margin=0.1))}, "guards"),
        ({"guards": (Guard(metric="a b"),)}, "guards.metric"),
        ({"guards": (Guard(metric="a", margin=0.9),)}, "guards.margin"),
        ({"guards": (Guard(metric="a", better="up"),)}, "guards.better"),
        ({"guards": (Guard(metric="a", weight=0.0),)}, "guards.weight"),
        ({"least_s": -1.0}, "least_s"),
        ({"hold_s": float("nan")}, "hold_s"),
        ({"least_answers": 0}, "least_answers"),
        ({"holdback": 0.9}, "holdback"),
        ({"alpha": 1.0}, "alpha"),
        ({"beta": 0.0}, "beta"),
        ({"shadow_answers": 0}, "shadow_answers"),
        ({"shadow_usd": -1.0}, "shadow_usd"),
    ],
)
def test_a_plan_that_cannot_be_names_the_field(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        plan(**changed).check()
    assert caught.value.field == field
    assert caught.value.mend


def test_strata_are_bounded_and_those_beyond_still_count() -> None:
    test = RolloutTest(plan().check())
    for i in range(2_000):
        test.add("quality", i % 2 == 0, float(i % 4 < 2), f"topic {i // 4}")
    (judged,) = test.judgements(0.5)
    assert (judged.base_n, judged.candidate_n) == (1_000, 1_000)
    assert judged.points, "the strata that share one fill their blocks"


def test_a_fall_that_is_real_and_too_small_to_matter_is_no_harm() -> None:
    test = RolloutTest(plan(guards=(Guard(metric="quality", margin=0.2),)).check())
    draw = random.Random(3)
    for i in range(60_000):
        candidate = i % 2 == 0
        test.add("quality", candidate, float(draw.random() < (0.86 if candidate else 0.9)), "")
    (judged,) = test.judgements(0.5)
    assert judged.harm > judged.harm_needed
    assert judged.state == "no_worse"


def test_a_plan_that_can_be_is_its_own_answer() -> None:
    course = plan()
    assert course.check() is course
    assert replace(course, mode="shadow").check().mode == "shadow"
