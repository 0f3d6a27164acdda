"""What real libraries send becomes the same kinds of spans, counted once, and loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trimtab.core import Span
from trimtab.traces import question
from trimtab.traces.flow import LINK, Flow
from trimtab.traces.otlp import RawEvent, RawSpan, decode
from trimtab.traces.roots import Roots
from trimtab.traces.translation import span_of, translate

SAMPLES = Path(__file__).parent / "samples"
NOW = 1_800_000_000 * 10**9
ASKED = "Where is my parcel A-17?"
SAID = "Your parcel arrives on Friday."
FULL = (1000, 100, 400, 50)


def read(name: str) -> list[Span]:
    """The spans of a sample as the receiver would store them."""
    found = translate(decode((SAMPLES / f"{name}.json").read_bytes(), json=True), NOW)
    assert found.rejected == []
    return Roots().complete(Flow().observe(found.spans, found.guessed))


def named(spans: list[Span], name: str) -> Span:
    return next(span for span in spans if span.name == name)


def tokens(span: Span) -> tuple[int | None, ...]:
    return (span.input_tokens, span.output_tokens, span.cached_tokens, span.reasoning_tokens)


@pytest.mark.parametrize(
    ("sample", "counts", "fingerprint"),
    [
        ("genai/openllmetry_0.62", FULL, "fp_1"),
        ("openinference/openai", FULL, "fp_1"),
        ("traceloop/openai_0.40", (1000, 100, 400, None), "fp_1"),
        ("genai_older/openai_v2", (1000, 100, None, None), ""),
    ],
)
def test_an_instrumented_client(sample: str, counts: tuple[int | None, ...], fingerprint: str) -> None:
    plain, tools, after, streamed, embedding = read(sample)
    for span in (plain, tools, after):
        assert (span.kind, span.provider, span.model) == ("llm", "openai", "gpt-4o-2024-08-06")
        assert tokens(span) == counts
        assert span.cost_usd == pytest.approx(0.0035 if counts[2] is None else 0.003)
        assert span.fingerprint == fingerprint
    assert streamed.kind == "llm"
    assert (embedding.kind, embedding.input_tokens, embedding.model) == ("embedding", 5, "text-embedding-3-small")
    if sample != "genai_older/openai_v2":
        assert question(plain.input) == ASKED
        assert [m["role"] for m in json.loads(plain.input)] == ["system", "user"]
        assert plain.output == after.output == streamed.output == SAID
        assert "find_order" in tools.output
        assert "On its way." in after.input
        assert "call_1" in after.input


def test_openinference_says_whose_and_which_prompt() -> None:
    span = read("openinference/openai")[0]
    assert (span.session, span.tags) == ("s-1", {"beta": "true", "user": "u-1"})
    assert span.attributes["metadata"] == '{"shop": "north"}'
    assert span.attributes["llm.prompt_template.template"] == "Answer {q}"


def test_mlflow_kinds_and_links_come_from_the_flow() -> None:
    spans = read("mlflow/retriever_and_generator")
    retriever, fetch = named(spans, "retrieve_context"), named(spans, "fetch")
    # One is named after what it does, the other is found by what it returned.
    assert (retriever.kind, fetch.kind) == ("retriever", "retriever")
    generator = next(span for span in spans if span.name == "generate_response" and not span.parent_id)
    assert retriever.attributes[LINK] == generator.trace_id
    assert generator.attributes[LINK] == retriever.trace_id
    assert generator.kind == "chain"
    assert (generator.output, generator.cost_usd) == (SAID, pytest.approx(0.003))
    call = named(spans, "Completions")
    assert tokens(call) == (1000, 100, 400, None)
    assert (call.model, call.fingerprint, call.output) == ("gpt-4o-2024-08-06", "fp_1", SAID)
    claude = named(spans, "Messages.create")
    assert (claude.provider, tokens(claude), claude.output) == ("anthropic", (1000, 50, 400, None), SAID)
    inside = [span for span in spans if span.trace_id == fetch.trace_id]
    assert LINK not in {name for span in inside for name in span.attributes}


def test_langsmith() -> None:
    find, call, root = read("langsmith/traceable")
    assert (find.kind, call.kind, root.kind) == ("retriever", "llm", "chain")
    assert {span.session for span in (find, call, root)} == {"s-1"}
    assert (call.provider, call.model, call.fingerprint) == ("openai", "gpt-4o-2024-08-06", "fp_1")
    assert tokens(call) == FULL
    assert (question(call.input), call.output) == ("Where is my parcel?", SAID)
    assert (root.input, root.output, root.tags) == ("Where is my parcel?", SAID, {"shop": "north", "beta": "true"})
    assert json.loads(find.output)[0]["page_content"] == "Parcels arrive on Friday."
    assert root.cost_usd == call.cost_usd == pytest.approx(0.003)
    assert find.attributes["langsmith.trace.session_name"] == "shop"


def test_langfuse() -> None:
    spans = read("langfuse/observe")
    find, call, own, root = spans
    assert [span.kind for span in spans] == ["retriever", "llm", "llm", "chain"]
    assert {(span.session, span.tags["user"], span.tags["shop"], span.tags["beta"]) for span in spans} == {
        ("s-1", "u-1", "north", "true")
    }
    assert tokens(call) == FULL
    # Langfuse's own buckets hold each token once, the cache beside the input; the sender's cost is kept.
    assert tokens(own)[:3] == (500, 50, 400)
    assert own.cost_usd == 0.3
    assert tokens(root)[:3] == (1500, 150, 800)
    assert root.cost_usd == pytest.approx(0.303)
    assert (root.input, root.output) == ("Where is my parcel?", SAID)
    assert json.loads(find.output) == [{"content": "Parcels arrive on Friday."}]


def test_vercel_counts_the_inner_calls_once() -> None:
    spans = read("vercel/generate_text")
    kinds = [span.kind for span in spans]
    assert kinds == ["llm", "tool", "llm", "chain", "embedding", "chain"]
    first, tool, second, outer, embedding, _ = spans
    assert tokens(first) == tokens(second) == FULL
    assert tokens(outer) == (2000, 200, 800, 100)
    assert outer.cost_usd == pytest.approx(0.006)
    assert (first.provider, first.model, first.session) == ("openai", "gpt-4o-2024-08-06", "s-1")
    assert (outer.input, outer.output, outer.tags) == (ASKED, SAID, {"user": "u-1", "shop": "north"})
    assert (tool.input, tool.output) == ('{"order":"A-17"}', "On its way.")
    assert "find_order" in first.output
    assert outer.stamp.prompt == "answer"
    assert embedding.input_tokens == 5


def test_pydantic_ai_and_logfire() -> None:
    spans = read("pydantic_ai/agent")
    assert [span.kind for span in spans] == ["llm", "tool", "llm", "agent", "chain"]
    first, tool, second, agent, root = spans
    assert tokens(first) == tokens(second) == FULL
    assert [m["role"] for m in json.loads(first.input)] == ["system", "user"]
    assert (agent.input, agent.output, agent.input_tokens) == (ASKED, SAID, None)
    assert tool.output == "On its way."
    # The root has no model of its own; the calls under it are counted once, and their cost as it was sent.
    assert tokens(root) == (2000, 200, 800, 100)
    assert root.cost_usd == pytest.approx(0.006)
    assert root.attributes["logfire.msg"] == "turn x"


def made(attributes: dict[str, object], events: tuple[RawEvent, ...] = ()) -> Span:
    return span_of(
        RawSpan(
            trace_id="a" * 32, span_id="b" * 16, parent_id="c" * 16, name="step", start_ns=NOW, end_ns=NOW + 1,
            status=0, message="", attributes=attributes, events=events,
        )
    )  # fmt: skip


def test_pydantic_ai_version_1_wrote_events() -> None:
    events = [
        {"event.name": "gen_ai.user.message", "role": "user", "content": "Hi?"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Hello."}},
    ]
    call = made({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "events": json.dumps(events),
                 "model_request_parameters": "{}"})  # fmt: skip
    assert (question(call.input), call.output, call.kind) == ("Hi?", "Hello.", "llm")
    agent = made({"agent_name": "a", "all_messages_events": json.dumps(events[:1]), "final_result": "Hello.",
                  "gen_ai.usage.input_tokens": 7})  # fmt: skip
    assert (agent.kind, agent.input, agent.output, agent.cost_usd) == ("agent", "Hi?", "Hello.", None)


def test_older_genai_content_in_span_events_and_attributes() -> None:
    events = (
        RawEvent(name="gen_ai.system.message", time_ns=NOW, attributes={"content": "Be kind."}),
        RawEvent(name="gen_ai.user.message", time_ns=NOW, attributes={"content": "Hi?"}),
        RawEvent(
            name="gen_ai.choice", time_ns=NOW, attributes={"message": '{"role": "assistant", "content": "Hello."}'}
        ),
        RawEvent(name="retry", time_ns=NOW, attributes={"n": 1}),
    )
    span = made({"gen_ai.system": "OpenAI", "gen_ai.request.model": "m", "gen_ai.operation.name": "chat"}, events)
    assert [m["content"] for m in json.loads(span.input)] == ["Be kind.", "Hi?"]
    assert (span.output, span.provider) == ("Hello.", "openai")
    assert [event["name"] for event in span.attributes["events"]] == ["retry"]
    prompt = json.dumps([{"role": "user", "content": "Hi?"}])
    oldest = made(
        {"gen_ai.request.model": "m"},
        (
            RawEvent(name="gen_ai.content.prompt", time_ns=NOW, attributes={"gen_ai.prompt": prompt}),
            RawEvent(name="gen_ai.content.completion", time_ns=NOW, attributes={"gen_ai.completion": "Hello."}),
        ),
    )
    assert (question(oldest.input), oldest.output) == ("Hi?", "Hello.")
    attributes = made({"gen_ai.request.model": "m", "gen_ai.prompt": prompt, "gen_ai.completion": "Hello."})
    assert (question(attributes.input), attributes.output, attributes.attributes) == ("Hi?", "Hello.", {})


def test_openinference_retrieval_documents_costs_and_cache() -> None:
    span = made(
        {
            "openinference.span.kind": "RETRIEVER", "input.value": "parcels",
            "retrieval.documents.1.document.content": "second", "retrieval.documents.0.document.content": "first",
            "retrieval.documents.0.document.id": "d-1", "retrieval.documents.0.document.score": 0.9,
            "retrieval.documents.0.document.metadata": '{"age": 3}',
        }
    )  # fmt: skip
    found = json.loads(span.output)
    assert [document["content"] for document in found] == ["first", "second"]
    assert (found[0]["id"], found[0]["score"], span.input, span.attributes) == ("d-1", 0.9, "parcels", {})
    call = made(
        {
            "openinference.span.kind": "LLM", "llm.model_name": "m", "llm.token_count.prompt": 10,
            "llm.token_count.prompt_details.cache_read": 4, "llm.cost.prompt": 0.25, "llm.cost.completion": 0.5,
        }
    )  # fmt: skip
    assert (call.cost_usd, call.cached_tokens) == (0.75, 4)


def test_traceloop_workflows_entities_and_properties() -> None:
    span = made(
        {
            "traceloop.span.kind": "workflow", "traceloop.entity.name": "support",
            "traceloop.entity.input": '{"args": ["Hi?"], "kwargs": {}}', "traceloop.entity.output": '"Hello."',
            "traceloop.association.properties.session_id": "s", "traceloop.association.properties.user_id": "u",
            "traceloop.association.properties.shop": "north", "traceloop.prompt.key": "answer",
            "traceloop.prompt.version": 3,
        }
    )  # fmt: skip
    assert (span.kind, span.input, span.output, span.session) == ("chain", "Hi?", "Hello.", "s")
    assert (span.tags, span.stamp.prompt) == ({"user": "u", "shop": "north"}, "answer/3")
    assert span.attributes == {"traceloop.entity.name": "support"}
    assert made({"db.system": "chroma", "db.operation": "query"}).kind == "retriever"


def test_langfuse_prompt_first_token_and_failure() -> None:
    span = made(
        {
            "langfuse.observation.type": "generation", "langfuse.observation.prompt.name": "answer",
            "langfuse.observation.prompt.version": 4, "langfuse.observation.level": "ERROR",
            "langfuse.observation.status_message": "too slow",
            "langfuse.observation.completion_start_time": '"2027-01-15T08:00:00.250000Z"',
        }
    )  # fmt: skip
    assert (span.stamp.prompt, span.status, span.error) == ("answer/4", "error", "too slow")
    assert span.ttft_ns == 250_000_000


def test_mlflow_session_cost_and_prompt() -> None:
    span = made(
        {
            "mlflow.spanType": '"LLM"', "mlflow.trace.session": '"s"', "mlflow.trace.user": '"u"',
            "mlflow.llm.cost": '{"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}',
            "mlflow.linkedPrompts": '[{"name": "answer", "version": "2"}]',
        }
    )  # fmt: skip
    assert (span.session, span.tags, span.cost_usd, span.stamp.prompt) == ("s", {"user": "u"}, 0.3, "answer/2")
