"""Spans and scores as columns of ClickHouse, and back."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trimtab.core import Score, Span, Stamp
from trimtab.store import rows as columns
from trimtab.store.buckets import bucket_of
from trimtab.store.folding import fold, folded_texts
from trimtab.store.intake import PackedScore, PackedSpan

_WORDS = {"project", "name", "kind", "status", "model", "provider", "fingerprint", "by", "by_version", "label", "slice"}
_WHOLES = {"layer", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "ttft_ns"}
_MAP = "Map(LowCardinality(String), String)"


def _type(name: str) -> str:
    if name in _WORDS or name.startswith("stamp_"):
        return "LowCardinality(String)"
    if name in _WHOLES:
        return "Nullable(Int64)"
    own = {"cost_usd": "Nullable(Float64)", "value": "Float64", "tags": _MAP, "start_ns": "Int64", "end_ns": "Int64",
           "time_ns": "Int64"}  # fmt: skip
    return own.get(name, "String")


_PLACE = {"day": "Date", "seq": "Int64", "writer": "LowCardinality(String)"}
#: Name and type of every column that is inserted.
SPAN_COLUMNS = (
    _PLACE
    | {name: _type(name) for name in columns.SPAN_COLUMNS}
    | {"folded": _MAP, "bucket": "Int32"}
    | dict.fromkeys(("error", "input", "output", "input_folded", "output_folded", "attributes"), "String")
)
SCORE_COLUMNS = _PLACE | {name: _type(name) for name in columns.SCORE_COLUMNS}
#: What a span is read from, as ``span_of`` wants it.
SPAN = ", ".join(f"s.{name}" for name in (*columns.SPAN_COLUMNS, "error", "input", "output", "attributes"))
SCORE = ", ".join(columns.SCORE_COLUMNS)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_TEXTUAL = ("String", "LowCardinality(String)")


def span_values(place: tuple[datetime.date, int, str], packed: PackedSpan) -> tuple[Any, ...]:
    """A new span as values of SPAN_COLUMNS. Raises ValueError for text that is not Unicode."""
    span, row, attributes = packed
    folded = folded_texts(span, row)
    return (
        *place,
        span.trace_id,
        span.span_id,
        span.parent_id,
        *row[3:25],
        dict(span.tags),
        folded,
        bucket_of(span.duration_ns / 1e6),
        span.error,
        span.input,
        span.output,
        fold(span.input),
        fold(span.output),
        attributes.decode(),
    )


def score_values(place: tuple[datetime.date, int, str], packed: PackedScore) -> tuple[Any, ...]:
    """A new score as values of SCORE_COLUMNS."""
    score, row = packed
    return (*place, score.id, score.trace_id, score.span_id, *row[3:])


def check_texts(columns_: Mapping[str, str], values: tuple[Any, ...]) -> None:
    """Raises ValueError for text that is none or not Unicode, before the client has begun to send."""
    for (name, kind), value in zip(columns_.items(), values, strict=True):
        if kind in _TEXTUAL:
            if not isinstance(value, str):
                raise ValueError(f"{name} is {value!r}, not text")
            if not value.isascii():
                value.encode()
        elif kind == _MAP:
            "".join((*value, *value.values())).encode()


def span_of(row: Sequence[Any]) -> Span:
    """The span of a row of SPAN."""
    return Span(
        trace_id=row[0],
        span_id=row[1],
        parent_id=row[2],
        project=row[3],
        session=row[4],
        name=row[5],
        kind=row[6],
        status=row[7],
        layer=row[8],
        start_ns=row[9],
        end_ns=row[10],
        model=row[11],
        provider=row[12],
        fingerprint=row[13],
        stamp=_stamp(row[14:19]),
        input_tokens=row[19],
        output_tokens=row[20],
        cached_tokens=row[21],
        reasoning_tokens=row[22],
        cost_usd=row[23],
        ttft_ns=row[24],
        tags=row[25],
        error=row[26],
        input=row[27],
        output=row[28],
        attributes=_decode(row[29]) if row[29] else {},
    )


def score_of(row: Sequence[Any]) -> Score:
    """The score of a row of SCORE."""
    return columns.score_of(tuple(row))


def _stamp(pins: Sequence[str]) -> Stamp:
    model, knowledge, prompt, guard, route = pins
    return Stamp(model=model, knowledge=knowledge, prompt=prompt, guard=guard, route=route)
