"""Changes of the ledger, and the causes of incidents, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimtab.attribution import Candidate
from trimtab.core import LAYER_OF_KIND, UNSERVED, Change, Layer
from trimtab.incidents import Incident
from trimtab.stats import Estimate

from . import words

KIND_WORD = {
    "prompts": "prompt",
    "models": "model",
    "corpora": "corpus",
    "guards": "guard",
    "routes": "route",
    "judges": "judge",
    "datasets": "dataset",
    "monitors": "monitor",
    "scorers": "scorers",
    "application": "application",
    "data": "data",
}
#: How the actor of an event begins that a probe saw.
PROBE = "probe:"


def short(change: Change) -> str:
    """The change as a mark's label: ``v14 50 %``, ``back to v13``."""
    after = words.version(change.after)
    match change.action:
        case "rollout" | "share":
            return f"{after} {words.percent(change.share)}"
        case "abort" | "rollback":
            return f"back to {after}"
        case "promote":
            return f"{after} for all"
        case "external":
            return "probe" if change.actor.startswith(PROBE) else words.snippet(words.pin(change.after), 28)
        case _:
            return f"{change.name} {after}" if change.kind in UNSERVED else after


def sentence(change: Change) -> str:
    """The change as a clause: ``support-answer v14 to 50 % of sessions``."""
    after = words.version(change.after)
    whom = f"{change.sticky or 'request'}s"
    match change.action:
        case "rollout" | "share":
            return f"{change.name} {after} to {words.percent(change.share)} of {whom}"
        case "abort":
            return f"{change.name} back to {after}, rollout of {words.version(change.before)} ended"
        case "rollback":
            return f"{change.name} back to {after}"
        case "promote":
            return f"{change.name} {after} to everybody"
        case "external":
            if change.actor.startswith(PROBE):
                what = "is as usual again" if ": back to usual" in change.note else "noticed a move"
                return f"{words.snippet(change.name, 60)}: probe {change.actor.removeprefix(PROBE)} {what}"
            if change.kind == "data":
                return f"personal data erased, {words.pin(change.after)}"
            what = "answered by" if change.kind == "models" else "changed outside to"
            return f"{change.name} {what} {words.pin(change.after)}"
        case _:
            return f"{change.name} {after}" + (f" after {words.version(change.before)}" if change.before else "")


def exposure(change: Change) -> str:
    """For whom: ``50 % of sessions`` or ``everybody``."""
    if change.action == "external":
        if change.actor.startswith(PROBE):
            return "seen by a probe"
        return "seen at the vendor" if change.kind == "models" else "seen outside"
    if change.share < 1 or change.action in ("rollout", "share"):
        return f"{words.percent(change.share)} of {change.sticky or 'request'}s"
    return "everybody"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """A line of "Changes in this window": the text equivalent of the chart."""

    change: Change
    layer: int
    kind: str
    text: str
    exposure: str
    effect: Estimate | None
    verdict: str
    verdict_css: str
    incident: int


def rows(changes: Iterable[Change], incidents: Sequence[Incident]) -> tuple[ChangeRow, ...]:
    """Changes with what the incidents say about each, in the given order."""
    return tuple(_row(change, incidents) for change in changes)


def _row(change: Change, incidents: Sequence[Incident]) -> ChangeRow:
    effect, verdict, css, number = None, "not compared", "none", 0
    for incident, candidate in _mentions(change.id, incidents):
        report = incident.report
        number, effect = incident.id, candidate.effect
        if report is not None and incident.cause is not None and incident.cause.change_id == change.id:
            verdict, css = f"the cause, {report.certainty}", "fail"
            break
        verdict, css = ("ruled out", "none") if candidate.cleared else ("suspect", "unsure")
    return ChangeRow(
        change=change,
        layer=int(change.layer),
        kind=KIND_WORD[change.kind],
        text=sentence(change),
        exposure=exposure(change),
        effect=effect,
        verdict=verdict,
        verdict_css=css,
        incident=number,
    )


def _mentions(change_id: str, incidents: Sequence[Incident]) -> Iterable[tuple[Incident, Candidate]]:
    for incident in incidents:
        if incident.report is None:
            continue
        for candidate in incident.report.candidates:
            if candidate.change_id == change_id:
                yield incident, candidate


def cause_name(candidate: Candidate) -> str:
    """The cause as a name: ``support-answer v14``; for a vendor's change the model that answered."""
    return words.pin(candidate.after) if candidate.after else candidate.title


def layer_of(candidate: Candidate) -> int:
    """The candidate's layer, 0 where it belongs to none."""
    if candidate.layer is not None:
        return int(candidate.layer)
    return int(LAYER_OF_KIND[candidate.kind]) if candidate.kind in LAYER_OF_KIND else 0


def remedy(candidate: Candidate) -> str:
    """What the one red button says: ``Roll back to v13``, or ``Divert to the fallback`` for a vendor's change.

    Empty where no recorded change is blamed: there is nothing to take back.
    """
    if not candidate.change_id:
        return ""
    if candidate.kind == "models":
        return "Divert to the fallback"
    return f"Roll back to {words.version(candidate.before)}" if candidate.before else "Roll back"


def remedy_effect(cause: Candidate, change: Change | None) -> tuple[tuple[str, str], ...]:
    """What the red button does, as (name, text), for the confirmation."""
    if cause.kind == "models":
        return (
            ("What moves", f"routes that ask for {cause.asset} try their fallback first"),
            ("Takes effect", "with the next request"),
            ("Undo", "roll the route back once the vendor has mended it"),
        )
    now = exposure(change) if change is not None else "everybody"
    return (
        ("What moves", f"{cause.asset}: {words.version(cause.after)} ({now}) to {words.version(cause.before)} for all"),
        ("Takes effect", "with the next request"),
        ("Running requests", "finish with the version they started with"),
        ("Also undone", "nothing; other labels stay"),
    )


def layer_name(layer: int) -> str:
    """``layer 3, prompt``."""
    return f"layer {layer}, {Layer(layer).title.lower()}" if layer else "no layer"
