"""Scores from outside: whose stamp they get, and how often the store is asked for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trimtab.core import Span, SpanQuery, Stamp, new_span_id, new_trace_id, now_ns
from trimtab.store import SpanStore
from trimtab.store.answers import Page
from trimtab.traces.scores import ScoreBody, scored


def _span(number: int, *, parent: str = "", trace_id: str = "", later_ns: int = 0) -> Span:
    now = now_ns() + later_ns
    return Span(
        trace_id=trace_id or new_trace_id(), span_id=new_span_id(), parent_id=parent, name="ask", kind="chain",
        start_ns=now, end_ns=now + 5, project=f"p{number}", stamp=Stamp(prompt=f"answer/{number}"),
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, store: SpanStore) -> list[SpanQuery]:
    """Every query that the store was asked; whole traces may not be asked for."""
    seen: list[SpanQuery] = []
    query = store.query

    async def noted(one: SpanQuery) -> Page:
        seen.append(one)
        return await query(one)

    async def never(trace_id: str) -> None:
        raise AssertionError(f"the whole trace {trace_id} was read")

    monkeypatch.setattr(store, "query", noted)
    monkeypatch.setattr(store, "trace", never)
    return seen


async def test_a_thousand_scores_take_three_reads_at_most(store: SpanStore, asked: list[SpanQuery]) -> None:
    roots = [_span(number) for number in range(300)]
    children = [_span(number, parent=root.span_id, trace_id=root.trace_id) for number, root in enumerate(roots)]
    rootless = [_span(1000 + number, parent=new_span_id()) for number in range(100)]
    await store.write([*roots, *children, *rootless])
    bodies = [ScoreBody(trace_id=span.trace_id, span_id=span.span_id, name="fit", value=1.0) for span in children]
    bodies += [ScoreBody(trace_id=span.trace_id, name="fit", value=1.0) for span in (*roots, *rootless)]
    made = await scored(store, bodies, now_ns())
    assert [(one.stamp, one.project) for one in made] == [
        (span.stamp, span.project) for span in (*children, *roots, *rootless)
    ]
    assert len(asked) <= 3


async def test_of_a_trace_without_a_root_the_earliest_span_speaks(store: SpanStore, asked: list[SpanQuery]) -> None:
    first = _span(1, parent=new_span_id())
    later = replace(_span(2, parent=first.parent_id, trace_id=first.trace_id, later_ns=1000), stamp=Stamp())
    await store.write([later, first])
    on_trace = ScoreBody(trace_id=first.trace_id, name="fit", value=1.0)
    on_span = ScoreBody(trace_id=first.trace_id, span_id=later.span_id, name="fit", value=1.0)
    made = await scored(store, [on_trace, on_span], now_ns())
    # A span without a stamp has that of its trace.
    assert [(one.stamp, one.project) for one in made] == [(first.stamp, "p1"), (first.stamp, "p1")]
    assert asked


async def test_more_spans_than_a_page_holds_hide_no_trace(store: SpanStore, asked: list[SpanQuery]) -> None:
    firsts = [_span(number, parent=new_span_id()) for number in range(21)]
    for first in firsts:
        later = [_span(99, parent=first.span_id, trace_id=first.trace_id, later_ns=1000 + n) for n in range(100)]
        await store.write([first, *later])
    made = await scored(store, [ScoreBody(trace_id=one.trace_id, name="fit", value=1.0) for one in firsts], now_ns())
    assert [(one.stamp, one.project) for one in made] == [(first.stamp, first.project) for first in firsts]
    assert len(asked) == 1 + 3


async def test_nothing_to_score_asks_nothing(store: SpanStore, asked: list[SpanQuery]) -> None:
    assert await scored(store, [], now_ns()) == []
    assert asked == []
