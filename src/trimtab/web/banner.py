"""The sentence that a page begins with: what is wrong, what to do, or that nothing is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.core import Change
from trimtab.incidents import LIVE, Incident
from trimtab.watch import SIGNALS

from . import words
from .changes import PROBE, cause_name, layer_name, layer_of, remedy, remedy_effect, sentence

#: Sentences before the rest is only counted.
MOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """One open incident in two sentences; ``remedy`` is empty where there is nothing to take back."""

    incident: int
    title: str
    detail: str
    state: str
    css: str
    remedy: str
    effect: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Banners:
    """What stands on top of the Stack. ``calm`` is the sentence when nothing is wrong, else empty."""

    shown: tuple[Banner, ...]
    more: int
    calm: str


def signal_title(name: str) -> str:
    """A signal's title, or its name where it is no signal of ours."""
    known = SIGNALS.get(name)
    return known.title if known else name


def banners(incidents: Sequence[Incident], changes: Sequence[Change], now_ns: int) -> Banners:
    """Open incidents first, worst first; then those already mitigated. ``changes`` are newest first."""
    urgent = [i for i in incidents if i.state in LIVE]
    urgent.sort(key=lambda i: (i.severity, -i.opened_ns))
    calming = [i for i in incidents if i.state in ("mitigated", "resolved")]
    found = [*urgent, *calming]
    return Banners(
        shown=tuple(_banner(incident, changes, now_ns) for incident in found[:MOST]),
        more=max(0, len(found) - MOST),
        calm="" if found else _calm(changes, now_ns),
    )


def _calm(changes: Sequence[Change], now_ns: int) -> str:
    if not changes:
        return "Nothing is wrong. Nothing has changed yet."
    last = changes[0]
    return f"Nothing is wrong. Last change {words.ago(last.time_ns, now_ns)}: {sentence(last)}."


def _banner(incident: Incident, changes: Sequence[Change], now_ns: int) -> Banner:
    done = incident.state in ("mitigated", "resolved")
    cause = incident.cause
    return Banner(
        incident=incident.id,
        title=f"{headline(incident)}, {words.ago(incident.onset_ns or incident.opened_ns, now_ns)}",
        detail=detail(incident, now_ns),
        state=incident.state,
        css="calming" if done else "",
        remedy=remedy(cause) if cause is not None and not done else "",
        effect=remedy_effect(cause, next((c for c in changes if c.id == cause.change_id), None)) if cause else (),
    )


def headline(incident: Incident) -> str:
    """What broke, without the figures that the sentence under it repeats."""
    return incident.title.partition(": ")[0]


def detail(incident: Incident, now_ns: int) -> str:
    """Signal, figures, cause and certainty in plain sentences, filled from the report's fields."""
    report = incident.report
    if report is None and incident.signal.startswith(PROBE):
        said = (event.text for event in reversed(incident.events) if event.kind in ("alarm", "reopened"))
        return next(said, incident.title)
    if report is None:
        return f"{signal_title(incident.signal)} fell; what did it is being looked into."
    slice_text = f" on {report.slice}" if report.slice else ""
    parts = [
        f"{signal_title(report.signal)}{slice_text} fell from {words.fixed(report.baseline)} to"
        f" {words.fixed(report.now)}"
    ]
    if (cause := incident.cause) is not None:
        layer = layer_name(layer_of(cause))
        parts[0] += f" for answers made with {cause_name(cause)}"
        parts.append(f"{layer[0].upper()}{layer[1:]}, {report.certainty}")
    elif report.claimed and report.cause is None:
        layer = layer_name(report.claimed)
        parts.append(f"{layer[0].upper()}{layer[1:]}, {report.certainty}; which of its changes did it is open")
    else:
        parts.append("No recorded change explains it so far")
    if incident.state == "mitigated" and incident.mitigated_ns:
        parts.append(f"Taken back {words.ago(incident.mitigated_ns, now_ns)}; close it once it has recovered")
    elif incident.state == "resolved":
        parts.append("Its signal is back; close it with its lesson")
    return ". ".join(parts) + "."
