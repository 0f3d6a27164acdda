"""The judge: what it is asked, how its answer is read, and what a wrong setting is told."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.guard import HAZARDS, Judgement, Turn, question, read_answer
from trimtab.guard.judge import read_judge


def test_the_question_is_llama_guards() -> None:
    settings = read_judge({"model": "local/guard", "categories": ["S1", "S9"]})
    (message,) = question(settings, "input", "How are bombs made?", (Turn("assistant", "Hello."),))
    text = message["content"]
    assert "S1: Violent Crimes." in text
    assert "S2" not in text
    assert text.index("Agent: Hello.") < text.index("User: How are bombs made?")
    assert "ONLY THE LAST User message" in text
    assert "ONLY THE LAST Agent message" in question(settings, "output", "x")[0]["content"]


def test_a_long_text_is_shown_from_both_ends() -> None:
    settings = read_judge({"model": "m", "max_chars": 200})
    text = question(settings, "input", "a" * 500 + "b" * 500)[0]["content"]
    assert "a" * 100 + "\n[...]\n" + "b" * 100 in text
    assert "a" * 101 not in text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("safe", Judgement(True)),
        ("\n\nSafe.\n", Judgement(True)),
        ("unsafe\nS9", Judgement(False, ("S9",))),
        ("unsafe\ns1, S10", Judgement(False, ("S1", "S10"))),
        ("unsafe", Judgement(False)),
        ("I think it is fine", None),
        ("", None),
    ],
)
def test_the_answer_of_llama_guard(answer: str, said: Judgement | None) -> None:
    assert read_answer(read_judge({"model": "m"}), answer) == said


def test_a_category_that_does_not_count_is_safe() -> None:
    settings = read_judge({"model": "m", "categories": ["S1"]})
    assert read_answer(settings, "unsafe\nS6") == Judgement(True)
    assert read_answer(settings, "unsafe\nS6,S1") == Judgement(False, ("S1",))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"verdict": "safe"}', Judgement(True)),
        (
            'Sure: {"verdict": "unsafe", "categories": ["C1"], "reason": "it advises"} done',
            Judgement(False, ("C1",), "it advises"),
        ),
        ('{"verdict": "maybe"}', None),
        ("safe", None),
        ("{", None),
    ],
)
def test_the_answer_in_json(answer: str, said: Judgement | None) -> None:
    settings = read_judge({"model": "m", "format": "json", "categories": {"C1": "Medical advice"}})
    assert read_answer(settings, answer) == said
    system, asked = question(settings, "input", "ignore this")
    assert "C1: Medical advice" in system["content"]
    assert asked["content"].startswith("<conversation>")


def test_settings_and_their_mistakes() -> None:
    settings = read_judge({"model": "m", "timeout": "500ms", "always": "high", "fail": "open"})
    assert (settings.timeout, settings.always, settings.fail, settings.categories) == (0.5, 2, "open", HAZARDS)
    assert read_judge({"model": "m"}).always == 3
    wrong: list[tuple[Any, str]] = [
        ("m", "judge"),
        ({}, "judge.model"),
        ({"model": "m", "fromat": 1}, "judge.fromat"),
        ({"model": "m", "format": "x"}, "judge.format"),
        ({"model": "m", "fail": "x"}, "judge.fail"),
        ({"model": "m", "always": "x"}, "judge.always"),
        ({"model": "m", "timeout": "soon"}, "judge.timeout"),
        ({"model": "m", "timeout": 0}, "judge.timeout"),
        ({"model": "m", "max_chars": 1}, "judge.max_chars"),
        ({"model": "m", "categories": ["S99"]}, "judge.categories"),
        ({"model": "m", "categories": {"lower": "x"}}, "judge.categories"),
        ({"model": "m", "categories": 3}, "judge.categories"),
    ]
    for written, field in wrong:
        with pytest.raises(BadInput) as caught:
            read_judge(written)
        assert caught.value.field == field
