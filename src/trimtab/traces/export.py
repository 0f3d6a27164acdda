"""Traces out: whole traces as JSON lines, conversations in OpenAI's fine-tuning shape, or OpenTelemetry's JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from trimtab.core import BadInput, Span, SpanQuery
from trimtab.store import SpanStore, Trace

from .messages import messages_of
from .otlpout import as_json, request_of

#: The most traces of one export.
MOST = 100_000
_PAGE = 200


def jsonl(trace: Trace) -> Any:
    """The whole trace: ``{"id", "spans", "scores"}``."""
    return {"id": trace.spans[0].trace_id, "spans": trace.spans, "scores": trace.scores}


def openai(trace: Trace) -> Any:
    """``{"messages": [...]}`` of the trace's last answered call to a model, with its tools; None when there is none."""
    for span in reversed(trace.spans):
        asked = messages_of(span.input) if span.kind == "llm" and span.status == "ok" else None
        if not asked:
            continue
        answer = _answer(span)
        if answer:
            found: dict[str, Any] = {"messages": [_message(message) for message in [*asked, answer]]}
            tools = _tools(span)
            return {**found, "tools": tools} if tools else found
    return None


def otlp(trace: Trace) -> Any:
    """One ExportTraceServiceRequest, as a collector's file exporter writes it. Scores are events of their spans."""
    return as_json(request_of(trace.spans, trace.scores))


FORMATS: dict[str, Callable[[Trace], Any]] = {"jsonl": jsonl, "openai": openai, "otlp": otlp}


async def export(store: SpanStore, query: SpanQuery, form: str, limit: int) -> AsyncIterator[bytes]:
    """The traces that match, newest first, one line each, at most ``limit``. Raises BadInput for an unknown form."""
    write = FORMATS.get(form)
    if write is None:
        raise BadInput(f"{form!r} is not a format", field="format", mend=f"Use {', '.join(FORMATS)}.")
    left = limit
    while left > 0:
        page = await store.query(replace(query, roots=True, limit=min(_PAGE, left)))
        for root in page.spans:
            trace = await store.trace(root.trace_id)
            line = write(trace) if trace and trace.spans else None
            if line is not None:
                yield msgspec.json.encode(line) + b"\n"
        left -= len(page.spans)
        if not page.cursor:
            return
        query = replace(query, cursor=page.cursor)


def _answer(span: Span) -> dict[str, Any] | None:
    """The assistant's message: with its tool calls where the span kept them, else its text."""
    for name in ("gen_ai.output.messages", "gen_ai.completion", "mlflow.spanOutputs", "output.value"):
        value = span.attributes.get(name)
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except (msgspec.MsgspecError, RecursionError):
                continue
        if isinstance(value, Mapping) and isinstance(value.get("choices"), list):
            value = [choice.get("message") for choice in value["choices"][:1] if isinstance(choice, Mapping)]
        messages = messages_of(value)
        if messages:
            return {**messages[0], "role": "assistant"}
    return {"role": "assistant", "content": span.output} if span.output else None


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """One message in the shape that fine-tuning takes: OpenTelemetry's tool parts become OpenAI's."""
    sent: dict[str, Any] = {"role": message["role"], "content": message.get("content") or ""}
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    parts = [part for part in message.get("parts") or () if isinstance(part, Mapping)]
    calls += [part for part in parts if part.get("type") in ("tool_call", "tool-call")]
    if calls:
        sent["tool_calls"] = [_call(call) for call in calls]
    for part in parts:
        if part.get("type") in ("tool_call_response", "tool-result"):
            given = part.get("response", part.get("result", part.get("output")))
            sent |= {
                "role": "tool",
                "tool_call_id": str(part.get("id") or part.get("toolCallId") or ""),
                "content": given if isinstance(given, str) else msgspec.json.encode(given).decode(),
            }
    if isinstance(message.get("tool_call_id"), str):
        sent["tool_call_id"] = message["tool_call_id"]
    return sent


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    inner = call.get("function")
    known: Mapping[str, Any] = inner if isinstance(inner, Mapping) else call
    arguments = known.get("arguments", known.get("input", ""))
    return {
        "id": str(call.get("id") or call.get("toolCallId") or ""),
        "type": "function",
        "function": {
            "name": str(known.get("name") or known.get("toolName") or ""),
            "arguments": arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode(),
        },
    }


def _tools(span: Span) -> list[Any]:
    """The tools that the model was offered, in OpenAI's shape."""
    value = span.attributes.get("gen_ai.tool.definitions")
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return []
    if not isinstance(value, list):
        return []
    return [
        tool if "function" in tool else {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
        for tool in value
        if isinstance(tool, Mapping)
    ]
