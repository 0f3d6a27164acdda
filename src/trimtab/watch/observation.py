"""What the watch sees of a score, what it compares it with, and what it says when it falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.core import LAYER_OF_KIND, Score, Stamp, swift

from .monitors import Monitor


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One value of a signal in [0, 1] with the versions that served it, by the registry's kinds."""

    time_ns: int
    slice: str
    value: float
    trace_id: str
    pins: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A slice's frozen reference: ``n`` observations, their ``mean``, and ``low``, what the true mean is surely above.

    ``low`` is the 99.9 % lower bound, the null that detectors bet against: a short reference makes it low, so that it
    costs power and not false alarms.
    """

    slice: str
    n: int
    mean: float
    low: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A signal fell. ``slice`` "" is all slices together, each against its own baseline (stratified).

    ``e_value`` reached ``threshold``. ``now`` is the mean of the ``n_since`` observations since the likeliest onset
    ``onset_ns``, ``baseline`` what the same observations would average if their slices were as they were. The onset is
    chosen by hindsight, so ``now`` overstates the fall a little.
    """

    monitor: Monitor
    signal: str
    slice: str
    time_ns: int
    e_value: float
    threshold: float
    baseline: float
    now: float
    n_since: int
    onset_ns: int


#: Kinds whose pin stands in the stamp; the judges' pin comes with the verdict itself.
_STAMPED = tuple(kind for kind in LAYER_OF_KIND if kind not in ("judges", "datasets"))


def pins_of(stamp: Stamp, judge: str) -> Mapping[str, str]:
    """The pins by registry kind; layers that took no part are left out."""
    pins = {kind: pin for kind in _STAMPED if (pin := stamp.pin(LAYER_OF_KIND[kind]))}
    if judge:
        pins["judges"] = judge
    return pins


def observation_of(score: Score) -> Observation:
    """A score as an observation: the stamp's pins, and the judge's version when a judge gave it."""
    return Observation(
        time_ns=score.time_ns,
        slice=score.slice,
        value=min(1.0, max(0.0, score.value)),
        trace_id=score.trace_id,
        pins=pins_of(score.stamp, judge_of(score)),
    )


def judge_of(score: Score) -> str:
    """The pin of the judge that gave the score; empty when it was no judge."""
    return score.by_version if score.by.startswith("judge:") else ""
