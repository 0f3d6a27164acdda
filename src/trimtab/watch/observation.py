"""What the watch sees of a score, what it compares it with, and what it says when it falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from trimtab.core import LAYER_OF_KIND, UNSERVED, Score, Stamp

from .monitors import Monitor


class Served(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request that values come from: the versions that served it by the registry's kinds, and whose it was.

    One record is shared by all values of a request. ``session`` and ``user`` are what a rollout may stick to. Hundreds
    of thousands are kept and none is part of a cycle, so the garbage collector is spared them.
    """

    time_ns: int
    trace_id: str
    pins: Mapping[str, str]
    session: str = ""
    user: str = ""


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One value of a signal in [0, 1], and the request that it is of."""

    served: Served
    slice: str
    value: float

    @property
    def time_ns(self) -> int:
        """When it was answered, nanoseconds since 1970 UTC."""
        return self.served.time_ns

    @property
    def trace_id(self) -> str:
        """The request's trace."""
        return self.served.trace_id

    @property
    def pins(self) -> Mapping[str, str]:
        """The versions that served it."""
        return self.served.pins

    @property
    def session(self) -> str:
        """The session that it belongs to, empty if none."""
        return self.served.session

    @property
    def user(self) -> str:
        """The user who asked, empty if unknown."""
        return self.served.user


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A slice's reference: ``n`` observations, their ``mean``, and ``low``, what the true mean is surely above.

    ``low`` is the lower bound, the null that detectors bet against: a short reference makes it low, so that it costs
    power and not false alarms. All bounds that a slice ever has hold at once with 99.5 %.
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
    chosen by hindsight, so ``now`` overstates the fall a little. ``model`` is whose answers showed it, where those of
    one model did (see ``by_model``).
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
    model: str = ""


#: Kinds whose pin stands in the stamp; the judges' pin comes with the verdict itself.
_STAMPED = tuple(kind for kind in LAYER_OF_KIND if kind not in UNSERVED)


def pins_of(stamp: Stamp, judge: str) -> Mapping[str, str]:
    """The pins by registry kind; layers that took no part are left out."""
    pins = {kind: pin for kind in _STAMPED if (pin := stamp.pin(LAYER_OF_KIND[kind]))}
    if judge:
        pins["judges"] = judge
    return pins


def observation_of(score: Score) -> Observation:
    """A stored score as an observation; whose request it was is not in it."""
    served = Served(time_ns=score.time_ns, trace_id=score.trace_id, pins=pins_of(score.stamp, judge_of(score)))
    return Observation(served, score.slice, min(1.0, max(0.0, score.value)))


def judge_of(score: Score) -> str:
    """The pin of the judge that gave the score; empty when it was no judge."""
    return score.by_version if score.by.startswith("judge:") else ""
