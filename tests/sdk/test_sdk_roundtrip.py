"""The library, over a real socket, into the real receiver and store, and back as a tree."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import trimtab
from trimtab import registry
from trimtab.core import BadInput, NotFound, SpanQuery, TrimtabError
from trimtab.sdk.outbox import EXPORTER
from trimtab.store import Metadata, SpanStore, Trace
from trimtab.traces import Receiver, otlp_app, routes


class Server(uvicorn.Server):
    """uvicorn in a thread: the test's own signals stay the test's."""

    def capture_signals(self) -> Any:
        return nullcontext()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpanStore]:
    opened = SpanStore.open(tmp_path / "spans")
    yield opened
    opened.close()


@pytest.fixture
def keys() -> list[str]:
    """The authorization headers that the server saw."""
    return []


@pytest.fixture
def prompts(tmp_path: Path) -> Iterator[registry.Registry]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    yield asyncio.run(registry.Registry.load(metadata))
    metadata.close()


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TrimtabError)
    return JSONResponse({"detail": error.message, "mend": error.mend}, error.status)


@pytest.fixture
def server(store: SpanStore, prompts: registry.Registry, keys: list[str]) -> Iterator[str]:
    telemetry = otlp_app(Receiver(store))
    every = [*routes(store), *registry.routes(prompts)]
    control = Starlette(routes=every, exception_handlers={TrimtabError: _problem})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        keys.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        await (telemetry if scope["path"] == "/v1/traces" else control)(scope, receive, send)

    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None, ws="none")
    listener = config.bind_socket()
    listener.listen()  # from now on a caller waits, instead of being refused, until the server is there
    running = Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    EXPORTER.close(10)
    EXPORTER.reset()
    running.should_exit = True
    thread.join()
    listener.close()


async def _trace(store: SpanStore, name: str) -> Trace:
    page = await store.query(SpanQuery())
    (root,) = [span for span in page.spans if span.name == name]
    found = await store.trace(root.trace_id)
    assert found is not None
    return found


async def test_a_traced_turn_arrives_as_its_tree(server: str, store: SpanStore, keys: list[str]) -> None:
    trimtab.configure(url=server, key="tt-key", project="shop")

    @trimtab.trace
    def retrieve_context(question: str) -> list[str]:
        return ["passage"]

    @trimtab.trace(span_type="LLM")
    def generate(question: str, passages: list[str]) -> str:
        trimtab.get_current_span().set_attributes(  # type: ignore[union-attr]
            {
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 500,
            }
        )
        return "an ans\u00fcwer"

    @trimtab.trace
    async def turn(question: str) -> str:
        trimtab.set_session("s-1")
        trimtab.set_tags(topic="parcel")
        with (
            trimtab.start_span("check", span_type="GUARDRAIL"),
            pytest.raises(ValueError, match="bad"),
            trimtab.start_span("inner"),
        ):
            raise ValueError("bad")
        return await asyncio.to_thread(lambda: generate(question, retrieve_context(question)))

    assert await turn("where is it?") == "an ansüwer"
    assert await asyncio.to_thread(trimtab.flush)
    assert EXPORTER.dropped == 0
    found = await _trace(store, "turn")
    spans = {span.name: span for span in found.spans}
    names = {span.span_id: span.name for span in found.spans} | {"": ""}
    assert {name: names[span.parent_id] for name, span in spans.items()} == {
        "turn": "",
        "retrieve_context": "turn",
        "generate": "turn",
        "check": "turn",
        "inner": "check",
    }
    turn_span, model = spans["turn"], spans["generate"]
    assert (turn_span.project, turn_span.session, turn_span.tags) == ("shop", "s-1", {"topic": "parcel"})
    assert (turn_span.input, turn_span.output) == ("where is it?", "an ansüwer")
    assert {span.kind for span in found.spans} == {"chain", "retriever", "llm", "guardrail"}
    assert (spans["inner"].status, spans["inner"].error) == ("error", "ValueError: bad")
    assert spans["check"].status == "ok"
    # The root tells of the call under it.
    assert turn_span.cost_usd == model.cost_usd == pytest.approx(0.00045)
    assert turn_span.stamp.model == "gpt-4o-mini"
    assert set(keys) == {"Bearer tt-key"}


async def test_feedback_finds_its_trace(server: str, store: SpanStore) -> None:
    trimtab.configure(url=server)
    with trimtab.start_span("turn") as span:
        trimtab.set_tags(topic="refund")
    trimtab.log_feedback(span.trace_id, "thumb", False, "too long")
    assert await asyncio.to_thread(trimtab.flush)
    found = await _trace(store, "turn")
    (score,) = found.scores
    assert (score.name, score.value, score.reason, score.by, score.slice) == (
        "thumb",
        0.0,
        "too long",
        "user",
        "refund",
    )


async def test_nothing_is_lost_over_many_threads(server: str, store: SpanStore) -> None:
    trimtab.configure(url=server)
    before = EXPORTER.dropped

    def work() -> None:
        for _ in range(200):
            with trimtab.start_span("turn"), trimtab.start_span("step"):
                pass

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    assert await asyncio.to_thread(trimtab.flush, 30)
    assert EXPORTER.dropped == before
    page = await store.query(SpanQuery(roots=False, limit=1000))
    second = await store.query(SpanQuery(roots=False, limit=1000, cursor=page.cursor))
    spans = [*page.spans, *second.spans]
    assert len(spans) == 2000
    roots = {span.span_id: span.trace_id for span in spans if not span.parent_id}
    assert len(roots) == 1000
    assert all(roots[span.parent_id] == span.trace_id for span in spans if span.parent_id)


async def test_what_the_server_refuses_does_not_take_the_rest_with_it(
    server: str, store: SpanStore, caplog: pytest.LogCaptureFixture
) -> None:
    trimtab.configure(url=server)
    before = EXPORTER.dropped
    with caplog.at_level("WARNING", "trimtab"):
        with trimtab.start_span("turn") as turn, trimtab.start_span("odd") as odd:
            odd.span_id = "short"
        trimtab.log_feedback(turn.trace_id, "thumb", 1)
        assert await asyncio.to_thread(trimtab.flush)
    assert EXPORTER.dropped == before + 1
    assert "span id 'short' is not 8 bytes" in caplog.text
    found = await _trace(store, "turn")
    assert ([span.name for span in found.spans], [score.name for score in found.scores]) == (["turn"], ["thumb"])


async def test_a_refusal_is_said_and_not_raised(
    server: str, store: SpanStore, caplog: pytest.LogCaptureFixture
) -> None:
    trimtab.configure(url=server + "/elsewhere")
    before = EXPORTER.dropped
    with caplog.at_level("WARNING", "trimtab"):
        with trimtab.start_span("turn"):
            pass
        assert await asyncio.to_thread(trimtab.flush)
    assert EXPORTER.dropped == before + 1
    assert "404" in caplog.text


def test_prompts_live_in_the_real_registry(server: str) -> None:
    trimtab.configure(url=server)
    made = trimtab.register_prompt("support", "Answer {{question}}.", note="first", label="production")
    assert (made.name, made.version) == ("support", 1)
    assert trimtab.register_prompt("support", "Answer {{question}}.").version == 1
    assert trimtab.register_prompt("support", [{"role": "system", "content": "v2"}], label="canary").version == 2
    assert trimtab.load_prompt("prompts:/support@production").format(question="it") == "Answer it."
    assert trimtab.load_prompt("prompts:/support@canary").format() == "v2"
    assert trimtab.load_prompt("prompts:/support/1").version == 1
    with pytest.raises(NotFound, match="nightly"):
        trimtab.load_prompt("prompts:/support@nightly")
    with pytest.raises(NotFound):
        trimtab.load_prompt("prompts:/support/9")
    with pytest.raises(NotFound):
        trimtab.load_prompt("prompts:/other")
    with pytest.raises(BadInput):
        trimtab.register_prompt("bad name!", "x")
