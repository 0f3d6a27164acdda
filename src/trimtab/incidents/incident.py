"""An incident: what broke, since when, because of what, who owns it, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trimtab.attribution import Candidate, Report

from .spending import UNSPENT, Spending

State = Literal["open", "acknowledged", "mitigated", "resolved", "closed"]
STATES: tuple[State, ...] = ("open", "acknowledged", "mitigated", "resolved", "closed")
#: States in which nothing has helped yet.
LIVE: tuple[State, ...] = STATES[:2]

#: Who acts when nobody did: the name in the timeline.
MACHINE = "trimtab"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEvent:
    """One line of the timeline: machine and people in one list.

    ``kind`` is alarm, joined, symptom, reopened, verdict, replay, asks, allowed, page, action, contained, undone,
    cases, acknowledged, escalated, burning, rollback, recovered, resolved, note or closed.
    """

    time_ns: int
    kind: str
    actor: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One move of an action: ``label`` of an asset from version ``before`` to ``after``, or the ``rollout`` paused."""

    kind: str
    name: str
    label: str = "production"
    before: int = 0
    after: int = 0
    rollout: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An action that was taken, written down before it begins, so that a crash neither loses it nor repeats it.

    ``state`` is planned (it may be half done), done, failed, undoing or undone. ``mends`` says that the harm ends with
    it; a pause only keeps it from growing. ``changes`` are the changes of the ledger that it made; each of them has
    ``id`` in its note. ``undone_by`` is who takes it back, or did.
    """

    id: str
    action: str
    actor: str
    time_ns: int
    text: str = ""
    state: str = "planned"
    mends: bool = True
    steps: tuple[Step, ...] = ()
    changes: tuple[str, ...] = ()
    undone_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A request that failed, asked again twice: ``before`` is what was answered with nothing changed, which failed
    again, ``after`` with ``restored`` put back, which passed."""

    trace_id: str
    restored: str
    layer: int | None
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Times are nanoseconds since 1970 UTC, 0 where it has not happened.

    ``layer`` is the cause's, None while no cause is known. ``slice`` "" is all slices. ``signals`` are all that fell,
    ``signal`` is the first of them. ``action`` is what the monitor allows, one of ``watch.ACTIONS``. ``traces`` are
    failing requests, newest first: they become cases. ``pending`` says that the machine is not done with it. ``deeds``
    are the actions that were taken, oldest first. ``replay`` is what its replays cost and may cost, ``pairs``
    are the first requests that they mended. ``models`` are those in whose answers alone an alarm saw the fall.
    """

    id: int
    opened_ns: int
    signal: str
    owner: str
    title: str
    closed_ns: int = 0
    state: State = "open"
    severity: int = 3
    slice: str = ""
    layer: int | None = None
    acknowledged_by: str = ""
    report: Report | None = None
    signals: tuple[str, ...] = ()
    events: tuple[IncidentEvent, ...] = ()
    dataset: str = ""
    cases: int = 0
    lesson: str = ""
    onset_ns: int = 0
    alarm_ns: int = 0
    verdict_ns: int = 0
    mitigated_ns: int = 0
    action: str = "page"
    runbook: str = ""
    traces: tuple[str, ...] = ()
    pending: bool = False
    deeds: tuple[Deed, ...] = ()
    replay: Spending = UNSPENT
    pairs: tuple[Pair, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def unfinished(self) -> bool:
        """Whether an action was begun and its end is not written down: a crash came between."""
        return any(deed.state in ("planned", "undoing") for deed in self.deeds)

    @property
    def since_ns(self) -> int:
        """When this bout of the incident began: it was opened, or opened again."""
        again = [event.time_ns for event in self.events if event.kind == "reopened"]
        return again[-1] if again else self.opened_ns

    @property
    def still_ns(self) -> int:
        """Since when nothing new was heard of it: its remedy, or the last alarm."""
        told = [event.time_ns for event in self.events if event.kind in ("alarm", "joined", "reopened")]
        return self.mitigated_ns or max(told, default=self.opened_ns)

    @property
    def cause(self) -> Candidate | None:
        """The change that the report blames, None while it blames none."""
        return blamed(self.report) if self.report else None


def blamed(report: Report) -> Candidate | None:
    """The recorded change that a report blames; "no recorded change" and a mere guess are nobody."""
    cause = report.cause
    return cause if cause is not None and cause.change_id and report.certainty != "unknown" else None


def causes(incident: Incident) -> tuple[Candidate, ...]:
    """Every change that is blamed, the first one first; empty while none is."""
    cause, report = incident.cause, incident.report
    return (cause, *report.also) if cause is not None and report is not None else ()


def same_cause(one: Candidate, other: Candidate) -> bool:
    """Whether two verdicts blame the same version, whichever step of its way out they name."""
    return (one.kind, one.asset, one.after) == (other.kind, other.asset, other.after)
