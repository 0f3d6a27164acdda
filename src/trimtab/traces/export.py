"""Traces out: whole traces as JSON lines or Parquet, conversations in OpenAI's fine-tuning shape, or OpenTelemetry's
JSON."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from trimtab.core import BadInput, Span, SpanQuery
from trimtab.store import Spans, Trace

from .messages import messages_of
from .otlpout import as_json, request_of
from .parquet import parquet

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


#: The formats of one JSON value a line, and what makes it of a trace; None leaves the trace out.
LINES: dict[str, Callable[[Trace], Any]] = {"jsonl": jsonl, "openai": openai, "otlp": otlp}
#: All formats, with their media types.
FORMATS = {**dict.fromkeys(LINES, "application/x-ndjson"), "parquet": "application/vnd.apache.parquet"}


def export(store: Spans, query: SpanQuery, form: str, limit: int) -> AsyncIterator[bytes]:
    """The traces that match, newest first, at most ``limit``, a few at a time: what is not sent yet is not in memory.

    A trace whose root has not arrived is there by the newest of its spans that match. Raises BadInput for an unknown
    format, and for one whose library is not installed.
    """
    if form not in FORMATS:
        raise BadInput(f"{form[:40]!r} is not a format", field="format", mend=f"Use {', '.join(FORMATS)}.")
    traces = matching(store, query, limit)
    return parquet(traces) if form == "parquet" else _lines(traces, LINES[form])


async def matching(store: Spans, query: SpanQuery, limit: int) -> AsyncIterator[Trace]:
    """The traces of an export, one after the other."""
    query = replace(query, roots=False, limit=_PAGE)
    orphans: set[bytes] = set()
    left = limit
    while left > 0:
        page = await store.query(query)
        rootless = await _rootless(store, page.spans, orphans)
        for span in page.spans:
            if span.parent_id and span.trace_id not in rootless:
                continue
            rootless.discard(span.trace_id)
            trace = await store.trace(span.trace_id)
            if trace is not None and trace.spans:
                yield trace
                left -= 1
                if not left:
                    return
        if not page.cursor:
            return
        query = replace(query, cursor=page.cursor)


async def _rootless(store: Spans, spans: Sequence[Span], seen: set[bytes]) -> set[str]:
    """The traces of these spans that have no root and were not there on an earlier page; they are seen from now on."""
    own = {span.trace_id for span in spans if not span.parent_id}
    asked = [name for name in dict.fromkeys(span.trace_id for span in spans) if name not in own]
    known = await store.outlines(asked)
    found = {name for name in asked if name in known and not known[name].root and _short(name) not in seen}
    seen.update(map(_short, found))
    return found


def _short(trace_id: str) -> bytes:
    return hashlib.blake2b(trace_id.encode("utf-8", "replace"), digest_size=16).digest()


async def _lines(traces: AsyncIterator[Trace], write: Callable[[Trace], Any]) -> AsyncIterator[bytes]:
    async for trace in traces:
        line = write(trace)
        if line is not None:
            yield msgspec.json.encode(line) + b"\n"


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
