from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.evals import Case, add_cases, cases_of, from_jsonl, golden_of, to_jsonl, validate
from trimtab.evals.dataset import merged
from trimtab.registry import Registry

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INPUT = TEXT.filter(lambda text: bool(text.strip()))
CASES = st.lists(
    st.builds(
        Case, input=INPUT, expected=TEXT, tags=st.dictionaries(TEXT, TEXT, max_size=2), source_trace=TEXT, note=TEXT
    ),
    max_size=6,
)


@given(CASES)
def test_cases_survive_jsonl(cases: list[Case]) -> None:
    back = from_jsonl(to_jsonl(cases))
    assert [(c.input, c.expected, c.tags, c.source_trace, c.note) for c in back] == [
        (c.input, c.expected, c.tags, c.source_trace, c.note) for c in cases
    ]
    assert from_jsonl(to_jsonl(back)) == back


@given(CASES, CASES)
def test_merging_adds_each_input_once_and_keeps_what_was_there(old: list[Case], new: list[Case]) -> None:
    before = merged({"cases": []}, old)
    after = merged(before, new)
    validate(after)
    assert after["cases"][: len(before["cases"])] == before["cases"]
    assert merged(after, [*new, *old]) == after
    inputs = [" ".join(c.input.lower().split()) for c in cases_of(after)]
    assert len(inputs) == len(set(inputs))


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "cases"),
        ({"cases": "x"}, "cases"),
        ({"cases": [], "extra": 1}, "extra"),
        ({"cases": [7]}, "cases[0]"),
        ({"cases": [{"input": "a"}, {"input": "  "}]}, "cases[1].input"),
        ({"cases": [{"input": "a", "expected": 7}]}, "cases[0].expected"),
        ({"cases": [{"input": "a", "tags": {"x": 1}}]}, "cases[0].tags"),
        ({"cases": [{"input": "a", "passages": ["x"]}]}, "cases[0].passages"),
        ({"cases": [{"input": "a", "inptu": "b"}]}, "cases[0].inptu"),
    ],
)
def test_wrong_content_is_named(content: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate(content)
    assert caught.value.field == field


def test_golden_items_need_an_answer_and_a_verdict() -> None:
    item = {"input": "q", "answer": "a [1]", "expected": "fail", "passages": [{"title": "t", "text": "x"}]}
    (golden,) = golden_of({"cases": [item]})
    assert (golden.passes, golden.passages[0]["number"]) == (False, 1)
    for wrong, field in (({**item, "expected": "maybe"}, "expected"), ({"input": "q"}, "answer")):
        with pytest.raises(BadInput) as caught:
            golden_of({"cases": [item, wrong]})
        assert caught.value.field == f"cases[1].{field}"


@pytest.mark.parametrize(("text", "line"), [("{", 1), ('{"input": "a"}\n\n[]', 3), ("[" * 100_000, 1)])
def test_a_broken_line_is_named(text: str, line: int) -> None:
    with pytest.raises(BadInput) as caught:
        from_jsonl(text)
    assert caught.value.field == f"line {line}"


async def test_cases_are_added_to_a_new_version_and_the_label_follows(registry: Registry) -> None:
    first = await add_cases(registry, "golden", [Case(input="One?"), Case(input="one?  ")], actor="desk", note="inc 1")
    assert (first.number, len(first.content["cases"])) == (1, 1)
    again = await add_cases(registry, "golden", [Case(input=" ONE? ")], actor="desk")
    assert again.pin == first.pin
    second = await add_cases(registry, "golden", [Case(input="Two?", source_trace="t1")], actor="desk")
    assert registry.labels("datasets", "golden")["production"] == second.number == 2
    assert [c.input for c in cases_of(second.content)] == ["One?", "Two?"]
    assert len({c["id"] for c in second.content["cases"]}) == 2
    with pytest.raises(BadInput):
        await add_cases(registry, "golden", [Case(input="")], actor="desk")


async def test_cases_added_at_the_same_time_are_all_kept(registry: Registry) -> None:
    await asyncio.gather(
        *(add_cases(registry, "golden", [Case(input=f"Question {i}?")], actor="desk") for i in range(4))
    )
    number = registry.labels("datasets", "golden")["production"]
    kept = {c.input for c in cases_of(registry.version("datasets", "golden", number).content)}
    assert kept == {f"Question {i}?" for i in range(4)}
