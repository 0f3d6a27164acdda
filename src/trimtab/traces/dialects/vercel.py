"""The Vercel AI SDK: a span around the whole (``ai.generateText``) and one inside it for each call to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.traces.messages import compact, last_user_text, messages_of
from trimtab.traces.usage import tokens_of

from .reading import Attributes, Counts, Reading, converse, decoded, take_usage

_METADATA = "ai.telemetry.metadata."
_SESSION = tuple(f"{_METADATA}{name}" for name in ("sessionId", "session_id", "chatId", "threadId", "conversationId"))
_USER = tuple(f"{_METADATA}{name}" for name in ("userId", "user_id"))
_USAGE = Counts(
    read=("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
    written=("ai.usage.outputTokens", "ai.usage.completionTokens"),
    cached=("ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"),
    reasoning=("ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"),
    put=("ai.usage.inputTokenDetails.cacheWriteTokens",),
)


def vercel(attributes: Attributes, reading: Reading) -> None:
    """Vercel AI SDK."""
    if not isinstance(attributes.rest.get("ai.operationId"), str):
        return
    operation = attributes.text("ai.operationId")
    reading.kind = reading.kind or _kind(operation)
    if reading.kind in ("llm", "embedding"):
        _call(attributes, reading)
    if operation == "ai.toolCall":
        for name, is_input in (("ai.toolCall.args", True), ("ai.toolCall.result", False)):
            _say(attributes, reading, name, is_input)
    _asked(attributes, reading)
    _answered(attributes, reading)
    _metadata(attributes, reading)


def _kind(operation: str) -> str:
    if operation.endswith((".doGenerate", ".doStream")):
        return "llm"
    if operation.endswith(".doEmbed"):
        return "embedding"
    if operation.endswith(".doRerank"):
        return "reranker"
    # The outer span repeats what the calls under it used: counted there, not here.
    return "tool" if operation == "ai.toolCall" else "chain"


def _call(attributes: Attributes, reading: Reading) -> None:
    provider = attributes.text("ai.model.provider")
    reading.provider = reading.provider or provider.partition(".")[0]
    if attributes.rest.get("gen_ai.system") == provider:
        attributes.value("gen_ai.system")
    reading.asked = reading.asked or attributes.text("ai.model.id")
    reading.answered = reading.answered or attributes.text("ai.response.model")
    told = attributes.peek("ai.response.providerMetadata")
    own = told.get("anthropic") if isinstance(told, Mapping) else None
    usage = own.get("usage") if isinstance(own, Mapping) else None
    if isinstance(usage, Mapping):
        # Version 5 leaves Anthropic's cache out of its own input count.
        reading.count(tokens_of(usage))
    take_usage(attributes, reading, _USAGE)
    wait = attributes.number("ai.response.msToFirstChunk")
    if wait is not None and reading.ttft_ns is None and wait < 1e9:
        reading.ttft_ns = round(wait * 1e6)


def _asked(attributes: Attributes, reading: Reading) -> None:
    messages = attributes.peek("ai.prompt.messages")
    if isinstance(messages, list) and converse(reading, True, messages):
        attributes.value("ai.prompt.messages")
    prompt = attributes.peek("ai.prompt")
    if isinstance(prompt, Mapping):
        given = messages_of(prompt.get("messages"))
        question = prompt.get("prompt")
        if given is not None:
            reading.say(True, last_user_text(given))
        elif isinstance(question, str):
            reading.say(True, question)
    for name in ("ai.value", "ai.values"):
        _say(attributes, reading, name, True)


def _answered(attributes: Attributes, reading: Reading) -> None:
    said = attributes.rest.get("ai.response.text")
    if isinstance(said, str) and reading.say(False, said):
        attributes.value("ai.response.text")
    for name in ("ai.response.object", "ai.response.toolCalls"):
        raw = attributes.rest.get(name)
        if isinstance(raw, str) and reading.say(False, raw):
            attributes.value(name)


def _say(attributes: Attributes, reading: Reading, name: str, is_input: bool) -> None:
    raw: Any = attributes.rest.get(name)
    if raw is None:
        return
    value = [decoded(item) for item in raw] if isinstance(raw, list) else decoded(raw)
    if reading.say(is_input, value if isinstance(value, str) else compact(value)):
        attributes.value(name)


def _metadata(attributes: Attributes, reading: Reading) -> None:
    reading.session = reading.session or attributes.text(*_SESSION)
    user = attributes.text(*_USER)
    if user:
        reading.tag("user", user)
    reading.prompt = reading.prompt or attributes.text(f"{_METADATA}promptName", f"{_METADATA}prompt")
    reading.prompt_version = reading.prompt_version or attributes.text(f"{_METADATA}promptVersion")
    for name, value in attributes.under(_METADATA).items():
        if isinstance(value, str | int | float):
            reading.tag(name, value)
            attributes.value(_METADATA + name)
