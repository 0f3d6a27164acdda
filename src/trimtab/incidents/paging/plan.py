"""Which notices an event leads to, when they are due, and who is told next. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab.incidents.incident import MACHINE, Incident, IncidentEvent

from .channels import Rota

#: Events of the timeline that people are told of, and what they mean to a paging service.
TOLD = {
    "alarm": "opened",
    "reopened": "opened",
    "verdict": "update",
    "page": "update",
    "escalated": "opened",
    "burning": "opened",
    "undone": "opened",
    "contained": "update",
    "action": "mitigated",
    "rollback": "mitigated",
    "acknowledged": "acknowledged",
    "resolved": "mitigated",
    "closed": "closed",
}
#: Severities that wake people: the two worst.
WAKES = 2
_NS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to one owner by one channel. ``phase`` is opened, update, mitigated, acknowledged or closed.

    ``event`` is the number of the event that it tells of: the same event is told once by each channel.
    """

    incident: int
    event: int
    channel: str
    owner: str
    phase: str
    text: str
    due_ns: int


def planned(seq: int, event: IncidentEvent, incident: Incident, rota: Rota, now_ns: int) -> Iterator[Notice]:
    """The notices of one event. Nobody is told of what they did themselves."""
    phase = TOLD.get(event.kind)
    if phase is None:
        return
    owners = rota.chain(incident.owner)
    reached = _escalations(incident, seq, event)
    told = owners[reached : reached + 1] if event.kind == "escalated" else owners[: reached + 1]
    seen: set[str] = set()
    for owner in told:
        if owner == event.actor:
            continue
        for channel in rota.person(owner).channels:
            if channel in rota.channels and channel not in seen:
                seen.add(channel)
                yield Notice(
                    incident=incident.id,
                    event=seq,
                    channel=channel,
                    owner=owner,
                    phase=phase,
                    text=event.text,
                    due_ns=due_ns(owner, incident.severity, phase, rota, now_ns),
                )


def due_ns(owner: str, severity: int, phase: str, rota: Rota, now_ns: int) -> int:
    """When a notice goes out. In quiet hours only what is severe and new does not wait for the morning."""
    quiet = rota.person(owner).quiet
    if quiet is None or (severity <= WAKES and phase == "opened"):
        return now_ns
    return quiet.until_ns(now_ns) or now_ns


def escalated_to(incident: Incident, rota: Rota, now_ns: int) -> str:
    """Who is told now because nobody acknowledged; empty while it is not time, or when nobody is left.

    Only incidents of the severities that wake people, which nobody acknowledged and nothing mitigated.
    """
    if incident.state != "open" or incident.acknowledged_by or incident.severity > WAKES:
        return ""
    bout = [event for event in incident.events if event.time_ns >= incident.since_ns]
    steps = [event.time_ns for event in bout if event.kind == "escalated"]
    # Who was told of a mild incident by day is not late with one that has just become severe.
    severe = [event.time_ns for event in bout if event.kind == "burning"]
    since = max((incident.since_ns, *steps, *severe))
    chain = rota.chain(incident.owner)
    if now_ns - since < rota.escalate_after_s * _NS or len(steps) + 1 >= len(chain):
        return ""
    return chain[len(steps) + 1]


def escalation(owner: str, after_s: float) -> IncidentEvent:
    """The line that an escalation adds to the timeline; its time is set where it is added."""
    minutes = f"{after_s / 60:g} min" if after_s >= 60 else f"{after_s:g} s"
    return IncidentEvent(
        time_ns=0, kind="escalated", actor=MACHINE, text=f"nobody acknowledged within {minutes}: {owner} is told"
    )


def _escalations(incident: Incident, seq: int, event: IncidentEvent) -> int:
    """How far along the chain the word had gone when the event happened; one that comes back begins anew."""
    before = [e for e in incident.events if e.time_ns <= event.time_ns]
    again = max((at for at, e in enumerate(before) if e.kind == "reopened"), default=0)
    return sum(e.kind == "escalated" for e in before[again:])
