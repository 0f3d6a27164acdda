"""The scorers that live traffic gets beside Trimtab's own checks: the sets of the registry, asked as they say."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from trimtab.core import BadInput, Change, ConfigError, NotFound, Score, Span, TrimtabError, Version
from trimtab.registry import PRODUCTION, Registry

from .agent_runs import is_run, run_output
from .dataset import Case, cases_of
from .judge import PaidInVain
from .live_sets import KIND, SEPARATOR, LiveScorer, LiveSet, live_set
from .output import Output
from .patience import Patience
from .sampling import JUDGED, REASON, Sampling, drawn_label
from .scorer import Verdict, verdicts_of
from .scorers import Means
from .spending import Spending

#: Seconds for one scorer's look at one answer, and answers after which others have a turn.
TIMEOUT, _TURN = 60.0, 20
#: Kinds whose changes may change what a set means.
_WATCHED = frozenset({KIND, "judges", "datasets"})
#: What stays so until a change; every other error may be over with the next answer.
_LASTING = (BadInput, NotFound, ConfigError)
#: Runs of applications whose traces are read in one step.
_MOST_RUNS = 500
#: Sets that are kept ready: one of each name, and a second one during rollouts.
_MOST_SETS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLine:
    """How one live scorer stands: what it sees and what it has spent today. ``problem`` says why it cannot be asked.

    ``criteria`` are the scores that a judge gives of each of its criteria, beside ``score``.
    """

    set: str
    version: int
    score: str
    kind: str
    asks: bool
    sample: float
    sample_raised: float
    budget_usd: float | None
    spent_usd: float
    unpriced: int
    resting: bool
    errors: int
    problem: str = ""
    criteria: tuple[str, ...] = ()


class _Draw(NamedTuple):
    one: LiveScorer
    sampling: Sampling
    probability: float


@dataclass(frozen=True, slots=True)
class _Job:
    found: LiveSet
    one: LiveScorer
    sampling: Sampling
    case: Case
    output: Output
    probability: float


class LiveScoring:
    """Asks the sets of kind ``scorers`` that stand at ``production``.

    ``usual`` are the shares (quiet, raised) of scorers that ask a model and name none. ``turns`` bounds how many are
    asked at once. ``trace_of`` reads the spans of a trace. ``errors`` counts by reason what could not be scored.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        means: Means,
        spending: Spending,
        sampling: Callable[..., Sampling],
        turns: asyncio.Semaphore,
        usual: tuple[float, float],
        trace_of: Callable[[str], Awaitable[Sequence[Span]]],
    ) -> None:
        self._registry, self._means, self._spending = registry, means, spending
        self._make_sampling, self._turns, self._usual, self._trace_of = sampling, turns, usual, trace_of
        self._ready: dict[str, LiveSet | TrimtabError] = {}
        self._samplings: dict[tuple[str, str], Sampling] = {}
        self._references: dict[str, Mapping[str, Case]] = {}
        self._live: tuple[str, ...] | None = None
        self._patience = Patience(time.monotonic)
        self.errors: dict[str, Counter[str]] = defaultdict(Counter)
        registry.on_change(self._heard)

    async def score(self, outputs: Sequence[Output]) -> list[Score]:
        """The scores that the sets give of answers."""
        jobs: list[_Job] = []
        for n, output in enumerate(outputs):
            for found in await self._sets(output):
                jobs += await self._jobs(found, output, self._draws(found, answered=output.answered))
            if n % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        return await self._asked(jobs)

    async def runs(self, spans: Sequence[Span], now_ns: int) -> list[Score]:
        """The scores of applications' own runs among finished spans. The traces of those that are drawn are read whole;
        nobody reads the others."""
        if not self._names():
            return []
        scores: list[Score] = []
        roots = [span for span in spans if is_run(span)]
        for start in range(0, len(roots), _MOST_RUNS):
            jobs: list[_Job] = []
            for root in roots[start : start + _MOST_RUNS]:
                jobs += await self._run(root, now_ns)
            scores += await self._asked(jobs)
        return scores

    async def _run(self, root: Span, now_ns: int) -> list[_Job]:
        """What is to be asked of a run. A trace that cannot be read is counted."""
        sight = Output(text="", question="", project=root.project, stamp=root.stamp, trace_id=root.trace_id)
        if not sight.traffic:
            return []
        drawn = [(found, draws) for found in await self._sets(sight) if (draws := self._draws(found))]
        if not drawn:
            return []
        try:
            output = run_output(await self._trace_of(root.trace_id))
        except TrimtabError as error:
            self.errors["runs"][error.code] += 1
            return []
        if output is None:
            return []
        output = replace(output, time_ns=min(output.time_ns, now_ns))
        jobs: list[_Job] = []
        for found, draws in drawn:
            jobs += await self._jobs(found, output, [d for d in draws if output.answered or not d.one.asks])
        return jobs

    async def check(self, output: Output) -> dict[str, float]:
        """What the scorers that ask no model say of one answer, by score name."""
        values: dict[str, float] = {}
        for found in await self._sets(output):
            case = await self._case(found, output)
            for one in found.scorers:
                if not one.asks:
                    job = _Job(found, one, self._sampling(found, one), case, output, 1.0)
                    values |= {score.name: score.value for score in await self._one(job)}
        return values

    async def standing(self) -> list[LiveLine]:
        """How every live scorer stands, by set. A set that cannot be asked is one line with its problem."""
        lines = []
        for name in self._names():
            number = self._registry.labels(KIND, name)[PRODUCTION]
            found = await self._made(self._registry.version(KIND, name, number))
            if isinstance(found, TrimtabError):
                lines.append(_broken(name, number, found))
                continue
            lines += [self._line(found, one, number) for one in found.scorers]
        return lines

    def notes(self) -> list[str]:
        """What readers of the scores have to know: whose budget is spent, who sees more than usual."""
        spent = [sampling.note for sampling in self._samplings.values() if sampling.note]
        return [*spent, *self._patience.notes()]

    def _line(self, found: LiveSet, one: LiveScorer, number: int) -> LiveLine:
        sampling, score = self._sampling(found, one), found.score_name(one.scorer.name)
        return LiveLine(
            set=found.name, version=number, score=score, kind=one.kind, asks=one.asks, sample=sampling.share,
            sample_raised=sampling.raised, budget_usd=sampling.budget_usd, spent_usd=sampling.spent_usd,
            unpriced=sampling.unpriced, resting=sampling.resting or self._patience.rests(score),
            errors=self.errors[score].total(),
            criteria=tuple(f"{score}{SEPARATOR}{name}" for name in each_of(_version(one.scorer))),
        )  # fmt: skip

    def _names(self) -> tuple[str, ...]:
        """The sets that are live; looked up after a change only, for the registry may hold very many assets."""
        if self._live is None:
            names = self._registry.names(KIND)
            self._live = tuple(name for name in names if self._registry.labels(KIND, name).get(PRODUCTION))
        return self._live

    async def _sets(self, output: Output) -> list[LiveSet]:
        found = []
        for name in self._names():
            version = self._registry.resolve(f"{name}@{PRODUCTION}", kind=KIND, key=output.trace_id).version
            made = await self._made(version)
            if isinstance(made, TrimtabError):
                self.errors[name][made.code] += 1
            elif made.meets(output):
                found.append(made)
        return found

    async def _made(self, version: Version) -> LiveSet | TrimtabError:
        ready = self._ready
        known = ready.get(version.pin)
        if known is None:
            try:
                await self._fetch(version.content)
                known = live_set(version, self._means)
            except _LASTING as error:
                known = error
            except TrimtabError as error:  # it passes: the next answer is another try
                return error
            if len(ready) >= _MOST_SETS:
                ready.clear()
            # What was read before a change is kept where nobody looks after it.
            ready[version.pin] = known
        return known

    async def _fetch(self, content: Mapping[str, Any]) -> None:
        """See that the judges that are named stand in memory: making a scorer must not wait for a database."""
        for spec in content.get("scorers", ()):
            named = [spec.get("judge"), *(spec.get("judges") or ())] if isinstance(spec, Mapping) else []
            for address in named:
                if isinstance(address, str):
                    await self._registry.ready(address, kind="judges")

    def _sampling(self, found: LiveSet, one: LiveScorer) -> Sampling:
        key = (found.pin, one.scorer.name)
        known = self._samplings.get(key)
        if known is None:
            name = found.score_name(one.scorer.name)
            quiet, raised = one.shares(*self._usual)
            known = self._samplings[key] = self._make_sampling(
                quiet, raised=raised, budget_usd=one.budget_usd, spend=self._spending.of(name), who=name
            )
        return known

    def _draws(self, found: LiveSet, *, answered: bool = True) -> list[_Draw]:
        """The scorers that are to look at one answer; those that ask a model look at no answer that is none."""
        draws = []
        for one in found.scorers:
            sampling = self._sampling(found, one)
            # What a judge that has no money left is missing is told too.
            probability = sampling.wanted() if _judge(one.scorer) else sampling.probability()
            if (answered or not one.asks) and sampling.draw(probability):
                draws.append(_Draw(one, sampling, probability))
        return draws

    async def _jobs(self, found: LiveSet, output: Output, draws: Sequence[_Draw]) -> list[_Job]:
        if not draws:
            return []
        case = await self._case(found, output)
        return [_Job(found, one, sampling, case, output, p) for one, sampling, p in draws]

    async def _case(self, found: LiveSet, output: Output) -> Case:
        """The case of an answer: with its reference where there is one for its question."""
        bare = Case(id=output.trace_id, input=output.question)
        if not found.references:
            return bare
        references = self._references
        known = references.get(found.references)
        if known is None:
            try:
                await self._registry.ready(found.references, kind="datasets")
                content = self._registry.resolve(found.references, kind="datasets").version.content
                known = await asyncio.to_thread(_by_question, content)
            except TrimtabError as error:
                self.errors[found.name][error.code] += 1
                if not isinstance(error, _LASTING):
                    return bare
                known = {}
            references[found.references] = known
        return known.get(bare.identity, bare)

    async def _asked(self, jobs: Sequence[_Job]) -> list[Score]:
        scores: list[Score] = []
        for n, job in enumerate(job for job in jobs if not job.one.slow):
            scores += await self._one(job)
            if n % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        for found in await asyncio.gather(*(self._in_turn(job) for job in jobs if job.one.slow)):
            scores += found
        return scores

    async def _in_turn(self, job: _Job) -> list[Score]:
        async with self._turns:
            # Many may be drawn at once: the budget is looked at again before each of them is asked.
            return _missed(job, "Today's budget is spent.") if job.sampling.resting else await self._one(job)

    async def _one(self, job: _Job) -> list[Score]:
        scorer, name = job.one.scorer, job.found.score_name(job.one.scorer.name)
        if self._patience.rests(name):
            return _missed(job, "It ran out of time again and again, and rests.")
        try:
            async with asyncio.timeout(TIMEOUT):
                verdicts = verdicts_of(scorer, await scorer(job.case, job.output))
        except TrimtabError as error:
            self.errors[name][error.code] += 1
            if job.one.asks and isinstance(error, PaidInVain):
                self._spending.pay(name, error.cost_usd)
            return _missed(job, str(error))
        except TimeoutError as error:
            self.errors[name][type(error).__name__] += 1
            self._patience.ran_out(name)
            return _missed(job, f"no verdict within {TIMEOUT:g} s")
        except Exception as error:  # house: except because one scorer's mistake must not cost the others' scores
            self.errors[name][type(error).__name__] += 1
            return _missed(job, f"internal error ({type(error).__name__})")
        self._patience.answered(name)
        for verdict in verdicts:
            if verdict.error:
                self.errors[name]["no_value"] += 1
        if job.one.asks and verdicts:
            costs = [verdict.cost_usd for verdict in verdicts]
            self._spending.pay(name, None if None in costs else sum(cost or 0.0 for cost in costs))
        scores = [_score(job, verdict) for verdict in verdicts if verdict.value is not None]
        return scores or (_missed(job, verdicts[0].error) if verdicts else [])

    def _heard(self, change: Change) -> None:
        if change.kind in _WATCHED:
            self._live = None
            # New ones, not emptied ones: who waits for a read still holds the old ones and writes there.
            self._ready, self._references = {}, {}
            self._samplings.clear()
            self._patience.forget()


def _by_question(content: Mapping[str, Any]) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for case in cases_of(content):
        if case.input:
            found.setdefault(Case(input=case.input).identity, case)
    return found


def _score(job: _Job, verdict: Verdict) -> Score:
    name, output = job.found.score_name(verdict.name), job.output
    judge = _judge(job.one.scorer)
    by, pin = (f"judge:{judge.name}", judge.pin) if judge else (f"{KIND}:{job.found.name}", job.found.pin)
    return Score(
        id=f"{output.trace_id}:{name}:{pin}",
        trace_id=output.trace_id,
        span_id=output.span_id,
        name=name,
        value=verdict.value or 0.0,
        by=by,
        by_version=pin,
        label=drawn_label(job.probability) if job.probability < 1.0 else "",
        reason=verdict.reason,
        time_ns=output.time_ns,
        slice=output.slice,
        project=output.project,
        stamp=output.stamp,
    )


def _missed(job: _Job, why: str) -> list[Score]:
    """What is left of an answer that was drawn for a judge of the registry and got no verdict of it."""
    if _judge(job.one.scorer) is None:
        return []
    known = _score(job, Verdict(0.0, why[:REASON], job.one.scorer.name))
    return [replace(known, id=f"{known.trace_id}:{JUDGED}:{known.name}", name=JUDGED, label="")]


def _judge(scorer: Any) -> Version | None:
    """The registered judge that a scorer is, if it is one; a judge that the set spells has no version of its own."""
    version = _version(scorer)
    return version if version is not None and version.number > 0 else None


def _version(scorer: Any) -> Version | None:
    version = getattr(getattr(scorer, "scorer", scorer), "version", None)
    return version if isinstance(version, Version) else None


def each_of(version: Version | None) -> list[str]:
    """The criteria of which a judge gives scores of their own."""
    if version is None or not version.content.get("each"):
        return []
    return [str(criterion["name"]) for criterion in version.content.get("criteria", ())]


def _broken(name: str, number: int, error: TrimtabError) -> LiveLine:
    return LiveLine(
        set=name, version=number, score=f"{name}.*", kind="", asks=False, sample=0.0, sample_raised=0.0,
        budget_usd=None, spent_usd=0.0, unpriced=0, resting=False, errors=0, problem=str(error),
    )  # fmt: skip
