"""Stack, the home page: is anything wrong, in which layer, and what changed just before?"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import Change, Layer, Stamp
from trimtab.incidents import DATASET, LIVE, MACHINE, Incident
from trimtab.registry import Registry
from trimtab.store import ScoreBucket, SpanBucket
from trimtab.watch import MEASURES, SCORED, SIGNALS, Baseline, Signal, Watch
from trimtab.web import words
from trimtab.web.bands import Line, Scores, Strip, busy_cells, quality_line, request_strips, score_strip, without
from trimtab.web.banner import Banners, banners
from trimtab.web.changes import KIND_WORD, ChangeRow, layer_of, rows, sentence, short
from trimtab.web.charts import place_marks, share_of, time_ticks
from trimtab.web.frame import OWN_PROJECT, Frame, newest_request, wants_fragment
from trimtab.web.pins import PIN_KIND
from trimtab.web.window import SIZES, Window, fitting, links, window

from .start import start_context

DAY_NS = 86_400 * words.SECOND
#: Measured signals that are drawn, and newest values of each that are looked at.
MOST_MOVED, MOST_REMEMBERED = 6, 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A change, or several that fell together, in its layer's lane."""

    x: float
    text: str
    flip: bool
    external: bool
    target: str
    name: str
    layer: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One layer: head and strips."""

    layer: int
    title: str
    pin: str
    state: str
    state_css: str
    at_fault: bool
    marks: tuple[Mark, ...]
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tint:
    """An incident's time in the window, in percent; ``flag`` names its cause and stands at ``cause_x``."""

    x: float
    width: float
    css: str
    cause_x: float | None
    flag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StackView:
    """Everything the template draws."""

    window: Window
    cell_text: str
    sizes: Sequence[tuple[str, str, bool]]
    earlier_ns: int
    later_ns: int | None
    banners: Banners
    line: Line
    outcome: tuple[Strip, ...]
    bands: tuple[Band, ...]
    tints: tuple[Tint, ...]
    ticks: tuple[tuple[float, str], ...]
    changes: tuple[ChangeRow, ...]


@dataclass(frozen=True, kw_only=True)
class StackData:
    """What the rooms said."""

    now_ns: int
    window: Window
    asked: str
    scores: Sequence[ScoreBucket]
    requests: Sequence[SpanBucket]
    baselines: Mapping[str, Mapping[str, Baseline]]
    incidents: Sequence[Incident]
    changes: Sequence[Change]
    last_changes: Sequence[Change]
    pins: Mapping[Layer, str]
    zone: tzinfo | None = None
    moved: tuple[str, ...] = ()


def view(data: StackData) -> StackView:
    """Room data to what is drawn. Pure."""
    shown = data.window
    scores = Scores.of(shown, data.scores)
    busy = busy_cells(shown, data.requests)
    signals = {**SCORED, **{name: _drawn(SIGNALS[name]) for name in data.moved}}
    strips = {
        name: score_strip(signal, scores.of_signal(name), data.baselines.get(name, {}), busy)
        for name, signal in signals.items()
    }
    recent = [i for i in data.incidents if i.state != "closed"]
    return StackView(
        window=shown,
        cell_text=words.duration(shown.cell_s),
        sizes=links(shown, data.asked),
        earlier_ns=shown.until_ns - shown.length_ns // 2,
        later_ns=None if shown.live else shown.until_ns + shown.length_ns // 2,
        banners=banners(data.incidents, data.last_changes, data.now_ns),
        line=quality_line(SCORED["quality"], scores.of_signal("quality"), data.baselines.get("quality", {})),
        outcome=(
            *(strips[n] for n, s in signals.items() if s.layer is None and n != "quality"),
            *request_strips(shown, data.requests),
        ),
        bands=tuple(
            band(layer, data, recent, tuple(strips[n] for n, s in signals.items() if s.layer is layer))
            for layer in Layer
        ),
        tints=tuple(tint for i in data.incidents if (tint := _tint(i, data)) is not None),
        ticks=_ticks(shown, data.zone),
        changes=rows(data.changes, data.incidents),
    )


def band(layer: Layer, data: StackData, incidents: Sequence[Incident], strips: tuple[Strip, ...]) -> Band:
    """One layer's head and strips."""
    state, css, at_fault = layer_state(layer, incidents, strips)
    return Band(
        layer=int(layer),
        title=layer.title,
        pin=data.pins.get(layer, ""),
        state=state,
        state_css=css,
        at_fault=at_fault,
        marks=marks([c for c in data.changes if c.layer is layer], data.window, data.zone),
        strips=strips,
    )


def layer_state(layer: Layer, incidents: Sequence[Incident], strips: Sequence[Strip]) -> tuple[str, str, bool]:
    """The layer's state in words, its class, and whether it is at fault now."""
    causes = [(i, i.cause, i.report.certainty) for i in incidents if i.report and i.cause]
    for incident, cause, certainty in causes:
        if layer_of(cause) == layer:
            live = incident.state in LIVE
            return (f"at fault, {certainty}", "t-bad b", True) if live else ("at fault, taken back", "t-warn", False)
    worst = max((strip.worst for strip in strips), default=0)
    if worst >= 3 and causes:
        return f"side effect of {layer_of(causes[0][1])}", "t-warn", False
    if worst >= 3:
        return "unusual", "t-warn b", False
    cleared = any(c.cleared and layer_of(c) == layer for i in incidents if i.report for c in i.report.candidates)
    if all(strip.now == "not measured" for strip in strips):
        return "not measured", "muted", False
    return "quiet, ruled out" if cleared else "quiet", "muted", False


def marks(changes: Sequence[Change], shown: Window, zone: tzinfo | None) -> tuple[Mark, ...]:
    """A lane's marks in time order."""
    ordered = sorted(changes, key=lambda change: change.time_ns)
    at = [(share_of(c.time_ns, shown.since_ns, shown.until_ns), short(c)) for c in ordered]
    found = []
    for placed in place_marks(at):
        members = [ordered[i] for i in placed.members]
        last = members[-1]
        what = "; ".join(f"{words.clock(c.time_ns, zone)} {sentence(c)}" for c in members)
        found.append(
            Mark(
                x=placed.x, text=placed.text, flip=placed.flip, target=f"change-{last.id}",
                external=all(c.action == "external" for c in members),
                name=f"{KIND_WORD[last.kind].capitalize()} change: {what}", layer=int(last.layer),
            )
        )  # fmt: skip
    return tuple(found)


def _tint(incident: Incident, data: StackData) -> Tint | None:
    shown = data.window
    start = incident.onset_ns or incident.opened_ns
    end = incident.mitigated_ns or incident.closed_ns or data.now_ns
    if end <= shown.since_ns or start >= shown.until_ns:
        return None
    left, right = (share_of(t, shown.since_ns, shown.until_ns) for t in (start, end))
    cause = incident.cause
    change = next((c for c in data.changes if cause is not None and c.id == cause.change_id), None)
    cause_x, flag = None, ""
    if change is not None:
        cause_x = share_of(change.time_ns, shown.since_ns, shown.until_ns)
        flag = f"{words.clock(change.time_ns, data.zone)} {sentence(change)}"
    return Tint(
        x=left,
        width=round(max(0.4, right - left), 2),
        css="past" if incident.state in ("mitigated", "resolved", "closed") else "",
        cause_x=cause_x,
        flag=flag,
    )


def _ticks(shown: Window, zone: tzinfo | None) -> tuple[tuple[float, str], ...]:
    offset = words.local(shown.since_ns, zone).utcoffset()
    ticks = time_ticks(shown.since_ns, shown.until_ns, offset_s=int(offset.total_seconds()) if offset else 0)
    name = words.seconds_clock if shown.length_ns < 600 * words.SECOND else words.clock
    return tuple((share_of(t, shown.since_ns, shown.until_ns), name(t, zone)) for t in ticks)


def pins(registry: Registry, stamp: Stamp) -> dict[Layer, str]:
    """What is live per layer: the newest request's asset with its label's version and a running candidate."""
    found = {Layer.MODEL: words.pin(stamp.model) if stamp.model else ""}
    for layer, kind in PIN_KIND.items():
        name = stamp.pin(layer).rpartition("/")[0]
        if not name or name not in registry.names(kind):
            found[layer] = ""
            continue
        number = registry.labels(kind, name).get("production")
        rollout = registry.running(kind, name)
        versions = [f"v{n}" for n in (number, rollout.candidate if rollout else None) if n]
        found[layer] = " ".join([name, *versions]) if versions else words.pin(stamp.pin(layer))
    return found


def baselines_of(watch: Watch, moved: Sequence[str] = ()) -> dict[str, Mapping[str, Baseline]]:
    """The frozen references of every watched signal that is drawn."""
    watched = {monitor.signal for monitor in watch.monitors}
    return {name: watch.baselines(name) for name in (*SCORED, *moved) if name in watched}


def moved_signals(watch: Watch, incidents: Sequence[Incident]) -> tuple[str, ...]:
    """The measured signals that fell in incidents that are not closed: they are stored nowhere, and are drawn while
    somebody looks into them."""
    watched = {monitor.signal for monitor in watch.monitors}
    told = [
        name
        for incident in incidents
        if incident.state != "closed"
        for name in (*incident.signals, *(incident.report.signals if incident.report else ()))
    ]
    return tuple(dict.fromkeys(n for n in told if n in SIGNALS and n not in SCORED and n in watched))[:MOST_MOVED]


def _drawn(signal: Signal) -> Signal:
    """A level is drawn as the share of its values that are as usual."""
    if signal.name in MEASURES and MEASURES[signal.name].worse is not None:
        return replace(signal, title=f"{signal.title} as usual", unit="share of values")
    return signal


def remembered(watch: Watch, names: Sequence[str], shown: Window) -> list[ScoreBucket]:
    """What the watch remembers of measured signals, 1 where usual and 0 where not, in the window's cells."""
    cell = shown.cell_s * words.SECOND
    sums: dict[tuple[int, str, str], tuple[int, float, float]] = defaultdict(lambda: (0, 0.0, 0.0))
    for name in names:
        for seen in watch.evidence(name)[0][-MOST_REMEMBERED:]:
            if shown.since_ns <= seen.time_ns < shown.until_ns:
                key = seen.time_ns // cell * cell, name, seen.slice
                n, total, squares = sums[key]
                sums[key] = n + 1, total + seen.value, squares + seen.value * seen.value
    return [
        ScoreBucket(start_ns=start, name=name, slice=slice_name, n=n, total=total, total_sq=squares)
        for (start, name, slice_name), (n, total, squares) in sums.items()
    ]


async def collect(frame: Frame, asked: str, until_ns: int, stamp: Stamp) -> StackData:
    """Ask the rooms: two series from the rollups, the rest from memory."""
    house, now = frame.house, frame.house.clock()
    name = asked
    if not any(name == size[0] for size in SIZES):
        day = await house.spans.span_series(since_ns=now - DAY_NS, until_ns=now + 1, bucket_s=600)
        name = asked = fitting(min((b.start_ns for b in day), default=now), now)
    shown = window(name, now, until_ns)
    since, until, cell_s = shown.since_ns, shown.until_ns, shown.cell_s
    scores, everything, own, incidents = await asyncio.gather(
        house.spans.score_series(since_ns=since, until_ns=until, bucket_s=cell_s),
        house.spans.span_series(since_ns=since, until_ns=until, bucket_s=cell_s),
        house.spans.span_series(since_ns=since, until_ns=until, bucket_s=cell_s, project=OWN_PROJECT),
        house.desk.list(limit=20),
    )
    moved = moved_signals(house.watch, incidents)
    return StackData(
        now_ns=now,
        window=shown,
        asked=asked,
        scores=[*scores, *remembered(house.watch, moved, shown)],
        requests=without(everything, own),
        baselines=baselines_of(house.watch, moved),
        incidents=incidents,
        changes=serving(house.registry.changes(since_ns=shown.since_ns, until_ns=shown.until_ns, limit=200)),
        last_changes=house.registry.changes(limit=200),
        pins=pins(house.registry, stamp),
        zone=frame.zone,
        moved=moved,
    )


def serving(changes: Sequence[Change]) -> list[Change]:
    """Without the regression cases that the machine keeps: each incident writes several versions of them, which serve
    nobody, and its timeline tells of them."""
    return [c for c in changes if (c.kind, c.name, c.actor) != ("datasets", DATASET, MACHINE)]


def number(text: str) -> int:
    """A whole number from the address bar; anything else is 0."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


async def stack(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /?w=15m|1h|6h|24h&until=NANOSECONDS``."""
    newest = (await frame.house.spans.query(newest_request())).spans
    if not newest:
        context = start_context(request)
        if wants_fragment(request):
            return frame.fragment("_start.html", **context)
        return frame.page(request, "start.html", title="Start", nav="/", live=True, **context)
    asked, until = request.query_params.get("w", ""), number(request.query_params.get("until", ""))
    data = await collect(frame, asked, until, newest[0].stamp)
    shown = view(data)
    here = f"/?w={asked}" if asked else "/"
    if wants_fragment(request):
        return frame.fragment("_stack.html", view=shown, here=here)
    return frame.page(
        request, "stack.html", title="Stack", nav="/", view=shown, here=here, incidents=list(data.incidents)
    )
