"""OpenTelemetry's log records on the wire: protobuf and JSON bytes in, plain records out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core import BadInput, Later

from .otlp import AnyValue, Pair, Resource, Scope, integer, json_pairs, json_value, pairs, value_of

if TYPE_CHECKING:
    from . import proto
else:
    proto = Later("trimtab.traces.proto")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLog:
    """A log record as it was sent, unchecked. ``name`` is its event name, empty for a plain log line."""

    trace_id: str
    span_id: str
    name: str
    time_ns: int
    body: Any
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any] = field(default_factory=dict)
    scope: str = ""


def decode_logs(body: bytes, *, json: bool) -> list[RawLog]:
    """Read one ExportLogsServiceRequest. Raises BadInput when it is not one."""
    try:
        return list(_from_json(body) if json else _from_protobuf(body))
    except RecursionError:
        raise BadInput("a body is nested too deeply", field="body", mend="Send it as JSON text.") from None


def encode_logs_response(rejected: int, reason: str, *, json: bool) -> bytes:
    """The answer to an accepted request; ``rejected`` records of it were not kept."""
    if json:
        partial = {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": reason}} if rejected else {}
        return msgspec.json.encode(partial)
    answer = proto.ExportLogsServiceResponse()
    if rejected:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = reason
    encoded: bytes = answer.SerializeToString()
    return encoded


def _from_protobuf(body: bytes) -> Iterator[RawLog]:
    try:
        request = proto.ExportLogsServiceRequest.FromString(body)
    except proto.DecodeError as error:
        raise BadInput(
            f"the body is not an OTLP logs request: {error}",
            field="body",
            mend="Send ExportLogsServiceRequest as protobuf, or as JSON with content-type application/json.",
        ) from None
    for group in request.resource_logs:
        resource = pairs(group.resource.attributes)
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                attributes = pairs(record.attributes)
                yield RawLog(
                    trace_id=record.trace_id.hex(),
                    span_id=record.span_id.hex(),
                    name=record.event_name or str(attributes.get("event.name") or ""),
                    time_ns=record.time_unix_nano or record.observed_time_unix_nano,
                    body=value_of(record.body),
                    attributes=attributes,
                    resource=resource,
                    scope=scoped.scope.name,
                )


class _Record(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    event_name: str = ""
    time_unix_nano: int | str = 0
    observed_time_unix_nano: int | str = 0
    body: AnyValue | None = None
    attributes: list[Pair] = []


class _Scoped(msgspec.Struct, rename="camel"):
    log_records: list[_Record] = []
    scope: Scope | None = None


class _Group(msgspec.Struct, rename="camel"):
    resource: Resource | None = None
    scope_logs: list[_Scoped] = []


class _Request(msgspec.Struct, rename="camel"):
    resource_logs: list[_Group] = []


_REQUEST = msgspec.json.Decoder(_Request)


def _from_json(body: bytes) -> Iterator[RawLog]:
    try:
        request = _REQUEST.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"the body is not an OTLP logs request in JSON: {error}",
            field="body",
            mend="Send ExportLogsServiceRequest in OTLP's JSON form.",
        ) from None
    for group in request.resource_logs:
        resource = json_pairs(group.resource.attributes) if group.resource else {}
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                attributes = json_pairs(record.attributes)
                yield RawLog(
                    trace_id=record.trace_id.lower(),
                    span_id=record.span_id.lower(),
                    name=record.event_name or str(attributes.get("event.name") or ""),
                    time_ns=integer(record.time_unix_nano) or integer(record.observed_time_unix_nano),
                    body=json_value(record.body),
                    attributes=attributes,
                    resource=resource,
                    scope=scoped.scope.name if scoped.scope else "",
                )
