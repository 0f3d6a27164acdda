"""Spans as OpenTelemetry again: the current GenAI names, what was sent to us unchanged, and what is Trimtab's own."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.core import Later, Score, Span

from .messages import messages_of

if TYPE_CHECKING:
    from . import proto
else:
    proto = Later("trimtab.traces.proto")

_OPERATIONS = {
    "llm": "chat", "embedding": "embeddings", "retriever": "retrieval", "tool": "execute_tool", "agent": "invoke_agent",
    "guardrail": "apply_guardrail",
}  # fmt: skip
#: What a trace's own record says of how it was kept, and no collector needs.
_INNER = frozenset({"events", "links", "resource", "scope", "truncated"})
_STATUS = {"ok": 1, "error": 2, "refused": 2}


def attributes_of(span: Span) -> dict[str, Any]:
    """A span's attributes under the names that other systems read."""
    talk = span.kind == "llm" and messages_of(span.input) is not None
    named: dict[str, Any] = {
        "openinference.span.kind": span.kind.upper(),
        "gen_ai.operation.name": _OPERATIONS.get(span.kind),
        "gen_ai.provider.name": span.provider,
        "gen_ai.request.model": span.stamp.model.partition("=")[0].partition("/")[2] if span.kind == "llm" else "",
        "gen_ai.response.model": span.model,
        "openai.response.system_fingerprint": span.fingerprint,
        "gen_ai.conversation.id": span.session,
        "session.id": span.session,
        "gen_ai.usage.input_tokens": span.input_tokens,
        "gen_ai.usage.output_tokens": span.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": span.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": span.reasoning_tokens,
        "llm.cost.total": span.cost_usd,
        "gen_ai.response.time_to_first_chunk": None if span.ttft_ns is None else span.ttft_ns / 1e9,
        "gen_ai.input.messages" if talk else "input.value": span.input,
        "output.value": span.output,
        "tag.tags": [f"{name}:{value}" for name, value in span.tags.items()] or None,
        **_stamp(span),
    }
    known = {name: value for name, value in named.items() if value not in (None, "")}
    return {**{name: value for name, value in span.attributes.items() if name not in _INNER}, **known}


def _stamp(span: Span) -> dict[str, str]:
    name, _, version = span.stamp.prompt.rpartition("/")
    pins = {f"trimtab.stamp.{layer}": str(getattr(span.stamp, layer)) for layer in
            ("model", "knowledge", "prompt", "guard", "route")}  # fmt: skip
    return {**pins, "gen_ai.prompt.name": name, "gen_ai.prompt.version": version if name else ""}


def request_of(spans: Iterable[Span], scores: Sequence[Score] = ()) -> proto.ExportTraceServiceRequest:
    """One request, a resource for each project. Scores become events of the span (or root) that they judge."""
    request = proto.ExportTraceServiceRequest()
    groups: dict[str, Any] = {}
    for span in spans:
        group = groups.get(span.project)
        if group is None:
            made = request.resource_spans.add()
            made.resource.attributes.extend(pairs_of({"service.name": span.project}))
            group = groups[span.project] = made.scope_spans.add()
            group.scope.name = "trimtab"
        sent = group.spans.add(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=bytes.fromhex(span.parent_id),
            name=span.name,
            kind=3 if span.kind == "llm" else 1,
            start_time_unix_nano=span.start_ns,
            end_time_unix_nano=span.end_ns,
            attributes=pairs_of(attributes_of(span)),
        )
        sent.status.code = _STATUS.get(span.status, 0)
        sent.status.message = span.error if span.status != "ok" else ""
        for score in scores:
            if score.span_id == span.span_id or (not score.span_id and not span.parent_id):
                sent.events.add(
                    name="gen_ai.evaluation.result", time_unix_nano=score.time_ns, attributes=pairs_of(_verdict(score))
                )
    return request


def scores_of(scores: Iterable[Score]) -> proto.ExportLogsServiceRequest:
    """Scores as ``gen_ai.evaluation.result`` log records, which is how they travel after their trace."""
    request = proto.ExportLogsServiceRequest()
    groups: dict[str, Any] = {}
    for score in scores:
        group = groups.get(score.project)
        if group is None:
            made = request.resource_logs.add()
            made.resource.attributes.extend(pairs_of({"service.name": score.project}))
            group = groups[score.project] = made.scope_logs.add()
            group.scope.name = "trimtab"
        group.log_records.add(
            time_unix_nano=score.time_ns,
            event_name="gen_ai.evaluation.result",
            trace_id=bytes.fromhex(score.trace_id),
            span_id=bytes.fromhex(score.span_id),
            attributes=pairs_of(_verdict(score)),
        )
    return request


def _verdict(score: Score) -> dict[str, Any]:
    said = {
        "gen_ai.evaluation.name": score.name,
        "gen_ai.evaluation.score.value": score.value,
        "gen_ai.evaluation.score.label": score.label,
        "gen_ai.evaluation.explanation": score.reason,
        "trimtab.score.by": score.by,
        "trimtab.score.by_version": score.by_version,
    }
    return {name: value for name, value in said.items() if value != ""}


def pairs_of(values: Mapping[str, Any]) -> list[proto.KeyValue]:
    """Attributes in protobuf."""
    return [proto.KeyValue(key=str(name), value=_value(value)) for name, value in values.items()]


def _value(value: Any) -> proto.AnyValue:
    match value:
        case None:
            return proto.AnyValue()
        case bool():
            return proto.AnyValue(bool_value=value)
        case int() if -(1 << 63) <= value < 1 << 63:
            return proto.AnyValue(int_value=value)
        case float():
            return proto.AnyValue(double_value=value)
        case Mapping():
            return proto.AnyValue(kvlist_value=proto.KeyValueList(values=pairs_of(value)))
        case list() | tuple():
            return proto.AnyValue(array_value=proto.ArrayValue(values=[_value(item) for item in value]))
        case _:
            return proto.AnyValue(string_value=str(value))


def as_json(request: proto.ExportTraceServiceRequest) -> dict[str, Any]:
    """The request in OTLP's JSON: hex ids, numbers for enums, text for 64-bit integers."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _json_pairs(group.resource.attributes)},
                "scopeSpans": [
                    {"scope": {"name": scoped.scope.name}, "spans": [_json_span(span) for span in scoped.spans]}
                    for scoped in group.scope_spans
                ],
            }
            for group in request.resource_spans
        ]
    }


def _json_span(span: Any) -> dict[str, Any]:
    sent: dict[str, Any] = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": str(span.end_time_unix_nano),
        "attributes": _json_pairs(span.attributes),
        "status": {"code": span.status.code, "message": span.status.message},
    }
    if span.parent_span_id:
        sent["parentSpanId"] = span.parent_span_id.hex()
    if span.events:
        sent["events"] = [
            {"name": e.name, "timeUnixNano": str(e.time_unix_nano), "attributes": _json_pairs(e.attributes)}
            for e in span.events
        ]
    return sent


def _json_pairs(pairs: Iterable[proto.KeyValue]) -> list[dict[str, Any]]:
    return [{"key": pair.key, "value": _json_value(pair.value)} for pair in pairs]


def _json_value(value: proto.AnyValue) -> dict[str, Any]:
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return {}
        case "array_value":
            return {"arrayValue": {"values": [_json_value(item) for item in value.array_value.values]}}
        case "kvlist_value":
            return {"kvlistValue": {"values": _json_pairs(value.kvlist_value.values)}}
        case "int_value":
            return {"intValue": str(value.int_value)}
        case "bytes_value":
            return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
        case "bool_value":
            return {"boolValue": value.bool_value}
        case "double_value":
            return {"doubleValue": value.double_value}
        case _:
            return {"stringValue": value.string_value}
