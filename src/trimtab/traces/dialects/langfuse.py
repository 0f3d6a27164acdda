"""Langfuse's SDKs, which speak OpenTelemetry with names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from trimtab.core import KINDS
from trimtab.traces.usage import tokens_of

from .reading import Attributes, Reading, converse, decoded, spoken

_KINDS = {"generation": "llm", "span": "chain", "event": "chain"}
_TRACE_METADATA = "langfuse.trace.metadata."


def langfuse(attributes: Attributes, reading: Reading) -> None:
    """Langfuse."""
    kind = attributes.text("langfuse.observation.type").lower()
    # A plain "span" says nothing, so that the name may still tell what it is.
    reading.kind = reading.kind or (kind if kind in KINDS else _KINDS.get(kind, "") if kind != "span" else "")
    reading.answered = reading.answered or attributes.text("langfuse.observation.model.name")
    reading.session = reading.session or attributes.text("langfuse.session.id")
    reading.prompt = reading.prompt or attributes.text("langfuse.observation.prompt.name")
    reading.prompt_version = reading.prompt_version or attributes.text("langfuse.observation.prompt.version")
    usage = attributes.json("langfuse.observation.usage_details")
    if isinstance(usage, Mapping):
        reading.count(tokens_of(usage))
    _cost(attributes, reading)
    _first_token(attributes, reading)
    if attributes.rest.get("langfuse.observation.level") == "ERROR":
        attributes.value("langfuse.observation.level")
        reading.error = attributes.text("langfuse.observation.status_message") or "error"
    for prefix in ("langfuse.observation.", "langfuse.trace."):
        for name, is_input in (("input", True), ("output", False)):
            _say(attributes, reading, prefix + name, is_input)
    _tags(attributes, reading)


def _say(attributes: Attributes, reading: Reading, name: str, is_input: bool) -> None:
    raw = attributes.rest.get(name)
    if not isinstance(raw, str) or not raw:
        return
    value = decoded(raw)
    talk = isinstance(value, list) and all(isinstance(item, Mapping) and "role" in item for item in value)
    if talk and converse(reading, is_input, value):
        attributes.value(name)
        return
    said = spoken(_arguments(value), raw, reading.kind)
    if reading.say(is_input, said):
        attributes.value(name)


def _arguments(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"args", "kwargs"}:
        args, named = value["args"], value["kwargs"]
        if isinstance(args, list) and isinstance(named, dict):
            return {**dict(enumerate(args)), **named}
    return value


def _cost(attributes: Attributes, reading: Reading) -> None:
    costs = attributes.json("langfuse.observation.cost_details")
    if reading.cost_usd is not None or not isinstance(costs, Mapping):
        return
    known = {
        name: float(cost)
        for name, cost in costs.items()
        if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < 1e9
    }
    if known:
        reading.cost_usd = known["total"] if "total" in known else sum(known.values())


def _first_token(attributes: Attributes, reading: Reading) -> None:
    """It is a moment (ISO 8601 in JSON) and not a duration."""
    moment = attributes.peek("langfuse.observation.completion_start_time")
    if not isinstance(moment, str) or not attributes.start_ns:
        return
    try:
        found = datetime.fromisoformat(moment)
        ns = round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError):
        return
    if attributes.start_ns <= ns < attributes.start_ns + 3_600_000_000_000:
        reading.ttft_ns = ns - attributes.start_ns
        attributes.value("langfuse.observation.completion_start_time")


def _tags(attributes: Attributes, reading: Reading) -> None:
    tags = attributes.rest.get("langfuse.trace.tags")
    if isinstance(tags, list):
        for tag in tags:
            name, _, value = str(tag).partition(":")
            reading.tag(name, value)
        attributes.value("langfuse.trace.tags")
    for name, value in attributes.under(_TRACE_METADATA).items():
        plain = decoded(value)
        if isinstance(plain, str | int | float):
            reading.tag(name, plain)
            attributes.value(_TRACE_METADATA + name)
    for name in ("environment", "release", "version"):
        value = attributes.text(f"langfuse.{name}")
        if value:
            reading.tag(name, value)
    user = attributes.text("langfuse.user.id")
    if user:
        reading.tag("user", user)
