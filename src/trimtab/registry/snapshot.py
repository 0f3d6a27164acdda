"""The registry as it stands, immutable and in memory: what every request resolves its versions against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from trimtab.core import LAYER_OF_KIND, Address, BadInput, Change, NotFound, Rollout, Version, parse_address

from .choice import Arm, choose

#: (kind, name)
Asset = tuple[str, str]


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
    """A label's new number; ``before`` is the number it must still have for the move to hold (0: it is new)."""

    kind: str
    name: str
    label: str
    before: int
    number: int
    moved_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one write does to the registry: everything in it is committed together or not at all.

    ``settled`` is set, alone, when there is nothing left to do: the earlier change that did it.
    """

    version: Version | None = None
    label: LabelMove | None = None
    rollout: Rollout | None = None
    change: Change | None = None
    settled: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Versions, labels, rollouts and the ledger (oldest first). Never mutated: ``after`` makes the next one."""

    versions: Mapping[Asset, Mapping[int, Version]] = field(default_factory=dict)
    labels: Mapping[Asset, Mapping[str, int]] = field(default_factory=dict)
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    running: Mapping[Asset, Rollout] = field(default_factory=dict)
    ledger: tuple[Change, ...] = ()

    def version(self, kind: str, name: str, number: int) -> Version:
        """One version. Raises NotFound, naming what there is."""
        numbers = self.numbers(kind, name)
        found = numbers.get(number)
        if found is None:
            there = f"1 to {max(numbers)}" if len(numbers) > 1 else "1"
            raise NotFound(f"There is no {kind}:/{name}/{number}.", field="number", mend=f"There is {there}.")
        return found

    def numbers(self, kind: str, name: str) -> Mapping[int, Version]:
        """All versions of an asset by number. Raises NotFound, naming what there is."""
        found = self.versions.get((kind, name))
        if found is None:
            check_kind(kind)
            there = _listed(n for k, n in self.versions if k == kind)
            raise NotFound(f"There is no {kind}:/{name}.", field="name", mend=f"There is {there}.")
        return found

    def label(self, kind: str, name: str, label: str) -> int:
        """The number that a label stands at. Raises NotFound, naming what there is."""
        labels = self.labels.get((kind, name), {})
        number = labels.get(label)
        if number is None:
            self.numbers(kind, name)
            mend = f"There is {_listed('@' + known for known in labels)}; move the label to a version first."
            raise NotFound(f"There is no {kind}:/{name}@{label}.", field="label", mend=mend)
        return number

    def resolve(self, address: str | Address, kind: str = "", key: str = "") -> Resolved:
        """What an address means for one sticky key; without a key nobody is drawn and the label's own number counts.

        Raises BadInput for text that is no address and NotFound for what is not there.
        """
        where = parse_address(address, kind) if isinstance(address, str) else address
        if where.number:
            return Resolved(version=self.version(where.kind, where.name, where.number))
        number = self.label(where.kind, where.name, where.label)
        numbers = self.versions[where.kind, where.name]
        rollout = self.running.get((where.kind, where.name))
        if rollout is None or rollout.label != where.label or not key:
            return Resolved(version=numbers[number])
        choice = choose(rollout, key)
        return Resolved(version=numbers[choice.number], rollout=rollout.id, arm=choice.arm)

    def history(self, kind: str, name: str) -> list[Change]:
        """The ledger of one asset, oldest first."""
        return [change for change in self.ledger if change.kind == kind and change.name == name]

    def after(self, effect: Effect) -> Snapshot:
        """The snapshot once a write is committed."""
        versions, labels = dict(self.versions), dict(self.labels)
        rollouts, running = dict(self.rollouts), dict(self.running)
        if (version := effect.version) is not None:
            asset = (version.kind, version.name)
            versions[asset] = {**versions.get(asset, {}), version.number: version}
        if (move := effect.label) is not None:
            asset = (move.kind, move.name)
            labels[asset] = {**labels.get(asset, {}), move.label: move.number}
        if (rollout := effect.rollout) is not None:
            asset = (rollout.kind, rollout.name)
            rollouts[rollout.id] = rollout
            if rollout.state == "running":
                running[asset] = rollout
            else:
                running.pop(asset, None)
        ledger = self.ledger if effect.change is None else (*self.ledger, effect.change)
        return replace(self, versions=versions, labels=labels, rollouts=rollouts, running=running, ledger=ledger)


def check_kind(kind: str) -> None:
    """Raises BadInput for a kind that the registry does not know."""
    if kind not in LAYER_OF_KIND:
        known = ", ".join(sorted(LAYER_OF_KIND))
        raise BadInput(f"{kind!r} is not a kind of asset.", field="kind", mend=f"Use one of {known}.")


def _listed(names: Iterable[str], limit: int = 20) -> str:
    known = sorted(names)
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return (", ".join(known[:limit]) + more) if known else "none yet"
