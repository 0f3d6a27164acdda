"""The rollouts that run, and the steps that they take: each committed in the registry first, then written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from trimtab.core import Change, Rollout
from trimtab.registry import Registry
from trimtab.store import Metadata

from .decision import Decision, Standing, decide
from .feed import Feed, Run
from .judging import Judgement, RolloutTest
from .plan import Plan, default_guards
from .records import Event, Record, Records

#: Who acts when nobody did.
MACHINE = "trimtab"
_LEDGER = 10_000
_ENDS = ("promote", "abort", "rollback")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A rollout as it stands: its plan and history, what its guards say, and what the machine makes of that.

    ``decision`` is None once it has ended; ``judgements`` are then the last ones. ``asked`` counts second answers.
    """

    rollout: Rollout
    record: Record
    judgements: tuple[Judgement, ...]
    decision: Decision | None
    events: tuple[Event, ...]
    answers: int
    since_ns: int
    asked: int


class Book:
    """Everything that the chore and the hands share. Its steps are taken under ``lock``."""

    def __init__(self, metadata: Metadata, registry: Registry, clock: Callable[[], int], *, judged: bool) -> None:
        self.records = Records(metadata)
        self.registry, self.clock, self.judged = registry, clock, judged
        self.feed = Feed()
        self.lock = asyncio.Lock()
        self._own: set[str] = set()

    @property
    def runs(self) -> dict[str, Run]:
        """The rollouts that are judged, by id."""
        return self.feed.runs

    def open(self, record: Record) -> Run:
        """Judge a rollout from now on."""
        rollout = self.registry.rollout(record.rollout)
        moves = [c for c in self.registry.changes(limit=_LEDGER) if c.rollout == rollout.id]
        since = max((c.time_ns for c in moves if c.action in ("rollout", "share")), default=rollout.started_ns)
        live = min((c.time_ns for c in moves if c.share > 0.0), default=since if rollout.share > 0.0 else 0)
        run = Run(
            rollout=rollout, plan=record.plan, test=RolloutTest(record.plan), since_ns=since, live_ns=live,
            limits=dict(record.limits), paused=record.paused,
        )  # fmt: skip
        self.runs[rollout.id] = run
        return run

    async def adopt(self, rollout_id: str, position: str) -> None:
        """Watch a rollout that was started without a plan: it is judged, and moves by hand."""
        rollout = self.registry.rollout(rollout_id)
        record = self._unplanned(rollout, position)
        event = self.event("start", MACHINE, "Started without a plan: it is judged, and moves by hand.", rollout.share)
        await self.records.add(record, event)
        self.open(record)

    def _unplanned(self, rollout: Rollout, position: str) -> Record:
        guards = default_guards(rollout.kind, judged=self.judged)
        plan = Plan(mode="watch", stages=rollout.stages, guards=guards)
        return Record(rollout=rollout.id, plan=plan, time_ns=rollout.started_ns, position=position)

    def standing(self, run: Run) -> Standing:
        """Where a run is."""
        return Standing(share=run.rollout.share, since_ns=run.since_ns, answers=run.answers, paused=run.paused)

    def decision(self, run: Run) -> tuple[Decision, tuple[Judgement, ...]]:
        """What is to be done about a run now, and why."""
        run.rollout = self.registry.rollout(run.rollout.id)
        judgements = run.test.judgements(run.rollout.share)
        return decide(run.plan, self.standing(run), judgements, self.clock()), judgements

    async def share(self, run: Run, share: float, actor: str, text: str, *, action: str) -> Change:
        """Move the candidate's share. Raises what ``Registry.set_share`` raises."""
        change = await self.registry.set_share(run.rollout.id, share, actor=actor, note=text)
        await self.moved(run, change, self.event(action, actor, text, share))
        return change

    async def moved(self, run: Run, change: Change, event: Event) -> None:
        """The share has moved: a new stage begins."""
        self._own.add(change.id)
        run.rollout = self.registry.rollout(run.rollout.id)
        run.since_ns, run.answers = change.time_ns, 0
        run.live_ns = run.live_ns or (change.time_ns if change.share > 0.0 else 0)
        await self.records.note(run.rollout.id, event)

    async def end(self, run: Run, change: Change, event: Event) -> None:
        """The rollout is over: what its guards said last is kept, and nothing is read for it any more."""
        self._own.add(change.id)
        evidence = run.test.judgements(run.rollout.share)
        self.runs.pop(run.rollout.id, None)
        await self.records.note(run.rollout.id, event, ended_ns=event.time_ns, evidence=evidence)

    async def heard(self, change: Change, position: str) -> None:
        """A change of the ledger that somebody else may have made."""
        if change.id in self._own:
            self._own.discard(change.id)
            return
        run = self.runs.get(change.rollout)
        if run is None:
            if change.action == "rollout" and self.registry.rollout(change.rollout).state == "running":
                await self.adopt(change.rollout, position)
        elif change.action in _ENDS:
            text = change.note or "Ended outside of this page."
            await self.end(run, change, self.event(change.action, change.actor, text, change.share))
        elif change.action == "share":
            await self.moved(run, change, self.event("share", change.actor, change.note, change.share))

    def own(self, change: Change) -> None:
        """A change that is written down already."""
        self._own.add(change.id)

    def event(self, action: str, actor: str, text: str, share: float) -> Event:
        """A decision made now."""
        return Event(time_ns=self.clock(), action=action, actor=actor, text=text, share=share)

    async def view(self, rollout_id: str) -> View:
        """One rollout. Raises NotFound."""
        rollout = self.registry.rollout(rollout_id)
        # One that was started a moment ago, or ran while no controller did, has no record: the ledger knows it.
        record = await self.records.get(rollout_id) or self._unplanned(rollout, "")
        events = tuple(await self.records.events(rollout_id))
        run = self.runs.get(rollout_id)
        if run is None:
            since = events[0].time_ns if events else record.time_ns
            return View(rollout=rollout, record=record, judgements=record.evidence, decision=None, events=events,
                        answers=0, since_ns=since, asked=0)  # fmt: skip
        decision, judgements = self.decision(run)
        return View(rollout=run.rollout, record=record, judgements=judgements, decision=decision, events=events,
                    answers=run.answers, since_ns=run.since_ns, asked=run.asked)  # fmt: skip
