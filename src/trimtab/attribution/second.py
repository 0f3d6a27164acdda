"""What is left of a fall when its cause is taken into account: a second change that chance gave to some."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab.core import Change

from .evidence import Evidence, Observed, Suspect
from .experiment import Contrast
from .fit import MOVED, Fit, fit

#: Moved signals in which a second cause is looked for, the alarmed one first.
_MOST_SIGNALS = 3
#: By how much a second cause must be better than the next best explanation, in nats.
_CLEAR = 4.0


@dataclass(frozen=True, slots=True)
class _Placed:
    """An observation whose slice says too whether the first cause reached it."""

    seen: Observed
    slice: str

    @property
    def time_ns(self) -> int:
        return self.seen.time_ns

    @property
    def value(self) -> float:
        return self.seen.value

    @property
    def trace_id(self) -> str:
        return self.seen.trace_id

    @property
    def pins(self) -> Mapping[str, str]:
        return self.seen.pins

    @property
    def session(self) -> str:
        return self.seen.session

    @property
    def user(self) -> str:
        return self.seen.user


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """A second cause, its place among the suspects, and its natural experiment on what the first leaves over."""

    suspect: Suspect
    place: int
    posterior: float
    contrast: Contrast


def second(
    together: Sequence[Fit], first: Suspect | None, suspects: Sequence[Suspect], changes: Sequence[Change]
) -> Second | None:
    """Compare like with like once more, those that the first cause reached apart from those that it did not: what one
    cause explains is then the same in both arms. ``first`` None is a change that nobody recorded, which reached all
    since the onset.

    Looked for in the outcomes that fell, and only among changes that chance gave to some: of what everybody got, the
    records cannot tell two causes apart, and a replay has to.
    """
    best: Second | None = None
    for each in together[:_MOST_SIGNALS]:
        reached = _reached_by(first, each)
        left = _left_over(each.evidence, each.seen, reached)
        rivals = [s for s in suspects if s is not first]
        found = _best_of(fit(left, rivals, changes), rivals, suspects)
        if found is not None and (best is None or found.posterior > best.posterior):
            best = found
    return best


def _best_of(found: Fit, rivals: Sequence[Suspect], suspects: Sequence[Suspect]) -> Second | None:
    place = max(range(len(rivals)), key=found.logs.__getitem__, default=-1)
    if place < 0:
        return None
    contrast, log = found.contrasts[place], found.logs[place]
    # "Nothing more fell" and "something that nobody recorded did" are in the race too.
    others = [other for at, other in enumerate(found.logs) if at != place and other > -math.inf]
    next_best = max([*others, found.still])
    fell = contrast is not None and contrast.effect is not None and contrast.effect.high < 0.0
    enough = log - found.still >= MOVED + math.log(len(rivals)) and log - next_best >= _CLEAR
    if not enough or not fell or contrast is None or not contrast.randomised:
        return None
    suspect = rivals[place]
    posterior = 1.0 / (1.0 + math.exp(next_best - log))
    return Second(suspect=suspect, place=suspects.index(suspect), posterior=posterior, contrast=contrast)


def _reached_by(first: Suspect | None, each: Fit) -> Callable[[Observed], bool]:
    if first is not None:
        return first.exposed
    since = each.times[max(range(len(each.times)), key=each.onsets.__getitem__)] if each.times else 0
    return lambda seen: seen.time_ns >= since


def _left_over(evidence: Evidence, seen: Sequence[Observed], reached: Callable[[Observed], bool]) -> Evidence:
    """The evidence with a slice for each arm of the first cause. Their rates come from the window itself."""
    placed = [_Placed(o, f"{o.slice}, {'with' if reached(o) else 'without'} it") for o in seen]
    return replace(evidence, observations=placed, baselines={}, slice="")
