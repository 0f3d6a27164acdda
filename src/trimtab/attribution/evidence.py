"""What an alarm hands over: the observations, what was normal, and which answers each change reached."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trimtab.core import LAYER_OF_EVENT, LAYER_OF_KIND, Change

#: Actions that take something back: they end other changes and are no suspects themselves.
TAKING_BACK = ("abort", "rollback")
#: The action of a suspect that no change recorded: its pin was seen on answers, so somebody brought it out.
SEEN = "seen"
#: What is only noticed (by a probe, on a status page) began up to so long before that.
NOTICED_LATE_NS = 1800 * 10**9


class Observed(Protocol):
    """One value of a signal in [0, 1], with the versions that served it by registry kind, and whose it was."""

    @property
    def time_ns(self) -> int: ...
    @property
    def slice(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def trace_id(self) -> str: ...
    @property
    def pins(self) -> Mapping[str, str]: ...
    @property
    def session(self) -> str: ...
    @property
    def user(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """``slice`` "" is all slices. ``onset_ns`` is the detector's guess (0 = none). ``baselines``: healthy means.

    ``layer`` is the signal's own (None: an outcome), ``tells`` how surely a move of it is that layer's doing, and
    ``harm`` whether a move hurts by itself, or only explains.
    """

    signal: str
    slice: str
    alarm_ns: int
    onset_ns: int
    observations: Sequence[Observed]
    baselines: Mapping[str, float]
    layer: int | None = None
    tells: float = 0.5
    harm: bool = True

    def seen(self) -> list[Observed]:
        """The observations of the slice up to the alarm, in the order of time."""
        kept = (o for o in self.observations if o.time_ns <= self.alarm_ns and self.slice in ("", o.slice))
        return sorted(kept, key=lambda o: o.time_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """From ``time_ns`` on, ``share`` of the traffic gets the new version."""

    time_ns: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """All changes that bring the same version of the same kind: a rollout's start, its stages, its promotion.

    ``pinned`` tells whether answers carry its version. An event without one (a deployment, what a probe noticed) is
    judged by time alone.
    """

    first: Change
    stages: tuple[Stage, ...]
    pinned: bool = True

    def exposed(self, seen: Observed) -> bool:
        """Whether the new version served it. By kind: equal names of different kinds are different assets."""
        if not self.pinned:
            return seen.time_ns >= self.first.time_ns
        return seen.pins.get(self.first.kind) == self.first.after

    def unexposed(self, seen: Observed) -> bool:
        """Whether another version of the same asset served it: the version before, where the change names one."""
        if not self.pinned:
            return seen.time_ns < self.first.time_ns
        pin = seen.pins.get(self.first.kind, "")
        if pin == self.first.after:
            return False
        return pin == self.first.before if self.first.before else asset_of(pin) in ("", asset_of(self.first.after))

    def untouched(self, seen: Observed) -> bool:
        """Whether the change could not reach it: another asset of the kind served it, or none."""
        return self.pinned and asset_of(seen.pins.get(self.first.kind, "")) != asset_of(self.first.after)

    def unit(self, seen: Observed) -> str:
        """What its draw stuck to; empty where each request was drawn by itself."""
        match self.first.sticky:
            case "session":
                return seen.session or seen.user
            case "user":
                return seen.user or seen.session
        return ""

    def stage(self, time_ns: int) -> int | None:
        """Which stage runs at that time, if it splits the traffic by chance (0 < share < 1)."""
        found: int | None = None
        for index, stage in enumerate(self.stages):
            if stage.time_ns > time_ns:
                break
            found = index if 0.0 < stage.share < 1.0 else None
        return found


def asset_of(pin: str) -> str:
    """The asset that a pin is a version of: ``name`` of ``name/7``, the model as asked of ``ref=reported@print``."""
    if "=" in pin:
        return pin.partition("=")[0]
    return pin.rpartition("/")[0]


def suspects(changes: Iterable[Change], evidence: Evidence, seen: Sequence[Observed]) -> list[Suspect]:
    """The changes that may have made the signal fall, one suspect per new version, oldest first.

    Not suspected: what takes something back, what moves nothing, and what was taken back before the onset. A change
    that was recorded or noticed only after the alarm counts if answers carry its version before that, and a version
    that appeared without any change is a suspect of its own: records are late and incomplete, pins are not.
    """
    pins = _first_seen(seen)
    known = [c for c in changes if _counts(c, evidence, pins)]
    ended = taken_back(known, evidence)
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in sorted(known, key=lambda c: c.time_ns):
        if change.action in TAKING_BACK:
            groups.get((change.kind, change.before), []).append(change)
        elif change.after and (change.kind, change.after) not in ended:
            groups.setdefault((change.kind, change.after), []).append(change)
    for change in _unrecorded(pins, {*groups, *ended}, changes):
        groups[change.kind, change.after] = [change]
    assets = {(kind, asset_of(pin)) for kind, pin in pins}
    return [
        Suspect(
            first=group[0],
            stages=tuple(_stage(change) for change in group),
            pinned=key in pins or not _by_time(group[0], assets),
        )
        for key, group in groups.items()
    ]


def _by_time(change: Change, assets: Collection[tuple[str, str]]) -> bool:
    """Whether only its time tells whom it reached: no answer carries the version of what was seen outside, though its
    asset served, or nothing of its kind has versions."""
    if change.action != "external":
        return change.kind not in LAYER_OF_KIND
    return (change.kind, change.name) in assets or all(kind != change.kind for kind, _ in assets)


def _counts(change: Change, evidence: Evidence, pins: Mapping[tuple[str, str], int]) -> bool:
    known = change.kind in LAYER_OF_KIND or change.kind in LAYER_OF_EVENT or bool(change.said_layer)
    in_time = change.time_ns <= evidence.alarm_ns or change.action == "external" or (change.kind, change.after) in pins
    return known and in_time and change.after != change.before


def _first_seen(seen: Sequence[Observed]) -> dict[tuple[str, str], int]:
    """When each version was first seen, in the order of time."""
    found: dict[tuple[str, str], int] = {}
    last: Mapping[str, str] | None = None
    for observed in seen:
        if observed.pins is last:
            continue
        last = observed.pins
        for key in last.items():
            found.setdefault(key, observed.time_ns)
    return found


def _unrecorded(
    pins: Mapping[tuple[str, str], int], known: Collection[tuple[str, str]], changes: Iterable[Change]
) -> list[Change]:
    """A change for each version that appeared after another one of its asset and is in no change's ``before``."""
    old = {(change.kind, change.before) for change in changes} | {(c.kind, c.after) for c in changes}
    latest: dict[tuple[str, str], str] = {}
    found = []
    for (kind, pin), time_ns in pins.items():
        asset = kind, asset_of(pin)
        before, latest[asset] = latest.get(asset, ""), pin
        if before and asset[1] and (kind, pin) not in known and (kind, pin) not in old and kind in LAYER_OF_KIND:
            change_id = f"{SEEN}:{kind}:{pin}"
            change = Change(
                id=change_id, time_ns=time_ns, action=SEEN, kind=kind, name=asset[1], before=before, after=pin, actor=""
            )
            found.append(change)
    return found


def _stage(change: Change) -> Stage:
    return Stage(time_ns=change.time_ns, share=0.0 if change.action in TAKING_BACK else change.share)


def taken_back(changes: Iterable[Change], evidence: Evidence) -> set[tuple[str, str]]:
    """(kind, pin) of versions that were taken back before the onset and not brought out again before the alarm.

    What was taken back only after the onset stays a suspect: the fall may be its doing.
    """
    until = evidence.onset_ns or evidence.alarm_ns
    ended: set[tuple[str, str]] = set()
    for change in sorted(changes, key=lambda c: c.time_ns):
        if change.time_ns > evidence.alarm_ns or change.before == change.after:
            continue
        if change.action not in TAKING_BACK:
            ended.discard((change.kind, change.after))
        elif change.before and change.time_ns < until:
            ended.add((change.kind, change.before))
    return ended
