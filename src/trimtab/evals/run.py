"""Running an evaluation: every case is asked as often as wanted, every answer is scored, and everything is logged."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from trimtab.core import TrimtabError, evolve, now_ns

from .dataset import Case
from .output import Output
from .run_journal import Journal, read_journal
from .run_log import Pen
from .run_plan import Settings
from .run_record import Earlier, Logged
from .run_retry import Retries
from .run_target import Target
from .scorer import MAX_REASON, Scorer, Verdict, failed, short_digest, verdicts_of


class Log(Protocol):
    """Where a run is kept, see ``RunLog``."""

    async def write(self, outputs: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]) -> None: ...

    async def resumed(self, run_id: str) -> Logged: ...

    async def spent(self, run_id: str) -> float: ...

    async def output(self, run_id: str, case_id: str, repeat: int) -> Output | None: ...

    async def earlier(self, outputs: Sequence[str], scores: Sequence[str]) -> Earlier: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One answer to one case and what was said of it. ``output`` is None exactly when ``error`` says why."""

    case: Case
    repeat: int
    output: Output | None
    error: str = ""
    verdicts: Sequence[Verdict] = ()
    trace_id: str = ""


@dataclass(slots=True, kw_only=True)
class Progress:
    """What was counted so far. ``total`` counts cases times repeats; ``errors`` are answers that could not be had,
    ``score_errors`` scores. ``cost_usd`` counts what has a price; ``unpriced`` are answers and verdicts without one.
    ``before`` are those that were done before this start of the run, and ``lost_usd``, a part of the cost, what was
    paid for those that failed then and are tried again."""

    total: int
    done: int = 0
    before: int = 0
    errors: int = 0
    scores: int = 0
    score_errors: int = 0
    cached: int = 0
    cost_usd: float = 0.0
    lost_usd: float = 0.0
    unpriced: int = 0
    retries: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def left_s(self) -> float | None:
        """About how many seconds it still takes; None as long as nothing tells."""
        made = self.done - self.before
        return (self.total - self.done) * self.seconds / made if made and self.seconds else None

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "left_s": self.left_s}


class _Task(NamedTuple):
    case: Case
    repeat: int
    known: bool  # whether the log has the answer already


@dataclass(kw_only=True)
class Runner:
    """One run. ``own`` are scorers of single cases, by case id. Without a ``log`` nothing is kept; ``journal`` is a
    file for what was paid and is not in the log yet. ``on_result`` gets every result as it comes. ``stop`` ends it
    early: what is under way ends, the rest is left for a later start."""

    cases: Sequence[Case]
    target: Target
    scorers: Sequence[Scorer]
    settings: Settings = field(default_factory=Settings)
    own: Mapping[str, Sequence[Scorer]] = field(default_factory=dict)
    run_id: str = ""
    log: Log | None = None
    journal: Path | None = None
    retries: Retries | None = None
    on_result: Callable[[Result], None] | None = None
    clock: Callable[[], int] = now_ns
    reason: str = ""

    def __post_init__(self) -> None:
        self.progress = Progress(total=len(self.cases) * self.settings.repeats)
        self._retries = self.retries or Retries(attempts=self.settings.attempts, timeout_s=self.settings.timeout_s)
        self._logged = Logged(set(), {})
        self._pen = Pen(self.log, self.settings.concurrency) if self.log is not None else None
        self._journal: Journal | None = None
        self._base: dict[str, str] = {}
        self._started = 0.0

    def stop(self, reason: str) -> None:
        """Start no further case."""
        self.reason = self.reason or reason

    async def __call__(self) -> Progress:
        """Run to the end, or until it is stopped. Raises what writing the log raises; errors of cases are counted."""
        if self.log is not None and self._pen is not None:
            self._logged = await self._resumed(self.log)
            self.progress.lost_usd = self._logged.lost_usd
            self.progress.cost_usd = await self.log.spent(self.run_id)
            self._pen.start()
        self._started = time.monotonic()
        tasks = self._tasks()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.settings.concurrency, max(1, self.progress.total))):
                    group.create_task(self._work(tasks))
        except BaseExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None  # a log that cannot be written ends all workers alike
        finally:
            if self._pen is not None:
                await self._pen.close()
            if self._journal is not None:
                self._journal.close(done=True)  # only reached when everything is in the log
        self._tick()
        return self.progress

    async def _resumed(self, log: Log) -> Logged:
        """What the log has, and what only the journal of a killed run has, which is put into the log first."""
        logged = await log.resumed(self.run_id)
        if self.journal is None:
            return logged
        outputs, scores = [], []
        for kind, row in await asyncio.to_thread(lambda path: list(read_journal(path)), self.journal):
            place = (row["case"], row["repeat"])
            if kind == "output" and place not in logged.outputs:
                logged.outputs.add(place)
                outputs.append(row)
            elif kind == "score" and row["scorer"] not in logged.scores.get((*place, row["judgement"]), ()):
                scores.append(row)
        for row in scores:  # a scorer may have said several things at once
            logged.scores.setdefault((row["case"], row["repeat"], row["judgement"]), set()).add(row["scorer"])
        await log.write(outputs, scores)
        self._journal = Journal(self.journal)
        return logged

    def _tasks(self) -> Iterator[_Task]:
        """What is left to do, repeat by repeat, so that a run that is stopped has every case about equally often."""
        for repeat in range(self.settings.repeats):
            for case in self.cases:
                known = (case.id, repeat) in self._logged.outputs
                if known and all(not self._lacks(case, repeat, scorer) for scorer in self._scorers(case)):
                    self.progress.done += 1
                    self.progress.before += 1
                    continue
                yield _Task(case, repeat, known)

    async def _work(self, tasks: Iterator[_Task]) -> None:
        limit = self.settings.max_cost_usd
        for task in tasks:  # shared by all workers: each takes the next one
            if limit is not None and self.progress.cost_usd >= limit:
                self.stop(f"the limit of ${limit:g} is reached")
            if self.reason:
                return
            if self._pen is not None:
                await self._pen.room()
            await self._one(task)
            self._tick()

    async def _one(self, task: _Task) -> None:
        case, repeat = task.case, task.repeat
        output: Output | None
        error = trace_id = ""
        if task.known and self.log is not None:
            output = await self.log.output(self.run_id, case.id, repeat)
        else:
            output, error, trace_id = await self._answer(case, repeat)
        verdicts: list[Verdict] = []
        if output is not None:
            trace_id = output.trace_id
            for scorer in self._scorers(case):
                for judgement in self._lacks(case, repeat, scorer):
                    verdicts += await self._judge(scorer, case, output, judgement)
        self.progress.done += 1
        if self.on_result is not None:
            self.on_result(
                Result(case=case, repeat=repeat, output=output, error=error, verdicts=verdicts, trace_id=trace_id)
            )

    # Answers.

    async def _answer(self, case: Case, repeat: int) -> tuple[Output | None, str, str]:
        """The answer, or the error and the trace that shows it; logged in any case."""
        key = self._key(case, repeat)
        if key and self.settings.cache and self.log is not None:
            found = (await self.log.earlier([key], ())).outputs.get(key)
            if found:
                output = evolve(Output.from_json(found), repeat=repeat)
                self.progress.cached += 1
                self._write_output(case, repeat, key, output, tries=0)
                return output, "", ""
        began = time.perf_counter()

        async def once() -> Output:
            nonlocal began
            began = time.perf_counter()
            return await self.target(case, repeat)

        try:
            output, tries = await self._retries(once)
        except TrimtabError as error:
            return self._lost(case, repeat, str(error), error)
        except Exception as error:  # house: except because one case of a program of the user's must not end the run
            return self._lost(case, repeat, f"{type(error).__name__}: {error}", error)
        took = output.latency_ms or (time.perf_counter() - began) * 1000
        output = evolve(output, latency_ms=took, repeat=repeat)
        self._paid(output.cost_usd)
        self._write_output(case, repeat, key, output, tries=tries)
        return output, "", ""

    def _lost(self, case: Case, repeat: int, said: str, error: Exception) -> tuple[None, str, str]:
        self.progress.errors += 1
        said = " ".join(said.split())[:MAX_REASON] or "failed"
        trace_id = str(getattr(error, "trace_id", ""))
        row = self._row(case, repeat, "", tries=int(getattr(error, "tries", 1)))
        self._put_output({**row, "error": said, "trace_id": trace_id})
        return None, said, trace_id

    def _write_output(self, case: Case, repeat: int, key: str, output: Output, *, tries: int) -> None:
        row = self._row(case, repeat, key, tries=tries)
        row["output"] = output.to_json().decode()
        row["latency_ms"], row["trace_id"], row["cached"] = output.latency_ms, output.trace_id, tries == 0
        row["cost_usd"] = 0.0 if tries == 0 else output.cost_usd
        if self._journal is not None and tries:
            self._journal.put("output", row)
        self._put_output(row)

    def _row(self, case: Case, repeat: int, key: str, *, tries: int) -> dict[str, Any]:
        return {
            "run": self.run_id, "case": case.id, "repeat": repeat, "key": key, "output": "", "error": "",
            "tries": tries, "latency_ms": 0.0, "cost_usd": 0.0, "cached": False, "trace_id": "",
            "time_ns": self.clock(),
        }  # fmt: skip

    def _put_output(self, row: Mapping[str, Any]) -> None:
        if self._pen is not None:
            self._pen.output(row)

    def _key(self, case: Case, repeat: int) -> str:
        """The name under which an answer can be found again: who was asked what, and which of several answers it is."""
        if self.log is None or not self.target.digest:
            return ""
        base = self._base.get(case.id)
        if base is None:
            variables = msgspec.json.encode(case.variables, order="sorted") if case.variables else b""
            asked = b"\0".join((self.target.digest.encode(), case.input.encode("utf-8", "replace"), variables))
            base = self._base[case.id] = hashlib.blake2b(asked, digest_size=8).hexdigest()
        return f"{base}:{repeat}"

    # Scores.

    def _scorers(self, case: Case) -> Sequence[Scorer]:
        own = self.own.get(case.id)
        return [*self.scorers, *own] if own else self.scorers

    def _lacks(self, case: Case, repeat: int, scorer: Scorer) -> list[int]:
        """The judgements that a scorer still owes on an answer; code is asked once, it says the same again."""
        often = self.settings.judgements if scorer.judge else 1
        if not self._logged.scores:
            return list(range(often))
        known = self._logged.scores
        return [n for n in range(often) if scorer.name not in known.get((case.id, repeat, n), ())]

    async def _judge(self, scorer: Scorer, case: Case, output: Output, judgement: int) -> list[Verdict]:
        key = ""
        if scorer.judge and self.log is not None:
            seen = msgspec.json.encode([output.text, output.tool_calls, output.passages, output.steps], enc_hook=str)
            key = short_digest([scorer.digest, case.content, seen.decode(), output.repeat, judgement])
            if self.settings.cache and (found := (await self.log.earlier((), [key])).scores.get(key)):
                self.progress.cached += 1
                return self._note(
                    scorer, case, output, [_verdict(row) for row in found], judgement, key=key, paid=False
                )
        began = time.perf_counter()
        try:
            verdicts = await self._ask(scorer, case, output)
            if scorer.judge:  # code takes no time worth keeping
                took = round((time.perf_counter() - began) * 1000, 1)
                verdicts = [replace(verdict, detail={**verdict.detail, "ms": took}) for verdict in verdicts]
        except TrimtabError as error:
            verdicts = [failed(scorer, error)]
        except Exception as error:  # house: except because one scorer's mistake is an error that is counted
            verdicts = [failed(scorer, error)]
        return self._note(scorer, case, output, verdicts, judgement, key=key)

    async def _ask(self, scorer: Scorer, case: Case, output: Output) -> list[Verdict]:
        if not scorer.judge:
            return verdicts_of(scorer, await scorer(case, output))
        vain: list[float | None] = []  # what tries cost that gave no verdict

        async def once() -> Any:
            try:
                return await scorer(case, output)
            except TrimtabError as error:
                vain.append(getattr(error, "cost_usd", 0.0))
                raise

        try:
            given, _ = await self._retries(once)
        except TrimtabError as error:
            error.cost_usd = _sum(vain)  # type: ignore[attr-defined]  # what all tries cost goes into the log
            raise
        verdicts = verdicts_of(scorer, given)
        if verdicts and any(cost != 0.0 for cost in vain):
            verdicts[0] = replace(verdicts[0], cost_usd=_sum([*vain, verdicts[0].cost_usd]))
        return verdicts

    def _note(
        self, scorer: Scorer, case: Case, output: Output, verdicts: list[Verdict], judgement: int, *, key: str,
        paid: bool = True,
    ) -> list[Verdict]:  # fmt: skip
        now = self.clock()
        for verdict in verdicts:
            self.progress.scores += 1
            self.progress.score_errors += bool(verdict.error)
            if paid:
                self._paid(verdict.cost_usd)
            if self._pen is None:
                continue
            row = {
                "run": self.run_id, "case": case.id, "repeat": output.repeat, "name": verdict.name,
                "judgement": judgement, "scorer": scorer.name, "value": verdict.value, "error": verdict.error,
                "reason": verdict.reason, "judge": verdict.judge, "cost_usd": verdict.cost_usd if paid else 0.0,
                "cached": not paid, "key": key, "time_ns": now,
                "detail": msgspec.json.encode(verdict.detail, enc_hook=str).decode() if verdict.detail else "",
            }  # fmt: skip
            if self._journal is not None and scorer.judge and paid and not verdict.error:
                self._journal.put("score", row)
            self._pen.score(row)
        return verdicts

    def _paid(self, cost: float | None) -> None:
        if cost is None:
            self.progress.unpriced += 1
        else:
            self.progress.cost_usd += cost

    def _tick(self) -> None:
        self.progress.seconds = time.monotonic() - self._started
        if self._retries.counts:
            self.progress.retries = dict(self._retries.counts)


def _sum(costs: Sequence[float | None]) -> float | None:
    """US dollars together; None where one of them is not known."""
    return None if None in costs else sum(cost or 0.0 for cost in costs)


def _verdict(row: Mapping[str, Any]) -> Verdict:
    detail = msgspec.json.decode(row["detail"]) if row["detail"] else {}
    return Verdict(row["value"], row["reason"], row["name"], judge=row["judge"], cost_usd=0.0, detail=detail)


async def run(
    cases: Sequence[Case],
    target: Target,
    scorers: Sequence[Scorer],
    *,
    settings: Settings | None = None,
    own: Mapping[str, Sequence[Scorer]] | None = None,
    retries: Retries | None = None,
) -> list[Result]:
    """Run in memory: the results in the order of the cases, repeat by repeat. Nothing is kept."""
    found: list[Result] = []
    runner = Runner(
        cases=cases, target=target, scorers=scorers, settings=settings or Settings(), own=own or {}, retries=retries,
        on_result=found.append,
    )  # fmt: skip
    await runner()
    order = {id(case): n for n, case in enumerate(cases)}
    return sorted(found, key=lambda result: (result.repeat, order[id(result.case)]))
