"""Dumb rules on the same evidence. Where one of them comes near, the set is too easy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from trimtab.core import Change
from trimtab.watch import SIGNALS, Alarm

from .stage import Stage

NAMES = ("last change", "longest-served change", "random change", "loudest signal", "always layer 3")
WINDOW = 300
_BACK = ("abort", "rollback")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guesses:
    """For each rule the chance that it names each layer, and each (kind, pin)."""

    layers: Mapping[str, Mapping[int, float]]
    changes: Mapping[str, Mapping[tuple[str, str], float]]


def guesses(run: Stage, alarm: Alarm, number: int) -> Guesses:
    """What the rules say at the alarm."""
    since = run.world.clock.ns - number * run.world.between_ns
    known = [
        c
        for c in run.world.registry.changes(limit=10_000)
        if since <= c.time_ns <= alarm.time_ns and c.action not in _BACK and c.after
    ]
    layers: dict[str, Mapping[int, float]] = {"always layer 3": {3: 1.0}}
    changes: dict[str, Mapping[tuple[str, str], float]] = {}
    if known:
        last = known[0]
        longest = max(known, key=lambda c: c.share * (alarm.time_ns - c.time_ns))
        for name, chosen in (("last change", [last]), ("longest-served change", [longest]), ("random change", known)):
            layers[name] = _shares([int(c.layer) for c in chosen])
            changes[name] = _shares([_pin(c) for c in chosen])
    loudest = _loudest(run, alarm)
    if loudest:
        layers["loudest signal"] = {loudest: 1.0}
    return Guesses(layers=layers, changes=changes)


def _shares(values: Sequence[T]) -> dict[T, float]:
    found: dict[T, float] = {}
    for value in values:
        found[value] = found.get(value, 0.0) + 1.0 / len(values)
    return found


def _pin(change: Change) -> tuple[str, str]:
    return change.kind, change.after


def _loudest(run: Stage, alarm: Alarm) -> int:
    """The layer of the signal that moved most: the last 300 values against all before, in standard errors."""
    best, layer = 0.0, 0
    for monitor in run.watch.monitors:
        of = SIGNALS[monitor.signal].layer
        if of is None:
            continue
        observations, _ = run.watch.evidence(monitor.signal)
        values = [seen.value for seen in observations if seen.time_ns <= alarm.time_ns]
        recent, before = values[-WINDOW:], values[:-WINDOW]
        if len(before) < 50:
            continue
        mean = sum(before) / len(before)
        spread = math.sqrt(max(mean * (1.0 - mean), 1e-3) / len(recent))
        moved = (mean - sum(recent) / len(recent)) / spread
        if moved > best:
            best, layer = moved, int(of)
    return layer
