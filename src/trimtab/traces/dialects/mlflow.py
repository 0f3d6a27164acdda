"""MLflow 3, whose attribute values are JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import KINDS
from trimtab.traces.usage import tokens_of

from .reading import Attributes, Reading, answered, decoded, spoken

_TYPES = {"chat_model": "llm", "parser": "chain", "memory": "chain", "workflow": "chain", "task": "chain"}
_METADATA = ("mlflow.traceMetadata.", "mlflow.trace_metadata.", "")


def mlflow(attributes: Attributes, reading: Reading) -> None:
    """MLflow."""
    kind = str(attributes.json("mlflow.spanType") or "").lower()
    kind = _TYPES.get(kind, kind)
    reading.kind = reading.kind or (kind if kind in KINDS else "")
    reading.answered = reading.answered or str(attributes.json("mlflow.llm.model") or "")
    reading.provider = reading.provider or str(attributes.json("mlflow.llm.provider") or "")
    usage = attributes.json("mlflow.chat.tokenUsage")
    if isinstance(usage, Mapping):
        reading.count(tokens_of(usage))
    _cost(attributes, reading)
    _said(attributes, reading)
    _fingerprint(attributes, reading)
    for prefix in _METADATA:
        reading.session = reading.session or _text(attributes, f"{prefix}mlflow.trace.session")
        user = _text(attributes, f"{prefix}mlflow.trace.user")
        if user:
            reading.tag("user", user)
    tags = attributes.peek("mlflow.traceTags") or attributes.under("mlflow.traceTag.")
    if isinstance(tags, Mapping):
        for name, value in tags.items():
            if not name.startswith("mlflow."):
                reading.tag(name, decoded(value))
    _prompt(attributes, reading)


def _cost(attributes: Attributes, reading: Reading) -> None:
    cost = attributes.json("mlflow.llm.cost")
    if isinstance(cost, Mapping):
        cost = cost.get("total_cost")
    whole = isinstance(cost, int | float) and not isinstance(cost, bool)
    if reading.cost_usd is None and whole and 0 <= cost < 1e9:
        reading.cost_usd = float(cost)


def _said(attributes: Attributes, reading: Reading) -> None:
    for name, is_input in (("mlflow.spanInputs", True), ("mlflow.spanOutputs", False)):
        raw = attributes.rest.get(name)
        if not isinstance(raw, str):
            continue
        value = decoded(raw)
        if is_input and not reading.asked and isinstance(value, Mapping) and reading.kind in ("llm", "embedding"):
            model = value.get("model")
            reading.asked = model if isinstance(model, str) else ""
        said = spoken(_content(value), raw, reading.kind)
        if reading.say(is_input, said) and not (isinstance(value, dict) and not is_input and said != raw):
            attributes.value(name)


def _content(value: Any) -> Any:
    """Anthropic's answers have a list of blocks where OpenAI's have a message."""
    if isinstance(value, dict) and value.get("type") == "message" and isinstance(value.get("content"), list):
        return {"role": "assistant", "content": value["content"]}
    return value


def _fingerprint(attributes: Attributes, reading: Reading) -> None:
    """It is only in the vendor's whole answer."""
    raw = attributes.rest.get("mlflow.spanOutputs")
    if not reading.fingerprint and isinstance(raw, str) and '"system_fingerprint"' in raw:
        answer = decoded(raw)
        if isinstance(answer, Mapping) and answered(answer):
            reading.fingerprint = str(answer.get("system_fingerprint") or "")


def _text(attributes: Attributes, name: str) -> str:
    value = attributes.json(name)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _prompt(attributes: Attributes, reading: Reading) -> None:
    """``mlflow.linkedPrompts`` is a list of names and versions; the last one is what the call was made with."""
    prompts = attributes.peek("mlflow.linkedPrompts")
    if isinstance(prompts, list) and prompts and isinstance(prompts[-1], Mapping):
        reading.prompt = reading.prompt or str(prompts[-1].get("name") or "")
        reading.prompt_version = reading.prompt_version or str(prompts[-1].get("version") or "")
