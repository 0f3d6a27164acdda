"""How soon a fault is seen: trials that end at the alarm, enough at each severity that a quantile means something.

Every fault type that can reach everybody is tried at each severity, at once and instantly, in as many rounds as asked
for. Up to the alarm such a trial is like one that is explained; only the explaining is left out, which takes most of
the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .fault import Fault
from .trial import Plan, Trial

#: What a quantile is that only missed faults could give.
NEVER = "never"
#: Of quantiles' intervals: the chance that one misses the truth on one side.
_ERR = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """One trial. ``scored`` is the number of values of the alarmed signal from the onset to the alarm, in its slice;
    ``requests`` counts all traffic. ``points`` is how far the outcome fell, ``early`` counts alarms before the onset.
    """

    fault: str
    tuned: bool
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


def plans_for(
    faults: Sequence[Fault], severities: Sequence[float], rounds: int, seed: int, *, hard: bool
) -> list[Plan]:
    """Every type that reaches everybody, at each severity, in each round with chances of its own."""
    whole = [fault for fault in faults if "all" in fault.reaches]
    return [
        Plan(
            faults=(fault,), severity=severity, reach="all", share=1.0, slice="", onset="step",
            # A silent fault has no release of its own: its neighbours' go either way in turn.
            staged=fault.silent and bool((i + turn) % 2), seed=seed + 20_000 + 1009 * turn + i, hard=hard,
        )
        for severity in severities
        for turn in range(rounds)
        for i, fault in enumerate(whole)
    ]  # fmt: skip


def delay_of(trial: Trial) -> Delay:
    """What came of a trial that ended at its alarm."""
    plan, alarm = trial.plan, trial.alarm
    (fault,) = plan.faults
    return Delay(
        fault=fault.name, tuned=fault.tuned, severity=plan.severity, staged=plan.staged, seed=plan.seed,
        counts=trial.counts, points=round(trial.impacts[0].points, 4), early=trial.early, detected=alarm is not None,
        requests=trial.alarm_at - trial.onset + 1 if alarm else 0, scored=trial.scored,
        signal=alarm.signal if alarm else "", slice=alarm.slice if alarm else "",
    )  # fmt: skip


def delay_figures(found: Sequence[Delay]) -> dict[str, Any]:
    """Median and 95th percentile in scored requests by severity, each with a 95 % interval; a missed fault counts as
    never. Faults that break nothing are left out and named."""
    result: dict[str, Any] = {}
    for severity in sorted({one.severity for one in found}, reverse=True):
        whole = [one for one in found if one.severity == severity]
        counted = [one for one in whole if one.counts]
        waits = sorted(one.scored if one.detected else math.inf for one in counted)
        name = f"delay_{severity * 100:.0f}"
        result[f"{name}_n"] = len(waits)
        result[f"{name}_missed"] = round(sum(map(math.isinf, waits)) / len(waits), 4) if waits else None
        for word, share in (("median", 0.5), ("p95", 0.95)):
            low, at, high = places(len(waits), share)
            result[f"{name}_{word}"] = _or_never(waits[at]) if waits else None
            result[f"{name}_{word}_from"] = _or_never(waits[low]) if waits and low >= 0 else None
            result[f"{name}_{word}_to"] = _or_never(waits[high]) if high < len(waits) else None
        result[f"{name}_early"] = sum(one.early for one in counted)
        result[f"{name}_without_impact"] = sorted({one.fault for one in whole if not one.counts})
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
