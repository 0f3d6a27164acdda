"""How a signal's detectors stand, and what they could see now: for people who read a monitor. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trimtab.stats import delay

#: Falls of the mean for which it is said how soon they would be seen.
FALLS = (0.2, 0.1, 0.05, 0.02)
#: A fall counts as one that would be seen when that takes at most so many values.
WITHIN = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceStanding:
    """An armed slice: its reference (``n`` values, their ``mean``), the bound ``low`` that is bet against, and the
    evidence of its detector now."""

    slice: str
    n: int
    mean: float
    low: float
    e_value: float
    fired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """``e_value`` is the most evidence of any detector of the signal, ``threshold`` what an alarm takes. ``gathering``
    says how many values the first reference of a slice without one has, of ``needed``."""

    signal: str
    e_value: float
    threshold: float
    fired: bool
    slices: tuple[SliceStanding, ...]
    gathering: dict[str, int]
    needed: int

    @property
    def n(self) -> int:
        """Values in the references of all slices."""
        return sum(part.n for part in self.slices)

    def joined(self, closer: Standing) -> Standing:
        """With the evidence of detectors that look at the same signal more closely; the references stay its own."""
        known = {part.slice: part for part in closer.slices}
        slices = tuple(
            replace(part, e_value=max(part.e_value, other.e_value), fired=part.fired or other.fired)
            if (other := known.get(part.slice)) is not None
            else part
            for part in self.slices
        )
        # Where more is asked of them, as much of it counts as would be told.
        evidence = max(self.e_value, closer.e_value * self.threshold / closer.threshold)
        fired = self.fired or closer.fired
        return replace(self, e_value=evidence, fired=fired, slices=slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sees:
    """A fall by ``fall`` from the mean would be seen within ``requests`` values of the slice; None: it would not."""

    fall: float
    requests: int | None


def power(part: SliceStanding, threshold: float) -> tuple[list[Sees], float | None]:
    """How soon falls of a slice would be seen, and the smallest fall that would be seen within WITHIN values.

    None where none would: the reference is too short, or its mean too low, to tell any fall from luck.
    """
    found = [Sees(fall=fall, requests=_soon(part, fall, threshold)) for fall in FALLS if fall < part.mean]
    return found, _smallest(part, threshold)


def _soon(part: SliceStanding, fall: float, threshold: float) -> int | None:
    needed = delay(max(0.0, part.mean - fall), part.low, threshold)
    return math.ceil(needed) if needed <= WITHIN else None


def _smallest(part: SliceStanding, threshold: float) -> float | None:
    """By bisection: a larger fall is always seen sooner."""
    low, high = 0.0, part.mean
    if _soon(part, high, threshold) is None:
        return None
    for _ in range(12):
        middle = (low + high) / 2
        if _soon(part, middle, threshold) is None:
            low = middle
        else:
            high = middle
    return high
