"""Retrievers are found by what they returned, and by nothing less."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from trimtab.core import Layer, Span
from trimtab.traces.flow import LINK, Flow

NOW = 1_790_000_000 * 10**9
PASSAGE = "Parcels to the north arrive on Friday, all others later."
FIRST, SECOND = "a" * 32, "b" * 32


def span(number: int, trace: str = FIRST, **fields: Any) -> Span:
    start = NOW + number * 10**7
    return Span(
        **{
            "trace_id": trace, "span_id": f"{number:016x}", "parent_id": "f" * 16, "name": f"step{number}",
            "kind": "chain", "start_ns": start, "end_ns": start + 100, **fields,
        }
    )  # fmt: skip


def asked(number: int, text: str, trace: str = FIRST, question: str = "When?", **fields: Any) -> Span:
    messages = [{"role": "system", "content": f"Answer from: {text}"}, {"role": "user", "content": question}]
    return span(number, trace, kind="llm", input=json.dumps(messages), **fields)


def observe(flow: Flow, *spans: Span, guessed: bool = True) -> list[Span]:
    return flow.observe(spans, {(s.trace_id, s.span_id) for s in spans if guessed and s.kind == "chain"})


def test_what_turns_up_in_the_prompt_was_retrieved() -> None:
    found = observe(Flow(), span(1, output=PASSAGE, input="When?"), asked(2, PASSAGE))
    assert (found[0].kind, found[0].layer) == ("retriever", Layer.KNOWLEDGE)
    # A list of texts as well, whose JSON is written in another way than the prompt.
    listed = json.dumps(['Line one of it, with a "quote" in it', PASSAGE])
    assert observe(Flow(), span(1, output=listed), asked(2, f"x\n{PASSAGE}"))[0].kind == "retriever"


@pytest.mark.parametrize(
    ("function", "guessed"),
    [
        (span(1, output=PASSAGE), False),  # its kind was named
        (span(1, output="short"), True),
        (span(1, output=PASSAGE, input=f"context: {PASSAGE}"), True),  # it was given it
        (span(1, output=PASSAGE, name="build_prompt"), True),
        (span(3, output=PASSAGE), True),  # it came after
        (span(1, output="Parcels to the south arrive on some other day."), True),
    ],
)
def test_what_is_no_finding(function: Span, guessed: bool) -> None:
    found = observe(Flow(), function, asked(2, PASSAGE), guessed=guessed)
    assert found[0].kind == "chain"


def test_a_question_in_other_words_is_no_finding() -> None:
    found = observe(Flow(), span(1, output=PASSAGE), asked(2, "nothing", question=PASSAGE))
    assert found[0].kind == "chain"


def test_an_answer_that_turns_up_in_the_next_prompt_is_no_finding() -> None:
    flow = Flow()
    turn = span(1, output=PASSAGE, parent_id="", session="s")
    call = replace(asked(0, "nothing at all", session="s"), parent_id=turn.span_id, end_ns=turn.end_ns - 50)
    observe(flow, call, turn)
    found = observe(flow, asked(5, PASSAGE, trace=SECOND, session="s", parent_id=""))
    assert LINK not in found[0].attributes


def test_traces_are_linked_on_both_sides_in_one_batch() -> None:
    retriever = span(1, output=PASSAGE, parent_id="", input="When?")
    call, root = asked(2, PASSAGE, trace=SECOND), span(3, trace=SECOND, parent_id="", start_ns=NOW, end_ns=NOW + 10**9)
    first, inner, second = observe(Flow(), retriever, call, root)
    assert (first.kind, first.attributes[LINK]) == ("retriever", SECOND)
    assert inner.attributes[LINK] == second.attributes[LINK] == FIRST


def test_what_came_in_an_earlier_batch_is_linked_from_the_later_side() -> None:
    flow = Flow()
    observe(flow, span(1, output=PASSAGE, parent_id="", input="When?"))
    (call,) = observe(flow, asked(2, PASSAGE, trace=SECOND))
    (root,) = observe(flow, span(3, trace=SECOND, parent_id=""))
    assert call.attributes[LINK] == root.attributes[LINK] == FIRST


@pytest.mark.parametrize("change", [{"session": "t"}, {"project": "other"}, {"start_ns": NOW + 120 * 10**9}])
def test_another_session_another_project_or_long_after_is_not_linked(change: dict[str, Any]) -> None:
    retriever = span(1, output=PASSAGE, parent_id="", session="s", kind="retriever")
    call = replace(asked(2, PASSAGE, trace=SECOND, session="s"), **change)
    assert LINK not in observe(Flow(), retriever, call)[1].attributes


def test_in_one_session_a_named_retriever_needs_no_proof() -> None:
    retriever = span(1, output="x", parent_id="", session="s", kind="retriever")
    call = asked(2, "its words were changed", trace=SECOND, session="s")
    assert observe(Flow(), retriever, call)[1].attributes[LINK] == FIRST
    alone = [replace(one, session="") for one in (retriever, call)]
    assert LINK not in observe(Flow(), *alone)[1].attributes


def test_memory_is_bounded() -> None:
    flow = Flow()
    for number in range(1, 1000):
        observe(flow, span(number, output=PASSAGE, project=f"p{number}"), asked(number, "x", project=f"p{number}"))
        observe(flow, span(number, output=PASSAGE))
    assert len(flow._sources) <= 256
    assert max(map(len, flow._sources.values())) <= 64
