"""One trace: what was asked, what served it, what happened, what it scored, what it cost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import Layer, Score, Span, Usage
from trimtab.incidents import Incident
from trimtab.registry import Registry
from trimtab.store import Trace
from trimtab.traces import PRICES_AS_OF, price, question
from trimtab.web import words
from trimtab.web.banner import headline, signal_title
from trimtab.web.frame import Frame
from trimtab.web.verdicts import PASS_FROM, Verdict, verdict
from trimtab.web.waterfall import MOST, Bar, bars

from .traces import find_trace, root_of

STAMP_NAMES = {
    Layer.MODEL: "Model, as it answered",
    Layer.KNOWLEDGE: "Knowledge",
    Layer.PROMPT: "Prompt",
    Layer.SAFETY: "Safety",
    Layer.OPERATIONS: "Operations",
}
PIN_KIND = {Layer.KNOWLEDGE: "corpora", Layer.PROMPT: "prompts", Layer.SAFETY: "guards", Layer.OPERATIONS: "routes"}
OLD_NS = 365 * 86_400 * words.SECOND
RAW_LIMIT = 200_000
#: Longer messages are folded to their beginning.
FOLD_FROM, FOLDED = 700, 320


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One pin of the stamp; ``suspect`` names the incident that blames it, ``note`` its rollout."""

    layer: int
    name: str
    pin: str
    note: str
    suspect: int
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One score."""

    title: str
    value: str
    bad: bool
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One message: who and what."""

    who: str
    note: str
    text: str

    @property
    def folded(self) -> str:
        """The beginning of a long text, which is shown whole on demand; empty for a short one."""
        return "" if len(self.text) <= FOLD_FROM else self.text[:FOLDED].rsplit(maxsplit=1)[0] + " …"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageRow:
    """A passage that was given to the model."""

    number: str
    title: str
    source: str
    text: str
    score: str
    age: str
    old: bool
    cited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Tokens of one kind and what they cost."""

    kind: str
    tokens: str
    cents: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceView:
    """Everything the template draws."""

    root: Span
    title: str
    verdict: Verdict
    verdict_text: str
    incident: int
    stamp: tuple[Pin, ...]
    bars: tuple[Bar, ...]
    more_bars: int
    total: str
    first_token: str
    tokens: str
    cost: str
    scores: tuple[ScoreRow, ...]
    messages: tuple[MessageRow, ...]
    passages: tuple[PassageRow, ...]
    costs: tuple[CostRow, ...]
    prices_as_of: str
    span: Span
    raw: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class TraceData:
    """What the rooms said."""

    now_ns: int
    trace: Trace
    incidents: Sequence[Incident]
    rollouts: Mapping[str, str]
    prompts: Sequence[str]
    span_id: str


def view(data: TraceData) -> TraceView:
    """Room data to what is drawn. Pure."""
    root = root_of(data.trace)
    spans, scores = data.trace.spans, data.trace.scores
    seen = verdict(root, scores)
    blamed = _blamed(root, data.incidents)
    drawn = bars(spans)
    chosen = next((s for s in spans if s.span_id == data.span_id), root)
    tokens = None if root.input_tokens is None else root.input_tokens + (root.output_tokens or 0)
    return TraceView(
        root=root,
        title=words.snippet(question(root.input), 300) or root.name or "A request without a question",
        verdict=seen,
        verdict_text=_verdict_text(root, seen),
        incident=next(iter(blamed.values()), 0),
        stamp=tuple(_pin(layer, root, data, blamed.get(layer, 0)) for layer in Layer),
        bars=drawn[:MOST],
        more_bars=max(0, len(drawn) - MOST),
        total=words.duration(root.duration_ns / words.SECOND),
        first_token=words.duration(root.ttft_ns / words.SECOND) if root.ttft_ns is not None else "",
        tokens=words.plural(tokens, "token") if tokens is not None else "no token count",
        cost=words.money(root.cost_usd) if root.stamp.model or root.model else "0 ¢",
        scores=tuple(_score(score) for score in scores),
        messages=messages(root, spans),
        passages=passages(root, data.now_ns),
        costs=costs(root),
        prices_as_of=PRICES_AS_OF,
        span=chosen,
        raw=raw(chosen),
        tags=tuple(sorted((str(k), str(v)) for k, v in root.tags.items())),
    )


def _verdict_text(root: Span, seen: Verdict) -> str:
    if root.status in ("error", "refused"):
        return root.error or f"The request ended as {root.status}."
    if seen.worst is None:
        return "Nothing has scored this answer yet."
    said = f": {seen.worst.reason}" if seen.worst.reason else ""
    worst = f"{signal_title(seen.worst.name)} {words.fixed(seen.worst.value)}{said}"
    return worst if seen.word == "fail" else f"Lowest score: {worst}"


def _blamed(root: Span, incidents: Sequence[Incident]) -> dict[Layer, int]:
    """The layers whose pin is the cause of an incident that was going on when the request came."""
    found: dict[Layer, int] = {}
    for incident in incidents:
        cause = incident.cause
        if cause is None or cause.layer is None or not cause.after:
            continue
        end = incident.mitigated_ns or incident.closed_ns or root.start_ns + 1
        begin = (incident.onset_ns or incident.opened_ns) - 300 * words.SECOND
        layer = Layer(cause.layer)
        pin = root.stamp.pin(layer)
        if begin <= root.start_ns < end and (pin == cause.after or pin.endswith(f"={cause.after}")):
            found.setdefault(layer, incident.id)
    return found


def _pin(layer: Layer, root: Span, data: TraceData, suspect: int) -> Pin:
    pin = root.stamp.pin(layer)
    name = pin.rpartition("/")[0]
    return Pin(
        layer=int(layer),
        name=STAMP_NAMES[layer],
        pin=words.pin(pin) if pin else "took no part",
        note=data.rollouts.get(pin, ""),
        suspect=suspect,
        href=f"/prompts/{name}?v={pin.rpartition('/')[2]}" if layer is Layer.PROMPT and name in data.prompts else "",
    )


def _score(score: Score) -> ScoreRow:
    by = score.by.replace(":", " ").replace("_", " ")
    version = score.by_version.rpartition("/")[2]
    return ScoreRow(
        title=signal_title(score.name),
        value=score.label or words.fixed(score.value),
        bad=score.value < PASS_FROM,
        by=f"{by} v{version}" if version else by,
        reason=score.reason,
    )


def messages(root: Span, spans: Sequence[Span]) -> tuple[MessageRow, ...]:
    """What the answering model was sent, then what was answered; the question alone where no model was reached."""
    calls = [span for span in spans if span.kind == "llm" and span.input]
    found = [_message(m) for m in _chat(calls[-1].input)] if calls else []
    if not found and calls:
        found = [MessageRow(who="input", note="", text=calls[-1].input)]
    if not found:
        found = [MessageRow(who="user", note="", text=root.input)] if root.input else []
    answer = root.output or (calls[-1].output if calls else "")
    note = f"{root.output_tokens} tokens" if root.output_tokens else ""
    finish = str(root.attributes.get("finish") or "")
    if finish:
        note += (", " if note else "") + ("stopped by itself" if finish == "stop" else f"ended by {finish}")
    if answer:
        found.append(MessageRow(who="assistant", note=note, text=answer))
    if root.error:
        found.append(MessageRow(who="error" if root.status == "error" else root.status, note="", text=root.error))
    return tuple(found)


def _chat(text: str) -> list[Mapping[str, Any]]:
    if not text.startswith("["):
        return []
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [m for m in decoded if isinstance(m, Mapping)] if isinstance(decoded, list) else []


def _message(message: Mapping[str, Any]) -> MessageRow:
    content = message.get("content", message.get("parts"))
    if isinstance(content, list):
        texts = [p.get("text", p.get("content", "")) if isinstance(p, Mapping) else p for p in content]
        content = "\n".join(str(t) for t in texts if t)
    if not content and message.get("tool_calls"):
        content = json.dumps(message["tool_calls"], ensure_ascii=False)
    return MessageRow(who=str(message.get("role") or "message"), note="", text=str(content or ""))


def passages(root: Span, now_ns: int) -> tuple[PassageRow, ...]:
    """The passages that the model was given, each with its age and whether the answer cites it as ``[n]``."""
    given = root.attributes.get("passages")
    cited = {int(n) for n in re.findall(r"\[(\d{1,4})\]", root.output)}
    return tuple(_passage(p, cited, now_ns) for p in given if isinstance(p, Mapping)) if isinstance(given, list) else ()


def _passage(passage: Mapping[str, Any], cited: set[int], now_ns: int) -> PassageRow:
    updated, score = passage.get("updated_ns"), passage.get("score")
    age = now_ns - updated if isinstance(updated, int) and updated > 0 else None
    return PassageRow(
        number=str(passage.get("number", "")),
        title=str(passage.get("title", "")) or "untitled",
        source=str(passage.get("source", "")),
        text=words.snippet(str(passage.get("text", "")), 160),
        score=words.fixed(float(score)) if isinstance(score, int | float) else "none",
        age=words.duration(age / words.SECOND) if age is not None else "not known",
        old=age is not None and age > OLD_NS,
        cited=passage.get("number") in cited,
    )


def costs(root: Span) -> tuple[CostRow, ...]:
    """Cost by kind of token. A request over several attempts is priced whole, so its parts may not add up to it."""
    if root.input_tokens is None:
        return ()
    cached = min(root.cached_tokens or 0, root.input_tokens)
    fresh, output = root.input_tokens - cached, root.output_tokens or 0
    reference = f"{root.provider}/{root.model}" if root.provider else root.model
    kinds = [("input, fresh", fresh, Usage(input_tokens=fresh))]
    if cached:
        kinds.append(("input, from cache", cached, Usage(input_tokens=cached, cached_tokens=cached)))
    kinds.append(("output", output, Usage(output_tokens=output)))
    rows = [CostRow(kind=k, tokens=words.count(n), cents=words.cents(price(reference, usage))) for k, n, usage in kinds]
    total = CostRow(kind="total", tokens=words.count(root.input_tokens + output), cents=words.cents(root.cost_usd))
    return (*rows, total)


def raw(span: Span) -> str:
    """The span's own attributes as JSON, cut where they are huge."""
    text = json.dumps(dict(span.attributes), indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= RAW_LIMIT else text[:RAW_LIMIT] + "\n… cut; the API has all of it"


def rollout_notes(registry: Registry, root: Span) -> dict[str, str]:
    """Per pin of the stamp, the rollout that the request drew it from."""
    arms = root.attributes.get("arms")
    found: dict[str, str] = {}
    known = {rollout.id: rollout for rollout in registry.rollouts()}
    for rollout_id, arm in arms.items() if isinstance(arms, Mapping) else ():
        rollout = known.get(str(rollout_id))
        if rollout is not None:
            number = rollout.candidate if arm == "candidate" else rollout.base
            state = "" if rollout.state == "running" else f", since {rollout.state}"
            found[f"{rollout.name}/{number}"] = f"{words.percent(rollout.share)} rollout, {arm}{state}"
    return found


async def trace_page(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /traces/{id}?span=ID``."""
    house = frame.house
    trace = await find_trace(frame, str(request.path_params["id"]))
    incidents = await house.desk.list(limit=50)
    shown = view(
        TraceData(
            now_ns=house.clock(),
            trace=trace,
            incidents=incidents,
            rollouts=rollout_notes(house.registry, root_of(trace)),
            prompts=house.registry.names("prompts"),
            span_id=request.query_params.get("span", ""),
        )
    )
    titles = {incident.id: headline(incident) for incident in incidents}
    return frame.page(
        request, "trace.html", title=shown.title, nav="/traces", view=shown, incidents=incidents, titles=titles
    )
