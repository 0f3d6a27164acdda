from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Layer, Span, Stamp
from trimtab.evals import CHECKS, Case, Output
from trimtab.evals.checks import complete
from trimtab.evals.wording import cited, content_words, declines

DAY = 86_400 * 10**9
NOW = 20_000 * DAY
PASSAGES = (
    {"number": 1, "title": "Keys", "text": "Access keys expire after ninety days.", "updated_ns": NOW - 10 * DAY},
    {"number": 2, "title": "Spans", "text": "Spans live in one file per day.", "updated_ns": NOW - 400 * DAY},
)
GOOD = Output(
    text="Access keys expire after ninety days. [1]",
    question="When do keys expire?",
    passages=PASSAGES,
    asked_corpus=True,
    time_ns=NOW,
)


async def values(output: Output) -> dict[str, float | None]:
    return {name: await check(Case(), output) for name, check in CHECKS.items()}


async def value(name: str, **changes: Any) -> float | None:
    return await CHECKS[name](Case(), replace(GOOD, **changes))


async def test_a_good_answer_passes_every_check() -> None:
    assert await values(GOOD) == dict.fromkeys(
        ("answered", "complete", "retrieved", "fresh", "cites", "grounded", "first_choice"), 1.0
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "error", "layer": Layer.MODEL}, 0.0),
        ({"status": "error", "layer": 1}, 0.0),
        ({"status": "error", "layer": Layer.OPERATIONS}, None),
        ({"status": "error", "layer": None}, None),
        ({"status": "refused", "layer": Layer.SAFETY}, None),
    ],
)
async def test_answered_blames_the_model_for_its_own_failures_only(changes: Any, expected: float | None) -> None:
    assert await value("answered", **changes) == expected
    assert await value("cites", **changes) is None
    assert await value("complete", **changes) is None


@pytest.mark.parametrize(
    ("finish", "expected"), [("stop", 1), ("tool_calls", 1), ("length", 0), ("content_filter", 0), ("", 0)]
)
async def test_complete_is_the_models_own_ending(finish: str, expected: float) -> None:
    assert await value("complete", finish=finish) == expected


async def test_retrieved_applies_where_a_corpus_was_asked() -> None:
    assert await value("retrieved", passages=()) == 0.0
    assert await value("retrieved", passages=(), asked_corpus=False) is None
    assert await value("retrieved", passages=(), status="refused") is None


async def test_fresh_looks_at_what_was_cited_else_at_the_top() -> None:
    assert await value("fresh", text="Spans live in one file. [2]") == 0.0
    assert await value("fresh", text="Both. [1][2]") == 0.0
    assert await value("fresh", text="Nothing cited.") == 1.0
    assert await value("fresh", passages=()) is None
    assert await value("fresh", passages=({"number": 1, "text": "undated"},)) is None
    patient = tuple({**p, "max_age_days": 500} for p in PASSAGES)
    assert await value("fresh", text="Old. [2]", passages=patient) == 1.0
    assert await value("fresh", time_ns=NOW + 170 * DAY) == 1.0
    assert await value("fresh", time_ns=NOW + 171 * DAY) == 0.0


async def test_cites_wants_a_passage_that_was_given() -> None:
    assert await value("cites", text="It says so.") == 0.0
    assert await value("cites", text="It says so. [7]") == 0.0
    assert await value("cites", text='{"answer": "so", "citations": [2]}') == 1.0
    assert await value("cites", text="So", passages=()) is None
    assert await value("cites", text="I do not know: the passages do not say.") is None


async def test_grounded_compares_with_the_passages_that_are_cited() -> None:
    assert await value("grounded", text="Access keys expire after ninety days. [2]") == 0.0
    assert await value("grounded", text="Access keys expire after ninety days.") == 1.0
    assert await value("grounded", text="An access key is expiring after ninety days [1].") == 1.0
    invented = (
        "Access keys expire after ninety days. Our premium concierge renews them overnight for loyal subscribers. [1]"
    )
    assert await value("grounded", text=invented) == 0.0
    assert await value("grounded", text="[1]") is None


async def test_first_choice_is_one_attempt_that_answered() -> None:
    assert await value("first_choice", attempts=2) == 0.0
    assert await value("first_choice", attempts=0) is None
    assert await value("first_choice", attempts=1, status="error", layer=Layer.MODEL) == 0.0
    assert await value("first_choice", attempts=1, status="refused") is None


@given(
    text=st.text(max_size=80),
    passages=st.lists(
        st.dictionaries(
            st.sampled_from(["number", "title", "text", "updated_ns", "max_age_days"]),
            st.one_of(st.none(), st.integers(-5, 5), st.text(max_size=9), st.floats()),
        ),
        max_size=3,
    ),
    status=st.sampled_from(["ok", "error", "refused"]),
    layer=st.sampled_from([None, 1, 2, 3, 4, 5]),
    finish=st.text(max_size=6),
    attempts=st.integers(-1, 4),
)
def test_whatever_comes_a_check_says_0_or_1_or_nothing(**fields: Any) -> None:
    output = Output(question="q", time_ns=NOW, **fields)
    for check in CHECKS.values():
        assert check.rule(output) in (None, 0.0, 1.0)


def test_checks_carry_the_names_of_their_scores() -> None:
    assert [check.name for check in CHECKS.values()] == list(CHECKS)
    assert CHECKS["complete"].rule is complete


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I do not know: the passages do not say.", True),
        ("I'm sorry, but I don't know.", True),
        ("The passages do not mention it.", True),
        ("Keys expire. I do not know more.", False),
        ("I know that keys expire.", False),
    ],
)
def test_declining_is_told_by_how_an_answer_begins(text: str, expected: bool) -> None:
    assert declines(text) is expected


def test_words_and_citations() -> None:
    assert content_words("The keys were expiring [2] and it's a key!") == {"key", "expir"}
    assert cited("so [1], and [12][3] but not [x] or [1234]") == {1, 12, 3}


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_ascii_has_the_words_that_any_text_has(text: str) -> None:
    assert content_words(text) == content_words(text + " \u00e9"), "a lone letter is no word with a meaning"


def root(**changes: Any) -> Span:
    fields: dict[str, Any] = {
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "name": "support",
        "kind": "chain",
        "start_ns": NOW - 5,
        "end_ns": NOW,
        "stamp": Stamp(knowledge="docs/1", prompt="p/1"),
        "tags": {"topic": "keys"},
        "input": GOOD.question,
        "output": GOOD.text,
        "attributes": {"gateway": True, "finish": "stop", "attempts": 1, "passages": list(PASSAGES)},
    }
    return Span(**{**fields, **changes})


def test_an_output_is_read_from_the_root_alone() -> None:
    child = replace(root(), span_id="c" * 16, parent_id="b" * 16, kind="llm", output="other", attributes={})
    output = Output.from_trace([child, root()])
    assert output == Output.from_trace([root()])
    assert output == replace(
        GOOD,
        trace_id="a" * 32,
        span_id="b" * 16,
        slice="keys",
        stamp=Stamp(knowledge="docs/1", prompt="p/1"),
        latency_ms=5e-6,
    )


def test_what_is_no_gateway_trace_has_no_output() -> None:
    assert Output.from_trace([]) is None
    assert Output.from_trace([root(attributes={})]) is None
    assert Output.from_trace([root(parent_id="d" * 16)]) is None


def test_odd_attributes_do_no_harm() -> None:
    odd = {"gateway": True, "finish": None, "attempts": "many", "passages": [None, {"number": 1}]}
    output = Output.from_trace([root(attributes=odd)])
    assert output is not None
    assert (output.finish, output.attempts, output.passages) == ("", 0, ({"number": 1},))
