"""The desk of evaluation runs: plans come in, wait their turn, are run one after another, and survive a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from trimtab.core import BadInput, Conflict, NotFound, Overloaded, TrimtabError, new_id, now_ns

from .records import RunLog
from .route_prices import PriceOf, route_prices
from .run import Progress, Runner
from .run_cost import cost_of_run
from .run_making import Making, Ready
from .run_plan import RunPlan, plan_from
from .run_record import DONE, FAILED, RUNNING, STOPPED, WAITING, Run, kind_of

log = logging.getLogger(__name__)

#: Runs that may wait, seconds between two signs of life, and after how many without one another process takes over.
MAX_WAITING, BEAT_S, LOST_S = 50, 2.0, 30.0
#: Seconds that what is under way gets when the server stops.
GRACE_S = 3.0


class Runs:
    """Runs of one server. ``shared`` says that other processes work on the same table, ``folder`` where the journals of
    runs lie while they go on."""

    def __init__(
        self,
        log: RunLog,
        making: Making,
        *,
        shared: bool = False,
        folder: Path | None = None,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self.log = log
        self._making = making
        self._price_of = route_prices(making.registry)
        self._shared = shared
        self._folder = folder
        self._clock = clock
        self._holder = new_id("run")
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._runner: Runner | None = None
        self._ending = False

    # The life of the desk.

    async def start(self) -> None:
        """Take up what waits and what was interrupted."""
        self._task = asyncio.create_task(self._work(), name="trimtab-evals")

    async def stop(self) -> None:
        """Start nothing more. The run under way is left as it stands, and is taken up at the next start."""
        self._ending = True
        self._news.set()
        if self._runner is not None:
            self._runner.stop("the server stops")
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                _, late = await asyncio.wait([self._task], timeout=GRACE_S)
                if late:
                    self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    # What may be asked of it.

    async def estimate(self, plan: RunPlan) -> dict[str, Any]:
        """What a run would do and about what it would cost, without asking anything. Raises like ``create``."""
        return await asyncio.to_thread(_estimate, await self._making(plan), self._price_of)

    async def create(self, plan: RunPlan, actor: str) -> Run:
        """A run that will be started when its turn comes.

        Raises BadInput or NotFound naming the field that cannot be run, also where the estimate is above the limit of
        cost; Overloaded when too many wait.
        """
        if await self.log.count(WAITING) >= MAX_WAITING:
            mend = "Wait for some, or stop one."
            raise Overloaded(f"{MAX_WAITING} runs wait already.", field="run", mend=mend, retry_after=30)
        ready = await self._making(plan)
        estimate = await asyncio.to_thread(_estimate, ready, self._price_of)
        limit, cost = plan.settings.max_cost_usd, estimate["cost_usd"]
        if limit is not None and cost is not None and cost > limit:
            mend = "Raise it, ask fewer cases, or take a cheaper model."
            said = f"the run is estimated at ${cost:.4f}, above the limit of ${limit:g}."
            raise BadInput(said, field="max_cost_usd", mend=mend)
        content, pin = {**ready.plan.content(), "estimate": {"cost_usd": cost}}, ready.dataset.pin
        if earlier := plan.target.get("run"):  # its cases are what they were there
            before = await self.log.get(earlier)
            pin, content = before.dataset, {**content, **({"kind": kind_of(before)} if kind_of(before) else {})}
        run = Run(
            id=new_id("run"),
            name=plan.name,
            state=WAITING,
            actor=actor,
            time_ns=self._clock(),
            plan=content,
            dataset=pin,
            digest=await asyncio.to_thread(lambda: ready.dataset.digest),
            scorers=_scorers(ready),
            progress=Progress(total=len(ready.dataset.cases) * plan.settings.repeats).to_json(),
        )
        await self.log.add(run, ready.dataset.cases)
        self._news.set()
        return run

    async def show(self, run_id: str) -> Run:
        """One run, with its progress as of now. Raises NotFound."""
        run = await self.log.get(run_id)
        if self._runner is not None and self._runner.run_id == run_id and run.state == RUNNING:
            return replace(run, progress=self._runner.progress.to_json())
        return run

    async def resume(self, run_id: str, *, max_cost_usd: float | None = None) -> Run:
        """Let a run that ended early go on: what was paid for is not paid again, what failed is tried again.

        Raises Conflict while it still runs, NotFound when there is none.
        """
        run = await self.log.get(run_id)
        if run.state in (RUNNING, WAITING):
            raise Conflict(f"The run {run_id} is {run.state}.", field="run", mend="Wait for its end, or stop it.")
        plan = {**run.plan, **({} if max_cost_usd is None else {"max_cost_usd": max_cost_usd})}
        await self.log.note(run_id, state=WAITING, reason="", ended_ns=0, plan=plan)
        self._news.set()
        return await self.log.get(run_id)

    async def cancel(self, run_id: str, actor: str) -> Run:
        """Stop a run; what is under way ends. Raises Conflict when it has ended, NotFound when there is none."""
        run = await self.log.get(run_id)
        if run.state not in (RUNNING, WAITING):
            raise Conflict(f"The run {run_id} has ended.", field="run", mend="Start another one.")
        reason = f"stopped by {actor}"
        if self._runner is not None and self._runner.run_id == run_id:
            self._runner.stop(reason)
        else:
            await self.log.note(run_id, state=STOPPED, reason=reason, ended_ns=self._clock())
        return await self.log.get(run_id)

    async def remove(self, run_id: str) -> None:
        """Forget a run. Raises Conflict while it is worked at, NotFound when there is none."""
        run = await self.log.get(run_id)
        if run.state in (RUNNING, WAITING):
            raise Conflict(f"The run {run_id} is {run.state}.", field="run", mend="Stop it first.")
        await self.log.remove(run_id)

    # The work.

    async def _work(self) -> None:
        first = True
        while not self._ending:
            self._news.clear()
            stale = self._clock() - int(LOST_S * 1e9) if self._shared or not first else self._clock() + 1
            first = False
            try:
                run = await self.log.claim(self._holder, self._clock(), stale)
                if run is not None:
                    await self._run(run)
                    continue
            except Overloaded as error:  # the database does not answer: look again later
                log.warning("evaluation runs wait: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOST_S / 2 if self._shared else None)

    async def _run(self, run: Run) -> None:
        state, reason = DONE, ""
        progress: Mapping[str, Any] = run.progress
        beating: asyncio.Task[None] | None = None
        try:
            runner = self._runner = await self._runner_of(run)
            await self._heed(run.id, runner)
            beating = asyncio.create_task(self._beat(run.id, runner), name="trimtab-evals-beat")
            await runner()
            reason, progress = runner.reason, runner.progress.to_json()
            if reason:
                state = STOPPED
        except TrimtabError as error:
            state, reason = FAILED, str(error)
        except Exception as error:  # house: except because one run's mistake must not keep the others from running
            log.exception("the run %s failed", run.id)
            state, reason = FAILED, f"internal error ({type(error).__name__})"
        finally:
            self._runner = None
            if beating is not None:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)
        if not (self._ending and state == STOPPED):  # what the end of the server interrupts goes on at its start
            changed = {"state": state, "reason": reason, "ended_ns": self._clock(), "progress": dict(progress)}
            await self.log.note(run.id, **changed)

    async def _heed(self, run_id: str, runner: Runner) -> None:
        """Stop what was asked to stop between its claim and its first case, while there was no runner to tell."""
        if self._ending:
            runner.stop("the server stops")
        elif (run := await self.log.get(run_id)).state != RUNNING:
            runner.stop(run.reason or "stopped elsewhere")

    async def _runner_of(self, run: Run) -> Runner:
        plan = plan_from({key: value for key, value in run.plan.items() if key != "estimate"})
        ready = await self._making(plan)
        return Runner(
            cases=ready.dataset.cases, target=ready.target, scorers=ready.scorers, settings=plan.settings,
            own=ready.own, run_id=run.id, log=self.log, clock=self._clock,
            journal=self._folder / f"{run.id}.journal" if self._folder is not None else None,
        )  # fmt: skip

    async def _beat(self, run_id: str, runner: Runner) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            with suppress(Overloaded, NotFound):
                if not await self.log.beat(run_id, self._holder, self._clock(), runner.progress.to_json()):
                    runner.stop("stopped elsewhere")


def _estimate(ready: Ready, price_of: PriceOf) -> dict[str, Any]:
    plan = ready.plan
    costs = cost_of_run(ready.dataset.cases, ready.target, ready.prompt, ready.scorers, plan.settings, price_of)
    return {
        "name": plan.name,
        "dataset": ready.dataset.pin,
        "cases": len(ready.dataset.cases),
        "repeats": plan.settings.repeats,
        "target": dict(plan.target),
        "scorers": _scorers(ready),
        **asdict(costs["answers"] + costs["verdicts"]),
        "answers": asdict(costs["answers"]),
        "verdicts": asdict(costs["verdicts"]),
    }


def _scorers(ready: Ready) -> list[dict[str, str]]:
    """Name, digest and judge of each; ``own`` marks those of single cases."""
    found = [{"name": s.name, "digest": s.digest, "judge": s.judge} for s in ready.scorers]
    own = {scorer.name: scorer for scorers in ready.own.values() for scorer in scorers}
    return found + [{"name": s.name, "digest": s.digest, "judge": s.judge, "own": "1"} for s in own.values()]
