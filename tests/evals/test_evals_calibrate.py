"""Labels, splits, calibration, refinement and the status of a judge."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.evals import (
    Calibration,
    Label,
    MixedJudges,
    PairVote,
    Scored,
    Split,
    calibrate,
    diagnose_pairs,
    disagreements,
    judge_status,
    labels_from_csv,
    labels_from_jsonl,
    labels_to_jsonl,
    loaded,
    markdown,
    plain,
    refinement_request,
    split_labels,
)
from trimtab.stats import look_alpha

DATA = Path(__file__).parent / "data" / "llmbar_votes.jsonl"


def labelled(n: int, *, right: float = 1.0, fails: float = 0.3, seed: int = 1) -> tuple[list[Label], list[Scored]]:
    """Labels of one expert, and a judge that is right on this share of passes and of failures."""
    rng = random.Random(seed)
    labels, scores = [], []
    for i in range(n):
        truth = float(rng.random() >= fails)
        labels.append(Label(case=f"c{i}", value=truth, by="mara", critique="" if truth else f"wrong fee in {i}"))
        scores.append(Scored(case=f"c{i}", value=truth if rng.random() < right else 1.0 - truth, judge="j1"))
    return labels, scores


# Labels.

LABELS = st.lists(
    st.builds(
        Label,
        case=st.text(min_size=1, max_size=8),
        criterion=st.text(max_size=5),
        value=st.floats(0, 1),
        by=st.text(min_size=1, max_size=5),
        critique=st.text(max_size=20),
        time_ns=st.integers(0, 2**62),
        group=st.text(max_size=5),
        blind=st.booleans(),
    ),
    max_size=8,
)


@given(LABELS)
def test_labels_survive_the_trip(labels: list[Label]) -> None:
    assert labels_from_jsonl(labels_to_jsonl(labels)) == labels


def test_words_and_csv() -> None:
    rows = labels_from_csv('case,value,by,critique,blind\na,pass,mara,,\nb,0,tom,"no, wrong",false\n')
    assert [(row.case, row.value, row.blind) for row in rows] == [("a", 1.0, True), ("b", 0.0, False)]
    assert rows[1].critique == "no, wrong"
    assert labels_from_jsonl('{"case":"a","value":true,"by":"x"}\n\n')[0].value == 1.0


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("nonsense", "line 1"),
        ('{"case":"a","value":1,"by":"x"}\n[1]', "line 2"),
        ('{"case":"a","value":"maybe","by":"x"}', "line 1"),
        ('{"case":"a","value":2,"by":"x"}', "line 1.value"),
        ('{"case":"a","by":"x"}', "line 1.value"),
        ('{"case":"","value":1,"by":"x"}', "line 1.case"),
        ('{"case":"a","value":1,"by":"x","rating":3}', "line 1.rating"),
        ('{"case":"a","value":1,"by":7}', "line 1.by"),
    ],
)
def test_a_bad_label_names_its_line(text: str, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        labels_from_jsonl(text)
    assert caught.value.field == where


def test_a_bad_row_of_csv_names_its_line() -> None:
    with pytest.raises(BadInput, match="cells"):
        labels_from_csv("case,value,by\na,1\n")


# Splits.


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=80), st.floats(0, 1))
def test_a_group_is_on_one_side_and_stays(rows: list[tuple[int, bool]], share: float) -> None:
    labels = [Label(case=f"{g}.{i}", value=float(p), by="x", group=str(g)) for i, (g, p) in enumerate(rows)]
    first = split_labels(labels[: len(labels) // 2], test_share=share)
    second = split_labels(labels, test_share=share, before=first)
    assert not set(second.dev) & set(second.test)
    assert {label.group for label in labels} == {*second.dev, *second.test}
    assert set(first.dev) <= set(second.dev)
    assert set(first.test) <= set(second.test)
    assert loaded(Split, json.loads(json.dumps(plain(second)))) == second


def test_both_sides_hold_their_share_of_failures() -> None:
    labels, _ = labelled(400, fails=0.1)
    split = split_labels(labels)
    failing = {label.case for label in labels if label.value == 0.0}
    assert abs(len(failing & set(split.dev)) - len(failing & set(split.test))) <= 1
    assert abs(len(split.dev) - len(split.test)) <= 2


# Calibration.


def test_only_test_labels_are_measured() -> None:
    """A judge that is perfect on dev and a coin on test is seen through."""
    labels, scores = labelled(600)
    split = split_labels(labels)
    rng = random.Random(2)
    fooled = [
        Scored(case=s.case, value=s.value if s.case in split.dev else float(rng.random() < 0.5), judge="j1")
        for s in scores
    ]
    found = calibrate(labels, {"": fooled}, judge="j1", split=split)
    assert found.answer == "not certified"
    assert found.criteria[0].cases == len(split.test)
    assert calibrate(labels, {"": scores}, judge="j1", split=split).answer == "certified"


def test_the_figures_are_those_of_the_test_side() -> None:
    labels, scores = labelled(500, right=0.93)
    split = split_labels(labels)
    found = calibrate(labels, {"": scores}, judge="j1", split=split).criteria[0]
    truth = {label.case: label.value for label in labels}
    rows = [(truth[s.case], s.value) for s in scores if s.case in split.test]
    assert found.confusion is not None
    assert found.confusion.fail_pass == sum(t == 0.0 and j == 1.0 for t, j in rows)
    assert found.tnr is not None
    assert found.tnr.value == pytest.approx(
        sum(t == j == 0.0 for t, j in rows) / sum(t == 0.0 for t, _ in rows), abs=1e-12
    )
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx(sum(t == j for t, j in rows) / len(rows), abs=1e-12)
    assert found.lower is not None
    assert found.kappa is not None
    assert found.kappa.low < found.lower < found.kappa.value


def test_every_look_is_paid_for() -> None:
    labels, scores = labelled(400, right=0.95)
    split = split_labels(labels)
    first = calibrate(labels, {"": scores}, judge="j1", split=split)
    again = calibrate(labels, {"": scores}, judge="j1", split=first.split)
    assert again == first  # the same judge on the same labels tells nothing new
    renamed = [Scored(case=s.case, value=s.value, judge="j2") for s in scores]
    second = calibrate(labels, {"": renamed}, judge="j2", split=first.split)
    assert (second.criteria[0].look, second.criteria[0].alpha) == (2, look_alpha(2))
    assert second.criteria[0].lower is not None
    assert first.criteria[0].lower is not None
    assert second.criteria[0].lower < first.criteria[0].lower
    opened = second.split.opened()
    assert (opened.test, opened.looks) == ((), ())
    assert set(opened.dev) == {*split.dev, *split.test}


def test_the_best_of_ten_rubrics_is_rarely_certified_falsely() -> None:
    """Ten rubrics of true kappa .75: chosen on dev, certified on test. The best point estimate passes most times."""
    rng = np.random.default_rng(3)
    falsely = naive = 0
    runs = 40
    for _ in range(runs):
        truth = rng.random(400) < 0.5
        labels = [Label(case=str(i), value=float(t), by="x") for i, t in enumerate(truth)]
        split = split_labels(labels)
        says = np.where(rng.random((10, 400)) < 0.875, truth, ~truth)  # kappa .75 at half failures
        dev = [int(case) for case in split.dev]
        test = [int(case) for case in split.test]
        best = int((says[:, dev] == truth[dev]).sum(axis=1).argmax())
        naive += (2.0 * (says[:, test] == truth[test]).mean(axis=1) - 1.0).max() > 0.8
        scores = [Scored(case=str(i), value=float(x), judge=f"j{best}") for i, x in enumerate(says[best])]
        falsely += calibrate(labels, {"": scores}, judge=f"j{best}", split=split).answer == "certified"
    assert falsely / runs <= 0.05
    assert naive / runs > 0.4


def test_several_people_make_a_ceiling_and_a_consensus() -> None:
    labels, scores = labelled(300)
    rng = random.Random(4)
    for label in list(labels):
        noisy = label.value if rng.random() < 0.9 else 1.0 - label.value
        labels.append(Label(case=label.case, value=noisy, by="tom"))
    found = calibrate(labels, {"": scores}, judge="j1", split=split_labels(labels)).criteria[0]
    assert found.ceiling is not None
    assert found.ceiling.low < 0.8 < found.ceiling.high
    assert found.unsettled > 0
    assert found.cases + found.unsettled == 150


def test_labels_that_saw_the_verdict_do_not_count() -> None:
    labels, scores = labelled(200)
    split = split_labels(labels)
    seen = [Label(case=label.case, value=label.value, by=label.by, blind=False) for label in labels]
    found = calibrate(seen, {"": scores}, judge="j1", split=split)
    assert (found.answer, found.criteria[0].cases) == ("cannot tell", 0)


def test_errors_are_counted_and_many_forbid_an_answer() -> None:
    labels, scores = labelled(400)
    split = split_labels(labels)
    gone = set(split.test[:30])
    broken = [Scored(case=s.case, value=None, error="timeout", judge="j1") if s.case in gone else s for s in scores]
    found = calibrate(labels, {"": broken}, judge="j1", split=split)
    assert (found.answer, found.criteria[0].errors) == ("cannot tell", 30)
    assert "no verdict on 30" in found.criteria[0].why


def test_more_labels_are_named_and_would_do() -> None:
    labels, scores = labelled(200, right=0.96, fails=0.5, seed=3)
    found = calibrate(labels, {"": scores}, judge="j1", split=split_labels(labels))
    assert found.answer == "cannot tell"
    more = found.criteria[0].more_labels
    assert more is not None
    assert 20 < more < 2_000
    one_kind = [Label(case=f"c{i}", value=1.0, by="x") for i in range(50)]
    alike = [Scored(case=f"c{i}", value=1.0, judge="j1") for i in range(50)]
    nothing = calibrate(one_kind, {"": alike}, judge="j1", split=split_labels(one_kind))
    assert nothing.answer == "cannot tell"
    assert nothing.criteria[0].kappa is None


def test_a_judge_is_certified_on_every_criterion_or_not_at_all() -> None:
    labels, scores = labelled(400)
    named = [Label(case=label.case, value=label.value, by="x", criterion=c) for label in labels for c in ("a", "b")]
    rng = random.Random(5)
    coin = [Scored(case=s.case, value=float(rng.random() < 0.5), judge="j1") for s in scores]
    found = calibrate(named, {"a": scores, "b": coin}, judge="j1", split=split_labels(named))
    assert [c.answer for c in found.criteria] == ["certified", "not certified"]
    assert found.answer == "not certified"


def test_asked_again_and_length() -> None:
    labels, scores = labelled(300)
    rng = random.Random(6)
    again = [Scored(case=s.case, repeat=1, value=s.value if rng.random() < 0.9 else 1 - s.value, judge="j1")
             for s in scores if s.value is not None]  # fmt: skip
    # Verdicts that follow the length of the output, whatever people say.
    texts = {s.case: "x" * (200 if s.value == 1.0 else 50) for s in scores}
    flipped = [Scored(case=label.case, value=label.value if rng.random() < 0.7 else 1 - label.value, judge="j1")
               for label in labels]  # fmt: skip
    texts = {s.case: "x" * (rng.randrange(100, 300) if s.value == 1.0 else rng.randrange(20, 120)) for s in flipped}
    found = calibrate(labels, {"": flipped}, judge="j1", split=split_labels(labels), texts=texts).criteria[0]
    assert [bias.name for bias in found.biases if bias.p < 0.05] == ["length"]
    steady = calibrate(labels, {"": [*scores, *again]}, judge="j1", split=split_labels(labels)).criteria[0]
    assert steady.flips is not None
    assert 0.05 < steady.flips.value < 0.17


def test_what_cannot_be_calibrated_is_refused() -> None:
    labels, scores = labelled(20)
    with pytest.raises(MixedJudges):
        calibrate(labels, {"": scores}, judge="other", split=split_labels(labels))
    with pytest.raises(BadInput, match="on no side"):
        calibrate(labels, {"": scores}, judge="j1", split=Split())
    with pytest.raises(BadInput, match="no verdicts"):
        calibrate(labels, {}, judge="j1", split=split_labels(labels))


# Refinement.


def test_refinement_sees_dev_only() -> None:
    labels, scores = labelled(200, right=0.8)
    split = split_labels(labels)
    found = disagreements(labels, {"": scores}, split=split)
    assert found
    assert {d.case for d in found} <= set(split.dev)
    truth = {label.case: label.value for label in labels}
    assert all(d.expert == ("pass" if truth[d.case] else "fail") and d.judge != d.expert for d in found)
    assert [bool(d.critiques) for d in found] == sorted((bool(d.critiques) for d in found), reverse=True)
    asked = refinement_request("Be fair.", found, {d.case: f"text of {d.case}" for d in found})
    assert "Be fair." in asked
    assert all(case not in asked.split() for case in split.test)
    assert found[0].critiques[0] in asked


# Status.


def test_status_follows_the_digest() -> None:
    labels, scores = labelled(600)
    split = split_labels(labels)
    good = calibrate(labels, {"": scores}, judge="j1", split=split, model="gpt", time_ns=7)
    assert judge_status("j1", []).state == "uncalibrated"
    assert (judge_status("j1", [good]).state, judge_status("j1", [good]).time_ns) == ("calibrated", 7)
    changed = judge_status("j2", [good], model="gpt-2")
    assert (changed.state, changed.why) == ("expired", "its model changed from gpt to gpt-2 since it was calibrated.")
    assert "rubric changed" in judge_status("j2", [good], model="gpt").why
    assert "model or rubric" in judge_status("j2", [good]).why
    bad = calibrate(labels, {"": [Scored(case=s.case, value=1.0 - (s.value or 0.0), judge="j1") for s in scores]},
                    judge="j1", split=split)  # fmt: skip
    assert judge_status("j1", [good, bad]).state == "uncalibrated"
    assert "not certif" in markdown(bad)


def test_a_calibration_survives_json_and_reads_well() -> None:
    labels, scores = labelled(300, right=0.95)
    found = calibrate(labels, {"": scores}, judge="j1", split=split_labels(labels), texts={"c1": "hello"})
    assert loaded(Calibration, json.loads(json.dumps(plain(found)))) == found
    text = markdown(found)
    assert text.startswith("**Judge `j1`:")
    assert "| verdict |" in text
    with pytest.raises(BadInput, match="Calibration"):
        loaded(Calibration, {"judge": 3})
    with pytest.raises(TypeError):
        markdown(object())


# Recorded judges (LLMBar; see data/README.md).


def recorded(judge: str, strategy: str, part: str) -> tuple[list[PairVote], dict[str, tuple[str, str]]]:
    value = {"1": 1.0, "2": 0.0}
    votes, texts = [], {}
    for line in DATA.read_text().splitlines():
        row = json.loads(line)
        if (row["judge"], row["strategy"]) == (judge, strategy) and part in row["item"]:
            first, second = row["winners"]
            votes.append(PairVote(case=row["item"], orders=(value[first], value[second]), better=value[row["label"]]))
            texts[row["item"]] = ("x" * row["lengths"][0], "x" * row["lengths"][1])
    return votes, texts


@pytest.mark.parametrize(
    ("judge", "strategy", "part", "biases"),
    [
        ("ChatGPT", "Vanilla", "Neighbor", {"position", "length"}),
        ("ChatGPT", "Vanilla", "Natural", {"position"}),
        ("GPT-4", "Metrics_Reference", "Neighbor", set()),
        ("GPT-4", "Swap_CoT", "Natural", set()),
    ],
)
def test_the_known_biases_of_recorded_judges_are_found(judge: str, strategy: str, part: str, biases: set[str]) -> None:
    votes, texts = recorded(judge, strategy, part)
    assert len(votes) >= 40
    found = diagnose_pairs(votes, texts)
    assert {bias.name for bias in found.found} == biases
    assert found.accuracy is not None
    assert (found.accuracy.value > 0.8) == (judge == "GPT-4")
    assert "pairs judged in both orders" in markdown(found)
