"""Traces deleted for good, and texts dropped with everything else kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moving_clock import DAY_NS, Clock

from trimtab.core import BadInput, Filter, Score, Span, SpanQuery
from trimtab.store import STRIPPED, Outline, SpanStore
from trimtab.store.payload import SAMPLES

SECRET = "Mara Lindqvist, Elm Street 7"


def trace_id(n: int) -> str:
    return f"{n:032x}"


async def everything(store: SpanStore) -> tuple[list[str], list[str]]:
    """All spans and scores that a follower of the ledger gets, from the start."""
    spans: list[str] = []
    scores: list[str] = []
    position = ""
    while (batch := await store.tail(position)).spans or batch.scores:
        position = batch.position
        spans += [span.trace_id for span in batch.spans]
        scores += [score.trace_id for score in batch.scores]
    return spans, scores


async def sums(store: SpanStore) -> tuple[Any, Any]:
    return (
        await store.span_series(since_ns=0, until_ns=0, bucket_s=10),
        await store.score_series(since_ns=0, until_ns=0, bucket_s=10),
    )


@pytest.fixture
async def filled(
    open_store: Callable[..., SpanStore], make_span: Callable[..., Span], make_score: Callable[..., Score], clock: Clock
) -> SpanStore:
    """Ten traces of two spans and a score; the scores come a day later, so that two files hold a trace."""
    store = open_store()
    for n in range(10):
        spans = [
            make_span(trace_id=trace_id(n), input=SECRET, session=f"session of {SECRET}", status="ok"),
            make_span(trace_id=trace_id(n), parent_id="root", output=SECRET, attributes={"who": SECRET, "key": "k"}),
        ]
        await store.write(spans)
    clock.now += DAY_NS
    await store.write((), [make_score(trace_id=trace_id(n), value=n / 10, reason=SECRET) for n in range(10)])
    return store


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_nothing_is_left_of_an_erased_trace_and_sums_stay(filled: SpanStore, tmp_path: Path) -> None:
    before = await sums(filled)
    assert SECRET.encode() in bytes_on_disk(tmp_path / "spans")
    gone = await filled.erase([trace_id(n) for n in range(9)] + [trace_id(77)])
    assert (gone.spans, gone.scores, gone.settled) == (18, 9, True)
    assert await filled.trace(trace_id(3)) is None
    assert await everything(filled) == ([trace_id(9)] * 2, [trace_id(9)])
    assert [span.trace_id for span in (await filled.query(SpanQuery())).spans] == [trace_id(9)]
    assert await sums(filled) == before
    again = await filled.erase([trace_id(n) for n in range(10)])
    assert (again.spans, again.scores) == (2, 1)
    assert SECRET.encode() not in bytes_on_disk(tmp_path / "spans")


async def test_what_rows_had_in_common_is_not_kept_in_memory_either(
    filled: SpanStore, make_span: Callable[..., Span], make_score: Callable[..., Score]
) -> None:
    spans = [make_span(trace_id=trace_id(3), session=f"session of {SECRET}") for _ in range(64)]
    await filled.write(spans, [make_score(trace_id=trace_id(3), reason=SECRET) for _ in range(64)])
    connection = filled._ledger._connection
    assert connection is not None
    shared = "SELECT (SELECT count(*) FROM temp.alike_spans), (SELECT count(*) FROM temp.alike_scores)"
    assert connection.execute(shared).fetchone() == (1, 1)
    await filled.erase([trace_id(3)])
    assert connection.execute(shared).fetchone() == (0, 0)
    await filled.write(spans)
    found = await filled.trace(trace_id(3))
    assert found is not None
    assert {span.session for span in found.spans} == {f"session of {SECRET}"}


async def test_it_is_gone_after_a_restart_and_may_come_again(
    filled: SpanStore, open_store: Callable[..., SpanStore], make_span: Callable[..., Span]
) -> None:
    await filled.erase([trace_id(0)])
    end = await filled.end()
    filled.close()
    store = open_store()
    assert await store.trace(trace_id(0)) is None
    assert int(await store.end()) >= int(end) - 1
    await store.write([make_span(trace_id=trace_id(0), span_id="1" * 16)])
    found = await store.trace(trace_id(0))
    assert found is not None
    assert len(found.spans) == 1
    assert [span.trace_id for span in (await store.tail(end)).spans] == [trace_id(0)]


async def test_no_names_are_learnt_into_the_dictionary(
    open_store: Callable[..., SpanStore], make_span: Callable[..., Span], tmp_path: Path
) -> None:
    """A dictionary is never deleted: what only one person's texts say must not get into it."""
    store = open_store()
    plain = "please tell me where the parcel with the order is and when it comes "
    spans = [
        make_span(
            input=plain * 3 + (SECRET if n % 3 == 0 else f"customer {n}"), session="mara" if n % 3 == 0 else f"s{n}"
        )
        for n in range(SAMPLES)
    ]
    await store.write(spans)
    (dictionary,) = (tmp_path / "spans").glob("*.zdict")
    learnt = dictionary.read_bytes()
    assert b"parcel" in learnt
    assert b"Lindqvist" not in learnt
    assert b"Elm" not in learnt


async def test_stripped_spans_keep_every_column_and_no_text(filled: SpanStore) -> None:
    before, series = await filled.trace(trace_id(3)), await sums(filled)
    assert before is not None
    assert await filled.strip([trace_id(3), trace_id(77)]) == 2
    assert await filled.strip([trace_id(3)]) == 0
    after = await filled.trace(trace_id(3))
    assert after is not None
    assert after.scores == before.scores
    expected = [
        replace(
            span, input="", output="", attributes={"key": "k", STRIPPED: True} if span.parent_id else {STRIPPED: True}
        )
        for span in before.spans
    ]
    assert list(after.spans) == expected
    assert await sums(filled) == series
    assert not (await filled.query(SpanQuery(text="Lindqvist", filters=_of(3)))).spans
    assert (await filled.query(SpanQuery(text="Lindqvist", filters=_of(4)))).spans
    tailed = [span for span in (await filled.tail("")).spans if span.trace_id == trace_id(3)]
    assert tailed == expected


def _of(n: int) -> tuple[Filter, ...]:
    return (Filter(column="trace_id", op="=", value=trace_id(n)),)


async def test_outlines(filled: SpanStore, make_span: Callable[..., Span]) -> None:
    await filled.write([make_span(trace_id=trace_id(50), parent_id="x", status="refused", project="shop")])
    found = await filled.outlines([trace_id(n) for n in (3, 50, 77)])
    assert found == {
        trace_id(3): Outline(spans=2, scores=1, root=True, bad=False, project="default", lowest=0.3),
        trace_id(50): Outline(spans=1, bad=True, project="shop"),
    }
    assert await filled.outlines([]) == {}


@pytest.mark.parametrize("method", ["erase", "strip", "outlines"])
async def test_too_many_at_once_are_refused(filled: SpanStore, method: str) -> None:
    with pytest.raises(BadInput):
        await getattr(filled, method)([trace_id(n) for n in range(1001)])


async def test_writing_goes_on_meanwhile(filled: SpanStore, make_span: Callable[..., Span]) -> None:
    """What was offered before is deleted with the rest, what comes later is kept."""
    filled.offer([make_span(trace_id=trace_id(5), span_id="e" * 16)])
    gone = await filled.erase([trace_id(5)])
    filled.offer([make_span(trace_id=trace_id(6), span_id="f" * 16)])
    await filled.flush()
    assert (gone.spans, gone.scores) == (3, 1)
    found = await filled.trace(trace_id(6))
    assert found is not None
    assert len(found.spans) == 3


async def test_a_reader_with_an_old_state_delays_only_the_overwriting(filled: SpanStore, tmp_path: Path) -> None:
    path = min((tmp_path / "spans").glob("*.db"))
    with sqlite3.connect(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM spans").fetchone()
        first = await filled.erase([trace_id(n) for n in range(10)])
        assert (first.spans, first.settled) == (20, False)
        assert reader.execute("SELECT count(*) FROM spans").fetchone() == (20,)
        reader.execute("COMMIT")
    reader.close()
    assert (await filled.erase([])).settled
    assert SECRET.encode() not in bytes_on_disk(tmp_path / "spans")
