"""A trial's marks: what the desk said against what was so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.attribution import PROVEN_AT, Candidate, Report
from trimtab.incidents import Incident
from trimtab.watch import SIGNALS

from .baselines import NAMES
from .trial import Trial, Truths


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """One line of the result. ``top1`` and ``top3``: the layer; ``exact``: the very change, or rightly none.

    ``scored`` is the number of values of the alarmed signal from the onset to the alarm, in its slice; ``requests``
    counts all traffic. ``found`` is, for a pair, the share of its layers that the desk named.
    """

    faults: tuple[str, ...]
    layers: tuple[int, ...]
    tuned: bool
    hard: bool
    staged: bool
    silent: bool
    pair: str
    severity: float
    reach: str
    share: float
    onset: str
    seed: int
    counts: bool
    points: float
    harm: float
    served: int
    early: int
    detected: bool
    requests: int
    scored: int
    signal: str
    cost: str
    said: int | None
    cause: str
    certainty: str
    top1: bool
    top3: bool
    exact: bool
    proven: int
    proven_wrong: int
    found: float
    incidents: int
    replays: int
    ranked: tuple[str, ...]
    baseline_layer: Mapping[str, float]
    baseline_change: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def marks(trial: Trial) -> Marks:
    """Compare."""
    plan, alarm = trial.plan, trial.alarm
    main = _main(trial)
    truth = trial.truths[0]
    report = main.report if main else None
    candidates = ranked(report) if report else ()
    layers = _layers(trial, main)
    said = layers[0] if layers else None
    top = candidates[0] if candidates else None
    claims = [i.report for i in trial.incidents if i.report is not None and i.report.certainty == "proven"]
    named = _named(trial)
    detected = alarm is not None and main is not None
    return Marks(
        faults=tuple(f.name for f in plan.faults), layers=tuple(f.layer for f in plan.faults),
        tuned=any(f.tuned for f in plan.faults), hard=plan.hard, staged=plan.staged,
        silent=truth.pin is None, pair=plan.pair, severity=plan.severity, reach=plan.reach, share=plan.share,
        onset=plan.onset, seed=plan.seed, counts=trial.counts, points=round(trial.impacts[0].points, 4),
        harm=round(trial.impacts[0].harm, 4), served=trial.served, early=trial.early, detected=detected,
        requests=trial.alarm_at - trial.onset + 1 if alarm else 0, scored=trial.scored,
        signal=alarm.signal if alarm else "", cost=SIGNALS[alarm.signal].cost if alarm else "",
        said=said, cause=_pin_text(top), certainty=report.certainty if report else "",
        top1=said == truth.layer, top3=truth.layer in layers[:3], exact=_exact(top, said, truth),
        proven=len(claims), proven_wrong=sum(not _allowed(trial, claim) for claim in claims),
        found=sum(t.layer in named for t in trial.truths) / len(trial.truths),
        incidents=len(trial.incidents), replays=trial.replays, ranked=tuple(_pin_text(c) for c in candidates[:4]),
        baseline_layer=_baseline(trial, truth.layer), baseline_change=_baseline_change(trial, truth),
    )  # fmt: skip


def _main(trial: Trial) -> Incident | None:
    """The incident under test: the worst, then the first, of those that are not only the benign change's own."""
    benign = trial.around.benign.signals if trial.around.benign else frozenset()
    found = [i for i in trial.incidents if not set(i.signals) <= benign and i.report is not None]
    if trial.alarm is None or not found:
        return None
    found = [i for i in found if trial.alarm.signal in i.signals or i.alarm_ns >= trial.alarm.time_ns] or found
    return min(found, key=lambda i: (i.severity, i.id))


def ranked(report: Report) -> Sequence[Candidate]:
    """The report's candidates, its cause before all."""
    cause = report.cause
    if cause is None:
        return report.candidates
    return (cause, *(c for c in report.candidates if (c.change_id, c.after) != (cause.change_id, cause.after)))


def _layers(trial: Trial, main: Incident | None) -> list[int]:
    """The layers by belief: those of the incident under test, then those of the others, worst first."""
    if main is None:
        return []
    rest = sorted((i for i in trial.incidents if i.id != main.id), key=lambda i: (i.severity, i.id))
    found: dict[int, None] = {}
    for incident in (main, *rest):
        report = incident.report
        if report is None:
            continue
        believed = [belief.layer for belief in report.layers]
        for layer in (report.layer, *believed, *(c.layer for c in ranked(report))):
            if layer:
                found.setdefault(int(layer))
    return list(found)


def _pin_text(candidate: Candidate | None) -> str:
    if candidate is None:
        return ""
    return f"{candidate.kind}:{candidate.after}" if candidate.change_id else "no recorded change"


def _exact(top: Candidate | None, said: int | None, truth: Truths) -> bool:
    """Whether the very change is named, or rightly none and the right layer."""
    if top is None:
        return False
    if truth.pin is None:
        return not top.change_id and said == truth.layer
    return (top.kind, top.after) == truth.pin


def _allowed(trial: Trial, claim: Report) -> bool:
    """Whether a claim called proven is right: a fault's change, or the benign one for what it moves."""
    cause = claim.cause
    if cause is None:
        return True
    true = {t.pin for t in trial.truths if t.pin}
    if not cause.change_id:
        return any(t.pin is None for t in trial.truths)
    if (cause.kind, cause.after) in true:
        return True
    benign = trial.around.benign
    moved = benign is not None and claim.signal in benign.signals
    return moved and (cause.kind, cause.after) in trial.around.benign_pins


def _named(trial: Trial) -> set[int]:
    """Every layer that the desk gives as a cause: by a cause, or by an arm of a replay that proves one."""
    found: set[int] = set()
    for incident in trial.incidents:
        report = incident.report
        if report is None:
            continue
        if report.layer and report.certainty != "unknown":
            found.add(int(report.layer))
        found |= {int(arm.layer) for arm in report.arms if arm.layer and arm.e_value >= PROVEN_AT}
        found |= {int(cause.layer) for cause in report.also if cause.layer}
    return found


def _baseline(trial: Trial, layer: int) -> dict[str, float]:
    said = trial.guesses.layers if trial.guesses else {}
    return {name: round(said.get(name, {}).get(layer, 0.0), 4) for name in NAMES}


def _baseline_change(trial: Trial, truth: Truths) -> dict[str, float]:
    said = trial.guesses.changes if trial.guesses else {}
    return {name: round(said.get(name, {}).get(truth.pin, 0.0) if truth.pin else 0.0, 4) for name in NAMES[:3]}
