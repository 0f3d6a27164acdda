"""Monitors: what is watched, by whom, what an alarm leads to, and what falls would be seen now."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import BadInput, TrimtabError
from trimtab.incidents import LIVE, Incident, MonitorRow, SliceSight, row_of, rows, sights
from trimtab.watch import FALLS, Trial, Watch, is_score, signal_of
from trimtab.web import monitorform, words
from trimtab.web.banner import headline, signal_title
from trimtab.web.frame import Frame, actor
from trimtab.web.trend import Part, Trend, trend

#: Hours that the plot shows, and seconds of one of its cells.
HOURS, CELL_S = 6, 300
#: Hours that a trial looks back, as the page offers them.
TRIALS = (24, 168, 720)
STATE_CSS = {"alarm": "bad", "silent": "bad", "watching": "ok", "gathering": "", "idle": "", "off": "", "replaced": ""}
#: Incidents that are looked through.
_LOOKED_AT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A monitor in the list. ``needed`` is the evidence that its alarm takes; empty where nothing watches."""

    row: MonitorRow
    title: str
    href: str
    css: str
    percent: int
    evidence: str
    needed: str
    limit: str
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SightLine:
    """A slice on the page of a monitor: its reference, its evidence, and how soon it would see each of FALLS."""

    name: str
    n: str
    usual: str
    bound: str
    percent: int
    evidence: str
    falls: tuple[str, ...]
    smallest: str


def line(row: MonitorRow, now_ns: int) -> Line:
    """One monitor as the list shows it."""
    monitor = row.entry.monitor
    return Line(
        row=row,
        title=signal_title(monitor.signal),
        href=f"/monitors/{quote(monitor.name, safe='')}",
        css=STATE_CSS[row.state],
        percent=round(100 * row.share),
        evidence=words.evidence(row.e_value) if row.e_value > 1 else "none",
        needed=words.needed(row.standing.threshold) if row.standing is not None else "",
        limit=monitorform.limit_of(monitor),
        last=words.ago(row.alarm_ns, now_ns) if row.alarm_ns else "never",
    )


def sight_line(sight: SliceSight, threshold: float) -> SightLine:
    """One slice, whose alarm takes so much evidence."""
    part = sight.standing
    share = max(0.0, min(1.0, math.log(part.e_value) / math.log(threshold))) if part.e_value > 1 else 0.0
    soon = {one.fall: one.requests for one in sight.sees}
    return SightLine(
        name=part.slice or "no slice",
        n=words.count(part.n),
        usual=words.fixed(part.mean, 3),
        bound=words.fixed(part.low, 3),
        percent=round(100 * share),
        evidence=words.evidence(part.e_value) if part.e_value > 1 else "none",
        falls=tuple(words.count(found) if (found := soon.get(fall)) is not None else "not seen" for fall in FALLS),
        smallest=f"{words.fixed(sight.smallest * 100, 1)} points" if sight.smallest is not None else "none",
    )


async def monitors(request: Request, frame: Frame, refused: TrimtabError | None = None) -> HTMLResponse:
    """``GET /monitors``; ``?form=new`` shows the form for a new one."""
    house = frame.house
    incidents = await house.desk.list(limit=_LOOKED_AT)
    entries = house.monitors.entries
    found = [line(row, house.clock()) for row in rows(house.monitors, house.watch, incidents)]
    form = await request.form() if refused is not None else {}
    return frame.page(
        request, "monitors.html", title="Monitors", nav="/monitors", incidents=incidents, rows=found,
        watching=sum(not entry.off for entry in entries), per=house.watch.false_alarms_per,
        without_action=without_action(incidents), unreached=[
            found_line for found_line in found
            if not found_line.row.entry.off and found_line.row.entry.monitor.action != "note"
            and not house.reaches(found_line.row.entry.monitor.owner)
        ], form=refused is not None or request.query_params.get("form", "") == "new", refused=refused,
        typed=monitorform.as_typed(form, monitorform.typed(None)),
        choices=monitorform.choices(await house.online.score_names()),
        status=refused.status if refused else 200,
    )  # fmt: skip


def without_action(incidents: Sequence[Incident]) -> list[tuple[int, str, str]]:
    """Alarms that nobody acted on: incidents that are open and that nobody acknowledged. Number, words, owner."""
    return [(i.id, headline(i), i.owner) for i in incidents if i.state == "open" and not i.acknowledged_by]


async def monitor(request: Request, frame: Frame, refused: TrimtabError | None = None) -> HTMLResponse:
    """``GET /monitors/{name}``; ``?confirm=remove`` asks, ``?test=24`` tries it on the last hours."""
    house, name = frame.house, str(request.path_params["name"])
    incidents = await house.desk.list(limit=_LOOKED_AT)
    row = row_of(house.monitors, house.watch, incidents, name)
    known = row.entry.monitor
    form = await request.form() if refused is not None else {}
    return frame.page(
        request, "monitor.html", title=f"Monitor {name}", nav="/monitors", incidents=incidents,
        line=line(row, house.clock()), m=known, signal=signal_of(known.signal), row=row,
        sights=[sight_line(sight, row.standing.threshold) for sight in sights(row)] if row.standing else [],
        fall_names=[f"{100 * fall:.0f} points" for fall in FALLS],
        gathering=sorted((row.standing.gathering if row.standing else {}).items()),
        trend=await _trend(frame, row, incidents), hours=HOURS, trials=TRIALS, trial=await _trial(request, frame, row),
        own=[(i, headline(i)) for i in incidents if i.state in LIVE and known.signal in i.signals],
        reached=house.reaches(known.owner), confirm=request.query_params.get("confirm", ""), refused=refused,
        typed=monitorform.as_typed(form, monitorform.typed(known)),
        choices=monitorform.choices([known.signal, *await house.online.score_names()]),
        history=house.registry.versions("monitors", name, newest=10) if row.entry.number else [],
        status=refused.status if refused else 200, saved=request.query_params.get("saved", "")[:10],
    )  # fmt: skip


async def make(request: Request, frame: Frame) -> Response:
    """``POST /monitors``: a new monitor. What was typed is kept when it is refused."""
    form = await request.form()
    try:
        made = monitorform.read(form, None)
        await frame.house.monitors.save(made, actor=actor(request), note="made on the page", new=True)
    except TrimtabError as refused:
        return await monitors(request, frame, refused)
    return RedirectResponse(f"/monitors/{quote(made.name, safe='')}?saved=1", status_code=303)


async def step(request: Request, frame: Frame) -> Response:
    """``POST /monitors/{name}/{step}``: edit or remove."""
    name, what = str(request.path_params["name"]), str(request.path_params["step"])
    book = frame.house.monitors
    known = book.find(name).monitor
    try:
        if what == "edit":
            changed = monitorform.read(await request.form(), known)
            await book.save(changed, actor=actor(request), note="changed on the page")
        elif what == "remove":
            await book.remove(name, actor=actor(request), note="turned off on the page")
        else:
            raise BadInput(f"There is no step {what[:40]!r}.", field="step", mend="Edit it or remove it.")
    except TrimtabError as refused:
        return await monitor(request, frame, refused)
    return RedirectResponse(f"/monitors/{quote(name, safe='')}?saved=1", status_code=303)


async def _trial(request: Request, frame: Frame, row: MonitorRow) -> Trial | None:
    asked = request.query_params.get("test", "")
    if asked not in {str(hours) for hours in TRIALS}:
        return None
    return await frame.house.monitors.trial(row.entry.monitor, float(asked))


async def _trend(frame: Frame, row: MonitorRow, incidents: Sequence[Incident]) -> Trend | None:
    house, monitor = frame.house, row.entry.monitor
    cell = CELL_S * words.SECOND
    until = -(-house.clock() // cell) * cell
    since = until - HOURS * 3600 * words.SECOND
    if is_score(monitor.signal):
        found = await house.spans.score_series(since_ns=since, until_ns=until, bucket_s=CELL_S, project=monitor.project)
        wanted = [b for b in found if b.name == monitor.signal and monitor.slice in ("", b.slice)]
        sums = [(b.start_ns, b.n, b.total) for b in wanted]
    else:
        sums = _seen(house.watch, row, cell)
    cells: dict[int, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for start, n, total in sums:
        was = cells[start]
        cells[start] = was[0] + n, was[1] + total
    levels = []
    if row.n:
        usual = sum(part.mean * part.n for part in row.slices) / row.n
        bound = sum(part.low * part.n for part in row.slices) / row.n
        levels = [(usual, "usual", ""), (bound, "bet against", "note")]
    alarms = [
        event.time_ns
        for i in incidents
        for event in i.events
        if event.kind in ("alarm", "joined", "reopened") and monitor.signal in i.signals
    ]
    return trend(
        [Part(start_ns=start, n=n, total=total) for start, (n, total) in cells.items()], (since, until), cell,
        title=signal_title(monitor.signal), levels=levels, alarms=alarms, zone=frame.zone,
    )  # fmt: skip


def _seen(watch: Watch, row: MonitorRow, cell: int) -> list[tuple[int, int, float]]:
    """A measured signal is in no score: what the watch remembers of it, 1 inside its usual band and 0 outside."""
    if row.standing is None:
        return []
    observations, _ = watch.evidence(row.standing.signal, row.entry.monitor.slice)
    return [(seen.time_ns // cell * cell, 1, seen.value) for seen in observations]
