"""Every store finds exactly the spans that the door's definition says, in pages that do not move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from moving_clock import DAY_NS, NOON
from span_reference import Reference
from span_world import TAGS, WORDS

from trimtab.core import COLUMNS, NUMBERS, BadInput, Filter, Span, SpanQuery
from trimtab.store import Spans

SECOND = 10**9
TEXTS = [column for column in COLUMNS if column not in NUMBERS]
COMPARED = ("=", "!=", "<", "<=", ">", ">=")


def only(column: str, op: Any, value: Any, **more: Any) -> SpanQuery:
    """One condition on all spans."""
    return SpanQuery(**{"filters": (Filter(column=column, op=op, value=value),), "roots": False, "limit": 1000, **more})


async def all_pages(store: Spans, query: SpanQuery) -> list[Span]:
    found: list[Span] = []
    cursor = query.cursor
    while True:
        page = await store.query(replace(query, cursor=cursor))
        found += page.spans
        assert len(page.spans) == query.limit or not page.cursor
        if not page.cursor:
            return found
        cursor = page.cursor


async def same(store: Spans, reference: Reference, query: SpanQuery) -> int:
    found = await all_pages(store, query)
    assert found == reference.query(query)
    return len(found)


# -- every column ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", TEXTS)
async def test_text_compares_by_code_point(spans: Spans, reference: Reference, column: str) -> None:
    known = [reference.values(span, column)[0] for _, _, span in reference.spans[:200:23]]
    found = 0
    for op in COMPARED:
        for value in (*known[:5], "", "ä", "nothing like it"):
            found += await same(spans, reference, only(column, op, value))
    assert found


@pytest.mark.parametrize("column", TEXTS)
async def test_contains_ignores_case(spans: Spans, reference: Reference, column: str) -> None:
    known = str(reference.values(reference.spans[7][2], column)[0])
    for value in ("", "A", "ss", "Ä", "k", "E\x00", "%", "_", "x'", known[:3].upper(), "nowhere"):
        await same(spans, reference, only(column, "contains", value))


@pytest.mark.parametrize("column", [*TEXTS, "tag:topic"])
async def test_one_of_several_texts(spans: Spans, reference: Reference, column: str) -> None:
    known = tuple(value for _, _, span in reference.spans[::41] for value in reference.values(span, column))
    assert await same(spans, reference, only(column, "in", (*known, "nothing like it")))
    await same(spans, reference, only(column, "in", ("",)))


@pytest.mark.parametrize("column", [*NUMBERS, "score:q", "score:ä'\"", "score:none"])
async def test_numbers_compare_and_a_missing_one_is_only_unequal(
    spans: Spans, reference: Reference, column: str
) -> None:
    for op in COMPARED:
        for value in (0, 1, 7.0, 0.1, 0.30000000000000004, 2.5, -3, 1 << 40, 1e-9, 1e300, float("inf"), float("-inf")):
            await same(spans, reference, only(column, op, value))
    await same(spans, reference, only(column, "in", (1, 2.5, 0.5)))
    as_text, as_number = only(column, ">=", "0.1"), only(column, ">=", 0.1)
    assert await all_pages(spans, as_text) == reference.query(as_number)


@pytest.mark.parametrize("column", [*COLUMNS, *map("tag:{}".format, TAGS), "tag:none", "score:q", "score:none"])
async def test_whether_there_is_a_value(spans: Spans, reference: Reference, column: str) -> None:
    there = await same(spans, reference, only(column, "exists", 1))
    missing = await same(spans, reference, only(column, "exists", 0))
    assert there + missing == len(reference.spans)


@pytest.mark.parametrize("name", [*TAGS, "none"])
async def test_tags_of_any_name(spans: Spans, reference: Reference, name: str) -> None:
    for op in (*COMPARED, "contains"):
        for value in ("", "A", "ä", "é\x00", "x'\"", "𝄞"):
            await same(spans, reference, only(f"tag:{name}", op, value))


@pytest.mark.parametrize("roots", [True, False])
async def test_scores_of_the_trace_or_of_the_span(spans: Spans, reference: Reference, roots: bool) -> None:
    for name in ("q", "thumb", "ä'\""):
        for op, value in (
            ("=", 1),
            ("!=", 1),
            ("<", 0),
            (">=", 0.5),
            ("in", (0.25, 1.0)),
            ("exists", 1),
            ("exists", 0),
        ):
            await same(spans, reference, only(f"score:{name}", op, value, roots=roots))


# -- together --------------------------------------------------------------------------------------------------------

TOGETHER = {
    "everything": SpanQuery(roots=False),
    "roots": SpanQuery(),
    "one a page": SpanQuery(limit=1),
    "a window": SpanQuery(since_ns=NOON, until_ns=NOON + 600 * SECOND, roots=False, limit=7),
    "since is included": SpanQuery(since_ns=NOON + 10 * SECOND, roots=False),
    "until is excluded": SpanQuery(until_ns=NOON + 10 * SECOND, roots=False),
    "an empty window": SpanQuery(since_ns=NOON + 5, until_ns=NOON + 5, roots=False),
    "far away": SpanQuery(since_ns=NOON + 400 * DAY_NS, roots=False),
    "before everything": SpanQuery(until_ns=1, roots=False),
    "no end": SpanQuery(since_ns=1, until_ns=(1 << 63) - 1, roots=False),
    "several conditions": SpanQuery(
        filters=(
            Filter(column="model", op="=", value="gpt-4o"),
            Filter(column="status", op="!=", value="ok"),
            Filter(column="input_tokens", op=">", value=0),
        ),
        roots=False,
    ),
    "a condition and its opposite": SpanQuery(
        filters=(Filter(column="kind", op="=", value="llm"), Filter(column="kind", op="!=", value="llm")), roots=False
    ),
    "prompt and score": SpanQuery(
        filters=(
            Filter(column="stamp.prompt", op="=", value="support/2"),
            Filter(column="score:q", op="<", value=0.5),
        )
    ),
    "two scores": SpanQuery(
        filters=(Filter(column="score:q", op=">=", value=0.5), Filter(column="score:thumb", op="exists", value=1))
    ),
    "score and no score": SpanQuery(
        filters=(Filter(column="score:q", op="=", value=1), Filter(column="score:thumb", op="exists", value=0))
    ),
    "tag, text and time": SpanQuery(
        since_ns=NOON,
        filters=(Filter(column="tag:topic", op="exists", value=1),),
        text="ORDER 3",
        roots=False,
        limit=5,
    ),
    "error text": SpanQuery(filters=(Filter(column="error", op="contains", value="ÜBERLAST"),), roots=False),
    "error and text": SpanQuery(filters=(Filter(column="error", op="=", value="timeout"),), text="order", roots=False),
}


@pytest.mark.parametrize("name", TOGETHER)
async def test_together(spans: Spans, reference: Reference, name: str) -> None:
    await same(spans, reference, TOGETHER[name])


@pytest.mark.parametrize(
    "text", [*WORDS[1:], "order 3", "ORDER", "\\n", "n", "u0000", '"', '","', "zzz", "K", "[", "é"]
)
async def test_text_in_input_or_output_any_case(spans: Spans, reference: Reference, text: str) -> None:
    await same(spans, reference, SpanQuery(text=text, roots=False, limit=1000))


@pytest.mark.parametrize("limit", [1, 3, 50, 1000])
async def test_pages_of_any_size_are_the_same_list(spans: Spans, reference: Reference, limit: int) -> None:
    query = SpanQuery(since_ns=NOON - SECOND, until_ns=NOON + 20 * SECOND, roots=False, limit=limit)
    assert await same(spans, reference, query) > 30


# -- refused ---------------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"filters": (Filter(column="colour", op="=", value="x"),)}, "filters[0].column", "'colour'"),
    ({"filters": (Filter(column="tag:", op="=", value="x"),)}, "filters[0].column", "tag:NAME"),
    ({"filters": (Filter(column="name; DROP TABLE spans", op="=", value="x"),)}, "filters[0].column", "stamp.prompt"),
    ({"filters": (Filter(column="name", op="~", value="x"),)}, "filters[0].op", "contains"),  # type: ignore[arg-type]
    ({"filters": (Filter(column="name", op="=", value=3),)}, "filters[0].value", "text"),
    ({"filters": (Filter(column="tag:a", op="<", value=3),)}, "filters[0].value", "text"),
    ({"filters": (Filter(column="name", op="=", value="\ud800"),)}, "filters[0].value", "Unicode"),
    ({"filters": (Filter(column="tag:\ud800", op="=", value="a"),)}, "filters[0].column", "Unicode"),
    ({"filters": (Filter(column="cost_usd", op="=", value="cheap"),)}, "filters[0].value", "'cheap'"),
    ({"filters": (Filter(column="cost_usd", op="=", value=float("nan")),)}, "filters[0].value", "nan"),
    ({"filters": (Filter(column="cost_usd", op="=", value=True),)}, "filters[0].value", "True"),
    ({"filters": (Filter(column="score:q", op="contains", value=1),)}, "filters[0].op", "number"),
    ({"filters": (Filter(column="name", op="in", value="a"),)}, "filters[0].value", "list"),
    ({"filters": (Filter(column="name", op="in", value=()),)}, "filters[0].value", "1 to 1000"),
    ({"filters": (Filter(column="name", op="in", value=("a", 1)),)}, "filters[0].value", "text"),
    ({"filters": (Filter(column="name", op="in", value=("a",) * 1001),)}, "filters[0].value", "1001"),
    ({"filters": (Filter(column="name", op="=", value=("a",)),)}, "filters[0].value", "in"),
    ({"filters": (Filter(column="name", op="exists", value="yes"),)}, "filters[0].value", "1 or 0"),
    ({"filters": (Filter(column="name", op="exists", value=2),)}, "filters[0].value", "1 or 0"),
    ({"text": "\udfff"}, "text", "Unicode"),
    ({"limit": 0}, "limit", "1 to 1000"),
    ({"limit": 1001}, "limit", "1 to 1000"),
    ({"cursor": "page 2"}, "cursor", "page 2"),
    ({"cursor": "5"}, "cursor", "5"),
]


@pytest.mark.parametrize(("fields", "field", "says"), WRONG)
async def test_a_wrong_question_is_refused_with_what_would_be_right(
    spans: Spans, fields: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        await spans.query(SpanQuery(**fields))
    assert caught.value.field == field
    assert says in str(caught.value)
    assert caught.value.mend
