"""The registry as it stands, immutable and in memory: what every request resolves its versions against.

The contents of versions that are live (a label or a running rollout stands at them) are here; those of all others are
read when they are asked for, so that a hundred thousand old versions cost little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trimtab.core import LAYER_OF_KIND, Address, BadInput, Change, NotFound, Rollout, Version, parse_address, swift

from .choice import Arm, choose

#: (kind, name)
Asset = tuple[str, str]
#: (kind, name, number)
Place = tuple[str, str, int]
#: Changes that are kept in memory; older ones are in the database.
RECENT = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A version without its content: what is kept in memory of every one."""

    number: int
    digest: str
    author: str = ""
    note: str = ""
    created_ns: int = 0
    parents: tuple[int, ...] = ()
    needs: Mapping[str, Any] = field(default_factory=dict)

    def version(self, asset: Asset, content: Mapping[str, Any]) -> Version:
        """The whole version."""
        return Version(
            kind=asset[0], name=asset[1], number=self.number, digest=self.digest, content=content, author=self.author,
            note=self.note, created_ns=self.created_ns, parents=self.parents, needs=self.needs,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What it takes to move a label: a role (``admin``, or none) and a passed gate (its name, or none)."""

    kind: str
    name: str
    label: str
    role: str = ""
    gate: str = ""
    actor: str = ""
    note: str = ""
    time_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A recorded result: whether a version passed a gate, and why that was found. The latest one counts."""

    id: str
    kind: str
    name: str
    number: int
    gate: str
    passed: bool
    evidence: Mapping[str, Any] = field(default_factory=dict)
    actor: str = ""
    time_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One asset: its versions (number n at position n - 1), labels, running rollout, and the versions that are live."""

    entries: tuple[Entry, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    protections: Mapping[str, Protection] = field(default_factory=dict)
    running: Rollout | None = None
    live: Mapping[int, Version] = field(default_factory=dict)

    def live_numbers(self) -> set[int]:
        """The numbers that traffic can be served with."""
        arms = {self.running.base, self.running.candidate} if self.running else set()
        return {*self.labels.values(), *arms}


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The version that an address means for one key.

    ``rollout`` and ``arm`` are set when a running rollout drew the key; both are empty otherwise.
    """

    version: Version
    rollout: str = ""
    arm: Arm = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMove:
    """A label's new number; ``before`` is the number it stood at (0: it is new)."""

    kind: str
    name: str
    label: str
    before: int
    number: int
    moved_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one write does to the registry: everything in it is committed together or not at all.

    ``found`` is set, alone, when the version was there already, and ``settled`` when there is nothing left to do: the
    earlier change that did it. ``left`` says what could not be done, in words.
    """

    version: Version | None = None
    labels: tuple[LabelMove, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    changes: tuple[Change, ...] = ()
    protection: Protection | None = None
    gate: Gate | None = None
    found: Version | None = None
    settled: Change | None = None
    left: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.version or self.labels or self.rollouts or self.changes or self.protection or self.gate)

    def then(self, other: Effect) -> Effect:
        """Both, the other one after this."""
        return replace(
            self, labels=self.labels + other.labels, rollouts=self.rollouts + other.rollouts,
            changes=self.changes + other.changes, left=self.left + other.left,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What was committed since a snapshot was taken, oldest first."""

    generation: int
    entries: tuple[tuple[Asset, Entry], ...] = ()
    labels: tuple[tuple[Asset, str, int], ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    changes: tuple[Change, ...] = ()
    protections: tuple[Protection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Assets, rollouts and the recent part of the ledger (oldest first). Never mutated: ``after`` makes the next one.

    ``generation`` counts the writes that it has seen.
    """

    assets: Mapping[Asset, Standing] = field(default_factory=dict)
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    running: Mapping[Asset, Rollout] = field(default_factory=dict)
    ledger: tuple[Change, ...] = ()
    generation: int = -1

    def standing(self, kind: str, name: str) -> Standing:
        """One asset. Raises NotFound, naming what there is."""
        found = self.assets.get((kind, name))
        if found is None or not found.entries:
            check_kind(kind)
            there = _listed(n for k, n in self.assets if k == kind)
            raise NotFound(f"There is no {kind}:/{name}.", field="name", mend=f"There is {there}.")
        return found

    def entry(self, kind: str, name: str, number: int) -> Entry:
        """One version without its content. Raises NotFound, naming what there is."""
        entries = self.standing(kind, name).entries
        if not 0 < number <= len(entries):
            there = f"1 to {len(entries)}" if len(entries) > 1 else "1"
            raise NotFound(f"There is no {kind}:/{name}/{number}.", field="number", mend=f"There is {there}.")
        return entries[number - 1]

    def label(self, kind: str, name: str, label: str) -> int:
        """The number that a label stands at. Raises NotFound, naming what there is."""
        labels = self.labels(kind, name)
        number = labels.get(label)
        if number is None:
            self.standing(kind, name)
            mend = f"There is {_listed('@' + known for known in labels)}; move the label to a version first."
            raise NotFound(f"There is no {kind}:/{name}@{label}.", field="label", mend=mend)
        return number

    def labels(self, kind: str, name: str) -> Mapping[str, int]:
        """Each label of an asset; empty for one that is not there."""
        found = self.assets.get((kind, name))
        return found.labels if found else {}

    def drawn(self, where: Address, key: str) -> tuple[int, str, Arm]:
        """The number that an address means for a key, with the rollout and the arm that drew it. Raises NotFound."""
        if where.number:
            return where.number, "", ""
        number = self.label(where.kind, where.name, where.label)
        rollout = self.running.get((where.kind, where.name))
        if rollout is None or rollout.label != where.label or not key:
            return number, "", ""
        choice = choose(rollout, key)
        return choice.number, rollout.id, choice.arm

    def after(self, effect: Effect, generation: int) -> Snapshot:
        """The snapshot once a write is committed as that generation."""
        version = effect.version
        return self.merged(
            News(
                generation=generation,
                entries=(((version.kind, version.name), entry_of(version)),) if version else (),
                labels=tuple(((move.kind, move.name), move.label, move.number) for move in effect.labels),
                rollouts=effect.rollouts,
                changes=effect.changes,
                protections=(effect.protection,) if effect.protection else (),
            )
        )

    def merged(self, news: News) -> Snapshot:
        """This snapshot with what was committed since; ``unread`` says which contents it lacks then."""
        rollouts, running = dict(self.rollouts), dict(self.running)
        for rollout in news.rollouts:
            asset = (rollout.kind, rollout.name)
            rollouts[rollout.id] = rollout
            if rollout.state == "running":
                running[asset] = rollout
            elif (now := running.get(asset)) is not None and now.id == rollout.id:
                del running[asset]
        assets = dict(self.assets)
        for asset, change in _by_asset(news).items():
            assets[asset] = change.applied(assets.get(asset) or Standing(), running.get(asset))
        ledger = (*self.ledger, *news.changes)[-RECENT:] if news.changes else self.ledger
        return replace(
            self, assets=assets, rollouts=rollouts, running=running, ledger=ledger, generation=news.generation
        )

    def unread(self, assets: Iterable[Asset] | None = None) -> list[Place]:
        """The live versions (of some assets) whose contents are not here yet."""
        chosen = self.assets if assets is None else assets
        return [
            (*asset, number)
            for asset in chosen
            for number in sorted(self.assets[asset].live_numbers() - self.assets[asset].live.keys())
        ]

    def filled(self, contents: Mapping[Place, Mapping[str, Any]]) -> Snapshot:
        """This snapshot with the contents of live versions put in."""
        assets = dict(self.assets)
        for (kind, name, number), content in contents.items():
            asset = (kind, name)
            found = assets[asset]
            version = found.entries[number - 1].version(asset, content)
            assets[asset] = replace(found, live={**found.live, number: version})
        return replace(self, assets=assets)


@dataclass(slots=True)
class _AssetNews:
    """What is new of one asset."""

    entries: list[Entry] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)

    def applied(self, before: Standing, running: Rollout | None) -> Standing:
        known = len(before.entries)
        new = tuple(entry for entry in self.entries if entry.number > known)
        after = replace(
            before,
            entries=before.entries + new if new else before.entries,
            labels={**before.labels, **self.labels},
            protections=_kept({**before.protections, **self.protections}),
            running=running,
        )
        kept = after.live_numbers() & before.live.keys()
        return replace(after, live={number: before.live[number] for number in kept})


def _by_asset(news: News) -> dict[Asset, _AssetNews]:
    found: dict[Asset, _AssetNews] = {}

    def of(asset: Asset) -> _AssetNews:
        known = found.get(asset)
        if known is None:
            known = found[asset] = _AssetNews()
        return known

    for asset, entry in news.entries:
        of(asset).entries.append(entry)
    for asset, label, number in news.labels:
        of(asset).labels[label] = number
    for rollout in news.rollouts:
        of((rollout.kind, rollout.name))
    for protection in news.protections:
        of((protection.kind, protection.name)).protections[protection.label] = protection
    return found


def _kept(protections: Mapping[str, Protection]) -> Mapping[str, Protection]:
    """A protection that asks for nothing is none."""
    return {label: found for label, found in protections.items() if found.role or found.gate}


def entry_of(version: Version) -> Entry:
    """The version without its content."""
    return Entry(
        version.number, version.digest, version.author, version.note, version.created_ns, version.parents, version.needs
    )


def address_of(address: str | Address, kind: str = "") -> Address:
    """A parsed address. Raises BadInput for text that is none."""
    return parse_address(address, kind) if isinstance(address, str) else address


def check_kind(kind: str) -> None:
    """Raises BadInput for a kind that the registry does not know."""
    if kind not in LAYER_OF_KIND:
        known = ", ".join(sorted(LAYER_OF_KIND))
        raise BadInput(f"{kind!r} is not a kind of asset.", field="kind", mend=f"Use one of {known}.")


def _listed(names: Iterable[str], limit: int = 20) -> str:
    known = sorted(names)
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return (", ".join(known[:limit]) + more) if known else "none yet"
