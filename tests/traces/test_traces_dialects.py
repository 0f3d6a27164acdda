"""Each dialect's span becomes the same kind of span, and nothing that was sent is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import KINDS, VECTOR, Layer, Span, Usage
from trimtab.traces import dialects, question
from trimtab.traces.messages import compact
from trimtab.traces.otlp import RawSpan
from trimtab.traces.otlpout import attributes_of
from trimtab.traces.prices import price
from trimtab.traces.translation import span_of

NOW = 1_790_000_000 * 10**9


def read(attributes: dict[str, Any], name: str = "step") -> Span:
    return span_of(
        RawSpan(
            trace_id="0af7651916cd43dd8448eb211c80319c",
            span_id="b7ad6b7169203331",
            parent_id="00f067aa0ba902b7",
            name=name,
            start_ns=NOW,
            end_ns=NOW + 10**9,
            status=0,
            message="",
            attributes=attributes,
        )
    )


def test_genai_chat() -> None:
    span = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "openai.response.system_fingerprint": "fp_1",
            "gen_ai.conversation.id": "c1",
            "gen_ai.prompt.name": "support",
            "gen_ai.prompt.version": "7",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 100,
            "gen_ai.usage.cache_read.input_tokens": 400,
            "gen_ai.usage.reasoning.output_tokens": 50,
            "gen_ai.response.time_to_first_chunk": 0.25,
            "gen_ai.request.temperature": 0.5,
            "gen_ai.input.messages": json.dumps(
                [
                    {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
                    {"role": "user", "parts": [{"type": "text", "content": "Hello?"}]},
                ]
            ),
            "gen_ai.output.messages": json.dumps(
                [{"role": "assistant", "parts": [{"type": "text", "content": "Hi."}], "finish_reason": "stop"}]
            ),
        }
    )
    assert (span.kind, span.layer, span.session) == ("llm", Layer.MODEL, "c1")
    assert (span.model, span.provider, span.fingerprint) == ("gpt-4o-2024-08-06", "openai", "fp_1")
    assert span.stamp.model == "openai/gpt-4o=gpt-4o-2024-08-06@fp_1"
    assert span.stamp.prompt == "support/7"
    assert (span.input_tokens, span.output_tokens, span.cached_tokens, span.reasoning_tokens) == (1000, 100, 400, 50)
    assert span.cost_usd == pytest.approx(0.003)
    assert span.ttft_ns == 250_000_000
    assert json.loads(span.input) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello?"},
    ]
    assert question(span.input) == "Hello?"
    assert span.output == "Hi."
    assert span.attributes == {"gen_ai.request.temperature": 0.5}


def test_messages_may_come_decoded_and_with_tool_calls() -> None:
    call = {"type": "tool_call", "id": "1", "name": "find", "arguments": {"q": "x"}}
    span = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "find x"}]}],
            "gen_ai.output.messages": [{"role": "assistant", "parts": [call]}],
        }
    )
    assert json.loads(span.input) == [{"role": "user", "content": "find x"}]
    assert json.loads(span.output) == [call]
    # What the text cannot say in full stays where it was.
    assert span.attributes["gen_ai.output.messages"] == [{"role": "assistant", "parts": [call]}]


def test_an_agent_shows_the_question_and_keeps_the_conversation() -> None:
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "second"},
    ]
    span = read({"gen_ai.operation.name": "invoke_agent", "gen_ai.input.messages": json.dumps(messages)})
    assert (span.kind, span.input) == ("agent", "second")
    assert json.loads(span.attributes["gen_ai.input.messages"]) == messages


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("retrieval", "retriever"),
        ("execute_tool", "tool"),
        ("embeddings", "embedding"),
        ("apply_guardrail", "guardrail"),
    ],
)
def test_genai_operations(operation: str, kind: str) -> None:
    assert read({"gen_ai.operation.name": operation}).kind == kind


def test_openinference() -> None:
    span = read(
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "anthropic",
            "llm.model_name": "claude-sonnet-4-20250514",
            "llm.token_count.prompt": 10_000,
            "llm.token_count.completion": 1000,
            "llm.token_count.total": 11_000,
            "llm.token_count.prompt_details.cache_read": 0,
            "llm.token_count.completion_details.reasoning": 10,
            "llm.prompt_template.version": "3",
            "llm.prompt_template.name": "answer",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.content": "Why?",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Explain.",
            "output.value": "Because.",
            "output.mime_type": "text/plain",
            "session.id": "s",
            "user.id": "u",
            "tag.tags": ["topic:a:b", "beta"],
            "metadata": "{}",
        }
    )
    assert (span.kind, span.session, span.provider) == ("llm", "s", "anthropic")
    assert span.stamp.model == "anthropic/claude-sonnet-4-20250514=claude-sonnet-4-20250514"
    assert span.stamp.prompt == "answer/3"
    assert span.tags == {"topic": "a:b", "beta": "true", "user": "u"}
    assert json.loads(span.input) == [{"role": "system", "content": "Explain."}, {"role": "user", "content": "Why?"}]
    assert span.output == "Because."
    assert (span.cached_tokens, span.reasoning_tokens) == (0, 10)
    assert span.cost_usd == pytest.approx(0.045)
    assert span.attributes == {"llm.token_count.total": 11_000, "metadata": "{}"}


def test_a_cost_that_the_sender_knows_is_kept() -> None:
    span = read(
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 1000,
            "llm.cost.total": 0.5,
        }
    )
    assert span.cost_usd == 0.5


@pytest.mark.parametrize(
    ("written", "others"),
    [
        ("gen_ai.usage.cache_creation.input_tokens", {}),
        ("gen_ai.usage.cache_write.input_tokens", {}),
        ("gen_ai.usage.cache_creation_input_tokens", {}),
        ("gen_ai.usage.cache_write_input_tokens", {}),
        ("llm.usage.cache_creation_input_tokens", {}),
        ("llm.token_count.prompt_details.cache_write", {}),
        ("gen_ai.usage.details.cache_write_tokens", {"logfire.span_type": "span"}),
        ("ai.usage.inputTokenDetails.cacheWriteTokens", {"ai.operationId": "ai.generateText.doGenerate"}),
    ],
)
def test_what_was_put_into_the_cache_costs_its_own_price(written: str, others: dict[str, Any]) -> None:
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-20250514",
        "gen_ai.usage.input_tokens": 10_000,
        "gen_ai.usage.output_tokens": 1000,
        "gen_ai.usage.cache_read.input_tokens": 2000,
        **others,
    }
    span = read({**asked, written: 4000})
    usage = Usage(input_tokens=10_000, output_tokens=1000, cached_tokens=2000, written_tokens=4000)
    assert span.cost_usd == price("anthropic/claude-sonnet-4-20250514", usage)
    # 4,000 fresh at 3 dollars a million, 2,000 read at 0.30, 4,000 put there at 3.75, 1,000 of output at 15.
    assert span.cost_usd == pytest.approx(0.0426)
    assert read(asked).cost_usd == pytest.approx(0.0396), "a sender that does not say so pays for plain input"
    # It has no field of its own: it stays, under one name, and an export says it again.
    assert span.attributes["gen_ai.usage.cache_creation.input_tokens"] == 4000
    assert [name for name in span.attributes if "cache" in name] == ["gen_ai.usage.cache_creation.input_tokens"]
    assert attributes_of(span)["gen_ai.usage.cache_creation.input_tokens"] == 4000


def test_a_cache_that_is_counted_beside_the_input_is_added_to_it() -> None:
    span = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "claude-sonnet-4-20250514",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.usage.cache_read_input_tokens": 2000,
            "gen_ai.usage.cache_creation_input_tokens": 4000,
        }
    )
    assert (span.input_tokens, span.cached_tokens) == (6100, 2000)
    assert span.cost_usd == pytest.approx((100 * 3 + 2000 * 0.3 + 4000 * 3.75 + 10 * 15) / 1e6)


def test_an_hour_in_the_cache_costs_more() -> None:
    usage = {"input_tokens": 1000, "cache_creation_input_tokens": 500, "output_tokens": 10,
             "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 500}}  # fmt: skip
    span = read(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"claude-sonnet-4-20250514"',
            "mlflow.chat.tokenUsage": json.dumps(usage),
        }
    )
    assert span.cost_usd == pytest.approx((1000 * 3 + 500 * 6 + 10 * 15) / 1e6)


def test_an_unknown_model_is_unpriced_and_not_free() -> None:
    span = read({"gen_ai.request.model": "gpt-99", "gen_ai.usage.input_tokens": 10})
    assert (span.kind, span.cost_usd) == ("llm", None)


def test_openinference_chain_and_unknown_kind() -> None:
    span = read({"openinference.span.kind": "PROMPT", "input.value": "q", "input.mime_type": "text/plain"})
    assert (span.kind, span.input, span.attributes) == ("chain", "q", {})


def test_mlflow() -> None:
    span = read(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}),
            "mlflow.spanOutputs": '"Hello"',
            "mlflow.llm.model": '"gpt-4o-2024-08-06"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}',
            "mlflow.traceRequestId": '"tr-1"',
        }
    )
    assert (span.kind, span.model) == ("llm", "gpt-4o-2024-08-06")
    assert json.loads(span.input) == [{"role": "user", "content": "Hi"}]
    assert span.output == "Hello"
    assert (span.input_tokens, span.output_tokens) == (1000, 100)
    assert span.cost_usd == pytest.approx(0.0035)
    assert span.attributes == {"mlflow.traceRequestId": '"tr-1"'}


def test_mlflow_function_of_unknown_type_is_named_by_what_it_does() -> None:
    span = read({"mlflow.spanType": '"UNKNOWN"', "mlflow.spanInputs": '{"query": "refunds"}'}, "retrieve_context")
    assert (span.kind, span.input) == ("retriever", "refunds")


def test_the_earlier_dialect_wins_and_the_other_text_stays() -> None:
    span = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "a",
            "llm.model_name": "b",
            "input.value": "q",
            "openinference.span.kind": "LLM",
        }
    )
    assert span.stamp.model == "a=b"
    assert (span.input, span.model) == ("q", "b")


def test_a_plain_span_keeps_its_attributes() -> None:
    attributes = {"http.method": "GET", "deep": {"a": [1, None]}}
    span = read(dict(attributes), "GET /")
    assert (span.kind, span.attributes, span.layer, span.model) == ("chain", attributes, None, "")


keys = st.sampled_from(
    [
        "gen_ai.operation.name", "gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.input.messages",
        "gen_ai.output.messages", "gen_ai.response.time_to_first_chunk", "openinference.span.kind", "input.value",
        "gen_ai.usage.cache_creation.input_tokens",
        "llm.token_count.prompt", "llm.cost.total", "llm.input_messages.0.message.content", "tag.tags", "user.id",
        "mlflow.spanType", "mlflow.spanInputs", "mlflow.chat.tokenUsage", "mlflow.llm.model", "session.id",
    ]
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
odd = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(keys, odd | odd.map(json.dumps), max_size=8))
def test_nonsense_in_known_names_never_fails(attributes: dict[str, Any]) -> None:
    span = read(attributes)
    assert span.kind in KINDS
    assert isinstance(span.input, str)
    assert isinstance(span.output, str)
    assert all(isinstance(tag, str) for tag in span.tags.values())
    for count in (span.input_tokens, span.output_tokens, span.cached_tokens, span.ttft_ns):
        assert count is None or (isinstance(count, int) and count >= 0)
    assert span.cost_usd is None or span.cost_usd >= 0


def test_names_that_strangers_make_up_do_not_fill_the_memory() -> None:
    for number in range(12):
        read({f"made-up.{number}.{place}": place for place in range(900)} | {f"{number} " * 500: 1})
    assert len(dialects._bits) <= dialects._MOST_NAMES
    assert max(map(len, dialects._bits)) <= dialects._LONGEST
    # A long name tells its dialect all the same.
    assert read({"openinference.span.kind": "LLM", "metadata." + "long." * 50: "x"}).kind == "llm"


def test_what_the_fast_encoder_refuses_is_kept_as_json() -> None:
    assert compact({"a": [1, "é", None, 0.5]}) == '{"a":[1,"é",null,0.5]}'
    assert compact(["half \ud83d", 1 << 80]) == f'["half \ud83d",{1 << 80}]'
    assert compact(object()) == ""


def test_the_one_vector_of_openinferences_embedding_leaves_a_sketch_beside_it() -> None:
    name = "embedding.embeddings.{}.embedding.vector"
    asked = {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "e-1", name.format(0): [3.0, 4.0]}
    span = read(asked)
    assert span.attributes[VECTOR] == {"norm": 5.0, "dimensions": 2, "first": [3.0, 4.0]}
    assert span.attributes[name.format(0)] == [3.0, 4.0]
    assert VECTOR not in read({**asked, name.format(1): [1.0, 0.0]}).attributes, "documents come many at a time"
    assert VECTOR not in read({**asked, name.format(0): "none"}).attributes
