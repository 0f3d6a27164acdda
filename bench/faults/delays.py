"""How soon a fault is seen: trials that end at the alarm, enough at each severity that a quantile means something.

Every fault type that can reach everybody is tried at each fall, at once and instantly, in as many rounds as asked for.
Up to the alarm such a trial is like one that is explained; only the explaining is left out, which takes most of the
time.

A fall of 20 points is one of what the fault harms: the share of good answers, of traces that are whole, of verdicts
that are right, of answers that leak nothing. How hard a knob must be turned for that differs from fault to fault and
from one choice of broken documents to the next, so it is found first, by answering the same requests with and without
the fault. It is counted among all requests: of one of two vendors more must break. What cannot be made to fall so far,
or so little, is left out and named. Costs and waiting times have no points and are not tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .fault import Fault
from .impact import impact_of
from .trial import Plan, Trial, effect_of

#: What a quantile is that only missed faults could give.
NEVER = "never"
#: Of quantiles' intervals: the chance that one misses the truth on one side.
_ERR = 0.025
#: Answers that a severity is set by, how near what falls must come to what is wanted, and how often it is tried.
_SET_BY, _NEAR, _TRIES = 1_000, 0.1, 6
_LEAST, _MOST = 0.002, 0.95
#: Harms that are parts of a mean, not points of a share.
_NO_POINTS = ("cost", "wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """One trial. ``scored`` is the number of values of the alarmed signal from the onset to the alarm, in its slice;
    ``requests`` counts all traffic. ``fall`` is how far what the fault harms was to fall, ``severity`` what that took,
    ``points`` how far the outcome fell; ``early`` counts alarms before the onset. ``counts`` says whether it could be
    made to fall so far.
    """

    fault: str
    tuned: bool
    fall: float
    severity: float
    staged: bool
    seed: int
    counts: bool
    points: float
    early: int
    detected: bool
    requests: int
    scored: int
    signal: str
    slice: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def plans_for(faults: Sequence[Fault], falls: Sequence[float], rounds: int, seed: int, *, hard: bool) -> list[Plan]:
    """Every type that reaches everybody, at each fall, in each round with chances of its own."""
    whole = [fault for fault in faults if "all" in fault.reaches and fault.harms not in _NO_POINTS]
    return [
        Plan(
            faults=(fault,), severity=fall, reach="all", share=1.0, slice="", onset="step",
            # A silent fault has no release of its own: its neighbours' go either way in turn.
            staged=fault.silent and bool((i + turn) % 2), seed=seed + 20_000 + 1009 * turn + i, hard=hard,
        )
        for fall in falls
        for turn in range(rounds)
        for i, fault in enumerate(whole)
    ]  # fmt: skip


async def set_to(template: Path, plan: Plan, fall: float) -> Plan | None:
    """The plan with the severity at which what its fault harms falls by ``fall``; None where no severity does that."""
    (fault,) = plan.faults
    severity, tried = fall, dict[float, float]()
    for _ in range(_TRIES):
        found = await impact_of(
            template, fault, effect_of(replace(plan, severity=severity), 0, 1), seed=plan.seed, requests=_SET_BY
        )
        harm = found.harm * found.touched
        if abs(harm - fall) <= _NEAR * fall:
            return replace(plan, severity=severity)
        tried[severity] = harm
        known, severity = severity, _next(tried, fall)
        if abs(severity - known) < _LEAST / 2.0:
            return None
    return None


def _next(tried: dict[float, float], fall: float) -> float:
    """A severity to try: between the nearest two that fall too little and too far, else as if harm grew with it."""
    below = max(((harm, s) for s, harm in tried.items() if harm < fall), default=(0.0, 0.0))
    above = min(((harm, s) for s, harm in tried.items() if harm > fall), default=None)
    if above is not None:
        share = (fall - below[0]) / (above[0] - below[0])
        wanted = below[1] + share * (above[1] - below[1])
    else:
        wanted = below[1] * min(3.0, fall / max(below[0], 1e-3))
    return min(_MOST, max(_LEAST, wanted))


def never_played(plan: Plan, fall: float) -> Delay:
    """The line of a fault that cannot be made to fall so far."""
    (fault,) = plan.faults
    return Delay(
        fault=fault.name, tuned=fault.tuned, fall=fall, severity=plan.severity, staged=plan.staged, seed=plan.seed,
        counts=False, points=0.0, early=0, detected=False, requests=0, scored=0, signal="", slice="",
    )  # fmt: skip


def delay_of(trial: Trial, fall: float) -> Delay:
    """What came of a trial that ended at its alarm."""
    plan, alarm = trial.plan, trial.alarm
    (fault,) = plan.faults
    return Delay(
        fault=fault.name, tuned=fault.tuned, fall=fall, severity=round(plan.severity, 4), staged=plan.staged,
        seed=plan.seed, counts=True, points=round(trial.impacts[0].points, 4), early=trial.early,
        detected=alarm is not None,
        requests=trial.alarm_at - trial.onset + 1 if alarm else 0, scored=trial.scored,
        signal=alarm.signal if alarm else "", slice=alarm.slice if alarm else "",
    )  # fmt: skip


def delay_figures(found: Sequence[Delay]) -> dict[str, Any]:
    """Median and 95th percentile in scored requests by fall, each with a 95 % interval; a missed fault counts as never.
    Faults that cannot fall so far are left out and named."""
    result: dict[str, Any] = {}
    for fall in sorted({one.fall for one in found}, reverse=True):
        whole = [one for one in found if one.fall == fall]
        counted = [one for one in whole if one.counts]
        waits = sorted(one.scored if one.detected else math.inf for one in counted)
        name = f"delay_{fall * 100:.0f}"
        result[f"{name}_n"] = len(waits)
        result[f"{name}_missed"] = round(sum(map(math.isinf, waits)) / len(waits), 4) if waits else None
        for word, share in (("median", 0.5), ("p95", 0.95)):
            low, at, high = places(len(waits), share)
            result[f"{name}_{word}"] = _or_never(waits[at]) if waits else None
            result[f"{name}_{word}_from"] = _or_never(waits[low]) if waits and low >= 0 else None
            result[f"{name}_{word}_to"] = _or_never(waits[high]) if high < len(waits) else None
        result[f"{name}_early"] = sum(one.early for one in counted)
        result[f"{name}_cannot"] = sorted({one.fault for one in whole if not one.counts})
    return result


def places(n: int, share: float) -> tuple[int, int, int]:
    """Where the quantile and the ends of its 95 % interval stand among ``n`` sorted values, counted from 0. The ends
    are order statistics (David and Nagaraja 2003, 7.1), so nothing is assumed of the values; an end that so few values
    cannot give is -1 or ``n``."""
    at = max(0, min(n - 1, math.ceil(share * n) - 1))
    chances = [math.comb(n, k) * share**k * (1.0 - share) ** (n - k) for k in range(n + 1)]
    # The k-th smallest value lies above the quantile when fewer than k values lie below it.
    low, below = 0, 0.0
    while low <= n and below + chances[low] <= _ERR:
        below += chances[low]
        low += 1
    high, above = n, 0.0
    while high >= 0 and above + chances[high] <= _ERR:
        above += chances[high]
        high -= 1
    return low - 1, at, high


def _or_never(wait: float) -> float | str:
    return wait if math.isfinite(wait) else NEVER
