"""The simulated model as a judge that compares."""

from __future__ import annotations

import json
import random

from trimtab.core import Version
from trimtab.evals import Case, Output, Pair
from trimtab.providers.scripted_comparing import Comparison, give_preference, read_comparison

ASKED = "How long do refunds take?"


def asked(first: str, second: str, *, expected: str = "") -> Comparison:
    version = Version(kind="judges", name="j", number=1, digest="", content={"model": "a/b", "rubric": "Be fair."})
    pair = Pair(version, None)  # type: ignore[arg-type]
    outputs = [Output(text=text, question=ASKED) for text in (first, second)]
    found = read_comparison(pair.ask(Case(input=ASKED, expected=expected), *outputs).messages)
    assert found == Comparison(ASKED, expected, first, second)
    return found


def better(comparison: Comparison, slip: float = 0.0) -> str:
    return str(json.loads(give_preference(comparison, slip, random.Random(1)))["better"])


def test_who_declines_loses_and_who_says_more_of_what_was_asked_wins_in_either_order() -> None:
    good, poor, none = "Refunds take 14 days.", "It depends.", "I do not know about refunds."
    assert [better(asked(good, poor)), better(asked(poor, good))] == ["first", "second"]
    assert [better(asked(poor, none)), better(asked(none, poor))] == ["first", "second"]
    assert better(asked("Refunds take 3 weeks.", "Refunds take 14 days.", expected="14 days")) == "second"
    assert better(asked(good, good + " ")) == "tie"


def test_where_it_slips_it_takes_the_first() -> None:
    assert better(asked("It depends.", "Refunds take 14 days."), slip=1.0) == "first"


def test_other_prompts_are_no_comparisons() -> None:
    user = {"role": "user", "content": "<<<QUESTION abcdef12>>>\nq\n<<<END QUESTION abcdef12>>>"}
    assert read_comparison([{"role": "system", "content": "Write a poem."}, user]) is None
    assert read_comparison([{"role": "system", "content": 'Reply with JSON: {"better": ...}'}, user]) is None
