"""The incident page's tables: the difference by slice, and the replay arms. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.attribution import PROVEN_AT, Arm, SliceEffect
from trimtab.core import Layer
from trimtab.incidents import Incident
from trimtab.stats import Estimate

from . import words
from .banner import signal_title
from .changes import layer_of
from .charts import Whisker
from .evidence import effect_whisker


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """A line of the table by slice."""

    name: str
    n: str
    exposed: str
    unexposed: str
    difference: str
    interval: str
    whisker: Whisker
    bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRow:
    """A line of the replay table; ``width`` is the bar in percent."""

    layer: int
    name: str
    restored: str
    passed: int
    n: int
    width: float
    evidence: str
    verdict: str
    css: str


def effect_rows(incident: Incident) -> tuple[EffectRow, ...]:
    """The overall difference, then one line a slice where there are several; empty without a cause."""
    report, cause = incident.report, incident.cause
    if report is None or cause is None:
        return ()
    rows: list[tuple[str, float | None, float | None, Estimate]] = []
    if (overall := cause.effect) is not None:
        rows.append((signal_title(report.signal), *_means(report.slices), overall))
    if len(report.slices) > 1:
        rows += [(f"of {s.slice or 'unnamed'} questions", s.exposed, s.unexposed, s.effect) for s in report.slices]
    reach = max((abs(v) for _, _, _, e in rows for v in (e.low, e.high)), default=1.0) or 1.0
    return tuple(
        EffectRow(
            name=name,
            n=f"{words.count(e.n_exposed)} and {words.count(e.n_unexposed)}",
            exposed=words.fixed(with_) if with_ is not None else "",
            unexposed=words.fixed(without) if without is not None else "",
            difference=words.signed(e.value),
            interval=words.interval(e.low, e.high),
            whisker=effect_whisker(e.value, e.low, e.high, reach),
            bad=e.high < 0,
        )
        for name, with_, without, e in rows
    )


def _means(slices: Sequence[SliceEffect]) -> tuple[float | None, float | None]:
    """Exposed and unexposed mean over all slices; None where no slice was compared."""
    known = [(s, s.effect) for s in slices]
    n_with, n_without = (sum(e.n_exposed for _, e in known), sum(e.n_unexposed for _, e in known))
    if not n_with or not n_without:
        return None, None
    return (
        sum(s.exposed * e.n_exposed for s, e in known) / n_with,
        sum(s.unexposed * e.n_unexposed for s, e in known) / n_without,
    )


def arm_rows(incident: Incident) -> tuple[ArmRow, ...]:
    """The replay arms of the report, in its order."""
    return tuple(_arm(arm, incident) for arm in (incident.report.arms if incident.report else ()))


def blamed_layers(incident: Incident) -> set[int]:
    """The layers of all causes: a pair has two."""
    cause, report = incident.cause, incident.report
    return {layer_of(each) for each in (cause, *report.also)} if cause is not None and report is not None else set()


def _arm(arm: Arm, incident: Incident) -> ArmRow:
    if arm.layer is None:
        verdict, css = ("everything put back", "muted") if arm.restored else ("baseline", "muted")
    elif arm.e_value >= PROVEN_AT:
        verdict, css = ("the cause", "fail") if arm.layer in blamed_layers(incident) else ("also restores", "unsure")
    else:
        verdict, css = "not the cause", "none"
    return ArmRow(
        layer=arm.layer or 0,
        name=("Everything" if arm.restored else "Nothing changed") if arm.layer is None else Layer(arm.layer).title,
        restored=arm.restored,
        passed=arm.passed,
        n=arm.n,
        width=round(100 * arm.passed / arm.n, 1) if arm.n else 0.0,
        evidence="" if arm.layer is None else words.evidence(arm.e_value),
        verdict=verdict,
        css=css,
    )


def replays_cost(incident: Incident) -> str:
    """What replays have cost; empty before any."""
    known = incident.replay
    if not known.calls:
        return ""
    about = f", about ${known.usd:,.2f}" if known.usd else ""
    return f"{words.plural(known.calls, 'call')} of models so far{about}, of {words.count(known.allowed)} allowed"


def replays_asked(incident: Incident) -> str:
    """What more of them would take, where they ask; empty else."""
    known = incident.replay
    if not known.wanted:
        return ""
    cost = known.estimate(known.wanted)
    about = f", about ${cost:,.2f}" if cost is not None else ", at a price that is not known"
    return f"{words.plural(known.wanted, 'call')} more{about}"
