"""The synchronous face of the registry: what stands where, answered from memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import Address, BadInput, Change, NotFound, Rollout, Version
from trimtab.store import Metadata

from . import records
from .contents import Contents, Unread
from .records import Search
from .snapshot import Protection, Resolved, Snapshot, address_of, check_kind

#: Addresses whose versions are remembered between two changes.
STEADY = 4096


class Readings:
    """Looks at an immutable snapshot, so it takes no lock and may be asked in any thread.

    It touches no database, with one exception: the content of a version that is not live and was not asked for lately
    is one look-up by key. ``ready`` fetches it beforehand, without waiting in the event loop.
    """

    def __init__(self, metadata: Metadata, snapshot: Snapshot) -> None:
        self._metadata = metadata
        self._now = snapshot
        self._contents = Contents()
        self._steady: dict[tuple[str, str], Version | None] = {}
        self._steady_in = snapshot
        self._told: frozenset[tuple[str, str]] = frozenset()
        self._told_in: Snapshot | None = None

    @property
    def moment(self) -> object:
        """What is another object after every change: what was found out while it was the same still holds."""
        return self._now

    def steady(self, kind: str, address: str) -> Version | None:
        """The version that an address of this kind means for everybody, remembered until something changes; None where
        it depends on who asks, or on a look into the database, or leads nowhere: ``resolve`` tells then."""
        now, key = self._now, (kind, address)
        if self._steady_in is not now or len(self._steady) >= STEADY:
            self._steady, self._steady_in = {}, now
        if key not in self._steady:
            self._steady[key] = self._find_steady(now, kind, address)
        return self._steady[key]

    def _find_steady(self, now: Snapshot, kind: str, address: str) -> Version | None:
        try:
            where = address_of(address, kind)
            if where.kind != kind or (where.kind, where.name) in now.running:
                return None
            number, _, _ = now.drawn(where, "")
        except (BadInput, NotFound):
            return None
        return now.assets[kind, where.name].live.get(number)

    def resolve(self, address: str | Address, *, kind: str = "", key: str = "") -> Resolved:
        """The version that an address means for one sticky key (session, user, or trace id, as the rollout asks).

        Raises BadInput for text that is no address, and NotFound, naming what there is, for what is not there.
        """
        now = self._now
        where = address_of(address, kind)
        number, rollout, arm = now.drawn(where, key)
        return Resolved(version=self._version(now, where.kind, where.name, number), rollout=rollout, arm=arm)

    def version(self, kind: str, name: str, number: int) -> Version:
        """One version. Raises NotFound, naming what there is."""
        return self._version(self._now, kind, name, number)

    async def ready(self, address: str | Address, *, kind: str = "") -> None:
        """See that the content of what an address means is in memory. Raises as ``resolve`` does."""
        where = address_of(address, kind)
        if not where.number:
            return
        now, place = self._now, (where.kind, where.name, where.number)
        entry = now.entry(*place)
        if place[2] in now.assets[place[0], place[1]].live or self._contents.get(entry.digest) is not None:
            return
        content, size = await self._metadata.read(lambda connection: records.content_of(connection, place))
        self._contents.put(entry.digest, content, size)

    def names(self, kind: str) -> list[str]:
        """Every asset of a kind, sorted. Raises BadInput for an unknown kind."""
        check_kind(kind)
        return sorted(name for (k, name), standing in self._now.assets.items() if k == kind and standing.entries)

    def count(self, kind: str, name: str) -> int:
        """How many versions an asset has. Raises NotFound, naming what there is."""
        return len(self._now.standing(kind, name).entries)

    def versions(self, kind: str, name: str, *, newest: int = 0) -> list[Version]:
        """All versions of an asset, or only so many of the newest, oldest first; a content is read when it is looked
        into. Raises NotFound, naming what there is."""
        now, asset = self._now, (kind, name)
        standing = now.standing(kind, name)

        def unread(number: int) -> Mapping[str, Any]:
            return Unread(lambda: self._version(now, kind, name, number).content)

        return [
            standing.live.get(entry.number) or entry.version(asset, unread(entry.number))
            for entry in standing.entries[-newest:]
        ]

    def newest_ns(self, kind: str, name: str) -> int:
        """When the newest version of an asset was registered, nanoseconds UTC; 0 where there is none."""
        standing = self._now.assets.get((kind, name))
        return standing.entries[-1].created_ns if standing is not None and standing.entries else 0

    def labels(self, kind: str, name: str) -> dict[str, int]:
        """Each label of an asset and the number that it stands at; empty when nothing was labelled."""
        return dict(self._now.labels(kind, name))

    def protections(self, kind: str, name: str) -> dict[str, Protection]:
        """The labels of an asset that are protected."""
        found = self._now.assets.get((kind, name))
        return dict(found.protections) if found else {}

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
        """The latest 10,000 changes, newest first. ``since_ns`` is included, ``until_ns`` excluded; 0 is no bound."""
        found: list[Change] = []
        for change in reversed(self._now.ledger):
            if len(found) >= limit:
                break
            if change.time_ns >= since_ns and (not until_ns or change.time_ns < until_ns):
                found.append(change)
        return found

    def recorded(self, kind: str, pin: str) -> bool:
        """Whether the ledger, as far as it is in memory, tells of a version that served: a label stands or stood at it,
        or it is an arm of a rollout. What is no version of the registry counts as told."""
        name, _, number = pin.rpartition("/")
        if not name or not number.isdecimal():
            return True
        if self._told_in is not self._now:
            self._told, self._told_in = _told(self._now), self._now
        known = self._now.assets.get((kind, name))
        return (kind, pin) in self._told or (known is not None and int(number) in known.live_numbers())

    async def counted(self, asked: Search) -> int:
        """How many changes of the whole ledger a search finds, on all its pages."""
        return await self._metadata.read(lambda connection: records.counted(connection, asked))

    def _version(self, now: Snapshot, kind: str, name: str, number: int) -> Version:
        standing = now.assets.get((kind, name))
        live = standing.live.get(number) if standing else None
        if live is not None:
            return live
        entry = now.entry(kind, name, number)
        content = self._contents.get(entry.digest)
        if content is None:
            place = (kind, name, number)
            content, size = self._metadata.look_up(lambda connection: records.content_of(connection, place))
            self._contents.put(entry.digest, content, size)
        return entry.version((kind, name), content)


def _told(now: Snapshot) -> frozenset[tuple[str, str]]:
    """Every version that a change of the ledger came from or led to, by kind and pin."""
    return frozenset((change.kind, pin) for change in now.ledger for pin in (change.before, change.after) if pin)
