"""LangSmith's OpenTelemetry export: its own names for kinds and metadata, GenAI's older ones for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import KINDS
from trimtab.traces.usage import tokens_of

from .reading import Attributes, Reading

_KINDS = {"prompt": "chain", "parser": "chain"}
_METADATA = "langsmith.metadata."
_SESSION = tuple(f"{_METADATA}{name}" for name in ("session_id", "thread_id", "conversation_id"))


def langsmith(attributes: Attributes, reading: Reading) -> None:
    """LangSmith."""
    kind = attributes.text("langsmith.span.kind").lower()
    kind = _KINDS.get(kind, kind)
    if kind in KINDS:
        reading.kind = reading.kind or kind
        # It writes "embeddings" for a retrieval and "chain" for a step.
        attributes.value("gen_ai.operation.name")
    if attributes.rest.get("gen_ai.system") == "langchain":
        attributes.value("gen_ai.system")
    # A LangSmith "session" is a project; the conversation is in the metadata.
    reading.session = reading.session or attributes.text(*_SESSION, "langsmith.trace.session_id")
    usage = attributes.json(f"{_METADATA}usage_metadata")
    if isinstance(usage, Mapping):
        reading.count(tokens_of(usage))
        _cost(usage, reading)
    _metadata(attributes, reading)
    tags = attributes.text("langsmith.span.tags")
    for tag in tags.split(",") if tags else ():
        name, _, value = tag.partition(":")
        reading.tag(name, value)


def _cost(usage: Mapping[str, Any], reading: Reading) -> None:
    cost = usage.get("total_cost")
    if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < 1e9:
        reading.cost_usd = float(cost)


def _metadata(attributes: Attributes, reading: Reading) -> None:
    """What the application said of its run becomes tags; what LangSmith's library said of itself stays."""
    for name, value in attributes.under(_METADATA).items():
        own = name.startswith(("ls_", "LANGSMITH_", "LANGCHAIN_", "revision_id"))
        if own or not isinstance(value, str | int | float):
            continue
        if name == "user_id":
            reading.tag("user", value)
        elif name == "lc_hub_repo":
            reading.prompt = reading.prompt or str(value)
        elif name == "lc_hub_commit_hash":
            reading.prompt_version = reading.prompt_version or str(value)[:12]
        else:
            reading.tag(name, value)
        attributes.value(_METADATA + name)
