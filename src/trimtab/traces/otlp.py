"""OpenTelemetry's wire format: protobuf and JSON bytes in, plain records out. Knows nothing of LLM dialects.

JSON follows OTLP, not protobuf's own JSON: ids are hex, enums are numbers, 64-bit integers may be text.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core import BadInput, Later, swift

if TYPE_CHECKING:
    from . import proto
else:
    proto = Later("trimtab.traces.proto")

STATUS_ERROR = 2


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class RawEvent:
    """Something that happened within a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class RawSpan:
    """A span as it was sent, unchecked: ids are hex of any length, times any number, attributes JSON-able."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    status: int
    message: str
    attributes: dict[str, Any]
    events: tuple[RawEvent, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    resource: Mapping[str, Any] = field(default_factory=dict)
    scope: str = ""


def decode(body: bytes, *, json: bool) -> list[RawSpan]:
    """Read one ExportTraceServiceRequest. Raises BadInput when it is not one."""
    try:
        return list(_from_json(body) if json else _from_protobuf(body))
    except RecursionError:
        raise BadInput("an attribute is nested too deeply", field="body", mend="Send it as JSON text.") from None


def encode_response(rejected: int, reason: str, *, json: bool) -> bytes:
    """The answer to an accepted request; ``rejected`` spans of it were not."""
    if json:
        partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": reason}} if rejected else {}
        return msgspec.json.encode(partial)
    answer = proto.ExportTraceServiceResponse()
    if rejected:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = reason
    encoded: bytes = answer.SerializeToString()
    return encoded


def encode_status(code: int, message: str, *, json: bool) -> bytes:
    """A ``google.rpc.Status`` (field 1 the code, field 2 the message), which is what OTLP clients expect of errors.

    ``code`` is a gRPC code below 128, so that it takes one byte.
    """
    if json:
        return msgspec.json.encode({"code": code, "message": message})
    text = message.encode()
    return bytes((0x08, code, 0x12)) + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# Protobuf


def _from_protobuf(body: bytes) -> Iterator[RawSpan]:
    try:
        request = proto.ExportTraceServiceRequest.FromString(body)
    except proto.DecodeError as error:
        raise BadInput(
            f"the body is not an OTLP trace request: {error}",
            field="body",
            mend="Send ExportTraceServiceRequest as protobuf, or as JSON with content-type application/json.",
        ) from None
    for group in request.resource_spans:
        resource = pairs(group.resource.attributes)
        for scoped in group.scope_spans:
            scope = scoped.scope.name
            for span in scoped.spans:
                status = span.status
                yield RawSpan(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    status=status.code,
                    message=status.message,
                    attributes=pairs(span.attributes),
                    events=tuple(
                        [
                            RawEvent(name=e.name, time_ns=e.time_unix_nano, attributes=pairs(e.attributes))
                            for e in span.events
                        ]
                    ),
                    links=tuple([(link.trace_id.hex(), link.span_id.hex()) for link in span.links]),
                    resource=resource,
                    scope=scope,
                )


def pairs(pairs: Any) -> dict[str, Any]:
    # A text that is there is the value: most are, and need no other question.
    return {pair.key: pair.value.string_value or value_of(pair.value) for pair in pairs}


def value_of(value: proto.AnyValue) -> Any:
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "array_value":
            return [value_of(item) for item in value.array_value.values]
        case "kvlist_value":
            return pairs(value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value":
            return _finite(value.double_value)
        case _:
            return getattr(value, kind)


def _finite(number: float) -> float | str:
    """JSON has no NaN and no infinity, so that these become text."""
    return number if math.isfinite(number) else str(number)


# JSON


class _Array(msgspec.Struct):
    values: list[AnyValue] = []


class AnyValue(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: _Array | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class Pair(msgspec.Struct):
    key: str
    value: AnyValue | None = None


class _Pairs(msgspec.Struct):
    values: list[Pair] = []


class _Event(msgspec.Struct, rename="camel"):
    name: str = ""
    time_unix_nano: int | str = 0
    attributes: list[Pair] = []


class _Link(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class _JsonSpan(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    name: str = ""
    start_time_unix_nano: int | str = 0
    end_time_unix_nano: int | str = 0
    attributes: list[Pair] = []
    events: list[_Event] = []
    links: list[_Link] = []
    status: _Status | None = None


class Scope(msgspec.Struct):
    name: str = ""


class _Scoped(msgspec.Struct):
    spans: list[_JsonSpan] = []
    scope: Scope | None = None


class Resource(msgspec.Struct):
    attributes: list[Pair] = []


class _Group(msgspec.Struct, rename="camel"):
    resource: Resource | None = None
    scope_spans: list[_Scoped] = []


class _Request(msgspec.Struct, rename="camel"):
    resource_spans: list[_Group] = []


_REQUEST = msgspec.json.Decoder(_Request)


def _from_json(body: bytes) -> Iterator[RawSpan]:
    try:
        request = _REQUEST.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"the body is not an OTLP trace request in JSON: {error}",
            field="body",
            mend="Send ExportTraceServiceRequest in OTLP's JSON form.",
        ) from None
    for group in request.resource_spans:
        resource = json_pairs(group.resource.attributes) if group.resource else {}
        for scoped in group.scope_spans:
            for span in scoped.spans:
                yield RawSpan(
                    trace_id=span.trace_id.lower(),
                    span_id=span.span_id.lower(),
                    parent_id=span.parent_span_id.lower(),
                    name=span.name,
                    start_ns=integer(span.start_time_unix_nano),
                    end_ns=integer(span.end_time_unix_nano),
                    status=span.status.code if span.status else 0,
                    message=span.status.message if span.status else "",
                    attributes=json_pairs(span.attributes),
                    events=tuple(
                        RawEvent(name=e.name, time_ns=integer(e.time_unix_nano), attributes=json_pairs(e.attributes))
                        for e in span.events
                    ),
                    links=tuple((link.trace_id, link.span_id) for link in span.links),
                    resource=resource,
                    scope=scoped.scope.name if scoped.scope else "",
                )


def json_pairs(pairs: list[Pair]) -> dict[str, Any]:
    return {pair.key: json_value(pair.value) for pair in pairs}


def json_value(value: AnyValue | None) -> Any:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.bool_value is not None:
        return value.bool_value
    if value.int_value is not None:
        return integer(value.int_value)
    if value.double_value is not None:
        return value.double_value
    if value.array_value is not None:
        return [json_value(item) for item in value.array_value.values]
    if value.kvlist_value is not None:
        return json_pairs(value.kvlist_value.values)
    return value.bytes_value


def integer(number: int | str) -> int:
    """A 64-bit integer as OTLP's JSON writes it. Raises BadInput for anything else."""
    try:
        found = int(number)
    except ValueError:
        found = 1 << 64
    if not -(1 << 63) <= found < 1 << 64:
        raise BadInput(f"{str(number)[:40]!r} is not a 64-bit integer", field="body", mend="Write it as digits.")
    return found
