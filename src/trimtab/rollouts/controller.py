"""The controller: reads what was served and scored, judges every running rollout, and moves those that move by plan."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from trimtab.core import Change, Conflict, Filter, NotFound, SpanQuery, TrimtabError, now_ns
from trimtab.registry import May, Registry
from trimtab.store import Metadata, Spans

from .book import MACHINE, Book, View
from .decision import Decision
from .feed import Run
from .hands import Hands
from .measures import LEARNT_FROM, Limit, column_of, limits_from
from .plan import Plan, default_guards, with_guards
from .records import Record
from .shadow import Again, ask_again

log = logging.getLogger("trimtab.rollouts")

BATCH = 2000
TRIES = 3
#: Seconds without news after which the clock alone may decide.
IDLE_S = 1.0
#: Seconds between two looks while news keep coming: a look at every guard is not free, and nobody needs ten a second.
PACE_S = 0.1


class Controller:
    """One instance where the chores run. ``start`` spawns its task, ``stop`` ends it; ``by_hand`` is for people.

    It reads the store on its own from where the oldest running rollout began: after a restart the same answers make the
    same evidence, and nothing else has to be kept. A step of a rollout is committed in the registry, which lets only
    one of several who act at once succeed; whoever was later finds the rollout ended and writes that down.
    """

    def __init__(
        self,
        *,
        metadata: Metadata,
        registry: Registry,
        store: Spans,
        again: Again | None = None,
        judged: bool = True,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """``again`` gives a shadow its second answers; ``judged`` says whether a judge scores quality."""
        self._book = Book(metadata, registry, clock, judged=judged)
        self.by_hand = Hands(self._book)
        self._registry, self._store, self._again = registry, store, again
        self._position = ""
        self._heard: deque[Change] = deque()
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[int] | None = None
        self._turned = asyncio.Event()
        self._failures = 0
        registry.on_change(self._heard.append)

    async def load(self) -> None:
        """Take up the rollouts of the last run; those that ended meanwhile, and those that began, are written down."""
        book = self._book
        async with book.lock:
            self._position = await self._store.end()
            for record in await book.records.live():
                if self._runs_still(record.rollout):
                    if not book.runs:
                        self._position, book.feed.rebuilding = record.position, True
                    book.open(record)
                else:
                    event = book.event("note", MACHINE, "It ended while no controller was running.", 0.0)
                    await book.records.note(record.rollout, event, ended_ns=event.time_ns)
            for rollout in self._registry.rollouts(running=True):
                if rollout.id not in book.runs:
                    await book.adopt(rollout.id, await self._store.end())

    async def start(self) -> None:
        """``load``, then go on in the background."""
        await self.load()
        self._task = asyncio.create_task(self._forever(), name="trimtab-rollouts")

    async def stop(self) -> None:
        """End the background tasks. Stopping twice is allowed."""
        for task in (self._task, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._task = self._asking = None

    async def settle(self) -> None:
        """Wait until everything committed so far was judged and acted on. Needs ``start``."""
        await self._store.flush()
        for _ in range(2):
            self._turned.clear()
            await self._turned.wait()

    async def shadowed(self) -> None:
        """Wait until the second answers that are being asked for have come."""
        if self._asking is not None:
            await self._asking

    async def turn(self) -> bool:
        """One step: hear what others did, read what came, decide. Returns whether there is more to read."""
        book = self._book
        async with book.lock:
            while self._heard:
                await book.heard(self._heard.popleft(), self._position)
            if not book.runs:
                self._position = await self._store.end()
                return False
            more = await self._read()
            book.feed.rebuilding = book.feed.rebuilding and more
            if not book.feed.rebuilding:
                for run in tuple(book.runs.values()):
                    await self._consider(run)
        self._ask_again()
        return more

    async def begin(  # house: parameters because a rollout is spelt out where it is begun
        self,
        kind: str,
        name: str,
        number: int,
        plan: Plan,
        *,
        share: float | None = None,
        sticky: str = "session",
        label: str = "production",
        actor: str,
        note: str = "",
        may: May | None = None,
    ) -> Change:
        """Start a rollout by a plan: at ``share``, else at its first stage, or in its shadow.

        Raises BadInput for a plan that cannot be, and what ``Registry.start_rollout`` raises.
        """
        book = self._book
        plan = with_guards(plan, default_guards(kind, judged=book.judged)).check()
        if share is None:
            share = plan.share_of(0 if plan.stages and plan.mode != "shadow" else -1)
        async with book.lock:
            limits = await self._limits(kind, name, label, plan)
            position = self._position if book.runs else await self._store.end()
            change = await self._registry.start_rollout(
                kind, name, number, share=share, sticky=sticky, actor=actor, note=note, label=label,
                stages=plan.stages, may=may,
            )  # fmt: skip
            record = Record(rollout=change.rollout, plan=plan, time_ns=change.time_ns, position=position, limits=limits)
            text = note or f"{change.after} against {change.before}."
            await book.records.add(record, book.event("start", actor, text, share))
            # Only now: a start whose plan could not be written is heard of like anybody else's, and watched.
            book.own(change)
            self._position = position
            book.open(record)
        return change

    async def view(self, rollout_id: str) -> View:
        """One rollout, running or ended. Raises NotFound."""
        return await self._book.view(rollout_id)

    async def records(self, rollouts: Sequence[str]) -> dict[str, Record]:
        """Plans by rollout, as far as there are any."""
        return await self._book.records.many(rollouts)

    def standing(self, rollout_id: str) -> Decision | None:
        """What the machine makes of a rollout now; None when it does not judge it."""
        run = self._book.runs.get(rollout_id)
        return self._book.decision(run)[0] if run else None

    def paused(self, rollout_id: str) -> str:
        """By whom and why a rollout that is judged is paused; empty when it is not."""
        run = self._book.runs.get(rollout_id)
        return run.paused if run else ""

    def _runs_still(self, rollout_id: str) -> bool:
        try:
            return self._registry.rollout(rollout_id).state == "running"
        except NotFound:
            return False

    async def _read(self) -> bool:
        batch = await self._store.tail(self._position, BATCH)
        self._failures += 1
        if self._failures > TRIES:
            log.error("skipped a batch of %d scores that failed %d times", len(batch.scores), TRIES)
        else:
            self._book.feed.take(batch.spans, batch.scores)
        self._failures, self._position = 0, batch.position
        return len(batch.spans) + len(batch.scores) >= BATCH

    async def _consider(self, run: Run) -> None:
        """Decide about one rollout, and do it."""
        book, rollout_id = self._book, run.rollout.id
        if run.learnt:
            run.learnt = False
            await book.records.keep(rollout_id, limits=run.limits)
        if not self._runs_still(rollout_id):
            return  # Somebody was first: what it was is among the changes that are heard next.
        decision, judgements = book.decision(run)
        try:
            if decision.action == "advance":
                await book.share(run, decision.share, MACHINE, decision.text, action="advance")
            elif decision.action == "promote":
                change = await self._registry.promote(rollout_id, actor=MACHINE, note=decision.text)
                await book.end(run, change, book.event("promote", MACHINE, decision.text, 1.0))
            elif decision.action == "rollback":
                change = await self._registry.abort(rollout_id, actor=MACHINE, note=decision.text)
                await book.end(run, change, book.event("rollback", MACHINE, decision.text, 0.0))
            elif any(j.state == "harm" for j in judgements) and not run.harm_told:
                run.harm_told = True
                await book.records.note(rollout_id, book.event("harm", MACHINE, decision.text, decision.share))
        except Conflict as error:
            log.info("somebody else moved rollout %s first: %s", rollout_id, error)
        except TrimtabError as error:
            text = f"Could not {decision.action}: {error}"
            if run.refused != text:
                run.refused = text
                await book.records.note(rollout_id, book.event("note", MACHINE, text, run.rollout.share))

    def _ask_again(self) -> None:
        """Ask for second answers beside the chore, which must not wait for them."""
        if self._asking is not None and self._asking.done():
            self._asking = None
        if self._again is not None and self._asking is None:
            due = [run for run in self._book.runs.values() if run.waiting]
            if due:
                self._asking = asyncio.create_task(self._asked(due, self._again), name="trimtab-shadow")

    async def _asked(self, due: Sequence[Run], again: Again) -> int:
        return sum([await ask_again(run, again, self._store) for run in due])

    async def _limits(self, kind: str, name: str, label: str, plan: Plan) -> dict[str, Limit]:
        """What the base version's own answers take; empty where there are too few, and the first ones then set it."""
        column = column_of(kind)
        base = self._registry.labels(kind, name).get(label, 0)
        if not column or not base:
            return {}
        query = SpanQuery(limit=LEARNT_FROM, filters=(Filter(column=column, op="=", value=f"{name}/{base}"),))
        spans = (await self._store.query(query)).spans
        found = limits_from(spans, self._book.clock())
        return {metric: known for metric, known in found.items() if any(g.metric == metric for g in plan.guards)}

    async def _forever(self) -> None:
        while True:
            more = False
            try:
                more = await self.turn()
            except asyncio.CancelledError:
                raise
            except TrimtabError as error:
                log.error("rollouts: %s", error)
            except Exception:  # house: except because a chore that dies silently is worse than one that goes on
                log.exception("rollouts: unexpected")
            self._turned.set()
            if not more:
                await asyncio.sleep(PACE_S)
                await self._store.wait(IDLE_S)
