"""Every store counts the same groups: all columns, all statistics, any order, from sums and from rows alike."""

from __future__ import annotations

from typing import Any

import pytest
from moving_clock import DAY_NS, NOON
from span_reference import Reference

from trimtab.core import GROUPABLE, NUMBERS, STATISTICS, BadInput, Breakdown, Filter, SpanQuery
from trimtab.store import Group, Spans

SECOND = 10**9
ALL = SpanQuery(roots=False)
SUMS = ("count", "errors", "refused", "sum:cost_usd", "count:cost_usd", "sum:input_tokens", "sum:cached_tokens",
        "sum:reasoning_tokens", "avg:output_tokens", "p95:duration_ms", "sum:duration_ms", "p50:ttft_ms")  # fmt: skip
ROWS = ("count", "min:cost_usd", "max:duration_ms", "p90:output_tokens", "avg:score:q", "count:score:q", "p50:score:q")


async def same(spans: Spans, reference: Reference, breakdown: Breakdown) -> list[Group]:
    found = await spans.groups(breakdown)
    expected = reference.groups(breakdown)
    assert [group.keys for group in found] == [group.keys for group in expected]
    for have, want in zip(found, expected, strict=True):
        assert [value is None for value in have.values] == [value is None for value in want.values]
        assert [v for v in have.values if v is not None] == pytest.approx([v for v in want.values if v is not None])
    return found


@pytest.mark.parametrize("column", [*GROUPABLE, "tag:topic", "tag:x.y", 'tag:"', "tag:ü", "tag:none"])
@pytest.mark.parametrize("measures", [SUMS, ROWS])
async def test_by_one_column(spans: Spans, reference: Reference, column: str, measures: tuple[str, ...]) -> None:
    assert await same(spans, reference, Breakdown(query=ALL, by=(column,), measures=measures, limit=1000))


@pytest.mark.parametrize("seconds", [1, 10, 60, 599, 600, 1200, 3600, 86_400, 604_800])
@pytest.mark.parametrize("measures", [SUMS, ROWS])
async def test_by_time(spans: Spans, reference: Reference, seconds: int, measures: tuple[str, ...]) -> None:
    time = f"time:{seconds}"
    assert await same(spans, reference, Breakdown(query=ALL, by=(time,), measures=measures, order=time))


@pytest.mark.parametrize("column", [*NUMBERS, "score:q", "score:thumb", "score:ä'\"", "score:none"])
@pytest.mark.parametrize("roots", [True, False])
async def test_every_statistic_of_every_number(spans: Spans, reference: Reference, column: str, roots: bool) -> None:
    measures = tuple(f"{statistic}:{column}" for statistic in STATISTICS)
    for by in ((), ("kind",), ("model", "time:3600")):
        await same(spans, reference, Breakdown(query=SpanQuery(roots=roots), by=by, measures=measures))


SUMMED = {
    "everything": SpanQuery(),
    "all spans": ALL,
    "a project": SpanQuery(filters=(Filter(column="project", op="=", value="default"),)),
    "model contains": SpanQuery(filters=(Filter(column="model", op="contains", value="GPT"),), roots=False),
    "two models": SpanQuery(filters=(Filter(column="model", op="in", value=("gpt-4o", "claude")),), roots=False),
    "no model": SpanQuery(filters=(Filter(column="model", op="exists", value=0),), roots=False),
    "kind and prompt": SpanQuery(
        filters=(Filter(column="kind", op="=", value="llm"), Filter(column="stamp.prompt", op="!=", value="support/1")),
        roots=False,
    ),
    "route below": SpanQuery(filters=(Filter(column="stamp.route", op="<", value="support"),), roots=False),
    "whole cells": SpanQuery(since_ns=NOON, until_ns=NOON + 1200 * SECOND, roots=False),
    "ragged ends": SpanQuery(since_ns=NOON + 1, until_ns=NOON + 1201 * SECOND, roots=False),
    "a ragged start": SpanQuery(since_ns=NOON + 599 * SECOND, roots=False),
    "a ragged end": SpanQuery(until_ns=NOON + 601 * SECOND),
    "within a cell": SpanQuery(since_ns=NOON + 1, until_ns=NOON + 11 * SECOND, roots=False),
    "nothing": SpanQuery(since_ns=NOON + 9 * DAY_NS),
    "a tag": SpanQuery(filters=(Filter(column="tag:topic", op="exists", value=1),), roots=False),
    "a score": SpanQuery(filters=(Filter(column="score:q", op="<", value=0.5),)),
    "no score": SpanQuery(filters=(Filter(column="score:q", op="exists", value=0),), roots=False),
    "a text": SpanQuery(text="Order 3", roots=False),
    "an error": SpanQuery(filters=(Filter(column="error", op="contains", value="time"),), roots=False),
    "a price": SpanQuery(filters=(Filter(column="cost_usd", op=">", value=0.1),), roots=False),
}


@pytest.mark.parametrize("name", SUMMED)
async def test_of_some_spans(spans: Spans, reference: Reference, name: str) -> None:
    for by in ((), ("model",), ("stamp.prompt", "stamp.route"), ("time:600", "kind"), ("time:60",)):
        for measures in (SUMS, ROWS):
            await same(spans, reference, Breakdown(query=SUMMED[name], by=by, measures=measures, limit=10_000))


@pytest.mark.parametrize(
    "order",
    ["count", "-count", "-errors", "refused", "sum:output_tokens", "-p95:duration_ms", "-avg:score:q",
     "min:score:thumb", "-max:cached_tokens", "model", "-model", "kind", "-kind", "time:600", "-time:600"],
)  # fmt: skip
@pytest.mark.parametrize("limit", [1, 4, 10_000])
async def test_order_and_limit(spans: Spans, reference: Reference, order: str, limit: int) -> None:
    by = ("model", "kind", "time:600")
    found = await same(spans, reference, Breakdown(query=ALL, by=by, order=order, limit=limit))
    assert len(found) == min(limit, len(reference.groups(Breakdown(query=ALL, by=by, limit=10_000))))


async def test_groups_equal_in_the_order_stand_by_their_keys(spans: Spans, reference: Reference) -> None:
    for order in ("refused", "-refused", "count:cost_usd"):
        await same(spans, reference, Breakdown(query=ALL, by=("name", "session"), order=order, limit=10_000))


async def test_four_columns(spans: Spans, reference: Reference) -> None:
    for by in (("project", "kind", "model", "time:600"), ("layer", "status", "error", "tag:topic")):
        assert await same(spans, reference, Breakdown(query=ALL, by=by, measures=SUMS, limit=10_000))


async def test_no_span_is_one_group_of_nothing_or_no_group(spans: Spans) -> None:
    nothing = SpanQuery(since_ns=NOON + 9 * DAY_NS)
    measures = ("count", "errors", "sum:cost_usd", "p95:duration_ms", "count:cost_usd")
    (group,) = await spans.groups(Breakdown(query=nothing, measures=measures))
    assert (group.keys, group.values) == ((), (0.0, 0.0, None, None, 0.0))
    assert await spans.groups(Breakdown(query=nothing, by=("model",))) == []


async def test_the_limit_and_the_cursor_of_the_query_count_for_nothing(spans: Spans) -> None:
    plain = await spans.groups(Breakdown(query=SpanQuery(), by=("model",)))
    assert await spans.groups(Breakdown(query=SpanQuery(limit=1, cursor="1.1"), by=("model",))) == plain


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"by": ("colour",)}, "by[0]", "stamp.prompt"),
    ({"by": ("cost_usd",)}, "by[0]", "cost_usd"),
    ({"by": ("model", "tag:")}, "by[1]", "tag:NAME"),
    ({"by": ("model", "model")}, "by[1]", "twice"),
    ({"by": ("time:0",)}, "by[0]", "time:SECONDS"),
    ({"by": ("time:-1",)}, "by[0]", "time:SECONDS"),
    ({"by": ("time:1.5",)}, "by[0]", "time:SECONDS"),
    ({"by": ("time:99999999",)}, "by[0]", "time:SECONDS"),
    ({"by": ("name", "kind", "model", "status", "session")}, "by", "at most 4"),
    ({"measures": ()}, "measures", "1 to 64"),
    ({"measures": ("count",) * 65}, "measures", "1 to 64"),
    ({"measures": ("count", "p42:duration_ms")}, "measures[1]", "p95"),
    ({"measures": ("sum:model",)}, "measures[0]", "cost_usd"),
    ({"measures": ("avg:score:",)}, "measures[0]", "score:NAME"),
    ({"measures": ("cost_usd",)}, "measures[0]", "STATISTIC:COLUMN"),
    ({"order": "-colour"}, "order", "colour"),
    ({"by": ("model",), "order": "kind"}, "order", "kind"),
    ({"limit": 0}, "limit", "1 to 10000"),
    ({"limit": 10_001}, "limit", "1 to 10000"),
    ({"query": SpanQuery(filters=(Filter(column="x", op="=", value="y"),))}, "filters[0].column", "'x'"),
]


@pytest.mark.parametrize(("fields", "field", "says"), WRONG)
async def test_a_wrong_breakdown_is_refused(spans: Spans, fields: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        await spans.groups(Breakdown(**fields))
    assert caught.value.field == field
    assert says in str(caught.value)
    assert caught.value.mend
