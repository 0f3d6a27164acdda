"""The thread that writes down words: what it covers, what it leaves out, and that nothing ends it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zstandard
from moving_clock import DAY_NS, Clock
from words_world import rows, world

from trimtab.core import Span
from trimtab.store import SpanStore, blocks, dayfile, erasing, indexing
from trimtab.store.ledger import Ledger
from trimtab.store.payload import Codec
from trimtab.store.words import Segment

pytestmark = pytest.mark.usefixtures("only_when_asked")

MakeSpan = Callable[..., Span]
OpenStore = Callable[..., SpanStore]


async def test_a_segment_that_begins_inside_a_block_has_no_words_of_the_spans_before_it(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group is cut at forty spans, here inside a block that holds two traces."""
    monkeypatch.setattr(indexing, "GROUPS", 1)
    store = open_store()
    traces = [
        [make_span(trace_id=f"{trace:032x}", parent_id="ff" * 8, output=f"{word} said") for _ in range(count)]
        for trace, word, count in ((1, "filler", 15), (2, "secretly", 3), (3, "longest", 29))
    ]
    await store.write([span for trace in traces for span in trace])
    assert await store.index(today=True) == 2
    assert rows(tmp_path / "spans", "SELECT count(*) FROM blocks") == [(2,)]
    await store.erase([traces[1][0].trace_id])
    ((left,),) = rows(tmp_path / "spans", "SELECT words FROM words")
    assert isinstance(left, bytes)
    assert sorted(zstandard.ZstdDecompressor().decompress(left).split()) == [b"longest", b"said"]


async def test_what_an_erasure_takes_from_today_is_made_again_today(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "GROUPS", 3)
    monkeypatch.setattr(indexing, "FULL", 60)
    store = open_store()
    spans = world(make_span, 0, 100)
    await store.write(spans)
    made = await store.index()
    assert made == 3
    await store.erase([spans[-1].trace_id])  # It has no words yet.
    assert rows(tmp_path / "spans", "SELECT count(*) FROM words") == [(made,)]
    await store.erase([span.trace_id for span in spans[64:100:2]])
    assert rows(tmp_path / "spans", "SELECT count(*) FROM words") == [(made - 1,)]
    assert await store.index() == 1
    assert await store.index() == 0


@pytest.mark.parametrize("way", ["erase", "strip"])
async def test_a_segment_that_is_made_during_an_erasure_is_not_kept(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Its texts are read after the rows were deleted and before that is committed."""
    store = open_store()
    spans = world(make_span, 0, 20)
    await store.write(spans)
    deleted, read = threading.Event(), threading.Event()
    change, texts_of = getattr(erasing, way), blocks.texts_of

    def slowly(connection: sqlite3.Connection, ids: Sequence[bytes | str], codec: Codec) -> object:
        done: object = change(connection, ids, codec)
        deleted.set()
        assert read.wait(60)
        return done

    def tell(connection: sqlite3.Connection, codec: Codec, first: int, last: int) -> list[str]:
        texts = texts_of(connection, codec, first, last)
        read.set()
        return texts

    monkeypatch.setattr(erasing, way, slowly)
    monkeypatch.setattr(indexing, "texts_of", tell)
    erasure = asyncio.ensure_future(getattr(store, way)([spans[0].trace_id]))
    assert await asyncio.to_thread(deleted.wait, 60)
    await store.index(today=True)
    await erasure
    assert rows(tmp_path / "spans", "SELECT count(*) FROM words WHERE NOT stale") == [(0,)]


async def test_a_segment_that_could_not_be_stored_is_made_again(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "FEW", 1)
    store = open_store()
    await store.write(world(make_span, 0, 20))
    clock.now += DAY_NS
    keep = Ledger.keep_words
    full = [sqlite3.OperationalError("database or disk is full")]

    def keep_words(ledger: Ledger, file: dayfile.DayFile, segment: Segment, removed: tuple[int, int]) -> bool:
        if full:
            raise full.pop()
        return keep(ledger, file, segment, removed)

    monkeypatch.setattr(Ledger, "keep_words", keep_words)
    assert await store.index() == 0
    assert await store.index() == 1


async def test_a_file_that_cannot_be_read_keeps_no_words_from_the_others(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "FEW", 1)
    store = open_store()
    for day in range(2):
        await store.write(world(make_span, 20 * day, 20))
        clock.now += DAY_NS
    broken = sqlite3.connect(min((tmp_path / "spans").glob("spans-*.db")))
    broken.execute("UPDATE payloads SET data = x'00'")
    broken.commit()
    broken.close()
    assert await store.index() == 1
    assert rows(tmp_path / "spans", "SELECT count(*) FROM words") == [(0,), (1,)]


async def test_a_file_that_cannot_be_read_is_left_alone_for_a_while(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's own thread tries it once and goes on."""
    monkeypatch.setattr(indexing, "FEW", 1)
    store = open_store()
    await store.write(world(make_span, 0, 20))
    clock.now += DAY_NS
    tried: list[int] = []

    def unreadable(connection: sqlite3.Connection, codec: Codec, first: int, last: int) -> list[str]:
        tried.append(first)
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(indexing, "texts_of", unreadable)
    indexer = store._indexer
    for _ in range(3):
        assert await asyncio.to_thread(indexer.index, gently=True) == 0
    assert len(tried) == 1
    monkeypatch.setattr(indexing, "_AGAIN_S", 0.0)
    assert await store.index() == 0
    assert await asyncio.to_thread(indexer.index, gently=True) == 0
    assert len(tried) == 3


async def test_a_day_that_is_over_is_covered_and_today_only_by_full_segments(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "GROUPS", 3)
    monkeypatch.setattr(indexing, "FULL", 60)
    monkeypatch.setattr(indexing, "FEW", 5)
    store = open_store()
    await store.write(world(make_span, 0, 50))
    assert await store.index() == 1
    assert await store.index() == 0
    clock.now += DAY_NS
    await store.write(world(make_span, 50, 2))
    assert await store.index() == 1
    assert await store.index() == 0
    last = "SELECT (SELECT max(seq) FROM spans) - coalesce((SELECT max(last) FROM words), 0)"
    assert [left == 0 for (left,) in rows(tmp_path / "spans", last)] == [True, False]


async def test_the_store_does_it_by_itself(
    open_store: OpenStore, make_span: MakeSpan, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = threading.Event()
    keep = Ledger.keep_words

    def tell(ledger: Ledger, file: dayfile.DayFile, segment: Segment, removed: tuple[int, int]) -> bool:
        done = keep(ledger, file, segment, removed)
        kept.set()
        return done

    monkeypatch.setattr(indexing, "_LOOK_S", 0.01)
    monkeypatch.setattr(indexing, "GROUPS", 2)
    monkeypatch.setattr(indexing, "FULL", 40)
    monkeypatch.setattr(Ledger, "keep_words", tell)
    store = open_store()
    await store.write(world(make_span, 0, 100))
    assert kept.wait(60)
    store.close()


async def test_a_segment_that_is_made_by_and_by_is_the_one_that_is_made_at_once(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Today's texts come from memory and the others from the disk: both give the same words."""
    monkeypatch.setattr(indexing, "GROUPS", 4)
    monkeypatch.setattr(indexing, "FULL", 80)
    store = open_store()
    spans, read = world(make_span, 0, 50), 0
    texts_of = blocks.texts_of

    def count(connection: sqlite3.Connection, codec: Codec, first: int, last: int) -> list[str]:
        nonlocal read
        read += 1
        return texts_of(connection, codec, first, last)

    monkeypatch.setattr(indexing, "texts_of", count)
    made = []
    for at in range(0, 100, 10):
        await store.write(spans[at : at + 10])
        made.append(await store.index())
    assert made == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert read <= 1  # The first group may begin before what is kept in memory.
    segment = "SELECT words, groups FROM words"
    by_and_by = rows(tmp_path / "spans", segment)
    store.close()
    (path,) = (tmp_path / "spans").glob("spans-*.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM words")
        connection.commit()
    assert await open_store().index() == 1
    assert read > 3
    assert rows(tmp_path / "spans", segment) == by_and_by


async def test_a_draft_begins_anew_once_something_was_erased(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words of what is gone would stay in a segment that was begun before."""
    monkeypatch.setattr(indexing, "GROUPS", 3)
    monkeypatch.setattr(indexing, "FULL", 60)
    store = open_store()
    secret = [make_span(parent_id="", input="secretly") for _ in range(2)]
    await store.write([*secret, *world(make_span, 0, 24)])
    assert await store.index() == 0
    await store.erase([span.trace_id for span in secret])
    await store.write(world(make_span, 24, 16))
    assert await store.index() == 1
    ((words,),) = rows(tmp_path / "spans", "SELECT words FROM words")
    assert b"refund" in _opened(words)
    assert b"secretly" not in _opened(words)


def _opened(column: object) -> bytes:
    assert isinstance(column, bytes)
    return zstandard.ZstdDecompressor().decompress(column)
