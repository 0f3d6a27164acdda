"""Actions carried out: written down before they begin, done once whatever happens in between, and taken back exactly.

An action is planned in the record of its incident first, with every move that it will make. Then it is carried out; a
label that stands where it was to go already is not moved again. Every change that it makes carries its id in the
ledger, so that after a crash it is known which of them were made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from trimtab.core import BadInput, Change, Conflict, NotFound, TrimtabError, new_id, now_ns
from trimtab.registry import PRODUCTION, Event, Registry
from trimtab.rollouts import Controller

from . import remedy, states
from .actions import CONTAINING, TITLES, Draft, Move, Wanted, draft
from .incident import MACHINE, Deed, Incident, Step, causes
from .remedy import Outcome

#: An action of the machine that failed is tried again so often; each new alarm of the incident is an occasion.
TRIES = 3
_LEDGER = 10_000

Get = Callable[[int], Awaitable[Incident]]
Alter = Callable[[int, Callable[[Incident, int], Incident]], Awaitable[Incident]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An action as a page offers it: ``text`` is what it would do, ``reason`` why it does not apply; with ``choices``
    it would, for one of these targets."""

    action: str
    title: str
    text: str = ""
    reason: str = ""
    choices: tuple[str, ...] = ()


class Acts:
    """What is done about incidents. One at a time, so that nothing is done twice.

    ``rollouts`` is set where rollouts are controlled; without it none can be paused. ``get`` reads an incident,
    ``alter`` commits a change of one.
    """

    def __init__(self, registry: Registry, get: Get, alter: Alter, clock: Callable[[], int] = now_ns) -> None:
        self._registry, self._get, self._alter, self._clock = registry, get, alter, clock
        self._lock = asyncio.Lock()
        self.rollouts: Controller | None = None

    def offers(self, incident: Incident) -> tuple[Offer, ...]:
        """Every action, with what it would do now or why it does not apply."""
        found = []
        for action, title in TITLES.items():
            plan = draft(self._registry, incident, Wanted(action=action))
            reason = plan.reason
            if incident.state == "closed":
                reason = "the incident is closed"
            elif action == "rollback" and incident.mitigated_ns:
                reason = "it was mitigated already"
            elif action == "pause_rollout" and not reason:
                reason = self._unpausable(plan.rollout)
            choices = plan.choices if reason == plan.reason else ()
            text = "" if reason else plan.text
            found.append(Offer(action=action, title=title, text=text, reason=reason, choices=choices))
        return tuple(found)

    async def by_hand(self, incident_id: int, wanted: Wanted, actor: str) -> Incident:
        """An action that a person asks for. Raises NotFound, BadInput without a name or for an unknown action, and
        Conflict with the reason when it does not apply."""
        if not actor.strip():
            raise BadInput("Nobody acts.", field="actor", mend="Say who you are.")
        if wanted.action not in TITLES:
            mend = f"Use one of {', '.join(TITLES)}."
            raise BadInput(f"{wanted.action[:40]!r} is no action.", field="action", mend=mend)
        async with self._lock:
            incident = await self._resumed(await self._get(incident_id))
            if wanted.action == "rollback":
                states.check_mitigable(incident, self._clock())
                if incident.cause is None:
                    mend = "Roll an asset back yourself where you know better."
                    raise Conflict(f"No cause is known of incident {incident_id}.", field="id", mend=mend)
            states.check_open(incident)
            incident, failed = await self._begin(incident, wanted, actor)
        if failed:
            mend = "Move the asset's label by hand." if wanted.action == "rollback" else "Take another action."
            raise Conflict(f"{failed}.", field="action", mend=mend)
        return incident

    async def by_machine(self, incident_id: int) -> tuple[Incident, str]:
        """The action that the monitor allows, where the machine may act; what stood in its way, if something did.

        What a person took back is not done again, unless the failure comes back after it was over.
        """
        async with self._lock:
            incident = await self._resumed(await self._get(incident_id))
            over = incident.mitigated_ns or incident.state == "closed" or incident.cause is None
            if over or not remedy.may_act(self._registry, incident.action, incident.report):
                return incident, ""
            own = [d for d in incident.deeds if d.actor == MACHINE and d.time_ns >= incident.since_ns]
            if any(d.state != "failed" for d in own) or len(own) >= TRIES:
                return incident, ""
            return await self._begin(incident, _wanted(incident), MACHINE)

    async def resume(self, incident_id: int) -> Incident:
        """Finish what a crash interrupted."""
        async with self._lock:
            return await self._resumed(await self._get(incident_id))

    async def undo(self, incident_id: int, deed_id: str, actor: str) -> Incident:
        """Take an action back, exactly: every label where it stood, the rollout as it ran. Without ``deed_id`` the last
        one that can be. Raises NotFound, BadInput without a name, and Conflict with the reason when it cannot be."""
        if not actor.strip():
            raise BadInput("Nobody takes it back.", field="actor", mend="Say who you are.")
        async with self._lock:
            incident = await self._resumed(await self._get(incident_id))
            deed = _deed(incident, deed_id)
            if deed.state not in ("done", "failed"):  # what failed may have moved a part
                raise Conflict(f"{TITLES[deed.action]} ({deed.id}) is {deed.state}.", field="deed")
            if not deed.changes:
                raise Conflict(f"{TITLES[deed.action]} moved nothing, so nothing can be taken back.", field="deed")
            return await self._take_back(incident, replace(deed, state="undoing", undone_by=actor))

    async def _begin(self, incident: Incident, wanted: Wanted, actor: str) -> tuple[Incident, str]:
        """Plan, write the plan down, carry it out. The text says what stood in the way."""
        plan = draft(self._registry, incident, wanted)
        reason = plan.reason if wanted.action != "rollback" else ""
        if wanted.action == "pause_rollout":
            reason = reason or self._unpausable(plan.rollout)
        if not reason and wanted.action.endswith("_guard") and actor == MACHINE and not wanted.to:
            reason = "the cause is no guard policy"
        if reason:
            return incident, f"{TITLES[wanted.action]} does not apply: {reason}"
        deed = Deed(
            id=new_id("act"), action=wanted.action, actor=actor, time_ns=self._clock(), text=plan.text,
            mends=wanted.action not in CONTAINING, steps=await self._steps(plan, incident, wanted, actor),
        )  # fmt: skip
        incident = await self._alter(incident.id, lambda i, now: states.planned(i, deed))
        incident = await self._carry_out(incident, deed)
        ended = _deed(incident, deed.id)
        return incident, ended.text if ended.state == "failed" else ""

    async def _steps(self, plan: Draft, incident: Incident, wanted: Wanted, actor: str) -> tuple[Step, ...]:
        """The moves with the numbers of their versions; a version without a label changes nothing yet."""
        if wanted.action == "rollback":
            return ()
        if plan.rollout:
            running = self._registry.rollout(plan.rollout)
            return (Step(kind=running.kind, name=running.name, label=running.label, rollout=running.id),)
        return tuple([await self._step(move, incident, actor) for move in plan.moves])

    async def _step(self, move: Move, incident: Incident, actor: str) -> Step:
        number = move.number
        if move.content is not None:
            note = f"incident {incident.id}: {move.text}"
            made = await self._registry.register(move.kind, move.name, move.content, author=actor, note=note)
            number = made.number
        return Step(kind=move.kind, name=move.name, label=PRODUCTION, before=move.before, after=number)

    async def _resumed(self, incident: Incident) -> Incident:
        for deed in incident.deeds:
            if deed.state == "planned":
                incident = await self._carry_out(incident, deed)
            elif deed.state == "undoing":
                incident = await self._take_back(incident, deed)
        return incident

    async def _carry_out(self, incident: Incident, deed: Deed) -> Incident:
        note = f"incident {incident.id}: {incident.title} ({deed.id})"[:9_000]
        try:
            outcome = await self._perform(incident, deed, note)
        except TrimtabError as error:
            outcome = Outcome(done=False, text=error.message.rstrip("."))
        changes = self._changes(f"({deed.id})", deed)
        text = outcome.text
        if changes and not outcome.moved:  # it was done before the crash
            text = "; ".join(f"moved {c.asset} from {c.before} to {c.after}" for c in changes)
        ended = replace(
            deed, state="done" if outcome.done else "failed", text=text, changes=tuple(c.id for c in changes)
        )
        return await self._alter(incident.id, lambda i, now: states.acted(i, ended, now))

    async def _perform(self, incident: Incident, deed: Deed, note: str) -> Outcome:
        if deed.action == "rollback":
            return await self._all_back(incident, deed, note)
        if deed.action == "pause_rollout":
            return await self._pause(deed, note)
        stuck: list[str] = []
        for step in deed.steps:
            try:
                await self._move(step, deed, note)
            except TrimtabError as error:
                stuck.append(f"{step.kind}:/{step.name}: {error.message.rstrip('.')}")
        rest = f"; could not move {'; '.join(stuck)}" if stuck else ""
        return Outcome(done=len(stuck) < len(deed.steps), text=f"{deed.text}{rest}")

    async def _all_back(self, incident: Incident, deed: Deed, note: str) -> Outcome:
        """Take the cause back, and of a pair, where each breaks answers by itself, both."""
        report = incident.report
        pair, known = report is not None and report.together == "pair", causes(incident)
        outcomes = [
            await remedy.take_back(self._registry, cause, actor=deed.actor, note=note)
            for cause in (known if pair else known[:1])
        ]
        if not outcomes:
            return Outcome(done=False, text="no cause is known any more")
        return Outcome(
            done=all(one.done for one in outcomes), text="; ".join(one.text for one in outcomes),
            moved=all(one.moved for one in outcomes),
        )  # fmt: skip

    async def _move(self, step: Step, deed: Deed, note: str) -> None:
        stands = self._registry.labels(step.kind, step.name).get(step.label, 0)
        if stands != step.after:
            await self._registry.move_label(
                step.kind, step.name, step.label, step.after, actor=deed.actor, note=note, expect=step.before
            )

    async def _pause(self, deed: Deed, note: str) -> Outcome:
        (step,) = deed.steps
        assert self.rollouts is not None
        view = await self.rollouts.view(step.rollout)
        if deed.id not in view.record.paused:
            await self.rollouts.by_hand.pause(step.rollout, actor=deed.actor, reason=note)
        if not self._changes(f"({deed.id})", deed):
            await self._record(view.rollout.id, deed.actor, f"paused the rollout {step.rollout}; {note}")
        return Outcome(done=True, text=f"paused the rollout {step.rollout}: it {deed.text}")

    async def _record(self, rollout_id: str, actor: str, note: str) -> None:
        """A line in the ledger: nothing moved, so before and after are the same."""
        rollout = self._registry.rollout(rollout_id)
        pin = f"{rollout.name}/{rollout.candidate}"
        event = Event(kind=rollout.kind, name=rollout.name, before=pin, after=pin, share=rollout.share)
        await self._registry.record_event(event, actor=actor, note=note)

    async def _take_back(self, incident: Incident, deed: Deed) -> Incident:
        """Undo what a deed did, as far as that was not done before a crash. Raises Conflict with the reason."""
        actor = deed.undone_by
        await self._alter(incident.id, lambda i, now: states.with_deed(i, deed))
        note = f"incident {incident.id}: undo of {deed.id}"
        try:
            said = await self._undone(deed, note, actor)
        except TrimtabError as error:
            kept = replace(deed, state="done", undone_by="")
            await self._alter(incident.id, lambda i, now: states.with_deed(i, kept))
            text = f"{TITLES[deed.action]} cannot be taken back: {error.message}"
            raise Conflict(text, field="deed", mend=error.mend) from error
        text = f"took back {TITLES[deed.action].lower()!r}: {said}"
        ended = replace(deed, state="undone")
        return await self._alter(incident.id, lambda i, now: states.undone(i, ended, text, now))

    async def _undone(self, deed: Deed, note: str, actor: str) -> str:
        before = self._changes(f"undo of {deed.id}", deed)
        already = {(c.kind, c.name) for c in before}
        made = {c.id: c for c in self._changes(f"({deed.id})", deed)}
        said = [f"{c.asset} stands at {c.after}" for c in before if c.action != "external"]
        for change_id in reversed(deed.changes):
            change = made.get(change_id)
            if change is None:
                mend = "Move the labels that you want."
                raise Conflict("the ledger in memory does not reach so far back.", mend=mend)
            if (change.kind, change.name) in already:
                continue
            if change.action == "external":
                said.append(await self._resume(deed.steps[0].rollout, note, actor))
            elif change.rollout:
                said.append(await self._restart(change.rollout, note, actor))
            else:
                taken = await self._registry.undo(change_id, actor=actor, note=note)
                said += [f"{c.asset} stands at {c.after}" for c in taken.changes]
        return "; ".join(said) or "the rollout goes on"

    async def _resume(self, rollout_id: str, note: str, actor: str) -> str:
        if self.rollouts is None:
            raise Conflict("no rollouts are controlled here.", mend="Ask the process that runs the chores.")
        if (await self.rollouts.view(rollout_id)).record.paused:
            await self.rollouts.by_hand.resume(rollout_id, actor=actor, reason=note)
        await self._record(rollout_id, actor, f"resumed the rollout {rollout_id}; {note}")
        return f"the rollout {rollout_id} goes on"

    async def _restart(self, rollout_id: str, note: str, actor: str) -> str:
        """A rollout that was ended, as it was: candidate, share, plan."""
        old = self._registry.rollout(rollout_id)
        known = (await self.rollouts.records([rollout_id])).get(rollout_id) if self.rollouts is not None else None
        if self.rollouts is not None and known is not None:
            change = await self.rollouts.begin(
                old.kind, old.name, old.candidate, known.plan, share=old.share, sticky=old.sticky, label=old.label,
                actor=actor, note=note,
            )  # fmt: skip
        else:
            change = await self._registry.start_rollout(
                old.kind, old.name, old.candidate, share=old.share, sticky=old.sticky, label=old.label,
                stages=old.stages, actor=actor, note=note,
            )  # fmt: skip
        return f"{old.name}/{old.candidate} goes to {old.share:.0%} again in rollout {change.rollout}"

    def _unpausable(self, rollout_id: str) -> str:
        """Why a rollout cannot be paused, as far as is known without asking the store."""
        if self.rollouts is None:
            return "no rollouts are controlled here"
        decision = self.rollouts.standing(rollout_id)
        if decision is None:
            return "the rollout is not judged yet"
        return "it is paused already" if self.rollouts.paused(rollout_id) else ""

    def _changes(self, mark: str, deed: Deed) -> list[Change]:
        """The changes of the ledger with this mark in their note, oldest first."""
        known = self._registry.changes(since_ns=deed.time_ns, limit=_LEDGER)
        return [change for change in reversed(known) if mark in change.note]


def _wanted(incident: Incident) -> Wanted:
    """What the machine is to do; a guard goes back to what it was, because only that is known to have been good."""
    cause = incident.cause
    if incident.action in ("tighten_guard", "relax_guard") and cause is not None and cause.kind == "guards":
        return Wanted(action=incident.action, to=str(remedy.number_of(cause.before)))
    return Wanted(action=incident.action)


def _deed(incident: Incident, deed_id: str) -> Deed:
    if not deed_id:
        found = [d for d in incident.deeds if d.state == "done" and d.changes]
        if not found:
            raise Conflict(f"No action of incident {incident.id} can be taken back.", field="deed")
        return found[-1]
    for deed in incident.deeds:
        if deed.id == deed_id:
            return deed
    known = ", ".join(d.id for d in incident.deeds) or "none"
    raise NotFound(f"There is no action {deed_id[:60]!r}.", field="deed", mend=f"There are: {known}.")
