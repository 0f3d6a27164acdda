"""The pure parts: states, joining, arms, diversion, sentences, and the record's round trip."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.attribution import Arm, Candidate, Report, with_replay
from trimtab.core import BadInput, Conflict, Span, Stamp, TrimtabError
from trimtab.incidents import Incident, blamed, joining, recovery, sentences, states
from trimtab.incidents.arms import Restore, Tally, asks, restores
from trimtab.incidents.figures import figures
from trimtab.incidents.postmortem import postmortem
from trimtab.incidents.records import Records, Written
from trimtab.incidents.remedy import around
from trimtab.incidents.spending import UNSPENT
from trimtab.stats import Estimate
from trimtab.store import Metadata
from trimtab.watch import Alarm, Monitor, pins_of
from trimtab.web.facts import facts

SECOND = 10**9


def candidate(kind: str = "prompts", after: str = "answer/2", **more: object) -> Candidate:
    layers = {"models": 1, "corpora": 2, "prompts": 3, "guards": 4, "routes": 5, "judges": 5}
    values: dict[str, object] = {
        "change_id": f"chg_{after}", "kind": kind, "layer": layers[kind], "asset": f"{kind}:/answer",
        "before": "answer/1", "after": after, "title": "a change", "posterior": 0.9,
        "effect": Estimate(value=-0.66, low=-0.75, high=-0.57, n_exposed=40, n_unexposed=44),
        "e_value": 1e9, "randomised": True, "cleared": "",
    }  # fmt: skip
    return Candidate(**(values | more))  # type: ignore[arg-type]


def report(cause: Candidate | None, certainty: str = "likely", *others: Candidate) -> Report:
    candidates = (*((cause,) if cause else ()), *others)
    return Report(
        signal="cites", slice="", onset_low_ns=1, onset_high_ns=2, baseline=0.97, now=0.61, n=84, affected=30,
        cause=cause, certainty=certainty, candidates=candidates, slices=(), arms=(), not_tested=("this",),  # type: ignore[arg-type]
    )  # fmt: skip


def alarm(signal: str = "cites", onset_s: int = 1000, time_s: int = 1010) -> Alarm:
    monitor = Monitor(name=signal, signal=signal, owner="mara", action="rollback", severity=2, runbook="look")
    return Alarm(
        monitor=monitor, signal=signal, slice="", time_ns=time_s * SECOND, e_value=3e7, threshold=2e7, baseline=0.97,
        now=0.61, n_since=84, onset_ns=onset_s * SECOND,
    )  # fmt: skip


def incident(cause: Candidate | None = None, number: int = 1, **more: object) -> Incident:
    made = states.opened(alarm(), report(cause), ["t1", "t2"], "regressions", 1011 * SECOND)
    return replace(made, id=number, **more)  # type: ignore[arg-type]


def test_the_title_is_a_sentence_with_the_numbers_and_the_cause() -> None:
    title = sentences.title(report(candidate(after="support-answer/2"), "proven"))
    assert title == "Answers stopped citing their sources: cites fell from 0.97 to 0.61 with prompts support-answer/2"
    assert sentences.title(report(None, "unknown")).endswith("from 0.97 to 0.61, cause not known")
    sliced = replace(report(None, "unknown"), slice="billing", signal="made_up")
    assert sentences.title(sliced) == "made_up fell: made_up for billing fell from 0.97 to 0.61, cause not known"


def test_an_alarm_of_one_models_answers_says_whose_they_are() -> None:
    seen = replace(alarm("quality"), model="alpha/large")
    assert sentences.alarm(seen) == (
        "quality fell from 0.97 to 0.61 over the last 84 scores, seen in the answers of model alpha/large "
        "(evidence 10^7 of 10^7 needed)"
    )
    assert "model" not in sentences.alarm(alarm("quality"))
    made = replace(states.opened(seen, report(None, "unknown"), [], "regressions", 1011 * SECOND), id=1)
    assert made.models == ("alpha/large",)
    assert made.events[0].text == sentences.alarm(seen)
    more = states.joined(made, replace(seen, model="beta/small"), report(None, "unknown"), [], 1012 * SECOND)
    more = states.joined(more, alarm("cites"), report(None, "unknown"), [], 1013 * SECOND)
    assert more.models == ("alpha/large", "beta/small")
    assert "An alarm saw it in the answers of models alpha/large and beta/small alone." in postmortem(more)
    assert "; the alarm: answers of models alpha/large and beta/small" in facts(more, None, 1014 * SECOND).whom_more
    over = replace(more, state="closed", closed_ns=1015 * SECOND)
    again = states.reopened(over, alarm("quality"), report(None, "unknown"), [], 1016 * SECOND)
    assert again.models == (), "this time it is seen in all answers"
    assert states.reopened(over, seen, report(None, "unknown"), [], 1016 * SECOND).models == ("alpha/large",)


def test_a_verdict_gives_its_grounds() -> None:
    text = sentences.verdict(report(candidate(), "proven"))
    assert text == (
        "proven: prompts answer/2, layer 3 prompt: −0.66 where it was served (−0.75 to −0.57; "
        "40 scores with it, 44 without)"
    )


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (20 * SECOND, "20 s"),
        (300 * SECOND, "5 min"),
        (3 * 3600 * SECOND, "3 h"),
        (72 * 3600 * SECOND, "3 d"),
    ],
)
def test_durations_have_one_unit(ns: int, text: str) -> None:
    assert sentences.duration(ns) == text


def test_a_guess_and_no_change_blame_nobody() -> None:
    nobody = candidate(change_id="", after="", layer=None)
    assert blamed(report(nobody, "likely")) is None
    assert blamed(report(candidate(), "unknown")) is None
    assert blamed(report(candidate(), "likely")) == candidate()
    assert incident(nobody).layer is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acknowledge", "mitigate", "cases", "close", "close with reason", "join", "judge"]),
        st.integers(0, 5),
    ),
    max_size=12,
)


@given(STEPS)
def test_no_sequence_of_steps_breaks_the_states(steps: list[tuple[str, int]]) -> None:
    order = {"open": 0, "acknowledged": 1, "mitigated": 2, "closed": 3}
    now = incident(candidate())
    for tick, (step, number) in enumerate(steps):
        at = (2000 + tick) * SECOND
        try:
            match step:
                case "acknowledge":
                    then = states.acknowledged(now, f"p{number}", at)
                case "mitigate":
                    then = states.mitigated(now, "jonas", "rolled back", at)
                case "cases":
                    then = states.with_cases(now, number, at) if now.state != "closed" else now
                case "close" | "close with reason":
                    then = states.closed(now, "mara", "a lesson", "why" if "reason" in step else "", at)
                case "join":
                    then = states.joined(now, alarm("grounded"), report(candidate(), "proven"), ["t9"], at)
                case _:
                    then = states.judged(now, report(candidate(), "proven"), at)
        except TrimtabError:
            assert now.state == "closed" or step in ("acknowledge", "mitigate", "close")
            continue
        assert order[then.state] >= order[now.state]
        assert then.events[: len(now.events)] == now.events
        assert (then.mitigated_ns > 0) == any(e.kind == "rollback" for e in then.events)
        if then.state == "closed":
            assert then.closed_ns
            assert then.lesson
            if step == "close":
                assert then.cases > 0
                assert then.mitigated_ns
        if now.state == "closed":
            assert then == now
        now = then


def test_acknowledging_after_the_machine_acted_keeps_the_state() -> None:
    now = states.mitigated(incident(candidate()), "trimtab", "rolled back", 2000 * SECOND)
    then = states.acknowledged(now, "mara", 2001 * SECOND)
    assert (then.state, then.acknowledged_by) == ("mitigated", "mara")
    with pytest.raises(Conflict, match="mara acknowledged"):
        states.acknowledged(then, "jonas", 2002 * SECOND)
    with pytest.raises(BadInput):
        states.acknowledged(now, " ", 2002 * SECOND)


def test_a_better_verdict_replaces_one_and_another_cause_does_not() -> None:
    likely = incident(candidate())
    proven = states.joined(likely, alarm(), report(candidate(), "proven"), [], 2000 * SECOND)
    assert proven.report is not None
    assert proven.report.certainty == "proven"
    assert proven.verdict_ns == likely.verdict_ns
    other = states.joined(proven, alarm(), report(candidate("guards"), "proven"), [], 2001 * SECOND)
    assert other.cause == candidate()


def test_a_named_cause_replaces_a_verdict_on_the_layer_alone() -> None:
    layer = incident(None)
    assert layer.report is not None
    assert (layer.report.certainty, layer.cause) == ("likely", None)
    named = states.joined(layer, alarm(), report(candidate()), [], 2000 * SECOND)
    assert named.cause == candidate()
    assert states.joined(named, alarm(), report(None), [], 2001 * SECOND).cause == candidate()


def test_consents_that_come_while_replays_go_on_are_not_lost() -> None:
    asked = replace(incident(candidate()), replay=UNSPENT.spent(1000, 1.0, 0).asking(50))
    allowed = states.allowed(asked, "mara", 50, 2000 * SECOND)
    more = states.allowed(allowed, "jonas", 70, 2001 * SECOND)
    assert not states.resumed(allowed, allowed.replay.allowed).replay.resume
    assert states.resumed(more, allowed.replay.allowed).replay.resume


def test_an_alarm_joins_the_incident_of_its_cause_first() -> None:
    live = [incident(candidate(), 1), incident(candidate("guards"), 2), incident(None, 3)]
    found = joining.choose(live, alarm("grounded"), report(candidate(title="another step", change_id="chg_x")))
    assert found == live[0]
    assert joining.choose(live, alarm("fresh"), report(candidate("corpora"))) is None
    assert joining.choose(live, alarm("cites"), report(candidate("corpora"))) == live[2]


def test_two_explanations_stay_two_incidents() -> None:
    assert joining.choose([incident(candidate("guards"))], alarm("cites"), report(candidate())) is None


def test_unexplained_falls_that_begin_together_are_one() -> None:
    live = [incident(None)]
    assert joining.choose(live, alarm("grounded", onset_s=1200), report(None, "unknown")) == live[0]
    assert joining.choose(live, alarm("grounded", onset_s=1400, time_s=1500), report(None, "unknown")) is None


def nobody(posterior: float) -> Candidate:
    return candidate(change_id="", title="no recorded change", posterior=posterior)


@pytest.mark.parametrize(
    ("cause", "none", "cleared", "joins"),
    [(0.6, 0.2, "", True), (0.45, 0.4, "", False), (0.15, 0.05, "", False), (0.6, 0.2, "both fell alike", False)],
)
def test_a_fall_joins_a_known_cause_only_where_that_explains_it(
    cause: float, none: float, cleared: str, joins: bool
) -> None:
    live = [incident(candidate())]
    believed = candidate(posterior=cause, cleared=cleared)
    found = joining.choose(live, alarm("complete"), report(None, "unknown", believed, nobody(none)))
    assert found == (live[0] if joins else None)


@pytest.mark.parametrize(("onset_s", "joins"), [(2050, True), (2070, False)])
def test_a_fall_that_begins_after_the_rollback_is_new(onset_s: int, joins: bool) -> None:
    done = states.mitigated(incident(candidate()), "trimtab", "rolled back", 2000 * SECOND)
    found = joining.choose([done], alarm(onset_s=onset_s, time_s=2100), report(candidate()))
    assert (found == done) is joins
    closed = replace(done, state="closed")
    assert joining.choose([closed], alarm(onset_s=onset_s), report(candidate())) is None


def test_the_same_failure_again_is_the_same_incident() -> None:
    done = replace(incident(candidate()), state="closed", mitigated_ns=2000 * SECOND, closed_ns=2100 * SECOND)
    later = alarm(onset_s=5000, time_s=5010)
    assert joining.repeated([done], later, report(candidate())) == done
    assert joining.repeated([done], later, report(candidate("guards"))) is None
    assert joining.repeated([done], later, report(None, "unknown")) is None, "what nobody knows is not the same"
    unexplained = replace(incident(None), mitigated_ns=2000 * SECOND, closed_ns=2100 * SECOND, state="closed")
    assert joining.repeated([unexplained], later, report(None, "unknown")) == unexplained
    months = alarm(onset_s=2100 + 31 * 86_400, time_s=2110 + 31 * 86_400)
    assert joining.repeated([done], months, report(candidate())) is None
    again = states.reopened(done, later, report(candidate()), ["t7"], 5011 * SECOND)
    assert (again.state, again.acknowledged_by, again.mitigated_ns, again.closed_ns) == ("open", "", 0, 0)
    assert again.traces == ("t7",)
    assert [e.kind for e in again.events][-2:] == ["reopened", "verdict"]
    assert "49 min after it was closed" in again.events[-2].text


def test_a_signal_is_back_when_half_of_the_fall_is_excluded() -> None:
    told = report(candidate()).evolve(baseline=0.9, now=0.5)
    assert recovery(told, [1.0] * 49) is None
    good = recovery(told, [1.0] * 88 + [0.0] * 12)
    assert good is not None
    assert good.back
    half = recovery(told, [1.0] * 70 + [0.0] * 30)
    assert half is not None
    assert not half.back
    unsure = recovery(told, [1.0] * 40 + [0.0] * 10)
    assert unsure is not None
    assert not unsure.back, "0.80 of 50 reaches down to the middle"


def test_an_incident_is_resolved_once_and_closes_only_where_a_monitor_watches() -> None:
    kept = replace(incident(candidate()), cases=3, mitigated_ns=2000 * SECOND, state="mitigated")
    over = states.resolved(kept, "trimtab", "back at 0.90", 2100 * SECOND)
    assert over.state == "resolved"
    with pytest.raises(Conflict, match="resolved already"):
        states.resolved(over, "jonas", "I looked", 2101 * SECOND)
    with pytest.raises(BadInput, match="by somebody"):
        states.resolved(kept, "jonas", " ", 2101 * SECOND)
    with pytest.raises(Conflict, match="no monitor of cites would see it again"):
        states.closed(over, "jonas", "Keep the rule.", "", 2200 * SECOND, watched=False)
    assert states.closed(over, "jonas", "Keep the rule.", "", 2200 * SECOND).state == "closed"


def test_a_post_mortem_tells_everything_and_no_text_of_it_is_markup() -> None:
    made = incident(candidate())
    made = states.noted(made, "note", "<b>eve</b>", "| pipe [link](http://x) <script>", 1500 * SECOND)
    made = states.closed(replace(made, cases=2, mitigated_ns=1400 * SECOND), "jonas", "Keep *it*.", "", 1600 * SECOND)
    text = postmortem(made)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\\[link\\](http://x)" in text
    assert "Keep \\*it\\*." in text
    assert "## Timeline" in text
    assert "- Detected 10 s after the onset." in text
    assert "2 failing requests are cases" in text


def test_figures_say_how_long_it_took_and_where_incidents_come_from() -> None:
    fast = replace(incident(candidate()), onset_ns=1000 * SECOND, alarm_ns=1010 * SECOND, mitigated_ns=1030 * SECOND)
    slow = replace(fast, id=2, alarm_ns=1100 * SECOND, mitigated_ns=0, layer=2)
    found = figures([fast, slow, replace(fast, id=3, layer=None, mitigated_ns=0, acknowledged_by="mara")])
    assert (found.took["detect"].n, found.took["detect"].median_s, found.took["detect"].p95_s) == (3, 10.0, 100.0)
    assert found.took["mitigate"].n == 1
    assert [(s.layer, s.n) for s in found.layers] == [(0, 1), (2, 1), (3, 1)]
    assert found.layers[0].low < 1 / 3 < found.layers[0].high
    assert found.without_action == (2,)
    assert figures([]).took["detect"].n == 0


def test_the_best_change_of_each_layer_is_put_back_and_a_second_one_that_nothing_clears() -> None:
    suspects = [
        candidate(), candidate(after="other/7", asset="prompts:/other"), candidate("guards"),
        candidate("guards", after="strict/2", cleared="explains less"), candidate(after="third/3"),
        candidate("models", asset="models:/v/m"), candidate("corpora"), candidate(change_id="", after="", layer=None),
        candidate("routes", after="deployed", since_ns=5),
    ]  # fmt: skip
    plan = restores(report(suspects[0], "likely", *suspects[1:]), lambda c: "" if c.kind == "corpora" else c.before)
    assert [(arm.kind, arm.after) for arm in plan] == [
        ("prompts", "answer/2"), ("prompts", "other/7"), ("guards", "answer/2"), ("models", "answer/2"),
    ]  # fmt: skip


def test_pins_of_an_arm_change_one_layer_of_what_served() -> None:
    root = Span(
        trace_id="a", span_id="b", name="support", kind="chain", start_ns=0, end_ns=1,
        stamp=Stamp(model="v/m=x@1", prompt="answer/2", route="support/1"),
    )  # fmt: skip
    served = pins_of(root.stamp, "quality/3")
    assert served == {"models": "v/m=x@1", "prompts": "answer/2", "routes": "support/1", "judges": "quality/3"}
    kept = {"prompts": "answer/2", "routes": "support/1", "judges": "quality/3"}
    plan = [
        Restore(kind="prompts", before="answer/1", after="answer/2"),
        Restore(kind="models", before="v/reserve", after="v/m=x@1"),
        Restore(kind="prompts", before="answer/1", after="answer/3"),
    ]
    found = asks(plan, served, breaking=False)
    assert found[""] == kept, "the model is left to the route"
    assert found[plan[0].key] == {**kept, "prompts": "answer/1"}
    assert found[plan[1].key] == {**kept, "models": "v/reserve"}
    assert plan[2].key not in found, "it did not reach the request"


PLAN = [Restore(kind="prompts", before="a/1", after="a/2"), Restore(kind="guards", before="g/1", after="g/2")]
SERVED = {"models": "v/m=x@1", "prompts": "a/2", "guards": "g/2", "routes": "r/1"}


def test_one_request_is_asked_with_each_change_put_back_with_all_and_with_all_but_one() -> None:
    arms = asks(PLAN, SERVED, breaking=True)
    short = {name: (pins["prompts"], pins["guards"]) for name, pins in arms.items()}
    assert short == {
        "": ("a/2", "g/2"), "prompts a/2": ("a/1", "g/2"), "guards g/2": ("a/2", "g/1"), "*": ("a/1", "g/1"),
        "!prompts a/2": ("a/2", "g/1"), "!guards g/2": ("a/1", "g/2"),
    }  # fmt: skip
    assert all("models" not in pins and pins["routes"] == "r/1" for pins in arms.values())
    assert list(asks(PLAN, {**SERVED, "guards": "g/1"}, breaking=True)) == ["", "prompts a/2", "*"]
    assert list(asks(PLAN[:1], SERVED, breaking=True)) == ["", "prompts a/2"]


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.none() | st.booleans()), max_size=60))
def test_arms_count_in_pairs(results: list[tuple[bool, bool, bool, bool | None]]) -> None:
    tally = Tally(plan=PLAN)
    for failed, same, one, two in results:
        tally.add(failed, {"": same, "prompts a/2": one, "guards g/2": two})
    nothing, prompt, guard, everything = tally.arms()
    assert (nothing.n, nothing.sound) == (sum(row[0] for row in results), sum(not row[0] for row in results))
    assert nothing.passed == sum(same for failed, same, _, _ in results if failed)
    assert prompt.spoilt == sum(not one for failed, _, one, _ in results if not failed)
    assert guard.n + guard.sound == sum(two is not None for *_, two in results)
    assert (everything.role, everything.n, everything.e_value) == ("all", 0, 1.0)
    if all(one == same for _, same, one, _ in results):
        assert prompt.e_value == 1.0
    proving = [arm for arm in (prompt, guard) if arm.e_value >= 500]
    assert not tally.decided or len(proving) == 1 or (not proving and len(results) >= 60)


def play(rows: int, passes: Callable[[Mapping[str, str]], float]) -> Tally:
    """Ask ``rows`` requests, in the arms that break too once those are called for."""
    tally = Tally(plan=PLAN)
    for _ in range(rows):
        arms = asks(PLAN, SERVED, breaking=tally.breaking)
        tally.add(True, {name: passes(pins) for name, pins in arms.items()})
        if tally.decided:
            break
    return tally


def test_one_guilty_change_is_decided_soon_and_asks_for_no_more() -> None:
    tally = play(60, lambda pins: float(pins["prompts"] == "a/1"))
    assert len(tally.rows) < 20
    assert [arm.role for arm in tally.arms()] == ["same", "restore", "restore", "all"]


def test_two_that_each_break_the_same_requests_are_proven_by_breaking_one_at_a_time() -> None:
    tally = play(150, lambda pins: float((pins["prompts"], pins["guards"]) == ("a/1", "g/1")))
    arms = {(arm.role, arm.layer): arm for arm in tally.arms()}
    assert arms["restore", 3].passed == arms["restore", 4].passed == 0
    assert arms["all", None].e_value >= 600
    assert arms["break", 3].e_value >= 600
    assert arms["break", 4].e_value >= 600
    found = with_replay(report(None, "unknown", candidate("prompts", "a/2", before="a/1", posterior=0.4),
                               candidate("guards", "g/2", before="g/1", posterior=0.4)), tally.arms())  # fmt: skip
    assert (found.certainty, found.together) == ("proven", "pair")
    assert found.cause is not None
    assert {found.cause.kind, *(each.kind for each in found.also)} == {"prompts", "guards"}
    assert "each breaks answers by itself" in sentences.verdict(found)


def test_two_of_which_either_mends_are_a_chain_and_only_likely() -> None:
    tally = play(150, lambda pins: float(pins["prompts"] == "a/1" or pins["guards"] == "g/1"))
    found = with_replay(report(None, "unknown", candidate("prompts", "a/2", before="a/1", posterior=0.4),
                               candidate("guards", "g/2", before="g/1", posterior=0.4)), tally.arms())  # fmt: skip
    assert (found.certainty, found.together) == ("likely", "chain")
    assert len(found.also) == 1


def test_where_nothing_helps_it_gives_up() -> None:
    tally = play(150, lambda pins: 0.0)
    assert len(tally.rows) == 60


MODELS = st.sampled_from(["v/a", "v/b", "v/c", "v/d"])


@given(
    targets=st.lists(MODELS, min_size=1, max_size=4, unique=True), fallback=st.lists(MODELS, max_size=3, unique=True)
)
def test_a_diverted_route_asks_the_model_last_and_loses_nobody(targets: list[str], fallback: list[str]) -> None:
    content = {"targets": [{"model": m, "weight": 2} for m in targets], "fallback": fallback, "attempts": 3}
    found = around(content, "v/a")
    if found is None:
        assert {*targets, *fallback} <= {"v/a"}
        return
    models = [target["model"] for target in found["targets"]]
    assert models
    assert "v/a" not in models
    assert found["fallback"][-1] == "v/a"
    assert found["fallback"].count("v/a") == 1
    assert {*models, *found["fallback"]} == {*targets, *fallback, "v/a"}
    assert found["attempts"] == 3


async def test_an_incident_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    metadata = Metadata.open(path)
    try:
        full = replace(
            report(candidate(e_value=math.inf), "proven", candidate("models", effect=None, cleared="explains less")),
            arms=(Arm(layer=None, restored="", passed=1, n=9, e_value=1.0),),
        )
        made = states.judged(incident(None, 0), full, 5 * SECOND)
        records = Records(metadata)
        written = await records.place(lambda live: Written(None, made))
        assert written.after == replace(made, id=1)
    finally:
        metadata.close()
    metadata = Metadata.open(path)
    try:
        read = await Records(metadata).get(1)
        assert isinstance(read.report, Report)
        assert read.report.cause is not None
        assert read.report.cause.e_value == 1.7e308, "JSON has no infinity"
        assert read.report.cause == replace(full.candidates[0], e_value=1.7e308)
        assert replace(read, report=None) == replace(made, id=1, report=None)
        assert read.report.candidates[1:] == full.candidates[1:]
        assert read.report.arms == full.arms
    finally:
        metadata.close()
