"""A program written for MLflow runs with only its import changed, and its retriever and generator find each other."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import trimtab
from trimtab.sdk import inference, outbox, settings

LINK = "trimtab.linked_trace"
PASSAGE = "Parcels to the north arrive on Friday, all others on the Monday after."

SAMPLE = """
import mlflow
import openai

mlflow.set_tracking_uri(URL)
mlflow.set_experiment("support")
mlflow.openai.autolog()

client = openai.OpenAI(base_url=URL + "/v1", api_key="k", max_retries=0)


@mlflow.trace
def find_context(question):
    return PASSAGE


@mlflow.trace(name="generate", span_type=mlflow.SpanType.CHAIN, attributes={"version": 1})
def generate_response(question, context):
    answer = client.chat.completions.create(
        model="gpt-4o",
        messages=[
            {"role": "system", "content": f"Answer from the context only: {context}"},
            {"role": "user", "content": question},
        ],
    )
    return answer.choices[0].message.content


question = "When does my parcel arrive?"
print(generate_response(question, find_context(question)))
trace_id = mlflow.get_last_active_trace_id()


@mlflow.trace
def handle(question):
    mlflow.update_current_trace(
        tags={"topic": "parcel"}, metadata={"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-1"}
    )
    with mlflow.start_span(name="inner") as span:
        span.set_inputs({"q": question})
        span.set_outputs("done")
    assert mlflow.get_current_active_span() is not None
    return generate_response(question, find_context(question))


handle(question)
mlflow.log_feedback(trace_id=trace_id, name="thumb", value=True, rationale="good")
"""


@pytest.fixture(autouse=True)
def _off(collected: Any) -> Iterator[None]:
    yield
    trimtab.openai.autolog(disable=True)


@pytest.fixture
def vendor(backend: Any) -> Any:
    answer = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "On Friday."}}],
    }  # fmt: skip
    backend.answer = lambda *_: (200, {}, json.dumps(answer).encode())
    return backend


def run(work: Any) -> Any:
    """In a context of its own, as a program would be."""
    return contextvars.copy_context().run(work)


def test_the_sample_runs_with_only_the_import_changed(
    vendor: Any, collected: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code = SAMPLE.replace("import mlflow", "import trimtab as mlflow")
    scope: dict[str, Any] = {"URL": vendor.url, "PASSAGE": PASSAGE}
    run(lambda: exec(compile(code, "sample", "exec"), scope))
    assert capsys.readouterr().out == "On Friday.\n"
    spans = [item for item in collected.items if hasattr(item, "kind")]
    assert [(span.name, span.kind) for span in spans] == [
        ("find_context", "retriever"), ("chat gpt-4o", "llm"), ("generate", "chain"),
        ("inner", "chain"), ("find_context", "retriever"), ("chat gpt-4o", "llm"), ("generate", "chain"),
        ("handle", "chain"),
    ]  # fmt: skip
    retriever, call, generator = spans[:3]
    assert retriever.trace_id != generator.trace_id
    assert retriever.attributes[LINK] == generator.trace_id
    assert generator.attributes[LINK] == retriever.trace_id
    assert (call.trace_id, scope["trace_id"]) == (generator.trace_id, generator.trace_id)
    assert {span.project for span in spans} == {"support"}
    handle = spans[-1]
    assert (handle.session, handle.tags) == ("s-1", {"topic": "parcel", "user": "u-1"})
    assert not any(LINK in span.attributes for span in spans[3:])
    assert collected.scores[0]["trace_id"] == generator.trace_id
    assert (collected.scores[0]["value"], settings.current_settings().url) == (1.0, vendor.url)


def ask(text: str, question: str = "When?", **fields: Any) -> Any:
    """A model is asked with this text, as the root of a trace."""
    with trimtab.start_span("turn") as turn:
        if fields.get("session"):
            trimtab.set_session(fields["session"])
        with trimtab.start_span("chat", span_type="LLM") as span:
            inference.asks(span, json.dumps([text, question]), question)
    return turn


@trimtab.trace
def fetch(question: str) -> str:
    return PASSAGE


def test_what_is_no_retriever(collected: Any) -> None:
    @trimtab.trace
    def build_prompt(question: str) -> str:
        return PASSAGE

    @trimtab.trace
    def echo(text: str) -> str:
        return text

    @trimtab.trace(span_type="TOOL")
    def tool() -> str:
        return PASSAGE

    @trimtab.trace
    def clean(question: str) -> str:
        return "When does my parcel to the north arrive?"

    def program() -> None:
        build_prompt("x")
        echo(PASSAGE)
        tool()
        ask(PASSAGE, clean("x"))

    run(program)
    kinds = {span.name: span.kind for span in collected.items}
    assert (kinds["build_prompt"], kinds["echo"], kinds["tool"], kinds["clean"]) == ("chain", "chain", "tool", "chain")


def test_an_answer_is_no_finding_in_the_next_prompt(collected: Any) -> None:
    def program() -> None:
        with trimtab.start_span("first") as first, trimtab.start_span("chat", span_type="LLM"):
            first.set_outputs(PASSAGE)
        ask(PASSAGE)

    run(program)
    assert all(LINK not in span.attributes for span in collected.items)


def test_a_list_of_documents_is_what_a_retriever_returns(collected: Any) -> None:
    @trimtab.trace
    def lookup() -> list[dict[str, Any]]:
        return [{"text": "a", "score": 0.5}, {"text": "b", "score": 0.4}]

    @trimtab.trace
    def messages() -> list[dict[str, Any]]:
        return [{"role": "user", "content": "a", "id": 1}]

    lookup(), messages()
    assert [span.kind for span in collected.items] == ["retriever", "chain"]


def test_threads_and_tasks_have_their_own_past(collected: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(fetch, "x").result()
    stranger = run(lambda: ask(PASSAGE))
    assert LINK not in stranger.attributes

    async def turn() -> Any:
        await asyncio.to_thread(fetch, "x")  # a copy of the context: what it leaves there is not seen here
        fetch("y")
        return ask(PASSAGE)

    linked = asyncio.run(turn())
    assert linked.attributes[LINK] == collected.spans["fetch"].trace_id


def test_within_one_trace_threads_share_the_past(collected: Any) -> None:
    with trimtab.start_span("turn"):
        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(context.run, fetch, "x").result()
        with trimtab.start_span("chat", span_type="LLM") as span:
            inference.asks(span, PASSAGE)
    assert collected.spans["fetch"].kind == "retriever"


def test_sessions_are_not_mixed(collected: Any) -> None:
    def program() -> Any:
        trimtab.set_session("one")
        fetch("x")
        trimtab.set_session("two")
        return ask(PASSAGE)

    assert LINK not in run(program).attributes


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("retrieve_context", "retriever"), ("webSearch", "retriever"), ("vector_search", "retriever"),
        ("research", "chain"), ("rerank_all", "reranker"), ("embedQuery", "embedding"), ("moderate", "guardrail"),
        ("handle", "chain"), ("", "chain"),
    ],
)  # fmt: skip
def test_kinds_by_name(name: str, kind: str) -> None:
    assert trimtab.sdk.kind_of("", name) == kind


def test_search_traces(backend: Any, collected: Any) -> None:
    trimtab.configure(url=backend.url)
    backend.answer = lambda *_: (200, {}, b'{"traces": [{"trace_id": "a"}]}')
    assert trimtab.search_traces("score:thumb<1", max_results=5) == [{"trace_id": "a"}]
    assert backend.requests[0][1] == "/api/traces?q=score%3Athumb%3C1&limit=5"
    backend.answer = lambda *_: (400, {}, b'{"detail": "at 1: no column", "mend": "Write model=x."}')
    with pytest.raises(trimtab.core.BadInput, match="no column"):
        trimtab.search_traces("nope=1")


def test_a_server_that_is_away_costs_nothing_and_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = outbox.Exporter(outbox._send, limit=50, batch=10, interval=0.01, tries=1, first_pause=0.001)
    monkeypatch.setattr(outbox, "EXPORTER", exporter)
    trimtab.configure(url="http://127.0.0.1:9")
    for _ in range(200):
        assert fetch("x") == PASSAGE
    assert trimtab.flush(20)
    assert exporter.dropped == 200
    assert len([record for record in caplog.records if "were not sent" in record.message]) == 1
    exporter.close(5)
