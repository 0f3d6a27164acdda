"""Pydantic AI and Logfire: GenAI's names, with the conversation and the result under names of their own."""

from __future__ import annotations

from typing import Any

from trimtab.traces.messages import compact

from .reading import Attributes, Counts, Reading, converse, take_usage

_USAGE = Counts(
    cached=("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.details.cache_read_tokens"),
    reasoning=("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.details.reasoning_tokens"),
    put=("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.details.cache_write_tokens"),
)


def pydantic_ai(attributes: Attributes, reading: Reading) -> None:
    """Pydantic AI and Logfire."""
    agent = "agent_name" in attributes.rest or attributes.rest.get("gen_ai.operation.name") == "invoke_agent"
    if agent:
        # What an agent used in all its calls is counted at the calls.
        reading.kind = reading.kind or "agent"
        _final(attributes, reading)
    if reading.cost_usd is None:
        reading.cost_usd = attributes.number("operation.cost")
    take_usage(attributes, reading, _USAGE)
    if attributes.rest.get("gen_ai.operation.name") == "chat":
        reading.kind = reading.kind or "llm"
        _events(attributes, reading)
    # Before version 3 tools had names of their own.
    for name, is_input in (("tool_arguments", True), ("tool_response", False)):
        raw = attributes.rest.get(name)
        if isinstance(raw, str) and reading.say(is_input, raw):
            reading.kind = reading.kind or "tool"
            attributes.value(name)


def _final(attributes: Attributes, reading: Reading) -> None:
    result = attributes.rest.get("final_result")
    if result is not None and reading.say(False, result if isinstance(result, str) else compact(result)):
        attributes.value("final_result")
    for name in ("pydantic_ai.all_messages", "all_messages_events"):
        messages = attributes.peek(name)
        if isinstance(messages, list) and converse(reading, True, messages):
            attributes.value(name)


def _events(attributes: Attributes, reading: Reading) -> None:
    """Version 1 wrote the events of a call as one JSON attribute: messages as they were asked, choices as answers."""
    events: Any = attributes.peek("events")
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        return
    said = [event["message"] for event in events if isinstance(event.get("message"), dict)]
    asked = [event for event in events if not isinstance(event.get("message"), dict)]
    whole = [converse(reading, is_input, part) for is_input, part in ((True, asked), (False, said)) if part]
    if whole and all(whole):
        attributes.value("events")
