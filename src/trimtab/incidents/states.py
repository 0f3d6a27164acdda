"""What may happen to an incident: open -> acknowledged -> mitigated -> resolved -> closed. Pure; every step adds an
event of its own.

The machine may mitigate what nobody has acknowledged yet; acknowledging afterwards says who looks at it and changes no
state. It is resolved when its signal is back. A closed incident changes in one way only: when the same failure comes
again, it is open again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from trimtab.attribution import Candidate, Report
from trimtab.core import BadInput, Conflict, Layer
from trimtab.watch import SIGNALS, Alarm, Monitor, Silence

from . import sentences
from .incident import MACHINE, Deed, Incident, IncidentEvent, Pair, State, blamed, same_cause

MAX_TRACES = 50
#: Requests of which it is shown how they are answered before and after.
MAX_PAIRS = 5
SILENT_RUNBOOK = (
    "Look at what makes this signal: the judge's model and budget, the scorer's errors, the route that feeds it."
)
_CERTAINTY = ("unknown", "likely", "proven")


def noted(incident: Incident, kind: str, actor: str, text: str, now_ns: int) -> Incident:
    """The incident with one more line in its timeline."""
    event = IncidentEvent(time_ns=now_ns, kind=kind, actor=actor, text=text)
    return replace(incident, events=(*incident.events, event))


def opened(alarm: Alarm, report: Report, traces: Iterable[str], dataset: str, now_ns: int) -> Incident:
    """A new incident, not yet numbered, with its alarm and first verdict."""
    incident = Incident(
        id=0,
        opened_ns=now_ns,
        severity=alarm.monitor.severity,
        signal=alarm.signal,
        slice=alarm.slice,
        owner=alarm.monitor.owner,
        title=sentences.title(report),
        signals=(alarm.signal,),
        dataset=dataset,
        onset_ns=alarm.onset_ns,
        alarm_ns=alarm.time_ns,
        action=alarm.monitor.action,
        runbook=alarm.monitor.runbook,
        traces=tuple(traces)[:MAX_TRACES],
        models=_models(alarm),
        pending=True,
    )
    incident = noted(incident, "alarm", MACHINE, sentences.alarm(alarm), now_ns)
    return judged(incident, report, now_ns)


def _models(alarm: Alarm) -> tuple[str, ...]:
    return (alarm.model,) if alarm.model else ()


def silenced(silence: Silence, monitor: Monitor, now_ns: int) -> Incident:
    """A new incident, not yet numbered: a monitor that stopped receiving. Nobody can say what broke, only that nobody
    would hear of it."""
    title = sentences.silent(silence)
    incident = Incident(
        id=0,
        opened_ns=now_ns,
        severity=min(2, monitor.severity),
        signal=silence.signal,
        owner=monitor.owner,
        title=title,
        signals=(silence.signal,),
        layer=Layer.OPERATIONS,
        onset_ns=silence.last_ns,
        alarm_ns=now_ns,
        action="page",
        runbook=SILENT_RUNBOOK,
    )
    return noted(incident, "alarm", MACHINE, title, now_ns)


def burnt(monitor: Monitor, text: str, severity: int, now_ns: int) -> Incident:
    """A new incident, not yet numbered: an objective is missed so fast that somebody has to look, and no fall from what
    is usual explains it."""
    known = SIGNALS.get(monitor.signal)
    incident = Incident(
        id=0,
        opened_ns=now_ns,
        severity=min(severity, monitor.severity),
        signal=monitor.signal,
        slice=monitor.slice,
        owner=monitor.owner,
        title=f"{known.title if known else monitor.signal}: {text}",
        signals=(monitor.signal,),
        onset_ns=now_ns,
        alarm_ns=now_ns,
        action="page",
        runbook=monitor.runbook,
    )
    return noted(incident, "alarm", MACHINE, text, now_ns)


def burning(incident: Incident, text: str, severity: int, now_ns: int) -> Incident:
    """The budget burns: as severe as that, and never milder than it was."""
    if incident.state == "closed" or incident.severity <= severity:
        return incident
    incident = replace(incident, severity=severity)
    return noted(incident, "burning", MACHINE, f"severity {severity}: {text}", now_ns)


def joined(incident: Incident, alarm: Alarm, report: Report, traces: Iterable[str], now_ns: int) -> Incident:
    """Another alarm of the same failure. A better verdict on it replaces the one there is."""
    _refuse_closed(incident)
    more = dict.fromkeys((*incident.traces, *traces))
    signals = tuple(dict.fromkeys((*incident.signals, alarm.signal)))
    incident = replace(
        incident,
        signals=signals,
        severity=min(incident.severity, alarm.monitor.severity),
        onset_ns=min(incident.onset_ns or alarm.onset_ns, alarm.onset_ns),
        traces=tuple(more)[:MAX_TRACES],
        models=tuple(dict.fromkeys((*incident.models, *_models(alarm)))),
        pending=True,
    )
    incident = noted(incident, "joined", MACHINE, sentences.alarm(alarm), now_ns)
    if _better(report, incident.report):
        return judged(incident, report, now_ns)
    richer = _with_more(incident.report, report)
    return judged(incident, richer, now_ns) if richer is not None else incident


def judged(incident: Incident, report: Report, now_ns: int) -> Incident:
    """The incident with a verdict: its cause, its layer, its title."""
    _refuse_closed(incident)
    cause = blamed(report)
    incident = replace(
        incident,
        report=report,
        title=sentences.title(report),
        layer=report.layer,
        verdict_ns=_since(incident, cause, now_ns),
    )
    return noted(incident, "verdict", MACHINE, sentences.verdict(report), now_ns)


def replayed(incident: Incident, report: Report, now_ns: int) -> Incident:
    """The report with its replay arms, and the verdict anew where they changed it."""
    _refuse_closed(incident)
    old = incident.report
    incident = noted(incident, "replay", MACHINE, sentences.replayed(report.arms), now_ns)
    if old is None or (old.cause, old.certainty) != (report.cause, report.certainty):
        return judged(incident, report, now_ns)
    return replace(incident, report=report)


def paired(incident: Incident, pairs: Sequence[Pair]) -> Incident:
    """With the first requests that replays mended; those that were found before stay."""
    known = {pair.trace_id for pair in incident.pairs}
    more = [pair for pair in pairs if pair.trace_id not in known]
    return replace(incident, pairs=(*incident.pairs, *more)[:MAX_PAIRS]) if more else incident


def forgotten(incident: Incident, traces: Collection[str]) -> Incident:
    """Without what is kept of the texts of these requests: somebody had them deleted."""
    kept = tuple(pair for pair in incident.pairs if pair.trace_id not in traces)
    return replace(incident, pairs=kept) if len(kept) < len(incident.pairs) else incident


def spent(incident: Incident, calls: int, usd: float, unpriced: int) -> Incident:
    """So many more calls of models were made for its replays, at about so many US dollars."""
    return replace(incident, replay=incident.replay.spent(calls, usd, unpriced)) if calls else incident


def asks(incident: Incident, wanted: int, now_ns: int) -> Incident:
    """The question whether so many calls more may be made; it is asked once, and not while an answer is acted on."""
    known = incident.replay
    if incident.state == "closed" or known.wanted or known.resume:
        return incident
    incident = replace(incident, replay=known.asking(wanted))
    return noted(incident, "asks", MACHINE, sentences.asks(incident.replay), now_ns)


def allowed(incident: Incident, actor: str, calls: int, now_ns: int) -> Incident:
    """Somebody allows more calls (0: as many as are asked for). Raises BadInput without a name and for a number out of
    range, Conflict when the incident is closed."""
    _refuse_closed(incident)
    if not actor.strip():
        raise BadInput("Nobody allows it.", field="actor", mend="Say who you are.")
    before, after = incident.replay, incident.replay.consented(calls)
    text = sentences.allowed(actor, after.allowed - max(before.allowed, before.calls), before)
    return noted(replace(incident, replay=after), "allowed", actor, text, now_ns)


def resumed(incident: Incident, allowed: int) -> Incident:
    """The replays went on as somebody allowed, up to ``allowed`` calls; where more was allowed since, they have yet to
    go on."""
    known = incident.replay
    return replace(incident, replay=replace(known, resume=False)) if known.allowed == allowed else incident


def settled(incident: Incident) -> Incident:
    """The machine is done with it for now."""
    return replace(incident, pending=False)


def check_mitigable(incident: Incident, now_ns: int) -> None:
    """Raises Conflict when the incident is closed or was mitigated already: nothing is done twice."""
    _refuse_closed(incident)
    if incident.mitigated_ns:
        ago = sentences.duration(now_ns - incident.mitigated_ns)
        who = next((e.actor for e in reversed(incident.events) if e.kind in ("action", "rollback")), MACHINE)
        mend = "Nothing has to be done twice; roll the asset itself back to go further."
        raise Conflict(f"Incident {incident.id} was mitigated {ago} ago by {who}.", field="id", mend=mend)


def check_open(incident: Incident) -> None:
    """Raises Conflict when the incident is closed."""
    _refuse_closed(incident)


def mitigated(incident: Incident, actor: str, text: str, now_ns: int, *, action: str = "rollback") -> Incident:
    """The harm has ended: the cause was taken back, or somebody went around it. Raises what ``check_mitigable``
    raises."""
    check_mitigable(incident, now_ns)
    kind = "rollback" if actor != MACHINE and action == "rollback" else "action"
    return noted(replace(incident, state="mitigated", mitigated_ns=now_ns), kind, actor, text, now_ns)


def with_deed(incident: Incident, deed: Deed) -> Incident:
    """The incident with this action as it stands; one that is new comes last."""
    if all(known.id != deed.id for known in incident.deeds):
        return replace(incident, deeds=(*incident.deeds, deed))
    return replace(incident, deeds=tuple(deed if known.id == deed.id else known for known in incident.deeds))


def planned(incident: Incident, deed: Deed) -> Incident:
    """An action is about to begin. Raises Conflict when the incident is closed, or another action is under way."""
    _refuse_closed(incident)
    if incident.unfinished:
        mend = "Wait until it has ended."
        raise Conflict(f"Another action of incident {incident.id} is under way.", field="id", mend=mend)
    return with_deed(incident, deed)


def acted(incident: Incident, deed: Deed, now_ns: int) -> Incident:
    """An action has ended, done or failed. What mends ends the harm; a pause keeps it from growing."""
    incident = with_deed(incident, deed)
    if deed.state != "done":
        return incident
    if not deed.mends:
        return noted(incident, "contained", deed.actor, deed.text, now_ns)
    if incident.mitigated_ns or incident.state == "closed":
        return noted(incident, "action", deed.actor, deed.text, now_ns)
    return mitigated(incident, deed.actor, deed.text, now_ns, action=deed.action)


def undone(incident: Incident, deed: Deed, text: str, now_ns: int) -> Incident:
    """An action was taken back. Where nothing else mends, the incident is open again."""
    incident = with_deed(incident, deed)
    mends = any(d.state == "done" and d.mends and d.time_ns >= incident.since_ns for d in incident.deeds)
    if deed.mends and not mends and incident.state in ("mitigated", "resolved"):
        back: State = "acknowledged" if incident.acknowledged_by else "open"
        incident = replace(incident, state=back, mitigated_ns=0)
    return noted(incident, "undone", deed.undone_by, text, now_ns)


def with_cases(incident: Incident, cases: int, now_ns: int) -> Incident:
    """The failing requests are kept in the dataset."""
    if cases == incident.cases:
        return incident
    text = sentences.cases(cases, incident.dataset)
    return noted(replace(incident, cases=cases), "cases", MACHINE, text, now_ns)


def resolved(incident: Incident, actor: str, text: str, now_ns: int) -> Incident:
    """The signal is back, as the machine measured or as somebody says. Raises Conflict when it is over already,
    BadInput without a name or words."""
    _refuse_closed(incident)
    if incident.state == "resolved":
        raise Conflict(f"Incident {incident.id} is resolved already.", field="id", mend="Close it with its lesson.")
    for value, field, mend in ((actor, "actor", "Say who you are."), (text, "text", "Say how you know.")):
        if not value.strip():
            raise BadInput("An incident is resolved by somebody who says why.", field=field, mend=mend)
    incident = replace(incident, state="resolved", mitigated_ns=incident.mitigated_ns or now_ns, pending=False)
    return noted(incident, "resolved", actor, text.strip(), now_ns)


def open_again(incident: Incident, severity: int, onset_ns: int, alarm_ns: int) -> Incident:
    """Open and unacknowledged, never milder than it was, and with a bound of its own for the replays of this bout."""
    return replace(
        incident,
        state="open",
        acknowledged_by="",
        closed_ns=0,
        mitigated_ns=0,
        verdict_ns=0,
        severity=min(incident.severity, severity),
        onset_ns=onset_ns,
        alarm_ns=alarm_ns,
        replay=incident.replay.renewed(),
        pairs=(),
    )


def reopened(incident: Incident, alarm: Alarm, report: Report, traces: Iterable[str], now_ns: int) -> Incident:
    """The same failure again: open, unacknowledged, with its history, and everything measured anew."""
    ended = incident.closed_ns or incident.mitigated_ns
    ago = f", {sentences.duration(now_ns - ended)} after it was {incident.state}" if ended else ""
    incident = replace(
        open_again(incident, alarm.monitor.severity, alarm.onset_ns, alarm.time_ns),
        signals=tuple(dict.fromkeys((*incident.signals, alarm.signal))),
        traces=tuple(traces)[:MAX_TRACES],
        models=_models(alarm),
        pending=True,
    )
    incident = noted(incident, "reopened", MACHINE, f"the same again{ago}: {sentences.alarm(alarm)}", now_ns)
    return judged(incident, report, now_ns)


def acknowledged(incident: Incident, actor: str, now_ns: int) -> Incident:
    """Somebody is on it. Raises Conflict when somebody else already is, BadInput without a name."""
    _refuse_closed(incident)
    if not actor.strip():
        raise BadInput("Nobody acknowledges.", field="actor", mend="Say who you are.")
    if incident.acknowledged_by:
        mend = "Talk to them; an incident is acknowledged once."
        raise Conflict(
            f"{incident.acknowledged_by} acknowledged incident {incident.id} already.", field="id", mend=mend
        )
    state = "acknowledged" if incident.state == "open" else incident.state
    incident = replace(incident, state=state, acknowledged_by=actor)
    return noted(incident, "acknowledged", actor, f"acknowledged by {actor}", now_ns)


def closed(incident: Incident, actor: str, lesson: str, reason: str, now_ns: int, *, watched: bool = True) -> Incident:
    """The end. Raises BadInput without a lesson; Conflict, unless a reason is written, when no failing request became
    a case, nothing mitigated it, or no monitor would see it again (``watched``).
    """
    _refuse_closed(incident)
    if not lesson.strip():
        mend = "Write what was learnt, in a sentence or two."
        raise BadInput("An incident closes with a lesson.", field="lesson", mend=mend)
    if not reason.strip():
        for fails, why in (
            (incident.cases == 0, "none of its failing requests is a regression case"),
            (not incident.mitigated_ns, "nothing has mitigated it"),
            (not watched, f"no monitor of {incident.signal} would see it again"),
        ):
            if fails:
                mend = "Do that first, or write the reason why it may close."
                raise Conflict(f"Incident {incident.id} cannot close: {why}.", field="reason", mend=mend)
    text = f"closed by {actor}: {lesson.strip()}" + (f" (reason: {reason.strip()})" if reason.strip() else "")
    incident = replace(incident, state="closed", closed_ns=now_ns, lesson=lesson.strip(), pending=False)
    return noted(incident, "closed", actor, text, now_ns)


def _since(incident: Incident, cause: Candidate | None, now_ns: int) -> int:
    """When this very cause was first named."""
    if cause is None:
        return 0
    known = incident.cause
    return incident.verdict_ns if known is not None and same_cause(known, cause) else now_ns


def _better(new: Report, old: Report | None) -> bool:
    if old is None:
        return True
    was, found = blamed(old), blamed(new)
    if was is not None and (found is None or not same_cause(found, was)):
        return False
    if old.cause is None and found is not None:  # one that left the change open may be as sure, of the layer
        return True
    return _CERTAINTY.index(new.certainty) > _CERTAINTY.index(old.certainty)


def _with_more(old: Report | None, new: Report) -> Report | None:
    """The verdict there is, with the causes that a new one of the same first cause found beside it; None for none."""
    if old is None or old.cause is None or new.cause is None or old.together not in ("", "beside"):
        return None
    if not new.also or not same_cause(old.cause, new.cause) or new.together != "beside":
        return None
    fresh = [each for each in new.also if not any(same_cause(each, known) for known in (old.cause, *old.also))]
    return old.evolve(also=(*old.also, *fresh), together="beside") if fresh else None


def _refuse_closed(incident: Incident) -> None:
    if incident.state == "closed":
        mend = "When the same failure comes again, it opens again."
        raise Conflict(f"Incident {incident.id} is closed.", field="id", mend=mend)
