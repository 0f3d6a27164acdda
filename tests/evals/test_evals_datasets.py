"""Datasets: what a case may hold, files of other systems, near duplicates and leaks."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.evals import READERS, WRITERS, Case, Dataset, cases_of, check_cases, read_cases, validate, write_cases
from trimtab.evals.dataset import merged
from trimtab.evals.duplicates import near_pairs, shingles

FULL = Case(
    id="c1", input="What does it cost?", expected="9 EUR", tags={"topic": "price"}, note="n", group="fees.md",
    split="test", origin="human", source_trace="t1", variables={"product": "lamp"}, criteria=("Names the price.",),
    expects={"relevant": ["fees.md"]}, answer="It costs 9 EUR.",
    passages=({"title": "Fees", "text": "9 EUR"},), scorers=("exact",),
)  # fmt: skip


def test_a_case_keeps_everything_in_a_dataset_and_in_its_own_file() -> None:
    content = {"cases": [json.loads(json.dumps(FULL.content))]}
    validate(content)
    (read,) = cases_of(content)
    assert read.content == content["cases"][0]
    (again,) = read_cases(write_cases([FULL], "jsonl"), "jsonl").cases
    assert again.content == read.content


def test_ids_are_made_and_made_unique_and_the_digest_is_of_the_cases() -> None:
    one = Dataset.of("d", [Case(input="a"), Case(input="A "), Case(id="x", input="b"), Case(id="x", input="c")])
    ids = [case.id for case in one.cases]
    assert len(set(ids)) == 4
    assert ids[1] == f"{ids[0]}-2"
    assert ids[2:] == ["x", "x-2"]
    assert one.digest == Dataset.of("e", one.cases, pin="d/1").digest
    assert one.digest != Dataset.of("d", one.cases[:3]).digest


def test_splits_are_parts_of_a_dataset() -> None:
    cases = [Case(id=str(n), input=str(n), split="test" if n % 2 else "dev") for n in range(10)]
    dataset = Dataset.of("d", cases)
    assert [case.id for case in dataset.part("test").cases] == ["1", "3", "5", "7", "9"]
    assert [case.id for case in dataset.part("test", limit=2, offset=1).cases] == ["3", "5"]
    assert len(dataset.part().cases) == 10


def test_a_case_may_be_asked_by_its_variables_alone_and_is_told_apart_by_them() -> None:
    validate({"cases": [{"variables": {"product": "lamp"}}]})
    with pytest.raises(BadInput) as caught:
        validate({"cases": [{"variables": {}}]})
    assert caught.value.field == "cases[0].input"
    lamp, desk = Case(variables={"p": "lamp"}), Case(variables={"p": "desk"})
    assert len(merged({"cases": []}, [lamp, desk, lamp])["cases"]) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"criteria": ["", "x"]}, "criteria"), ({"expects": []}, "expects"), ({"scorers": "exact"}, "scorers"),
        ({"split": 1}, "split"), ({"passages": ["x"]}, "passages"), ({"tags": {"a": 1}}, "tags"), ({"x": 1}, "x"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate({"cases": [{"input": "q", **change}]})
    assert caught.value.field == f"cases[0].{field}"


# Files.


def test_csv_knows_fields_tags_and_variables_and_other_names_for_both_texts() -> None:
    text = (
        "\ufeffquestion,answer,tag:topic,product,split,criteria,expects:relevant\n"
        '"How, exactly?",9 EUR,price,lamp,test,"Polite.\nShort.","[""fees.md""]"\n'
        "When?,,,,,,\n"
    )
    first, second = read_cases(text, "csv").cases
    assert (first.input, first.expected, first.tags, first.variables, first.split) == (
        "How, exactly?", "9 EUR", {"topic": "price"}, {"product": "lamp"}, "test",
    )  # fmt: skip
    assert (list(first.criteria), first.expects) == (["Polite.", "Short."], {"relevant": ["fees.md"]})
    assert second.content == {"input": "When?"}
    with pytest.raises(BadInput) as caught:
        read_cases("input,expects:relevant\nq,{\n", "csv")
    assert caught.value.field.startswith("line 2")


def test_mlflow_records() -> None:
    records = [
        {"inputs": {"question": "Q?", "user": "mara"}, "expectations": {"expected_response": "A.",
         "expected_facts": ["It is A."], "guidelines": ["Be brief."], "min_score": 3}, "outputs": {"response": "B."},
         "tags": {"k": 1}, "source": {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}, "odd": 1},
        {"inputs": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"},
                                 {"role": "user", "content": "Bye"}]}},
    ]  # fmt: skip
    for text in (json.dumps(records), "\n".join(json.dumps(r) for r in records), json.dumps({"records": records})):
        read = read_cases(text, "mlflow")
        one, two = read.cases
        assert (one.input, one.variables, one.expected, one.answer) == ("Q?", {"user": "mara"}, "A.", "B.")
        assert list(one.criteria) == ["Be brief.", "The answer says: It is A."]
        assert (one.expects, one.tags, one.source_trace, one.origin) == ({"min_score": 3}, {"k": "1"}, "tr-1", "mlflow")
        assert two.input == "Bye"
        assert read.left_out == ("odd",)


def test_langsmith_examples() -> None:
    examples = [
        {"id": "e1", "inputs": {"query": "Q?"}, "outputs": {"answer": "A.", "score": 1}, "created_at": "2026",
         "metadata": {"dataset_split": ["dev"], "lang": "de"}, "attachments": {}},
        {"inputs": {"a": 1, "b": "x"}, "outputs": None},
    ]  # fmt: skip
    read = read_cases(json.dumps(examples), "langsmith")
    one, two = read.cases
    assert (one.id, one.input, one.expected, one.expects) == ("e1", "Q?", "A.", {"score": 1})
    assert (one.split, one.tags) == ("dev", {"lang": "de"})
    assert (two.input, two.variables) == ("", {"a": 1, "b": "x"})
    assert read.left_out == ("attachments",)


def test_inspect_samples() -> None:
    samples = [
        {"id": 7, "input": "What is 3 + 4?", "target": "7", "metadata": {"level": 1}},
        {
            "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
            "target": ["a", "b"],
        },
        {"input": "Which?", "choices": ["lamp", "desk"], "target": "B", "files": {}},
    ]
    read = read_cases("\n".join(json.dumps(sample) for sample in samples), "inspect")
    one, two, three = read.cases
    assert (one.id, one.input, one.expected, one.tags, one.origin) == (
        "7", "What is 3 + 4?", "7", {"level": "1"}, "inspect",
    )  # fmt: skip
    assert (two.input, two.expected) == ("Hi", "a")
    assert (three.input, three.expected) == ("Which?\n\nA) lamp\nB) desk", "B")
    assert read.left_out == ("files", "target: further ones")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=40)
@example([("file://a", "file://b")])
@example([("{{input}}", "{% raw %}{{ x }}{% endraw %}"), ("{% if a %}", "{%endraw%}"), ("{#", "{{{{")])
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5, unique_by=lambda pair: pair[0]))
def test_questions_and_answers_survive_every_format(pairs: list[tuple[str, str]]) -> None:
    cases = [Case(id=f"c{n}", input=asked, expected=answer) for n, (asked, answer) in enumerate(pairs)]
    for form in WRITERS:
        read = read_cases(write_cases(cases, form), form).cases
        assert [(case.input, case.expected) for case in read] == pairs, form


@pytest.mark.parametrize("form", [*READERS, "xml"])
def test_what_is_no_such_file_says_so(form: str) -> None:
    for text in ("", "{", '{"inputs": 7}\n', "7"):
        with pytest.raises(BadInput) as caught:
            read_cases(text, form)
        assert caught.value.field


# Near duplicates and leaks.


@settings(max_examples=60)
@given(st.lists(st.text("ab cd", max_size=24), max_size=14), st.sampled_from([0.5, 0.7, 0.8, 1.0]))
def test_the_pairs_are_those_of_comparing_all_with_all(texts: list[str], threshold: float) -> None:
    sets = [shingles(text) for text in texts]
    expected = [
        (a, b)
        for a in range(len(texts))
        for b in range(a + 1, len(texts))
        if sets[a] and sets[b] and len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= threshold
    ]
    assert [(a, b) for a, b, _ in near_pairs(texts, threshold)] == expected


def test_a_check_finds_near_duplicates_leaks_and_torn_groups() -> None:
    cases = [
        Case(id="a", input="How long does a refund take to arrive?", split="dev", expected="x", group="g1"),
        Case(id="b", input="How long does a refund take to arrive??", split="test", origin="human", group="g1"),
        Case(id="c", input="how long does a refund take to arrive", split="dev", source_trace="t"),
        Case(id="d", input="Which lamp is the brightest of all?", split="test"),
    ]
    found = check_cases(Dataset.of("d", cases).cases)
    assert {(p.first, p.second, p.leaks) for p in found.near} == {
        ("a", "b", True), ("b", "c", True), ("a", "c", False),
    }  # fmt: skip
    assert [p.leaks for p in found.near] == [True, True, False]
    assert (found.torn, found.empty_expected, found.unknown_origin, found.splits) == (("g1",), 3, 2,
                                                                                    {"dev": 2, "test": 2})  # fmt: skip
    assert not found.clean
    assert check_cases(cases[3:]).clean


def test_many_questions_are_compared_without_comparing_all_with_all() -> None:
    rng = random.Random(7)
    words = ["".join(rng.choice("abcdefghij") for _ in range(6)) for _ in range(400)]
    texts = [" ".join(rng.choices(words, k=10)) for _ in range(1500)]
    texts[1400] = f"{texts[3]} please"
    assert [(a, b) for a, b, _ in near_pairs(texts)] == [(3, 1400)]
