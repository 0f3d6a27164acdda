"""From a span as it was sent to a span as it is kept: checks, names, prices and bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trimtab.core import Layer, Span, Stamp, Usage, evolve
from trimtab.sdk import SPANS_LOST, kind_by_name, returns_documents

from .dialects import Attributes, Reading, read
from .messages import compact
from .otlp import STATUS_ERROR, RawSpan
from .prices import price

#: An attribute, input or output longer than this many bytes of UTF-8 is cut.
TEXT_LIMIT = 256 * 1024
#: All of a span's attributes together, and how many of them, are kept up to this.
REST_LIMIT = 1024 * 1024
COUNT_LIMIT = 1000
_NAME_LIMIT = 500
#: Where the tokens stand that were put into a vendor's cache, whatever the sender called them.
CACHE_WRITTEN = "gen_ai.usage.cache_creation.input_tokens"
#: No more spans than these are believed to have been lost at once.
_MOST_LOST = 10**9
_DAY_NS = 86_400 * 1_000_000_000
#: Ids that are not all zero.
_TRACE_ID, _SPAN_ID = re.compile(r"(?!0{32})[0-9a-f]{32}"), re.compile(r"(?!0{16})[0-9a-f]{16}")
_LAYERS = {
    "llm": Layer.MODEL,
    "retriever": Layer.KNOWLEDGE,
    "embedding": Layer.KNOWLEDGE,
    "reranker": Layer.KNOWLEDGE,
    "guardrail": Layer.SAFETY,
    "evaluator": Layer.OPERATIONS,
}
# What the gateway writes on its own root spans, and what readers therefore trust; a sender may not claim it.
_RESERVED = frozenset({"gateway", "ask", "arms", "key", "truncated", "events", "links", "resource", "scope", "arrived"})


class Translated(NamedTuple):
    """The spans that can be kept, for each of the others why not, and which spans' kind is only a guess."""

    spans: list[Span]
    rejected: list[str]
    guessed: frozenset[tuple[str, str]]


def translate(raw_spans: Iterable[RawSpan], now_ns: int, *, exported: bool = True) -> Translated:
    """Every span translated. ``now_ns`` is nanoseconds UTC."""
    spans: list[Span] = []
    reasons: list[str] = []
    guessed: set[tuple[str, str]] = set()
    exports: dict[int, _Export] = {}
    resource, project = None, ""
    for raw in raw_spans:
        reason = _refusal(raw, now_ns)
        if reason:
            reasons.append(f"span {raw.name[:80]!r}: {reason}")
            continue
        attributes = Attributes(raw.attributes, raw.events, raw.start_ns)
        reading = read(attributes)
        if raw.resource is not resource:  # Spans that were sent together share it.
            resource, project = raw.resource, _project(raw.resource)
        span = _span(raw, attributes, reading, project)
        spans.append(span)
        if exported and SPANS_LOST in raw.resource:
            exports.setdefault(id(raw.resource), _Export(len(spans) - 1, raw.resource)).sent += 1
        if not reading.kind and span.kind == "chain":
            guessed.add((span.trace_id, span.span_id))
    for export in exports.values():
        first = spans[export.first]
        spans[export.first] = evolve(first, attributes={**first.attributes, "arrived": export.told()})
    return Translated(spans, reasons, frozenset(guessed))


class _Export:
    """What one process sends at once. Its first span tells what was lost before it, so a repeated export, whose spans
    count once, tells it once."""

    __slots__ = ("_resource", "first", "sent")

    def __init__(self, first: int, resource: Mapping[str, Any]) -> None:
        self.first, self.sent = first, 0
        self._resource = resource  # held, so that no other one gets its id

    def told(self) -> dict[str, int]:
        lost = self._resource[SPANS_LOST]
        known = isinstance(lost, int) and not isinstance(lost, bool)
        return {"sent": self.sent, "lost": min(max(0, lost), _MOST_LOST) if known else 0}


def _refusal(raw: RawSpan, now_ns: int) -> str:
    """Why a span cannot be kept; empty text when it can."""
    if not _TRACE_ID.fullmatch(raw.trace_id):
        return f"trace id {raw.trace_id[:40]!r} is not 16 bytes, or all zero"
    if not _SPAN_ID.fullmatch(raw.span_id):
        return f"span id {raw.span_id[:40]!r} is not 8 bytes, or all zero"
    if raw.parent_id and not _SPAN_ID.fullmatch(raw.parent_id) and raw.parent_id.strip("0"):
        return f"parent span id {raw.parent_id[:40]!r} is not 8 bytes"
    if raw.start_ns <= 0:
        return "it has no start time"
    if max(raw.start_ns, raw.end_ns) > now_ns + _DAY_NS:
        return "it lies more than a day in the future; check the sender's clock"
    return ""


def span_of(raw: RawSpan) -> Span:
    """One span, translated. The ids and times must have been checked."""
    attributes = Attributes(raw.attributes, raw.events, raw.start_ns)
    return _span(raw, attributes, read(attributes), _project(raw.resource))


def _span(raw: RawSpan, attributes: Attributes, reading: Reading, project: str) -> Span:
    kind = _kind(reading, raw.name)
    status, error = _outcome(raw, attributes, reading)
    notes: dict[str, int] = {}
    asked, answered = _cut(reading.input, "input", notes), _cut(reading.output, "output", notes)
    rest = _rest(attributes, raw, notes)
    if reading.written_tokens is not None:  # it has no field of its own, by whatever name it came
        rest[CACHE_WRITTEN] = reading.written_tokens
    if notes:
        rest["truncated"] = notes
    model = reading.answered or reading.asked
    return Span(
        trace_id=raw.trace_id,
        span_id=raw.span_id,
        # A span that calls itself its parent is a root, or it would be none of its trace's.
        parent_id=raw.parent_id if raw.parent_id.strip("0") and raw.parent_id != raw.span_id else "",
        name=raw.name[:_NAME_LIMIT] or "unnamed",
        kind=kind,
        start_ns=raw.start_ns,
        end_ns=max(raw.start_ns, raw.end_ns),
        project=project,
        session=reading.session[:_NAME_LIMIT],
        status=status,
        error=error,
        layer=_LAYERS.get(kind),
        stamp=_stamp(reading, kind),
        model=model[:_NAME_LIMIT],
        provider=reading.provider[:_NAME_LIMIT],
        fingerprint=reading.fingerprint[:_NAME_LIMIT],
        input_tokens=reading.input_tokens,
        output_tokens=reading.output_tokens,
        cached_tokens=reading.cached_tokens,
        reasoning_tokens=reading.reasoning_tokens,
        cost_usd=_cost(reading, kind),
        ttft_ns=reading.ttft_ns,
        tags=reading.tags,
        input=asked,
        output=answered,
        attributes=rest,
    )


def _kind(reading: Reading, name: str) -> str:
    """The kind that the sender named, else what the span's content and name give away."""
    if reading.kind:
        return reading.kind
    if reading.asked or reading.answered:
        return "llm"
    named = kind_by_name(name)
    return named or ("retriever" if returns_documents(reading.output) else "chain")


def _project(resource: Mapping[str, Any]) -> str:
    """The sender's project: what it says to be its project, else its service, else ``default``."""
    for name in ("openinference.project.name", "service.name"):
        value = resource.get(name)
        # "unknown_service" is what OpenTelemetry's SDKs write when the user named none.
        if isinstance(value, str) and value.strip() and not value.startswith("unknown_service"):
            return value.strip()[:200]
    return "default"


def _stamp(reading: Reading, kind: str) -> Stamp:
    prompt = f"{reading.prompt}/{reading.prompt_version}" if reading.prompt_version else reading.prompt
    model = ""
    asked = reading.asked or reading.answered
    if kind == "llm" and asked:
        model = f"{reading.provider}/{asked}" if reading.provider and "/" not in asked else asked
        if reading.answered:
            model += f"={reading.answered}"
        if reading.fingerprint:
            model += f"@{reading.fingerprint}"
    return Stamp(model=model[:_NAME_LIMIT], prompt=(prompt if reading.prompt else "")[:_NAME_LIMIT])


def _cost(reading: Reading, kind: str) -> float | None:
    """What the sender says it cost, else what the table says; None when neither knows."""
    if reading.cost_usd is not None:
        return reading.cost_usd
    if kind not in ("llm", "embedding") or (reading.input_tokens is None and reading.output_tokens is None):
        return None
    usage = Usage(
        input_tokens=reading.input_tokens or 0,
        output_tokens=reading.output_tokens or 0,
        cached_tokens=reading.cached_tokens or 0,
        reasoning_tokens=reading.reasoning_tokens or 0,
        written_tokens=reading.written_tokens or 0,
        hour_tokens=reading.hour_tokens or 0,
    )
    for model in (reading.answered, reading.asked):
        cost = price(model, usage) if model else None
        if cost is not None:
            return cost
    return None


def _outcome(raw: RawSpan, attributes: Attributes, reading: Reading) -> tuple[str, str]:
    """Status and error. An exception that the span's author went on to call a success is no error."""
    if reading.error:
        return "error", reading.error[:2000]
    if raw.status != STATUS_ERROR and not raw.events:
        return "ok", ""
    failures = [event.attributes for event in raw.events if event.name == "exception"]
    if raw.status != STATUS_ERROR and (raw.status or not failures):
        return "ok", ""
    error = raw.message
    if failures:
        name, message = (str(failures[-1].get(f"exception.{part}") or "") for part in ("type", "message"))
        told = ": ".join(filter(None, (name, message)))
        error = told if message or not error else error
    return "error", (error or attributes.text("error.type") or "error")[:2000]


def _rest(attributes: Attributes, raw: RawSpan, notes: dict[str, int]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    room = REST_LIMIT
    for name, value in attributes.rest.items():
        if len(kept) >= COUNT_LIMIT or room <= 0:
            notes["attributes"] = len(attributes.rest)
            break
        name = f"client.{name}" if name in _RESERVED else name[:_NAME_LIMIT]
        if isinstance(value, str) and len(value) * 4 <= TEXT_LIMIT:  # as nearly all are
            kept[name] = value
            room -= len(name) + len(value)
            continue
        kept[name] = _bounded(value, name, notes)
        room -= len(name) + _size(kept[name])
    if attributes.events:
        events = [{"name": e.name, "time_ns": e.time_ns, "attributes": dict(e.attributes)} for e in attributes.events]
        kept["events"] = _bounded(events, "events", notes)
    if raw.links:
        kept["links"] = [{"trace_id": trace, "span_id": span} for trace, span in raw.links[:128]]
    if raw.scope:
        kept["scope"] = raw.scope[:_NAME_LIMIT]
    if not raw.parent_id.strip("0") and raw.resource:
        kept["resource"] = _bounded(dict(raw.resource), "resource", notes)
    return kept


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return len(compact(value)) if isinstance(value, list | dict) else 8


def _bounded(value: Any, name: str, notes: dict[str, int]) -> Any:
    """The value, or its first TEXT_LIMIT bytes as text when it is longer."""
    if isinstance(value, str):
        return _cut(value, name, notes)
    if isinstance(value, list | dict):
        text = compact(value)
        if len(text) * 4 > TEXT_LIMIT and len(text.encode()) > TEXT_LIMIT:
            return _cut(text, name, notes)
    return value


def _cut(text: str, name: str, notes: dict[str, int]) -> str:
    if len(text) * 4 <= TEXT_LIMIT:
        return text
    data = text.encode()
    if len(data) <= TEXT_LIMIT:
        return text
    notes[name] = len(data)
    return data[:TEXT_LIMIT].decode(errors="ignore")
