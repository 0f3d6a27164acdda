"""The page of one incident: answer first, evidence in order of strength, one red button."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import Change, Layer, NotFound, Score, Span, TrimtabError
from trimtab.incidents import LIVE, TITLES, Deed, Incident, Offer, Recovery, Wanted, causes, recovered, together
from trimtab.traces import question
from trimtab.watch import Monitor
from trimtab.web import words
from trimtab.web.banner import detail, headline, signal_title
from trimtab.web.changes import cause_name, layer_of, remedy, remedy_effect
from trimtab.web.effects import ArmRow, EffectRow, arm_rows, effect_rows, replays_asked, replays_cost
from trimtab.web.evidence import Comparison, arm_names, cell_seconds, compare, exposed, window_of
from trimtab.web.facts import Facts, facts
from trimtab.web.frame import Frame, actor, wants_fragment
from trimtab.web.pairs import PairRow, pair_rows

#: Scores read per point of the chart, so that an incident of many hours costs as much as one of minutes.
PER_CELL = 100
EXAMPLES = 4
#: Characters of a note.
MOST_NOTED = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A failing answer."""

    trace_id: str
    question: str
    answer: str
    value: str
    reason: str
    pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A change that was looked at and is not the cause."""

    layer: int
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A line of "before you close"."""

    done: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeedRow:
    """An action that was taken; ``back`` says that it can be taken back."""

    deed: Deed
    title: str
    css: str
    back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """Everything that the template draws."""

    incident: Incident
    headline: str
    sentence: str
    facts: Facts
    comparison_title: str
    comparison_sub: str
    comparison: Comparison | None
    with_name: str
    without_name: str
    effects: tuple[EffectRow, ...]
    arms: tuple[ArmRow, ...]
    examples: tuple[Example, ...]
    not_tested: tuple[str, ...]
    cleared: tuple[Cleared, ...]
    monitor: Monitor | None
    remedy: str
    remedy_effect: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    recovered: str
    live: bool
    offers: tuple[Offer, ...]
    deeds: tuple[DeedRow, ...]
    chain: str
    apart: tuple[str, ...]
    beliefs: tuple[tuple[int, str, int], ...]
    replays: str
    more_replays: str
    pairs: tuple[PairRow, ...]


@dataclass(frozen=True, kw_only=True)
class IncidentData:
    """What the rooms said."""

    now_ns: int
    incident: Incident
    change: Change | None
    scores: Sequence[Score]
    roots: Sequence[Span]
    monitor: Monitor | None
    offers: tuple[Offer, ...] = ()
    zone: tzinfo | None = None
    recovery: Recovery | None = None


def view(data: IncidentData) -> IncidentView:
    """Room data to what is drawn. Pure but for the zone of its clock."""
    incident, report = data.incident, data.incident.report
    cause = incident.cause
    live = incident.state in LIVE
    back = data.recovery
    said = recovered(incident.signal, back) if back is not None and back.back else ""
    randomised = cause is not None and cause.randomised
    name = words.version(cause.after) if cause and cause.after else ""
    with_name, without_name = arm_names(cause) if cause else ("with", "without")
    return IncidentView(
        incident=incident,
        headline=headline(incident),
        sentence=detail(incident, data.now_ns),
        facts=facts(data.incident, data.change, data.now_ns, data.zone),
        comparison_title=f"Same minutes, with and without {name}" if randomised else f"Before and with {name}",
        comparison_sub="sessions drew their version at random, so they differ in nothing else"
        if randomised
        else "everybody got it at once, so other things may differ too",
        comparison=_comparison(data),
        with_name=with_name,
        without_name=without_name,
        effects=effect_rows(incident),
        arms=arm_rows(incident),
        examples=_examples(data),
        not_tested=tuple(report.not_tested) if report else (),
        cleared=tuple(
            Cleared(
                layer=layer_of(c), name=cause_name(c), why=c.cleared or "not singled out; fits the timing less well"
            )
            for c in (report.candidates if report else ())
            if c.change_id and c.change_id not in {each.change_id for each in causes(incident)}
        ),
        monitor=data.monitor,
        remedy=remedy(cause) if cause is not None and live else "",
        remedy_effect=remedy_effect(cause, data.change) if cause is not None else (),
        checks=_checks(incident, said),
        recovered=said,
        live=incident.state != "closed",
        offers=data.offers,
        deeds=tuple(_deed_row(deed) for deed in reversed(incident.deeds)),
        chain=together(report) if report is not None else "",
        apart=report.apart if report is not None else (),
        beliefs=tuple(
            (belief.layer, Layer(belief.layer).title, round(100 * belief.belief))
            for belief in (report.layers if report is not None and cause is None else ())
            if belief.belief >= 0.01
        ),
        replays=replays_cost(incident),
        more_replays=replays_asked(incident) if live else "",
        pairs=pair_rows(incident, data.roots),
    )


_DEED_CSS = {"done": "ok", "failed": "bad", "undone": "", "planned": "warn", "undoing": "warn"}


def _deed_row(deed: Deed) -> DeedRow:
    back = deed.state in ("done", "failed") and bool(deed.changes)
    return DeedRow(deed=deed, title=TITLES[deed.action], css=_DEED_CSS[deed.state], back=back)


def _comparison(data: IncidentData) -> Comparison | None:
    cause = data.incident.cause
    if cause is None:
        return None
    marks: list[tuple[int, str, str]] = []
    if data.change is not None:
        out = "seen at the vendor" if data.change.action == "external" else f"{arm_names(cause)[0]} goes out"
        marks.append((data.change.time_ns, out, "cause"))
    if data.incident.alarm_ns:
        marks.append((data.incident.alarm_ns, "alarm", ""))
    if data.incident.mitigated_ns:
        marks.append((data.incident.mitigated_ns, "taken back", ""))
    return compare(
        data.scores,
        cause,
        bounds(data.incident, data.now_ns),
        marks,
        title=signal_title(data.incident.signal),
        zone=data.zone,
    )


def bounds(incident: Incident, now_ns: int) -> tuple[int, int]:
    """The minutes around an incident that its page shows."""
    onset = incident.onset_ns or incident.opened_ns
    end = incident.mitigated_ns or incident.closed_ns
    after = min(now_ns, end + max(15 * words.SECOND, end - onset)) if end else now_ns
    return window_of(onset, after)


def _examples(data: IncidentData) -> tuple[Example, ...]:
    by_trace = {root.trace_id: root for root in data.roots}
    found: dict[str, Example] = {}
    for score in failing(data.incident, data.scores):
        root = by_trace.get(score.trace_id)
        if root is None:
            continue
        asked = words.snippet(question(root.input), 200) or "(no question was recorded)"
        found.setdefault(
            asked,
            Example(
                trace_id=root.trace_id,
                question=asked,
                answer=words.snippet(root.output or root.error, 400) or "(no answer)",
                value=f"{signal_title(score.name)} {words.fixed(score.value)}",
                reason=score.reason,
                pin=words.pin(root.stamp.prompt) if root.stamp.prompt else "",
            ),
        )
    return tuple(found.values())[:EXAMPLES]


def failing(incident: Incident, scores: Sequence[Score]) -> list[Score]:
    """The newest exposed scores below one half, one a trace; more than are shown, for questions repeat."""
    cause = incident.cause
    onset = incident.onset_ns or incident.opened_ns
    found: dict[str, Score] = {}
    for score in sorted(scores, key=lambda s: -s.time_ns):
        low = score.value < 0.5 and score.time_ns >= onset - 60 * words.SECOND
        if low and score.trace_id and (cause is None or exposed(score, cause)):
            found.setdefault(score.trace_id, score)
        if len(found) >= 3 * EXAMPLES:
            break
    return list(found.values())


def _checks(incident: Incident, recovered: str) -> tuple[Check, ...]:
    cases = f"{words.plural(incident.cases, 'regression case')} added to {incident.dataset}"
    return (
        Check(done=bool(recovered), text=recovered or "the signal is back inside its interval"),
        Check(done=incident.cases > 0, text=cases if incident.cases else "regression cases added, or a reason why not"),
        Check(done=bool(incident.lesson), text="cause and lesson, two sentences"),
    )


async def collect(frame: Frame, incident: Incident) -> IncidentData:
    """Ask the rooms for what the page of one incident shows."""
    house, now = frame.house, frame.house.clock()
    since, until = bounds(incident, now)
    cell = cell_seconds(since, until) * words.SECOND
    read = await asyncio.gather(
        *(
            house.spans.scores(
                since_ns=start, until_ns=min(start + cell, until + 1), name=incident.signal, limit=PER_CELL
            )
            for start in range(since, until, cell)
        )
    )
    scores = [score for part in read for score in part]
    if incident.slice:  # the watch may keep rare slices in common, under a name that no score has
        scores = [s for s in scores if s.slice == incident.slice] or scores
    wanted = dict.fromkeys([s.trace_id for s in failing(incident, scores)] + [p.trace_id for p in incident.pairs])
    traces = await asyncio.gather(*(house.spans.trace(trace_id) for trace_id in wanted))
    roots = [next((s for s in t.spans if not s.parent_id), t.spans[0]) for t in traces if t is not None and t.spans]
    cause = incident.cause
    changes = house.registry.changes(limit=1000) if cause is not None and cause.change_id else []
    slices = ("", incident.slice)
    return IncidentData(
        now_ns=now,
        incident=incident,
        change=next((c for c in changes if cause is not None and c.id == cause.change_id), None),
        scores=scores,
        roots=roots,
        monitor=next((m for m in house.watch.monitors if m.signal == incident.signal and m.slice in slices), None),
        offers=house.desk.acts.offers(incident),
        zone=frame.zone,
        recovery=await house.desk.recovery(incident, 0),
    )


async def incident_page(
    request: Request, frame: Frame, *, refused: TrimtabError | None = None, unacted: TrimtabError | None = None
) -> HTMLResponse:
    """``GET /incidents/{id}``; ``?confirm=rollback|close`` shows that form in the page, for those without script."""
    incident = await frame.house.desk.get(incident_id(request))
    shown = view(await collect(frame, incident))
    if wants_fragment(request):
        return frame.fragment("_incident.html", view=shown)
    form = await request.form() if refused is not None else {}
    return frame.page(
        request,
        "incident.html",
        title=f"Incident {incident.id}",
        nav="/incidents",
        incidents=await frame.house.desk.list(limit=50),
        status=next((error.status for error in (refused, unacted) if error is not None), 200),
        unacted=unacted,
        view=shown,
        confirm=request.query_params.get("confirm", "close" if refused is not None else ""),
        refused=refused,
        lesson=str(form.get("lesson", "")),
        reason=str(form.get("reason", "")),
    )


def incident_id(request: Request) -> int:
    """The number in the address. Raises NotFound for anything else."""
    text = str(request.path_params["id"])
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise NotFound(f"There is no incident {text[:40]!r}.", mend="The list shows which there are.")
    return int(text)


async def acknowledge(request: Request, frame: Frame) -> Response:
    """``POST /incidents/{id}/acknowledge``."""
    number = incident_id(request)
    await frame.house.desk.acknowledge(number, actor(request))
    return RedirectResponse(f"/incidents/{number}", status_code=303)


async def rollback(request: Request, frame: Frame) -> Response:
    """``POST /incidents/{id}/rollback``: take the cause back."""
    number = incident_id(request)
    await frame.house.desk.rollback(number, actor(request))
    return RedirectResponse(f"/incidents/{number}", status_code=303)


async def act(request: Request, frame: Frame) -> Response:
    """``POST /incidents/{id}/act`` with ``action``, perhaps ``target`` and ``to``. A refusal is shown on the page."""
    number = incident_id(request)
    form = await request.form()
    wanted = Wanted(**{name: str(form.get(name, "")).strip()[:200] for name in ("action", "target", "to")})
    return await _tried(request, frame, number, frame.house.desk.act(number, wanted, actor(request)), "#acts-h")


async def undo(request: Request, frame: Frame) -> Response:
    """``POST /incidents/{id}/undo`` with ``deed``: take an action back. A refusal is shown on the page."""
    number = incident_id(request)
    deed = str((await request.form()).get("deed", ""))[:100]
    return await _tried(request, frame, number, frame.house.desk.undo(number, deed, actor(request)), "#acts-h")


async def note(request: Request, frame: Frame) -> Response:
    """``POST /incidents/{id}/notes`` with ``text``: a line in the timeline; an empty one adds nothing."""
    number = incident_id(request)
    text = str((await request.form()).get("text", "")).strip()
    if text:
        await frame.house.desk.note(number, "note", actor(request), text[:MOST_NOTED])
    return RedirectResponse(f"/incidents/{number}", status_code=303)


async def resolve(request: Request, frame: Frame) -> Response:
    """``POST /incidents/{id}/resolve`` with ``text``: somebody says that it is over. A refusal is shown on the page."""
    number = incident_id(request)
    text = str((await request.form()).get("text", "")).strip()[:MOST_NOTED]
    return await _tried(request, frame, number, frame.house.desk.resolve(number, actor(request), text))


async def _tried(request: Request, frame: Frame, number: int, step: Awaitable[object], at: str = "") -> Response:
    """The page again after a step; where the desk refuses it, with the refusal on it."""
    try:
        await step
    except NotFound:
        raise
    except TrimtabError as refused:
        return await incident_page(request, frame, unacted=refused)
    return RedirectResponse(f"/incidents/{number}{at}", status_code=303)


async def close(request: Request, frame: Frame) -> Response:
    """``POST /incidents/{id}/close`` with ``lesson`` and ``reason``. What was typed is kept when the desk refuses."""
    number = incident_id(request)
    form = await request.form()
    try:
        await frame.house.desk.close(
            number, actor(request), str(form.get("lesson", "")).strip(), reason=str(form.get("reason", "")).strip()
        )
    except NotFound:
        raise
    except TrimtabError as refused:
        return await incident_page(request, frame, refused=refused)
    return RedirectResponse(f"/incidents/{number}", status_code=303)
