"""Continuous scoring: every finished gateway trace gets the checks, a sample of them a judge's verdict.

Who judges the judge: with a golden dataset, one of its items is judged now and then by the very judge version that
just judged live traffic, and whether it agrees with the experts' label is a score of that trace.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from trimtab.core import BadInput, Model, NotFound, Score, Span, TrimtabError, Version, now_ns
from trimtab.registry import Registry

from .assertions import Assertions, scores_of, values_of
from .checks import CHECKS
from .dataset import Golden, golden_of
from .judge import Judge
from .output import Output
from .sampling import Sampling, drawn_label
from .scorer import Verdict

#: Judge calls under way at once.
CONCURRENCY = 8


class Online:
    """Scores traffic, and on demand one answer (for a replay).

    ``judge`` and ``golden`` are addresses ("" = none); ``sample`` and ``golden_rate`` shares in [0, 1]: of the answers
    that are judged, and of the judged ones that bring a golden item along. ``rng`` draws from [0, 1). ``raised`` is the
    share while there is evidence of trouble and ``budget_usd`` what verdicts may cost in a day, see ``Sampling``.

    ``errors`` counts verdicts that could not be had and ``reasons`` says why; such an answer has no score from the
    judge: neither a 0 nor a guess.
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
    ) -> None:
        self.judge = judge
        self.errors = 0
        self.reasons: Counter[str] = Counter()
        self._registry = registry
        self._model_of = model_of
        self.sampling = Sampling(sample, rng=rng, clock=clock, raised=raised, budget_usd=budget_usd)
        self._golden = golden
        self._golden_rate = golden_rate
        self._rng = rng
        self._clock = clock
        self._assertions = Assertions(registry)
        self._turns = asyncio.Semaphore(CONCURRENCY)
        self._golden_turn = 0

    async def score(self, spans: Sequence[Span]) -> list[Score]:
        """Scores of every complete gateway trace among ``spans``, Trimtab's own left out.

        A score's time is the answer's (never later than now), and its id is made from trace and scorer: scoring a
        trace twice adds nothing to a store that keeps the first of an id.
        """
        found: list[Score] = []
        drawn: list[Output] = []
        now = self._clock()
        probability = self.sampling.probability() if self.judge else 0.0
        for output in outputs_of(spans):
            if output.time_ns > now:
                output = replace(output, time_ns=now)
            found += [_score(output, name, value, by=f"check:{name}") for name, value in checked(output).items()]
            found += scores_of(output, await self._assertions.kept(output))
            if output.answered and self.sampling.draw(probability):
                drawn.append(output)
        if not drawn:
            return found
        for scores in await asyncio.gather(*(self._live(output, probability) for output in drawn)):
            found += scores
        return found

    async def check(self, output: Output) -> dict[str, float]:
        """The deterministic checks and the assertions that apply, by score name."""
        return {**checked(output), **values_of(await self._assertions.kept(output))}

    async def judged(self, output: Output, version: Version) -> dict[str, float]:
        """What one judge version says: ``quality`` of the answer, and with a golden dataset ``judge_agreement``.

        The golden item is chosen by the question, so that two versions asked about one question judge one item.
        Empty for an output without an answer. Raises what Judge raises.
        """
        if not output.answered:
            return {}
        values = {"quality": _value(await self._verdict(output, version))}
        if self._golden:
            items = self._golden_items()
            item = items[zlib.crc32(output.question.encode("utf-8", "replace")) % len(items)]
            values["judge_agreement"] = float(_agrees(await self._verdict(_as_output(item), version), item))
        return values

    async def _verdict(self, output: Output, version: Version) -> Verdict:
        ref = version.content.get("model")
        if not isinstance(ref, str):
            raise BadInput("must be text that is not empty.", field="model", mend=f"Mend the judge {version.pin}.")
        async with self._turns:
            return await Judge(version, self._model_of(ref)).verdict(output)

    async def _live(self, output: Output, probability: float) -> list[Score]:
        found: list[Score] = []
        try:
            version = self._registry.resolve(self.judge, kind="judges", key=output.trace_id).version
            verdict = await self._verdict(output, version)
            self.sampling.pay(verdict.cost_usd)
            score = _by_judge(output, version, "quality", _value(verdict), verdict.reason)
            found.append(replace(score, label=drawn_label(probability)) if probability < 1.0 else score)
            if self._golden and self._rng() < self._golden_rate:
                found.append(await self._agreement(output, version))
        except TrimtabError as error:
            self._count(error.code)
        except Exception as error:  # house: except because one judge's mistake must not cost the other answers' scores
            self._count(type(error).__name__)
        return found

    async def _agreement(self, output: Output, version: Version) -> Score:
        items = self._golden_items()
        item = items[self._golden_turn % len(items)]
        self._golden_turn += 1
        verdict = await self._verdict(_as_output(item), version)
        self.sampling.pay(verdict.cost_usd)
        reason = f"expert: {'pass' if item.passes else 'fail'}; judge: {verdict.reason}"
        return _by_judge(output, version, "judge_agreement", float(_agrees(verdict, item)), reason)

    def _golden_items(self) -> list[Golden]:
        version = self._registry.resolve(self._golden, kind="datasets").version
        items = golden_of(version.content)
        if not items:
            raise NotFound(f"{version.address} holds no golden items.", field="golden", mend="Add some, or name none.")
        return items

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


def _by_judge(output: Output, version: Version, name: str, value: float, reason: str) -> Score:
    score = _score(output, name, value, by=f"judge:{version.name}")
    return replace(score, id=f"{score.id}:{version.pin}", by_version=version.pin, reason=reason)
