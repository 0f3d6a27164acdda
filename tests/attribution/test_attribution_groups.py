"""Several signals, sessions, events without versions, records that are late or missing, and what replays refute."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from trimtab.attribution import Arm, Evidence, attribute, reached, with_replay
from trimtab.core import Change

SECOND = 10**9


@dataclass(frozen=True)
class Seen:
    time_ns: int
    value: float
    pins: Mapping[str, str] = field(default_factory=dict)
    slice: str = "a"
    session: str = ""
    user: str = ""

    @property
    def trace_id(self) -> str:
        return f"t{self.time_ns}"


def change(kind: str, at: int, **more: object) -> Change:
    usual: dict[str, object] = {"before": "x/1", "after": "x/2", "action": "label", "id": f"{kind}-{at}", "name": "x"}
    return Change(time_ns=at * SECOND, kind=kind, actor="mara", **{**usual, **more})  # type: ignore[arg-type]


def evidence(seen: Sequence[Seen], signal: str = "quality", onset: int = 100, **more: object) -> Evidence:
    return Evidence(
        signal=signal, slice="", alarm_ns=seen[-1].time_ns, onset_ns=onset * SECOND, observations=seen,
        baselines={"a": 0.95}, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def fallen(onset: int, pins: Mapping[str, int] | None = None, n: int = 140, seed: int = 1) -> list[Seen]:
    """One answer a second; those from ``onset`` on mostly fail. ``pins``: from when on a kind's version 2 served."""
    rng = random.Random(seed)
    return [
        Seen(
            i * SECOND, float(rng.random() < (0.3 if i >= onset else 0.95)),
            {kind: f"x/{1 + (i >= at)}" for kind, at in (pins or {"prompts": 10**9}).items()},
        )
        for i in range(n)
    ]  # fmt: skip


def test_what_another_change_moved_is_told_apart_and_not_blamed() -> None:
    pins = {"prompts": 100, "corpora": 60}
    alarmed = evidence(fallen(100, pins))
    side_effect = evidence(fallen(60, pins, seed=2), "top_score", layer=2, tells=1.0, harm=False)
    same = evidence(fallen(100, pins, seed=3), "cites", layer=3, tells=0.4)
    changes = [change("prompts", 100), change("corpora", 60)]
    report = attribute(alarmed, changes, [side_effect, same])
    assert report.cause is not None
    assert report.cause.kind == "prompts"
    assert report.signals == ("quality", "cites")
    assert [text.partition(" ")[0] for text in report.apart] == ["top_score"]
    assert "corpora:/x/2" in report.apart[0]
    assert report.layers[0].layer == 3


def test_a_tie_in_the_records_goes_to_the_change_whose_own_signals_moved() -> None:
    pins = {"prompts": 100, "corpora": 100}
    changes = [change("prompts", 100), change("corpora", 100)]
    assert attribute(evidence(fallen(100, pins)), changes).cause is None
    moved = evidence(fallen(100, pins, seed=2), "retrieved", layer=2, tells=1.0)
    report = attribute(evidence(fallen(100, pins)), changes, [moved])
    assert report.cause is not None
    assert report.cause.kind == "corpora"
    assert report.certainty == "likely", "what moved is no proof"


@pytest.mark.parametrize(("signal", "layer"), [("retrieved", 2), ("answered", 1), ("allowed", 4)])
def test_where_nothing_is_recorded_the_signals_name_the_layer(signal: str, layer: int) -> None:
    report = attribute(evidence(fallen(100), signal, layer=layer, tells=1.0), [])
    assert report.cause is not None
    assert (report.cause.change_id, report.cause.layer, report.layer) == ("", layer, layer)
    outcome = attribute(evidence(fallen(100)), [], quiet={2, 5})
    assert outcome.layer is None
    assert {belief.layer for belief in outcome.layers[-3:]} == {2, 4, 5}
    assert sum(belief.belief for belief in outcome.layers) == pytest.approx(1.0)


def test_a_vendor_whose_answers_fall_alone_is_told_from_the_others_in_the_same_minutes() -> None:
    rng = random.Random(5)
    seen = []
    for i in range(600):
        model = rng.choice(["v/a=a@1", "v/b=b@1"])
        bad = i >= 400 and model == "v/a=a@1"
        seen.append(Seen(i * SECOND, float(rng.random() < (0.4 if bad else 0.95)), {"models": model}))
    report = attribute(evidence(seen, onset=400), [])
    assert report.cause is not None
    assert (report.cause.change_id, report.layer) == ("", 1)


def test_vendors_that_fall_alike_in_the_same_minutes_clear_the_model() -> None:
    def believed(vendors: Sequence[str]) -> float:
        rng = random.Random(5)
        seen = [
            Seen(i * SECOND, float(rng.random() < (0.6 if i >= 400 else 0.95)), {"models": rng.choice(vendors)})
            for i in range(600)
        ]
        report = attribute(evidence(seen, onset=400), [])
        return {each.layer: each.belief for each in report.guesses}[1]

    assert believed(["v/a=a@1", "v/b=b@1"]) < believed(["v/a=a@1"]) / 1.5


def test_a_pin_that_only_answered_requests_have_says_nothing_of_the_model() -> None:
    """Attacks that got through were answered by one of two models, those that were stopped by none."""
    rng = random.Random(5)
    seen = []
    for i in range(600):
        stopped = rng.random() < (0.4 if i >= 400 else 0.95)
        pins = {} if stopped else {"models": rng.choice(["v/a=a@1", "v/b=b@1"])}
        seen.append(Seen(i * SECOND, float(stopped), {"routes": "x/1", **pins}))
    report = attribute(evidence(seen, "attacks_stopped", onset=400, layer=4, tells=1.0), [])
    assert report.layer == 4


def test_a_signal_that_a_change_cannot_move_speaks_against_it() -> None:
    changes = [change("guards", 100)]
    seen = fallen(100, {"guards": 101})
    outcome = attribute(evidence(seen), changes)
    unfilled = attribute(evidence(seen, "filled", layer=3, tells=1.0), changes)
    (of_outcome,) = (c.posterior for c in outcome.candidates if c.kind == "guards")
    (of_unfilled,) = (c.posterior for c in unfilled.candidates if c.kind == "guards")
    assert 1.0 - of_unfilled > 5.0 * (1.0 - of_outcome)


def test_a_session_counts_once_where_the_draw_sticks_to_it() -> None:
    rollout = change("prompts", 0, action="rollout", share=0.5, rollout="rol_1", sticky="session")
    seen = [
        Seen(i * SECOND, float(i % 4 // 2 == 0), {"prompts": f"x/{1 + i % 4 // 2}"}, session=f"s{i % 4}")
        for i in range(1, 140)
    ]
    report = attribute(evidence(seen, onset=1), [rollout])
    assert report.cause is not None
    assert report.cause.effect is not None
    assert (report.cause.effect.n_exposed, report.cause.effect.n_unexposed) == (2, 2)
    assert report.cause.e_value < 500
    assert report.certainty != "proven", "four sessions prove nothing, however long they are"
    each = attribute(evidence(seen, onset=1), [replace(rollout, sticky="request")])
    assert each.certainty == "proven"


def test_a_rollout_whose_share_grew_while_everything_fell_is_cleared() -> None:
    rng = random.Random(7)
    rollout = change("guards", 100, action="rollout", share=0.5, rollout="rol_1")
    seen = []
    for i in range(300):
        exposed = i >= 100 and rng.random() < 0.5
        seen.append(Seen(i * SECOND, float(rng.random() < (0.5 if i >= 120 else 0.95)), {"guards": f"x/{1 + exposed}"}))
    report = attribute(evidence(seen, onset=120), [rollout])
    assert report.cause is not None
    assert report.cause.change_id == ""
    assert {c.kind: c.cleared for c in report.candidates}["guards"] == "both versions fell alike"


def test_an_event_without_a_version_is_judged_by_its_time_and_all_of_them_count_as_one() -> None:
    deployed = change("application", 100, action="external", before="r1", after="r2", note="release 2")
    report = attribute(evidence(fallen(100)), [deployed])
    top = {c.kind: c for c in report.candidates}["application"]
    assert top.posterior > 0.3
    assert top.since_ns == 100 * SECOND
    early = attribute(evidence(fallen(100)), [replace(deployed, time_ns=-1000 * SECOND)])
    assert {c.kind: c for c in early.candidates}["application"].posterior < 0.05
    many = [replace(deployed, id=f"d{i}", name=f"app{i}", after=f"r{i}") for i in range(12)]
    crowd = attribute(evidence(fallen(100)), many)
    assert all(c.posterior < 0.2 for c in crowd.candidates if c.change_id)


def test_what_a_probe_noticed_too_late_explains_the_fall_before_it() -> None:
    probe = change("models", 130, action="external", name="v/m", before="steady", after="drifted", note="tokens moved")
    seen = [replace(o, pins={"models": "v/m=m@1"}) for o in fallen(100)]
    report = attribute(evidence(seen), [probe])
    found = {c.change_id: c for c in report.candidates}[probe.id]
    assert (found.layer, found.cleared) == (1, "")
    assert found.posterior > 0.3


def test_a_version_that_no_change_brought_is_a_suspect_of_its_own() -> None:
    report = attribute(evidence(fallen(100, {"prompts": 100})), [])
    assert report.cause is not None
    assert (report.cause.kind, report.cause.before, report.cause.after) == ("prompts", "x/1", "x/2")
    assert report.cause.title.endswith("which no change records")
    late = attribute(evidence(fallen(100, {"prompts": 100})), [change("prompts", 5000)])
    assert [c.change_id for c in late.candidates] == ["prompts-5000", ""], "written down late, it is the same suspect"


def test_the_same_minutes_elsewhere_are_taken_off_where_everybody_got_it() -> None:
    rng = random.Random(9)
    seen = []
    for i in range(400):
        mine, bad = i % 2 == 0, i >= 200
        pin = f"x/{1 + (i >= 200)}" if mine else "other/1"
        seen.append(Seen(i * SECOND, float(rng.random() < (0.5 if bad else 0.95)), {"prompts": pin}))
    report = attribute(evidence(seen, onset=200), [change("prompts", 200)])
    found = {c.kind: c for c in report.candidates}["prompts"]
    assert found.compared == "elsewhere"
    assert found.effect is not None
    assert abs(found.effect.value) < 0.15
    assert report.cause is None or report.cause.change_id == ""


def test_putting_back_in_vain_clears_what_the_records_liked() -> None:
    likely = attribute(evidence(fallen(100, {"prompts": 100})), [change("prompts", 100)])
    assert likely.cause is not None
    assert likely.cause.kind == "prompts"
    same = Arm(layer=None, restored="", passed=3, n=40, e_value=1.0, role="same")
    vain = Arm(layer=3, restored="prompts x/1", passed=4, n=40, e_value=1.1, change_id="prompts-100")
    report = with_replay(likely, [same, vain])
    assert report.cause is not None
    assert report.cause.change_id == ""
    assert report.certainty == "likely"
    assert {c.kind: c.cleared for c in report.candidates}["prompts"] == "putting it back repairs nothing"
    helpful = replace(vain, passed=30, e_value=1e6)
    assert with_replay(likely, [same, helpful]).certainty == "proven"


def test_replays_that_say_little_for_it_take_a_likely_cause_back() -> None:
    likely = attribute(evidence(fallen(100, {"prompts": 100})), [change("prompts", 100)])
    assert likely.cause is not None
    first, *others = likely.candidates
    halves = (replace(first, posterior=0.81), *(replace(c, posterior=0.19 / len(others)) for c in others))
    likely = likely.evolve(candidates=halves, cause=halves[0], certainty="likely", guesses=())
    same = Arm(layer=None, restored="", passed=3, n=10, e_value=1.0, role="same")
    weak = Arm(layer=3, restored="prompts x/1", passed=3, n=10, e_value=0.6, change_id="prompts-100")
    report = with_replay(likely, [same, weak])
    assert 0.5 < report.candidates[0].posterior < 0.8
    assert report.cause is None, "its layer is likely, whichever change of it"


def test_requests_to_ask_again_are_chosen_blind() -> None:
    given = evidence(fallen(100, {"prompts": 100}))
    report = attribute(given, [change("prompts", 100)])
    assert report.cause is not None
    found = reached(given, [report.cause], 25)
    assert list(found) == [f"t{i * SECOND}" for i in range(139, 114, -1)]
    assert set(found.values()) == {True, False}


def test_a_change_that_few_got_is_asked_about_as_often_as_one_that_everybody_got() -> None:
    rng = random.Random(5)
    seen = [
        Seen(
            i * SECOND, 1.0, {"prompts": "x/2", "corpora": "x/2" if rng.random() < 0.1 else "x/1"}, session=f"s{i // 4}"
        )
        for i in range(100, 500)
    ]
    given = evidence(seen)
    candidates = attribute(given, [change("prompts", 100), change("corpora", 100)]).candidates
    about = [candidate for candidate in candidates if candidate.change_id]
    assert {candidate.kind for candidate in about} == {"prompts", "corpora"}
    found = list(reached(given, about, 40))
    few = {one.trace_id for one in seen if one.pins["corpora"] == "x/2"}
    assert len(found) == 40
    assert len(few.intersection(found)) >= 20, "a tenth of the newest would be four"
    sessions = {one.trace_id: one.session for one in seen}
    assert len({sessions[trace] for trace in found[:20]}) >= 15, "of the newest they would be five or six"
    assert reached(given, about, 1000).keys() == {one.trace_id for one in seen}


def test_what_repairs_no_more_than_any_other_change_is_not_believed_for_it() -> None:
    """A model that answers alike every time repairs nothing when nothing is changed, and something whatever is."""
    pins = {"prompts": 100, "corpora": 100, "guards": 100}
    report = attribute(evidence(fallen(100, pins)), [change(kind, 100) for kind in pins])
    assert report.cause is None
    same = Arm(layer=None, restored="", passed=0, n=40, e_value=1.0, role="same", sound=60, spoilt=0)

    def arm(kind: str, layer: int, passed: int, spoilt: int) -> Arm:
        return Arm(
            layer=layer, restored=f"{kind} x/1", passed=passed, n=40, e_value=3.0, change_id=f"{kind}-100", sound=60,
            spoilt=spoilt,
        )  # fmt: skip

    alike = with_replay(report, [same, arm("prompts", 3, 16, 8), arm("corpora", 2, 15, 8), arm("guards", 4, 17, 8)])
    beliefs = {candidate.kind: candidate.posterior for candidate in alike.candidates if candidate.change_id}
    assert max(beliefs.values()) < 1.5 * min(beliefs.values())
    one = with_replay(report, [same, arm("prompts", 3, 16, 8), arm("corpora", 2, 35, 2), arm("guards", 4, 17, 8)])
    assert one.candidates[0].kind == "corpora"
    assert one.candidates[0].posterior > 3.0 * one.candidates[1].posterior


def test_breaking_a_change_alone_weighs_in_short_of_proof() -> None:
    pins = {"prompts": 100, "corpora": 100}
    report = attribute(evidence(fallen(100, pins)), [change(kind, 100) for kind in pins])
    same = Arm(layer=None, restored="", passed=5, n=10, e_value=1.0, role="same")
    arms = [
        Arm(layer=layer, restored=f"{kind} x/1", passed=6, n=10, e_value=2.0, change_id=f"{kind}-100")
        for kind, layer in (("prompts", 3), ("corpora", 2))
    ]
    broken = Arm(
        layer=2, restored="everything but corpora x/2", passed=3, n=10, e_value=17.0, role="break",
        change_id="corpora-100",
    )  # fmt: skip
    without, found = with_replay(report, [same, *arms]), with_replay(report, [same, *arms, broken])
    assert without.candidates[0].posterior == pytest.approx(without.candidates[1].posterior, rel=0.2)
    assert (found.candidates[0].kind, found.cause is not None) == ("corpora", True)
    assert found.certainty == "likely"


def test_a_side_effect_that_only_explains_does_not_carry_the_verdict() -> None:
    """A change that makes answers longer is not blamed for a fall that came ten seconds after it, with another one."""
    pins = {"prompts": 90, "corpora": 100}
    changes = [change("prompts", 90), change("corpora", 100)]
    alarmed = evidence(fallen(100, pins, n=130, seed=4))
    longer = evidence(fallen(90, pins, n=300, seed=2), "length", layer=3, tells=0.3, harm=False)
    report = attribute(alarmed, changes, [longer])
    assert report.signals == ("quality", "length")
    assert report.certainty == "unknown", "the signals disagree"
    beliefs = {candidate.kind: candidate.posterior for candidate in report.candidates}
    assert beliefs["corpora"] > 0.2, "it is worth three nats at most"
