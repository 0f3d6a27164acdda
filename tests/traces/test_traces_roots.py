"""The root row of a trace tells of the spans under it, in whatever batches they arrive."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Span, Stamp
from trimtab.traces.roots import Roots

TRACE = "a" * 32


def _span(number: int, parent: int | None, **changes: object) -> Span:
    span = Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        parent_id="" if parent is None else f"{parent:016x}",
        name=f"s{number}",
        kind="chain",
        start_ns=number,
        end_ns=number + 1,
    )
    return replace(span, **changes)  # type: ignore[arg-type]


def _call(number: int, parent: int, cost: float | None = 0.5, **changes: object) -> Span:
    stamp = Stamp(model=f"openai/m{number}", prompt="support/7")
    fields = {
        "kind": "llm",
        "input_tokens": 10,
        "output_tokens": 2,
        "cost_usd": cost,
        "model": f"m{number}",
        "stamp": stamp,
    }
    return _span(number, parent, **{**fields, **changes})


ROOT = _span(1, None, stamp=Stamp(route="r/1"), tags={"topic": "own"})
CHILDREN = [
    _span(2, 1, kind="retriever", session="s", tags={"topic": "child", "user": "u"}),
    _call(3, 1),
    _call(4, 1),
]


@given(st.permutations(CHILDREN), st.lists(st.integers(0, 3), max_size=3))
def test_any_order_and_any_batches_give_the_same_root(children: list[Span], cuts: list[int]) -> None:
    roots = Roots()
    batches = [[*children], [ROOT]] if not cuts else [children[: cuts[0]], [*children[cuts[0] :], ROOT]]
    done = [span for batch in batches for span in roots.complete(batch)]
    root = done[-1]
    assert done[:-1] == list(children)
    assert (root.input_tokens, root.output_tokens, root.cost_usd) == (20, 4, 1.0)
    assert root.model == "m4"
    assert root.stamp == Stamp(model="openai/m4", prompt="support/7", route="r/1")
    assert root.session == "s"
    assert root.tags == {"topic": "own", "user": "u"}


def test_a_batch_that_is_sent_again_counts_once_even_after_a_failed_write() -> None:
    roots = Roots()
    roots.complete(CHILDREN[:2])
    roots.complete(CHILDREN[:2])
    first = roots.complete([CHILDREN[2], ROOT])
    assert roots.complete([CHILDREN[2], ROOT]) == first
    assert first[-1].input_tokens == 20
    roots.forget(first)
    assert roots.complete([ROOT]) == [ROOT]


def test_one_unpriced_call_leaves_the_whole_unpriced() -> None:
    root = Roots().complete([_call(2, 1), _call(3, 1, cost=None), ROOT])[-1]
    assert (root.input_tokens, root.cost_usd) == (20, None)


def test_a_call_that_wraps_a_call_counts_once() -> None:
    root = Roots().complete([_call(3, 2, cost=0.25), _call(2, 1), ROOT])[-1]
    assert (root.input_tokens, root.cost_usd) == (10, 0.25)


def test_what_the_root_says_itself_stays() -> None:
    own = replace(ROOT, input_tokens=1, output_tokens=1, cost_usd=9.0, model="mine", session="mine")
    root = Roots().complete([*CHILDREN, own])[-1]
    assert (root.input_tokens, root.cost_usd, root.model, root.session) == (1, 9.0, "mine", "mine")


@pytest.mark.parametrize("limit", [1, 5, 50])
def test_memory_is_bounded_by_forgetting_the_oldest_traces(limit: int) -> None:
    roots = Roots(spans_kept=limit)
    traces = [f"{number:032x}" for number in range(1, 101)]
    for trace in traces:
        roots.complete([replace(_call(2, 1), trace_id=trace, input="x" * 1000)])
    known = [trace for trace in traces if roots.complete([replace(ROOT, trace_id=trace)])[0].input_tokens]
    assert known == traces[-limit:]
