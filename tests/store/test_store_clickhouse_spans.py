"""The span store in ClickHouse: many writers without a common number, a server that goes away, values in questions."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import Clock

from servers import ClickHouseProcess
from trimtab.core import ConfigError, Conflict, Filter, Overloaded, Score, Span, SpanQuery
from trimtab.store.clickhouse import ClickHouseSpans
from trimtab.store.clickhouse.connection import literal
from trimtab.store.clickhouse.positions import Position

MakeSpan = Callable[..., Span]
MakeScore = Callable[..., Score]
PATIENCE_S = 20.0
WRITERS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")


def opened(url: str, clock: Clock) -> closing[ClickHouseSpans]:
    return closing(ClickHouseSpans.open(url, clock=clock, capacity=50_000))


async def test_many_writers_and_a_reader_that_misses_nothing(
    clickhouse_url: str, clock: Clock, make_span: MakeSpan, make_score: MakeScore
) -> None:
    with opened(clickhouse_url, clock) as one, opened(clickhouse_url, clock) as other:
        work = [(store, [make_span(), make_span()], [make_score()]) for _ in range(4) for store in (one, other)]
        found: list[str] = []

        async def follow() -> None:
            position = ""
            while len(found) < 3 * len(work):
                batch = await other.tail(position, 5)
                found.extend([*(span.span_id for span in batch.spans), *(score.id for score in batch.scores)])
                position = batch.position

        async def write(store: ClickHouseSpans) -> None:
            for at, spans, scores in work:
                if at is store:
                    await store.write(spans, scores)

        following = asyncio.create_task(follow())
        await asyncio.gather(write(one), write(other))
        await asyncio.wait_for(following, PATIENCE_S)
        expected = [
            *(s.span_id for _, spans, _ in work for s in spans),
            *(s.id for _, _, scores in work for s in scores),
        ]
        assert sorted(found) == sorted(expected)
        # A second try at another process is known there.
        await other.write(work[0][1], work[0][2])
        assert len((await one.query(SpanQuery(limit=1000))).spans) == 2 * len(work)


class World:
    """What two writers have committed, as the store shows it to a reader: of each a beginning of what it wrote."""

    def __init__(self) -> None:
        self.visible: dict[str, list[int]] = {writer: [] for writer in WRITERS}
        self.clock = 1000

    def read(self, position: Position, limit: int, settled: int) -> tuple[list[tuple[str, int]], Position]:
        settled = max(position.floor, settled)
        ends = {writer: seqs[-1] for writer, seqs in self.visible.items() if seqs and seqs[-1] > settled}
        sql, parameters = position.where(settled, ends)
        rows = sorted((seq, writer) for writer, seqs in self.visible.items() for seq in seqs)
        found = [(writer, seq) for seq, writer in rows if holds(sql, parameters, writer, seq)][:limit]
        return found, position.after(settled, ends, found, whole=len(found) < limit)


def holds(sql: str, parameters: tuple[Any, ...], writer: str, seq: int) -> bool:
    expression = sql.replace("%s", "{!r}").format(*parameters)
    expression = expression.replace("NOT ", "not ").replace(" AND ", " and ").replace(" OR ", " or ")
    return bool(eval(expression.replace(" = ", " == "), {"writer": writer, "seq": seq}))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "read"]), st.sampled_from([0, 1]), st.integers(1, 4), st.integers(0, 30)),
        max_size=40,
    )
)
def test_no_row_is_missed_or_read_twice(steps: list[tuple[str, int, int, int]]) -> None:
    """Numbers of one writer go up; those of two writers become visible in any order within the time that settles."""
    world = World()
    position = Position(0, {})
    found: list[tuple[str, int]] = []
    lag = 40
    for what, who, count, late in steps:
        world.clock += 7
        if what == "write":
            mine = world.visible[WRITERS[who]]
            # Numbered up to ``late`` ago, visible only now.
            first = max(world.clock - late, mine[-1] + 1 if mine else 0)
            mine += range(first, first + count)
            world.clock = max(world.clock, mine[-1])
        else:
            batch, position = world.read(Position.of(str(position)), count, world.clock - lag)
            found += batch
    while True:
        batch, position = world.read(position, 3, world.clock - lag)
        if not batch:
            break
        found += batch
    assert sorted(found) == sorted((writer, seq) for writer, seqs in world.visible.items() for seq in seqs)


TEXT = st.text(st.sampled_from("\0\b\n\\'\"`{}%") | st.characters(exclude_categories=["Cs"]))


def test_any_text_in_a_question_is_only_text(clickhouse: ClickHouseProcess) -> None:
    @settings(deadline=None, max_examples=50)
    @given(st.lists(TEXT, min_size=1, max_size=30))
    def check(texts: list[str]) -> None:
        sql = f"SELECT hex(arrayJoin([{', '.join(map(literal, texts))}])) FORMAT TabSeparated"
        assert clickhouse.run(sql).decode().split("\n")[:-1] == [text.encode().hex().upper() for text in texts]

    check()


def test_numbers_and_lists_in_a_question(clickhouse: ClickHouseProcess) -> None:
    for value in (0, -5, 1 << 62, 0.1, 1e-300, math.inf, -math.inf):
        assert clickhouse.run(f"SELECT {literal(value)} = {value!r} FORMAT TabSeparated") == b"1\n"
    assert clickhouse.run(f"SELECT 'b' IN {literal(['a', 'b'])} FORMAT TabSeparated") == b"1\n"
    for wrong in (None, math.nan, [], True, b"x"):
        with pytest.raises(ValueError, match="cannot be written"):
            literal(wrong)


@pytest.fixture
def own_server(short_folder: Path) -> Iterator[ClickHouseProcess]:
    """A server that a test may kill."""
    server = ClickHouseProcess(short_folder / "own-clickhouse")
    server.start()
    yield server
    server.stop()


async def test_a_killed_server_loses_nothing_and_is_taken_up_again(
    own_server: ClickHouseProcess, clock: Clock, make_span: MakeSpan, make_score: MakeScore
) -> None:
    with opened(own_server.url("default"), clock) as store:
        acknowledged = [make_span() for _ in range(200)]
        await store.write(acknowledged[:150], [make_score()])
        await store.write(acknowledged[150:])
        own_server.stop()
        with pytest.raises(Overloaded) as caught:
            await store.write([make_span()])
        assert caught.value.retry_after
        with pytest.raises(Overloaded):
            await store.query(SpanQuery())
        offered = [make_span() for _ in range(20)]
        assert store.offer(offered)
        own_server.start()
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                await store.flush()
                break
            except Overloaded:
                await asyncio.sleep(0.05)
        ids = {span.trace_id for span in (await store.tail("", 10_000)).spans}
        assert ids == {span.trace_id for span in acknowledged + offered}
        assert sum(bucket.n for bucket in await store.span_series(since_ns=0, until_ns=0, bucket_s=10)) == 220
        assert store.dropped == 0


async def test_tables_of_a_newer_program_are_refused(
    clickhouse: ClickHouseProcess,
    clickhouse_url: str,
    clock: Clock,
) -> None:
    with opened(clickhouse_url, clock):
        pass
    clickhouse.run(f"INSERT INTO {clickhouse_url.partition('?')[0].rpartition('/')[2]}.trimtab_store VALUES (99)")
    with pytest.raises(Conflict, match="schema 99"):
        ClickHouseSpans.open(clickhouse_url, clock=clock, capacity=10)


async def test_tables_without_an_index_of_sessions_get_it(
    clickhouse: ClickHouseProcess, clickhouse_url: str, clock: Clock, make_span: MakeSpan
) -> None:
    database = clickhouse_url.partition("?")[0].rpartition("/")[2]
    with opened(clickhouse_url, clock) as store:
        await store.write([make_span(session="before")])
    for sql in (
        "ALTER TABLE {0}.trimtab_spans DROP INDEX by_session",
        "TRUNCATE TABLE {0}.trimtab_store",
        "INSERT INTO {0}.trimtab_store VALUES (1)",
    ):
        clickhouse.run(sql.format(database))
    for session in ("after", "later"):  # the second time there is nothing left to do
        with opened(clickhouse_url, clock) as store:
            await store.write([make_span(session=session)])
            query = SpanQuery(filters=(Filter(column="session", op="in", value=["before", session]),), roots=False)
            assert len((await store.query(query)).spans) == 2
    shown = clickhouse.run(f"SHOW CREATE TABLE {database}.trimtab_spans")
    assert "by_session" in str(shown)


def test_no_error_says_the_password(clock: Clock) -> None:
    for url in ("clickhouse://u:hunter2@127.0.0.1:1/x", "clickhouse://u:hunter2@127.0.0.1:x/x"):
        with pytest.raises((Overloaded, ConfigError)) as caught:
            ClickHouseSpans.open(url, clock=clock, capacity=10)
        assert "hunter2" not in str(caught.value)
        assert caught.value.mend
