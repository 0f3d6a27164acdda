"""Asking requests of an incident again, with changes put back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from trimtab.attribution import Arm, Candidate, Report
from trimtab.core import LAYER_OF_KIND, NotFound, Span, TrimtabError
from trimtab.registry import Registry
from trimtab.watch import SCORED, pins_of

from .arms import PASSES_AT, Pins, Tally, asks, restores
from .remedy import fallbacks, number_of

#: Re-asks one recorded request with pins put back and answers its signals' values; never recorded as traffic.
Replay = Callable[[Span, Mapping[str, str]], Awaitable[Mapping[str, float]]]
#: A measured value of a signal and slice as its monitor keeps it, in [0, 1]; None where it cannot tell.
Inside = Callable[[str, str, float], float | None]

#: Requests asked again for one verdict, each once in every arm, and calls of an incident for all of its verdicts.
MAX_REQUESTS, MAX_CALLS = 150, 1000
AT_ONCE = 4


class Replaying:
    """Replays of one incident's requests; the evidence grows with every batch of them.

    The requests are those that the suspects reached, whatever became of them. Failing ones alone would prove too much:
    whatever is put back redraws the luck of an answer, and of a failing one it can only get better, which the arm with
    nothing changed does not show for a model that answers alike every time.

    A request passes when the first of ``signals`` that replays measure passes. A replay that fails, or does not measure
    it, is left out of its arm. Each request is asked once an arm: a model that answers alike every time would make the
    same request count again and again. Stops as soon as the evidence has decided.
    """

    def __init__(
        self, replay: Replay, registry: Registry, report: Report, signals: Sequence[str], inside: Inside,
        calls: int = MAX_CALLS,
    ) -> None:  # fmt: skip
        self._replay, self._inside = replay, inside
        self._signals = tuple(signals)
        self._judge = next((candidate.after for candidate in report.candidates if candidate.kind == "judges"), "")
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tally = Tally(plan=restores(report, lambda candidate: _alternative(registry, candidate)))
        self._asked: dict[str, tuple[Span, dict[str, bool]]] = {}
        self._breaking = False
        self._most, self.calls = calls, 0
        about = {arm.change_id for arm in self._tally.plan}
        self.candidates = [candidate for candidate in report.candidates if candidate.change_id in about]

    @property
    def over(self) -> bool:
        """Whether asking on would be of no use: nothing to put back, decided, or the bound is reached."""
        spent = len(self._asked) >= MAX_REQUESTS or self.calls >= self._most
        return not self._tally.plan or self._tally.decided or spent

    def fresh(self, traces: Sequence[str]) -> list[str]:
        """Those not asked yet, within the bound."""
        return [trace for trace in traces if trace not in self._asked][: MAX_REQUESTS - len(self._asked)]

    async def ask(self, roots: Sequence[Span], failed: Mapping[str, bool]) -> None:
        """Ask requests again, in every arm. ``failed`` says of each trace whether it had."""
        for root in roots:
            if self.over:
                return
            served = pins_of(root.stamp, self._judge)
            values = await self._values(root, asks(self._tally.plan, served, breaking=self._breaking))
            passes = self._tally.add(failed.get(root.trace_id, True), values)
            self._asked[root.trace_id] = root, passes if passes is not None else {}
            if not self._breaking and self._tally.breaking:
                self._breaking = True
                await self._break_those_asked()

    def arms(self) -> tuple[Arm, ...]:
        """The results so far; empty when nothing was asked."""
        return self._tally.arms() if self._tally.rows else ()

    async def _break_those_asked(self) -> None:
        """Ask what was asked already in the arms that break one change at a time too."""
        for root, passes in list(self._asked.values()):
            if self._tally.decided or self.calls >= self._most:
                return
            every = asks(self._tally.plan, pins_of(root.stamp, self._judge), breaking=True) if passes else {}
            more = {name: pins for name, pins in every.items() if name not in passes}
            for name, value in (await self._values(root, more)).items():
                if value is not None:
                    passes[name] = value >= PASSES_AT

    async def _values(self, root: Span, every: Mapping[str, Pins]) -> dict[str, float | None]:
        """The values by arm; arms with the same pins are asked once."""
        distinct = {tuple(sorted(pins.items())): pins for pins in every.values()}
        self.calls += len(distinct)
        values = await asyncio.gather(*(self._value(root, pins) for pins in distinct.values()))
        found = dict(zip(distinct, values, strict=True))
        return {name: found[tuple(sorted(pins.items()))] for name, pins in every.items()}

    async def _value(self, root: Span, pins: Pins) -> float | None:
        async with self._gate:
            try:
                values = await self._replay(root, pins)
            except TrimtabError:
                return None
        for signal in self._signals:
            value = values.get(signal)
            if value is not None and signal not in SCORED:
                value = self._inside(signal, root.tags.get("topic", ""), value)
            if value is not None:
                self._signals = (signal,)  # from now on nothing else counts, or arms would be compared on two scales
                return value
        return None


def _alternative(registry: Registry, candidate: Candidate) -> str:
    """What can stand in for what was before a change."""
    name = candidate.asset.partition(":/")[2]
    if candidate.kind not in LAYER_OF_KIND:
        return ""
    if candidate.kind == "models":
        return next(iter(fallbacks(registry, name)), "")
    try:
        registry.version(candidate.kind, name, number_of(candidate.before))
    except NotFound:
        return ""
    return candidate.before
