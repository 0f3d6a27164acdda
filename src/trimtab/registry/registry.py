"""The registry: reads answer from memory, writes are committed before they are seen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from trimtab.core import Change, Conflict, Version, new_id, now_ns
from trimtab.store import Metadata

from . import plans, protect, records, rewind
from .books import MAX_ACTOR, MAX_NOTE, Books, May, Who, check_text
from .following import Follower
from .ledger import PRODUCTION
from .needs import Known, Lineage
from .plans import Event, Plan, Target, check_name
from .readings import Readings
from .records import Search
from .snapshot import Asset, Effect, Gate, Protection, Snapshot

log = logging.getLogger(__name__)

#: Raises BadInput for content that cannot be a version of its kind.
Check = Callable[[Mapping[str, Any]], object]
#: Raises Conflict for content that may be registered and yet not go live.
LiveCheck = Callable[[Version], Awaitable[None]]
#: What a write is to do; it gets the books as of its own transaction.
Decision = Callable[[Books, Who], Effect]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """What was taken back together: the id that the changes share, the changes, and in words what was left."""

    group: str
    changes: tuple[Change, ...]
    left: tuple[str, ...] = ()


class Registry(Readings):
    """Versions, labels, rollouts and the change ledger.

    Writes run one after another, over all processes that share the database; each is one transaction that decides on
    the registry as it is by then, and a caller who is cancelled leaves the write finished and seen. A write to a label
    that another process has moved since this one looked raises Conflict. Where ``may`` is asked for, None is the
    server itself, which needs no role.
    """

    def __init__(
        self, metadata: Metadata, snapshot: Snapshot, clock: Callable[[], int], checks: Mapping[str, Check]
    ) -> None:
        super().__init__(metadata, snapshot)
        self._checks = checks
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._live_checks: dict[str, LiveCheck] = {}
        self._lock = asyncio.Lock()
        self._listeners: list[Callable[[Change], None]] = []
        self._follower = Follower(self.refresh)

    @classmethod
    async def load(
        cls, metadata: Metadata, *, clock: Callable[[], int] = now_ns, checks: Mapping[str, Check] | None = None
    ) -> Self:
        """Read everything once but contents that are not live. ``clock`` answers nanoseconds UTC.

        ``checks`` by kind: what a new version's content must pass, each raising BadInput for what it cannot be.
        """
        snapshot, _ = await metadata.read(lambda connection: records.caught_up(connection, Snapshot()))
        return cls(metadata, snapshot, clock, checks or {})

    def know(self, kind: str, check: Known) -> None:
        """What a version needs of a kind must pass ``check``: for what is no asset of the registry, such as models."""
        self._known[kind] = check

    def before_live(self, kind: str, check: LiveCheck) -> None:
        """Ask ``check`` about a version before ``production`` moves to it or a rollout of it starts.

        What goes back (a rollback, a rewind, an undo) is not asked about.
        """
        self._live_checks[kind] = check

    async def _may_live(self, kind: str, name: str, number: int) -> None:
        if (check := self._live_checks.get(kind)) is not None:
            await check(self.version(kind, name, number))

    # Keeping up with other processes.

    async def refresh(self) -> bool:
        """Take over what other processes wrote since the last look. One row is read when there is nothing."""
        async with self._lock:
            seen = self._now
            snapshot, heard = await self._metadata.read(lambda connection: records.caught_up(connection, seen))
            self._now = snapshot
        for change in heard:
            self._tell(change)
        return snapshot is not seen

    def follow(self) -> None:
        """Refresh in the background, every half second and when ``nudge`` is called."""
        self._follower.start()

    def nudge(self) -> None:
        """Another process says that it has written: look now. Does nothing unless ``follow`` was called."""
        self._follower.nudge()

    async def stop(self) -> None:
        """End what ``follow`` began."""
        await self._follower.stop()

    # Versions and labels.

    async def register(
        self,
        kind: str,
        name: str,
        content: Mapping[str, Any],
        *,
        author: str = "",
        note: str = "",
        lineage: Lineage | None = None,
    ) -> Version:
        """A new version, or the one that already has this content. No label moves.

        ``lineage`` says what it was edited from and tested with. Raises BadInput for an unknown kind, a bad name,
        content that is not JSON or does not pass its kind's check, parents or needs that do not exist, and TooLarge
        above 16 MiB.
        """
        if check := self._checks.get(kind):
            check(content)
        known, made, of = dict(self._known), plans.written(content), lineage or Lineage()
        effect = await self._write(
            lambda books, who: plans.register(books, (kind, name), made, of, who, known=known), author, note
        )
        version = effect.version or effect.found
        assert version is not None
        self._contents.put(made.digest, made.content, made.size)
        return version

    async def move_label(  # house: parameters because every condition of a move is spelt out where it is made
        self,
        kind: str,
        name: str,
        label: str,
        number: int,
        *,
        actor: str,
        note: str = "",
        expect: int | None = None,
        may: May | None = None,
    ) -> Change:
        """Move a label, for everybody at once. ``expect`` is the number it must stand at (0: not set yet).

        Where it stands at ``number`` already nothing is written, and the change that put it there is the answer.
        Raises Conflict when it stands elsewhere than expected or has a running rollout; Forbidden when it is protected
        and a role or a passed gate is missing; NotFound for the version.
        """
        change_id = new_id("chg")
        if label == PRODUCTION and self.labels(kind, name).get(label) != number:
            await self._may_live(kind, name, number)
        to = Target(asset=(kind, name), label=label, number=number, expect=expect)
        return await self._change(
            lambda books, who: plans.move_label(books, to, who, change_id=change_id, may=may), actor, note, (kind, name)
        )

    async def protect(
        self, asset: Asset, label: str, *, role: str, gate: str, actor: str, note: str = "", may: May | None = None
    ) -> None:
        """Say what it takes to move a label: the role ``admin`` or none, a gate or none; neither takes it away.

        Raises Forbidden without the role admin, NotFound for the asset, BadInput for the role.
        """
        check_name(label, "label")
        if gate:
            check_name(gate, "gate")

        def decide(books: Books, who: Who) -> Effect:
            asked = Protection(
                kind=asset[0], name=asset[1], label=label, role=role, gate=gate, actor=who.actor, note=who.note,
                time_ns=who.time_ns,
            )  # fmt: skip
            return protect.protect(books, asked, may)

        await self._write(decide, actor, note, asset)

    async def record_gate(
        self, asset: Asset, number: int, gate: str, *, passed: bool, evidence: Mapping[str, Any], actor: str
    ) -> Gate:
        """Write down whether a version passed a gate. The latest result counts. Raises NotFound for the version."""
        check_name(gate, "gate")
        plans.canonical(evidence, "evidence")
        result = Gate(
            id=new_id("gat"), kind=asset[0], name=asset[1], number=number, gate=gate, passed=passed, evidence=evidence
        )
        effect = await self._write(lambda books, who: protect.record(books, result, who), actor)
        assert effect.gate is not None
        return effect.gate

    # Rollouts.

    async def start_rollout(  # house: parameters because the plan of a rollout is spelt out where it is started
        self,
        kind: str,
        name: str,
        number: int,
        *,
        share: float,
        sticky: str = "session",
        actor: str,
        note: str = "",
        label: str = PRODUCTION,
        stages: Sequence[float] = (),
        may: May | None = None,
    ) -> Change:
        """Give ``share`` (0 to 1) of the keys a candidate; the rest keep what the label stands at.

        ``sticky`` says what the key is: session, user or request. Raises Conflict while another rollout of the asset
        runs or the label is at the candidate already; Forbidden when the label is protected and a role or a passed
        gate is missing; NotFound for the version or the label; BadInput for the rest.
        """
        plan = Plan(share=share, sticky=sticky, label=label, stages=stages)
        await self._may_live(kind, name, number)
        ids, asset = (new_id("rol"), new_id("chg")), (kind, name)
        return await self._change(
            lambda books, who: plans.start_rollout(books, asset, number, plan, who, ids=ids, may=may),
            actor, note, asset,
        )  # fmt: skip

    async def set_share(self, rollout_id: str, share: float, *, actor: str, note: str = "") -> Change:
        """Move a running rollout's share. Raises NotFound, Conflict when it has ended, BadInput for the share."""
        change_id = new_id("chg")
        return await self._change(
            lambda books, who: plans.set_share(books, rollout_id, share, who, change_id=change_id),
            actor, note, self._asset_of(rollout_id),
        )  # fmt: skip

    async def promote(self, rollout_id: str, *, actor: str, note: str = "", may: May | None = None) -> Change:
        """The candidate for everybody; the label moves. Raises NotFound, Conflict when the rollout has ended, and
        Forbidden when the label is protected and a role or a passed gate is missing."""
        change_id = new_id("chg")
        return await self._change(
            lambda books, who: plans.promote(books, rollout_id, who, change_id=change_id, may=may),
            actor, note, self._asset_of(rollout_id),
        )  # fmt: skip

    async def abort(self, rollout_id: str, *, actor: str, note: str = "") -> Change:
        """Everybody back on the base. Raises NotFound, and Conflict when the rollout has ended."""
        change_id = new_id("chg")
        return await self._change(
            lambda books, who: plans.abort(books, rollout_id, who, change_id=change_id),
            actor, note, self._asset_of(rollout_id),
        )  # fmt: skip

    # Taking back.

    async def rollback(
        self, kind: str, name: str, *, actor: str, note: str = "", label: str = PRODUCTION, may: May | None = None
    ) -> Change:
        """Take the last change of a label back: abort its running rollout, else move it to what it had before.

        A second rollback goes further back, never forth. Raises Conflict when there is nothing to go back to and
        NotFound when the label was never set.
        """
        change_id, asset = new_id("chg"), (kind, name)
        return await self._change(
            lambda books, who: plans.rollback(books, asset, label, who, change_id=change_id, may=may),
            actor, note, asset,
        )  # fmt: skip

    async def rewind(
        self, at_ns: int, *, actor: str, note: str = "", dry_run: bool = False, may: May | None = None
    ) -> TakenBack:
        """Everything as it was at a moment: every label back to where it stood, rollouts that began later aborted.

        One transaction; the changes share a group. With ``dry_run`` nothing is written. Raises Conflict when nothing
        has moved since and BadInput for a moment to come.
        """
        group = new_id(rewind.GROUP)

        def decide(books: Books, who: Who) -> Effect:
            return rewind.rewind(books, at_ns, who, new_id=lambda: new_id("chg"), group=group, may=may)

        if dry_run:
            effect = await self._imagine(decide, actor, note)
        else:
            effect = await self._write(decide, actor, note)
        return TakenBack(group=group, changes=effect.changes, left=effect.left)

    async def undo(self, change_id: str, *, actor: str, note: str = "", may: May | None = None) -> TakenBack:
        """Take one change back, or all changes of a group, as long as nothing came after it on its label.

        Raises NotFound, and Conflict when it cannot be undone.
        """
        effect = await self._write(
            lambda books, who: rewind.undo(books, change_id, who, new_id=lambda: new_id("chg"), may=may), actor, note
        )
        return TakenBack(group=effect.changes[0].group, changes=effect.changes, left=effect.left)

    # The ledger.

    async def record_external(
        self, kind: str, name: str, *, before: str, after: str, note: str, share: float = 1.0, actor: str = "vendor"
    ) -> Change:
        """Write down a change that was seen, not made: a vendor's model, an index rebuilt elsewhere."""
        return await self.record_event(
            Event(kind=kind, name=name, before=before, after=after, share=share), actor=actor, note=note
        )

    async def record_event(self, event: Event, *, actor: str, note: str = "") -> Change:
        """Write down what happened elsewhere, a deployment of the application for instance. Raises BadInput."""
        change_id = new_id("chg")
        return await self._change(lambda books, who: plans.external(event, who, change_id=change_id), actor, note)

    async def search(self, asked: Search) -> tuple[list[Change], int]:
        """A page of the whole ledger, newest first, and where the next one begins; 0 after the last."""
        return await self._metadata.read(lambda connection: records.search(connection, asked))

    async def protected(self, asset: Asset, label: str) -> list[Protection]:
        """Every protection that a label has had, newest first."""
        return await self._metadata.read(lambda connection: records.protections_of(connection, asset, label))

    async def gates(self, asset: Asset, number: int = 0, limit: int = 200) -> list[Gate]:
        """The recorded results of gates for a version (0: for all of the asset's), newest first."""
        return await self._metadata.read(lambda connection: records.gates_of(connection, asset, number, limit))

    def on_change(self, callback: Callable[[Change], None]) -> None:
        """Call back after each change is committed and seen, in the event loop, also for changes that other processes
        made. It must not block."""
        self._listeners.append(callback)

    def _asset_of(self, rollout_id: str) -> Asset | None:
        found = self._now.rollouts.get(rollout_id)
        return (found.kind, found.name) if found else None

    async def _change(self, decide: Decision, actor: str, note: str, asset: Asset | None = None) -> Change:
        effect = await self._write(decide, actor, note, asset)
        change = effect.changes[0] if effect.changes else effect.settled
        assert change is not None
        return change

    async def _write(self, decide: Decision, actor: str, note: str = "", asset: Asset | None = None) -> Effect:
        check_text(actor, "actor", MAX_ACTOR)
        check_text(note, "note", MAX_NOTE)
        # A task of its own, because a commit whose caller was cancelled must still reach the snapshot.
        return await asyncio.shield(asyncio.create_task(self._commit(decide, actor, note, asset)))

    async def _commit(self, decide: Decision, actor: str, note: str, asset: Asset | None) -> Effect:
        def plan(seen: Snapshot, books: Books) -> Effect:
            if asset is not None:
                _refuse_unseen(seen, books.now, asset)
            return decide(books, Who(actor=actor, note=note, time_ns=self._clock()))

        async with self._lock:
            seen = self._now
            try:
                done = await self._metadata.write(records.transact(seen, plan))
            except Conflict:
                # Whoever is told to look again must find what there is by now.
                self._now, heard = await self._metadata.read(lambda connection: records.caught_up(connection, seen))
                self._tell_all(heard)
                raise
            self._now = done.snapshot
        self._tell_all((*done.heard, *done.effect.changes))
        return done.effect

    async def _imagine(self, decide: Decision, actor: str, note: str) -> Effect:
        who = Who(actor=actor, note=note, time_ns=self._clock())
        seen = self._now

        return await self._metadata.read(records.imagine(seen, lambda books: decide(books, who)))

    def _tell_all(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._tell(change)

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:  # house: except because a listener must not undo what is committed
                log.exception("a listener failed on change %s of %s", change.id, change.asset)


def _refuse_unseen(seen: Snapshot, now: Snapshot, asset: Asset) -> None:
    """Raises Conflict when somebody else has moved the asset since the caller's process looked."""
    if seen is now:
        return
    before, after = seen.assets.get(asset), now.assets.get(asset)
    if before is None or after is None:
        return
    if before.labels != after.labels or before.running != after.running:
        raise Conflict(
            f"Somebody else moved {asset[0]}:/{asset[1]} first.", field="label", mend="Read it again and decide anew."
        )
