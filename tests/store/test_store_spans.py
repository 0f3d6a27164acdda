"""The span store: what was acknowledged is there, once, in order, and nothing bad takes the good down with it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from moving_clock import DAY_NS, NOON, Clock

from trimtab.core import BadInput, ConfigError, Conflict, Overloaded, Score, Span, SpanQuery, Stamp
from trimtab.store import SpanStore
from trimtab.store.payload import SAMPLES
from trimtab.store.reader import tail

OpenStore = Callable[..., SpanStore]
MakeSpan = Callable[..., Span]
MakeScore = Callable[..., Score]

FULL_SPAN: dict[str, Any] = {
    "trace_id": "ab" * 16,
    "span_id": "cd" * 8,
    "parent_id": "ef" * 8,
    "project": "shop",
    "session": "s-1",
    "status": "error",
    "error": "no\nline",
    "layer": 3,
    "stamp": Stamp(model="a/b=c@d", knowledge="docs/1", prompt="p/2", guard="g/3", route="r/4"),
    "model": "b",
    "provider": "a",
    "fingerprint": "d",
    "input_tokens": 1,
    "output_tokens": 0,
    "cached_tokens": 3,
    "reasoning_tokens": 4,
    "cost_usd": 0.25,
    "ttft_ns": 7,
    "tags": {"topic": "re\"'$.[turns", "": "empty"},
    "input": "Wie geht’s? \x00 \u2028 𝄞",
    "output": "line\nline",
    "attributes": {"list": [1, 2.5, None, True, {"deep": "x"}], "ünï": ""},
}


async def all_of(store: SpanStore, limit: int = 1000) -> tuple[list[Span], list[Score]]:
    """Everything, read like a chore does."""
    spans: list[Span] = []
    scores: list[Score] = []
    position = ""
    while True:
        batch = await store.tail(position, limit)
        if not batch.spans and not batch.scores:
            return spans, scores
        assert len(batch.spans) + len(batch.scores) <= limit
        spans += batch.spans
        scores += batch.scores
        position = batch.position


async def test_spans_and_scores_come_back_as_they_were(
    open_store: OpenStore, make_span: MakeSpan, make_score: MakeScore
) -> None:
    full = make_span(**FULL_SPAN)
    odd = make_span(trace_id="ABCDEF0123456789" * 2, span_id="not hex at all, and much longer than sixteen digits")
    bare = make_span(trace_id="", span_id="")
    score = make_score(
        trace_id="ab" * 16,
        span_id="cd" * 8,
        by_version="q/1",
        label="bad",
        reason="says\nwho",
        slice="returns",
        project="shop",
        stamp=Stamp(prompt="p/2"),
    )
    store = open_store()
    await store.write([full, odd, bare], [score])
    store.close()
    store = open_store()
    assert await all_of(store) == ([full, odd, bare], [score])
    trace = await store.trace("ab" * 16)
    assert trace is not None
    assert (trace.spans, trace.scores) == ((full,), (score,))
    assert (await store.query(SpanQuery(roots=False, limit=3))).spans == (bare, odd, full)
    assert (await store.query(SpanQuery(limit=3))).spans == (bare, odd)
    assert await store.scores(since_ns=0, until_ns=0) == [score]
    assert await store.trace("ab") is None


async def test_a_trace_is_sorted_by_start_and_gathers_all_days(
    open_store: OpenStore, make_span: MakeSpan, make_score: MakeScore, clock: Clock
) -> None:
    store = open_store()
    late = make_span(trace_id="t", start_ns=NOON + 50)
    await store.write([late])
    clock.now += DAY_NS
    early = make_span(trace_id="t", start_ns=NOON + 20)
    thumb = make_score(trace_id="t", time_ns=NOON + DAY_NS)
    await store.write([early], [thumb])
    trace = await store.trace("t")
    assert trace is not None
    assert trace.spans == (early, late)
    assert trace.scores == (thumb,)
    assert (await store.query(SpanQuery())).spans == (late, early)


async def test_the_first_of_equal_ids_wins_also_after_midnight(
    open_store: OpenStore, make_span: MakeSpan, make_score: MakeScore, clock: Clock
) -> None:
    store = open_store()
    span, score = make_span(name="first"), make_score(value=0.1)
    again = make_span(trace_id=span.trace_id, span_id=span.span_id, start_ns=span.start_ns, name="second")
    score_again = make_score(id=score.id, time_ns=score.time_ns, value=0.9)
    new = make_span()
    await store.write([span, again], [score, score_again])
    await store.write([again, new], [score_again])
    clock.now += DAY_NS
    await store.write([again], [score_again])
    assert await all_of(store) == ([span, new], [score])
    assert sum(bucket.n for bucket in await store.span_series(since_ns=0, until_ns=0, bucket_s=10)) == 2
    assert sum(bucket.n for bucket in await store.score_series(since_ns=0, until_ns=0, bucket_s=10)) == 1


async def test_waiting_writes_share_commits(open_store: OpenStore, make_span: MakeSpan) -> None:
    store = open_store()
    spans = [make_span() for _ in range(300)]
    await asyncio.gather(*(store.write([span]) for span in spans))
    assert store.commits < 30
    assert len((await all_of(store))[0]) == 300


async def test_a_write_is_readable_when_it_returns(open_store: OpenStore, make_span: MakeSpan) -> None:
    store = open_store()
    for _ in range(20):
        span = make_span()
        before = await store.end()
        await store.write([span])
        assert (await store.tail(before)).spans == (span,)
        assert (await store.query(SpanQuery(limit=1))).spans == (span,)


async def test_flush_waits_for_all_that_was_offered(open_store: OpenStore, make_span: MakeSpan) -> None:
    store = open_store()
    spans = [make_span() for _ in range(2500)]
    for span in spans:
        assert store.offer([span])
    await store.flush()
    assert (await all_of(store))[0] == spans
    assert store.dropped == 0


async def test_closing_stores_what_waits(open_store: OpenStore, make_span: MakeSpan) -> None:
    store = open_store()
    spans = [make_span() for _ in range(50)]
    store.offer(spans)
    store.close()
    assert not store.offer(spans)
    assert store.dropped == 50
    with pytest.raises(Overloaded, match="closed"):
        await store.write(spans)
    assert (await all_of(open_store()))[0] == spans


async def test_a_full_queue_drops_and_counts(open_store: OpenStore, make_span: MakeSpan, tmp_path: Path) -> None:
    store = open_store(capacity=10)
    await store.write([make_span()])
    other = sqlite3.connect(next((tmp_path / "spans").glob("*.db")), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # The writer now waits for its turn, and the queue fills.
    accepted = [span for span in (make_span() for _ in range(100)) if store.offer([span])]
    assert 10 <= len(accepted) < 100
    assert store.dropped == 100 - len(accepted)
    with pytest.raises(Overloaded) as caught:
        await store.write([make_span()])
    assert caught.value.retryable
    assert caught.value.retry_after
    other.execute("ROLLBACK")
    other.close()
    await store.flush()
    assert (await all_of(store))[0][1:] == accepted


BAD: dict[str, dict[str, Any]] = {
    "negative time": {"start_ns": -1, "end_ns": 5},
    "time beyond 64 bits": {"end_ns": 1 << 63},
    "time of another type": {"end_ns": "now"},
    "huge count": {"input_tokens": 1 << 70},
    "cost that is no number": {"cost_usd": float("nan")},
    "lone surrogate": {"name": "\ud800"},
    "lone surrogate in the payload": {"output": "\udfff"},
    "list for text": {"status": ["ok"]},
    "nothing for text": {"model": None},
    "object in attributes": {"attributes": {"x": object()}},
    "attributes without end": {},
    "tags that are no mapping": {"tags": 7},
    "tags that are no text": {"tags": {"a": 1}},
}


@pytest.mark.parametrize("fault", BAD)
async def test_a_bad_row_fails_its_own_caller_only(open_store: OpenStore, make_span: MakeSpan, fault: str) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    fields = BAD[fault] or {"attributes": loop}
    good = [make_span() for _ in range(9)]
    beside, bad = make_span(), make_span(**fields)
    store = open_store()
    results = await asyncio.gather(
        *(store.write([span]) for span in good[:4]),
        store.write([beside, bad]),
        *(store.write([span]) for span in good[4:8]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None)] * 4 + [BadInput] + [type(None)] * 4
    assert store.offer([bad, beside])
    await store.flush()
    assert store.dropped == 2
    await store.write(good[8:])
    assert (await all_of(store))[0] == good


@pytest.mark.parametrize("fields", [{"value": float("nan")}, {"value": None}, {"id": None}, {"time_ns": 0.5}])
async def test_a_bad_score_is_refused(open_store: OpenStore, make_score: MakeScore, fields: dict[str, Any]) -> None:
    store = open_store()
    with pytest.raises(BadInput, match="cannot be stored"):
        await store.write(scores=[make_score(**fields)])
    score = make_score()
    await store.write(scores=[score])
    assert await store.scores(since_ns=0, until_ns=0) == [score]


async def test_a_disk_that_fails_is_said_and_overcome(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path
) -> None:
    store = open_store()
    in_the_way = tmp_path / "spans" / "spans-2026-11-23.db"
    in_the_way.mkdir()
    with pytest.raises(Overloaded, match="cannot be written"):
        await store.write([make_span()])
    in_the_way.rmdir()
    span = make_span()
    await store.write([span])
    assert (await all_of(store))[0] == [span]


async def test_each_row_is_tailed_once_in_commit_order_across_days_and_restarts(
    open_store: OpenStore, make_span: MakeSpan, make_score: MakeScore, clock: Clock
) -> None:
    rng = random.Random(5)
    spans: list[Span] = []
    scores: list[Score] = []
    seen_spans: list[Span] = []
    seen_scores: list[Score] = []
    position = ""
    store = open_store()
    for step in range(60):
        new_spans = [make_span(start_ns=NOON - step) for _ in range(rng.randrange(4))]
        new_scores = [make_score() for _ in range(rng.randrange(3))]
        await store.write(new_spans, new_scores)
        spans += new_spans
        scores += new_scores
        match rng.randrange(6):
            case 0:
                clock.now += DAY_NS
            case 1:
                store.close()
                store = open_store()
            case 2:
                clock.now -= DAY_NS  # Somebody sets the clock back; the order of commits stays.
            case _:
                batch = await store.tail(position, rng.randint(1, 9))
                seen_spans += batch.spans
                seen_scores += batch.scores
                position = batch.position
    while (batch := await store.tail(position, 5)).spans or batch.scores:
        seen_spans += batch.spans
        seen_scores += batch.scores
        position = batch.position
    assert seen_spans == spans
    assert seen_scores == scores
    assert position == await store.end()


async def test_tail_follows_a_store_that_is_being_written(open_store: OpenStore, make_span: MakeSpan) -> None:
    store = open_store()
    spans = [make_span() for _ in range(400)]
    seen: list[Span] = []

    async def follow() -> None:
        position = ""
        while len(seen) < len(spans):
            batch = await store.tail(position, 50)
            seen.extend(batch.spans)
            position = batch.position
            if not batch.spans:
                await store.wait(5)

    following = asyncio.create_task(follow())
    for some in _batched(spans, 7):
        await store.write(some)
    await asyncio.wait_for(following, 10)
    assert seen == spans


def _batched(spans: list[Span], size: int) -> list[list[Span]]:
    return [spans[start : start + size] for start in range(0, len(spans), size)]


async def test_tail_stops_at_what_was_committed_when_it_was_asked(
    open_store: OpenStore, make_span: MakeSpan, make_score: MakeScore
) -> None:
    """A reader of several files must not see a commit in a later file before one in an earlier file."""
    store = open_store()
    before = [make_span(), make_span()]
    await store.write(before)
    end = await store.end()
    await store.write([make_span() for _ in range(3)], [make_score()])
    for limit in (1, 2, 3, 99):
        batch = await store._readers.run(tail(0, int(end), limit))
        assert batch.spans == tuple(before[:limit])
        assert batch.scores == ()
        assert (batch.position == end) == (limit >= 2)


async def test_wait_returns_at_once_for_what_was_missed_and_per_task(
    open_store: OpenStore, make_span: MakeSpan
) -> None:
    store = open_store()

    async def hears_of_a_commit() -> bool:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await store.wait(30)
        return loop.time() - start < 20

    await store.write([make_span()])
    assert await asyncio.gather(asyncio.create_task(hears_of_a_commit()), asyncio.create_task(hears_of_a_commit())) == [
        True,
        True,
    ]
    await store.wait(0.001)
    waiting = asyncio.create_task(store.wait(30))
    await asyncio.sleep(0)
    await store.write([make_span()])
    await asyncio.wait_for(waiting, 10)
    await store.wait(30)  # This task has not heard of the second commit yet.
    with pytest.raises(TimeoutError):  # Now it has: nothing ends this wait but the clock.
        async with asyncio.timeout(0.05):
            await store.wait(30)


async def test_closing_ends_a_wait(open_store: OpenStore) -> None:
    store = open_store()
    waiting = asyncio.create_task(store.wait(30))
    await asyncio.sleep(0)
    store.close()
    await asyncio.wait_for(waiting, 10)


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "9" * 19, "²"])
async def test_a_position_that_is_none_is_refused(open_store: OpenStore, position: str) -> None:
    with pytest.raises(BadInput) as caught:
        await open_store().tail(position)
    assert caught.value.field == "position"


async def test_scores_are_listed_newest_first_by_name_and_time(
    open_store: OpenStore, make_score: MakeScore, clock: Clock
) -> None:
    store = open_store()
    made = []
    for day in range(3):
        some = [make_score(name=f"n{n % 2}", time_ns=NOON + (n * 7 + day) % 10) for n in range(6)]
        await store.write(scores=some)
        made += some
        clock.now += DAY_NS
    newest = sorted(made, key=lambda score: (score.time_ns, int(score.id[6:])), reverse=True)
    assert await store.scores(since_ns=0, until_ns=0) == newest
    assert await store.scores(since_ns=0, until_ns=0, limit=4) == newest[:4]
    window = [one for one in newest if NOON + 2 <= one.time_ns < NOON + 7 and one.name == "n1"]
    assert await store.scores(since_ns=NOON + 2, until_ns=NOON + 7, name="n1") == window


async def test_expiry_deletes_whole_days(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, tmp_path: Path
) -> None:
    store = open_store()
    spans = []
    for _ in range(4):
        spans.append(make_span(start_ns=clock.now))
        await store.write(spans[-1:])
        await store.query(SpanQuery())
        clock.now += DAY_NS
    # Nothing was written today yet: even the newest file may go when it is old enough.
    assert await store.expire(NOON + 2 * DAY_NS) == ["2026-11-23", "2026-11-24"]
    assert sorted(path.name for path in (tmp_path / "spans").glob("*.db")) == [
        "spans-2026-11-25.db",
        "spans-2026-11-26.db",
    ]
    assert (await store.query(SpanQuery())).spans == (spans[3], spans[2])
    assert await store.trace(spans[0].trace_id) is None
    assert await store.expire(NOON + 9 * DAY_NS) == ["2026-11-25", "2026-11-26"]
    assert (await store.query(SpanQuery())).spans == ()
    assert list((tmp_path / "spans").iterdir()) == []
    await store.write(spans[:1])
    assert (await store.query(SpanQuery())).spans == (spans[0],)


async def test_positions_outlive_deleted_files(open_store: OpenStore, make_span: MakeSpan, clock: Clock) -> None:
    store = open_store()
    await store.write([make_span() for _ in range(5)])
    position = await store.end()
    clock.now += DAY_NS
    await store.expire(clock.now)
    store.close()
    store = open_store()
    span = make_span()
    await store.write([span])
    assert (await store.tail(position)).spans == (span,)


async def test_a_dictionary_is_learnt_and_old_rows_stay_readable(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path
) -> None:
    rng = random.Random(3)
    words = [f"{rng.getrandbits(32):x}" for _ in range(400)]
    spans = [make_span(input=" ".join(rng.choices(words, k=30)), output="out") for _ in range(SAMPLES + 900)]
    store = open_store()
    for some in _batched(spans, 300):
        await store.write(some)
    store.close()
    assert (tmp_path / "spans" / "dictionary-1.zdict").stat().st_size > 1000
    used = sqlite3.connect(next((tmp_path / "spans").glob("*.db")))
    sizes = dict(used.execute("SELECT dictionary, avg(length(data)) FROM payloads GROUP BY 1").fetchall())
    used.close()
    assert sizes[1] < 0.8 * sizes[0]
    store = open_store()
    more = make_span(input=spans[0].input)
    await store.write([more])
    assert (await all_of(store))[0] == [*spans, more]
    store.close()
    (tmp_path / "spans" / "dictionary-1.zdict").unlink()
    with pytest.raises(ConfigError, match=r"dictionary-1\.zdict is missing"):
        await all_of(open_store())


def test_files_that_are_not_ours_or_newer_are_named(open_store: OpenStore, tmp_path: Path) -> None:
    folder = tmp_path / "spans"
    folder.mkdir()
    path = folder / "spans-2026-11-01.db"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(ConfigError, match=r"spans-2026-11-01\.db cannot be read"):
        open_store()
    path.unlink()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.commit()
    newer.close()
    with pytest.raises(Conflict, match="schema 99, newer"):
        open_store()


async def test_an_empty_file_left_by_a_crash_is_used(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path
) -> None:
    (tmp_path / "spans").mkdir()
    (tmp_path / "spans" / "spans-2026-11-23.db").touch()
    (tmp_path / "spans" / "spans-2026-11-22.db").touch()
    store = open_store()
    assert (await store.query(SpanQuery())).spans == ()
    span = make_span()
    await store.write([span])
    assert (await store.query(SpanQuery())).spans == (span,)
    assert await store.trace("nothing") is None


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        SpanStore.open(tmp_path / "file" / "spans")
