"""How assets stand: what is live where, which versions there are, how each scored, who uses them. Pure over the
registry's memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import LAYER_OF_KIND, Change, Layer, Rollout, Score, Version
from trimtab.registry import PRODUCTION, Registry, label_of
from trimtab.stats import wilson
from trimtab.watch import SIGNALS

from . import words
from .banner import signal_title
from .charts import Scale, Whisker, whisker
from .references import USERS, Reference, references

#: Rows of a list; the filter finds the rest. Assets that are looked through for references.
MOST_ROWS, MOST_USERS = 200, 2_000
#: Versions shown beside each other.
MOST_VERSIONS = 100
WHISKER = 84
KINDS = tuple(sorted(LAYER_OF_KIND, key=lambda kind: (LAYER_OF_KIND[kind], kind)))
TITLES = {
    "prompts": "Prompts", "models": "Models", "corpora": "Corpora", "guards": "Guards", "routes": "Routes",
    "judges": "Judges", "datasets": "Datasets", "monitors": "Monitors", "scorers": "Scorers",
}  # fmt: skip
_STAMPED = {Layer.MODEL: "models", Layer.KNOWLEDGE: "corpora", Layer.PROMPT: "prompts", Layer.SAFETY: "guards"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRow:
    """A line of the list."""

    kind: str
    name: str
    layer: int
    labels: tuple[tuple[str, int], ...]
    versions: int
    rollout: Rollout | None
    note: str
    change: Change | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """A label, the version it stands at, and what protects it."""

    label: str
    number: int
    moved: Change | None
    protection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One score of one version."""

    title: str
    first: bool
    number: int
    mean: str
    interval: str
    n: str
    whisker: Whisker
    bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """An asset that names another one. ``labels`` are those of the version that does."""

    kind: str
    name: str
    layer: int
    number: int
    labels: tuple[str, ...]
    reference: Reference
    known: bool = True


def counts(registry: Registry) -> dict[str, int]:
    """How many assets there are of each kind."""
    return {kind: len(registry.names(kind)) for kind in KINDS}


def asset_rows(registry: Registry, kinds: Sequence[str], text: str) -> tuple[tuple[AssetRow, ...], int]:
    """The assets whose name or newest note holds ``text``, at most MOST_ROWS, and how many there are in all."""
    wanted = text.casefold().strip()
    found = [
        (kind, name)
        for kind in kinds
        for name in registry.names(kind)
        if not wanted or wanted in f"{kind}:/{name}".casefold()
    ]
    last: dict[tuple[str, str], Change] = {}
    for change in registry.changes(limit=1000):
        last.setdefault((change.kind, change.name), change)
    return tuple(_asset_row(registry, kind, name, last) for kind, name in found[:MOST_ROWS]), len(found)


def _asset_row(registry: Registry, kind: str, name: str, last: Mapping[tuple[str, str], Change]) -> AssetRow:
    return AssetRow(
        kind=kind,
        name=name,
        layer=int(LAYER_OF_KIND[kind]),
        labels=tuple(sorted(registry.labels(kind, name).items())),
        versions=registry.count(kind, name),
        rollout=registry.running(kind, name),
        note=registry.versions(kind, name, newest=1)[-1].note,
        change=last.get((kind, name)),
    )


def changes_of(registry: Registry, kind: str, name: str) -> tuple[Change, ...]:
    """The latest changes of an asset, newest first."""
    return tuple(c for c in registry.changes(limit=10_000) if c.kind == kind and c.name == name)


def label_rows(registry: Registry, kind: str, name: str, changes: Sequence[Change]) -> tuple[LabelRow, ...]:
    """Every label of an asset, production first."""
    protections = registry.protections(kind, name)
    rows = []
    for label, number in registry.labels(kind, name).items():
        moves = (
            c for c in changes if label_of(c) == label and c.after == f"{name}/{number}" and c.action != "external"
        )
        guard = protections.get(label)
        needs = [f"role {guard.role}"] * bool(guard and guard.role) if guard else []
        needs += [f"gate {guard.gate}"] * bool(guard and guard.gate) if guard else []
        rows.append(LabelRow(label=label, number=number, moved=next(moves, None), protection=", ".join(needs)))
    return tuple(sorted(rows, key=lambda row: (row.label != PRODUCTION, row.label)))


def back_to(registry: Registry, kind: str, name: str, changes: Sequence[Change]) -> int:
    """The version that a rollback of production leads to, where the last move was forwards; else 0."""
    running = registry.running(kind, name)
    if running is not None and running.label == PRODUCTION:
        return running.base
    moves = (c for c in changes if label_of(c) == PRODUCTION)
    last = next((c for c in moves if c.action in ("label", "promote", "rollback", "abort")), None)
    if last is None or last.action not in ("label", "promote") or not last.before:
        return 0
    number = last.before.rpartition("/")[2]
    return int(number) if number.isdigit() else 0


def pin_of(score: Score, kind: str) -> str:
    """The version of a kind that had a part in what was scored; empty when none had."""
    if kind == "judges":
        return score.by_version if score.by.startswith("judge:") else ""
    if kind == "scorers":
        return score.by_version if score.by.startswith("scorers:") else ""
    if kind == "routes":
        return score.stamp.route
    layer = next((layer for layer, stamped in _STAMPED.items() if stamped == kind), None)
    return score.stamp.pin(layer) if layer else ""


def score_rows(scores: Iterable[Score], kind: str, name: str, numbers: Sequence[int]) -> tuple[ScoreRow, ...]:
    """Mean and Wilson interval of every score per version, signals first, then the single assertions.

    Red where a newer version's interval lies below an older one's.
    """
    pins = {f"{name}/{number}": number for number in numbers}
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        if (number := pins.get(pin_of(score, kind))) is not None:
            values[score.name][number].append(min(1.0, max(0.0, score.value)))
    order = [*(signal for signal in SIGNALS if signal in values), *sorted(values.keys() - SIGNALS.keys())]
    scale = Scale(low=0, high=1, start=4, end=WHISKER - 4)
    return tuple(row for title in order for row in _versions_scored(title, values[title], scale))


def _versions_scored(name: str, values: Mapping[int, Sequence[float]], scale: Scale) -> Iterable[ScoreRow]:
    floor: float | None = None
    for position, (number, seen) in enumerate(sorted(values.items())):
        mean = sum(seen) / len(seen)
        low, high = wilson(sum(seen), len(seen))
        bad = floor is not None and high < floor
        yield ScoreRow(
            title=signal_title(name), first=position == 0, number=number, mean=words.fixed(mean),
            interval=words.interval(low, high), n=words.count(len(seen)), bad=bad,
            whisker=whisker(mean, low, high, scale=scale, reference=1.0, css="bad" if bad else ""),
        )  # fmt: skip
        floor = low if floor is None else max(floor, low)


def users_of(registry: Registry, kind: str, name: str) -> tuple[UserRow, ...]:
    """The live versions of other assets that name this one."""
    found: list[UserRow] = []
    assets = [(user, other) for user in USERS for other in registry.names(user)][:MOST_USERS]
    for user, other in assets:
        for number, labels in _live(registry, user, other).items():
            version = registry.version(user, other, number)
            found += [
                _user(version, labels, reference)
                for reference in references(version)
                if (reference.kind, reference.name) == (kind, name) and (user, other) != (kind, name)
            ]
    return tuple(found)


def uses_of(registry: Registry, version: Version) -> tuple[UserRow, ...]:
    """What one version names."""
    names = {kind: set(registry.names(kind)) for kind in KINDS}
    return tuple(
        UserRow(
            kind=reference.kind, name=reference.name, layer=int(LAYER_OF_KIND[reference.kind]), number=0, labels=(),
            reference=reference, known=reference.name in names[reference.kind],
        )
        for reference in references(version)
    )  # fmt: skip


def _live(registry: Registry, kind: str, name: str) -> dict[int, tuple[str, ...]]:
    """The numbers that a label or a running rollout stands at, with the labels."""
    found: dict[int, tuple[str, ...]] = {}
    for label, number in sorted(registry.labels(kind, name).items()):
        found[number] = (*found.get(number, ()), label)
    running = registry.running(kind, name)
    if running is not None:
        found.setdefault(running.candidate, ("rollout",))
    return found


def _user(version: Version, labels: tuple[str, ...], reference: Reference) -> UserRow:
    return UserRow(
        kind=version.kind, name=version.name, layer=int(LAYER_OF_KIND[version.kind]), number=version.number,
        labels=labels, reference=reference,
    )  # fmt: skip
