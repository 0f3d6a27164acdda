"""Two runs over the same cases: what changed, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput
from trimtab.stats import PairedDifference, normal_quantile, paired_difference

from .results import CaseScore, MixedJudges, Scored, by_case, one_judge

#: Cases that are named on either side.
MAX_NAMED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDelta:
    """One case that changed: its mean score on both sides."""

    case: str
    old: float
    new: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """New minus old over the cases that both sides scored, with the two-sided interval at ``level``.

    ``p_worse`` is the one-sided p-value of "new is not worse". ``detectable`` is the smallest drop that data like these
    find with 80 % power at a one-sided 5 %. ``left_out`` are cases that one side lacks or could not score. ``worse``
    and ``better`` name the most changed cases; the counts are complete. ``generation_share`` is how much of the
    error's square comes from repeats differing (more repeats help) and not from cases (more cases help); None with
    one repeat. ``undiluted`` is the difference behind an imperfect judge, value / (TPR + TNR - 1), when asked for.
    """

    value: float
    low: float
    high: float
    cases: int
    left_out: int
    old_rate: float
    new_rate: float
    repeats: tuple[int, int]
    p_worse: float
    detectable: float
    n_worse: int
    n_better: int
    worse: tuple[CaseDelta, ...]
    better: tuple[CaseDelta, ...]
    judge: str
    level: float
    test: PairedDifference
    generation_share: float | None = None
    undiluted: float | None = None


def compare(new: Sequence[Scored], old: Sequence[Scored], *, level: float = 0.95, youden: float | None = None) -> Delta:
    """Compare two runs case by case.

    Repeats of a case are averaged first, which makes the case the unit (repeats as random effects); errors are
    clustered. ``youden`` is the judge's TPR + TNR - 1 from its calibration. Raises MixedJudges when the sides were
    scored by different judges, BadInput when no case is in both.
    """
    judge, other = one_judge(new), one_judge(old)
    if judge != other:
        raise MixedJudges(
            f"new was scored by {judge or 'code'}, old by {other or 'code'}.",
            field="judge",
            mend="Score both runs with one judge version.",
        )
    pairs = paired_cases(new, old)
    if not pairs:
        raise BadInput("no case was scored on both sides.", field="cases", mend="Run both on one dataset.")
    changes = [CaseDelta(case=n.case, old=o.mean, new=n.mean) for n, o in pairs]
    differences = [min(1.0, max(-1.0, c.new - c.old)) for c in changes]
    clusters = [n.cluster for n, _ in pairs]
    test = paired_difference(differences, clusters if len(set(clusters)) < len(clusters) else None)
    interval = test.interval(level)
    worse = sorted((c for c in changes if c.new < c.old), key=lambda c: c.new - c.old)
    better = sorted((c for c in changes if c.new > c.old), key=lambda c: c.old - c.new)
    every = {score.case for score in new} | {score.case for score in old}
    return Delta(
        value=test.value,
        low=interval.low,
        high=interval.high,
        cases=len(pairs),
        left_out=len(every) - len(pairs),
        old_rate=sum(c.old for c in changes) / len(changes),
        new_rate=sum(c.new for c in changes) / len(changes),
        repeats=(max(len(n.repeats) for n, _ in pairs), max(len(o.repeats) for _, o in pairs)),
        p_worse=test.p_worse(),
        detectable=_detectable(test),
        n_worse=len(worse),
        n_better=len(better),
        worse=tuple(worse[:MAX_NAMED]),
        better=tuple(better[:MAX_NAMED]),
        judge=judge,
        level=level,
        test=test,
        generation_share=_generation_share(pairs, test),
        undiluted=_undiluted(test.value, youden),
    )


def paired_cases(new: Sequence[Scored], old: Sequence[Scored]) -> list[tuple[CaseScore, CaseScore]]:
    """The cases that both sides scored, in the order of ``new``.

    Raises BadInput when a case is in different clusters on the two sides.
    """
    before: Mapping[str, CaseScore] = by_case(old)
    pairs = [(case, before[name]) for name, case in by_case(new).items() if name in before]
    for mine, theirs in pairs:
        if mine.cluster != theirs.cluster:
            raise BadInput(
                f"case {mine.case} is in {mine.cluster} and {theirs.cluster}.", field="cluster", mend="Use one dataset."
            )
    return pairs


def _detectable(test: PairedDifference) -> float:
    """The drop with 80 % power at this standard error; where too few changed, by the exact bound for none changed."""
    if test.few:
        return min(1.0, 1.0 - math.exp(math.log(0.05) / test.clusters))
    return min(1.0, (normal_quantile(0.95) + normal_quantile(0.8)) * test.error)


def _generation_share(pairs: Sequence[tuple[CaseScore, CaseScore]], test: PairedDifference) -> float | None:
    """The part of the variance of the mean difference that further repeats would shrink."""
    within = 0.0
    for sides in pairs:
        for side in sides:
            means = [sum(values) / len(values) for values in side.repeats]
            if len(means) < 2:
                return None
            within += sum((m - side.mean) ** 2 for m in means) / (len(means) - 1) / len(means)
    variance = test.error * test.error
    return min(1.0, within / len(pairs) ** 2 / variance) if variance > 0.0 else None


def _undiluted(value: float, youden: float | None) -> float | None:
    if youden is None:
        return None
    if not 0.0 < youden <= 1.0:
        raise BadInput(f"{youden} is no TPR + TNR - 1.", field="youden", mend="Give more than 0, at most 1.")
    return min(1.0, max(-1.0, value / youden))
