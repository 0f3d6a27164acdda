"""The four facts of an incident: what broke, since when, for whom, cause. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from trimtab.attribution import PROVEN_AT, Candidate, Report
from trimtab.core import Change, Layer
from trimtab.incidents import Incident, answers_of

from . import words
from .banner import signal_title
from .changes import PROBE, cause_name, exposure, layer_of

#: When slices with this share of the exposed answers fell, it is said of all of them.
MOST_OF_THEM = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The four facts, each a main line and a smaller one."""

    what: str
    what_more: str
    since: str
    since_more: str
    whom: str
    whom_more: str
    cause: str
    layer: int
    certainty: str
    cause_more: str


def facts(incident: Incident, change: Change | None, now_ns: int, zone: tzinfo | None = None) -> Facts:
    """What broke, since when, for whom, and why, as far as the report knows. ``change`` is the cause in the ledger."""
    report = incident.report
    end = incident.mitigated_ns or incident.closed_ns or now_ns
    onset = incident.onset_ns or incident.opened_ns
    short = end - onset < 600 * words.SECOND
    began = words.seconds_clock(onset, zone) if short else words.moment(onset, now_ns, zone)
    since = f"{began}, for {words.span_of(onset, end)}"
    others = [signal_title(s) for s in incident.signals if s != incident.signal]
    also = f"also {', '.join(others)}" if others else "no other signal so far"
    if report is None and incident.signal.startswith(PROBE):
        return Facts(
            what=incident.title, what_more=also, since=since, since_more="after the last run that was as usual",
            whom="not seen in the traffic", whom_more="the probe asks by itself", layer=incident.layer or 0,
            cause=f"{Layer(incident.layer).title} layer" if incident.layer else "not known", certainty="likely",
            cause_more="named by the probe; no recorded change was compared",
        )  # fmt: skip
    if report is None:
        return Facts(
            what=signal_title(incident.signal), what_more=also, since=since, since_more="onset not estimated yet",
            whom="not known yet", whom_more=f"the comparison is still running{_seen(incident)}", layer=0,
            cause="not known yet", certainty="unknown", cause_more="the layers are being compared",
        )  # fmt: skip
    cause = incident.cause
    effect = cause.effect if cause else None
    whom_more = f"{words.plural(report.affected, 'bad answer')} of {words.count(report.n)}"
    if effect is not None and effect.n_exposed and effect.value < 0:
        low, mid, high = (max(0, round(-v * effect.n_exposed)) for v in (effect.high, effect.value, effect.low))
        whom_more = (
            f"{words.plural(effect.n_exposed, 'answer')}, about {words.count(mid)} bad"
            f" ({words.count(low)} to {words.count(high)})"
        )
    first, last = (words.seconds_clock(t, zone) for t in (report.onset_low_ns, report.onset_high_ns))
    return Facts(
        what=f"{signal_title(report.signal)} {words.fixed(report.baseline)} → {words.fixed(report.now)}",
        what_more=also,
        since=since,
        since_more=f"onset at {first}" if first == last else f"onset between {first} and {last}",
        whom=whom(incident, change),
        whom_more=f"{whom_more}{_seen(incident)}",
        cause=cause_name(cause) if cause else "no change explains it",
        layer=layer_of(cause) if cause else report.layer or 0,
        certainty=report.certainty if cause or report.claimed else "unknown",
        cause_more=_why(cause, report) if cause else _unexplained(report),
    )


def _seen(incident: Incident) -> str:
    """In whose answers alone an alarm saw the fall, as the rest of a sentence; empty where it was in all."""
    return f"; the alarm: {answers_of(incident.models)}" if incident.models else ""


def _why(cause: Candidate, report: Report) -> str:
    agrees = any(arm.layer == layer_of(cause) and arm.e_value >= PROVEN_AT for arm in report.arms)
    return f"certainty {words.fixed(cause.posterior)}" + (", replay agrees" if agrees else "")


def _unexplained(report: Report) -> str:
    if report.layer is None:
        return "the layers were compared; see what was not tested"
    return f"the signals that moved speak for this layer, with {words.fixed(report.layers[0].belief)}"


def whom(incident: Incident, change: Change | None) -> str:
    """The slices that were hit and the share of them that was exposed."""
    report = incident.report
    slices = report.slices if report else ()
    hit = [s for s in slices if s.effect.high < 0]
    reached, hurt = (sum(s.effect.n_exposed for s in some) for some in (slices, hit))
    if report is not None and report.slice:
        who = f"{report.slice} questions"
    elif hit and hurt < MOST_OF_THEM * reached:
        names = [s.slice or "unnamed" for s in hit]
        who = f"{', '.join(names[:2])}" + (f" and {len(names) - 2} more" if len(names) > 2 else "") + " questions"
    else:
        who = "all questions"
    share = exposure(change) if change is not None and change.share < 1 else ""
    text = f"{who}, {share}" if share else who
    return text[0].upper() + text[1:]
