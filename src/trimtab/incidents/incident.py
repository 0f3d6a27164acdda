"""An incident: what broke, since when, because of what, who owns it, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trimtab.attribution import Candidate, Report

State = Literal["open", "acknowledged", "mitigated", "resolved", "closed"]
STATES: tuple[State, ...] = ("open", "acknowledged", "mitigated", "resolved", "closed")

#: Who acts when nobody did: the name in the timeline.
MACHINE = "trimtab"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEvent:
    """One line of the timeline: machine and people in one list.

    ``kind`` is alarm, joined, symptom, reopened, verdict, replay, page, action, cases, acknowledged, escalated,
    rollback, resolved, note or closed.
    """

    time_ns: int
    kind: str
    actor: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Times are nanoseconds since 1970 UTC, 0 where it has not happened.

    ``layer`` is the cause's, None while no cause is known. ``slice`` "" is all slices. ``signals`` are all that fell,
    ``signal`` is the first of them. ``action`` is what the monitor allows: page or rollback. ``traces`` are failing
    requests, newest first: they become cases. ``pending`` says that the machine is not done with it.
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

    @property
    def cause(self) -> Candidate | None:
        """The change that the report blames, None while it blames none."""
        return blamed(self.report) if self.report else None


def blamed(report: Report) -> Candidate | None:
    """The recorded change that a report blames; "no recorded change" and a mere guess are nobody."""
    cause = report.cause
    return cause if cause is not None and cause.change_id and report.certainty != "unknown" else None


def same_cause(one: Candidate, other: Candidate) -> bool:
    """Whether two verdicts blame the same version, whichever step of its way out they name."""
    return (one.kind, one.asset, one.after) == (other.kind, other.asset, other.after)
