"""Traces out: lines of JSON, conversations, OpenTelemetry; and on to another collector."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from trimtab.core import ModelError, Score, Span, SpanQuery, Stamp, TrimtabError, now_ns
from trimtab.store import SpanStore
from trimtab.traces import Forwarder, Retention, routes
from trimtab.traces.export import export
from trimtab.traces.otlp import decode
from trimtab.traces.otlpout import as_json, request_of
from trimtab.traces.translation import span_of, translate

NOW = now_ns()
SAMPLES = Path(__file__).parent / "samples"


def make(number: int, **fields: Any) -> list[Span]:
    """A turn with a call under it."""
    trace, start = f"{number:032x}", NOW + number * 1000
    root = Span(
        trace_id=trace, span_id="a" * 16, name="turn", kind="chain", start_ns=start, end_ns=start + 100, project="shop",
        session="s", input="Hi?", output="Hello.", tags={"topic": "x"},
    )  # fmt: skip
    call = Span(
        **{
            "trace_id": trace, "span_id": "b" * 16, "parent_id": "a" * 16, "name": "chat", "kind": "llm",
            "start_ns": start, "end_ns": start + 50, "project": "shop", "model": "m-1", "provider": "openai",
            "stamp": Stamp(model="openai/m=m-1@fp", prompt="answer/3"), "fingerprint": "fp", "input_tokens": 10,
            "output_tokens": 2, "cached_tokens": 4, "reasoning_tokens": 1, "cost_usd": 0.5, "ttft_ns": 2_000_000,
            "input": json.dumps([{"role": "user", "content": "Hi?"}]), "output": "Hello.", "session": "s", **fields,
        }
    )  # fmt: skip
    return [root, call]


def app(store: SpanStore) -> Starlette:
    async def problem(_request: Any, error: Any) -> JSONResponse:
        return JSONResponse({"field": error.field, "mend": error.mend}, error.status)

    return Starlette(routes=routes(store), exception_handlers={TrimtabError: problem})


async def lines(ask: Any, store: SpanStore, query: str) -> list[Any]:
    answer = await ask(app(store), "GET", "/api/traces/export", query=query)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.body.splitlines()]


async def test_whole_traces_newest_first_and_bounded(ask: Any, store: SpanStore) -> None:
    await store.write([span for number in range(1, 451) for span in make(number)])
    found = await lines(ask, store, "limit=430")
    assert len(found) == 430
    assert [found[0]["id"], found[-1]["id"]] == [f"{450:032x}", f"{21:032x}"]
    assert [span["name"] for span in found[0]["spans"]] == ["turn", "chat"]
    assert await lines(ask, store, "q=trace%3Dnothing") == []
    for query, field in (("format=csv", "format"), ("limit=100001", "limit"), ("q=nope%3D1", "q")):
        refused = await ask(app(store), "GET", "/api/traces/export", query=query)
        assert (refused.status, refused.json()["field"]) == (400, field)


async def test_conversations_for_fine_tuning(ask: Any, store: SpanStore) -> None:
    call = {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": "x"}}
    asked = [
        {"role": "user", "content": "find x"},
        {"role": "assistant", "content": "", "parts": [call]},
        {"role": "tool", "content": "", "parts": [{"type": "tool_call_response", "id": "c1", "response": "it"}]},
    ]
    tools = [{"type": "function", "name": "find", "parameters": {}}]
    attributes = {"gen_ai.tool.definitions": json.dumps(tools)}
    await store.write([*make(1), *make(2, input=json.dumps(asked), attributes=attributes), make(3)[0]])
    tooled, plain = await lines(ask, store, "format=openai")
    assert plain == {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]}
    assert tooled["messages"][1]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q":"x"}'}}
    ]
    assert tooled["messages"][2] == {"role": "tool", "content": "it", "tool_call_id": "c1"}
    assert tooled["tools"] == [{"type": "function", "function": {"name": "find", "parameters": {}}}]


async def test_opentelemetry_that_reads_back_as_the_same_spans(ask: Any, store: SpanStore) -> None:
    spans = make(1)
    score = Score(id="s", trace_id=spans[0].trace_id, name="thumb", value=1, by="user", time_ns=NOW, reason="good")
    await store.write(spans, [score])
    (line,) = await lines(ask, store, "format=otlp")
    back = {span.span_id: span for span in map(span_of, decode(json.dumps(line).encode(), json=True))}
    for span in spans:
        again = back[span.span_id]
        for name in ("trace_id", "parent_id", "name", "kind", "start_ns", "end_ns", "project", "session", "model",
                     "provider", "fingerprint", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
                     "cost_usd", "ttft_ns", "tags", "input", "output"):  # fmt: skip
            want = getattr(span, name)
            got = getattr(again, name)
            assert (json.loads(got) == json.loads(want)) if name == "input" and want[:1] == "[" else got == want, name
    assert back["b" * 16].stamp == spans[1].stamp
    (event,) = back["a" * 16].attributes["events"]
    assert event["attributes"]["gen_ai.evaluation.score.value"] == 1.0


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*/*[!s].json")), ids=lambda path: f"{path.parent.name}")
def test_every_sample_survives_the_way_out_and_in(sample: Path) -> None:
    spans = translate(decode(sample.read_bytes(), json=True), 2**62).spans
    sent = request_of(spans)
    for back in (decode(sent.SerializeToString(), json=False), decode(json.dumps(as_json(sent)).encode(), json=True)):
        again = [span_of(raw) for raw in back]
        facts = [(s.kind, s.model, s.session, s.input_tokens, s.output_tokens, s.cost_usd, s.output) for s in again]
        assert facts == [
            (s.kind, s.model, s.session, s.input_tokens, s.output_tokens, s.cost_usd, s.output) for s in spans
        ]


# On to another collector


class Memory:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def get(self, name: str) -> Any:
        return self.values.get(name)

    async def put(self, name: str, value: Any) -> None:
        self.values[name] = value


class Reply:
    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers = status, headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError

    async def read(self, limit: int = 0) -> bytes:
        return b"said"


class Collector:
    """Keeps what it is sent; answers as it was told."""

    def __init__(self) -> None:
        self.answers: list[int | Exception] = []
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout: float,  # noqa: ASYNC109
    ) -> Reply:
        assert (method, timeout > 0) == ("POST", True)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        if answer == 200:
            self.sent.append((url, headers, gzip.decompress(body)))
        return Reply(answer, {"retry-after": "7"} if answer == 429 else {})


@pytest.fixture
def collector() -> Collector:
    return Collector()


def forwarder(store: SpanStore, memory: Memory, collector: Collector, endpoint: str = "http://c:4318") -> Forwarder:
    return Forwarder(store=store, memory=memory, http=collector, endpoint=endpoint, headers={"x-key": "k"})


async def drain(one: Forwarder) -> None:
    while await one.turn():
        pass


@pytest.mark.parametrize("endpoint", ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"])
async def test_spans_and_scores_go_on(store: SpanStore, collector: Collector, endpoint: str) -> None:
    one = forwarder(store, Memory(), collector, endpoint)
    spans = make(1)
    score = Score(id="s", trace_id=spans[0].trace_id, name="thumb", value=0.5, by="user", time_ns=NOW)
    await store.write(spans, [score])
    await drain(one)
    (url, headers, traces), (logs_url, _, logs) = collector.sent
    assert (url, logs_url) == ("http://c:4318/v1/traces", "http://c:4318/v1/logs")
    assert (headers["x-key"], headers["content-type"]) == ("k", "application/x-protobuf")
    request = ExportTraceServiceRequest.FromString(traces)
    assert [span.name for span in request.resource_spans[0].scope_spans[0].spans] == ["turn", "chat"]
    record = ExportLogsServiceRequest.FromString(logs).resource_logs[0].scope_logs[0].log_records[0]
    assert (record.event_name, record.trace_id.hex()) == ("gen_ai.evaluation.result", spans[0].trace_id)
    assert one.sent == 3


async def test_large_spans_go_in_several_requests(store: SpanStore, collector: Collector) -> None:
    await store.write([span for number in range(1, 13) for span in make(number, output="x" * 250_000)])
    one = forwarder(store, Memory(), collector)
    await drain(one)
    assert len(collector.sent) == 2
    assert one.sent == 24


async def test_it_begins_now_and_goes_on_after_a_restart(store: SpanStore, collector: Collector) -> None:
    await store.write(make(1))
    memory = Memory()
    first = forwarder(store, memory, collector)
    await first.start()
    await first.stop()
    await store.write(make(2))
    second = forwarder(store, memory, collector)
    await second.start()
    await second.stop()
    await drain(second)
    seen = [ExportTraceServiceRequest.FromString(body) for _, _, body in collector.sent]
    names = [span.trace_id.hex() for request in seen for span in request.resource_spans[0].scope_spans[0].spans]
    assert names == [f"{2:032x}"] * 2


@pytest.mark.parametrize("answer", [429, 503, ModelError("no connection")])
async def test_what_cannot_be_taken_now_is_kept(store: SpanStore, collector: Collector, answer: Any) -> None:
    memory = Memory()
    one = forwarder(store, memory, collector)
    await store.write(make(1))
    collector.answers = [answer]
    with pytest.raises(TrimtabError) as caught:
        await one.turn()
    assert (caught.value.retry_after == 7) is (answer == 429)
    assert (collector.sent, memory.values) == ([], {})
    await drain(one)
    assert len(collector.sent) == 1


async def test_what_is_refused_for_good_is_counted_and_passed_over(
    store: SpanStore, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    one = forwarder(store, Memory(), collector)
    await store.write(make(1))
    collector.answers = [400]
    await drain(one)
    assert (one.refused, collector.sent) == (2, [])
    assert "refused 2 spans" in caplog.text
    await store.write(make(2))
    await drain(one)
    assert len(collector.sent) == 1


async def test_a_collector_of_traces_only_is_not_asked_for_scores_again(store: SpanStore, collector: Collector) -> None:
    one = forwarder(store, Memory(), collector)
    for number in range(2):
        score = Score(id=f"s{number}", trace_id="a" * 32, name="thumb", value=0.5, by="user", time_ns=NOW)
        collector.answers = [404]
        await store.write((), [score])
        await drain(one)
    assert collector.answers == [404]
    assert one.refused == 0


async def test_old_days_are_let_go(tmp_path: Path) -> None:
    day = 86_400 * 10**9
    now = [NOW]
    store = SpanStore.open(tmp_path / "days", clock=lambda: now[0])
    await store.write(make(1))
    now[0] += 5 * day
    await store.write(make(2))
    keeper = Retention(store, days=10, clock=lambda: now[0])
    assert await keeper.turn() == []
    keeper = Retention(store, days=3, clock=lambda: now[0])
    assert len(await keeper.turn()) == 1
    assert await store.trace(f"{1:032x}") is None
    assert await store.trace(f"{2:032x}") is not None
    await keeper.start()
    await keeper.stop()
    store.close()


async def test_traces_whose_root_is_not_there_yet_are_exported_once(
    ask: Any, store: SpanStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.traces.export._PAGE", 3)
    for number in range(1, 9):
        root, call = make(number)
        other = replace(call, span_id=f"{number:016x}")
        await store.write([other, *([] if number % 2 else [root]), *([call] if number % 3 else [])])
    found = [int(one["id"], 16) for one in await lines(ask, store, "")]
    assert found == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [int(one["id"], 16) for one in await lines(ask, store, "limit=3")] == [8, 7, 6]
    # A condition is put to the root where there is one, and to the spans where there is none.
    assert [int(one["id"], 16) for one in await lines(ask, store, "q=kind=llm")] == [7, 5, 3, 1]
    assert [int(one["id"], 16) for one in await lines(ask, store, "q=kind=chain")] == [8, 6, 4, 2]


async def test_parquet_is_read_back_as_it_was(ask: Any, store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.traces.parquet._GROUP_ROWS", 4)
    for number in range(1, 8):
        await store.write(make(number), [
            Score(id=f"s{number}", trace_id=f"{number:032x}", name="quality", value=0.5, by="judge:q", time_ns=NOW),
            Score(id=f"c{number}", trace_id=f"{number:032x}", span_id="b" * 16, name="cites", value=1.0, by="check:c",
                  time_ns=NOW, reason="yes"),
        ])  # fmt: skip
    answer = await ask(app(store), "GET", "/api/traces/export", query="format=parquet")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/vnd.apache.parquet")
    file = pyarrow.parquet.ParquetFile(io.BytesIO(answer.body))
    assert file.num_row_groups > 2
    rows = file.read().to_pylist()
    assert [int(row["trace_id"], 16) for row in rows] == [n for n in range(7, 0, -1) for _ in range(2)]
    root, call = rows[:2]
    assert (root["session"], root["input"], dict(root["tags"]), root["layer"]) == ("s", "Hi?", {"topic": "x"}, None)
    assert (call["cost_usd"], call["cached_tokens"], call["ttft_ns"], call["stamp_prompt"]) == (
        0.5,
        4,
        2_000_000,
        "answer/3",
    )
    assert file.read()["start"][0].value == NOW + 7000
    assert [(one["name"], one["value"]) for one in root["scores"]] == [("quality", 0.5)]
    assert [(one["name"], one["reason"]) for one in call["scores"]] == [("cites", "yes")]
    assert json.loads(call["attributes"]) == {}


async def test_an_empty_parquet_file_is_one(ask: Any, store: SpanStore) -> None:
    answer = await ask(app(store), "GET", "/api/traces/export", query="format=parquet&q=kind=nothing")
    assert pyarrow.parquet.read_table(io.BytesIO(answer.body)).num_rows == 0


async def test_without_pyarrow_it_says_what_to_install(
    ask: Any, store: SpanStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = await ask(app(store), "GET", "/api/traces/export", query="format=parquet")
    assert (answer.status, answer.json()["field"]) == (400, "format")
    assert "trimtab[parquet]" in answer.json()["mend"]


async def test_an_export_holds_a_few_traces_at_a_time(store: SpanStore) -> None:
    """What is not asked for is not read: the reader of the stream sets the pace."""
    for number in range(1, 301):
        store.offer(make(number))
    await store.flush()
    asked = 0

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def trace(self, trace_id: str) -> Any:
            nonlocal asked
            asked += 1
            return await store.trace(trace_id)

    stream = export(Counting(), SpanQuery(), "jsonl", 300)  # type: ignore[arg-type]
    assert (await anext(stream)).count(b"\n") == 1
    assert asked == 1
    assert len([line async for line in stream]) == 299
