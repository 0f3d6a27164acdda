"""Spans that nobody sane would send: stored or refused with a reason, readable afterwards, and never an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from starlette.applications import Starlette
from starlette.responses import Response

from trimtab.core import Span, SpanQuery, TrimtabError, now_ns
from trimtab.store import SpanStore
from trimtab.traces import Receiver, otlp_app, routes
from trimtab.traces.translation import COUNT_LIMIT, REST_LIMIT, TEXT_LIMIT

PROTOBUF, JSON = {"content-type": "application/x-protobuf"}, {"content-type": "application/json"}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def send(ask: Any, store: SpanStore, as_pairs: Callable[..., list[KeyValue]]) -> Callable[..., Any]:
    """Send spans; what was refused, and the trace as the API gives it."""

    async def problem(_request: Any, error: Any) -> Response:
        return Response(status_code=error.status)

    app = otlp_app(Receiver(store))
    control = Starlette(routes=routes(store), exception_handlers={TrimtabError: problem})

    async def sent(*spans: dict[str, Any], trace: str = TRACE) -> tuple[str, dict[str, Any]]:
        request = ExportTraceServiceRequest()
        place = request.resource_spans.add().scope_spans.add().spans
        now = now_ns()
        for span in spans:
            fields = {
                "trace_id": bytes.fromhex(TRACE), "span_id": bytes.fromhex(SPAN), "name": "step",
                "start_time_unix_nano": now, "end_time_unix_nano": now, **span,
            }  # fmt: skip
            place.add(**{**fields, "attributes": as_pairs(span.get("attributes", {}))})
        answer = await ask(app, "POST", "/v1/traces", request.SerializeToString(), PROTOBUF)
        assert answer.status == 200
        reason = answer.body.decode(errors="replace")
        read = await ask(control, "GET", f"/api/traces/{trace}")
        listed = await ask(control, "GET", "/api/traces")
        assert listed.status == 200
        return reason, read.json() if read.status == 200 else {}

    return sent


async def test_a_megabyte_of_text_is_cut_and_says_so(send: Callable[..., Any]) -> None:
    big = "ü" * (1 << 19)
    _, trace = await send({"attributes": {"big": big, "input.value": big}})
    (span,) = trace["spans"]
    assert len(span["attributes"]["big"].encode()) <= TEXT_LIMIT
    assert len(span["input"].encode()) <= TEXT_LIMIT
    assert span["attributes"]["truncated"] == {"big": 1 << 20, "input": 1 << 20}


async def test_a_hundred_thousand_attributes_are_bounded_and_counted(send: Callable[..., Any]) -> None:
    _, trace = await send({"attributes": {f"name{number}": "x" * 10 for number in range(100_000)}})
    attributes = trace["spans"][0]["attributes"]
    assert len(attributes) <= COUNT_LIMIT + 10
    assert attributes["truncated"] == {"attributes": 100_000}


async def test_many_large_attributes_are_bounded_together(send: Callable[..., Any]) -> None:
    _, trace = await send({"attributes": {f"name{number}": "x" * 200_000 for number in range(50)}})
    attributes = trace["spans"][0]["attributes"]
    assert len(json.dumps(attributes)) <= REST_LIMIT + TEXT_LIMIT
    assert attributes["truncated"]["attributes"] == 50


async def test_indexed_names_by_the_thousand_are_read_in_no_time(send: Callable[..., Any]) -> None:
    flat = {f"llm.input_messages.{number}.message.content": "x" for number in range(20_000)}
    dots = {"gen_ai.prompt." + "0." * 400 + "content": "x", "gen_ai.prompt.0": "x"}
    _, trace = await send({"attributes": {"openinference.span.kind": "LLM", **flat, **dots}})
    assert trace["spans"][0]["kind"] == "llm"


async def test_cycles_and_missing_parents(send: Callable[..., Any]) -> None:
    first, second, third = (bytes.fromhex(f"{number:016x}") for number in (1, 2, 3))
    _, trace = await send(
        {"span_id": first, "parent_span_id": second},
        {"span_id": second, "parent_span_id": first},
        {"span_id": third, "parent_span_id": third},
        {"parent_span_id": bytes.fromhex("f" * 16)},
    )
    parents = {span["span_id"]: span["parent_id"] for span in trace["spans"]}
    assert len(parents) == 4
    # Its own parent is nobody's child: the trace has a root.
    assert parents[third.hex()] == ""


async def test_clock_skew(send: Callable[..., Any]) -> None:
    now = now_ns()
    backwards = {"start_time_unix_nano": now, "end_time_unix_nano": now - 10**9}
    reason, trace = await send(backwards, {"span_id": b"12345678", "start_time_unix_nano": now + 2 * 86_400 * 10**9})
    assert "in the future" in reason
    (span,) = trace["spans"]
    assert span["end_ns"] == span["start_ns"]
    early, trace = await send({"span_id": b"abcdefgh", "start_time_unix_nano": 1, "end_time_unix_nano": 2**63 + 5})
    assert "in the future" in early
    assert len(trace["spans"]) == 1


async def test_duplicated_ids_keep_the_first(send: Callable[..., Any]) -> None:
    _, trace = await send({"name": "first"}, {"name": "second"})
    assert [span["name"] for span in trace["spans"]] == ["first"]
    _, trace = await send({"name": "third"})
    assert [span["name"] for span in trace["spans"]] == ["first"]


async def test_markup_in_every_text_stays_text(send: Callable[..., Any]) -> None:
    attributes = {
        "input.value": SCRIPT, "output.value": SCRIPT, "session.id": SCRIPT, "user.id": SCRIPT, SCRIPT: SCRIPT,
        "gen_ai.request.model": SCRIPT, "gen_ai.response.model": SCRIPT, "gen_ai.provider.name": SCRIPT,
        "gen_ai.prompt.name": SCRIPT, "tag.tags": [f"topic:{SCRIPT}"],
    }  # fmt: skip
    status = {"code": 2, "message": SCRIPT}
    _, trace = await send({"name": SCRIPT, "attributes": attributes, "status": status})
    (span,) = trace["spans"]
    assert (span["name"], span["input"], span["error"], span["session"]) == (SCRIPT,) * 4
    assert span["attributes"][SCRIPT] == SCRIPT


async def test_control_characters_and_half_characters(send: Callable[..., Any], ask: Any, store: SpanStore) -> None:
    odd = "a\x00b\x1b[31mc\u2028\u202e\ufeff\U0010ffff"
    _, trace = await send({"name": odd, "attributes": {"input.value": odd, odd: odd}})
    assert trace["spans"][0]["input"] == odd
    now = str(now_ns())
    half = f'{{"traceId": "{"c" * 32}", "spanId": "{SPAN}", "startTimeUnixNano": "{now}", "name": "\\ud800"}}'
    body = f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{half}]}}]}}]}}'.encode()
    answer = await ask(otlp_app(Receiver(store)), "POST", "/v1/traces", body, JSON)
    assert answer.status == 400
    assert answer.json()["message"]


async def test_text_that_is_not_utf_8_is_refused_with_a_reason(ask: Any, store: SpanStore) -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN), name="NAMENAME", start_time_unix_nano=now_ns()
    )
    body = request.SerializeToString().replace(b"NAMENAME", b"\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc")
    answer = await ask(otlp_app(Receiver(store)), "POST", "/v1/traces", body, PROTOBUF)
    assert answer.status == 400
    assert b"not an OTLP trace request" in answer.body
    text = b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\xff\xfe"}]}]}]}'
    assert (await ask(otlp_app(Receiver(store)), "POST", "/v1/traces", text, JSON)).status == 400
    assert not (await store.query(SpanQuery(roots=False))).spans


@pytest.mark.parametrize("value", ["[" * 5000 + "]" * 5000, '{"a":' * 3000 + "1" + "}" * 3000, "[{" * 100, "\\" * 5000])
async def test_deep_or_broken_json_in_an_attribute(send: Callable[..., Any], value: str) -> None:
    names = ("gen_ai.input.messages", "mlflow.spanInputs", "langfuse.observation.input", "ai.prompt", "gen_ai.prompt",
             "traceloop.entity.input", "pydantic_ai.all_messages", "mlflow.chat.tokenUsage")  # fmt: skip
    extra = {"ai.operationId": "ai.generateText", "agent_name": "x", "langfuse.observation.type": "generation"}
    _, trace = await send({"attributes": {**dict.fromkeys(names, value), **extra}})
    assert trace["spans"][0]["span_id"] == SPAN


async def test_ids_of_the_wrong_length(send: Callable[..., Any]) -> None:
    reason, trace = await send({"trace_id": b"short"}, {"span_id": b""}, {"parent_span_id": b"x" * 40})
    assert trace == {}
    assert "trace id" in reason
    assert "span id" in reason


async def test_a_trace_of_ten_thousand_spans_is_read_whole(store: SpanStore, ask: Any) -> None:
    now = now_ns()
    spans = [
        Span(
            trace_id=TRACE, span_id=f"{number:016x}", parent_id=f"{number // 10:016x}" if number > 1 else "",
            name="step", kind="chain", start_ns=now + number, end_ns=now + number,
        )
        for number in range(1, 10_001)
    ]  # fmt: skip
    await store.write(spans)
    answer = await ask(Starlette(routes=routes(store)), "GET", f"/api/traces/{TRACE}")
    assert len(answer.json()["spans"]) == 10_000
