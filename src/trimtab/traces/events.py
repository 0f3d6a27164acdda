"""What the log records of GenAI say: verdicts become scores, messages become the conversation of their span."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trimtab.core import BadInput

from .dialects import is_message
from .logs import RawLog
from .messages import compact
from .otlp import RawEvent, RawSpan
from .scores import ScoreBody, check

EVALUATION, GUARDRAIL = "gen_ai.evaluation.result", "gen_ai.guardrail.result"
_GOOD = frozenset({
    "pass", "passed", "true", "yes", "good", "correct", "relevant", "faithful", "grounded", "safe",
})  # fmt: skip
_BAD = frozenset({
    "fail", "failed", "false", "no", "bad", "incorrect", "irrelevant", "unfaithful", "ungrounded", "unsafe",
})  # fmt: skip
_LET = frozenset({
    "allow", "allowed", "pass", "passed", "ok", "none", "safe", "warn", "modify", "modified", "redact", "redacted",
    "audit",
})  # fmt: skip
_STOPPED = frozenset({
    "block", "blocked", "deny", "denied", "reject", "rejected", "refuse", "refused", "fail", "failed", "unsafe",
    "tripped",
})  # fmt: skip
_MESSAGES = "messages"
#: Verdicts of one request: each asks for its trace.
SCORES_LIMIT = 1000


@dataclass(slots=True, kw_only=True)
class Heard:
    """What a request's records hold: scores, the messages of spans (as a span under each), and what cannot be kept."""

    scores: list[ScoreBody] = field(default_factory=list)
    spans: list[RawSpan] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)


def hear(records: Iterable[RawLog], now_ns: int) -> Heard:
    """Sort a request's records. ``now_ns`` stands in for a record without a time."""
    heard = Heard()
    talks: dict[tuple[str, str], list[RawLog]] = {}
    for record in records:
        label = f"log record {record.name[:80] or 'without a name'!r}"
        try:
            if record.name in (EVALUATION, GUARDRAIL) and len(heard.scores) >= SCORES_LIMIT:
                heard.rejected.append(f"{label}: more than {SCORES_LIMIT} verdicts in one request")
            elif record.name == EVALUATION:
                heard.scores.append(_checked(_evaluation(record)))
            elif record.name == GUARDRAIL:
                heard.scores.append(_checked(_guardrail(record)))
            elif not is_message(record.name):
                heard.rejected.append(f"{label}: only GenAI's events are kept")
            elif not re.fullmatch(r"[0-9a-f]{32}/[0-9a-f]{16}", f"{record.trace_id}/{record.span_id}"):
                heard.rejected.append(f"{label}: it names no span")
            else:
                talks.setdefault((record.trace_id, record.span_id), []).append(record)
        except BadInput as error:
            heard.rejected.append(f"{label}: {error.message}")
    heard.spans = [_talk(records, now_ns) for records in talks.values()]
    return heard


def _checked(body: ScoreBody) -> ScoreBody:
    check(body, "")
    return body


def _evaluation(record: RawLog) -> ScoreBody:
    said = record.attributes
    label = str(said.get("gen_ai.evaluation.score.label") or "")
    value = said.get("gen_ai.evaluation.score.value")
    if value is None:
        value = _verdict(label, _GOOD, _BAD)
    return ScoreBody(
        id=_id(record),
        trace_id=record.trace_id,
        span_id=record.span_id,
        name=_name(said.get("gen_ai.evaluation.name")),
        value=_number(value, label),
        by="otlp",
        label=label[:500],
        reason=str(said.get("gen_ai.evaluation.explanation") or "")[:19_000],
    )


def _guardrail(record: RawLog) -> ScoreBody:
    said = record.attributes
    results = [
        str(said.get(name) or "")
        for name in ("gen_ai.guardrail.result.type", "gen_ai.guardrail.result.value", "gen_ai.guardrail.result")
    ]
    known = [verdict for result in results if (verdict := _verdict(result, _LET, _STOPPED)) is not None]
    names = ("gen_ai.guardrail.policy.id", "gen_ai.guardrail.component.name", "gen_ai.guardrail.name")
    policy = next((str(said[name]) for name in names if said.get(name)), "")
    version = str(said.get("gen_ai.guardrail.policy.version") or "")
    reason = said.get("gen_ai.guardrail.reason") or said.get("gen_ai.guardrail.result.reason") or ""
    return ScoreBody(
        id=_id(record),
        trace_id=record.trace_id,
        span_id=record.span_id,
        name="allowed",
        value=_number(known[0] if known else None, "/".join(filter(None, results))),
        by=f"guard:{policy}"[:100],
        by_version=f"{policy}/{version}"[:200] if version else "",
        label="/".join(filter(None, results))[:500],
        reason=str(reason)[:19_000],
    )


def _verdict(text: str, good: frozenset[str], bad: frozenset[str]) -> float | None:
    word = text.strip().lower()
    return 1.0 if word in good else 0.0 if word in bad else None


def _number(value: Any, label: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        what = repr(label[:40]) if label else "nothing"
        raise BadInput(f"it has no number, and {what} is no known verdict", mend="Send a value from 0 to 1.")
    return float(value)


def _name(name: Any) -> str:
    """A score's name from any text."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", str(name or "")).strip("._-")[:100] or "evaluation"


def _id(record: RawLog) -> str:
    """The same for the same record, so that one that is sent again is stored once."""
    told = compact([record.trace_id, record.span_id, record.name, record.time_ns, dict(record.attributes)])
    return f"sco_{hashlib.sha256(told.encode(errors='replace')).hexdigest()[:32]}"


def _talk(records: list[RawLog], now_ns: int) -> RawSpan:
    """The messages of one span, as a span under it: they are stored at once, whether their span is or not."""
    first = records[0]
    told = compact([[record.name, record.time_ns, record.body, dict(record.attributes)] for record in records])
    digest = hashlib.sha256(f"{first.trace_id}{first.span_id}{told}".encode(errors="replace")).hexdigest()
    times = [record.time_ns or now_ns for record in records]
    return RawSpan(
        trace_id=first.trace_id,
        span_id=digest[:16],
        parent_id=first.span_id,
        name=_MESSAGES,
        start_ns=min(times),
        end_ns=max(times),
        status=0,
        message="",
        attributes={},
        events=tuple(_event(record) for record in records),
        resource=first.resource,
        scope=first.scope,
    )


def _event(record: RawLog) -> RawEvent:
    body = record.body if isinstance(record.body, Mapping) else {"content": record.body} if record.body else {}
    return RawEvent(name=record.name, time_ns=record.time_ns, attributes={**record.attributes, **body})


class Window:
    """The messages of spans that have not come yet, bounded in number, size and time; the oldest are let go first."""

    def __init__(self, *, keep: int = 10_000, characters: int = 32 * 1024 * 1024, seconds: float = 300.0) -> None:
        self._keep, self._most, self._ns = keep, characters, round(seconds * 1e9)
        self._size = 0
        self._held: OrderedDict[tuple[str, str], tuple[int, int, tuple[RawEvent, ...]]] = OrderedDict()

    def hold(self, talks: Iterable[RawSpan], now_ns: int) -> None:
        """Keep the events of these for the spans that they stand under."""
        for talk in talks:
            key = (talk.trace_id, talk.parent_id)
            _, size, events = self._held.pop(key, (0, 0, ()))
            more = sum(len(compact(dict(event.attributes))) for event in talk.events)
            self._held[key] = (now_ns, size + more, events + talk.events)
            self._size += more
        while self._held and (
            len(self._held) > self._keep
            or self._size > self._most
            or next(iter(self._held.values()))[0] < now_ns - self._ns
        ):
            self._size -= self._held.popitem(last=False)[1][1]

    def join(self, spans: Iterable[RawSpan]) -> list[RawSpan]:
        """The same spans, with the messages that came before them."""
        return [self._joined(span) for span in spans] if self._held else list(spans)

    def _joined(self, span: RawSpan) -> RawSpan:
        held = self._held.get((span.trace_id, span.span_id))
        return replace(span, events=(*span.events, *held[2])) if held else span

    def drop(self, trace_ids: Collection[str]) -> None:
        """Forget the messages of these traces."""
        self.forget([key for key in self._held if key[0] in trace_ids])

    def forget(self, spans: Iterable[tuple[str, str]]) -> None:
        """These spans are stored: their messages are no longer waited for."""
        if not self._held:
            return
        for key in spans:
            held = self._held.pop(key, None)
            if held:
                self._size -= held[1]
