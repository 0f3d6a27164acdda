"""Spans and scores as columns: equal to the rows that are made one by one, whatever comes, and nothing goes amiss."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Layer, Score, Span, Stamp
from trimtab.store import dayfile, inserting
from trimtab.store.packing import Inserts, score_columns, span_columns
from trimtab.store.rows import SCORE_COLUMNS, SPAN_COLUMNS, score_row, span_row

_HEX = "0123456789abcdef"
_ids = st.one_of(
    st.text(_HEX, min_size=16, max_size=16), st.text(_HEX, min_size=32, max_size=32),
    st.sampled_from(["", "x", "AB" * 8, "é" * 16, " " * 16, "0 " * 8]),
)  # fmt: skip
_numbers = st.one_of(st.none(), st.integers(0, 1000), st.sampled_from([0, -1, True, 2**63 - 1, -(2**63), 2**63, 1.5]))
_costs = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0, 1, float("nan"), float("inf"), "1"]))
_times = st.one_of(st.integers(0, 1000), st.sampled_from([2**63 - 1, 2**63, -1, 1.0]))
_words = st.sampled_from(["", "a", "b"])
_stamps = st.builds(Stamp, model=_words, knowledge=_words, prompt=_words, guard=_words, route=_words)
_odd_spans = st.builds(
    Span, trace_id=_ids, span_id=_ids, parent_id=_ids, name=_words, kind=_words, start_ns=_times, end_ns=_times,
    project=_words, session=_words, status=_words, layer=st.sampled_from([None, Layer.MODEL, 2, Layer.SAFETY]),
    stamp=_stamps, model=_words, provider=_words, fingerprint=_words, input_tokens=_numbers, output_tokens=_numbers,
    cached_tokens=_numbers, reasoning_tokens=_numbers, cost_usd=_costs, ttft_ns=_numbers,
    tags=st.dictionaries(_words, _words, max_size=2),
)  # fmt: skip
_spans = st.builds(
    lambda span, times, tokens: Span(
        **dict(_fields(span), start_ns=times[0], end_ns=sum(times), input_tokens=tokens, output_tokens=tokens,
               cached_tokens=None, reasoning_tokens=0, cost_usd=0.5, ttft_ns=None)
    ),
    _odd_spans, st.tuples(st.integers(0, 99), st.integers(0, 99)), st.sampled_from([None, 7]),
)  # fmt: skip
_scores = st.builds(
    Score, id=_words, trace_id=_ids, span_id=_ids, name=_words, value=st.floats(0, 1) | st.sampled_from([1, 2]),
    by=_words, by_version=_words, label=_words, reason=_words, slice=_words, time_ns=_times, project=_words,
    stamp=_stamps,
)  # fmt: skip
_SPAN_OWN = [
    SPAN_COLUMNS.index(name)
    for name in (
        "trace_id", "span_id", "parent_id", "session", "name", "layer", "start_ns", "end_ns", "input_tokens",
        "output_tokens", "cached_tokens", "reasoning_tokens", "cost_usd", "ttft_ns", "tags",
    )
]  # fmt: skip
_SCORE_OWN = [SCORE_COLUMNS.index(name) for name in ("id", "trace_id", "span_id", "value", "reason", "time_ns")]

_LINES = ("common_spans", "alike_spans", "common_scores", "alike_scores")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = dayfile.create(tmp_path / "spans-2026-11-25.db")
    yield made
    made.close()


@given(st.lists(st.one_of(_spans, _odd_spans), min_size=1, max_size=6))
def test_columns_of_spans_are_their_rows(spans: list[Span]) -> None:
    _alike(lambda: [tuple(row[at] for at in _SPAN_OWN) for row in map(span_row, spans)], lambda: span_columns(spans))


@given(st.lists(_scores, min_size=1, max_size=6))
def test_columns_of_scores_are_their_rows(scores: list[Score]) -> None:
    _alike(
        lambda: [tuple(row[at] for at in _SCORE_OWN) for row in map(score_row, scores)], lambda: score_columns(scores)
    )


def test_rows_have_what_they_share_however_much_of_it_there_is(
    connection: sqlite3.Connection, make_span: Callable[..., Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inserting, "_MOST_LINES", 5)
    inserts, first = Inserts(connection), 1
    spans: list[Span] = []
    for count in (1, 7, 300, 3):
        some = [make_span(model=f"m-{n % 11}", stamp=Stamp(route=f"r/{n % 3}")) for n in range(count)]
        with inserts:
            inserts.add_spans(first, some, [b""] * count)
        spans, first = [*spans, *some], first + count
    found = connection.execute(f"SELECT seq, {', '.join(SPAN_COLUMNS)} FROM spans ORDER BY seq").fetchall()
    assert found == [(seq, *span_row(span)) for seq, span in enumerate(spans, 1)]


def test_many_rows_that_are_much_alike_are_their_rows_too(
    connection: sqlite3.Connection, make_span: Callable[..., Span], make_score: Callable[..., Score]
) -> None:
    """Names, sessions and the like are shared where few differ, and stand as they were given either way."""
    inserts, first = Inserts(connection), 1
    spans: list[Span] = []
    scores: list[Score] = []
    for count, different in ((64, 1), (63, 1), (80, 15), (80, 40), (300, 4)):
        some = [
            make_span(
                session=f"s-{n % different}", name=f"n-{n % different}", layer=(None, Layer.MODEL, 2)[n % 3],
                cached_tokens=(None, 0, 64)[n % different % 3], reasoning_tokens=None if n % different else 5,
                tags={"user": f"u-{count}"} if count == 63 else {}, input_tokens=(None, n)[n % 2],
                cost_usd=(None, 0.5)[n % 2],
            )
            for n in range(count)
        ]  # fmt: skip
        judged = [
            make_score(value=(0, 1.0, 0.25)[n % different % 3], reason=f"because {n % different}") for n in range(count)
        ]
        with inserts:
            inserts.add_spans(first, some, [b""] * count)
            inserts.add_scores(first, judged)
        spans, scores, first = [*spans, *some], [*scores, *judged], first + count
    found = connection.execute(f"SELECT seq, {', '.join(SPAN_COLUMNS)} FROM spans ORDER BY seq").fetchall()
    assert found == [(seq, *span_row(span)) for seq, span in enumerate(spans, 1)]
    columns = ", ".join(f'"{name}"' for name in SCORE_COLUMNS)
    read = connection.execute(f"SELECT seq, {columns} FROM scores ORDER BY seq").fetchall()
    assert read == [(seq, *score_row(score)) for seq, score in enumerate(scores, 1)]
    lines = [connection.execute(f"SELECT count(*) FROM temp.{one}").fetchone()[0] for one in _LINES]
    assert all(lines), lines


@pytest.mark.parametrize("count", [1, 64])
def test_ids_and_what_is_missing_are_stored_as_blobs_and_nulls(
    connection: sqlite3.Connection, make_span: Callable[..., Span], count: int
) -> None:
    inserts = Inserts(connection)
    inserts.add_spans(1, [make_span(parent_id="b" * 16) for _ in range(count)], [b""] * count)
    columns = "trace_id, span_id, parent_id, layer, tags, cost_usd"
    kinds = ", ".join(f"typeof({name})" for name in columns.split(", "))
    found = connection.execute(f"SELECT DISTINCT {kinds} FROM spans").fetchall()
    assert found == [("blob", "blob", "blob", "null", "null", "null")]


def test_what_many_rows_share_is_given_anew_once_a_transaction_was_undone(
    connection: sqlite3.Connection, make_span: Callable[..., Span], make_score: Callable[..., Score]
) -> None:
    inserts = Inserts(connection)
    spans, scores = [make_span(name="n-1") for _ in range(64)], [make_score(reason="r-1") for _ in range(64)]
    with contextlib.suppress(ZeroDivisionError), inserts:
        connection.execute("BEGIN")
        inserts.add_spans(1, spans, [b""] * 64)
        inserts.add_scores(65, scores)
        connection.execute("ROLLBACK")
        raise ZeroDivisionError
    with inserts:
        inserts.add_spans(1, spans, [b""] * 64)
        inserts.add_scores(65, scores)
    assert connection.execute("SELECT DISTINCT name FROM spans").fetchall() == [("n-1",)]
    assert connection.execute("SELECT DISTINCT reason FROM scores").fetchall() == [("r-1",)]


def test_what_rows_share_is_given_anew_once_a_transaction_was_undone(
    connection: sqlite3.Connection, make_span: Callable[..., Span]
) -> None:
    inserts, span = Inserts(connection), make_span(model="m-1")
    with contextlib.suppress(ZeroDivisionError), inserts:
        connection.execute("BEGIN")
        inserts.add_spans(1, [span], [b""])
        connection.execute("ROLLBACK")
        raise ZeroDivisionError
    with inserts:
        numbered, uncounted = inserts.add_spans(1, [span], [b""])
    assert numbered == [(1, span, b"")]
    assert uncounted.kinds == [("default", "chain", "m-1", "", "", "ok")]
    assert connection.execute("SELECT model FROM spans").fetchall() == [("m-1",)]


def test_no_row_is_left_out_because_what_it_shares_is_missing(
    connection: sqlite3.Connection, make_span: Callable[..., Span]
) -> None:
    inserts = Inserts(connection)
    inserts.add_spans(1, [make_span()], [b""])
    connection.execute("DELETE FROM temp.common_spans")
    with pytest.raises(sqlite3.IntegrityError):
        inserts.add_spans(2, [make_span()], [b""])


def test_only_new_spans_and_scores_are_returned(
    connection: sqlite3.Connection, make_span: Callable[..., Span], make_score: Callable[..., Score]
) -> None:
    inserts = Inserts(connection)
    spans, scores = [make_span() for _ in range(5)], [make_score() for _ in range(4)]
    inserts.add_spans(1, [spans[1], spans[3]], [b"", b""])
    inserts.add_scores(3, scores[2:3])
    numbered, uncounted = inserts.add_spans(4, [*spans, spans[0]], [b"{}"] * 6)
    assert numbered == [(4, spans[0], b"{}"), (6, spans[2], b"{}"), (8, spans[4], b"{}")]
    assert uncounted.starts_ns == [spans[0].start_ns, spans[2].start_ns, spans[4].start_ns]
    assert inserts.add_scores(10, scores) == [(10, scores[0]), (11, scores[1]), (13, scores[3])]


def _alike(rows: Callable[[], list[Any]], columns: Callable[[], Any]) -> None:
    """Both give the same, of the same types, or neither gives anything."""
    try:
        wanted = rows()
    except (ValueError, TypeError):
        with pytest.raises((ValueError, TypeError)):
            columns()
        return
    found = list(zip(*columns(), strict=True))
    assert found == wanted
    assert [list(map(_kind, row)) for row in found] == [list(map(_kind, row)) for row in wanted]


def _kind(value: Any) -> type[Any]:
    """The type of a value, as the database tells them apart: it takes a bytearray for bytes."""
    return bytes if isinstance(value, bytearray) else type(value)


def _fields(span: Span) -> dict[str, Any]:
    return {field.name: getattr(span, field.name) for field in dataclasses.fields(span)}
