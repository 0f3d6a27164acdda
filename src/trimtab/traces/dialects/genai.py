"""OpenTelemetry GenAI: the conventions as they are now, and as they were up to 1.36."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trimtab.traces.messages import compact, messages_of
from trimtab.traces.otlp import RawEvent

from .reading import Attributes, Counts, Reading, answered, converse, decoded, spoken, take_conversation, take_usage

_OPERATIONS = {
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "embeddings": "embedding",
    "retrieval": "retriever",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "chain",
    "plan": "agent",
    "apply_guardrail": "guardrail",
    "evaluate": "evaluator",
}
#: Up to 1.36 each message was an event of its own; the role is in the name.
MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
#: Since then one event holds them all.
DETAILS_EVENT = "gen_ai.client.inference.operation.details"
#: Before 1.28 the prompt and the completion were events with one attribute.
_CONTENT_EVENTS = {"gen_ai.content.prompt": "gen_ai.prompt", "gen_ai.content.completion": "gen_ai.completion"}
_USAGE = Counts(
    read=("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    written=("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    cached=("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    reasoning=("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    put=(
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
    ),
)


def genai(attributes: Attributes, reading: Reading) -> None:
    """OpenTelemetry GenAI: what any span may have."""
    operation = attributes.rest.get("gen_ai.operation.name")
    meant = _OPERATIONS.get(operation, "") if isinstance(operation, str) else ""
    if meant and reading.kind in ("", meant):
        attributes.value("gen_ai.operation.name")
    reading.kind = reading.kind or meant
    reading.session = attributes.agreed(reading.session, "gen_ai.conversation.id")
    reading.prompt = reading.prompt or attributes.text("gen_ai.prompt.name")
    reading.prompt_version = reading.prompt_version or attributes.text("gen_ai.prompt.version")
    user = attributes.text("enduser.id")
    if user:
        reading.tag("user", user)


def genai_call(attributes: Attributes, reading: Reading) -> None:
    """Which model was asked, and what that took."""
    reading.provider = attributes.agreed(reading.provider, "gen_ai.provider.name", "gen_ai.system").lower()
    attributes.agreed(reading.provider, "gen_ai.system")
    reading.asked = attributes.agreed(reading.asked, "gen_ai.request.model")
    reading.answered = attributes.agreed(reading.answered, "gen_ai.response.model")
    reading.fingerprint = reading.fingerprint or attributes.text(
        "openai.response.system_fingerprint",
        "gen_ai.openai.response.system_fingerprint",
        "gen_ai.response.system_fingerprint",
        "gen_ai.openai.system_fingerprint",
    )
    take_usage(attributes, reading, _USAGE)
    if reading.cost_usd is None:
        reading.cost_usd = attributes.number("gen_ai.usage.cost")
    seconds = attributes.number("gen_ai.response.time_to_first_chunk")
    if seconds is not None and reading.ttft_ns is None and seconds < 1e6:
        reading.ttft_ns = round(seconds * 1e9)


def genai_said(attributes: Attributes, reading: Reading) -> None:
    """The conversation, and what a tool or a retrieval was asked and gave."""
    if attributes.events:
        _events(attributes, reading)
    _instructions(attributes, reading)
    take_conversation(attributes, reading, "gen_ai.input.messages", "gen_ai.output.messages")
    _prompt_and_completion(attributes, reading)
    _tool_and_retrieval(attributes, reading)


def _instructions(attributes: Attributes, reading: Reading) -> None:
    """The system's part of the conversation has an attribute of its own; an ``llm`` span shows it as a message."""
    if reading.kind not in ("llm", "") or reading.input or "gen_ai.system_instructions" not in attributes.rest:
        return
    told, asked = attributes.peek("gen_ai.system_instructions"), attributes.peek("gen_ai.input.messages")
    if not isinstance(told, list) or not isinstance(asked, list):
        return
    together = [{"role": "system", "parts": told}, *asked]
    if messages_of(together) is not None and converse(reading, True, together):
        attributes.value("gen_ai.system_instructions")
        attributes.value("gen_ai.input.messages")


def _prompt_and_completion(attributes: Attributes, reading: Reading) -> None:
    """``gen_ai.prompt`` and ``gen_ai.completion``, each JSON or text, as they were before 1.28."""
    for name, is_input in (("gen_ai.prompt", True), ("gen_ai.completion", False)):
        raw = attributes.rest.get(name)
        if not isinstance(raw, str) or not raw:
            continue
        value = decoded(raw)
        if converse(reading, is_input, value if isinstance(value, list) else None):
            attributes.value(name)
            continue
        said = spoken(value, raw, reading.kind)
        if reading.say(is_input, said) and not (isinstance(value, dict) and (len(value) > 1 or answered(value))):
            attributes.value(name)


def _tool_and_retrieval(attributes: Attributes, reading: Reading) -> None:
    for name, is_input in (
        ("gen_ai.tool.call.arguments", True),
        ("gen_ai.tool.call.result", False),
        ("gen_ai.retrieval.query.text", True),
        ("gen_ai.retrieval.documents", False),
    ):
        if name not in attributes.rest:
            continue
        raw = attributes.rest[name]
        text = raw if isinstance(raw, str) else compact(raw) if raw else ""
        if reading.say(is_input, text):
            attributes.value(name)


def _events(attributes: Attributes, reading: Reading) -> None:
    """The conversation in the span's own events."""
    asked, said = conversation_of(attributes.events)
    kept = [converse(reading, is_input, part) for is_input, part in ((True, asked), (False, said)) if part]
    # Only a conversation that is kept whole may leave the events.
    if kept and all(kept):
        attributes.events = [event for event in attributes.events if not is_message(event.name)]


def is_message(name: str) -> bool:
    """Whether an event of this name carries messages."""
    return name in MESSAGE_EVENTS or name == DETAILS_EVENT or name in _CONTENT_EVENTS


def conversation_of(events: Iterable[RawEvent]) -> tuple[list[Any], list[Any]]:
    """The messages asked and answered that these events carry, in order."""
    asked: list[Any] = []
    said: list[Any] = []
    for event in events:
        values = event.attributes
        if event.name in MESSAGE_EVENTS:
            body = values.get("body")
            found = {**values, **body} if isinstance(body, Mapping) else dict(values)
            (said if event.name == "gen_ai.choice" else asked).append(_event_message(event.name, found))
        elif event.name == DETAILS_EVENT:
            told = decoded(values.get("gen_ai.system_instructions"))
            if isinstance(told, list) and told:
                asked.append({"role": "system", "parts": told})
            asked += _listed(values.get("gen_ai.input.messages"))
            said += _listed(values.get("gen_ai.output.messages"))
        elif event.name in _CONTENT_EVENTS:
            more = decoded(values.get(_CONTENT_EVENTS[event.name]))
            place = asked if event.name == "gen_ai.content.prompt" else said
            if isinstance(more, list):
                place += more
            elif more:
                role = "user" if place is asked else "assistant"
                place.append({"role": role, "content": more if isinstance(more, str) else compact(more)})
    return asked, said


def _listed(raw: Any) -> list[Any]:
    found = decoded(raw)
    return found if isinstance(found, list) else []


def _event_message(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    inner = decoded(values.get("message"))
    found: Mapping[str, Any] = inner if isinstance(inner, Mapping) else values
    message: dict[str, Any] = {
        "role": str(found.get("role") or MESSAGE_EVENTS[name]),
        "content": decoded(found["content"]) if _is_parts(found.get("content")) else found.get("content"),
    }
    calls = decoded(found.get("tool_calls"))
    if isinstance(calls, list):
        message["tool_calls"] = calls
    call = found.get("id")
    if name == "gen_ai.tool.message" and isinstance(call, str):
        message["tool_call_id"] = call
    return message


def _is_parts(content: Any) -> bool:
    return isinstance(content, str) and content.startswith("[{")
