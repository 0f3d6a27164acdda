"""One trace: what was asked, what served it, what happened, what it scored, what it cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import Breakdown, Filter, Layer, NotFound, Score, Span, SpanQuery
from trimtab.incidents import Incident
from trimtab.registry import Registry
from trimtab.store import STRIPPED, Trace
from trimtab.traces import PRICES_AS_OF, question
from trimtab.web import words
from trimtab.web.agentgraph import Graph, Line, graph, lines
from trimtab.web.banner import headline, signal_title
from trimtab.web.dataflow import dataflow, planned
from trimtab.web.exchange import CostRow, GuardRow, MessageRow, PassageRow, costs, messages, passages, verdicts
from trimtab.web.frame import Frame
from trimtab.web.pins import pin_links
from trimtab.web.steps import flow
from trimtab.web.verdicts import PASS_FROM, Verdict, verdict
from trimtab.web.waterfall import LayerRow, Waterfall, by_layer, waterfall

from .sessions import session_href
from .traces import find_trace, root_of

STAMP_NAMES = {
    Layer.MODEL: "Model, as it answered",
    Layer.KNOWLEDGE: "Knowledge",
    Layer.PROMPT: "Prompt",
    Layer.SAFETY: "Safety",
    Layer.OPERATIONS: "Operations",
}
RAW_LIMIT = 200_000
#: Folds that stay open at once, and spans from which on a page is drawn beside the loop.
MOST_OPENED, MANY_SPANS = 20, 300
#: The attribute that names a trace which belongs to this one.
LINK = "trimtab.linked_trace"


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
class TraceView:
    """Everything the template draws."""

    root: Span
    title: str
    verdict: Verdict
    verdict_text: str
    incident: int
    stamp: tuple[Pin, ...]
    fall: Waterfall
    around: Mapping[str, str]
    layers: tuple[LayerRow, ...]
    drawing: Drawing | None
    stripped: bool
    total: str
    first_token: str
    tokens: str
    cost: str
    scores: tuple[ScoreRow, ...]
    messages: tuple[MessageRow, ...]
    passages: tuple[PassageRow, ...]
    guards: tuple[GuardRow, ...]
    costs: tuple[CostRow, ...]
    prices_as_of: str
    span: Span
    raw: str
    tags: tuple[tuple[str, str], ...]
    session: str
    turn: str
    linked: str
    dual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The agent graph, of the whole run or of what is ``inside`` one span."""

    graph: Graph
    lines: tuple[Line, ...]
    inside: str


@dataclass(frozen=True, kw_only=True)
class TraceData:
    """What the rooms said."""

    now_ns: int
    trace: Trace
    incidents: Sequence[Incident]
    rollouts: Mapping[str, str]
    links: Mapping[Layer, str]
    span_id: str
    opened: tuple[str, ...] = ()
    first: int | None = None
    by_layer: bool = False
    inside: str = ""
    turn: tuple[int, int] = (0, 0)


def view(data: TraceData) -> TraceView:
    """Room data to what is drawn. Pure."""
    root = root_of(data.trace)
    spans, scores = data.trace.spans, data.trace.scores
    seen = verdict(root, scores)
    blamed = _blamed(root, data.incidents)
    fall = waterfall(spans, chosen=data.span_id, opened=data.opened, first=data.first)
    chosen = next((s for s in spans if s.span_id == data.span_id), root)
    tokens = None if root.input_tokens is None else root.input_tokens + (root.output_tokens or 0)
    return TraceView(
        root=root,
        title=words.snippet(question(root.input), 300) or root.name or "A request without a question",
        verdict=seen,
        verdict_text=_verdict_text(root, seen),
        incident=next(iter(blamed.values()), 0),
        stamp=tuple(_pin(layer, root, data, blamed.get(layer, 0)) for layer in Layer),
        fall=fall,
        around=_around(data, root, fall),
        layers=by_layer(spans) if data.by_layer else (),
        drawing=_drawing(spans, data.inside),
        stripped=root.attributes.get(STRIPPED) is True,
        total=words.duration(root.duration_ns / words.SECOND),
        first_token=words.duration(root.ttft_ns / words.SECOND) if root.ttft_ns is not None else "",
        tokens=words.plural(tokens, "token") if tokens is not None else "no token count",
        cost=words.money(root.cost_usd) if root.stamp.model or root.model else "0 ¢",
        scores=tuple(_score(score) for score in scores),
        messages=messages(root, spans),
        passages=passages(root, spans),
        guards=verdicts(spans),
        costs=costs(root),
        prices_as_of=PRICES_AS_OF,
        span=chosen,
        raw=raw(chosen),
        tags=tuple(sorted((str(k), str(v)) for k, v in root.tags.items())),
        session=session_href(root.session) if root.session else "",
        turn=f"turn {words.count(data.turn[0])} of {words.count(data.turn[1])}" if data.turn[1] else "",
        linked=_linked(spans),
        dual=planned(spans) is not None,
    )


def _drawing(spans: Sequence[Span], inside: str) -> Drawing | None:
    """The agent graph; none for a single span, which has nothing before or after it."""
    if len(spans) < 2:
        return None
    steps = flow(spans, inside)
    within = next((span.name or span.kind for span in spans if span.span_id == inside), "")
    return Drawing(graph=graph(steps), lines=tuple(lines(steps)), inside=within)


def _linked(spans: Sequence[Span]) -> str:
    """The trace that belongs to this one, such as the retrieval before a generation."""
    found = (span.attributes.get(LINK) for span in spans)
    return next((one for one in found if isinstance(one, str) and len(one) == 32 and one.isalnum()), "")


def _around(data: TraceData, root: Span, fall: Waterfall) -> dict[str, str]:
    """Where the windows before and after this one are, and where each fold is opened, by what they are called."""
    kept = [("open", span_id) for span_id in data.opened]
    places = {"earlier": fall.earlier, "later": fall.later}
    found = {
        name: "" if at is None else f"/traces/{root.trace_id}?{urlencode([*kept, ('from', str(at))])}#spans"
        for name, at in places.items()
    }
    for bar in fall.bars:
        if bar.hidden:
            opened = [*kept[1 - MOST_OPENED :], ("open", bar.span_id), ("from", str(fall.first))]
            found[bar.span_id] = f"/traces/{root.trace_id}?{urlencode(opened)}#spans"
    return found


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
    return Pin(
        layer=int(layer),
        name=STAMP_NAMES[layer],
        pin=words.pin(pin) if pin else "took no part",
        note=data.rollouts.get(pin, ""),
        suspect=suspect,
        href=data.links.get(layer, ""),
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
    """``GET /traces/{id}?span=ID&open=ID&from=LINE&view=layers&graph=ID``."""
    house = frame.house
    trace = await find_trace(frame, str(request.path_params["id"]))
    incidents = await house.desk.list(limit=50)
    first = request.query_params.get("from", "")
    data = TraceData(
        now_ns=house.clock(),
        trace=trace,
        incidents=incidents,
        rollouts=rollout_notes(house.registry, root_of(trace)),
        links=pin_links(house.registry, root_of(trace).stamp),
        span_id=request.query_params.get("span", ""),
        opened=tuple(request.query_params.getlist("open")[:MOST_OPENED]),
        first=int(first) if first.isascii() and first.isdigit() and len(first) < 9 else None,
        by_layer=request.query_params.get("view") == "layers",
        inside=request.query_params.get("graph", ""),
        turn=await _turn(frame, root_of(trace)),
    )
    shown = await asyncio.to_thread(view, data) if len(trace.spans) > MANY_SPANS else view(data)
    titles = {incident.id: headline(incident) for incident in incidents}
    return frame.page(
        request, "trace.html", title=shown.title, nav="/traces", view=shown, incidents=incidents, titles=titles
    )


async def _turn(frame: Frame, root: Span) -> tuple[int, int]:
    """Which turn of its session a trace is, and of how many."""
    if not root.session or root.parent_id:
        return 0, 0
    of = (Filter(column="session", op="=", value=root.session),)
    until = [SpanQuery(filters=of, until_ns=end) for end in (root.start_ns + 1, 0)]
    found = [await frame.house.spans.groups(Breakdown(query=query)) for query in until]
    return int(found[0][0].values[0] or 0), int(found[1][0].values[0] or 0)


async def flow_page(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /traces/{id}/flow``: where the data of a dual-LLM run went. Raises NotFound for another trace."""
    trace = await find_trace(frame, str(request.path_params["id"]))
    found = await asyncio.to_thread(dataflow, trace.spans)
    if found is None:
        raise NotFound("There is no dual-LLM run in this trace.", mend="`trimtab.dual.run` makes one.")
    return frame.page(
        request, "flow.html", title="Data flow", nav="/traces", flow=found, trace_id=root_of(trace).trace_id,
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip
