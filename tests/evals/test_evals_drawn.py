"""Labels that say how their outputs were drawn: calibration, estimates, and what is said of both."""

from __future__ import annotations

import random

import pytest

from trimtab.core import BadInput
from trimtab.evals import (
    Calibration,
    Draw,
    Label,
    Scored,
    calibrate,
    estimate,
    labels_from,
    labels_to_jsonl,
    loaded,
    markdown,
    plain,
    split_labels,
)
from trimtab.evals.run_judging import rates_of

POOL = 1_000


def world(
    seed: int = 1, fails: float = 0.1, right: tuple[float, float] = (0.98, 0.85)
) -> tuple[list[float], list[Scored]]:
    """The truth of every output, and a judge that is right on this share of passes and of failures."""
    rng = random.Random(seed)
    truth = [float(rng.random() >= fails) for _ in range(POOL)]
    says = [t if rng.random() < right[t == 0.0] else 1.0 - t for t in truth]
    return truth, [Scored(case=f"c{i}", value=x, judge="j1") for i, x in enumerate(says)]


def by_verdict(truth: list[float], scores: list[Scored], failing: int, passing: int, seed: int = 1) -> list[Label]:
    """Labels of outputs drawn among those that the judge fails and passes."""
    rng, found = random.Random(seed + 7_000), []
    for side, verdict, count in (("fail", 0.0, failing), ("pass", 1.0, passing)):
        cases = [i for i, score in enumerate(scores) if score.value == verdict]
        draw = str(Draw(stratum=f"run_1 quality {side}", count=count, size=len(cases)))
        found += [Label(case=f"c{i}", value=truth[i], by="mara", drawn=draw) for i in rng.sample(cases, count)]
    return found


def bare(labels: list[Label]) -> list[Label]:
    return [Label(case=label.case, value=label.value, by=label.by) for label in labels]


def test_a_draw_is_kept_with_the_label() -> None:
    label = Label(case="a", value=1.0, by="mara", drawn="run_1 quality pass 3/12")
    assert label.weight == 4.0
    assert labels_from(labels_to_jsonl([label])) == [label]
    assert labels_from("case,value,by,drawn\na,pass,mara,run_1 quality pass 3/12\n") == [label]
    assert Label(case="a", value=1.0, by="mara").weight is None
    for wrong in ("3/12", "quality 4/3", "quality 0/3", "quality"):
        with pytest.raises(BadInput) as caught:
            Label(case="a", value=1.0, by="mara", drawn=wrong)
        assert caught.value.field == "drawn"


def test_calibration_is_that_of_the_pool_and_says_how_labels_were_drawn() -> None:
    truth, scores = world()
    labels = by_verdict(truth, scores, 80, 220)
    (found,) = _calibrated(labels, scores).criteria
    (taken,) = _calibrated(bare(labels), scores).criteria
    every = [Label(case=f"c{i}", value=t, by="mara") for i, t in enumerate(truth)]
    (whole,) = _calibrated(every, scores).criteria
    assert found.kappa
    assert taken.kappa
    assert whole.kappa
    assert found.agreement
    assert taken.agreement
    assert whole.agreement
    assert found.kappa.low < whole.kappa.value < found.kappa.high
    assert abs(found.agreement.value - whole.agreement.value) < 0.012 < whole.agreement.value - taken.agreement.value
    assert found.tnr
    assert whole.tnr
    assert taken.tnr
    assert abs(found.tnr.value - whole.tnr.value) < abs(taken.tnr.value - whole.tnr.value)
    assert "80 of " in found.drawn
    assert "220 of " in found.drawn
    assert "whole pool" in found.drawn
    assert found.worth is not None
    assert found.worth[1] < 120
    assert taken.drawn == ""
    assert taken.worth is None
    again = loaded(Calibration, plain(_calibrated(labels, scores)))
    assert again.criteria[0] == found
    assert found.drawn in markdown(again)


def _calibrated(labels: list[Label], scores: list[Scored]) -> Calibration:
    return calibrate(labels, {"": scores}, judge="j1", split=split_labels(labels, test_share=1.0))


def test_rare_failures_are_certified_sooner() -> None:
    drawn, blind = 0.0, 0.0
    for seed in range(12):
        truth, scores = world(seed)
        rng = random.Random(seed + 7_000)
        labels = [Label(case=f"c{i}", value=truth[i], by="mara") for i in rng.sample(range(POOL), 200)]
        drawn += _width(_calibrated(by_verdict(truth, scores, 60, 140, seed), scores))
        blind += _width(_calibrated(labels, scores))
    assert drawn < 0.9 * blind, "as many labels tell more of kappa"


def _width(found: Calibration) -> float:
    kappa = found.criteria[0].kappa
    assert kappa is not None
    return kappa.half_width


def test_labels_without_a_draw_do_not_mix_with_those_that_have_one() -> None:
    truth, scores = world()
    drawn = by_verdict(truth, scores, 80, 220)
    others = [Label(case=f"c{i}", value=truth[i], by="tom") for i in range(60)]
    apart = [label for label in others if label.case not in {one.case for one in drawn}]
    (found,) = _calibrated([*drawn, *apart], scores).criteria
    assert found.cases == 300
    assert f"{len(apart)} other labels are left out" in found.drawn
    few = drawn[:20]
    many = [label for label in (Label(case=f"c{i}", value=truth[i], by="tom") for i in range(200))
            if label.case not in {one.case for one in few}]  # fmt: skip
    (kept,) = _calibrated([*few, *many], scores).criteria
    assert kept.cases == len(many)
    assert kept.drawn.startswith("Taken for a random sample; 20 other labels")


def test_a_part_of_the_pool_without_a_test_label_cannot_tell() -> None:
    truth, scores = world()
    labels = by_verdict(truth, scores, 2, 198)
    seen = [label for label in labels if "pass" in label.drawn]
    split = split_labels(labels, test_share=0.0)
    split = type(split)(dev=tuple(x.case for x in labels if "fail" in x.drawn), test=tuple(x.case for x in seen))
    (found,) = calibrate(labels, {"": scores}, judge="j1", split=split).criteria
    assert found.answer == "cannot tell"
    assert found.kappa is None
    assert "run_1 quality fail" in found.why


def test_the_pass_rate_is_that_of_the_run() -> None:
    held = wrong = 0
    for seed in range(40):
        truth, scores = world(seed)
        labels = by_verdict(truth, scores, 70, 130, seed)
        found = estimate(scores, labels=labels)
        assert (found.method, found.labels, found.trusted) == ("ppi++", 200, True)
        held += found.low <= 0.9 <= found.high
        taken = estimate(scores, labels=bare(labels), method="ppi++")
        wrong += not taken.low <= 0.9 <= taken.high
    assert held >= 36
    assert wrong > 10, "as a random sample they would mislead"
    assert "drawn with known chances" in found.why
    assert "weighed by it" in markdown(found)


def test_what_calibration_knows_corrects_another_run() -> None:
    held = 0
    for seed in range(40):
        truth, scores = world(seed)
        calibration = _calibrated(by_verdict(truth, scores, 80, 220, seed), scores)
        known = rates_of(calibration.criteria[0], "support", 0)
        assert known is not None
        assert 250 < known.labels <= 300
        _, elsewhere = world(seed + 1_000, fails=0.2)
        found = estimate(elsewhere, known=known)
        assert found.method == "rogan-gladen"
        assert found.tpr
        assert found.tnr
        held += found.low <= 0.8 <= found.high
    assert held >= 36


def test_an_estimate_needs_labels_of_every_part() -> None:
    truth, scores = world()
    labels = [label for n, label in enumerate(by_verdict(truth, scores, 80, 100)) if n == 0 or "pass" in label.drawn]
    with pytest.raises(BadInput, match="run_1 quality fail \\(1\\)"):
        estimate(scores, labels=labels)


def test_a_run_that_is_drawn_from_by_two_scores_is_measured_by_one_of_them() -> None:
    """What both draw mostly fails the second judge: without it the rest of the first draw would be too good."""
    truth, scores = world(fails=0.2)
    rng = random.Random(9_000)
    others = [
        Scored(case=f"c{i}", value=t if rng.random() < 0.95 else 1.0 - t, judge="j2") for i, t in enumerate(truth)
    ]
    one = by_verdict(truth, scores, 60, 150)
    two = [
        Label(case=label.case, value=label.value, by=label.by, drawn=label.drawn.replace("quality", "tone"))
        for label in by_verdict(truth, others, 150, 50, 2)
    ]
    assert {label.case for label in one} & {label.case for label in two}
    (found,), (alone,) = (_calibrated(labels, scores).criteria for labels in ([*one, *two], one))
    assert (found.cases, found.kappa, found.tnr) == (210, alone.kappa, alone.tnr)
    assert found.drawn.startswith(alone.drawn.rstrip("."))
    assert "other labels are left out" in found.drawn
    both, plainly = estimate(scores, labels=[*one, *two]), estimate(scores, labels=one)
    assert (both.value, both.low, both.high, both.labels) == (plainly.value, plainly.low, plainly.high, 210)


def test_a_label_that_replaces_another_keeps_how_the_output_was_drawn() -> None:
    truth, scores = world()
    labels = by_verdict(truth, scores, 80, 220)
    later = [Label(case=x.case, value=x.value, by=x.by, time_ns=1) for x in labels if truth[int(x.case[1:])] == 0.0]
    (before,), (after,) = (_calibrated(given, scores).criteria for given in (labels, [*labels, *later]))
    assert (after.cases, after.kappa, after.drawn) == (before.cases, before.kappa, before.drawn)


def test_a_stratum_of_which_nobody_labelled_anything_is_missed() -> None:
    truth, scores = world()
    found = estimate(scores, labels=[label for label in by_verdict(truth, scores, 80, 100) if "pass" in label.drawn])
    assert not found.trusted
    assert found.doubt == "the labels were drawn from a part of the run only"
