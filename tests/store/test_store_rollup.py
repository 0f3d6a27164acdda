"""The rollups say the same as counting every row."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import DAY_NS, NOON, Clock

from trimtab.core import BadInput, Score, Span
from trimtab.store import ScoreBucket, SpanBucket, SpanStore, bucket_of

SECOND = 10**9
times = st.integers(0, 400 * SECOND).map(lambda offset: NOON + offset)
spans = st.builds(
    Span,
    trace_id=st.sampled_from("abcdefgh"),
    span_id=st.sampled_from("abcdefgh"),
    parent_id=st.sampled_from(("", "", "x")),
    name=st.just("n"),
    kind=st.just("chain"),
    project=st.sampled_from(("default", "other")),
    status=st.sampled_from(("ok", "error", "refused")),
    start_ns=times,
    end_ns=times,
    input_tokens=st.none() | st.integers(0, 100),
    output_tokens=st.none() | st.integers(0, 100),
    cost_usd=st.none() | st.floats(0, 1),
)
scores = st.builds(
    Score,
    id=st.text("abc", min_size=1, max_size=3),
    trace_id=st.just("t"),
    name=st.sampled_from(("q", "thumb")),
    slice=st.sampled_from(("", "returns")),
    project=st.sampled_from(("default", "other")),
    value=st.floats(0, 1),
    by=st.just("x"),
    time_ns=times,
)
batches = st.lists(st.tuples(st.lists(spans, max_size=6), st.lists(scores, max_size=6)), max_size=5)


def _floor(time_ns: int, bucket_s: int) -> int:
    return time_ns // (bucket_s * SECOND) * bucket_s * SECOND


def counted_spans(kept: list[Span], bucket_s: int) -> list[SpanBucket]:
    groups: dict[int, list[Span]] = defaultdict(list)
    for span in kept:
        if not span.parent_id:
            groups[_floor(span.start_ns, bucket_s)].append(span)
    return [
        SpanBucket(
            start_ns=start,
            n=len(group),
            errors=sum(span.status == "error" for span in group),
            refused=sum(span.status == "refused" for span in group),
            input_tokens=sum(span.input_tokens or 0 for span in group),
            output_tokens=sum(span.output_tokens or 0 for span in group),
            cost_usd=pytest.approx(sum(span.cost_usd or 0 for span in group)),
            unpriced=sum(span.cost_usd is None for span in group),
            latency=Counter(bucket_of(span.duration_ns / 1e6) for span in group),
        )
        for start, group in sorted(groups.items())
    ]


def counted_scores(kept: list[Score], bucket_s: int) -> list[ScoreBucket]:
    groups: dict[tuple[int, str, str], list[float]] = defaultdict(list)
    for score in kept:
        groups[_floor(score.time_ns, bucket_s), score.name, score.slice].append(score.value)
    return [
        ScoreBucket(
            start_ns=start,
            name=name,
            slice=slice_,
            n=len(values),
            total=pytest.approx(sum(values)),
            total_sq=pytest.approx(sum(value * value for value in values)),
        )
        for (start, name, slice_), values in sorted(groups.items())
    ]


@settings(max_examples=60, deadline=None)
@given(batches=batches, bucket_s=st.sampled_from((10, 30, 60, 3600)), project=st.sampled_from(("", "other")))
def test_the_series_equal_a_count_over_the_rows(
    batches: list[tuple[list[Span], list[Score]]], bucket_s: int, project: str
) -> None:
    async def check(store: SpanStore, clock: Clock) -> None:
        for some_spans, some_scores in batches:
            await store.write(some_spans, some_scores)
            clock.now += DAY_NS // 2
        tail = await store.tail("")
        kept_spans = [span for span in tail.spans if project in ("", span.project)]
        kept_scores = [score for score in tail.scores if project in ("", score.project)]
        span_series = await store.span_series(since_ns=0, until_ns=0, bucket_s=bucket_s, project=project)
        assert span_series == counted_spans(kept_spans, bucket_s)
        score_series = await store.score_series(since_ns=0, until_ns=0, bucket_s=bucket_s, project=project)
        assert score_series == counted_scores(kept_scores, bucket_s)

    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        store = SpanStore.open(Path(folder), clock=clock)
        try:
            asyncio.run(check(store, clock))
        finally:
            store.close()


async def test_a_window_takes_the_ten_seconds_that_it_touches(
    open_store: Callable[..., SpanStore], make_span: Callable[..., Span], make_score: Callable[..., Score]
) -> None:
    store = open_store()
    await store.write(
        [make_span(start_ns=NOON + n * SECOND) for n in range(0, 60, 5)],
        [make_score(time_ns=NOON + n * SECOND) for n in range(0, 60, 5)],
    )
    window = {"since_ns": NOON + 15 * SECOND, "until_ns": NOON + 31 * SECOND, "bucket_s": 10}
    starts = [NOON + n * SECOND for n in (10, 20, 30)]
    assert [bucket.start_ns for bucket in await store.span_series(**window)] == starts
    assert [bucket.start_ns for bucket in await store.score_series(**window)] == starts
    assert [bucket.n for bucket in await store.span_series(**window)] == [2, 2, 2]


@pytest.mark.parametrize("bucket_s", [0, -10, 1, 15])
async def test_buckets_finer_than_the_sums_are_refused(open_store: Callable[..., SpanStore], bucket_s: int) -> None:
    store = open_store()
    for series in (store.span_series, store.score_series):
        with pytest.raises(BadInput, match="multiple of 10"):
            await series(since_ns=0, until_ns=0, bucket_s=bucket_s)


@pytest.mark.parametrize("bucket_s", [3600, 7200])
@pytest.mark.asyncio
async def test_sums_over_hours_say_the_same_as_those_over_ten_seconds(tmp_path: Path, bucket_s: int) -> None:
    made = [
        Score(id=f"{n}", trace_id="t", name=("q", "thumb")[n % 2], slice=("", "returns")[n % 3 == 0], by="x",
              project=("default", "other")[n % 5 == 0], value=n % 7 / 7, time_ns=NOON + n * 97 * SECOND)
        for n in range(300)
    ]  # fmt: skip
    store = SpanStore.open(tmp_path, clock=Clock(NOON))
    for start in range(0, len(made), 40):
        await store.write((), made[start : start + 40])
    await store.write((), made[:10])
    since, until = (edge // (3600 * SECOND) * 3600 * SECOND for edge in (NOON, NOON + 5 * 3600 * SECOND))
    for project in ("", "other"):
        whole = await store.score_series(since_ns=since, until_ns=until, bucket_s=bucket_s, project=project)
        kept = [one for one in made if since <= one.time_ns < until and project in ("", one.project)]
        want: dict[tuple[int, str, str], list[float]] = defaultdict(list)
        for score in kept:
            want[_floor(score.time_ns, bucket_s), score.name, score.slice].append(score.value)
        assert [(b.start_ns, b.name, b.slice) for b in whole] == sorted(want)
        for bucket in whole:
            values = want[bucket.start_ns, bucket.name, bucket.slice]
            assert bucket.n == len(values)
            assert bucket.total == pytest.approx(sum(values))
            assert bucket.total_sq == pytest.approx(sum(value * value for value in values))
    store.close()
