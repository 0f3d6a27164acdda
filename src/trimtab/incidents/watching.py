"""The monitors with what became of their alarms: what lists and pages of them show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimtab.core import NotFound
from trimtab.watch import (
    Entry,
    MonitorBook,
    Sees,
    SliceStanding,
    Standing,
    Watch,
    is_score,
    power,
    signal_of,
)

from .incident import LIVE, Incident
from .paging.channels import Rota

_RAISED = ("alarm", "joined", "reopened")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorRow:
    """A monitor as a list shows it.

    ``state`` is alarm (an incident of it is open), watching, gathering (its reference is not full yet), idle (nothing
    came so far), silent (it came and stopped coming), off, or replaced (another monitor stands in its place).
    ``standing`` is None where nothing watches. ``incident`` is the open one, 0 for none; ``alarm_ns`` is when it
    alarmed last, 0 for never as far as incidents are looked through.
    """

    entry: Entry
    state: str
    standing: Standing | None
    slices: tuple[SliceStanding, ...]
    incident: int
    alarm_ns: int

    @property
    def n(self) -> int:
        """Values in its references."""
        return sum(part.n for part in self.slices)

    @property
    def e_value(self) -> float:
        """The most evidence of its detectors; of those of its own slice where it has one."""
        if self.standing is None:
            return 0.0
        if self.entry.monitor.slice:
            return max((part.e_value for part in self.slices), default=0.0)
        return self.standing.e_value

    @property
    def share(self) -> float:
        """How far the evidence has come to an alarm, from 0 to 1, as a share of the threshold's logarithm."""
        if self.standing is None or self.e_value <= 1.0:
            return 0.0
        return min(1.0, math.log(self.e_value) / math.log(self.standing.threshold))

    @property
    def layer(self) -> int:
        """The layer of its signal; 0 is an outcome."""
        signal = signal_of(self.entry.monitor.signal)
        return int(signal.layer) if signal is not None and signal.layer else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSight:
    """An armed slice and what falls it would see now: how soon, and the smallest at all."""

    standing: SliceStanding
    sees: tuple[Sees, ...]
    smallest: float | None


def rows(book: MonitorBook, watch: Watch, incidents: Sequence[Incident]) -> list[MonitorRow]:
    """Every monitor: those with an alarm first, then those that watch, by signal."""
    silent = {silence.signal for silence in watch.silent()}
    found = [_row(entry, watch, incidents, silent) for entry in book.entries]
    order = ("alarm", "silent", "watching", "gathering", "idle", "off", "replaced")
    return sorted(found, key=lambda row: (order.index(row.state), row.entry.monitor.name))


def row_of(book: MonitorBook, watch: Watch, incidents: Sequence[Incident], name: str) -> MonitorRow:
    """One of them. Raises NotFound."""
    silent = {silence.signal for silence in watch.silent()}
    return _row(book.find(name), watch, incidents, silent)


def sights(row: MonitorRow) -> list[SliceSight]:
    """What falls each of its slices would show, the largest references first."""
    if row.standing is None:
        return []
    found = []
    for part in sorted(row.slices, key=lambda part: -part.n):
        sees, smallest = power(part, row.standing.threshold)
        found.append(SliceSight(standing=part, sees=tuple(sees), smallest=smallest))
    return found


def unreachable(entries: Iterable[Entry], rota: Rota) -> list[str]:
    """The owners of monitors that watch whom nobody can tell: they have no channel."""
    owners = {entry.monitor.owner for entry in entries if not entry.off and entry.monitor.action != "note"}
    return sorted(owner for owner in owners if not rota.person(owner).channels)


def _row(entry: Entry, watch: Watch, incidents: Sequence[Incident], silent: set[str]) -> MonitorRow:
    monitor = entry.monitor
    standing: Standing | None = None
    if not entry.off:
        try:
            standing = watch.standing(monitor.signal)
        except NotFound:
            standing = None
    slices = standing.slices if standing is not None else ()
    if monitor.slice:
        slices = tuple(part for part in slices if part.slice == monitor.slice)
    own = [i for i in incidents if monitor.signal in i.signals and monitor.slice in ("", i.slice)]
    opened = next((i.id for i in own if i.state in LIVE), 0)
    raised = [
        event.time_ns
        for i in own
        for event in i.events
        if event.kind in _RAISED and (i.signals == (monitor.signal,) or monitor.signal in event.text)
    ]
    state = _state(entry, standing, slices, opened, silent)
    return MonitorRow(
        entry=entry, state=state, standing=standing, slices=slices, incident=opened, alarm_ns=max(raised, default=0)
    )  # fmt: skip


def _state(
    entry: Entry, standing: Standing | None, slices: Sequence[SliceStanding], opened: int, silent: set[str]
) -> str:
    if entry.off or standing is None:
        return "replaced" if entry.behind else "off"
    if opened:
        return "alarm"
    if entry.monitor.signal in silent and is_score(entry.monitor.signal):
        return "silent"
    if slices:
        return "watching"
    return "gathering" if standing.gathering else "idle"
