"""Which monitors there are: those that exist by themselves, those of the configuration file, and those of the registry.

The later replace the earlier of the same name, and of the same signal and slice; so a monitor that was edited at run
time holds until its label is moved back. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from trimtab.core import BadInput

from .monitors import Monitor

Origin = Literal["built in", "file", "registry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A monitor and where it comes from. ``off`` says that it watches nothing: somebody turned it off, or another
    monitor of the same signal and slice, ``behind``, is in its place. ``number`` is its version in the registry."""

    monitor: Monitor
    origin: Origin
    off: bool = False
    behind: str = ""
    number: int = 0


def roster(defaults: Iterable[Monitor], file: Iterable[Monitor], kept: Iterable[Entry]) -> list[Entry]:
    """Every monitor once, those of the registry (``kept``) first."""
    ranked = sorted(kept, key=lambda entry: entry.monitor.name)
    names = {entry.monitor.name for entry in ranked}
    ranked += [Entry(monitor=monitor, origin="file") for monitor in file if monitor.name not in names]
    names = {entry.monitor.name for entry in ranked}
    ranked += [Entry(monitor=monitor, origin="built in") for monitor in defaults if monitor.name not in names]
    return _placed(ranked)


def working(entries: Iterable[Entry]) -> list[Monitor]:
    """The monitors that watch."""
    return [entry.monitor for entry in entries if not entry.off]


def check_place(monitor: Monitor, entries: Iterable[Entry]) -> None:
    """Raises BadInput when another monitor, one that somebody made, watches the same signal and slice already."""
    for entry in entries:
        other = entry.monitor
        same = (other.signal, other.slice) == (monitor.signal, monitor.slice)
        if same and not entry.off and entry.origin != "built in" and other.name != monitor.name:
            where = f" for {monitor.slice}" if monitor.slice else ""
            mend = f"Edit {other.name!r}, or name another slice."
            raise BadInput(f"{monitor.signal}{where} has a monitor already.", field="signal", mend=mend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchers:
    """The monitors of one signal: the one of all slices, None where there is none, and those of a slice by its name."""

    signal: str
    general: Monitor | None = None
    sliced: Mapping[str, Monitor] = field(default_factory=dict)

    def of(self, slice_name: str) -> Monitor | None:
        """Whose alarm a fall in this slice is ("": in all of them)."""
        return self.sliced.get(slice_name, self.general) if slice_name else self.general

    @property
    def project(self) -> str:
        """The project whose requests they watch."""
        return self.every[0].project

    @property
    def every(self) -> list[Monitor]:
        """All of them; the general one comes last."""
        return [*self.sliced.values(), *([self.general] if self.general else [])]


def grouped(monitors: Iterable[Monitor]) -> list[Watchers]:
    """Valid monitors by signal, in the order they were given. Raises BadInput for an invalid one, and for two of one
    signal and slice."""
    found: dict[str, Watchers] = {}
    for monitor in monitors:
        monitor.validate()
        known = found.get(monitor.signal, Watchers(signal=monitor.signal))
        if monitor.slice in known.sliced or (not monitor.slice and known.general is not None):
            mend = "Keep one; its owner may pass the word on."
            raise BadInput(f"signal {monitor.signal!r} has two monitors", field="signal", mend=mend)
        found[monitor.signal] = (
            replace(known, sliced={**known.sliced, monitor.slice: monitor})
            if monitor.slice
            else replace(known, general=monitor)
        )
    return list(found.values())


def _placed(ranked: Sequence[Entry]) -> list[Entry]:
    """One monitor a signal and slice: the first; the others stand behind it."""
    taken: dict[tuple[str, str], str] = {}
    found: list[Entry] = []
    for entry in ranked:
        monitor = entry.monitor
        place = (monitor.signal, monitor.slice)
        if not entry.off and place in taken:
            entry = replace(entry, off=True, behind=taken[place])
        elif not entry.off:
            taken[place] = monitor.name
        found.append(entry)
    return found
