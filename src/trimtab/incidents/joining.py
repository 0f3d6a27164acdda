"""Which incident an alarm belongs to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.attribution import Report
from trimtab.watch import Alarm

from .incident import Incident, blamed, causes, same_cause

#: Scores of requests served before a rollback arrive after it; a fall that starts later than this is a new failure.
GRACE_NS = 60 * 10**9
#: Unexplained falls that start this close together are one failure until shown otherwise.
NEAR_NS = 300 * 10**9
#: The belief in an incident's cause with which an alarm that nothing explains for sure joins it, and by how many times
#: it must be likelier than that no change did it.
MAY_BE, MORE_THAN_NONE = 0.2, 2.0
#: A failure that comes back within this time is the same incident again; later it is a new one.
REPEAT_NS = 30 * 86_400 * 10**9


def choose(live: Sequence[Incident], alarm: Alarm, report: Report) -> Incident | None:
    """The incident to join, None for a new one.

    One with the same cause comes first, be it the first or the second of a pair. Else, an alarm of a signal that an
    unexplained incident already has; and an alarm that nothing explains where the cause of an incident under way
    explains it better than no change does, or that began together with an unexplained one. Two explanations stay two
    incidents, and so do two layers of which each is likely.
    """
    under_way = [i for i in sorted(live, key=lambda i: i.id, reverse=True) if _under_way(i, alarm)]
    cause = blamed(report)
    if cause is not None:
        for incident in under_way:
            if any(same_cause(cause, known) for known in causes(incident)):
                return incident
    for incident in under_way:
        if incident.cause is None and alarm.signal in incident.signals:
            return incident
    if cause is None:
        for incident in under_way:
            near = incident.cause is None and abs(alarm.onset_ns - incident.onset_ns) <= NEAR_NS
            if (near and not _of_two_layers(report, incident)) or _may_be(report, incident):
                return incident
    return None


def _of_two_layers(report: Report, incident: Incident) -> bool:
    """Whether both verdicts claim a layer, and not the same one."""
    known = incident.report.claimed if incident.report is not None else None
    return None not in (known, report.claimed) and known != report.claimed


def _may_be(report: Report, incident: Incident) -> bool:
    """Whether what is blamed for the incident moved this signal too: its alarm alone would not say so, but whom the
    change reached explains the fall better than that no change did it. Else a harmless change with an incident of its
    own would swallow a failure that nobody recorded."""
    none = max((c.posterior for c in report.candidates if not c.change_id), default=0.0)
    return any(
        candidate.posterior >= max(MAY_BE, MORE_THAN_NONE * none)
        and not candidate.cleared
        and same_cause(candidate, known)
        for candidate in report.candidates
        for known in causes(incident)
    )


def repeated(known: Sequence[Incident], alarm: Alarm, report: Report) -> Incident | None:
    """The incident that was over and has come back: the newest with the same cause, or, where neither has one, of the
    same signal and slice. None when the failure is new."""
    cause = blamed(report)
    for incident in sorted(known, key=lambda i: i.id, reverse=True):
        over = incident.closed_ns or incident.mitigated_ns
        if not over or not 0 < alarm.onset_ns - over <= REPEAT_NS:
            continue
        if cause is not None and incident.cause is not None and same_cause(cause, incident.cause):
            return incident
        neither = cause is None and incident.cause is None
        if neither and (alarm.signal, alarm.slice) == (incident.signal, incident.slice):
            return incident
    return None


def _under_way(incident: Incident, alarm: Alarm) -> bool:
    if incident.state == "closed":
        return False
    return not incident.mitigated_ns or alarm.onset_ns <= incident.mitigated_ns + GRACE_NS
