"""Continuous scoring: every finished gateway trace gets the checks, a sample of them a judge's verdict.

What else is to score traffic stands in the registry, see ``live_sets``; it looks at applications' own runs too.

Who judges the judge: with a golden dataset, one of its items is judged now and then by the very judge version that
just judged live traffic, and whether it agrees with the experts' label is a score of that trace.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from trimtab.core import BadInput, Model, NotFound, Score, Span, TrimtabError, Version, now_ns, parse_address
from trimtab.registry import Registry

from .assertions import Assertions, scores_of, values_of
from .checks import CHECKS
from .dataset import Golden, golden_of
from .judge import Judge, PaidInVain
from .live_scoring import LiveScoring, each_of
from .live_sets import SEPARATOR
from .output import Output
from .sampling import JUDGED, REASON, Sampling, drawn_label
from .scorer import Verdict
from .scorers import Means
from .spending import Spending

#: Judge calls under way at once.
CONCURRENCY = 8
#: The score of the judge that the configuration names, and the name under which its spending is kept.
QUALITY = "quality"


async def no_trace(trace_id: str) -> Sequence[Span]:
    """Traces where nobody can read them."""
    return ()


class Online:
    """Scores traffic, and on demand one answer (for a replay).

    ``judge`` and ``golden`` are addresses ("" = none); ``sample`` and ``golden_rate`` shares in [0, 1]: of the answers
    that are judged, and of the judged ones that bring a golden item along. ``rng`` draws from [0, 1). ``raised`` is the
    share while there is evidence of trouble and ``budget_usd`` what verdicts may cost in a day, see ``Sampling``.
    ``means`` is what the scorers of the registry's sets need, without which none is asked, and ``trace_of`` reads the
    spans of a trace. ``spending`` outlives a restart once ``load`` was called.

    ``errors`` counts verdicts that could not be had and ``reasons`` says why; such an answer has no ``quality``,
    neither a 0 nor a guess, but the score ``judged`` that says why.
    """

    def __init__(  # house: parameters because each is a setting of its own in the configuration
        self,
        *,
        registry: Registry,
        model_of: Callable[[str], Model],
        judge: str = "",
        sample: float = 0.0,
        golden: str = "",
        golden_rate: float = 0.0,
        rng: Callable[[], float],
        clock: Callable[[], int] = now_ns,
        raised: float = 0.0,
        budget_usd: float | None = None,
        means: Means | None = None,
        trace_of: Callable[[str], Awaitable[Sequence[Span]]] = no_trace,
        spending: Spending | None = None,
    ) -> None:
        self.judge = judge
        self.errors = 0
        self.reasons: Counter[str] = Counter()
        self._registry = registry
        self._model_of = model_of
        self._spending = spending if spending is not None else Spending(None, clock)
        self.sampling = Sampling(
            sample, rng=rng, clock=clock, raised=raised, budget_usd=budget_usd, spend=self._spending.of(QUALITY)
        )
        self._golden = golden
        self._golden_rate = golden_rate
        self._rng = rng
        self._clock = clock
        self._assertions = Assertions(registry)
        self._turns = asyncio.Semaphore(CONCURRENCY)
        self._golden_turn = 0
        self.live: LiveScoring | None = None
        if means is not None:
            # The evidence is asked for when it is needed: whoever watches comes after whoever scores.
            make = partial(Sampling, rng=rng, clock=clock, evidence=lambda: self.sampling.evidence())
            self.live = LiveScoring(
                registry=registry, means=means, spending=self._spending, sampling=make, turns=self._turns,
                usual=(sample, raised), trace_of=trace_of,
            )  # fmt: skip

    async def load(self) -> None:
        """Take up what was spent before a restart today."""
        await self._spending.load()

    @property
    def notes(self) -> list[str]:
        """What a reader of the scores has to know, a sentence each; none in quiet times."""
        return [*([self.sampling.note] if self.sampling.note else []), *(self.live.notes() if self.live else ())]

    async def score_names(self) -> list[str]:
        """The scores that live traffic gets beside Trimtab's own, as the versions that are live say."""
        names = []
        try:
            judge = self._registry.resolve(self.judge, kind="judges").version if self.judge else None
            names += [f"{QUALITY}{SEPARATOR}{name}" for name in each_of(judge)]
        except TrimtabError:
            pass  # it is not there yet; who looks at its scores is told so elsewhere
        for line in await self.live.standing() if self.live is not None else ():
            if not line.problem:
                names += [line.score, *line.criteria]
        return names

    async def score(self, spans: Sequence[Span]) -> list[Score]:
        """Scores of every complete gateway trace among ``spans``, Trimtab's own left out.

        A score's time is the answer's (never later than now), and its id is made from trace and scorer: scoring a
        trace twice adds nothing to a store that keeps the first of an id.
        """
        found: list[Score] = []
        drawn: list[Output] = []
        now = self._clock()
        probability = self.sampling.wanted() if self.judge else 0.0
        outputs = [replace(o, time_ns=now) if o.time_ns > now else o for o in outputs_of(spans)]
        for output in outputs:
            found += [_score(output, name, value, by=f"check:{name}") for name, value in checked(output).items()]
            found += scores_of(output, await self._assertions.kept(output))
            if output.answered and self.sampling.draw(probability):
                drawn.append(output)
        if drawn:
            for scores in await asyncio.gather(*(self._live(output, probability) for output in drawn)):
                found += scores
        try:
            if self.live is not None:
                found += await self.live.score(outputs)
                found += await self.live.runs(spans, now)
        finally:  # what was paid is kept whatever else goes wrong
            await self._keep()
        return found

    async def check(self, output: Output) -> dict[str, float]:
        """The deterministic checks, the assertions that apply and what scorers without a model say, by score name."""
        own = await self.live.check(output) if self.live is not None else {}
        return {**checked(output), **values_of(await self._assertions.kept(output)), **own}

    async def judged(self, output: Output, version: Version) -> dict[str, float]:
        """What one judge version says: ``quality`` of the answer, that of each criterion where the judge tells them
        apart (``quality.CRITERION``), and with a golden dataset ``judge_agreement``.

        The golden item is chosen by the question, so that two versions asked about one question judge one item.
        Empty for an output without an answer. Raises what Judge raises.
        """
        if not output.answered:
            return {}
        values = values_by_name(await self._verdict(output, version))
        if self._golden:
            items = self._golden_items()
            item = items[zlib.crc32(output.question.encode("utf-8", "replace")) % len(items)]
            values["judge_agreement"] = float(_agrees(await self._verdict(_as_output(item), version), item))
        return values

    async def _verdict(self, output: Output, version: Version) -> Verdict:
        async with self._turns:
            return await self._ask(output, version)

    async def _ask(self, output: Output, version: Version) -> Verdict:
        ref = version.content.get("model")
        if not isinstance(ref, str):
            raise BadInput("must be text that is not empty.", field="model", mend=f"Mend the judge {version.pin}.")
        return await Judge(version, self._model_of(ref)).verdict(output)

    async def _live(self, output: Output, probability: float) -> list[Score]:
        async with self._turns:
            # Many may be drawn at once: the budget is looked at again before each of them is asked.
            if self.sampling.resting:
                return [_missed(output, self.judge, "Today's budget of the judge is spent.")]
            return await self._judged_live(output, probability)

    async def _judged_live(self, output: Output, probability: float) -> list[Score]:
        found: list[Score] = []
        why = ""
        label = drawn_label(probability) if probability < 1.0 else ""
        try:
            version = self._registry.resolve(self.judge, kind="judges", key=output.trace_id).version
            verdict = await self._ask(output, version)
            for name, value in values_by_name(verdict).items():
                reason = verdict.reason if name == QUALITY else ""
                found.append(replace(_by_judge(output, version, name, value, reason), label=label))
            self._spending.pay(QUALITY, verdict.cost_usd)
            if self._golden and self._rng() < self._golden_rate:
                found.append(await self._agreement(output, version))
        except TrimtabError as error:
            self._count(error.code)
            if isinstance(error, PaidInVain):
                self._spending.pay(QUALITY, error.cost_usd)
            why = str(error)
        except Exception as error:  # house: except because one judge's mistake must not cost the other answers' scores
            self._count(type(error).__name__)
            why = f"internal error ({type(error).__name__})"
        return found or [_missed(output, self.judge, why)]

    async def _agreement(self, output: Output, version: Version) -> Score:
        items = self._golden_items()
        item = items[self._golden_turn % len(items)]
        self._golden_turn += 1
        verdict = await self._ask(_as_output(item), version)
        self._spending.pay(QUALITY, verdict.cost_usd)
        reason = f"expert: {'pass' if item.passes else 'fail'}; judge: {verdict.reason}"
        return _by_judge(output, version, "judge_agreement", float(_agrees(verdict, item)), reason)

    def _golden_items(self) -> list[Golden]:
        version = self._registry.resolve(self._golden, kind="datasets").version
        items = golden_of(version.content)
        if not items:
            raise NotFound(f"{version.address} holds no golden items.", field="golden", mend="Add some, or name none.")
        return items

    async def _keep(self) -> None:
        try:
            await self._spending.keep()
        except TrimtabError as error:  # it counts in memory all the same
            self._count(error.code)

    def _count(self, reason: str) -> None:
        self.errors += 1
        self.reasons[reason] += 1


def checked(output: Output) -> dict[str, float]:
    """The deterministic checks that apply, by score name; pure functions, called without the detour of a coroutine."""
    values: dict[str, float] = {}
    for name, check in CHECKS.items():
        value = check.rule(output)
        if value is not None:
            values[name] = value
    return values


def values_by_name(verdict: Verdict) -> dict[str, float]:
    """A judge's verdict as scores: ``quality``, and ``quality.CRITERION`` of each criterion that it tells apart."""
    each: Mapping[str, bool] = verdict.detail.get("criteria", {})
    return {QUALITY: _value(verdict), **{f"{QUALITY}{SEPARATOR}{name}": float(met) for name, met in each.items()}}


def _as_output(item: Golden) -> Output:
    return Output(text=item.answer, question=item.input, passages=item.passages)


def _agrees(verdict: Verdict, item: Golden) -> bool:
    return (verdict.value == 1.0) == item.passes


def _value(verdict: Verdict) -> float:
    """The value of a judge's verdict, which has one: a judge that has none raises."""
    assert verdict.value is not None
    return verdict.value


def outputs_of(spans: Iterable[Span]) -> list[Output]:
    """The outputs of the complete gateway traces among spans, in the order of their first span."""
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    outputs = (Output.from_trace(trace) for trace in traces.values())
    return [output for output in outputs if output is not None and output.traffic]


def _score(output: Output, name: str, value: float, *, by: str) -> Score:
    return Score(
        id=f"{output.trace_id}:{name}",
        trace_id=output.trace_id,
        span_id=output.span_id,
        name=name,
        value=value,
        by=by,
        time_ns=output.time_ns,
        slice=output.slice,
        project=output.project,
        stamp=output.stamp,
    )


def _missed(output: Output, judge: str, why: str) -> Score:
    """What is left of an answer that was drawn for the judge and got no verdict."""
    return replace(_score(output, JUDGED, 0.0, by=f"judge:{parse_address(judge, 'judges').name}"), reason=why[:REASON])


def _by_judge(output: Output, version: Version, name: str, value: float, reason: str) -> Score:
    score = _score(output, name, value, by=f"judge:{version.name}")
    return replace(score, id=f"{score.id}:{version.pin}", by_version=version.pin, reason=reason)
