"""What an alarm hands over: the observations, what was normal, and which answers each change reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trimtab.core import LAYER_OF_KIND, Change

#: Actions that take something back: they end other changes and are no suspects themselves.
TAKING_BACK = ("abort", "rollback")


class Observed(Protocol):
    """One value of the alarmed signal in [0, 1], with the versions that served it by registry kind."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """``slice`` "" is all slices. ``onset_ns`` is the detector's guess (0 = none). ``baselines``: healthy means."""

    signal: str
    slice: str
    alarm_ns: int
    onset_ns: int
    observations: Sequence[Observed]
    baselines: Mapping[str, float]

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
    """All changes that bring the same version of the same kind: a rollout's start, its stages, its promotion."""

    first: Change
    stages: tuple[Stage, ...]

    def exposed(self, seen: Observed) -> bool:
        """Whether the new version served it. By kind: equal names of different kinds are different assets."""
        return seen.pins.get(self.first.kind) == self.first.after

    def unexposed(self, seen: Observed) -> bool:
        """Whether another version of the same asset served it: the version before, where the change names one."""
        pin = seen.pins.get(self.first.kind, "")
        if pin == self.first.after:
            return False
        return pin == self.first.before if self.first.before else asset_of(pin) in ("", asset_of(self.first.after))

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


def suspects(changes: Iterable[Change], evidence: Evidence) -> list[Suspect]:
    """The changes before the alarm that may have made the signal fall, one suspect per new version, oldest first.

    Not suspected: what takes something back, what moves nothing, and what was taken back before the onset. A vendor's
    change carries the time at which we noticed it, which may be after the alarm: exposure alone decides there.
    """
    known = [c for c in changes if c.time_ns <= evidence.alarm_ns or c.action == "external"]
    ended = taken_back(known, evidence)
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in sorted(known, key=lambda c: c.time_ns):
        if change.kind not in LAYER_OF_KIND or change.after == change.before:
            continue
        if change.action in TAKING_BACK:
            groups.get((change.kind, change.before), []).append(change)
        elif change.after and (change.kind, change.after) not in ended:
            groups.setdefault((change.kind, change.after), []).append(change)
    return [Suspect(first=group[0], stages=tuple(_stage(change) for change in group)) for group in groups.values()]


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
