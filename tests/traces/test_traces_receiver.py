"""``POST /v1/traces`` against a real store: what is answered with 200 is on disk, and what is not says why."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from trimtab.core import LimitReached, Span, now_ns
from trimtab.store import SpanStore
from trimtab.traces import Receiver, otlp_app, receiver

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}
TRACE, ROOT, CHILD = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


@pytest.fixture
def body(as_pairs: Callable[..., list[KeyValue]]) -> bytes:
    """A chat under a root."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(as_pairs({"service.name": "shop"}))
    spans = group.scope_spans.add().spans
    now = now_ns()
    spans.add(
        trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(CHILD), parent_span_id=bytes.fromhex(ROOT), name="chat",
        start_time_unix_nano=now, end_time_unix_nano=now + 10**6,
        attributes=as_pairs(
            {
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 500,
            }
        ),
    )  # fmt: skip
    spans.add(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(ROOT),
        name="turn",
        start_time_unix_nano=now,
        end_time_unix_nano=now + 10**7,
        attributes=as_pairs({"input.value": "Where is it?", "tag.tags": ["topic:parcel"]}),
    )
    return request.SerializeToString()


async def _nothing(store: SpanStore) -> bool:
    """Whether the store is empty."""
    await store.flush()
    batch = await store.tail("")
    return not batch.spans and not batch.scores


async def _stored(store: SpanStore) -> tuple[Span, ...]:
    found = await store.trace(TRACE)
    return found.spans if found else ()


@pytest.mark.parametrize("squeeze", [False, True])
async def test_spans_are_committed_before_the_answer(
    ask: Any, store: SpanStore, body: bytes, tmp_path: Path, squeeze: bool
) -> None:
    headers = {**PROTOBUF, **({"content-encoding": "gzip"} if squeeze else {})}
    answer = await ask(
        otlp_app(Receiver(store)), "POST", "/v1/traces", gzip.compress(body) if squeeze else body, headers
    )
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert ExportTraceServiceResponse.FromString(answer.body) == ExportTraceServiceResponse()
    root, child = await _stored(store)
    assert {root.span_id, child.span_id} == {ROOT, CHILD}
    if root.parent_id:
        root, child = child, root
    assert (root.project, root.tags, root.input) == ("shop", {"topic": "parcel"}, "Where is it?")
    assert root.cost_usd == child.cost_usd == pytest.approx(0.00045)
    assert root.stamp.model == "openai/gpt-4o-mini"


async def test_the_same_request_twice_is_stored_once(ask: Any, store: SpanStore, body: bytes) -> None:
    app = otlp_app(Receiver(store))
    for _ in range(2):
        assert (await ask(app, "POST", "/v1/traces", body, PROTOBUF)).status == 200
    assert len(await _stored(store)) == 2


async def test_json_and_partial_success(ask: Any, store: SpanStore) -> None:
    now = str(now_ns())
    good = {"traceId": TRACE, "spanId": ROOT, "name": "good", "startTimeUnixNano": now, "endTimeUnixNano": now}
    bad = [{**good, "name": f"bad{number}", "spanId": "12"} for number in range(7)]
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [good, *bad]}]}]}
    answer = await ask(otlp_app(Receiver(store)), "POST", "/v1/traces", json.dumps(request).encode(), JSON)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "7"
    assert "'bad0'" in partial["errorMessage"]
    assert "span id '12' is not 8 bytes" in partial["errorMessage"]
    assert partial["errorMessage"].endswith("and 2 more")
    assert [span.name for span in await _stored(store)] == ["good"]


@pytest.mark.parametrize(
    ("method", "headers", "body", "status", "says"),
    [
        ("POST", JSON, b"{", 400, "not an OTLP trace request in JSON"),
        ("POST", PROTOBUF, b"garbage", 400, "not an OTLP trace request"),
        ("POST", {"content-type": "text/plain"}, b"", 415, "text/plain cannot be read"),
        ("POST", {}, b"", 415, "no content type"),
        ("POST", {**JSON, "content-encoding": "br"}, b"", 415, "'br' cannot be read"),
        ("POST", {**JSON, "content-encoding": "gzip"}, b"not gzip", 400, "gzip body is broken"),
        ("POST", {**JSON, "content-encoding": "gzip"}, gzip.compress(b"{}", mtime=0)[:-9], 400, "ends too early"),
        ("GET", JSON, b"", 405, "GET is not allowed"),
    ],
)
async def test_errors_name_the_fault(
    ask: Any, store: SpanStore, method: str, headers: dict[str, str], body: bytes, status: int, says: str
) -> None:
    answer = await ask(otlp_app(Receiver(store)), method, "/v1/traces", body, headers)
    assert answer.status == status
    assert says in answer.body.decode(errors="replace")
    assert await _nothing(store)
    if headers.get("content-type") == PROTOBUF["content-type"]:
        assert answer.body[0] == 0x08
    elif headers.get("content-type", "").startswith("application/json"):
        assert answer.json()["code"] > 0
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.json()["mend"]


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused(ask: Any, store: SpanStore) -> None:
    squeezer = zlib.compressobj(wbits=31)
    bomb = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(80)) + squeezer.flush()
    assert len(bomb) < 100_000
    answer = await ask(otlp_app(Receiver(store)), "POST", "/v1/traces", bomb, {**PROTOBUF, "content-encoding": "gzip"})
    assert answer.status == 413
    assert b"64 MiB" in answer.body


async def test_gzip_in_several_members_is_read_whole(ask: Any, store: SpanStore, body: bytes) -> None:
    packed = gzip.compress(body[:50]) + gzip.compress(body[50:])
    answer = await ask(
        otlp_app(Receiver(store)), "POST", "/v1/traces", packed, {**PROTOBUF, "content-encoding": "gzip"}
    )
    assert answer.status == 200
    assert len(await _stored(store)) == 2


async def test_a_body_over_the_limit_is_refused(ask: Any, store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "BODY_LIMIT", 1 << 20)
    answer = await ask(otlp_app(Receiver(store)), "POST", "/v1/traces", bytes((1 << 20) + 1), PROTOBUF)
    assert (answer.status, b"1 MiB" in answer.body) == (413, True)


async def test_a_large_body_is_decoded_beside_the_loop(ask: Any, store: SpanStore) -> None:
    now = str(now_ns())
    span = {"traceId": TRACE, "startTimeUnixNano": now, "endTimeUnixNano": now, "name": "x" * 100}
    spans = [{**span, "spanId": f"{number:016x}"} for number in range(1, 2001)]
    request = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    assert len(request) > 256 * 1024
    answer = await ask(otlp_app(Receiver(store)), "POST", "/v1/traces", request, JSON)
    assert (answer.status, answer.body) == (200, b"{}")
    assert len(await _stored(store)) == 2000


async def test_a_closed_store_says_try_again(ask: Any, tmp_path: Path, body: bytes) -> None:
    store = SpanStore.open(tmp_path / "other")
    store.close()
    answer = await ask(otlp_app(Receiver(store)), "POST", "/v1/traces", body, PROTOBUF)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.body[:2] == bytes((0x08, 14))


async def test_a_limit_is_a_429_with_the_time_to_wait(ask: Any, body: bytes) -> None:
    class Limited:
        async def write(self, spans: Any) -> None:
            raise LimitReached("too many spans", retry_after=7)

    answer = await ask(otlp_app(Receiver(Limited())), "POST", "/v1/traces", body, PROTOBUF)  # type: ignore[arg-type]
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


async def test_a_client_that_leaves_stores_nothing(store: SpanStore) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there to be answered")

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    await otlp_app(Receiver(store))(scope, receive, send)
    assert await _nothing(store)
