"""OpenInference, which Arize Phoenix and its instrumentations speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import KINDS, VECTOR, sketch
from trimtab.traces.messages import compact

from .reading import Attributes, Counts, Reading, converse, decoded, nested, take_usage

_DOCUMENTS = {
    "retriever": ("retrieval.documents.",),
    "reranker": ("reranker.output_documents.", "reranker.input_documents."),
}
#: Each text, how it is written, and whether it is the input.
_TEXTS = (("input.value", "input.mime_type", True), ("output.value", "output.mime_type", False))
_VECTORS = "embedding.embeddings."
_COSTS = frozenset(("llm.cost.total", "llm.cost.prompt", "llm.cost.completion"))
_USAGE = Counts(
    read=("llm.token_count.prompt",),
    written=("llm.token_count.completion",),
    cached=("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
    reasoning=("llm.token_count.completion_details.reasoning",),
    put=("llm.token_count.prompt_details.cache_write",),
)


def openinference_kind(attributes: Attributes, reading: Reading) -> None:
    """OpenInference: the kind, which what follows goes by."""
    kind = attributes.text("openinference.span.kind").lower()
    if kind:
        # OpenInference knows a few kinds more (prompt, decision); a step is what they are.
        reading.kind = kind if kind in KINDS else reading.kind or "chain"


def openinference_found(attributes: Attributes, reading: Reading) -> None:
    """Calls of models, and what was found and ranked."""
    reading.provider = reading.provider or attributes.text("llm.provider", "llm.system")
    reading.answered = reading.answered or attributes.text(
        "llm.model_name", "embedding.model_name", "reranker.model_name"
    )
    reading.prompt = reading.prompt or attributes.text("llm.prompt_template.name")
    reading.prompt_version = reading.prompt_version or attributes.text("llm.prompt_template.version")
    take_usage(attributes, reading, _USAGE)
    _cost(attributes, reading)
    _messages(attributes, reading)
    _documents(attributes, reading)
    _vectors(attributes, reading)
    reading.say(True, attributes.text("reranker.query"))


def openinference(attributes: Attributes, reading: Reading) -> None:
    """What any span may have: its session, its texts, its tags."""
    reading.session = attributes.agreed(reading.session, "session.id")
    _fingerprint(attributes, reading)
    rest = attributes.rest
    for name, form, is_input in _TEXTS:
        text = rest.get(name)
        if isinstance(text, str) and reading.say(is_input, text):
            del rest[name]
            rest.pop(form, None)
    _tags(attributes, reading)


def _cost(attributes: Attributes, reading: Reading) -> None:
    if reading.cost_usd is not None or _COSTS.isdisjoint(attributes.rest):
        return
    reading.cost_usd = attributes.number("llm.cost.total")
    if reading.cost_usd is None:
        parts = [attributes.number(name) for name in ("llm.cost.prompt", "llm.cost.completion")]
        known = [part for part in parts if part is not None]
        reading.cost_usd = sum(known) if known else None


def _fingerprint(attributes: Attributes, reading: Reading) -> None:
    """It has no name of its own; the vendor's whole answer may hold it."""
    raw = attributes.rest.get("output.value")
    if not reading.fingerprint and isinstance(raw, str) and '"system_fingerprint"' in raw:
        answer = decoded(raw)
        found = answer.get("system_fingerprint") if isinstance(answer, Mapping) else None
        reading.fingerprint = found if isinstance(found, str) else ""


def _messages(attributes: Attributes, reading: Reading) -> None:
    """``llm.input_messages.N.message...`` and ``llm.output_messages.N.message...``."""
    if reading.kind != "llm":
        return
    for prefix, is_input in (("llm.input_messages.", True), ("llm.output_messages.", False)):
        flat = attributes.under(prefix)
        listed = nested(flat) if flat else None
        if not isinstance(listed, list):
            continue
        messages = [_message(item) for item in listed]
        if all(messages) and converse(reading, is_input, messages):
            attributes.drop(prefix)


def _message(item: Any) -> dict[str, Any]:
    """One message in OpenAI's shape; empty when it is none."""
    said = item.get("message") if isinstance(item, Mapping) else None
    if not isinstance(said, Mapping):
        return {}
    message: dict[str, Any] = {"role": said.get("role") or "user", "content": said.get("content") or ""}
    contents = said.get("contents")
    if isinstance(contents, list) and not message["content"]:
        message["content"] = [_content(part) for part in contents]
    calls = said.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [call.get("tool_call", call) if isinstance(call, Mapping) else call for call in calls]
    for name in ("tool_call_id", "name"):
        if isinstance(said.get(name), str):
            message[name] = said[name]
    return message


def _content(part: Any) -> Any:
    inner = part.get("message_content") if isinstance(part, Mapping) else None
    return inner if isinstance(inner, Mapping) else part


def _documents(attributes: Attributes, reading: Reading) -> None:
    """``retrieval.documents.N.document.content`` and its like as a JSON list, best first as they came."""
    for prefix in _DOCUMENTS.get(reading.kind, ()):
        flat = attributes.under(prefix)
        listed = nested(flat) if flat else None
        if isinstance(listed, list):
            found = [item.get("document", item) if isinstance(item, Mapping) else item for item in listed]
            if reading.say("input" in prefix, compact(found)):
                attributes.drop(prefix)


def _vectors(attributes: Attributes, reading: Reading) -> None:
    """``embedding.embeddings.N.embedding.vector``. Beside the only one a sketch of it is kept, for a question is one;
    documents come many at a time."""
    if reading.kind != "embedding":
        return
    names = [name for name in attributes.rest if name.startswith(_VECTORS) and name.endswith(".vector")]
    if len(names) == 1 and (kept := sketch(attributes.peek(names[0]))) is not None:
        attributes.rest[VECTOR] = kept


def _tags(attributes: Attributes, reading: Reading) -> None:
    """``tag.tags``: ``topic:gateway`` is a tag with a value, ``beta`` one that is simply there."""
    tags = attributes.rest.get("tag.tags")
    if isinstance(tags, list):
        for tag in tags:
            name, _, value = str(tag).partition(":")
            reading.tag(name, value)
        attributes.value("tag.tags")
    user = attributes.text("user.id")
    if user:
        reading.tag("user", user)
