"""The recorder never blocks, and says what it loses without flooding the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from trimtab.core import Score, Span, new_span_id, new_trace_id, now_ns
from trimtab.store import SpanStore
from trimtab.traces import Recorder


def _span() -> Span:
    now = now_ns()
    return Span(trace_id=new_trace_id(), span_id=new_span_id(), name="ask", kind="chain", start_ns=now, end_ns=now + 5)


async def test_spans_and_scores_reach_the_store(store: SpanStore) -> None:
    span = _span()
    score = Score(id="s1", trace_id=span.trace_id, name="allowed", value=1.0, by="guard:default", time_ns=now_ns())
    recorder = Recorder(store)
    recorder.record([span], [score])
    await store.flush()
    found = await store.trace(span.trace_id)
    assert found is not None
    assert found.spans == (span,)
    assert found.scores == (score,)
    assert recorder.dropped == 0


async def test_what_a_full_queue_drops_is_counted_and_said_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SpanStore.open(tmp_path / "spans")
    store.close()
    minute = 60 * 10**9
    times = iter([0, minute - 1, minute])
    recorder = Recorder(store, clock=lambda: next(times))
    with caplog.at_level(logging.WARNING):
        recorder.record([_span(), _span()])
        assert len(caplog.records) == 1
        recorder.record([_span()])
        assert len(caplog.records) == 1
        recorder.record([_span()])
    assert recorder.dropped == 4
    assert [record.args for record in caplog.records] == [(2, 2), (2, 4)]
