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

#: Failing requests asked again for one verdict, each once in every arm.
MAX_REQUESTS = 100
AT_ONCE = 4


class Replaying:
    """Replays of one incident's failing requests; the evidence grows with every batch of them.

    A request counts as passed when the worst of ``signals`` that the replay measures passes. A request whose replay
    fails, or measures none of them, is left out of that arm. Each request is asked once an arm: a model that answers
    alike every time would make the same request count again and again. Stops as soon as the evidence has decided.
    """

    def __init__(self, replay: Replay, registry: Registry, report: Report, signals: Sequence[str]) -> None:
        self._replay = replay
        self._signals = signals
        self._judge = next((candidate.after for candidate in report.candidates if candidate.kind == "judges"), "")
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tally = Tally(plan=restores(report, lambda candidate: _alternative(registry, candidate)))
        self._asked: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether asking on would be of no use: nothing to put back, decided, or the bound is reached."""
        return not self._tally.plan or self._tally.decided or len(self._asked) >= MAX_REQUESTS

    def fresh(self, traces: Sequence[str]) -> list[str]:
        """Those not asked yet, within the bound."""
        return [trace for trace in traces if trace not in self._asked][: MAX_REQUESTS - len(self._asked)]

    async def ask(self, roots: Sequence[Span]) -> None:
        """Ask failing requests again, in every arm."""
        for root in roots:
            if self.over:
                return
            self._asked.add(root.trace_id)
            served = served_by(root, self._judge)
            asks = [unchanged(served), *(arm.pins(served) for arm in self._tally.plan)]
            same, *put_back = await asyncio.gather(*(self._value(root, pins) for pins in asks))
            if same is not None:
                self._tally.add(same, put_back)

    def arms(self) -> tuple[Arm, ...]:
        """The results so far; empty when nothing was asked."""
        return self._tally.arms() if self._tally.asked else ()

    async def _value(self, root: Span, pins: Pins | None) -> float | None:
        if pins is None:
            return None
        async with self._gate:
            try:
                values = await self._replay(root, pins)
            except TrimtabError:
                return None
        return min((values[signal] for signal in self._signals if signal in values), default=None)


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
