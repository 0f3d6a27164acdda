"""Any question at all, put to the SQLite day files and to the reference in plain Python: the answers are equal."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import DAY_NS, NOON, Clock
from span_reference import Reference
from span_world import MODELS, PROMPTS, ROUTES, TAGS, WORDS, commits

from trimtab.core import COLUMNS, GROUPABLE, NUMBERS, STATISTICS, BadInput, Breakdown, Filter, Score, Span, SpanQuery
from trimtab.store import SpanStore, breakdown, cube, dayfile, reader

SECOND = 10**9
TEXTS = [column for column in COLUMNS if column not in NUMBERS]


class Stored(NamedTuple):
    store: SpanStore
    reference: Reference

    def __repr__(self) -> str:
        return "the world"


@pytest.fixture(scope="module")
def stored() -> Iterator[Stored]:
    """Three day files: spans in the first two, scores in all, so that many a score lies apart from its span."""
    clock = Clock()
    reference = Reference(clock)
    with tempfile.TemporaryDirectory() as folder:
        store = SpanStore.open(Path(folder), clock=clock)

        async def fill() -> None:
            for commit in commits():
                clock.now = NOON + commit.after_ns
                reference.write(commit.spans, commit.scores)
                await store.write(commit.spans, commit.scores)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cube, "FOLD", 64)  # So that some spans are in the cube and some wait to be.
            asyncio.run(fill())
        yield Stored(store, reference)
        store.close()


# -- questions -------------------------------------------------------------------------------------------------------

numbers = st.sampled_from([0, 0.0, 0.1, 0.5, 1, 1.0, 2.5, 7, -1, 1e300, float("inf")])
words = st.sampled_from((*WORDS, *MODELS, *PROMPTS, *ROUTES, "ok", "LLM", "llm", "odd 3 ä"))
text_columns = st.sampled_from([*TEXTS, *map("tag:{}".format, TAGS)])
number_columns = st.sampled_from((*NUMBERS, "score:q", "score:thumb", "score:none"))
ordered = st.sampled_from(("=", "!=", "<", "<=", ">", ">="))
filters = st.one_of(
    st.builds(Filter, column=text_columns, op=ordered | st.just("contains"), value=words),
    st.builds(Filter, column=number_columns, op=ordered, value=numbers),
    st.builds(Filter, column=text_columns, op=st.just("in"), value=st.lists(words, min_size=1, max_size=3).map(tuple)),
    st.builds(Filter, column=number_columns, op=st.just("in"), value=st.lists(numbers, min_size=1).map(tuple)),
    st.builds(Filter, column=text_columns | number_columns, op=st.just("exists"), value=st.sampled_from((0, 1))),
)
queries = st.builds(
    SpanQuery,
    since_ns=st.sampled_from((0, NOON, NOON + 10 * SECOND, NOON + 600 * SECOND, NOON + DAY_NS // 2)),
    until_ns=st.sampled_from((0, NOON, NOON + 20, NOON + 1200 * SECOND, NOON + 3000 * SECOND, 1 << 62)),
    roots=st.booleans(),
    filters=st.lists(filters, max_size=3).map(tuple),
    text=st.sampled_from(("", "", "", "A", "ss", "ä", "zzz", " order 1")),
    limit=st.integers(1, 60),
)
measures = st.one_of(
    st.sampled_from(("count", "errors", "refused")),
    st.builds("{}:{}".format, st.sampled_from(STATISTICS), number_columns),
)
groupers = st.sampled_from((*GROUPABLE, "tag:topic", "time:60", "time:600", "time:3600"))


@st.composite
def breakdowns(draw: st.DrawFn) -> Breakdown:
    by = tuple(draw(st.lists(groupers, max_size=3, unique=True)))
    order = draw(measures | st.sampled_from(by) if by else measures)
    return Breakdown(
        query=draw(queries),
        by=by,
        measures=tuple(draw(st.lists(measures, min_size=1, max_size=4))),
        order=draw(st.sampled_from(("", "-"))) + order,
        limit=draw(st.sampled_from((1, 5, 10_000))),
    )


async def pages(store: SpanStore, query: SpanQuery) -> list[Span]:
    found: list[Span] = []
    cursor = query.cursor
    while True:
        page = await store.query(replace(query, cursor=cursor))
        found += page.spans
        if not page.cursor:
            return found
        cursor = page.cursor


@settings(max_examples=400, deadline=None)
@given(query=queries)
def test_all_pages_together_are_what_the_definition_says(stored: Stored, query: SpanQuery) -> None:
    assert asyncio.run(pages(stored.store, query)) == stored.reference.query(query)


@settings(max_examples=300, deadline=None)
@given(asked=breakdowns())
def test_groups_are_what_the_definition_says(stored: Stored, asked: Breakdown) -> None:
    found = asyncio.run(stored.store.groups(asked))
    expected = stored.reference.groups(asked)
    if not asked.order.removeprefix("-").startswith(("avg", "sum")):
        # Sums that differ in the last digit may stand in another order.
        assert [group.keys for group in found] == [group.keys for group in expected]
    wanted = {group.keys: group.values for group in stored.reference.groups(replace(asked, limit=10_000))}
    assert len(found) == len(expected)
    for group in found:
        for have, want in zip(group.values, wanted[group.keys], strict=True):
            assert have == (None if want is None else pytest.approx(want))


# -- ways to the same answer -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(query=queries, few=st.sampled_from((0, 3)))
def test_many_scored_traces_are_found_as_few_are(stored: Stored, query: SpanQuery, few: int) -> None:
    before = asyncio.run(pages(stored.store, query))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_FEW_TRACES", few)
        assert asyncio.run(pages(stored.store, query)) == before


async def test_a_file_of_schema_1_is_read_and_written_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are counted where newer files have the cube, and nothing is added to what it lacks."""
    monkeypatch.setattr(dayfile, "has_blocks", lambda connection: False)
    clock = Clock()
    reference = Reference(clock)
    store = SpanStore.open(tmp_path, clock=clock)
    for commit in commits():
        if clock.now != NOON + commit.after_ns:
            clock.now = NOON + commit.after_ns
        if commit.after_ns == 3 * SECOND:  # In the middle of the first day.
            store.close()
            _age(_files(tmp_path)[0])
            monkeypatch.undo()
            store = SpanStore.open(tmp_path, clock=clock)
        reference.write(commit.spans, commit.scores)
        await store.write(commit.spans, commit.scores)
    by_model = Breakdown(by=("model", "time:600"), measures=("count", "sum:input_tokens", "p95:duration_ms"), limit=999)
    for query in (SpanQuery(), SpanQuery(roots=False), SpanQuery(since_ns=NOON + 5, until_ns=NOON + 3000 * SECOND)):
        asked = replace(by_model, query=query)
        assert await store.groups(asked) == reference.groups(asked)
    query = SpanQuery(filters=(Filter(column="stamp.prompt", op="=", value="support/1"),), limit=20)
    assert await pages(store, query) == reference.query(query)
    store.close()
    versions = [_version(path) for path in _files(tmp_path)]
    assert versions == [1, 4, 4]


async def test_a_file_of_schema_2_gets_blocks_when_it_is_written_to(
    tmp_path: Path, make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its payloads stay as they are; a reader that has it open finds the new ones."""
    monkeypatch.setattr(dayfile, "has_blocks", lambda connection: False)
    clock = Clock()
    old = [make_span(output="old", attributes={"n": n}, parent_id="" if n else "f" * 16) for n in range(4)]
    store = SpanStore.open(tmp_path, clock=clock)
    await store.write(old)
    store.close()
    monkeypatch.undo()
    (path,) = _files(tmp_path)
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE words; DROP TABLE blocks; PRAGMA user_version = 2;")
    connection.close()
    store = SpanStore.open(tmp_path, clock=clock)
    query = SpanQuery(text="old", roots=False)
    assert by_id(await pages(store, query)) == by_id(old)
    assert _version(path) == 2
    new = [make_span(output="new, not old", attributes={"n": n}, parent_id="" if n else "e" * 16) for n in range(4)]
    await store.write(new)
    assert _version(path) == 4
    for _ in range(8):  # Each reading thread has the file open by itself.
        assert by_id(await pages(store, query)) == by_id([*old, *new])
    assert await store.strip([span.trace_id for span in (*old, *new)]) == 8
    assert await pages(store, query) == []
    store.close()


async def test_every_span_is_counted_once_whenever_the_cube_is(
    tmp_path: Path, make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the cube counts anything, in between, after a crash without a last count, and after a whole day."""
    monkeypatch.setattr(cube, "FOLD", 40)
    clock = Clock()
    store = SpanStore.open(tmp_path / "whole", clock=clock)
    asked = Breakdown(by=("model",), measures=("count", "p50:duration_ms"))
    written = 0
    for n in (10, 29, 1, 60, 30):
        await store.write([make_span(model="m") for _ in range(n)])
        written += n
        assert [group.values[0] for group in await store.groups(asked)] == [written]
    (path,) = _files(tmp_path / "whole")
    assert _waiting(path) == 30
    shutil.copytree(tmp_path / "whole", tmp_path / "crashed")
    crashed = SpanStore.open(tmp_path / "crashed", clock=clock)
    assert [group.values[0] for group in await crashed.groups(asked)] == [written]
    for n in (1, 10):
        await crashed.write([make_span(model="m") for _ in range(n)])
    assert _waiting(tmp_path / "crashed" / path.name) == 0
    assert [group.values[0] for group in await crashed.groups(asked)] == [written + 11]
    crashed.close()
    clock.now += DAY_NS
    await store.write([make_span(model="m")])
    assert _waiting(path) == 0
    assert [group.values[0] for group in await store.groups(asked)] == [written + 1]
    store.close()


def by_id(spans: Sequence[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: span.span_id)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.db"))


def _waiting(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return cube.waiting(connection)
    finally:
        connection.close()


def _age(path: Path) -> None:
    """Make a file what schema 1 would have made of it."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP TABLE cube; DROP TABLE cube_mark;"
        "DROP INDEX spans_model; DROP INDEX spans_prompt; DROP INDEX scores_value; DROP TABLE blocks; DROP TABLE words;"
        "PRAGMA user_version = 1;"
    )
    connection.close()


def _version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (SpanQuery(filters=(Filter(column="stamp.prompt", op="=", value="a/1"),)), "spans_prompt"),
        (SpanQuery(filters=(Filter(column="model", op="=", value="m"),), roots=False), "spans_model"),
        (SpanQuery(filters=(Filter(column="score:quality", op="<", value=0.5),)), "spans_id"),
        (SpanQuery(), "spans_root"),
        (SpanQuery(roots=False), "spans_start"),
        (SpanQuery(filters=(Filter(column="trace_id", op="=", value="ab" * 16),), roots=False), "spans_id"),
    ],
)
async def test_what_is_asked_most_is_found_by_an_index(
    open_store: Callable[..., SpanStore],
    make_span: Callable[..., Span],
    make_score: Callable[..., Score],
    query: SpanQuery,
    index: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store()
    await store.write([make_span() for _ in range(50)], [make_score()])
    plans: list[str] = []
    ready = reader.Scan.ready

    def explained(scan: reader.Scan, file: Any) -> Any:
        connection, where = ready(scan, file)
        sql = f"EXPLAIN QUERY PLAN SELECT s.seq FROM spans s {where.hint} WHERE {where.sql} ORDER BY s.start_ns DESC"
        plans.extend(row[3] for row in connection.execute(sql, where.parameters))
        return connection, where

    monkeypatch.setattr(reader.Scan, "ready", explained)
    await store.query(query)
    assert any(index in plan for plan in plans), plans


async def test_more_groups_than_can_be_compared_are_refused(
    open_store: Callable[..., SpanStore], make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    await store.write([make_span(session=f"s-{n}") for n in range(20)])
    monkeypatch.setattr(breakdown, "MOST_GROUPS", 19)
    with pytest.raises(BadInput) as caught:
        await store.groups(Breakdown(by=("session",)))
    assert caught.value.field == "by"
    assert await store.groups(Breakdown(by=("model",)))
