"""The ways in which other libraries write down an LLM call, each read by one pure translator.

A translator takes what it understands out of the attributes and fills the reading; what an earlier dialect already
said stays. Order: OpenTelemetry GenAI, OpenInference, MLflow.

Names: OpenTelemetry GenAI conventions (semantic-conventions-genai, all still "Development"), OpenInference's semantic
conventions, MLflow 3's span attributes. In all of them cached and reasoning tokens are parts of the totals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.core import KINDS

from .messages import compact, last_user_text, messages_of, text_of


@dataclass(slots=True, kw_only=True)
class Reading:
    """What the dialects found. Empty text and None mean that nobody said."""

    kind: str = ""
    session: str = ""
    provider: str = ""
    asked: str = ""
    answered: str = ""
    fingerprint: str = ""
    prompt: str = ""
    prompt_version: str = ""
    input: str = ""
    output: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    ttft_ns: int | None = None
    tags: dict[str, str] = field(default_factory=dict)


class Attributes:
    """A span's attributes that are read by taking: what nobody takes stays for the record."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.rest: dict[str, Any] = dict(values)

    def text(self, *names: str) -> str:
        """The first of ``names`` that holds text or a number, taken; empty text when none does."""
        for name in names:
            value = self.rest.get(name)
            if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
                del self.rest[name]
                return str(value)
        return ""

    def count(self, *names: str) -> int | None:
        """The first of ``names`` that holds a number of 0 or more, taken."""
        number = self.number(*names)
        return None if number is None or number >= 1 << 53 else int(number)

    def number(self, *names: str) -> float | None:
        """The first of ``names`` that holds a finite number of 0 or more (numbers as text too), taken."""
        for name in names:
            value = self.rest.get(name)
            if value is None or isinstance(value, bool):
                continue
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                continue
            if math.isfinite(number) and number >= 0:
                del self.rest[name]
                return number
        return None

    def value(self, name: str) -> Any:
        """Anything, taken."""
        return self.rest.pop(name, None)

    def speaks(self, *prefixes: str) -> bool:
        """Whether any attribute's name starts with one of ``prefixes``."""
        return any(name.startswith(prefixes) for name in self.rest)


def read(attributes: Attributes) -> Reading:
    """Read every dialect that the attributes speak."""
    reading = Reading()
    for translate in TRANSLATORS:
        translate(attributes, reading)
    return reading


# OpenTelemetry GenAI

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
}


def genai(attributes: Attributes, reading: Reading) -> None:
    """OpenTelemetry GenAI."""
    if not attributes.speaks("gen_ai."):
        return
    reading.kind = reading.kind or _OPERATIONS.get(attributes.text("gen_ai.operation.name"), "")
    reading.provider = reading.provider or attributes.text("gen_ai.provider.name", "gen_ai.system")
    reading.asked = reading.asked or attributes.text("gen_ai.request.model")
    reading.answered = reading.answered or attributes.text("gen_ai.response.model")
    reading.fingerprint = reading.fingerprint or attributes.text(
        "openai.response.system_fingerprint", "gen_ai.openai.response.system_fingerprint"
    )
    reading.session = reading.session or attributes.text("gen_ai.conversation.id")
    reading.prompt = reading.prompt or attributes.text("gen_ai.prompt.name")
    reading.prompt_version = reading.prompt_version or attributes.text("gen_ai.prompt.version")
    _usage(
        attributes,
        reading,
        read=("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        written=("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        cached=("gen_ai.usage.cache_read.input_tokens",),
        reasoning=("gen_ai.usage.reasoning.output_tokens",),
    )
    seconds = attributes.number("gen_ai.response.time_to_first_chunk")
    if seconds is not None and reading.ttft_ns is None and seconds < 1e6:
        reading.ttft_ns = round(seconds * 1e9)
    _conversation(attributes, reading, "gen_ai.input.messages", "gen_ai.output.messages")


def _conversation(attributes: Attributes, reading: Reading, asked: str, answered: str) -> None:
    """Messages in, text out. An ``llm`` span keeps its messages, any other span the question a person asked."""
    for name, is_input in ((asked, True), (answered, False)):
        raw = attributes.rest.get(name)
        messages = messages_of(raw)
        if messages is None:
            if isinstance(raw, str) and raw:
                _say(reading, is_input, attributes.text(name))
            continue
        if not is_input:
            said = "\n\n".join(filter(None, map(text_of, messages)))
            lossless = all(set(message) <= {"role", "content"} for message in messages)
        elif reading.kind in ("llm", ""):
            said, lossless = compact(messages), True
        else:
            said, lossless = last_user_text(messages), len(messages) == 1
        if said and _say(reading, is_input, said) and lossless:
            attributes.value(name)


def _say(reading: Reading, is_input: bool, text: str) -> bool:
    """Set the input or output unless an earlier dialect did. Whether it was set."""
    name = "input" if is_input else "output"
    if getattr(reading, name):
        return False
    setattr(reading, name, text)
    return True


def _usage(
    attributes: Attributes,
    reading: Reading,
    *,
    read: tuple[str, ...],
    written: tuple[str, ...],
    cached: tuple[str, ...],
    reasoning: tuple[str, ...],
) -> None:
    for name, sources in (
        ("input_tokens", read),
        ("output_tokens", written),
        ("cached_tokens", cached),
        ("reasoning_tokens", reasoning),
    ):
        if getattr(reading, name) is None:
            setattr(reading, name, attributes.count(*sources))


# OpenInference

_OPENINFERENCE = ("openinference.", "input.", "output.", "llm.", "session.", "tag.", "user.", "embedding.")


def openinference(attributes: Attributes, reading: Reading) -> None:
    """OpenInference."""
    if not attributes.speaks(*_OPENINFERENCE):
        return
    kind = attributes.text("openinference.span.kind").lower()
    if kind:
        # OpenInference knows a few kinds more (prompt, decision); a step is what they are.
        reading.kind = kind if kind in KINDS else reading.kind or "chain"
    reading.provider = reading.provider or attributes.text("llm.provider", "llm.system")
    reading.answered = reading.answered or attributes.text("llm.model_name", "embedding.model_name")
    reading.session = reading.session or attributes.text("session.id")
    reading.prompt = reading.prompt or attributes.text("llm.prompt_template.name")
    reading.prompt_version = reading.prompt_version or attributes.text("llm.prompt_template.version")
    _usage(
        attributes,
        reading,
        read=("llm.token_count.prompt",),
        written=("llm.token_count.completion",),
        cached=("llm.token_count.prompt_details.cache_read",),
        reasoning=("llm.token_count.completion_details.reasoning",),
    )
    if reading.cost_usd is None:
        reading.cost_usd = attributes.number("llm.cost.total")
    if reading.kind == "llm" and not reading.input:
        reading.input = _indexed_messages(attributes)
    for name, is_input in (("input.value", True), ("output.value", False)):
        text = attributes.rest.get(name)
        if isinstance(text, str) and text and _say(reading, is_input, text):
            attributes.value(name)
            attributes.value(name.replace("value", "mime_type"))
    _tags(attributes, reading)


def _indexed_messages(attributes: Attributes) -> str:
    """``llm.input_messages.N.message.role`` and ``.content`` as JSON messages; empty when they hold more than text."""
    prefix = "llm.input_messages."
    found: dict[int, dict[str, str]] = {}
    names = [name for name in attributes.rest if name.startswith(prefix)]
    for name in names:
        index, _, part = name.removeprefix(prefix).partition(".message.")
        value = attributes.rest[name]
        if not index.isdecimal() or len(index) > 6 or part not in ("role", "content") or not isinstance(value, str):
            return ""
        found.setdefault(int(index), {})[part] = value
    for name in names:
        attributes.value(name)
    ordered = [{"role": "user", "content": "", **found[index]} for index in sorted(found)]
    return compact(ordered) if ordered else ""


def _tags(attributes: Attributes, reading: Reading) -> None:
    """``tag.tags``: ``topic:gateway`` is a tag with a value, ``beta`` one that is simply there."""
    tags = attributes.rest.get("tag.tags")
    if isinstance(tags, list):
        for tag in tags:
            name, _, value = str(tag).partition(":")
            if name:
                reading.tags.setdefault(name.strip()[:100], value.strip()[:200] or "true")
        attributes.value("tag.tags")
    user = attributes.text("user.id")
    if user:
        reading.tags.setdefault("user", user[:200])


# MLflow

_MLFLOW_TYPES = {"chat_model": "llm", "parser": "chain", "memory": "chain", "workflow": "chain", "task": "chain"}


def mlflow(attributes: Attributes, reading: Reading) -> None:
    """MLflow 3, whose attribute values are JSON text."""
    if not attributes.speaks("mlflow."):
        return
    kind = str(_json(attributes, "mlflow.spanType") or "").lower()
    kind = _MLFLOW_TYPES.get(kind, kind)
    reading.kind = reading.kind or (kind if kind in KINDS else "")
    reading.answered = reading.answered or str(_json(attributes, "mlflow.llm.model") or "")
    reading.provider = reading.provider or str(_json(attributes, "mlflow.llm.provider") or "")
    usage = _json(attributes, "mlflow.chat.tokenUsage")
    if isinstance(usage, dict):
        counts = Attributes(usage)
        _usage(
            counts,
            reading,
            read=("input_tokens",),
            written=("output_tokens",),
            cached=("cache_read_input_tokens",),
            reasoning=(),
        )
    for name, is_input in (("mlflow.spanInputs", True), ("mlflow.spanOutputs", False)):
        raw = attributes.rest.get(name)
        if isinstance(raw, str) and _say(reading, is_input, _spoken(raw, reading.kind)):
            attributes.value(name)


def _json(attributes: Attributes, name: str) -> Any:
    """One attribute taken and decoded; the text itself when it is not JSON."""
    raw = attributes.value(name)
    if not isinstance(raw, str):
        return raw
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return raw


def _spoken(raw: str, kind: str) -> str:
    """What a person would read of a JSON value: the text of one argument, the messages of a chat, else the JSON."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return raw
    if isinstance(value, dict):
        messages = messages_of(value.get("messages"))
        if messages is not None and kind == "llm":
            return compact(messages)
        if len(value) == 1:
            value = next(iter(value.values()))
    return value if isinstance(value, str) else raw


TRANSLATORS: tuple[Callable[[Attributes, Reading], None], ...] = (genai, openinference, mlflow)
