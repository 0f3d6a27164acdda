"""The registry: reads answer from memory, writes are committed before they are seen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from trimtab.core import Address, Change, NotFound, Rollout, Version, new_id, now_ns
from trimtab.store import Metadata

from . import plans, records
from .ledger import PRODUCTION
from .plans import Plan, Who
from .snapshot import Effect, Resolved, Snapshot, check_kind

log = logging.getLogger(__name__)

#: Raises BadInput for content that cannot be a version of its kind.
Check = Callable[[Mapping[str, Any]], object]


class Registry:
    """Versions, labels, rollouts and the change ledger.

    Reads are synchronous, take no lock and touch no database: they look at an immutable snapshot that each write
    replaces, so they may run in any thread. Writes run one after another in one event loop; each is one transaction,
    and a caller who is cancelled leaves the write finished and seen.
    """

    def __init__(
        self, metadata: Metadata, snapshot: Snapshot, clock: Callable[[], int], checks: Mapping[str, Check]
    ) -> None:
        self._metadata = metadata
        self._checks = checks
        self._now = snapshot
        self._clock = clock
        self._lock = asyncio.Lock()
        self._listeners: list[Callable[[Change], None]] = []

    @classmethod
    async def load(
        cls, metadata: Metadata, *, clock: Callable[[], int] = now_ns, checks: Mapping[str, Check] | None = None
    ) -> Self:
        """Read everything once. ``clock`` answers nanoseconds UTC.

        ``checks`` by kind: what a new version's content must pass, each raising BadInput for what it cannot be.
        """
        return cls(metadata, await metadata.read(records.read), clock, checks or {})

    def resolve(self, address: str | Address, *, kind: str = "", key: str = "") -> Resolved:
        """The version that an address means for one sticky key (session, user, or trace id, as the rollout asks).

        Raises BadInput for text that is no address, and NotFound, naming what there is, for what is not there.
        """
        return self._now.resolve(address, kind, key)

    def version(self, kind: str, name: str, number: int) -> Version:
        """One version. Raises NotFound, naming what there is."""
        return self._now.version(kind, name, number)

    def names(self, kind: str) -> list[str]:
        """Every asset of a kind, sorted. Raises BadInput for an unknown kind."""
        check_kind(kind)
        return sorted(name for k, name in self._now.versions if k == kind)

    def versions(self, kind: str, name: str) -> list[Version]:
        """All versions of an asset, oldest first. Raises NotFound, naming what there is."""
        return [version for _, version in sorted(self._now.numbers(kind, name).items())]

    def labels(self, kind: str, name: str) -> dict[str, int]:
        """Each label of an asset and the number that it stands at; empty when nothing was labelled."""
        return dict(self._now.labels.get((kind, name), {}))

    def rollout(self, rollout_id: str) -> Rollout:
        """One rollout, running or ended. Raises NotFound."""
        found = self._now.rollouts.get(rollout_id)
        if found is None:
            raise NotFound(f"There is no rollout {rollout_id!r}.", field="rollout", mend="List them to see their ids.")
        return found

    def rollouts(self, *, running: bool = False) -> list[Rollout]:
        """All rollouts, newest first; only those that run when asked."""
        chosen = self._now.running if running else self._now.rollouts
        return sorted(chosen.values(), key=lambda rollout: rollout.started_ns, reverse=True)

    def running(self, kind: str, name: str) -> Rollout | None:
        """The rollout that an asset is in; there is at most one."""
        return self._now.running.get((kind, name))

    def changes(self, *, since_ns: int = 0, until_ns: int = 0, limit: int = 200) -> list[Change]:
        """The ledger, newest first. ``since_ns`` is included, ``until_ns`` excluded; 0 is no bound."""
        found: list[Change] = []
        for change in reversed(self._now.ledger):
            if len(found) >= limit:
                break
            if change.time_ns >= since_ns and (not until_ns or change.time_ns < until_ns):
                found.append(change)
        return found

    async def register(
        self, kind: str, name: str, content: Mapping[str, Any], *, author: str = "", note: str = ""
    ) -> Version:
        """A new version, or the one that already has this content. No label moves.

        Raises BadInput for an unknown kind, a bad name, content that is not JSON or does not pass its kind's check,
        and TooLarge above 16 MiB.
        """
        if check := self._checks.get(kind):
            check(content)
        effect = await self._write(lambda now, who: plans.register(now, kind, name, content, who), author, note)
        assert effect.version is not None
        return effect.version

    async def move_label(
        self, kind: str, name: str, label: str, number: int, *, actor: str, note: str = "", expect: int | None = None
    ) -> Change:
        """Move a label, for everybody at once. ``expect`` is the number it must stand at (0: not set yet).

        Where it stands at ``number`` already nothing is written, and the change that put it there is the answer.
        Raises Conflict when it stands elsewhere than expected or has a running rollout; NotFound for the version.
        """
        change_id = new_id("chg")
        return await self._change(
            lambda now, who: plans.move_label(
                now, (kind, name), label, number, who, change_id=change_id, expect=expect
            ),
            actor,
            note,
        )

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
    ) -> Change:
        """Give ``share`` (0 to 1) of the keys a candidate; the rest keep what the label stands at.

        ``sticky`` says what the key is: session, user or request. Raises Conflict while another rollout of the asset
        runs or the label is at the candidate already; NotFound for the version or the label; BadInput for the rest.
        """
        plan = Plan(share=share, sticky=sticky, label=label, stages=stages)
        ids = (new_id("rol"), new_id("chg"))
        return await self._change(
            lambda now, who: plans.start_rollout(now, (kind, name), number, plan, who, ids=ids), actor, note
        )

    async def set_share(self, rollout_id: str, share: float, *, actor: str) -> Change:
        """Move a running rollout's share. Raises NotFound, Conflict when it has ended, BadInput for the share."""
        change_id = new_id("chg")
        return await self._change(
            lambda now, who: plans.set_share(now, rollout_id, share, who, change_id=change_id), actor, ""
        )

    async def promote(self, rollout_id: str, *, actor: str, note: str = "") -> Change:
        """The candidate for everybody; the label moves. Raises NotFound, and Conflict when the rollout has ended."""
        change_id = new_id("chg")
        return await self._change(
            lambda now, who: plans.promote(now, rollout_id, who, change_id=change_id), actor, note
        )

    async def abort(self, rollout_id: str, *, actor: str, note: str = "") -> Change:
        """Everybody back on the base. Raises NotFound, and Conflict when the rollout has ended."""
        change_id = new_id("chg")
        return await self._change(lambda now, who: plans.abort(now, rollout_id, who, change_id=change_id), actor, note)

    async def rollback(self, kind: str, name: str, *, actor: str, note: str = "", label: str = PRODUCTION) -> Change:
        """Take the last change of a label back: abort its running rollout, else move it to what it had before.

        A second rollback goes further back, never forth. Raises Conflict when there is nothing to go back to and
        NotFound when the label was never set.
        """
        change_id = new_id("chg")
        return await self._change(
            lambda now, who: plans.rollback(now, (kind, name), label, who, change_id=change_id), actor, note
        )

    async def record_external(
        self, kind: str, name: str, *, before: str, after: str, note: str, share: float = 1.0, actor: str = "vendor"
    ) -> Change:
        """Write down a change that was seen, not made: a vendor's model, an index rebuilt elsewhere."""
        change_id = new_id("chg")
        return await self._change(
            lambda now, who: plans.external(kind, name, (before, after), share, who, change_id=change_id), actor, note
        )

    def on_change(self, callback: Callable[[Change], None]) -> None:
        """Call back after each change is committed and seen, in the event loop of the writer. It must not block."""
        self._listeners.append(callback)

    async def _change(self, plan: Callable[[Snapshot, Who], Effect], actor: str, note: str) -> Change:
        effect = await self._write(plan, actor, note)
        change = effect.change or effect.settled
        assert change is not None
        return change

    async def _write(self, plan: Callable[[Snapshot, Who], Effect], actor: str, note: str) -> Effect:
        # A task of its own, because a commit whose caller was cancelled must still reach the snapshot.
        return await asyncio.shield(asyncio.create_task(self._commit(plan, actor, note)))

    async def _commit(self, plan: Callable[[Snapshot, Who], Effect], actor: str, note: str) -> Effect:
        async with self._lock:
            now = self._now
            effect = plan(now, Who(actor=actor, note=note, time_ns=self._clock()))
            version, rollout = effect.version, effect.rollout
            new_version = version is not None and version.number not in now.versions.get(
                (version.kind, version.name), {}
            )
            if new_version or effect.change is not None:
                new_rollout = rollout is not None and rollout.id not in now.rollouts
                await self._metadata.write(records.writing(effect, new_version=new_version, new_rollout=new_rollout))
                self._now = now.after(effect)
        if effect.change is not None:
            self._tell(effect.change)
        return effect

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:  # house: except because a listener must not undo what is committed
                log.exception("a listener failed on change %s of %s", change.id, change.asset)
