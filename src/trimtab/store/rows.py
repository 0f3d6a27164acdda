"""Spans and scores as rows of a day file, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from trimtab.core import Score, Span, Stamp

from .payload import Codec, Said, attributes_in, said_in

#: The columns of ``spans`` after ``seq``, in the order of ``span_row``.
SPAN_COLUMNS = (
    "trace_id", "span_id", "parent_id", "project", "session", "name", "kind", "status", "layer", "start_ns", "end_ns",
    "model", "provider", "fingerprint",
    "stamp_model", "stamp_knowledge", "stamp_prompt", "stamp_guard", "stamp_route",
    "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_usd", "ttft_ns", "tags",
)  # fmt: skip
#: The columns of ``scores`` after ``seq``, in the order of ``score_row``.
SCORE_COLUMNS = (
    "id", "trace_id", "span_id", "project", "name", "value", "by", "by_version", "label", "reason", "slice", "time_ns",
    "stamp_model", "stamp_knowledge", "stamp_prompt", "stamp_guard", "stamp_route",
)  # fmt: skip

Row = tuple[Any, ...]
#: The greatest whole number that a database keeps.
MOST = (1 << 63) - 1
_encode = msgspec.json.Encoder().encode
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode


@lru_cache(maxsize=1024)
def id_in(text: str) -> bytes | str:
    """An id as it is stored: hex digits of the usual lengths as bytes (half the room in every index), others as is."""
    if len(text) in (16, 32):
        try:
            packed = bytes.fromhex(text)
        except ValueError:
            return text
        if packed.hex() == text:
            return packed
    return text


def id_out(stored: bytes | str) -> str:
    """An id as it was given."""
    return stored.hex() if isinstance(stored, bytes) else stored


def span_row(span: Span) -> Row:
    """The span as a row. Raises ValueError for a time that is not a whole number of nanoseconds since 1970."""
    stamp, layer = span.stamp, span.layer
    start_ns, end_ns = span.start_ns, span.end_ns
    if type(start_ns) is not int or type(end_ns) is not int or not 0 <= start_ns <= end_ns <= MOST:  # nearly never
        _time(start_ns, "start_ns")
        _time(end_ns, "end_ns")
    for value in (
        layer, span.input_tokens, span.output_tokens, span.cached_tokens, span.reasoning_tokens, span.ttft_ns
    ):  # fmt: skip
        if value is not None and (not isinstance(value, int) or not -MOST <= value <= MOST):
            raise ValueError(f"{value!r} is no whole number")
    return (
        id_in(span.trace_id),
        id_in(span.span_id),
        id_in(span.parent_id),
        span.project,
        span.session,
        span.name,
        span.kind,
        span.status,
        # Any other kind of number is adapted by the driver, which takes as long as all the rest of its row.
        None if layer is None else int(layer),
        start_ns,
        end_ns,
        span.model,
        span.provider,
        span.fingerprint,
        stamp.model,
        stamp.knowledge,
        stamp.prompt,
        stamp.guard,
        stamp.route,
        span.input_tokens,
        span.output_tokens,
        span.cached_tokens,
        span.reasoning_tokens,
        None if span.cost_usd is None else _finite(span.cost_usd, "cost_usd"),
        span.ttft_ns,
        tags_text(span.tags) if span.tags else None,
    )


def score_row(score: Score) -> Row:
    """The score as a row. Raises ValueError for a value that is not a finite number and for a bad time."""
    stamp = score.stamp
    value = _finite(score.value, "value")
    return (
        score.id,
        id_in(score.trace_id),
        id_in(score.span_id),
        score.project,
        score.name,
        value,
        score.by,
        score.by_version,
        score.label,
        score.reason,
        score.slice,
        _time(score.time_ns, "time_ns"),
        stamp.model,
        stamp.knowledge,
        stamp.prompt,
        stamp.guard,
        stamp.route,
    )


def span_of(row: Row, codec: Codec) -> Span:
    """The span of a row of ``SPAN_COLUMNS`` followed by its payload's dictionary and data."""
    payload = codec.unpack(row[26], row[27])
    return span_with(row, said_in(payload), attributes_in(payload))


def span_with(row: Row, said: Said, attributes: Mapping[str, Any]) -> Span:
    """The span of a row that begins with ``SPAN_COLUMNS``, with what it says."""
    return Span(
        trace_id=id_out(row[0]),
        span_id=id_out(row[1]),
        parent_id=id_out(row[2]),
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
        tags=tags_in(row[25]),
        input=said.input,
        output=said.output,
        error=said.error,
        attributes=attributes,
    )


def tags_in(stored: str | None) -> Mapping[str, str]:
    """The tags of a span as they are stored."""
    return _decode_tags(stored) if stored else {}


def score_of(row: Row) -> Score:
    """The score of a row of ``SCORE_COLUMNS``."""
    return Score(
        id=row[0],
        trace_id=id_out(row[1]),
        span_id=id_out(row[2]),
        project=row[3],
        name=row[4],
        value=row[5],
        by=row[6],
        by_version=row[7],
        label=row[8],
        reason=row[9],
        slice=row[10],
        time_ns=row[11],
        stamp=_stamp(row[12:17]),
    )


def _stamp(pins: Row) -> Stamp:
    model, knowledge, prompt, guard, route = pins
    return Stamp(model=model, knowledge=knowledge, prompt=prompt, guard=guard, route=route)


def _time(value: int, name: str) -> int:
    if not isinstance(value, int) or not 0 <= value <= MOST:
        raise ValueError(f"{name} is {value!r}, not nanoseconds since 1970")
    return value


def _finite(value: float, name: str) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a finite number")
    return float(value)


def tags_text(tags: Mapping[str, str]) -> str:
    """Tags as they are stored. Raises ValueError where they are not text by name."""
    for name, value in tags.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"tags are {tags!r}, not text by name")
    return _encode(tags if isinstance(tags, dict) else dict(tags)).decode()
