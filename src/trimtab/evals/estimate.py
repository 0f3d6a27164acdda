"""The pass rate behind a judge: corrected with labels, or said to be uncorrected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput
from trimtab.stats import (
    Corrected,
    ErrorRates,
    Interval,
    Labelled,
    clustered_variance,
    ppi_rate,
    rate_interval,
    rogan_gladen,
)

from .figures import percent
from .labels import Label, consensus
from .results import PASS, CaseScore, MixedJudges, Scored, by_case, one_judge

CHECKS, JUDGE_ONLY, LABELS, PPI, ROGAN_GLADEN = "checks", "judge only", "labels only", "ppi++", "rogan-gladen"
#: Below this many labels the coverage of the corrected intervals was not measured.
FEW_LABELS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRate:
    """A mean score over cases with its interval (two-sided, ``level``).

    ``raw`` is what the scorer alone says. ``trusted`` is False for an uncorrected judge: its interval holds its noise
    but not its errors. ``errors`` are cases that could not be scored; they are in no figure but in ``notes``.
    """

    value: float
    low: float
    high: float
    cases: int
    errors: int
    labels: int
    method: str
    judge: str
    raw: float
    trusted: bool
    level: float = 0.95
    notes: tuple[str, ...] = ()


def estimate(
    scores: Sequence[Scored],
    *,
    labels: Sequence[Label] = (),
    criterion: str = "",
    calibration_scores: Sequence[Scored] = (),
    level: float = 0.95,
) -> PassRate:
    """The pass rate of one run or stretch of traffic.

    - Code scored it: the mean as it is.
    - ``labels`` on some of these cases, drawn at random: prediction-powered (PPI++).
    - ``labels`` on cases from elsewhere, with what the judge said of those in ``calibration_scores``: Rogan-Gladen.
    - A judge without labels: the judge alone, and ``trusted`` is False.

    Repeats of a case are averaged first; errors are clustered. Raises MixedJudges for scores of several digests,
    JudgeTooWeak (stats) when the judge cannot be corrected, BadInput when nothing was scored.
    """
    judge = one_judge(scores)
    cases = by_case(scores)
    if not cases:
        raise BadInput("no case was scored.", field="scores", mend="Look at the errors of the run.")
    errors = len({score.case for score in scores} - cases.keys())
    raw = _interval(list(cases.values()), level)
    people = {case: agreed.value for case, agreed in consensus(labels, criterion).items() if agreed.value is not None}
    notes = [*_error_notes(raw, len(cases), errors)]
    if judge and calibration_scores:
        if one_judge(calibration_scores) != judge:
            raise MixedJudges(
                "the labelled cases were judged by another digest.",
                field="calibration_scores",
                mend="Judge them again.",
            )
        known = by_case(calibration_scores)
        corrected = _rogan_gladen(cases, known, people, level)
        method, count = ROGAN_GLADEN, corrected.labels
    elif judge and sum(case in cases for case in people) >= 2:
        method, corrected = _ppi(cases, people, level)
        count = corrected.labels
    else:
        if judge:
            notes.append("No label corrects this judge: the interval holds its noise, not its errors.")
        corrected, count = _as_seen(raw), 0
        method = JUDGE_ONLY if judge else CHECKS
    if 0 < count < FEW_LABELS:
        notes.append(f"{count} labels are few: from {FEW_LABELS} on the interval is known to keep its level.")
    return PassRate(
        value=corrected.value,
        low=corrected.low,
        high=corrected.high,
        cases=len(cases),
        errors=errors,
        labels=count,
        method=method,
        judge=judge,
        raw=raw.value,
        trusted=method != JUDGE_ONLY,
        level=level,
        notes=tuple(notes),
    )


def _as_seen(raw: Interval) -> Corrected:
    return Corrected(value=raw.value, low=raw.low, high=raw.high, labels=0, unlabelled=raw.n, trust=1.0)


def _clusters(cases: Iterable[CaseScore]) -> list[str] | None:
    """The clusters of the cases, None when every case is its own."""
    named = [case.cluster for case in cases]
    return named if len(set(named)) < len(named) else None


def _interval(cases: Sequence[CaseScore], level: float) -> Interval:
    return rate_interval([case.mean for case in cases], _clusters(cases), level=level)


def _ppi(cases: dict[str, CaseScore], people: dict[str, float], level: float) -> tuple[str, Corrected]:
    known = [case for name, case in cases.items() if name in people]
    others = [case for name, case in cases.items() if name not in people]
    values = [people[case.case] for case in known]
    if len(others) < 2:
        seen = rate_interval(values, _clusters(known), level=level)
        return LABELS, Corrected(
            value=seen.value, low=seen.low, high=seen.high, labels=seen.n, unlabelled=len(others), trust=0.0
        )
    # People labelled one output of a case, which is its first repeat.
    first = [sum(case.repeats[0]) / len(case.repeats[0]) for case in known]
    labelled = Labelled(people=values, judge=first, clusters=_clusters(known))
    return PPI, ppi_rate(labelled, [case.mean for case in others], clusters=_clusters(others), level=level)


def _rogan_gladen(
    cases: dict[str, CaseScore], known: dict[str, CaseScore], people: dict[str, float], level: float
) -> Corrected:
    pairs = [(people[name] >= PASS, case.repeats[0][0] >= PASS) for name, case in known.items() if name in people]
    rates = ErrorRates(
        passing=sum(person for person, _ in pairs),
        passed=sum(person and judge for person, judge in pairs),
        failing=sum(not person for person, _ in pairs),
        failed=sum(not person and not judge for person, judge in pairs),
    )
    passed = [float(case.mean >= PASS) for case in cases.values()]
    clusters = _clusters(cases.values())
    design = 1.0
    if clusters is not None:
        alone, robust = clustered_variance(passed)[0], clustered_variance(passed, clusters)[0]
        design = max(1.0, robust / alone) if alone > 0.0 else len(passed) / len(set(clusters))
    return rogan_gladen(rates, round(sum(passed)), len(passed), design=design, level=level)


def _error_notes(raw: Interval, scored: int, errors: int) -> list[str]:
    if not errors:
        return []
    every = scored + errors
    worst, best = raw.value * scored / every, (raw.value * scored + errors) / every
    return [
        f"{errors} of {every} cases could not be scored and are left out; had they all failed or all passed, the "
        f"scorer's rate would be {percent(worst)} or {percent(best)} instead of {percent(raw.value)}."
    ]
