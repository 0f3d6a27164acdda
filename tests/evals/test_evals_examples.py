"""Examples for a judge: chosen from what may refine it, never from what measures it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core import BadInput, Version
from trimtab.evals import (
    Case,
    Example,
    Judge,
    Label,
    Output,
    Pair,
    Scored,
    calibrate,
    choose_examples,
    split_labels,
    validate_judge,
)
from trimtab.evals.examples import Material
from trimtab.evals.judge import example_cases

CASES = [Case(id=f"c{n}", input=f"Question number {n} about topic {n % 7}?") for n in range(120)]
TEXTS = {case.id: f"Answer {n}." for n, case in enumerate(CASES)}


def labels(share: int = 5, *, critique: str = "wrong rule") -> list[Label]:
    """Every case labelled; one of ``share`` fails, with a critique."""
    return [
        Label(case=case.id, value=float(n % share > 0), by="mara", critique="" if n % share else critique)
        for n, case in enumerate(CASES)
    ]


def verdicts(*wrong: int) -> list[Scored]:
    truth = {label.case: label.value for label in labels()}
    return [
        Scored(case=case.id, value=1.0 - truth[case.id] if n in wrong else truth[case.id], judge="j")
        for n, case in enumerate(CASES)
    ]


def material(*wrong: int) -> Material:
    return Material(scores=verdicts(*wrong), cases=CASES, texts=TEXTS)


def test_examples_are_balanced_and_start_with_what_the_judge_got_wrong() -> None:
    given = labels()
    split = split_labels(given)
    wrong = [int(case.removeprefix("c")) for case in split.dev][:3]
    chosen = choose_examples(given, material(*wrong), split=split, count=8)
    assert len(chosen) == 8
    assert Counter(example.verdict for example in chosen) == {"pass": 4, "fail": 4}
    assert {f"c{n}" for n in wrong} <= {example.case for example in chosen}
    assert chosen[0].verdict == "fail"
    assert all(example.critique == "wrong rule" for example in chosen if example.verdict == "fail")
    assert all(example.question and example.answer == TEXTS[example.case] for example in chosen)
    assert chosen == choose_examples(given, material(*wrong), split=split, count=8), "the same every time"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.floats(0.1, 0.9), st.sets(st.integers(0, 119), max_size=30))
def test_no_example_is_ever_of_the_untouched_side(count: int, share: float, wrong: set[int]) -> None:
    given = labels()
    split = split_labels(given, test_share=share)
    chosen = choose_examples(given, material(*wrong), split=split, count=count)
    assert {example.case for example in chosen} <= set(split.dev)
    assert not {example.case for example in chosen} & set(split.test)
    assert len(chosen) == len({example.case for example in chosen}) == min(count, len(split.dev))


def test_a_group_gives_one_example_and_equal_ones_are_not_taken_twice() -> None:
    given = [Label(case=f"c{n}", value=0.0, by="mara", critique="no", group=f"g{n % 2}") for n in range(40)]
    split = split_labels(given, test_share=0.0)
    assert len(choose_examples(given, material(), split=split, count=6)) == 2


def test_labels_by_criterion_pass_where_every_one_does() -> None:
    given = [
        Label(case=f"c{n}", criterion=name, value=float(n % 2 or name == "cites"), by="mara", critique="off")
        for n in range(20) for name in ("cites", "answers")
    ]  # fmt: skip
    chosen = choose_examples(given, material(), split=split_labels(given, test_share=0.0), count=4)
    assert {(int(e.case[1:]) % 2, e.verdict) for e in chosen} == {(0, "fail"), (1, "pass")}
    assert "cites: off" in chosen[0].critique
    assert "answers: off" in chosen[0].critique


def test_labels_that_teach_nothing_are_refused() -> None:
    given = labels(critique="")
    split = split_labels(given)
    with pytest.raises(BadInput, match="critique"):
        choose_examples(given, material(), split=split, count=4)
    with pytest.raises(BadInput, match="out of range"):
        choose_examples(labels(), material(), split=split, count=21)
    seen = [Label(case="c0", value=0.0, by="mara", critique="x", blind=False)]
    with pytest.raises(BadInput, match="critique"):
        choose_examples(seen, material(), split=split_labels(seen, test_share=0.0), count=1)


def test_a_judge_that_was_shown_a_test_case_is_not_measured_on_it() -> None:
    given = labels()
    split = split_labels(given)
    with pytest.raises(BadInput, match="memory") as caught:
        calibrate(given, {"": verdicts()}, judge="j", split=split, examples=[split.test[0]])
    assert caught.value.field == "examples"
    assert calibrate(given, {"": verdicts()}, judge="j", split=split, examples=split.dev).criteria[0].cases == 60


CONTENT: dict[str, Any] = {"model": "a/b", "rubric": "Be strict."}
SINGLE = Example(case="c1", question="q?", answer="yes", verdict="fail", critique="no").content("support")
PAIRED = Example(case="p1", question="q?", answer="yes", other="no", verdict="a", critique="better").content("prefer")


def version(*examples: Any) -> Version:
    return Version(kind="judges", name="j", number=1, digest="", content={**CONTENT, "examples": list(examples)})


def test_an_example_stands_in_a_judge_with_its_case_which_the_model_is_not_told() -> None:
    content = version(SINGLE, PAIRED).content
    validate_judge(content)
    assert example_cases(content, "support") == {"c1"}
    assert example_cases(content, "prefer") == {"p1"}
    assert example_cases(content, "sup") == frozenset()
    said = Judge(version(SINGLE), None).ask(Output(text="a", question="b"))  # type: ignore[arg-type]
    assert "Verdict: fail" in str(said.messages[0]["content"])
    assert "c1" not in str(said.messages[0]["content"])


def test_examples_of_pairs_stand_either_way_round_so_that_no_place_is_taught() -> None:
    pair = Pair(version(PAIRED, PAIRED), None)  # type: ignore[arg-type]
    system = str(
        pair.ask(Case(input="q"), Output(text="a", question="q"), Output(text="b", question="q")).messages[0]["content"]
    )
    assert "First: yes\nSecond: no\nBetter: first" in system
    assert "First: no\nSecond: yes\nBetter: second" in system
    with pytest.raises(BadInput, match="single answers"):
        Pair(version(SINGLE), None).ask(Case(input="q"), Output(text="a", question="q"), Output(text="b", question="q"))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="pairs"):
        Judge(version(PAIRED), None).ask(Output(text="a", question="b"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"better": "left"}, "better"), ({"other": 3}, "other"), ({"case": 3}, "case"), ({"pass": True}, "")],
)
def test_an_example_that_does_not_fit_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate_judge({**CONTENT, "examples": [{**PAIRED, **change}]})
    assert caught.value.field == f"examples[0].{field}".rstrip(".")


def test_pairs_are_chosen_with_both_answers_and_every_verdict_in_turn() -> None:
    given = [Label(case=f"c{n}", value=(0.0, 0.5, 1.0)[n % 3], by="mara", critique="so") for n in range(60)]
    scores = [Scored(case=label.case, value=0.5, judge="j") for label in given]
    found = Material(scores=scores, cases=CASES, texts=TEXTS, others={f"c{n}": f"Other {n}." for n in range(60)})
    chosen = choose_examples(given, found, split=split_labels(given), count=6)
    assert Counter(example.verdict for example in chosen) == {"a": 2, "b": 2, "tie": 2}
    assert all(example.content("d")["better"] == example.verdict for example in chosen)
    assert all(example.other == f"Other {example.case[1:]}." for example in chosen)
    assert all(example.wrong for example in chosen if example.verdict != "tie")
