"""Traces as a Parquet file, one row a span, made piece by piece; ``pyarrow`` is the extra ``parquet``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

import msgspec

from trimtab.core import BadInput, Score, Span, Stamp
from trimtab.store import Trace

#: Characters of text after which a row group is written: the most that is held in memory, give or take one trace.
_GROUP_SIZE = 8 * 1024 * 1024
_GROUP_ROWS = 20_000
_TEXTS = ("trace_id", "span_id", "parent_id", "project", "session", "name", "kind", "status", "error", "model",
          "provider", "fingerprint", "input", "output")  # fmt: skip
_NUMBERS = ("layer", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "ttft_ns")
_PINS = tuple(pin.name for pin in fields(Stamp))
_encode = msgspec.json.Encoder().encode


def parquet(traces: AsyncIterator[Trace]) -> AsyncIterator[bytes]:
    """The file in pieces. Raises BadInput at once where pyarrow is not installed.

    Times are timestamps in nanoseconds UTC, tags a map, attributes JSON text. The scores of a span stand in its row as
    a list; those of the whole trace stand in the row of its root (or first span).
    """
    try:
        import pyarrow  # house: import because pyarrow is an optional extra of many megabytes
        import pyarrow.parquet  # house: import because pyarrow is an optional extra of many megabytes
    except ImportError:
        raise BadInput(
            "Parquet needs pyarrow, which is not installed on the server",
            field="format",
            mend="Install trimtab[parquet], or use jsonl.",
        ) from None
    return _pieces(pyarrow, traces)


class _Pieces:
    """A file that gives away what was written to it."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        """Keep it until it is taken."""
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        """How much was written in all."""
        return self._size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """What was written stays to be taken."""
        self.closed = True

    def take(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


async def _pieces(pyarrow: Any, traces: AsyncIterator[Trace]) -> AsyncIterator[bytes]:
    schema, sink = _schema(pyarrow), _Pieces()
    writer = pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd")

    def write(rows: list[dict[str, Any]]) -> bytes:
        writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
        return sink.take()

    rows: list[dict[str, Any]] = []
    size = 0
    async for trace in traces:
        for row in rows_of(trace):
            rows.append(row)
            size += len(row["input"]) + len(row["output"]) + len(row["attributes"])
        if size >= _GROUP_SIZE or len(rows) >= _GROUP_ROWS:
            yield await asyncio.to_thread(write, rows)
            rows, size = [], 0
    if rows:
        yield await asyncio.to_thread(write, rows)
    writer.close()
    yield sink.take()


def _schema(pyarrow: Any) -> Any:
    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    moment = pyarrow.timestamp("ns", tz="UTC")
    score = pyarrow.struct(
        [("name", text), ("value", real), ("by", text), ("by_version", text), ("label", text), ("reason", text),
         ("time", moment)]
    )  # fmt: skip
    return pyarrow.schema(
        [
            *((name, text) for name in _TEXTS),
            ("start", moment),
            ("end", moment),
            *((name, whole) for name in _NUMBERS),
            ("cost_usd", real),
            *((f"stamp_{name}", text) for name in _PINS),
            ("tags", pyarrow.map_(text, text)),
            ("attributes", text),
            ("scores", pyarrow.list_(score)),
        ]
    )


def rows_of(trace: Trace) -> list[dict[str, Any]]:
    """The rows of a trace."""
    known = {span.span_id for span in trace.spans}
    top = next((span.span_id for span in trace.spans if not span.parent_id), trace.spans[0].span_id)
    judged: dict[str, list[dict[str, Any]]] = {}
    for score in trace.scores:
        judged.setdefault(score.span_id if score.span_id in known else top, []).append(_score(score))
    return [_row(span, judged.get(span.span_id, [])) for span in trace.spans]


def _row(span: Span, scores: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **{name: getattr(span, name) for name in (*_TEXTS, *_NUMBERS)},
        "start": span.start_ns,
        "end": span.end_ns,
        "cost_usd": span.cost_usd,
        **{f"stamp_{name}": getattr(span.stamp, name) for name in _PINS},
        "tags": list(span.tags.items()),
        "attributes": _encode(dict(span.attributes)).decode(),
        "scores": scores,
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "name": score.name,
        "value": score.value,
        "by": score.by,
        "by_version": score.by_version,
        "label": score.label,
        "reason": score.reason,
        "time": score.time_ns,
    }
