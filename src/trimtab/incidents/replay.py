"""Asking requests of an incident again, with changes put back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from trimtab.attribution import Arm, Candidate, Report
from trimtab.core import LAYER_OF_KIND, NotFound, Span, TrimtabError
from trimtab.registry import Registry
from trimtab.watch import is_score, pins_of

from .arms import PASSES_AT, SAME, Pins, Tally, asks, restores
from .incident import Pair
from .remedy import fallbacks, number_of


class Again(dict[str, float]):
    """What a request that was asked again measures, by signal. ``text`` is what was answered."""

    def __init__(self, values: Mapping[str, float], text: str = "") -> None:
        super().__init__(values)
        self.text = text


#: Re-asks one recorded request with pins put back and answers its signals' values; never recorded as traffic. Where it
#: answers an ``Again``, people are shown what was said.
Replay = Callable[[Span, Mapping[str, str]], Awaitable[Mapping[str, float]]]
#: A measured value of a signal and slice as its monitor keeps it, in [0, 1]; None where it cannot tell.
Inside = Callable[[str, str, float], float | None]

#: Requests asked again for one verdict, each once in every arm, before somebody is asked.
MAX_REQUESTS = 150
AT_ONCE = 4
#: Characters of an answer that are kept, those of them that are shown, and of these before the first difference.
_KEPT, _SHOWN, _BEFORE = 8000, 600, 150


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
        self, replay: Replay, registry: Registry, report: Report, signals: Sequence[str], inside: Inside
    ) -> None:
        self._replay, self._inside = replay, inside
        self._signals = tuple(signals)
        self._judge = next((candidate.after for candidate in report.candidates if candidate.kind == "judges"), "")
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tally = Tally(plan=restores(report, lambda candidate: _alternative(registry, candidate)))
        self._asked: dict[str, tuple[Span, dict[str, bool]]] = {}
        self._said: dict[str, dict[str, str]] = {}
        self._breaking = False
        self._calls = self._unpriced = 0
        self._usd = 0.0
        self._most_calls = self._most_requests = 0
        self._most_usd = 0.0
        about = {arm.change_id for arm in self._tally.plan}
        self.candidates = [candidate for candidate in report.candidates if candidate.change_id in about]

    @property
    def over(self) -> bool:
        """Whether asking on would be of no use: nothing to put back, decided, or the bound is reached."""
        return not self._tally.plan or self._tally.decided or self._bound

    @property
    def undecided(self) -> bool:
        """Whether the bound alone keeps it from going on."""
        return bool(self._tally.plan) and bool(self._asked) and not self._tally.decided and self._bound

    @property
    def _bound(self) -> bool:
        spent = self._calls >= self._most_calls or self._usd >= self._most_usd
        return spent or len(self._asked) >= self._most_requests

    @property
    def requests(self) -> int:
        """How many were asked again."""
        return len(self._asked)

    @property
    def spent(self) -> tuple[int, float, int]:
        """Calls made, what they cost in US dollars if each costs what its request did, and those without a price."""
        return self._calls, self._usd, self._unpriced

    @property
    def calls_a_request(self) -> float:
        """Calls that a request takes in all arms."""
        return self._calls / max(1, len(self._asked))

    def allow(self, calls: int, usd: float, requests: int) -> None:
        """So many calls more may be made, for so many US dollars more and so many requests in all."""
        self._most_calls, self._most_usd, self._most_requests = self._calls + calls, self._usd + usd, requests

    def fresh(self, traces: Sequence[str]) -> list[str]:
        """Those not asked yet, within the bound; one beyond it, to tell whether more could be asked."""
        left = max(1, self._most_requests - len(self._asked))
        return [trace for trace in traces if trace not in self._asked][:left]

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

    def pairs(self, most: int) -> tuple[Pair, ...]:
        """Requests that the best change put back mended, with both answers; the first ones."""
        best = self._tally.best()
        if best is None:
            return ()
        arm, about = best
        found = []
        for trace_id, (_, passes) in self._asked.items():
            said = self._said.get(trace_id, {})
            if self._tally.mended(passes, arm) and said.get(SAME) and said.get(arm):
                before, after = _differing(said[SAME], said[arm])
                found.append(
                    Pair(
                        trace_id=trace_id, restored=about.restored, layer=int(LAYER_OF_KIND[about.kind]),
                        before=before, after=after,
                    )
                )  # fmt: skip
        # Those whose words differ show more than those that only rest on other passages.
        return tuple(sorted(found, key=lambda pair: pair.before == pair.after)[:most])

    async def _break_those_asked(self) -> None:
        """Ask what was asked already in the arms that break one change at a time too."""
        for root, passes in list(self._asked.values()):
            if self._tally.decided or self._calls >= self._most_calls or self._usd >= self._most_usd:
                return
            every = asks(self._tally.plan, pins_of(root.stamp, self._judge), breaking=True) if passes else {}
            more = {name: pins for name, pins in every.items() if name not in passes}
            for name, value in (await self._values(root, more)).items():
                if value is not None:
                    passes[name] = value >= PASSES_AT

    async def _values(self, root: Span, every: Mapping[str, Pins]) -> dict[str, float | None]:
        """The values by arm; arms with the same pins are asked once."""
        distinct = {tuple(sorted(pins.items())): pins for pins in every.values()}
        self._calls += len(distinct)
        self._usd += (root.cost_usd or 0.0) * len(distinct)
        self._unpriced += len(distinct) if root.cost_usd is None else 0
        answers = await asyncio.gather(*(self._value(root, pins) for pins in distinct.values()))
        found = dict(zip(distinct, answers, strict=True))
        said = self._said.setdefault(root.trace_id, {})
        values: dict[str, float | None] = {}
        for name, pins in every.items():
            values[name], said[name] = found[tuple(sorted(pins.items()))]
        return values

    async def _value(self, root: Span, pins: Pins) -> tuple[float | None, str]:
        """The first signal that it measures, and what was answered."""
        async with self._gate:
            try:
                values = await self._replay(root, pins)
            except TrimtabError:
                return None, ""
        text = values.text.strip()[:_KEPT] if isinstance(values, Again) else ""
        for signal in self._signals:
            value = values.get(signal)
            if value is not None and not is_score(signal):
                value = self._inside(signal, root.tags.get("topic", ""), value)
            if value is not None:
                self._signals = (signal,)  # from now on nothing else counts, or arms would be compared on two scales
                return value, text
        return None, text


def _differing(before: str, after: str) -> tuple[str, str]:
    """Both texts from shortly before their first difference on."""
    shorter = min(len(before), len(after))
    same = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    start = 0 if same < _SHOWN // 2 or before == after else max(0, before.rfind(" ", 0, same - _BEFORE) + 1)
    cut = "… " if start else ""
    return f"{cut}{before[start : start + _SHOWN]}", f"{cut}{after[start : start + _SHOWN]}"


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
