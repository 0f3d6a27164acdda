"""What a report says in small, hand-made cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.attribution import Arm, Evidence, Report, attribute, failing, with_replay
from trimtab.core import Change
from trimtab.stats import paired_e_value


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


def change(kind: str = "prompts", name: str = "support", at: int = 100, **more: object) -> Change:
    usual = {"before": f"{name}/1", "after": f"{name}/2", "action": "label", "id": f"{kind}-{at}"}
    return Change(time_ns=at, kind=kind, name=name, actor="mara", **{**usual, **more})  # type: ignore[arg-type]


def evidence(seen: list[Seen], onset: int = 100) -> Evidence:
    return Evidence(
        signal="quality", slice="", alarm_ns=max(o.time_ns for o in seen), onset_ns=onset, observations=seen,
        baselines={"a": 0.95},
    )  # fmt: skip


def split(n: int = 120, start: int = 100, bad: float = 0.1) -> list[Seen]:
    """A hundred good answers, then ``n`` of which every other is served by the new prompt and does badly."""
    good = [Seen(i, 1.0, {"prompts": "support/1"}) for i in range(100)]
    after = [
        Seen(start + i, 1.0 if i % 2 == 0 else bad, {"prompts": "support/1" if i % 2 == 0 else "support/2"})
        for i in range(n)
    ]
    return good + after


ROLLOUT = change(action="rollout", share=0.5, rollout="rol_1", sticky="session")


def test_a_rollout_that_hurts_its_half_is_proven() -> None:
    report = attribute(evidence(split()), [ROLLOUT])
    assert report.certainty == "proven"
    cause = report.cause
    assert cause is not None
    assert (cause.change_id, cause.layer, cause.before, cause.after) == ("prompts-100", 3, "support/1", "support/2")
    assert cause.title == "prompts:/support/2 after support/1 for 50% of the traffic"
    assert cause.randomised
    assert cause.e_value >= 500
    assert cause.effect is not None
    assert cause.effect.value == pytest.approx(-0.9)
    assert (cause.effect.n_exposed, cause.effect.n_unexposed) == (60, 60)
    assert report.n == 120
    assert report.affected == 60
    assert report.now == pytest.approx(0.55)
    assert report.baseline == pytest.approx(0.95)
    assert report.onset_low_ns <= 101 <= report.onset_high_ns + 10
    assert [(s.slice, s.unexposed) for s in report.slices] == [("a", 1.0)]
    assert sum(c.posterior for c in report.candidates) == pytest.approx(1.0)
    assert report.candidates[-1].change_id == ""
    assert report.candidates[-1].cleared == "explains less"
    assert any("one layer put back" in sentence for sentence in report.not_tested)


def test_all_changes_of_one_rollout_are_one_candidate() -> None:
    later = [
        change(action="share", share=0.8, rollout="rol_1", at=150, id="share"),
        change(action="promote", share=1.0, rollout="rol_1", at=210, id="promote"),
    ]
    report = attribute(evidence(split()), [*later, ROLLOUT])
    assert [c.change_id for c in report.candidates] == ["prompts-100", ""]


def test_nothing_recorded_is_an_answer_too() -> None:
    seen = [Seen(i, float(i < 100), {"prompts": "support/1"}) for i in range(120)]
    report = attribute(evidence(seen), [])
    assert report.cause is not None
    assert (report.cause.change_id, report.cause.layer, report.cause.title) == ("", None, "no recorded change")
    assert report.certainty == "likely"
    assert 90 <= report.onset_low_ns <= report.onset_high_ns <= 103


def test_no_observations_make_no_claim_of_numbers() -> None:
    nothing = Evidence(signal="quality", slice="", alarm_ns=50, onset_ns=0, observations=[], baselines={})
    report = attribute(nothing, [ROLLOUT])
    assert (report.n, report.affected, report.now) == (0, 0, 0.0)
    assert report.onset_low_ns == report.onset_high_ns == 50
    assert failing(nothing, report.candidates[0], 5) == []


def test_reasons_why_others_are_cleared() -> None:
    seen = [
        replace(o, pins={**o.pins, "corpora": "docs/2", "routes": f"main/{1 + o.time_ns // 2 % 2}"}) for o in split()
    ]
    others = [
        change("guards", "default"),
        change("corpora", "docs", at=-50),
        change("routes", "main", at=99, action="rollout", share=0.5, rollout="rol_2"),
    ]
    report = attribute(evidence(seen), [ROLLOUT, *others])
    reasons = {c.kind: c.cleared for c in report.candidates}
    assert reasons["prompts"] == ""
    assert reasons["guards"] == "no exposed answer among those that fell"
    assert reasons["corpora"] == "went out before the onset"
    assert reasons["routes"] == "both versions fell alike"
    assert any("which version of guards" in sentence for sentence in report.not_tested)


@given(st.sampled_from(["corpora", "guards", "routes", "judges", "models"]), st.booleans())
def test_equal_names_of_different_kinds_are_not_confused(other: str, other_is_guilty: bool) -> None:
    guilty = other if other_is_guilty else "prompts"
    innocent = "prompts" if other_is_guilty else other
    seen = [Seen(i, 1.0, {"prompts": "x/1", other: "x/1"}) for i in range(100)]
    for i in range(120):
        bad, benign = i % 2 == 1, i % 3 == 0
        pins = {guilty: f"x/{1 + bad}", innocent: f"x/{1 + benign}"}
        seen.append(Seen(100 + i, float(not bad), pins))
    rollouts = [
        change(kind, "x", action="rollout", share=0.5, rollout=f"rol_{kind}", at=100) for kind in ("prompts", other)
    ]
    report = attribute(evidence(seen), rollouts)
    assert report.cause is not None
    assert report.cause.kind == guilty
    assert report.certainty == "proven"


def test_another_asset_of_the_same_kind_is_no_control_group() -> None:
    # The sales prompt never failed; only answers of the support prompt may stand against support/2.
    seen = [replace(o, slice="b", pins={"prompts": "sales/7"}, value=1.0) if o.time_ns % 4 == 0 else o for o in split()]
    report = attribute(evidence(seen), [ROLLOUT])
    assert report.cause is not None
    assert report.cause.effect is not None
    assert report.cause.effect.n_unexposed == 30


def test_a_vendor_that_changed_is_named_even_when_noticed_late() -> None:
    old, new = "a/b=one@f1", "a/b=two@f2"
    seen = [Seen(i, float(i < 100), {"models": old if i < 100 else new}) for i in range(130)]
    late = change("models", "a/b", at=500, action="external", before=old, after=new)
    report = attribute(evidence(seen), [late])
    assert report.cause is not None
    assert (report.cause.layer, report.cause.after) == (1, new)
    assert report.certainty == "likely"
    assert not report.cause.randomised
    assert report.cause.effect is not None
    assert report.cause.effect.value == pytest.approx(-1.0)
    assert any("chance did not decide" in sentence for sentence in report.not_tested)


def test_what_was_taken_back_before_the_onset_is_no_suspect() -> None:
    old_trouble = [Seen(i, float(i % 2), {"prompts": f"support/{2 - i % 2}"}) for i in range(40)]
    calm = [Seen(i, 1.0, {"prompts": "support/1"}) for i in range(40, 100)]
    fall = [Seen(i, 0.0, {"prompts": "support/1"}) for i in range(100, 130)]
    started = change(action="rollout", share=0.5, rollout="rol_1", at=0)
    aborted = change(action="abort", rollout="rol_1", at=40, before="support/2", after="support/1", id="back")
    report = attribute(evidence(old_trouble + calm + fall), [started, aborted])
    assert [c.change_id for c in report.candidates] == [""]
    # Taken back only after the onset: still the suspect.
    aborted_late = replace(aborted, time_ns=215)
    report = attribute(evidence(split()), [ROLLOUT, aborted_late])
    assert report.cause is not None
    assert report.cause.change_id == "prompts-100"


def test_only_the_alarmed_slice_counts() -> None:
    elsewhere = [Seen(i, 0.0, {"prompts": "support/2"}, slice="b") for i in range(100, 220)]
    whole = replace(evidence(split() + elsewhere), slice="a")
    assert attribute(whole, [ROLLOUT]).n == 120


def test_failing_are_the_exposed_low_ones_newest_first() -> None:
    given_ = evidence(split())
    report = attribute(given_, [ROLLOUT])
    assert report.cause is not None
    assert failing(given_, report.cause, 3) == ["t219", "t217", "t215"]
    assert len(failing(given_, report.cause, 1000)) == 60
    assert failing(given_, report.candidates[-1], 2) == ["t219", "t217"]


def arms(**wins: int) -> list[Arm]:
    layers = {"model": 1, "knowledge": 2, "prompt": 3, "safety": 4, "operations": 5}
    null = Arm(layer=None, restored="", passed=3, n=60, e_value=1.0)
    return [null] + [
        Arm(
            layer=layer, restored=name, passed=3 + wins.get(name, 0), n=60, e_value=paired_e_value(wins.get(name, 0), 1)
        )
        for name, layer in layers.items()
    ]


@pytest.fixture
def tied() -> Report:
    """Prompt and corpus changed for everybody at the same moment; the records cannot tell which it was."""
    seen = [
        Seen(i, float(i < 100), {"prompts": f"x/{1 + (i >= 100)}", "corpora": f"x/{1 + (i >= 100)}"})
        for i in range(130)
    ]
    report = attribute(evidence(seen), [change("prompts", "x"), change("corpora", "x")])
    assert report.cause is None
    return report


def test_replay_breaks_the_tie_and_is_proof(tied: Report) -> None:
    report = with_replay(tied, arms(knowledge=30))
    assert report.certainty == "proven"
    assert report.cause is not None
    assert report.cause.kind == "corpora"
    assert report.candidates[0] == report.cause
    assert len(report.candidates) == len(tied.candidates)
    assert len(report.arms) == 6
    assert not any("one layer put back" in sentence for sentence in report.not_tested)


def test_null_replays_prove_nothing(tied: Report) -> None:
    report = with_replay(tied, arms(knowledge=2, prompt=1))
    assert (report.cause, report.certainty) == (None, "unknown")
    assert with_replay(tied, []).not_tested == tied.not_tested


def test_two_proving_arms_prove_nothing_alone(tied: Report) -> None:
    report = with_replay(tied, arms(knowledge=30, prompt=30))
    assert (report.cause, report.certainty) == (None, "unknown")
    assert any("Knowledge and Prompt" in sentence for sentence in report.not_tested)


def test_replay_of_the_cause_and_against_it() -> None:
    seen = [
        Seen(i, float(i < 100), {"prompts": f"x/{1 + (i >= 100)}", "corpora": f"x/{1 + (i >= 60)}"}) for i in range(130)
    ]
    likely = attribute(evidence(seen), [change("prompts", "x"), change("corpora", "x", at=60)])
    assert likely.cause is not None
    assert (likely.cause.kind, likely.certainty) == ("prompts", "likely")
    assert with_replay(likely, arms(prompt=30)).certainty == "proven"
    against = with_replay(likely, arms(knowledge=30))
    assert against.cause is not None
    assert (against.cause.kind, against.cause.cleared, against.certainty) == ("corpora", "", "likely")
    outside = with_replay(likely, arms(model=30))
    assert outside.cause == likely.cause
    assert outside.certainty == "likely"
    assert any("no recorded change of it" in sentence for sentence in outside.not_tested)


def test_an_arm_may_name_which_of_two_changes_of_a_layer_it_took_back() -> None:
    seen = [
        Seen(i, float(i < 100), {"routes": f"main/{1 + (i >= 100)}", "judges": f"main/{1 + (i >= 100)}"})
        for i in range(130)
    ]
    tied = attribute(evidence(seen), [change("routes", "main"), change("judges", "main")])
    assert tied.cause is None
    proof = Arm(layer=5, restored="judges main/1", passed=40, n=60, e_value=1e4)
    report = with_replay(tied, [proof])
    assert report.cause is not None
    assert (report.cause.kind, report.certainty) == ("judges", "proven")
    vague = with_replay(tied, [replace(proof, restored="main/1")])
    assert vague.certainty == "likely"


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(["support/1", "support/2", "sales/1"]), st.sampled_from("ab")),
        max_size=60,
    ),
    st.floats(0.0, 1.0),
)
def test_any_evidence_gives_a_sound_report(rows: list[tuple[float, str, str]], baseline: float) -> None:
    seen = [Seen(i, value, {"prompts": pin}, slice=name) for i, (value, pin, name) in enumerate(rows)]
    given_ = Evidence(
        signal="quality", slice="", alarm_ns=60, onset_ns=30, observations=seen, baselines={"a": baseline}
    )
    report = attribute(given_, [change(action="rollout", share=0.3, rollout="rol_1", at=20), change("guards", "g")])
    assert sum(c.posterior for c in report.candidates) == pytest.approx(1.0)
    assert report.onset_low_ns <= report.onset_high_ns
    assert all(math.isfinite(c.e_value) for c in report.candidates)
    assert report.affected <= report.n <= len(rows)
