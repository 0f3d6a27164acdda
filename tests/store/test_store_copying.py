"""A copy moves everything once, goes on where it was stopped, and tells what differs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from moving_clock import DAY_NS, NOON, Clock
from span_world import commits

from trimtab.core import Breakdown, Overloaded, Score, Span, SpanQuery
from trimtab.store import Batch, Spans, open_spans
from trimtab.store.copying import ArrivalClock, Copy, Difference, Progress, ProgressFile

MakeSpan = Callable[..., Span]
MakeScore = Callable[..., Score]
LATER = NOON + 30 * DAY_NS


@pytest.fixture
def source(tmp_path: Path, clock: Clock) -> Any:
    with closing(open_spans("sqlite:", tmp_path / "source", clock=clock)) as store:
        yield store


async def fill(store: Spans, clock: Clock) -> None:
    for commit in commits():
        clock.now = NOON + commit.after_ns
        await store.write(commit.spans, commit.scores)


async def everything(store: Spans) -> Batch:
    return await store.tail("", 100_000)


async def copied(
    source: Spans, target: Spans, clock: ArrivalClock, *, since_ns: int = 0
) -> tuple[Progress, list[Difference]]:
    copy = Copy(source, target, clock, since_ns=since_ns)
    progress = Progress(between="")
    await copy.run(progress, lambda _progress, _moved: None)
    return progress, await copy.differences(progress)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "clickhouse"])
async def test_everything_comes_over_once(
    kind: str, source: Spans, tmp_path: Path, clock: Clock, request: pytest.FixtureRequest
) -> None:
    await fill(source, clock)
    fixture = {"postgresql": "postgres_url", "clickhouse": "clickhouse_url"}
    url = request.getfixturevalue(fixture[kind]) if kind in fixture else f"sqlite:{tmp_path / 'target'}"
    arrival = ArrivalClock(real=lambda: LATER)
    with closing(open_spans(url, tmp_path, clock=arrival)) as target:
        for _ in range(2):  # A second time changes nothing.
            progress, differences = await copied(source, target, arrival)
            assert differences == []
            assert sum(day.spans for day in progress.days.values()) == 330
            have, want = await everything(target), await everything(source)
            assert (have.spans, have.scores) == (want.spans, want.scores)
        breakdown = Breakdown(
            query=SpanQuery(roots=False), by=("time:86400", "model"), measures=("count", "sum:cost_usd")
        )
        assert {group.keys for group in await target.groups(breakdown)} == {
            group.keys for group in await source.groups(breakdown)
        }
        # Rows are filed under the day on which they came, so that they leave when they would have left.
        arrival.at_ns = LATER
        gone = await target.expire(NOON + DAY_NS // 2)
        assert gone
        assert all(day <= "2026-11-23" for day in gone)
        assert len((await everything(target)).spans) < 330


async def test_it_goes_on_where_it_was_stopped(source: Spans, tmp_path: Path, clock: Clock, monkeypatch: Any) -> None:
    monkeypatch.setattr("trimtab.store.copying.BATCH", 100)
    await fill(source, clock)
    file = ProgressFile(tmp_path / "copy.json", "a", "b", 0)
    arrival = ArrivalClock(real=lambda: LATER)
    moved: list[int] = []

    class Stopped(Exception):
        pass

    def stop_after_two(progress: Progress, count: int) -> None:
        file.write(progress)
        moved.append(count)
        if len(moved) == 2:
            raise Stopped

    with closing(open_spans("sqlite:", tmp_path / "target", clock=arrival)) as target:
        copy = Copy(source, target, arrival)
        with pytest.raises(Stopped):
            await copy.run(file.read(), stop_after_two)
        again = file.read()
        assert again.position
        await copy.run(again, stop_after_two)
        assert await copy.differences(again) == []
        assert await copy.total() == 330
    assert sum(moved) == 330
    # The file is that of this copy only, and holds no address.
    assert ProgressFile(tmp_path / "copy.json", "a", "hunter2", 0).read().position == ""
    file.forget()
    assert file.read().position == ""


async def test_since_leaves_out_what_is_older(source: Spans, tmp_path: Path, clock: Clock) -> None:
    await fill(source, clock)
    since = (NOON // DAY_NS + 1) * DAY_NS
    arrival = ArrivalClock(real=lambda: LATER)
    with closing(open_spans("sqlite:", tmp_path / "target", clock=arrival)) as target:
        _, differences = await copied(source, target, arrival, since_ns=since)
        assert differences == []
        have = (await everything(target)).spans
        assert have == tuple(span for span in (await everything(source)).spans if span.start_ns >= since)
        assert have


async def test_what_differs_is_named(
    source: Spans, tmp_path: Path, clock: Clock, make_span: MakeSpan, make_score: MakeScore
) -> None:
    await source.write([make_span(cost_usd=0.5, input_tokens=7)], [make_score(value=0.25)])
    arrival = ArrivalClock(real=lambda: LATER)
    with closing(open_spans("sqlite:", tmp_path / "target", clock=arrival)) as target:
        await target.write([make_span(cost_usd=1.0)], [make_score()])
        _, differences = await copied(source, target, arrival)
    day = NOON // DAY_NS * DAY_NS
    assert [(one.day_ns, one.figure, one.source, one.target) for one in differences] == [
        (day, "spans", 1, 2),
        (day, "cost_usd", 0.5, 1.5),
        (day, "scores", 1, 2),
        (day, "score_total", 0.25, 0.75),
    ]


async def test_a_row_that_the_target_cannot_hold_is_left_out_and_told(
    source: Spans, postgres_url: str, tmp_path: Path, clock: Clock, make_span: MakeSpan
) -> None:
    # Longer than an entry of PostgreSQL's index may be, and not to be compressed.
    odd = make_span(trace_id="".join(chr(0x4E00 + n * 37 % 20_000) for n in range(4000)))
    await source.write([make_span() for _ in range(5)])
    await source.write([odd])
    await source.write([make_span() for _ in range(5)])
    arrival = ArrivalClock(real=lambda: LATER)
    with closing(open_spans(postgres_url, tmp_path, clock=arrival)) as target:
        progress, differences = await copied(source, target, arrival)
        assert progress.refused == 1
        assert "index row" in progress.why
        assert [(one.figure, one.source, one.target) for one in differences] == [("spans", 11, 10)]
        assert len((await everything(target)).spans) == 10


async def test_a_target_that_is_away_is_tried_again(
    source: Spans, postgres_url: str, tmp_path: Path, clock: Clock, make_span: MakeSpan, monkeypatch: Any
) -> None:
    monkeypatch.setattr("trimtab.store.copying._LONGEST_S", 0.0)
    await source.write([make_span()])
    arrival = ArrivalClock(real=lambda: LATER)
    with closing(open_spans(postgres_url, tmp_path, clock=arrival)) as target:
        write, tries = target.write, []

        async def away_at_first(spans: list[Span], scores: list[Score]) -> None:
            tries.append(1)
            if len(tries) < 3:
                raise Overloaded("away", retry_after=5.0)
            await write(spans, scores)

        monkeypatch.setattr(target, "write", away_at_first)
        _, differences = await copied(source, target, arrival)
        assert differences == []
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute(b"SELECT count(*) FROM trimtab_spans.spans").fetchall() == [(1,)]

        async def always_away(_spans: list[Span], _scores: list[Score]) -> None:
            raise Overloaded("away", retry_after=5.0)

        monkeypatch.setattr(target, "write", always_away)
        with pytest.raises(Overloaded):
            await copied(source, target, arrival)
