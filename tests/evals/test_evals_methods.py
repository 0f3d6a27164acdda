"""Which method corrects a judge's rate: PPI++ for a sample of the run, Rogan-Gladen for labels from elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

from trimtab.core import BadInput
from trimtab.evals import (
    KnownRates,
    Label,
    PassRate,
    Scored,
    estimate,
    gate_floor,
    loaded,
    markdown,
    method_named,
    plain,
)
from trimtab.evals.estimate import AUTO, LABELS, PPI, ROGAN_GLADEN
from trimtab.stats import ErrorRates, JudgeTooWeak


def world(n: int, seed: int = 1) -> tuple[np.ndarray, list[Scored]]:
    """Truth at 75 %, and a judge with a TPR of 0.9 and a TNR of 0.8."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.75
    says = np.where(truth, rng.random(n) < 0.9, rng.random(n) >= 0.8)
    return truth, [Scored(case=f"c{i}", value=float(x), judge="j") for i, x in enumerate(says)]


def labels_of(truth: np.ndarray, which: range | np.ndarray) -> list[Label]:
    return [Label(case=f"c{i}", value=float(truth[i]), by="mara") for i in which]


def known(passing: int = 100, failing: int = 100, *, tpr: float = 0.9, tnr: float = 0.8) -> KnownRates:
    rates = ErrorRates(passing=passing, passed=round(tpr * passing), failing=failing, failed=round(tnr * failing))
    return KnownRates(rates=rates, source="golden, calibrated on 2026-11-20")


@pytest.mark.parametrize(
    ("own", "said"), [(0, "no case of the run is labelled"), (1, "1 of the run's cases is labelled")]
)
def test_why_counts_the_labelled_cases_of_the_run(own: int, said: str) -> None:
    truth, scores = world(50)
    for facts in (None, known(), known(tpr=0.5, tnr=0.5)):
        assert estimate(scores, labels=labels_of(truth, range(own)), known=facts).why.startswith(said)


def test_without_labels_of_its_own_a_calibration_elsewhere_corrects() -> None:
    held = 0
    for seed in range(60):
        _, scores = world(600, seed)
        found = estimate(scores, known=known())
        assert (found.method, found.labels, found.trusted) == (ROGAN_GLADEN, 200, True)
        held += found.low <= 0.75 <= found.high
    assert held >= 54
    assert found.tpr is not None
    assert found.tnr is not None
    assert (found.tpr.value, found.tpr.n, found.tnr.value, found.tnr.n) == (0.9, 100, 0.8, 100)
    said = markdown(found)
    for part in ("Rogan-Gladen with 200 labels", "no case of the run is labelled", "golden, calibrated on",
                 "of 100 good answers", "errs as often here"):  # fmt: skip
        assert part in said
    assert loaded(PassRate, json.loads(json.dumps(plain(found)))) == found


def test_enough_labels_of_the_run_itself_come_first_and_few_only_where_there_are_no_more_elsewhere() -> None:
    truth, scores = world(600)
    assert estimate(scores, labels=labels_of(truth, range(50)), known=known()).method == PPI
    assert estimate(scores, labels=labels_of(truth, range(20)), known=known()).method == ROGAN_GLADEN
    assert estimate(scores, labels=labels_of(truth, range(20)), known=known(6, 6)).method == PPI
    assert estimate(scores, labels=labels_of(truth, range(20))).method == PPI
    assert "20 of the run's cases are labelled" in estimate(scores, labels=labels_of(truth, range(20))).why


def test_a_judge_that_is_too_weak_or_seen_on_one_kind_only_is_left_uncorrected_unless_one_insists() -> None:
    _, scores = world(200)
    for weak, why in ((known(tpr=0.6, tnr=0.5), "too weak"), (known(50, 0), "labels of both kinds")):
        found = estimate(scores, known=weak)
        assert (found.method, found.trusted) == ("judge only", False)
        assert why in found.why
    with pytest.raises(JudgeTooWeak):
        estimate(scores, known=known(tpr=0.6, tnr=0.5), method=ROGAN_GLADEN)


def test_a_method_that_is_asked_for_is_used_or_refused() -> None:
    truth, scores = world(600)
    labels = labels_of(truth, range(100))
    assert estimate(scores, labels=labels, known=known(), method=ROGAN_GLADEN).method == ROGAN_GLADEN
    assert estimate(scores, labels=labels, known=known(), method=PPI).method == PPI
    with pytest.raises(BadInput, match="needs two or more"):
        estimate(scores, known=known(), method=PPI)
    with pytest.raises(BadInput, match="nobody has counted"):
        estimate(scores, labels=labels, method=ROGAN_GLADEN)
    with pytest.raises(BadInput, match="no method"):
        estimate(scores, method="guess")
    code = [Scored(case=score.case, value=score.value) for score in scores]
    assert estimate(code, method=ROGAN_GLADEN).method == "checks"
    assert [method_named(word) for word in ("auto", "ppi", "rogan-gladen")] == [AUTO, PPI, ROGAN_GLADEN]
    with pytest.raises(BadInput, match="no method"):
        method_named("ppi++")


def test_labels_that_are_no_random_sample_are_not_trusted_unless_one_says_that_they_are() -> None:
    truth, scores = world(800)
    failed = np.flatnonzero([score.value == 0.0 for score in scores])
    labels = labels_of(truth, failed[:150])
    found = estimate(scores, labels=labels)
    assert (found.method, found.trusted) == (PPI, False)
    assert "no random sample" in found.doubt
    assert any("rogan-gladen" in note for note in found.notes)
    gated = gate_floor(found, 0.5)
    assert gated.answer == "cannot tell yet"
    assert "no random sample" in gated.why
    insisted = estimate(scores, labels=labels, method=PPI)
    assert (insisted.trusted, insisted.doubt) == (True, "")
    assert insisted.notes == found.notes


def test_labels_that_were_chosen_by_their_outcome_are_nearly_always_noticed() -> None:
    doubted = 0
    for seed in range(30):
        truth, scores = world(600, seed)
        chosen = [*np.flatnonzero(truth)[:50], *np.flatnonzero(~truth)[:50]]
        doubted += bool(estimate(scores, labels=labels_of(truth, np.array(chosen))).doubt)
    assert doubted >= 24


def test_a_random_sample_is_hardly_ever_taken_for_none() -> None:
    doubted = 0
    for seed in range(100):
        truth, scores = world(400, seed)
        sample = np.random.default_rng(seed).choice(400, 80, replace=False)
        doubted += bool(estimate(scores, labels=labels_of(truth, sample)).doubt)
    assert doubted <= 1


def test_cases_that_refined_the_judge_are_in_no_figure() -> None:
    truth, scores = world(400)
    cheated = [
        Scored(case=s.case, value=float(truth[n]) if n < 100 else s.value, judge="j") for n, s in enumerate(scores)
    ]
    labels = labels_of(truth, range(200))
    found = estimate(cheated, labels=labels, refined_on=[f"c{n}" for n in range(100)] + ["elsewhere"])
    honest = estimate(scores[100:], labels=labels_of(truth, range(100, 200)))
    assert (found.value, found.low, found.high, found.cases, found.labels) == (
        honest.value, honest.low, honest.high, 300, 100,
    )  # fmt: skip
    assert "100 labelled cases that refined the judge are left out." in found.notes


def test_where_all_is_labelled_the_labels_alone_speak() -> None:
    truth, scores = world(60)
    found = estimate(scores, labels=labels_of(truth, range(60)))
    assert (found.method, found.doubt) == (LABELS, "")
    assert "every case" in found.why
