"""A finished span as OpenTelemetry's JSON. Nothing in it is tied to our server: any OTLP backend reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .livespan import LiveSpan

_OPERATIONS = {
    "llm": "chat",
    "embedding": "embeddings",
    "retriever": "retrieval",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "guardrail": "apply_guardrail",
}
_SDK = {"telemetry.sdk.name": "trimtab", "telemetry.sdk.language": "python"}


#: The resource attribute that says how many spans the process lost since its last export that arrived.
SPANS_LOST = "trimtab.spans.lost"


def encode(spans: Iterable[LiveSpan], lost: int = 0) -> bytes:
    """An ExportTraceServiceRequest, one resource a project. The first one says how many spans were ``lost`` before."""
    projects: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        projects.setdefault(span.project, []).append(_span(span))
    return json.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": _pairs(_resource(project, 0 if at else lost))},
                    "scopeSpans": [{"scope": {"name": "trimtab"}, "spans": found}],
                }
                for at, (project, found) in enumerate(projects.items())
            ]
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode("utf-8", "replace")


def _resource(project: str, lost: int) -> dict[str, Any]:
    return {**({"service.name": project} if project else {}), **_SDK, SPANS_LOST: lost}


def _span(span: LiveSpan) -> dict[str, Any]:
    # A step that nobody named is left for the server to name: it sees more of the trace.
    unnamed = span.guessed and span.kind == "chain"
    attributes: dict[str, Any] = {} if unnamed else {"openinference.span.kind": span.kind.upper()}
    if span.kind in _OPERATIONS:
        attributes["gen_ai.operation.name"] = _OPERATIONS[span.kind]
    for name, value in (("input.value", span.input), ("output.value", span.output), ("session.id", span.session)):
        if value:
            attributes[name] = value
    # Copied, because the application may still hold the span and write to it.
    tags, own = dict(span.tags), dict(span.attributes)
    if tags:
        attributes["tag.tags"] = [f"{name}:{value}" for name, value in tags.items()]
    sent: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": 3 if span.kind == "llm" else 1,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _pairs({**attributes, **own}),
        "status": {"code": 2, "message": span.error} if span.status == "error" else {"code": 1},
    }
    if span.parent_id:
        sent["parentSpanId"] = span.parent_id
    return sent


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -(1 << 63) <= value < 1 << 63 else {"stringValue": "a very large integer"}
    if isinstance(value, float):
        return {"doubleValue": value} if value - value == 0 else {"doubleValue": str(value)}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}
