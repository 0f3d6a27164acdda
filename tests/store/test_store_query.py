"""A SpanQuery finds exactly what its definition says, in pages that do not move."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import DAY_NS, NOON, Clock

from trimtab.core import COLUMNS, BadInput, Filter, Score, Span, SpanQuery, Stamp
from trimtab.core.query import Op
from trimtab.store import SpanStore

OPS: tuple[Op, ...] = get_args(Op)
NUMBERS = ("input_tokens", "output_tokens", "cost_usd", "duration_ms", "ttft_ms")
WORDS = ("", "a", "A", "b", "ä", "Ä", "ab", "ß", "SS", "%", "a_b", "é\x00", "𝄞", "x'\"")
NAMES = ("topic", "x.y", '"', "0", "$")


class Stored(NamedTuple):
    store: SpanStore
    spans: list[Span]  # in the order of their commits
    scores: list[Score]

    def __repr__(self) -> str:
        return f"{len(self.spans)} spans"


def _some_spans(rng: random.Random, count: int) -> list[Span]:
    traces = [f"{rng.getrandbits(128):032x}" if n % 3 else f"odd {n}" for n in range(count // 3)]

    def word() -> str:
        return rng.choice(WORDS)

    def span(n: int) -> Span:
        start = NOON + rng.randrange(40)
        return Span(
            trace_id=rng.choice(traces),
            span_id=f"{n:016x}",
            parent_id=rng.choice(("", "", "ef" * 8)),
            name=word(),
            kind=rng.choice(("llm", "chain")),
            project=word(),
            session=word(),
            status=rng.choice(("ok", "error", "refused")),
            model=word(),
            provider=word(),
            fingerprint=word(),
            stamp=Stamp(model=word(), knowledge=word(), prompt=word(), guard=word(), route=word()),
            start_ns=start,
            end_ns=start + rng.choice((-5, 0, 1_000_000, 2_500_000)),
            input_tokens=rng.choice((None, 0, 1, 7)),
            output_tokens=rng.choice((None, 0, 1, 7)),
            cost_usd=rng.choice((None, 0.0, 0.1, 2.5)),
            ttft_ns=rng.choice((None, 0, 1_000_000, 2_500_000)),
            tags={rng.choice(NAMES): word() for _ in range(rng.randrange(3))},
            input=f"{word()} {word()}",
            output=word() + word(),
            attributes={"unseen": "zzz"},
        )

    return [span(n) for n in range(count)]


def _some_scores(rng: random.Random, spans: list[Span], count: int) -> list[Score]:
    def score(n: int) -> Score:
        span = rng.choice(spans)
        return Score(
            id=f"{rng.getrandbits(64):x}",
            trace_id=span.trace_id,
            span_id=rng.choice(("", span.span_id)),
            name=rng.choice(("q", "thumb")),
            value=rng.choice((0.0, 0.5, 1.0)),
            by="x",
            time_ns=NOON + n,
        )

    return [score(n) for n in range(count)]


@pytest.fixture(scope="module")
def stored() -> Iterator[Stored]:
    """Three day files: spans in the first two, scores in all, so that many a score lies apart from its span."""
    rng = random.Random(11)
    spans = _some_spans(rng, 120)
    scores = _some_scores(rng, spans, 90)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        store = SpanStore.open(Path(folder), clock=clock)

        async def fill() -> None:
            await store.write(spans[:80], scores[:46])
            clock.now += DAY_NS
            await store.write(spans[80:], scores[46:60])
            clock.now += DAY_NS
            await store.write(scores=scores[60:])

        asyncio.run(fill())
        yield Stored(store, spans, scores)
        store.close()


# -- the definition, in Python ---------------------------------------------------------------------------------------


def _compare(have: Any, op: Op, value: Any) -> bool:
    match op:
        case "=":
            return bool(have == value)
        case "<":
            return bool(have < value)
        case "<=":
            return bool(have <= value)
        case ">":
            return bool(have > value)
        case ">=":
            return bool(have >= value)
        case _:
            return value.casefold() in have.casefold()


def _values(span: Span, column: str, scores: list[Score]) -> list[Any]:
    """The values that a span has in a column: none, one, or with scores several."""
    if column.startswith("tag:"):
        return [span.tags[column[4:]]] if column[4:] in span.tags else []
    if column.startswith("score:"):
        return [
            score.value
            for score in scores
            if score.name == column[6:]
            and score.trace_id == span.trace_id
            and (not span.parent_id or score.span_id in ("", span.span_id))
        ]
    if column == "duration_ms":
        return [span.duration_ns / 1e6]
    if column == "ttft_ms":
        return [] if span.ttft_ns is None else [span.ttft_ns / 1e6]
    if column.startswith("stamp."):
        return [getattr(span.stamp, column[6:])]
    value = getattr(span, column)
    return [] if value is None else [value]


def _holds(span: Span, one: Filter, scores: list[Score]) -> bool:
    values = _values(span, one.column, scores)
    if one.op == "!=":
        return not any(value == one.value for value in values)
    return any(_compare(value, one.op, one.value) for value in values)


def expected(stored: Stored, query: SpanQuery) -> list[Span]:
    numbered = list(enumerate(stored.spans))
    found = [
        (span.start_ns, number, span)
        for number, span in numbered
        if span.start_ns >= query.since_ns
        and (not query.until_ns or span.start_ns < query.until_ns)
        and (not query.roots or not span.parent_id)
        and all(_holds(span, one, stored.scores) for one in query.filters)
        and (query.text.casefold() in span.input.casefold() or query.text.casefold() in span.output.casefold())
    ]
    return [span for _, _, span in sorted(found, key=lambda one: one[:2], reverse=True)]


# -- questions -------------------------------------------------------------------------------------------------------

texts = st.sampled_from([column for column in COLUMNS if column not in NUMBERS and column != "trace_id"])
numbers = st.sampled_from([0, 0.0, 0.1, 0.5, 1, 1.0, 2.5, 7, -1, 1e300, float("inf")])
text_filters = st.builds(Filter, column=texts, op=st.sampled_from(OPS), value=st.sampled_from((*WORDS, "ok", "LLM")))
tag_filters = st.builds(
    Filter,
    column=st.sampled_from(NAMES).map("tag:{}".format),
    op=st.sampled_from(OPS),
    value=st.sampled_from(WORDS),
)
number_filters = st.builds(
    Filter,
    column=st.sampled_from((*NUMBERS, "score:q", "score:thumb", "score:none")),
    op=st.sampled_from([op for op in OPS if op != "contains"]),
    value=numbers,
)
filters = st.one_of(text_filters, tag_filters, number_filters)
queries = st.builds(
    SpanQuery,
    since_ns=st.sampled_from((0, NOON, NOON + 10, NOON + 39)),
    until_ns=st.sampled_from((0, NOON, NOON + 20, NOON + 40, 1 << 62)),
    roots=st.booleans(),
    filters=st.lists(filters, max_size=3).map(tuple),
    text=st.sampled_from(("", "", "", "A", "ss", "ä", "zzz", " b")),
    limit=st.integers(1, 60),
)


async def pages(store: SpanStore, query: SpanQuery) -> list[Span]:
    found: list[Span] = []
    cursor = query.cursor
    while True:
        page = await store.query(
            SpanQuery(
                since_ns=query.since_ns,
                until_ns=query.until_ns,
                roots=query.roots,
                filters=query.filters,
                text=query.text,
                limit=query.limit,
                cursor=cursor,
            )
        )
        found += page.spans
        assert len(page.spans) == query.limit or not page.cursor
        if not page.cursor:
            return found
        cursor = page.cursor


@settings(max_examples=400, deadline=None)
@given(query=queries)
def test_all_pages_together_are_what_the_definition_says(stored: Stored, query: SpanQuery) -> None:
    assert asyncio.run(pages(stored.store, query)) == expected(stored, query)


@settings(max_examples=100, deadline=None)
@given(one=filters, roots=st.booleans())
def test_not_equal_is_exactly_what_equal_leaves(stored: Stored, one: Filter, roots: bool) -> None:
    async def count(op: Op | None) -> int:
        some = () if op is None else (Filter(column=one.column, op=op, value=one.value),)
        return len(await pages(stored.store, SpanQuery(filters=some, roots=roots, limit=1000)))

    async def check() -> None:
        assert await count("=") + await count("!=") == await count(None)

    asyncio.run(check())


@pytest.mark.parametrize("op", OPS)
async def test_trace_ids_compare_as_the_text_they_are(stored: Stored, op: Op) -> None:
    for value in (stored.spans[0].trace_id, "odd 3", "ODD", stored.spans[1].trace_id[:6], ""):
        query = SpanQuery(filters=(Filter(column="trace_id", op=op, value=value),), roots=False, limit=1000)
        assert await pages(stored.store, query) == expected(stored, query)


async def test_numbers_may_come_as_text(stored: Stored) -> None:
    as_text = SpanQuery(filters=(Filter(column="cost_usd", op=">=", value="0.1"),), limit=1000)
    as_number = SpanQuery(filters=(Filter(column="cost_usd", op=">=", value=0.1),), limit=1000)
    assert await pages(stored.store, as_text) == expected(stored, as_number) != []


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"filters": (Filter(column="colour", op="=", value="x"),)}, "filters[0].column", "'colour'"),
    ({"filters": (Filter(column="tag:", op="=", value="x"),)}, "filters[0].column", "tag:NAME"),
    ({"filters": (Filter(column="name; DROP TABLE spans", op="=", value="x"),)}, "filters[0].column", "stamp.prompt"),
    ({"filters": (Filter(column="name", op="~", value="x"),)}, "filters[0].op", "contains"),  # type: ignore[arg-type]
    ({"filters": (Filter(column="name", op="=", value=3),)}, "filters[0].value", "text"),
    ({"filters": (Filter(column="tag:a", op="<", value=3),)}, "filters[0].value", "text"),
    ({"filters": (Filter(column="name", op="=", value="\ud800"),)}, "filters[0].value", "Unicode"),
    ({"filters": (Filter(column="cost_usd", op="=", value="cheap"),)}, "filters[0].value", "'cheap'"),
    ({"filters": (Filter(column="cost_usd", op="=", value=float("nan")),)}, "filters[0].value", "nan"),
    ({"filters": (Filter(column="cost_usd", op="=", value=True),)}, "filters[0].value", "True"),
    ({"filters": (Filter(column="score:q", op="contains", value=1),)}, "filters[0].op", "number"),
    ({"text": "\udfff"}, "text", "Unicode"),
    ({"limit": 0}, "limit", "1 to 1000"),
    ({"limit": 1001}, "limit", "1 to 1000"),
    ({"cursor": "page 2"}, "cursor", "page 2"),
    ({"cursor": "5"}, "cursor", "5"),
]


@pytest.mark.parametrize(("fields", "field", "says"), WRONG)
async def test_a_wrong_question_is_refused_with_what_would_be_right(
    stored: Stored, fields: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        await stored.store.query(SpanQuery(**fields))
    assert caught.value.field == field
    assert says in str(caught.value)
    assert caught.value.mend


async def test_pages_do_not_move_while_spans_come_in(
    open_store: Callable[..., SpanStore], make_span: Callable[..., Span], clock: Clock
) -> None:
    store = open_store()
    rng = random.Random(7)
    first = [make_span(start_ns=NOON + rng.randrange(30)) for _ in range(100)]
    await store.write(first)
    seen: list[Span] = []
    cursor = ""
    while True:
        page = await store.query(SpanQuery(limit=9, cursor=cursor))
        seen += page.spans
        if not page.cursor:
            break
        cursor = page.cursor
        clock.now += DAY_NS // 3
        await store.write([make_span(start_ns=NOON + rng.randrange(60)) for _ in range(5)])
    old = [span for span in seen if span in first]
    assert old == sorted(first, key=lambda span: (span.start_ns, span.span_id), reverse=True)
    assert len({span.span_id for span in seen}) == len(seen)
