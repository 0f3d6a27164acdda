"""OTLP over gRPC with a real client: the same answers as over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from trimtab.core import ConfigError, Forbidden, LimitReached, Overloaded, SpanQuery, TrimtabError, Unauthorized, now_ns
from trimtab.store import SpanStore
from trimtab.traces import GrpcDoor, Receiver
from trimtab.traces.grpc import status_with_retry

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
TRACE = "0af7651916cd43dd8448eb211c80319c"
#: A self-signed certificate for localhost with its key, of no use anywhere but in tests.
CERTIFICATE = Path(__file__).parents[1] / "providers" / "localhost.pem"
Call = Callable[..., Any]


def request(*names: str, trace: str = TRACE) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    place = made.resource_spans.add().scope_spans.add().spans
    for number, name in enumerate(names, 1):
        place.add(
            trace_id=bytes.fromhex(trace), span_id=number.to_bytes(8), name=name,
            start_time_unix_nano=now_ns(), end_time_unix_nano=now_ns(),
        )  # fmt: skip
    return made


@pytest.fixture
async def open_door(store: SpanStore) -> AsyncIterator[Callable[..., Any]]:
    """Opens a door on a free port, and a client of it."""
    opened: list[Any] = []

    async def open_(receiver: Any = None, **options: Any) -> Call:
        door = GrpcDoor(receiver or Receiver(store), "127.0.0.1:0", **options)
        await door.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{door.port}", options=(("grpc.max_send_message_length", -1),))
        opened.extend((channel.close, door.stop))

        async def call(path: str, message: Any, answer: Any, **more: Any) -> Any:
            method = channel.unary_unary(
                path, request_serializer=type(message).SerializeToString, response_deserializer=answer.FromString
            )
            return await method(message, timeout=20, **more)

        return call

    yield open_
    for close in opened:
        await close()


async def test_a_certificate_encrypts_it(store: SpanStore) -> None:
    door = GrpcDoor(Receiver(store), "127.0.0.1:0", tls=(CERTIFICATE, CERTIFICATE))
    await door.start()
    trusting = grpc.ssl_channel_credentials(CERTIFICATE.read_bytes())
    async with (
        grpc.aio.secure_channel(f"localhost:{door.port}", trusting) as channel,
        grpc.aio.insecure_channel(f"localhost:{door.port}") as plain,
    ):
        sent = request("one").SerializeToString()
        assert await channel.unary_unary(TRACES)(sent, timeout=20) == b""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await plain.unary_unary(TRACES)(sent, timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await door.stop()
    assert [span.name for span in (await store.query(SpanQuery())).spans] == ["one"]


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_certificate_that_cannot_be_used_stops_the_start(
    store: SpanStore, tmp_path: Path, content: bytes | None
) -> None:
    key = tmp_path / "key.pem"
    if content is not None:
        key.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        await GrpcDoor(Receiver(store), "127.0.0.1:0", tls=(CERTIFICATE, key)).start()
    assert caught.value.field == "telemetry.grpc_certificate"
    assert "key.pem" in str(caught.value)


class Refusing(Receiver):
    """A receiver that cannot keep anything, for a reason."""

    def __init__(self, error: TrimtabError) -> None:
        self.error = error

    async def spans(self, body: bytes, json: bool) -> list[str]:
        raise self.error


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_spans_are_committed_before_the_answer(open_door: Any, store: SpanStore, compression: Any) -> None:
    call = await open_door()
    answer = await call(TRACES, request("one", "two"), ExportTraceServiceResponse, compression=compression)
    assert answer == ExportTraceServiceResponse()
    assert {span.name for span in (await store.query(SpanQuery(roots=False))).spans} == {"one", "two"}


async def test_what_is_not_kept_is_told(open_door: Any, store: SpanStore) -> None:
    call = await open_door()
    sent = request("good", "bad")
    sent.resource_spans[0].scope_spans[0].spans[1].span_id = b"short"
    answer = await call(TRACES, sent, ExportTraceServiceResponse)
    assert answer.partial_success.rejected_spans == 1
    assert "span id" in answer.partial_success.error_message
    assert [span.name for span in (await store.query(SpanQuery())).spans] == ["good"]


async def test_log_records(open_door: Any, store: SpanStore, as_pairs: Any) -> None:
    call = await open_door()
    await call(TRACES, request("turn"), ExportTraceServiceResponse)
    sent = ExportLogsServiceRequest()
    attributes = {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": 0.75}
    records = sent.resource_logs.add().scope_logs.add().log_records
    records.add(
        trace_id=bytes.fromhex(TRACE), event_name="gen_ai.evaluation.result", attributes=as_pairs(attributes),
        time_unix_nano=now_ns(),
    )  # fmt: skip
    records.add(event_name="something.else")
    answer = await call(LOGS, sent, ExportLogsServiceResponse)
    assert answer.partial_success.rejected_log_records == 1
    (score,) = await store.scores(since_ns=0, until_ns=0)
    assert (score.name, score.value) == ("quality", 0.75)


@pytest.mark.parametrize(
    ("error", "code", "seconds"),
    [
        (Overloaded("the queue is full", retry_after=2.5), grpc.StatusCode.UNAVAILABLE, 2.5),
        (LimitReached("too many", retry_after=7.0), grpc.StatusCode.RESOURCE_EXHAUSTED, 7.0),
    ],
)
async def test_come_back_later(open_door: Any, error: TrimtabError, code: Any, seconds: float) -> None:
    call = await open_door(Refusing(error))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(TRACES, request("one"), ExportTraceServiceResponse)
    assert (caught.value.code(), error.message in caught.value.details()) == (code, True)
    (details,) = [value for name, value in caught.value.trailing_metadata() if name == "grpc-status-details-bin"]
    assert retry_delay(details) == seconds


def retry_delay(details: bytes) -> float:
    """The delay of the RetryInfo in a google.rpc.Status, read by hand: field 3, then field 1."""
    message, detail = len(details), b""
    at = 0
    while at < message:
        tag, at = details[at], at + 1
        if tag & 7 == 0:
            at += 1
            continue
        size, at = details[at], at + 1
        detail, at = (details[at : at + size] if tag >> 3 == 3 else detail), at + size
    found = AnyMessage.FromString(detail)
    assert found.type_url == "type.googleapis.com/google.rpc.RetryInfo"
    assert found.value[0] == 0x0A
    delay = Duration.FromString(found.value[2:])
    return float(delay.seconds + delay.nanos / 1e9)


@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.25, 86_400.0])
def test_every_delay_can_be_read(seconds: float) -> None:
    assert retry_delay(status_with_retry(14, Overloaded("x", retry_after=seconds))) == max(1.0, seconds)


async def test_a_body_that_cannot_be_read_is_an_invalid_argument(open_door: Any) -> None:
    call = await open_door()
    sent = ExportLogsServiceRequest()
    sent.resource_logs.add().scope_logs.add().log_records.add(event_name="x" * 50)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(TRACES, _Bytes(b"\xff" * 40), ExportTraceServiceResponse)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "not an OTLP trace request" in caught.value.details()


class _Bytes:
    """Bytes where a message is expected."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def SerializeToString(self) -> bytes:
        return self.data


async def test_a_key_is_asked_for(open_door: Any, store: SpanStore) -> None:
    def may(authorization: str) -> None:
        if not authorization:
            raise Unauthorized("there is no key")
        if authorization != "Bearer tt-good":
            raise Forbidden("this key may not send")

    call = await open_door(may=may)
    for sent, code in ((), grpc.StatusCode.UNAUTHENTICATED), (("Bearer tt-bad",), grpc.StatusCode.PERMISSION_DENIED):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(
                TRACES, request("one"), ExportTraceServiceResponse, metadata=[("authorization", key) for key in sent]
            )
        assert caught.value.code() == code
    assert not (await store.query(SpanQuery())).spans
    await call(TRACES, request("one"), ExportTraceServiceResponse, metadata=(("authorization", "Bearer tt-good"),))
    assert len((await store.query(SpanQuery())).spans) == 1


async def test_large_requests_are_taken_and_unknown_services_are_not(open_door: Any, store: SpanStore) -> None:
    call = await open_door()
    sent = request(*(f"{number}" + "x" * 400 for number in range(20_000)))
    assert len(sent.SerializeToString()) > 4 * 1024 * 1024
    await call(TRACES, sent, ExportTraceServiceResponse)
    outline = await store.outlines([TRACE])
    assert outline[TRACE].spans == 20_000
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", sent, ExportTraceServiceResponse)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_an_address_in_use_is_a_configuration_error(store: SpanStore) -> None:
    first = GrpcDoor(Receiver(store), "127.0.0.1:0")
    await first.start()
    try:
        with pytest.raises(ConfigError) as caught:
            await GrpcDoor(Receiver(store), f"127.0.0.1:{first.port}").start()
        assert caught.value.field == "telemetry.grpc"
    finally:
        await first.stop()


async def test_without_the_library_it_says_what_to_install(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ConfigError) as caught:
        await GrpcDoor(Receiver(store), "127.0.0.1:0").start()
    assert "trimtab[grpc]" in caught.value.mend
