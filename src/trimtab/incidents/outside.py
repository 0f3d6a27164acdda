"""What was seen beside the traffic, by a probe: which incident it opens, joins or opens again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.core import Layer

from . import joining, states
from .incident import MACHINE, Incident
from .records import Written

#: The beginning of the signals of probes. A probe goes on looking, so it is what would see the failure again.
PROBE = "probe:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Something outside the traffic broke, or is as it was again (``over``). It broke after ``since_ns``, nanoseconds
    UTC, when all was well for the last time."""

    signal: str
    layer: Layer
    title: str
    text: str
    owner: str
    severity: int
    runbook: str
    since_ns: int
    over: bool = False


def placed(known: Sequence[Incident], sign: Sign, now_ns: int) -> Written:
    """Where a sign belongs: the incident that has it already, else one of the traffic that nothing explains and that
    began since all was well, else the same failure of some time ago, else a new incident."""
    newest = sorted(known, key=lambda incident: incident.id, reverse=True)
    for incident in newest:
        if sign.signal in incident.signals and not incident.closed_ns and not incident.mitigated_ns:
            told = any(event.text == sign.text for event in incident.events)
            return Written(incident, incident if told else states.noted(incident, "joined", MACHINE, sign.text, now_ns))
    for incident in newest:
        if _open_to(incident, sign.layer) and sign.since_ns - joining.NEAR_NS <= incident.onset_ns <= now_ns:
            return Written(incident, _joined(incident, sign, now_ns))
    for incident in newest:
        over = incident.closed_ns or incident.mitigated_ns
        if incident.signal == sign.signal and over and now_ns - over <= joining.REPEAT_NS:
            return Written(incident, _again(incident, sign, now_ns))
    return Written(None, _opened(sign, now_ns))


def _open_to(incident: Incident, layer: Layer) -> bool:
    """Whether nothing explains an incident so far, and no other layer than this one is likely."""
    report = incident.report
    told = any(signal.startswith(PROBE) for signal in incident.signals)
    if report is None or incident.cause is not None or told or incident.mitigated_ns or incident.closed_ns:
        return False
    return report.cause is not None or report.claimed in (None, layer)


def _opened(sign: Sign, now_ns: int) -> Incident:
    made = Incident(
        id=0, opened_ns=now_ns, signal=sign.signal, owner=sign.owner, title=sign.title, severity=sign.severity,
        layer=sign.layer, signals=(sign.signal,), onset_ns=sign.since_ns or now_ns, alarm_ns=now_ns, action="page",
        runbook=sign.runbook,
    )  # fmt: skip
    return states.noted(made, "alarm", MACHINE, sign.text, now_ns)


def _joined(incident: Incident, sign: Sign, now_ns: int) -> Incident:
    incident = replace(
        incident, signals=(*incident.signals, sign.signal), severity=min(incident.severity, sign.severity),
        layer=sign.layer,
    )  # fmt: skip
    layer = f"layer {int(sign.layer)} {sign.layer.title.lower()}"
    text = f"{sign.title}: no recorded change explains this incident, and this probe points to {layer}. {sign.text}"
    return states.noted(incident, "joined", MACHINE, text, now_ns)


def _again(incident: Incident, sign: Sign, now_ns: int) -> Incident:
    incident = states.open_again(incident, sign.severity, sign.since_ns or now_ns, now_ns)
    return states.noted(incident, "reopened", MACHINE, f"the same again: {sign.text}", now_ns)
