"""Synthetic telemetry of a support bot as OTLP requests: the same for every server, from a seed.

A trace is one turn of six spans (agent, guardrail, retriever, embedding, llm, evaluator), about 1.7 kB a span on the
wire and 5 to 7 kB for the llm span, in the names of both OpenTelemetry GenAI and OpenInference.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

SPANS = 6
SERVICE = "support-bot"
MODELS = {
    "gpt-4o": ("openai", "gpt-4o-2024-08-06"),
    "gpt-4o-mini": ("openai", "gpt-4o-mini-2024-07-18"),
    "claude-sonnet-4": ("anthropic", "claude-sonnet-4-20250514"),
}
_TEXT = (
    "order refund invoice account password reset shipping delay warehouse policy region customer email verify status"
    " tracking carrier return label payment card bank transfer subscription plan upgrade cancel renewal discount code"
    " the a of to in for with on is was will be has had not and or if when after before please check confirm contact"
)
_WORDS = _TEXT.split()


@dataclass(frozen=True)
class Request:
    """One export request and the traces in it."""

    body: bytes
    traces: tuple[str, ...]


def requests(seed: int, first: int, traces: int, now_ns: int, *, each: int = 25) -> Iterator[Request]:
    """The traces with the numbers from ``first`` on, ``each`` of them in a request; none crosses a request."""
    for low in range(first, first + traces, each):
        message = ExportTraceServiceRequest()
        group = message.resource_spans.add()
        group.resource.attributes.extend(
            _pairs({"service.name": SERVICE, "openinference.project.name": SERVICE, "service.version": "1.4.2"})
        )
        scoped = group.scope_spans.add()
        scoped.scope.name = "bench.traces"
        names = []
        for number in range(low, min(low + each, first + traces)):
            names.append(_trace(scoped.spans, random.Random((seed << 32) | number), number, now_ns))
        yield Request(message.SerializeToString(), tuple(names))


def _trace(spans: Any, rng: random.Random, number: int, now_ns: int) -> str:
    trace = rng.getrandbits(64).to_bytes(8) + (now_ns // 1000 + number).to_bytes(8)
    ids = [rng.getrandbits(64).to_bytes(8) for _ in range(SPANS)]
    begin, failed = now_ns - rng.randrange(10**9), rng.random() < 0.02
    model, (provider, answered) = rng.choice(list(MODELS.items()))
    question, answer = _text(rng, rng.randint(60, 300)), _text(rng, rng.randint(300, 1200))
    documents = [{"id": f"kb-{rng.randint(1, 5000)}", "content": _text(rng, rng.randint(300, 900))} for _ in range(3)]
    system = "Answer only from the context.\n" + "\n".join(one["content"] for one in documents)
    whose = {"session.id": f"s-{number // 4}", "user.id": f"user-{number * 7919 % 500}"}
    prompt = {"gen_ai.prompt.name": "support-answer", "gen_ai.prompt.version": str(rng.randint(1, 5))}
    wait, took = rng.randint(20, 120), rng.randint(300, 2500)

    def span(place: int, parent: int, name: str, kind: str, start: int, ms: int, said: Mapping[str, Any]) -> None:
        made = spans.add(
            trace_id=trace, span_id=ids[place], parent_span_id=ids[parent] if parent >= 0 else b"", name=name, kind=1,
            start_time_unix_nano=begin + start * 10**6, end_time_unix_nano=begin + (start + ms) * 10**6,
            attributes=_pairs({"openinference.span.kind": kind, **whose, **said}),
        )  # fmt: skip
        made.status.code = 2 if failed and place in (0, 4) else 1

    span(0, -1, "handle_turn", "AGENT", 0, wait + took + 40, {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": SERVICE,
        "gen_ai.conversation.id": f"s-{number // 4}", "input.value": question,
        "output.value": "" if failed else answer, **prompt,
    })  # fmt: skip
    span(1, 0, "input_guardrail", "GUARDRAIL", 1, 8, {"input.value": question, "output.value": '{"blocked": false}'})
    span(2, 0, "retrieve_context", "RETRIEVER", 10, wait, {
        "gen_ai.operation.name": "retrieval", "input.value": question,
        "gen_ai.retrieval.documents": json.dumps(documents),
    })  # fmt: skip
    span(3, 2, "embed_query", "EMBEDDING", 10, 9, {
        "gen_ai.operation.name": "embeddings", "gen_ai.request.model": "bge-small", "input.value": question,
        "gen_ai.usage.input_tokens": 40,
    })  # fmt: skip
    tokens = {"input": rng.randint(400, 2400), "output": rng.randint(40, 600)}
    span(4, 0, f"chat {model}", "LLM", 12 + wait, took, {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model,
        "gen_ai.response.model": answered, "gen_ai.request.temperature": 0.2, "gen_ai.request.max_tokens": 800,
        "gen_ai.usage.input_tokens": tokens["input"], "gen_ai.usage.output_tokens": tokens["output"],
        "gen_ai.response.id": f"chatcmpl-{rng.getrandbits(48):x}", **prompt,
        "gen_ai.input.messages": json.dumps([_said("system", system), _said("user", question)]),
        "gen_ai.output.messages": json.dumps([_said("assistant", answer)]),
        "llm.model_name": answered, "llm.provider": provider, "llm.token_count.prompt": tokens["input"],
        "llm.token_count.completion": tokens["output"],
    })  # fmt: skip
    span(5, 0, "output_guardrail", "EVALUATOR", 14 + wait + took, 20, {
        "input.value": answer, "eval.name": "groundedness", "eval.score": round(rng.betavariate(6, 2), 3),
    })  # fmt: skip
    return trace.hex()


def _text(rng: random.Random, characters: int) -> str:
    return " ".join(rng.choices(_WORDS, k=characters // 6))


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _pairs(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in values.items()]


def _value(value: Any) -> AnyValue:
    match value:
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=value)
