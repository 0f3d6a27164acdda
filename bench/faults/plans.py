"""Which trials a run consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .catalogue import PAIRS, Pair
from .effects import Onset
from .fault import Fault, Reach
from .trial import SLICES, Plan

SEVERITIES = (0.20, 0.10, 0.05)
#: A slice or a few sessions only: what breaks there, so that the whole feels about as much.
IN_SLICE = (0.45, 0.30, 0.20)
STICKY = ((0.16, 0.8), (0.08, 0.8), (0.04, 0.9))
ONSETS: tuple[Onset, ...] = ("step", "step", "step", "ramp", "step", "intermittent")
#: Requests after the onset before a fault counts as missed.
LIMITS = {0.20: 1200, 0.10: 2000, 0.05: 4000}
LIMIT, LIMIT_FEW = 3000, 5000


def singles(faults: Sequence[Fault], repeats: int, seed: int, *, hard: bool) -> list[Plan]:
    """Every fault, once a repeat and release mode; severity, reach and onset go round.

    A fault with a change on record is tried both instant and staged. One without is tried once, with its neighbours
    released either way in turn.
    """
    plans: list[Plan] = []
    for repeat in range(repeats):
        for i, fault in enumerate(faults):
            base = _plan(fault, i + repeat, seed + 1000 * repeat + i, hard)
            if fault.silent:
                plans.append(replace(base, staged=bool((i + repeat) % 2)))
            else:
                plans += [base, replace(base, staged=True, onset="step", seed=base.seed + 500)]
    return plans


def _plan(fault: Fault, turn: int, seed: int, hard: bool) -> Plan:
    # All of the traffic is every other trial, for delays are told apart by severity there.
    others: list[Reach] = [r for r in fault.reaches if r != "all"]
    reach: Reach = (
        "all" if "all" in fault.reaches and (turn % 2 == 0 or not others) else others[turn // 2 % len(others)]
    )
    step = turn % 3
    severity, share, part = SEVERITIES[step], 1.0, ""
    if reach == "slice":
        severity, part = IN_SLICE[step], fault.slice or SLICES[turn % len(SLICES)]
    elif reach == "sticky":
        share, severity = STICKY[step]
    onset = ONSETS[turn // 2 % len(ONSETS)]
    if reach != "all":
        # A few sessions in fits would be less than any run of this length can see.
        onset = "step" if reach == "sticky" else ONSETS[(turn + seed) % len(ONSETS)]
    return Plan(
        faults=(fault,), severity=severity, reach=reach, share=share, slice=part, onset=onset, staged=False,
        seed=seed, hard=hard,
    )  # fmt: skip


def pairs(limit: int, seed: int, *, hard: bool) -> list[Plan]:
    """The pairs, every other one staged."""
    return [_pair(pair, i, seed + 5000 + i, hard) for i, pair in enumerate(PAIRS[:limit])]


def _pair(pair: Pair, i: int, seed: int, hard: bool) -> Plan:
    sliced = pair.kind == "disjoint"
    return Plan(
        faults=(pair.first, pair.second), severity=0.45 if sliced else 0.25, reach="slice" if sliced else "all",
        share=1.0, slice="", onset="step", staged=bool(i % 2), seed=seed, hard=hard, apart=pair.apart, pair=pair.kind,
    )  # fmt: skip


def limit_of(plan: Plan) -> int:
    """How long the plan's fault may stay unseen."""
    if plan.reach == "all":
        slower = 1 if plan.onset == "step" else 2
        return LIMITS.get(plan.severity, LIMIT) * slower
    return LIMIT_FEW if plan.share < 0.1 else LIMIT
