"""Judges that compare: files of pairs, people's preferences beside theirs, and what place and length do to them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score  # type: ignore[import-untyped]

from trimtab.core import BadInput
from trimtab.evals import (
    Case,
    Label,
    MixedJudges,
    Scored,
    calibrate_pairs,
    disagreements,
    labels_from,
    loaded,
    markdown,
    plain,
    read_cases,
    split_labels,
)
from trimtab.evals.biases import UNKNOWN
from trimtab.evals.calibrate import CERTIFIED, Calibration
from trimtab.evals.dataset import merged
from trimtab.evals.measured import SIDES

ROWS = [
    {"id": "p1", "question": "q1", "a": "A1", "b": "B1", "preferred": "a", "by": "mara", "critique": "B1 is rude."},
    {"id": "p1", "question": "q1", "a": "A1", "b": "B1", "preferred": "b", "by": "tom"},
    {"id": "p2", "question": "q1", "a": "A2", "b": "B1", "preferred": "tie", "by": "mara", "group": "g"},
]


def lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_one_file_holds_the_cases_and_what_people_prefer() -> None:
    read = read_cases(lines(ROWS), "pairs")
    assert [(c.id, c.input, c.answer, c.expects) for c in read.cases] == [
        ("p1", "q1", "A1", {"other": "B1"}), ("p2", "q1", "A2", {"other": "B1"}),
    ]  # fmt: skip
    assert "trimtab eval label" in read.left_out[0]
    assert "3 preferences" in read.left_out[0]
    # Two pairs with one question are two cases of a dataset.
    assert len(merged({"cases": []}, read.cases)["cases"]) == 2
    labels = labels_from(lines(ROWS))
    assert [(label.case, label.by, label.value) for label in labels] == [
        ("p1", "mara", 1.0), ("p1", "tom", 0.0), ("p2", "mara", 0.5),
    ]  # fmt: skip
    assert (labels[0].critique, labels[2].group) == ("B1 is rude.", "g")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("question,output_1,output_2,label\nq,x,y,2\n", 0.0),
        ("prompt,response_a,response_b,winner\nq,x,y,model_a\n", 1.0),
        ('{"prompt": "q", "chosen": "x", "rejected": "y", "preferred": "b"}\n', 0.0),
    ],
)
def test_the_names_that_others_use_are_understood(text: str, value: float) -> None:
    (case,) = read_cases(text, "pairs").cases
    (label,) = labels_from(text)
    assert (case.input, case.answer, case.expects["other"]) == ("q", "x", "y")
    assert (label.case, label.value, label.by) == (case.id, value, "expert")


def test_the_chosen_answers_are_a_in_half_of_the_rows_and_b_in_the_others() -> None:
    rows = [{"prompt": f"q{n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(200)]
    cases = {case.id: case for case in read_cases(lines(rows), "pairs").cases}
    labels = labels_from(lines(rows))
    assert len(cases) == len(labels) == 200
    for label in labels:
        case = cases[label.case]
        better = case.answer if label.value else case.expects["other"]
        assert better == f"good {case.input[1:]}", "whatever the place, the label is for the chosen one"
    assert 70 < sum(label.value for label in labels) < 130
    assert labels_from(lines(rows)) == labels


def test_a_preference_that_was_given_with_knowledge_of_the_judge_stays_so() -> None:
    rows: list[dict[str, Any]] = [
        {"question": "q", "a": "x", "b": "y", "preferred": "a", "by": "mara", "blind": blind} for blind in (False, True)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert [label.blind for label in labels_from(text)] == [False, True]
    assert labels_from("question,a,b,preferred,blind\nq,x,y,a,\n")[0].blind


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"question": "q", "a": "x"}\n', "line 1"),
        ('{"question": "q", "a": "x", "b": ""}\n', "line 1.a"),
        ('{"question": "q", "a": "x", "b": "y", "preferred": "left"}\n', "line 1.preferred"),
        ('{"question": "q", "a": "x", "b": "y"}\n[1]\n', "line 2"),
        ('{"question": "q", "a": "x", "b": "y", "id": "1"}\n{"question": "q", "a": "x", "b": "z", "id": "1"}\n',
         "line 2.id"),
    ],
)  # fmt: skip
def test_a_file_of_pairs_that_does_not_fit_names_the_line(text: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_cases(text, "pairs")
    assert caught.value.field == field


def test_pairs_that_nobody_compared_hold_no_labels_and_other_files_are_read_as_before() -> None:
    with pytest.raises(BadInput, match="nobody compared"):
        labels_from('{"question": "q", "a": "x", "b": "y"}\n')
    assert labels_from('{"case": "c", "value": "pass", "by": "mara"}\n')[0].value == 1.0
    assert labels_from("case,value,by\nc,fail,mara\n")[0].value == 0.0


JUDGE = "j"


def world(
    count: int, *, right: float = 0.95, pull: float = 0.0, ties: float = 0.0, people: int = 1, seed: int = 1
) -> tuple[list[Label], list[Scored], dict[str, tuple[float, float]]]:
    """Preferences of people, and a judge that is right so often in each order, and is pulled to the first place."""
    rng = random.Random(seed)
    labels, scores, orders = [], [], {}
    for n in range(count):
        truth = 0.5 if rng.random() < ties else float(rng.random() < 0.5)
        for who in range(people):
            labels.append(Label(case=f"p{n}", value=truth, by=f"expert {who}", critique="because"))
        said = []
        for place in (1.0, 0.0):  # what the first place holds: A, then B
            choice = truth if rng.random() < right else (1.0 - truth if truth != 0.5 else float(rng.random() < 0.5))
            said.append(place if rng.random() < pull else choice)
        orders[f"p{n}"] = (said[0], said[1])
        value = said[0] if said[0] == said[1] else 0.5
        scores.append(Scored(case=f"p{n}", value=value, judge=JUDGE))
    return labels, scores, orders


def measured(count: int, **how: float) -> Calibration:
    labels, scores, orders = world(count, **how)  # type: ignore[arg-type]
    return calibrate_pairs(labels, scores, orders, judge=JUDGE, split=split_labels(labels))


def test_kappa_of_preferences_is_that_of_the_reference_with_ties_and_without() -> None:
    for ties in (0.0, 0.2):
        labels, scores, orders = world(300, right=0.9, ties=ties)
        split = split_labels(labels)
        found = calibrate_pairs(labels, scores, orders, judge=JUDGE, split=split).criteria[0]
        test = set(split.test)
        said = {score.case: score.value for score in scores}
        rows = [(SIDES.index(label.value), SIDES.index(said[label.case])) for label in labels if label.case in test]
        people, judge = zip(*rows, strict=True)
        assert found.kappa is not None
        assert found.kappa.value == pytest.approx(cohen_kappa_score(people, judge), abs=1e-9)
        assert found.kappa.low < found.kappa.value < found.kappa.high
        assert found.agreement is not None
        assert found.agreement.value == pytest.approx(sum(p == j for p, j in rows) / len(rows))
        assert found.cases == len(test)
        assert found.preferences is not None
        counts = [found.preferences.people_b, found.preferences.people_tie, found.preferences.people_a]
        assert [list(row) for row in counts] == [[rows.count((p, j)) for j in range(3)] for p in range(3)]
        assert (found.tpr, found.tnr, found.confusion) == (None, None, None)


def test_a_good_judge_is_certified_and_its_record_comes_back() -> None:
    found = measured(400, right=0.995)
    assert found.answer == CERTIFIED
    assert loaded(Calibration, plain(found)) == found


def test_the_pull_of_the_first_place_is_found_over_all_pairs_with_intervals_and_counts() -> None:
    found = measured(200, right=0.95, pull=0.4).criteria[0].pairs
    assert found is not None
    assert found.pairs == found.flips.n == 200, "what needs no label counts the pairs that refine, too"
    (position,) = [bias for bias in found.biases if bias.name == "position"]
    assert position.p < 0.001
    assert 0.0 < position.low < position.effect < position.high
    assert found.picks_first.low > 0.5
    fair = measured(200, right=0.9).criteria[0].pairs
    assert fair is not None
    assert not fair.found
    said = markdown(measured(200, right=0.95, pull=0.4))
    assert "Bias by position" in said
    assert "the order changes" in said
    assert "People prefer answer A in" in said
    assert "TPR" not in said


def test_labels_of_the_side_that_refines_tell_nothing_of_length() -> None:
    labels, scores, orders = world(200)
    split = split_labels(labels)
    texts = {label.case: ("x" * 9, "y") if label.value else ("x", "y" * 9) for label in labels}
    found = calibrate_pairs(labels, scores, orders, judge=JUDGE, split=split, texts=texts).criteria[0].pairs
    assert found is not None
    (length,) = [bias for bias in found.biases if bias.name == "length"]
    assert length.what.startswith(UNKNOWN), "the better answer is always the longer one"
    assert (length.low, length.effect, length.high) == (-0.5, 0.0, 0.5)
    assert 0 < length.n <= len(split.test)
    assert found.accuracy is not None
    assert found.accuracy.n == len(split.test)
    assert "is not known: the better answer has more length" in markdown(
        calibrate_pairs(labels, scores, orders, judge=JUDGE, split=split, texts=texts)
    )


def test_people_who_are_split_and_judges_that_are_asked_again() -> None:
    labels, scores, orders = world(60, people=2)
    labels += [Label(case="p0", value=1.0 - labels[0].value, by=who) for who in ("third", "fourth")]
    scores += [Scored(case=score.case, value=0.5, judge=JUDGE) for score in scores]
    found = calibrate_pairs(labels, scores, orders, judge=JUDGE, split=split_labels(labels, test_share=1.0)).criteria[0]
    assert found.unsettled == 1
    assert found.cases == 59
    assert found.ceiling is not None
    assert 0.9 < found.ceiling.value <= 1.0
    assert found.flips is not None
    assert found.flips.value > 0.8


def test_what_cannot_be_measured_is_refused() -> None:
    labels, scores, orders = world(20)
    split = split_labels(labels)
    with pytest.raises(MixedJudges):
        calibrate_pairs(labels, [Scored(case="p0", value=1.0, judge="k")], {}, judge=JUDGE, split=split)
    with pytest.raises(BadInput, match="memory"):
        calibrate_pairs(labels, scores, orders, judge=JUDGE, split=split, examples=[split.test[0]])
    calibrate_pairs(labels, scores, orders, judge=JUDGE, split=split, examples=[split.dev[0]])


def test_disagreements_on_pairs_are_words_of_the_dev_side() -> None:
    labels, scores, _ = world(200, right=0.7)
    split = split_labels(labels)
    found = disagreements(labels, {"": scores}, split=split, pairs=True)
    assert found
    assert {one.case for one in found} <= set(split.dev)
    assert {one.expert for one in found} == {"a", "b"}
    assert {one.judge for one in found} == {"a", "b", "tie"}
    assert all(one.expert != one.judge for one in found)


def test_a_pair_is_a_case_with_both_answers() -> None:
    one, other = (
        Case(input="q", answer="x", expects={"other": "y"}),
        Case(input="q", answer="x", expects={"other": "z"}),
    )
    assert one.identity != other.identity
    assert Case(input="q", answer="x").identity == Case(input="Q").identity
