"""An incident in words: titles and timeline lines, filled from fields, never guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.attribution import Arm, Candidate, Report
from trimtab.core import Layer
from trimtab.watch import SIGNALS, Alarm, Silence

from .incident import Incident, blamed
from .recovery import Recovery
from .spending import Spending

#: What people see when a signal falls.
_FELL = {
    "answered": "Requests fail",
    "complete": "Answers are cut off",
    "retrieved": "Questions find no passages",
    "fresh": "Answers rest on stale passages",
    "cites": "Answers stopped citing their sources",
    "grounded": "Answers say what their passages do not",
    "allowed": "Good requests are blocked",
    "private": "Answers let out personal data or secrets",
    "attacks_stopped": "Open attacks get past the guard",
    "admitted": "Limits turn requests away",
    "whole": "Traces lack calls that were made",
    "first_choice": "Fallbacks answer in place of the first choice",
    "judge_agreement": "The judge disagrees with the experts",
    "spans_sent": "Applications lose spans before they are sent",
    "connected": "Traces of applications lack roots or parents",
    "fair_sample": "Doubtful answers escape the judge",
    "judged": "Answers that were drawn for the judge get no verdict",
    "budget_left": "A budget runs out before its day or month does",
    "quality": "Fewer answers pass the judge",
    "thumb": "Users like fewer answers",
}


def title(report: Report) -> str:
    """One sentence: what broke, from where to where, with what."""
    what = _FELL.get(report.signal)
    if what is None:
        signal = SIGNALS.get(report.signal)
        what = f"{signal.title if signal else report.signal} fell"
    cause = blamed(report)
    if cause is None:
        layer, claimed = report.layer, report.claimed
        whom = ", cause not known" if layer is None else f", cause not recorded, {layer_name(layer)}"
        if claimed is not None and report.cause is None:
            whom = f", likely {layer_name(claimed)}, which change is open"
    else:
        whom = f" with {' and '.join(name(each) for each in (cause, *report.also))}"
    return f"{what}: {_fall(report.signal, report.baseline, report.now, report.slice)}{whom}"


def alarm(raised: Alarm) -> str:
    """What the detector saw."""
    fall = _fall(raised.signal, raised.baseline, raised.now, raised.slice)
    seen = f"{fall} over the last {raised.n_since} scores"
    whose = f", seen in the {answers_of([raised.model])}" if raised.model else ""
    return f"{seen}{whose} (evidence {_large(raised.e_value)} of {_large(raised.threshold)} needed)"


def answers_of(models: Sequence[str]) -> str:
    """``answers of model vendor/large``: whose answers showed a fall."""
    return f"answers of model{'s' if len(models) > 1 else ''} {' and '.join(models)}"


def verdict(report: Report) -> str:
    """What attribution says, and on what grounds."""
    cause = blamed(report)
    if cause is None:
        best = report.candidates[0] if report.candidates else None
        guess = f"; the best guess is {name(best)} with a belief of {best.posterior:.2f}" if best else ""
        if report.claimed is not None and report.cause is None:
            return f"likely {layer_name(report.claimed)} ({report.layers[0].belief:.2f}), which change is open{guess}"
        if report.layer is not None:
            guess += f"; the signals that moved speak for {layer_name(report.layer)} ({report.layers[0].belief:.2f})"
        return f"cause not known{guess}"
    grounds = ""
    if cause.effect is not None:
        effect = cause.effect
        grounds = (
            f": {signed(effect.value)} where it was served ({signed(effect.low)} to {signed(effect.high)}; "
            f"{effect.n_exposed} scores with it, {effect.n_unexposed} without)"
        )
    layer = f", {layer_name(cause.layer)}" if cause.layer is not None else ""
    return f"{report.certainty}: {name(cause)}{layer}{grounds}{together(report)}"


def together(report: Report) -> str:
    """How several causes act, as the rest of a sentence; empty for one."""
    if not report.also:
        return ""
    others = " and ".join(
        name(each) + (f", {layer_name(each.layer)}" if each.layer is not None else "") for each in report.also
    )
    how = {
        "pair": "each breaks answers by itself, so both have to be taken back",
        "beside": "likely, for it explains what the first leaves over",
        "chain": "it takes both to break an answer, so taking back either mends them",
    }.get(report.together, "they act together")
    return f"; together with {others}: {how}"


def layer_name(layer: int) -> str:
    """``layer 3 prompt``."""
    return f"layer {layer} {Layer(layer).title.lower()}"


def replayed(arms: tuple[Arm, ...]) -> str:
    """How often requests passed that had failed, one change put back at a time."""
    return "replayed failing requests: " + "; ".join(_arm(arm) for arm in arms)


def _arm(arm: Arm) -> str:
    spoilt = f", {arm.spoilt} of {arm.sound} others fail" if arm.spoilt else ""
    counts = f"{arm.passed} of {arm.n} pass"
    match arm.role:
        case "same":
            return f"{counts} with nothing changed{spoilt}"
        case "break":
            return f"{counts} with {arm.restored} put back{spoilt} (evidence against it {_large(arm.e_value)})"
    if arm.layer is None and not arm.restored:  # a record of before there were roles
        return f"{counts} with nothing changed"
    return f"{counts} with {arm.restored} put back{spoilt} (evidence {_large(arm.e_value)})"


def asks(spending: Spending) -> str:
    """What more replays would take."""
    return (
        f"asks before it spends more on replays: {spending.calls:,} calls so far{_about(spending.usd or None)}; "
        f"{spending.wanted:,} more{_about(spending.estimate(spending.wanted))} may decide"
    )


def allowed(actor: str, more: int, before: Spending) -> str:
    """What somebody allowed."""
    return f"{actor} allowed {more:,} calls more for replays{_about(before.estimate(more))}"


def _about(usd: float | None) -> str:
    return f" (about ${usd:,.2f})" if usd is not None else " (price not known)"


def cases(count: int, dataset: str) -> str:
    """What was kept."""
    what = "1 failing request is" if count == 1 else f"{count} failing requests are"
    return f"{what} kept as regression cases in datasets:/{dataset}"


def waiting(incident: Incident) -> str:
    """Why nothing was taken back by itself."""
    owner, report = incident.owner, incident.report
    if any(d.state == "done" and not d.mends and d.time_ns >= incident.since_ns for d in incident.deeds):
        why = "the rollout is paused, and whether it ends is for people to say"
    elif any(d.state == "undone" and d.time_ns >= incident.since_ns for d in incident.deeds):
        why = "its action was taken back by hand"
    elif report is None or blamed(report) is None:
        open_ = report is not None and report.claimed is not None and report.cause is None
        why = "which change did it is not known" if open_ else "no cause is known"
    elif incident.action in ("note", "page"):
        why = "its monitor pages only"
    else:
        why = f"the cause is {report.certainty}, not proven, and not part of a running rollout"
    return f"waits for {owner}: {why}"


def name(cause: Candidate) -> str:
    """A cause as people name it: ``prompts support-answer/2``."""
    return f"{cause.kind} {cause.after}" if cause.after else cause.title


def silent(silence: Silence) -> str:
    """A monitor that hears nothing."""
    known = SIGNALS.get(silence.signal)
    title_ = known.title if known else silence.signal
    return (
        f"{title_} has stopped coming: nothing in {silence.requests} requests,"
        f" where at least {silence.share:.0%} bring a value"
    )


def recovered(signal: str, found: Recovery) -> str:
    """How a signal stands when it is back."""
    known = SIGNALS.get(signal)
    name_ = known.title if known else signal
    return f"{name_} is back at {found.mean:.2f} ({found.low:.2f} to {found.high:.2f}) over {found.n} answers"


def by_itself(signal: str) -> str:
    """What is said when a signal is back although nothing was done."""
    known = SIGNALS.get(signal)
    name_ = known.title if known else signal
    return f"{name_} is back at what was usual although nothing was done; resolve the incident if you know why"


def duration(ns: int) -> str:
    """In one unit: ``20 s``, ``5 min``, ``3 h``, ``2 d``."""
    seconds = max(0, ns) / 1e9
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def signed(value: float) -> str:
    """A difference with two decimals and a true minus sign."""
    return f"{value:+.2f}".replace("-", "−")


def _fall(signal: str, baseline: float, now: float, slice_name: str) -> str:
    where = f" for {slice_name}" if slice_name else ""
    verb = "fell" if now < baseline else "moved"
    return f"{signal}{where} {verb} from {baseline:.2f} to {now:.2f}"


def _large(value: float) -> str:
    if not math.isfinite(value) or value >= 1e6:
        return "over 10^6" if not math.isfinite(value) else f"10^{math.floor(math.log10(value))}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
