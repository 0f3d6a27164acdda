"""Traceloop's OpenLLMetry before it took up the current GenAI names: indexed keys and ``traceloop.*``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.traces.usage import Tokens

from .reading import Attributes, Counts, Reading, converse, decoded, nested, spoken, take_usage

_KINDS = {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"}
_REQUESTS = {"chat": "llm", "completion": "llm", "embedding": "embedding", "rerank": "reranker"}
_VECTOR_STORES = frozenset({"chroma", "chromadb", "lancedb", "marqo", "milvus", "pinecone", "qdrant", "weaviate"})
_PROPERTIES = "traceloop.association.properties."
_USAGE = Counts(
    read=("llm.usage.prompt_tokens",),
    written=("llm.usage.completion_tokens",),
    cached=("llm.usage.cache_read_input_tokens",),
    reasoning=("llm.usage.reasoning_tokens",),
    put=("llm.usage.cache_creation_input_tokens",),
)


def traceloop(attributes: Attributes, reading: Reading) -> None:
    """Traceloop / OpenLLMetry."""
    kind = _KINDS.get(attributes.text("traceloop.span.kind").lower(), "")
    request = _REQUESTS.get(str(attributes.rest.get("llm.request.type", "")).lower(), "")
    if request and not reading.kind:
        attributes.value("llm.request.type")
    reading.kind = reading.kind or kind or request
    store = str(attributes.rest.get("db.system", "")).lower()
    if not reading.kind and (store in _VECTOR_STORES or attributes.under("db.vector.")):
        reading.kind = "retriever"
    reading.prompt = reading.prompt or attributes.text("traceloop.prompt.key")
    reading.prompt_version = reading.prompt_version or attributes.text("traceloop.prompt.version")
    take_usage(attributes, reading, _USAGE)
    _total_only(attributes, reading)
    _indexed(attributes, reading)
    for name, is_input in (("traceloop.entity.input", True), ("traceloop.entity.output", False)):
        raw = attributes.rest.get(name)
        if isinstance(raw, str) and reading.say(is_input, spoken(_arguments(decoded(raw)), raw, reading.kind)):
            attributes.value(name)
    _properties(attributes, reading)


def _total_only(attributes: Attributes, reading: Reading) -> None:
    """An embedding call may give nothing but the total, which is its input then."""
    if reading.kind == "embedding" and reading.input_tokens is None:
        reading.count(Tokens(attributes.count("llm.usage.total_tokens")))


def _indexed(attributes: Attributes, reading: Reading) -> None:
    """``gen_ai.prompt.0.role``, ``.content``, ``.tool_calls.0.name``; ``gen_ai.completion.0...``."""
    for prefix, is_input in (("gen_ai.prompt.", True), ("gen_ai.completion.", False)):
        flat = {name: value for name, value in attributes.under(prefix).items() if name[:1].isdecimal()}
        listed = nested(flat) if flat else None
        if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
            continue
        role = "user" if is_input else "assistant"
        messages = [{"role": role, "content": "", **item} for item in listed]
        finishes = any("finish_reason" in item for item in listed)
        if converse(reading, is_input, messages):
            for name in flat:
                if not (finishes and name.endswith(".finish_reason")):
                    attributes.value(prefix + name)


def _arguments(value: Any) -> Any:
    """The arguments themselves where they are wrapped: ``{"args": [...], "kwargs": {...}}``, ``{"inputs": ...}``."""
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("inputs"), dict | str):
        return value["inputs"]
    if value.keys() == {"args", "kwargs"}:
        args, named = value["args"], value["kwargs"]
        if isinstance(args, list) and isinstance(named, dict):
            return {**dict(enumerate(args)), **named}
    return value


def _properties(attributes: Attributes, reading: Reading) -> None:
    reading.session = reading.session or attributes.text(
        f"{_PROPERTIES}session_id", f"{_PROPERTIES}thread_id", f"{_PROPERTIES}chat_id", f"{_PROPERTIES}conversation_id"
    )
    user = attributes.text(f"{_PROPERTIES}user_id")
    if user:
        reading.tag("user", user)
    for name, value in attributes.under(_PROPERTIES).items():
        if isinstance(value, str | int | float):
            reading.tag(name, value)
            attributes.value(_PROPERTIES + name)
