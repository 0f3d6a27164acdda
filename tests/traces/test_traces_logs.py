"""``POST /v1/logs``: verdicts become scores, messages join their span, and what is not kept is said."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from trimtab.core import Span, Stamp, now_ns
from trimtab.store import SpanStore
from trimtab.traces import Receiver, Window, logs_app, otlp_app, question
from trimtab.traces.events import hear
from trimtab.traces.logs import decode_logs

PROTOBUF, JSON = {"content-type": "application/x-protobuf"}, {"content-type": "application/json"}
SAMPLES = Path(__file__).parent / "samples" / "genai_older"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def record(name: str, attributes: dict[str, Any], body: Any = None, **more: Any) -> dict[str, Any]:
    def value(item: Any) -> dict[str, Any]:
        if isinstance(item, dict):
            return {"kvlistValue": {"values": [{"key": k, "value": value(v)} for k, v in item.items()]}}
        if isinstance(item, float):
            return {"doubleValue": item}
        return {"stringValue": str(item)}

    return {
        "traceId": TRACE, "spanId": SPAN, "timeUnixNano": str(now_ns()), "eventName": name,
        "attributes": [{"key": k, "value": value(v)} for k, v in attributes.items()],
        **({"body": value(body)} if body is not None else {}), **more,
    }  # fmt: skip


def request(*records: dict[str, Any]) -> bytes:
    group = {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
             "scopeLogs": [{"logRecords": list(records)}]}  # fmt: skip
    return json.dumps({"resourceLogs": [group]}).encode()


def root(**fields: Any) -> Span:
    now = now_ns()
    return Span(
        **{
            "trace_id": TRACE, "span_id": SPAN, "name": "turn", "kind": "chain", "start_ns": now, "end_ns": now,
            "project": "shop", "tags": {"topic": "parcel"}, "stamp": Stamp(prompt="answer/3"), **fields,
        }
    )  # fmt: skip


async def test_log_records_say_nothing_of_lost_spans(ask: Any, store: SpanStore) -> None:
    """A sender may have one resource for its spans and its log records."""
    body = json.loads(request(record("gen_ai.user.message", {}, {"content": "hello"})))
    lost = {"key": "trimtab.spans.lost", "value": {"intValue": "7"}}
    body["resourceLogs"][0]["resource"]["attributes"].append(lost)
    answer = await ask(logs_app(Receiver(store)), "POST", "/v1/logs", json.dumps(body).encode(), JSON)
    assert answer.status == 200
    trace = await store.trace(TRACE)
    assert trace is not None
    assert len(trace.spans) == 1
    assert "arrived" not in trace.spans[0].attributes


async def test_verdicts_become_scores_with_the_stamp_of_their_trace(ask: Any, store: SpanStore) -> None:
    await store.write([root()])
    body = request(
        record("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "Answer relevance!",
               "gen_ai.evaluation.score.value": 0.25, "gen_ai.evaluation.explanation": "off topic"}),
        record("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "faithful",
               "gen_ai.evaluation.score.label": "Pass"}),
        record("gen_ai.guardrail.result", {"gen_ai.guardrail.policy.id": "pii", "gen_ai.guardrail.policy.version": "4",
               "gen_ai.guardrail.result.type": "block"}),
    )  # fmt: skip
    for _ in range(2):  # a retry is stored once
        headers = {**JSON, "content-encoding": "gzip"}
        answer = await ask(logs_app(Receiver(store)), "POST", "/v1/logs", gzip.compress(body), headers)
        assert (answer.status, answer.json()) == (200, {})
    found = await store.trace(TRACE)
    assert found is not None
    scores = {score.name: score for score in found.scores}
    assert len(found.scores) == 3
    assert {name: score.value for name, score in scores.items()} == {
        "Answer_relevance": 0.25, "faithful": 1.0, "allowed": 0.0,
    }  # fmt: skip
    assert scores["Answer_relevance"].reason == "off topic"
    assert (scores["allowed"].by, scores["allowed"].by_version) == ("guard:pii", "pii/4")
    assert {(s.project, s.slice, s.stamp.prompt) for s in found.scores} == {("shop", "parcel", "answer/3")}


async def test_what_is_not_kept_is_said(ask: Any, store: SpanStore) -> None:
    body = request(
        record("", {}, "GET / 200"),
        record("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "x", "gen_ai.evaluation.score.value": 4.0}),
        record("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "x", "gen_ai.evaluation.score.label": "meh"}),
        record("gen_ai.guardrail.result", {}),
        record("gen_ai.user.message", {}, {"content": "hi"}, spanId=""),
    )
    answer = await ask(logs_app(Receiver(store)), "POST", "/v1/logs", body, JSON)
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedLogRecords"] == "5"
    for reason in ("only GenAI's events", "outside 0 to 1", "'meh' is no known verdict", "nothing is no", "no span"):
        assert reason in partial["errorMessage"]
    await store.flush()
    batch = await store.tail("")
    assert not batch.spans
    assert not batch.scores


async def test_verdicts_of_one_request_are_bounded(ask: Any, store: SpanStore) -> None:
    verdicts = [
        record("gen_ai.evaluation.result", {"gen_ai.evaluation.score.value": 0.5}, timeUnixNano=str(number))
        for number in range(1, 1011)
    ]
    answer = await ask(logs_app(Receiver(store)), "POST", "/v1/logs", request(*verdicts), JSON)
    assert answer.json()["partialSuccess"]["rejectedLogRecords"] == "10"
    found = await store.trace(TRACE)
    assert found is not None
    assert len(found.scores) == 1000


async def test_protobuf_and_what_cannot_be_read(
    ask: Any, store: SpanStore, as_pairs: Callable[..., list[KeyValue]]
) -> None:
    sent = ExportLogsServiceRequest()
    records = sent.resource_logs.add().scope_logs.add().log_records
    records.add(
        trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN), observed_time_unix_nano=now_ns(),
        attributes=as_pairs({"event.name": "gen_ai.evaluation.result", "gen_ai.evaluation.name": "ok",
                             "gen_ai.evaluation.score.value": 1}),
    )  # fmt: skip
    records.add(event_name="other")
    answer = await ask(logs_app(Receiver(store)), "POST", "/v1/logs", sent.SerializeToString(), PROTOBUF)
    said = ExportLogsServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, said.rejected_log_records) == (200, 1)
    assert "'other'" in said.error_message
    batch = await store.tail("")
    assert [score.name for score in batch.scores] == ["ok"]
    for headers, body in ((JSON, b"{"), (PROTOBUF, b"garbage"), (JSON, b'{"resourceLogs": "\xff"}')):
        refused = await ask(logs_app(Receiver(store)), "POST", "/v1/logs", body, headers)
        assert refused.status == 400
        assert b"OTLP logs request" in refused.body


@pytest.mark.parametrize("first", ["logs", "spans"])
async def test_recorded_messages_join_their_spans(ask: Any, store: SpanStore, first: str) -> None:
    window = Window()
    apps = {"logs": logs_app(Receiver(store, window=window)), "traces": otlp_app(Receiver(store, window=window))}
    files = {"logs": "openai_v2.logs.json", "traces": "openai_v2.json"}
    bodies = {name: (SAMPLES / file).read_bytes() for name, file in files.items()}
    order = ["logs", "traces"] if first == "logs" else ["traces", "logs"]
    for name in order:
        answer = await ask(apps[name], "POST", f"/v1/{name}", bodies[name], JSON)
        assert (answer.status, answer.json()) == (200, {})
    calls = [span for span in (await store.tail("")).spans if span.kind == "llm"]
    assert len(calls) == 4
    for call in calls:
        trace = await store.trace(call.trace_id)
        assert trace is not None
        talk = next(span for span in trace.spans if span.name == "messages")
        # Stored under its span in any case, so that an answered request is on disk.
        assert talk.parent_id == call.span_id
        assert question(talk.input) == "Where is my parcel A-17?"
        if first == "logs":
            assert call.input == talk.input
            assert call.output == talk.output
    # What came after its span waits in vain, and is let go in time.
    assert bool(window._held) is (first == "spans")


async def test_the_events_of_today_in_one_record(ask: Any, store: SpanStore) -> None:
    window = Window()
    talk = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi?"}]}])
    said = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Hello."}]}])
    told = json.dumps([{"type": "text", "content": "Be kind."}])
    body = request(
        record("gen_ai.client.inference.operation.details", {"gen_ai.input.messages": talk,
               "gen_ai.output.messages": said, "gen_ai.system_instructions": told})
    )  # fmt: skip
    await ask(logs_app(Receiver(store, window=window)), "POST", "/v1/logs", body, JSON)
    (kept,) = (await store.tail("")).spans
    assert (question(kept.input), kept.output, kept.parent_id, kept.project) == ("Hi?", "Hello.", SPAN, "shop")
    assert [m["role"] for m in json.loads(kept.input)] == ["system", "user"]


def test_the_window_is_bounded_in_number_size_and_time() -> None:
    def talks(count: int, text: str = "x") -> Any:
        records = [
            record("gen_ai.user.message", {}, {"content": text}, spanId=f"{number:016x}", timeUnixNano="1")
            for number in range(1, count + 1)
        ]
        return hear(decode_logs(request(*records), json=True), 1).spans

    window = Window(keep=10, characters=10**6, seconds=60)
    window.hold(talks(50), 0)
    assert len(window._held) == 10
    window.hold(talks(1), 61 * 10**9)
    assert list(window._held) == [(TRACE, f"{1:016x}")]
    small = Window(characters=1000)
    small.hold(talks(3, "y" * 600), 0)
    assert len(small._held) == 1
    assert small._size <= 1000
