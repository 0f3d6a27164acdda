"""Asking failing requests again, one layer put back at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from trimtab.attribution import Arm, Candidate, Report
from trimtab.core import NotFound, Span, TrimtabError
from trimtab.registry import Registry

from .arms import Pins, Tally, restores, served_by, unchanged
from .remedy import fallbacks, number_of

#: Re-asks one recorded request with pins put back and answers its signals' values; never recorded as traffic.
Replay = Callable[[Span, Mapping[str, str]], Awaitable[Mapping[str, float]]]

MAX_REQUESTS = 40
AT_ONCE = 4


async def replayed(
    replay: Replay, registry: Registry, report: Report, signals: Sequence[str], roots: Sequence[Span]
) -> tuple[Arm, ...]:
    """The arms' results on these failing requests; empty when there is no layer to put back.

    A request counts as passed when the worst of ``signals`` that the replay measures passes. A request whose replay
    fails, or measures none of them, is left out of that arm. Stops as soon as the evidence has decided.
    """
    plan = restores(report, lambda candidate: _alternative(registry, candidate))
    if not plan:
        return ()
    judge = next((candidate.after for candidate in report.candidates if candidate.kind == "judges"), "")
    gate = asyncio.Semaphore(AT_ONCE)
    tally = Tally(plan=plan)

    async def value(root: Span, pins: Pins | None) -> float | None:
        if pins is None:
            return None
        async with gate:
            try:
                values = await replay(root, pins)
            except TrimtabError:
                return None
        return min((values[signal] for signal in signals if signal in values), default=None)

    for root in roots[:MAX_REQUESTS]:
        served = served_by(root, judge)
        asks = [unchanged(served), *(arm.pins(served) for arm in plan)]
        same, *put_back = await asyncio.gather(*(value(root, pins) for pins in asks))
        if same is not None:
            tally.add(same, put_back)
        if tally.decided:
            break
    return tally.arms() if tally.asked else ()


def _alternative(registry: Registry, candidate: Candidate) -> str:
    """What can stand in for what was before a change."""
    name = candidate.asset.partition(":/")[2]
    if candidate.kind == "models":
        return next(iter(fallbacks(registry, name)), "")
    try:
        registry.version(candidate.kind, name, number_of(candidate.before))
    except NotFound:
        return ""
    return candidate.before
