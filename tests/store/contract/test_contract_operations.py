"""Every store keeps what it acknowledged, once, in the order of its commits, and forgets whole days only."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from moving_clock import DAY_NS, NOON, Clock
from span_reference import Reference
from span_world import commits

from trimtab.core import BadInput, Breakdown, Filter, Score, Span, SpanQuery
from trimtab.store import Batch, Spans

SECOND = 10**9
MakeSpan = Callable[..., Span]
MakeScore = Callable[..., Score]


def approximately(bucket: Any) -> Any:
    """A bucket of a series whose sums may differ in the last digits."""
    floats = {name: getattr(bucket, name) for name in ("cost_usd", "total", "total_sq") if hasattr(bucket, name)}
    return replace(bucket, **{name: pytest.approx(value) for name, value in floats.items()})


async def follow(store: Spans, limit: int, position: str = "") -> tuple[list[Span], list[Score], str]:
    spans: list[Span] = []
    scores: list[Score] = []
    while True:
        batch = await store.tail(position, limit)
        assert len(batch.spans) + len(batch.scores) <= limit
        if not batch.spans and not batch.scores:
            return spans, scores, batch.position
        spans += batch.spans
        scores += batch.scores
        position = batch.position


# -- the world -------------------------------------------------------------------------------------------------------


async def test_a_trace_is_whole(spans: Spans, reference: Reference) -> None:
    for trace_id in {span.trace_id for _, _, span in reference.spans}:
        trace = await spans.trace(trace_id)
        assert trace is not None
        assert (list(trace.spans), list(trace.scores)) == reference.trace(trace_id)


@pytest.mark.parametrize("trace_id", ["", "nobody", "f" * 32, "F" * 32, "odd", "\x00", "é" * 16])
async def test_an_unknown_trace_is_none(spans: Spans, trace_id: str) -> None:
    assert await spans.trace(trace_id) is None


async def test_scores_of_some_traces(spans: Spans, reference: Reference) -> None:
    ids = [*dict.fromkeys(span.trace_id for _, _, span in reference.spans), "nobody", "f" * 32]
    found = await spans.scores_of(ids)
    assert found == {trace_id: tuple(reference.scores_of(trace_id)) for trace_id in ids}
    assert any(found.values())
    assert await spans.scores_of([]) == {}
    assert await spans.scores_of([ids[0], ids[0]]) == {ids[0]: found[ids[0]]}


async def test_scores_of_too_many_traces_are_refused(spans: Spans) -> None:
    with pytest.raises(BadInput) as caught:
        await spans.scores_of([str(n) for n in range(1001)])
    assert caught.value.field == "trace_ids"


@pytest.mark.parametrize("name", ["", "q", "ä'\"", "none"])
@pytest.mark.parametrize("limit", [0, 1, 20, 1000])
@pytest.mark.parametrize("project", ["", "other", "none"])
async def test_scores_newest_first(spans: Spans, reference: Reference, name: str, project: str, limit: int) -> None:
    for since, until in ((0, 0), (NOON, NOON + 70 * SECOND), (NOON + 70 * SECOND, 0), (NOON + 9 * DAY_NS, 0)):
        window = {"since_ns": since, "until_ns": until, "name": name, "project": project, "limit": limit}
        assert await spans.scores(**window) == reference.newest_scores(**window)  # type: ignore[arg-type]


@pytest.mark.parametrize("bucket_s", [10, 60, 600, 3600])
@pytest.mark.parametrize("project", ["", "other", "none"])
async def test_series(spans: Spans, reference: Reference, bucket_s: int, project: str) -> None:
    for since, until in ((0, 0), (NOON, NOON + 600 * SECOND), (NOON + 5 * SECOND, NOON + 11 * SECOND)):
        window: dict[str, Any] = {"since_ns": since, "until_ns": until, "bucket_s": bucket_s, "project": project}
        found = await spans.span_series(**window)
        assert found == [approximately(bucket) for bucket in reference.span_series(**window)]
        scored = await spans.score_series(**window)
        assert scored == [approximately(bucket) for bucket in reference.score_series(**window)]


async def test_cost_by_day_and_model_is_the_sum_over_the_spans(spans: Spans, reference: Reference) -> None:
    """To the cent, cached and reasoning tokens within the input and output tokens and never added to them."""
    measures = ("sum:cost_usd", "sum:input_tokens", "sum:output_tokens", "sum:cached_tokens", "sum:reasoning_tokens")
    calls = SpanQuery(filters=(Filter(column="kind", op="=", value="llm"),), roots=False)
    groups = await spans.groups(Breakdown(query=calls, by=("time:86400", "model"), measures=measures, limit=1000))
    expected: dict[tuple[str | int, ...], list[float]] = {}
    for _, _, span in reference.spans:
        if span.kind == "llm":
            sums = expected.setdefault((span.start_ns // DAY_NS * DAY_NS, span.model), [0.0] * 5)
            values = (span.cost_usd, span.input_tokens, span.output_tokens, span.cached_tokens, span.reasoning_tokens)
            sums[:] = [have + (value or 0) for have, value in zip(sums, values, strict=True)]
    assert {group.keys: [round(value or 0, 2) for value in group.values] for group in groups} == {
        keys: [round(value, 2) for value in sums] for keys, sums in expected.items()
    }


@pytest.mark.parametrize("limit", [29, 1000])
async def test_the_tail_gives_every_row_once_in_order(spans: Spans, reference: Reference, limit: int) -> None:
    found, judged, end = await follow(spans, limit)
    assert found == [span for _, _, span in reference.spans]
    assert judged == [score for _, _, score in reference.scores]
    for position in (end, await spans.end()):
        assert await spans.tail(position) == Batch(spans=(), scores=(), position=position)


async def test_the_tail_gives_one_row_at_a_time(fresh: Spans, make_span: MakeSpan, make_score: MakeScore) -> None:
    spans, scores = [make_span() for _ in range(3)], [make_score() for _ in range(2)]
    await fresh.write(spans[:2], scores)
    await fresh.write(spans[2:])
    assert (await follow(fresh, 1))[:2] == (spans, scores)


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "9" * 20, "١"])
async def test_what_is_no_position_is_refused(spans: Spans, position: str) -> None:
    with pytest.raises(BadInput) as caught:
        await spans.tail(position)
    assert caught.value.field == "position"


@pytest.mark.parametrize("bucket_s", [0, -10, 1, 15])
async def test_buckets_finer_than_the_sums_are_refused(spans: Spans, bucket_s: int) -> None:
    for series in (spans.span_series, spans.score_series):
        with pytest.raises(BadInput, match="multiple of 10"):
            await series(since_ns=0, until_ns=0, bucket_s=bucket_s)


# -- stores of their own ---------------------------------------------------------------------------------------------


async def test_the_first_of_equal_ids_is_kept(fresh: Spans, make_span: MakeSpan, make_score: MakeScore) -> None:
    first = make_span(trace_id="t", span_id="s", name="first", cost_usd=1.0, model="m")
    second = make_span(trace_id="t", span_id="s", name="second", cost_usd=2.0, model="m")
    judged = make_score(id="one", trace_id="t", value=0.25)
    await fresh.write([first, second], [judged, make_score(id="one", trace_id="t", value=0.75)])
    await fresh.write([second, first], [make_score(id="one", trace_id="other")])
    trace = await fresh.trace("t")
    assert trace is not None
    assert (trace.spans, trace.scores) == ((first,), (judged,))
    measures = ("count", "sum:cost_usd", "sum:score:quality")
    assert (await fresh.groups(Breakdown(measures=measures)))[0].values == (1.0, 1.0, 0.25)
    assert [bucket.n for bucket in await fresh.span_series(since_ns=0, until_ns=0, bucket_s=10)] == [1]


async def test_the_first_is_kept_over_midnight(fresh: Spans, make_span: MakeSpan, clock: Clock) -> None:
    first = make_span(trace_id="t", span_id="s", name="first")
    await fresh.write([first])
    clock.now += DAY_NS
    await fresh.write([replace(first, name="second"), make_span(trace_id="t", span_id="z")])
    trace = await fresh.trace("t")
    assert trace is not None
    assert [span.name for span in trace.spans] == ["first", "ask"]


@pytest.mark.parametrize(
    "fields",
    [{"start_ns": -1}, {"start_ns": 1 << 63}, {"cost_usd": float("nan")}, {"cost_usd": float("inf")},
     {"input_tokens": 1.5}, {"name": "\ud800"}, {"attributes": {"a": object()}}, {"tags": {"a": 1}}, {"model": None}],
)  # fmt: skip
async def test_all_of_a_write_or_nothing(fresh: Spans, make_span: MakeSpan, fields: dict[str, Any]) -> None:
    good = make_span()
    with pytest.raises(BadInput):
        await fresh.write([good, make_span(**fields)])
    assert (await fresh.query(SpanQuery())).spans == ()
    await fresh.write([good])
    assert (await fresh.query(SpanQuery())).spans == (good,)


async def test_a_bad_write_fails_alone(fresh: Spans, make_span: MakeSpan, make_score: MakeScore) -> None:
    spans = [make_span() for _ in range(8)]
    bad = make_score(value=float("nan"))
    writes = [fresh.write([span], [bad] if n == 3 else []) for n, span in enumerate(spans)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(result, BadInput) for result in results] == [n == 3 for n in range(8)]
    kept = sorted((await fresh.query(SpanQuery())).spans, key=lambda span: span.start_ns)
    assert kept == [span for n, span in enumerate(spans) if n != 3]


async def test_what_was_offered_is_there_after_a_flush(
    fresh: Spans, make_span: MakeSpan, make_score: MakeScore
) -> None:
    spans = [make_span() for _ in range(30)]
    before = await fresh.end()
    for span in spans:
        assert fresh.offer([span], [make_score(trace_id=span.trace_id)])
    await fresh.flush()
    assert (await fresh.tail(before)).spans == tuple(spans)
    assert len(await fresh.scores(since_ns=0, until_ns=0)) == 30
    assert fresh.dropped == 0
    assert fresh.commits >= 1


async def test_offered_rows_that_cannot_be_stored_are_counted(fresh: Spans, make_span: MakeSpan) -> None:
    assert fresh.offer([make_span(cost_usd=float("nan")), make_span()])
    await fresh.flush()
    assert fresh.dropped == 2


async def test_expiry_forgets_whole_days_of_arrival(fresh: Spans, clock: Clock) -> None:
    reference = Reference(clock)
    for commit in commits():
        clock.now = NOON + commit.after_ns
        reference.write(commit.spans, commit.scores)
        await fresh.write(commit.spans, commit.scores)
    for before in (NOON - DAY_NS, NOON + DAY_NS // 2 - 1, NOON + DAY_NS // 2, NOON + DAY_NS // 2 + DAY_NS):
        assert await fresh.expire(before) == reference.expire(before)
        everything = SpanQuery(roots=False, limit=1000)
        assert list((await fresh.query(everything)).spans) == reference.query(everything)
        breakdown = Breakdown(query=everything, by=("model",), measures=("count", "sum:cost_usd"), limit=1000)
        found = {group.keys: group.values for group in await fresh.groups(breakdown)}
        expected = {group.keys: group.values for group in reference.groups(breakdown)}
        assert found.keys() == expected.keys()
        assert all(found[keys][0] == expected[keys][0] for keys in expected)
        spans, scores, _ = await follow(fresh, 50)
        assert (spans, scores) == ([one[2] for one in reference.spans], [one[2] for one in reference.scores])


async def test_today_is_never_expired(fresh: Spans, make_span: MakeSpan, clock: Clock) -> None:
    await fresh.write([make_span()])
    assert await fresh.expire(clock.now + 30 * DAY_NS) == []
    assert len((await fresh.query(SpanQuery())).spans) == 1


async def test_positions_go_on_after_everything_is_forgotten(fresh: Spans, make_span: MakeSpan, clock: Clock) -> None:
    await fresh.write([make_span()])
    position = await fresh.end()
    clock.now += 3 * DAY_NS
    await fresh.expire(clock.now)
    later = make_span(start_ns=clock.now)
    await fresh.write([later])
    assert (await fresh.tail(position)).spans == (later,)
    assert await fresh.end() != position


async def test_pages_do_not_move_while_spans_come_in(fresh: Spans, make_span: MakeSpan, clock: Clock) -> None:
    rng = random.Random(7)
    first = [make_span(start_ns=NOON + rng.randrange(30)) for _ in range(100)]
    await fresh.write(first)
    seen: list[Span] = []
    cursor = ""
    while True:
        page = await fresh.query(SpanQuery(limit=9, cursor=cursor))
        seen += page.spans
        if not page.cursor:
            break
        cursor = page.cursor
        clock.now += DAY_NS // 3
        await fresh.write([make_span(start_ns=NOON + rng.randrange(60)) for _ in range(5)])
    old = [span for span in seen if span in first]
    assert old == sorted(first, key=lambda span: (span.start_ns, span.span_id), reverse=True)
    assert len({span.span_id for span in seen}) == len(seen)


async def test_equal_starts_stand_by_commit(fresh: Spans, make_span: MakeSpan) -> None:
    spans = [make_span(start_ns=NOON) for _ in range(20)]
    for span in spans:
        await fresh.write([span])
    pages = []
    cursor = ""
    for _ in range(4):
        page = await fresh.query(SpanQuery(limit=6, cursor=cursor))
        pages.append(page)
        cursor = page.cursor
    assert [span for page in pages for span in page.spans] == spans[::-1]
    assert cursor == ""


async def test_wait_wakes_for_a_commit_and_ends_without_one(fresh: Spans, make_span: MakeSpan) -> None:
    await fresh.wait(0.0)
    before = await fresh.end()
    waiting = asyncio.create_task(_wait_twice(fresh))
    await fresh.write([make_span()])
    await asyncio.wait_for(waiting, 30)
    assert len((await fresh.tail(before)).spans) == 1


async def _wait_twice(store: Spans) -> None:
    await store.wait(0.0)
    while not (await store.query(SpanQuery())).spans:
        await store.wait(20.0)


async def test_a_score_may_come_before_its_span_and_days_after(
    fresh: Spans, make_span: MakeSpan, make_score: MakeScore, clock: Clock
) -> None:
    span = make_span(trace_id="ab" * 16)
    await fresh.write(scores=[make_score(trace_id="ab" * 16, value=0.1)])
    trace = await fresh.trace("ab" * 16)
    assert trace is not None
    assert (trace.spans, len(trace.scores)) == ((), 1)
    await fresh.write([span])
    for days in (1, 5):
        clock.now = NOON + days * DAY_NS
        await fresh.write(scores=[make_score(trace_id="ab" * 16, value=0.9, time_ns=clock.now)])
    low, high = (Filter(column="score:quality", op="<", value=0.2), Filter(column="score:quality", op=">", value=0.8))
    assert (await fresh.query(SpanQuery(filters=(low, high)))).spans == (span,)
    (group,) = await fresh.groups(Breakdown(measures=("count:score:quality", "sum:score:quality", "p99:score:quality")))
    assert group.values[:2] == (3.0, pytest.approx(1.9))
    assert group.values[2] == pytest.approx(0.9, rel=0.05)


async def test_large_texts_and_many_tags_come_back(fresh: Spans, make_span: MakeSpan) -> None:
    rng = random.Random(3)
    noise = "".join(chr(rng.randrange(1, 0xD7FF)) for _ in range(100_000))
    tags = {f"tag {n} {chr(0x100 + n)}": noise[n * 10 : n * 10 + 10] for n in range(300)}
    span = make_span(
        input=noise, output="\x00" * 1000, error="\r\n\t", tags=tags, attributes={"deep": [[[{"a": noise}]]]}
    )
    await fresh.write([span])
    name, value = list(tags.items())[-1]
    page = await fresh.query(SpanQuery(filters=(Filter(column=f"tag:{name}", op="=", value=value),)))
    assert page.spans == (span,)
    assert (await fresh.query(SpanQuery(text=noise[500:600]))).spans == (span,)


async def test_many_groups_come_back_whole(fresh: Spans, make_span: MakeSpan) -> None:
    spans = [make_span(session=f"s-{n % 700}", cost_usd=n / 1000, model="m") for n in range(1400)]
    await fresh.write(spans)
    groups = await fresh.groups(
        Breakdown(by=("session",), measures=("count", "sum:cost_usd"), order="-sum:cost_usd", limit=10_000)
    )
    assert len(groups) == 700
    costs = [group.values[1] or 0.0 for group in groups]
    assert all(a >= b for a, b in pairwise(costs))
    assert sum(costs) == pytest.approx(sum(span.cost_usd or 0 for span in spans))


async def test_closing_twice_is_allowed_and_a_closed_store_takes_nothing(fresh: Spans, make_span: MakeSpan) -> None:
    await fresh.write([make_span()])
    fresh.close()
    fresh.close()
    assert not fresh.offer([make_span()])
