"""Pass rates: corrected, clustered, with errors counted and judges kept apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from trimtab.core import BadInput
from trimtab.evals import Label, MixedJudges, PassRate, Scored, estimate, loaded, markdown, plain
from trimtab.stats import JudgeTooWeak, rate_interval


def world(n: int, seed: int = 1, judge: str = "j") -> tuple[np.ndarray, list[Scored]]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.75
    says = np.where(truth, rng.random(n) < 0.9, rng.random(n) >= 0.8)
    return truth, [Scored(case=f"c{i}", value=float(x), judge=judge) for i, x in enumerate(says)]


def labels_of(truth: np.ndarray, n: int, start: str = "c") -> list[Label]:
    return [Label(case=f"{start}{i}", value=float(truth[i]), by="mara") for i in range(n)]


def test_code_needs_no_correction() -> None:
    scores = [Scored(case=f"c{i}", value=float(i % 4 > 0)) for i in range(200)]
    found = estimate(scores)
    plain_one = rate_interval([float(i % 4 > 0) for i in range(200)])
    assert (found.method, found.trusted) == ("checks", True)
    assert (found.value, found.low, found.high) == (plain_one.value, plain_one.low, plain_one.high)


def test_a_judge_without_labels_is_not_trusted() -> None:
    found = estimate(world(300)[1])
    assert (found.method, found.trusted) == ("judge only", False)
    assert "not its errors" in markdown(found)


def test_labels_on_the_same_traffic_correct() -> None:
    held = wrong = 0
    for seed in range(80):
        truth, scores = world(800, seed)
        found = estimate(scores, labels=labels_of(truth, 200))
        assert (found.method, found.labels, found.trusted) == ("ppi++", 200, True)
        held += found.low <= 0.75 <= found.high
        alone = estimate(scores)
        wrong += not alone.low <= 0.75 <= alone.high
    assert held / 80 >= 0.9
    assert wrong / 80 > 0.2


def test_labels_from_elsewhere_correct_by_error_rates() -> None:
    _, scores = world(1000, 5)
    rng = np.random.default_rng(6)
    there = rng.random(400) < 0.5
    says = np.where(there, rng.random(400) < 0.9, rng.random(400) >= 0.8)
    known = [Scored(case=f"e{i}", value=float(x), judge="j") for i, x in enumerate(says)]
    found = estimate(scores, labels=labels_of(there, 400, "e"), calibration_scores=known)
    assert (found.method, found.labels) == ("rogan-gladen", 400)
    assert found.low <= 0.75 <= found.high
    coin = [Scored(case=f"e{i}", value=float(x), judge="j") for i, x in enumerate(rng.random(400) < 0.5)]
    with pytest.raises(JudgeTooWeak):
        estimate(scores, labels=labels_of(there, 400, "e"), calibration_scores=coin)
    other = [Scored(case=f"e{i}", value=1.0, judge="k") for i in range(400)]
    with pytest.raises(MixedJudges):
        estimate(scores, labels=labels_of(there, 400, "e"), calibration_scores=other)


def test_all_labelled_needs_no_judge() -> None:
    truth, scores = world(100)
    found = estimate(scores, labels=labels_of(truth, 100))
    assert (found.method, found.value) == ("labels only", pytest.approx(truth.mean()))


def test_scores_of_two_judges_are_never_averaged() -> None:
    with pytest.raises(MixedJudges, match="2 judges"):
        estimate([Scored(case="a", value=1.0, judge="j"), Scored(case="b", value=1.0, judge="k")])


def test_errors_are_counted_never_scored() -> None:
    scores = [Scored(case=f"c{i}", value=1.0) for i in range(90)]
    failed = [Scored(case=f"f{i}", value=None, error="timeout") for i in range(10)]
    found = estimate([*scores, *failed])
    assert (found.value, found.cases, found.errors) == (1.0, 90, 10)
    assert "10 of 100 cases could not be scored" in found.notes[0]
    assert "90.0 %" in found.notes[0]
    with pytest.raises(BadInput, match="no case was scored"):
        estimate(failed)
    for wrong in ({"value": 1.0, "error": "x"}, {"value": None}, {"value": 1.5}, {"value": 1.0, "repeat": -1}):
        with pytest.raises(BadInput):
            Scored(case="a", **wrong)  # type: ignore[arg-type]


def test_repeats_are_averaged_and_clusters_widen() -> None:
    repeats = [Scored(case=f"c{i}", repeat=r, value=float(r == 0 or i % 2)) for i in range(100) for r in range(2)]
    found = estimate(repeats)
    assert (found.value, found.cases) == (pytest.approx(0.75), 100)
    rng = np.random.default_rng(2)
    lucky = rng.random(40) < 0.7
    alone = [Scored(case=f"{g}.{i}", value=float(lucky[g])) for g in range(40) for i in range(5)]
    together = [Scored(case=s.case, value=s.value, cluster=s.case.partition(".")[0]) for s in alone]
    narrow, wide = estimate(alone), estimate(together)
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)
    with pytest.raises(BadInput, match="cluster"):
        estimate([Scored(case="a", value=1.0, cluster="x"), Scored(case="a", repeat=1, value=1.0, cluster="y")])


def test_few_labels_are_said_to_be_few_and_json_holds() -> None:
    truth, scores = world(300)
    found = estimate(scores, labels=labels_of(truth, 20))
    assert any("20 labels are few" in note for note in found.notes)
    assert loaded(PassRate, json.loads(json.dumps(plain(found)))) == found
