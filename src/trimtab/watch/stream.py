"""One signal's stream: references by slice, detectors over them, and the newest observations as evidence."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput
from trimtab.stats import EDetector, lower_bound

from .band import Band, band_of
from .measures import MEASURES
from .observation import Alarm, Baseline, Observation, Served
from .pooled import bounds, rounded
from .reference import Reference, first_share
from .roster import Watchers
from .sessions import WAITS, Sessions
from .standing import SliceStanding, Standing

#: Slices beyond the cap share this one.
REST = "…"
MAX_SLICES = 64
MAX_EVIDENCE = 20_000
_FAR = 1.7e308
#: Values after which the shares of the slices are looked at anew.
_MIX = 512
#: The evidence from which on the newest values are not taken for healthy. Healthy ones mostly leave less than 200.
_SUSPECTED = 1_000.0
_NOTHING: tuple[Alarm, ...] = ()


class _Group:
    """Slices that the detector of all slices bets on alike: against ``low``. ``ones`` wait to be taken by it."""

    __slots__ = ("low", "ones")

    def __init__(self, low: float) -> None:
        self.low = low
        self.ones = [0] * WAITS


class _Slice:
    """A slice: its reference, its band if the signal is a level, and once it is armed its detector.

    ``own`` counts the ones that its detector has not taken yet (see ``WAITS``), ``low`` is what that bets against, and
    ``group`` holds the same for the detector of all slices. ``recent`` counts the newest values, of which the older
    weigh less.
    """

    __slots__ = ("armed_at", "band", "detector", "group", "low", "own", "recent", "reference", "values")

    def __init__(self, first: int) -> None:
        self.reference = Reference(first)
        self.values: list[float] = []
        self.band: Band | None = None
        self.detector: EDetector | None = None
        self.low = self.recent = 0.0
        self.own = [0] * WAITS
        self.group = _Group(0.0)
        #: The stream's count of observations when this slice was armed: evidence before it was never bet on.
        self.armed_at = 0


class Stream:
    """Everything known about one monitored signal. ``threshold`` is set by the Watch, which counts the detectors.

    Most values of a healthy signal are 1 and only add to counts: detectors take them when the next value below 1 comes,
    for no detector ever fires at a 1.
    """

    def __init__(self, watchers: Watchers, reference: int, threshold: float) -> None:
        self.watchers = watchers
        self.project = watchers.project
        measure = MEASURES.get(watchers.signal)
        self._level = measure if measure is not None and measure.worse is not None else None
        self.evidence: deque[Observation] = deque(maxlen=MAX_EVIDENCE)
        self._first = reference
        self._threshold = threshold
        self._seen = 0
        self._slices: dict[str, _Slice] = {}
        self._armed: list[_Slice] = []
        self._all = EDetector(threshold, 0.9)
        self._groups: list[_Group] = []
        self._sessions = Sessions()

    @property
    def suspicion(self) -> float:
        """The most evidence that one of its detectors holds."""
        self._settle()
        return max(self._all.value, *(part.detector.value for part in self._armed if part.detector), 0.0)

    @property
    def baselines(self) -> dict[str, Baseline]:
        """The references of the armed slices."""
        return {
            name: Baseline(slice=name, n=part.reference.n, mean=part.reference.mean, low=part.low)
            for name, part in self._slices.items()
            if part.detector is not None
        }

    def standing(self) -> Standing:
        """How its detectors stand."""
        self._settle()
        armed = [(name, part, part.detector) for name, part in self._slices.items() if part.detector is not None]
        slices = tuple(
            SliceStanding(
                slice=name, n=part.reference.n, mean=part.reference.mean, low=part.low, e_value=detector.value,
                fired=detector.fired,
            )
            for name, part, detector in armed
        )  # fmt: skip
        gathering = {
            name: len(part.values) if self._level is not None else self._first - part.reference.left
            for name, part in self._slices.items()
            if part.detector is None
        }
        fired = self._all.fired or any(part.fired for part in slices)
        return Standing(
            signal=self.watchers.signal, e_value=self.suspicion, threshold=self._threshold, fired=fired, slices=slices,
            gathering=gathering, needed=self._first,
        )  # fmt: skip

    def adopt(self, watchers: Watchers) -> None:
        """Watch for these monitors from now on; references and evidence stay, the bounds are theirs."""
        self.watchers = watchers
        self.project = watchers.project
        self._settle()
        for part in self._armed:
            part.low = self._bound(part)
            if part.detector is not None:
                part.detector.aim(part.low, part.reference.caution)
        if self._armed:
            self._aim()

    def inside(self, name: str, value: float) -> float | None:
        """A measured value as the stream keeps it: for a level 1 inside its slice's band and 0 outside, None before it
        has one."""
        if self._level is None:
            return min(1.0, max(0.0, value))
        part = self._slices.get(name) or self._slices.get(REST)
        return part.band.holds(value) if part is not None and part.band is not None else None

    def raise_threshold(self, threshold: float) -> None:
        """Demand more evidence from now on; thresholds never fall, or the guarantee would not hold."""
        if threshold > self._threshold:
            self._threshold = threshold
            self._all.threshold = threshold
            for part in self._armed:
                if part.detector is not None:
                    part.detector.threshold = threshold

    def take(self, served: Served, name: str, value: float) -> Sequence[Alarm]:
        """Take one value of a slice; return the alarms.

        Slices beyond the cap share REST. A level is kept as what it means: 1 inside its slice's band, 0 outside, and
        while there is no band yet, 1.
        """
        part = self._slices.get(name)
        if part is None:
            name, part = self._new(name)
        self._seen += 1
        part.recent += 1.0
        if self._seen % _MIX == 0:
            self._mixed()
        if self._level is not None:
            band = part.band
            if band is None:
                self.evidence.append(Observation(served, name, 1.0))
                part.values.append(value)
                if len(part.values) >= self._first:
                    self._measured(part)
                return _NOTHING
            value = 1.0 if band.low <= value <= band.high else 0.0
        self.evidence.append(Observation(served, name, value))
        reference = part.reference
        reference.left -= 1
        n, lost = 0, 0.0
        if session := served.session or served.user:
            n, lost = self._sessions.take(session, 1.0 - value, 1.0 - reference.mean if reference.n else None)
        if value == 1.0 and not lost:
            if part.detector is not None:
                part.own[n.bit_length()] += 1
                part.group.ones[n.bit_length()] += 1
            if reference.left == 0:
                self._grow(part)
            return _NOTHING
        return self._noteworthy(part, name, value, served, (n, lost))

    def rearm(self) -> None:
        """Forget the detectors' evidence; the references stay, what they were gathering goes."""
        self._all.reset()
        self._sessions.forget()
        for part in self._armed:
            part.own, part.group.ones = [0] * WAITS, [0] * WAITS
            part.reference.again()
            if part.detector is not None:
                part.detector.reset()

    def refreeze(self) -> None:
        """Start new references from the observations to come."""
        self._slices.clear()
        self._armed.clear()
        self._groups.clear()
        self._all.reset()

    def state(self) -> dict[str, Any]:
        """The references, armed or half gathered, JSON-able."""
        return {name: _kept(part) for name, part in self._slices.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over references; detectors start without evidence. Raises BadInput for what ``state`` did not make."""
        self.refreeze()
        for name, kept in state.items():
            try:
                part = self._restored(kept)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                mend = "Delete it: the references are then gathered anew."
                raise BadInput(f"the kept reference of slice {name!r} is broken", field=name, mend=mend) from error
            self._slices[name] = part
            if part.reference.n:
                self._arm(part)

    def _restored(self, kept: Mapping[str, Any]) -> _Slice:
        part = _Slice(self._first)
        if "band" in kept:
            low, high, mean, bound = map(float, kept["band"])
            part.band = Band(low=low, high=high, mean=mean, bound=bound)
        if "low" in kept:
            part.reference.restore(kept)
        elif part.band is not None:  # what a release before growing references kept: only the first part
            part.reference = Reference(self._first, part.band)
        elif self._level is None and (n := int(kept["n"])) >= self._first:
            total, binary = float(kept["total"]), bool(kept["binary"])
            part.reference = Reference.known(n, total / n, lower_bound(total, n, first_share(), binary=binary))
        part.values = [float(value) for value in kept.get("values", ())]
        if self._level is not None and part.band is None and part.reference.n:
            raise ValueError("band")
        return part

    def _new(self, name: str) -> tuple[str, _Slice]:
        """The slice under which ``name`` is watched: itself, or REST once the cap is reached."""
        if len(self._slices) >= MAX_SLICES:
            name = REST
        part = self._slices.get(name)
        if part is None:
            part = self._slices[name] = _Slice(self._first)
        return name, part

    def _noteworthy(
        self, part: _Slice, name: str, value: float, served: Served, past: tuple[int, float]
    ) -> Sequence[Alarm]:
        """Take a value below 1, or one of a session with a ``past`` of such: what the detectors were spared so far
        comes first."""
        alarms: Sequence[Alarm] = _NOTHING
        detector, low, own = part.detector, part.group.low, part.low
        if detector is not None:
            low, own = self._sessions.expected(low, *past), self._sessions.expected(own, *past)
            if not self._all.fired:
                self._settle_all()
                self._all.update(value, low)
                if self._all.fired:
                    alarms = self._alarm(self._all, "", served)
            if not detector.fired:
                self._settle_own(part, detector)
                detector.update(value, own)
                if detector.fired:
                    alarms = [*alarms, *self._alarm(detector, name, served)]
        if part.reference.lost(value) if value < 1.0 else part.reference.left == 0:
            self._grow(part)
        return alarms

    def _settle(self) -> None:
        """Let the detectors take all ones that wait."""
        self._settle_all()
        for part in self._armed:
            if part.detector is not None and not part.detector.fired:
                self._settle_own(part, part.detector)

    def _settle_own(self, part: _Slice, detector: EDetector) -> None:
        if any(part.own):
            detector.passed(self._sessions.runs(part.own, part.low))
            part.own = [0] * WAITS

    def _settle_all(self) -> None:
        waiting = [group for group in self._groups if any(group.ones)]
        if not waiting:
            return
        if not self._all.fired:
            runs = [run for group in waiting for run in self._sessions.runs(group.ones, group.low)]
            self._all.passed(sorted(runs, key=lambda run: -run[1]))
        for group in waiting:
            group.ones = [0] * WAITS

    def _measured(self, part: _Slice) -> None:
        """A level has its first values: from now on they tell what is usual."""
        level = self._level
        assert level is not None
        part.band = band_of(part.values, level.worse or "either", level.tolerance, first_share(), level.least)
        part.values = []
        part.reference = Reference(self._first, part.band)
        self._arm(part)

    def _grow(self, part: _Slice) -> None:
        """A part of the reference is full: it may arm the slice, or bring its bound nearer to its mean."""
        self._settle()  # what was seen so far is bet against the bound of its time
        suspected = part.detector is not None and max(part.detector.value, self._all.value) >= _SUSPECTED
        if not suspected:
            self._sessions.learn()
        if not part.reference.full(suspected, self._sessions.inflated):
            return
        if part.detector is None:
            self._arm(part)
            return
        part.low = self._bound(part)
        part.detector.aim(part.low, part.reference.caution)
        self._aim()

    def _arm(self, part: _Slice) -> None:
        self._settle_all()
        part.low = self._bound(part)
        part.detector = EDetector(self._threshold, part.low)
        part.detector.aim(part.low, part.reference.caution)
        part.armed_at = self._seen
        self._armed.append(part)
        self._aim()

    def _bound(self, part: _Slice) -> float:
        """What a slice is bet against: the bound of its reference, as the monitor of the slice has it."""
        name = next(name for name, known in self._slices.items() if known is part)
        monitor, low = self.watchers.of(name), part.reference.low
        return monitor.bound(part.reference.mean, low) if monitor is not None else low

    def _aim(self) -> None:
        """What the detector of all slices bets against from now on; what was seen before must be settled."""
        found = bounds([(part.reference, part.recent) for part in self._armed])
        groups: dict[float, _Group] = {}
        monitor = self.watchers.general
        for part, low in zip(self._armed, found, strict=True):
            low = monitor.bound(part.reference.mean, low) if monitor is not None else low
            low = rounded(low) if len(found) > 1 else low
            part.group = groups.setdefault(low, _Group(low))
        self._groups = sorted(groups.values(), key=lambda group: -group.low)
        shared = sum(part.reference.caution for part in self._armed) / len(self._armed)
        self._all.aim(sum(part.group.low for part in self._armed) / len(self._armed), shared)

    def _mixed(self) -> None:
        """The shares of the slices in the traffic as they are now."""
        for part in self._armed:
            part.recent /= 2.0
        if len(self._armed) > 1:
            self._settle_all()
            self._aim()

    def _alarm(self, detector: EDetector, name: str, last: Served) -> Sequence[Alarm]:
        """Look back over what was bet since the likeliest onset. Onsets beyond the kept evidence show as its start.
        No alarm where nobody watches this slice."""
        monitor = self.watchers.of(name)
        if monitor is None:
            return _NOTHING
        n, total, expected, onset_ns = 0, 0.0, 0.0, last.time_ns
        since = detector.n_since
        for back, seen in enumerate(reversed(self.evidence)):
            part = self._slices.get(seen.slice)
            bet_on = part is not None and part.detector is not None and self._seen - back > part.armed_at
            if part is not None and bet_on and name in ("", seen.slice):
                n += 1
                total += seen.value
                expected += part.reference.mean
                onset_ns = min(onset_ns, seen.time_ns)
            if n >= since:
                break
        alarm = Alarm(
            monitor=monitor,
            signal=self.watchers.signal,
            slice=name,
            time_ns=last.time_ns,
            e_value=detector.value,
            threshold=detector.threshold,
            baseline=expected / n,
            now=total / n,
            n_since=n,
            onset_ns=onset_ns,
        )
        return (alarm,)


def _kept(part: _Slice) -> dict[str, Any]:
    kept = part.reference.state()
    if part.band is not None:
        band = part.band
        # JSON has no infinity: an open end is kept as the largest number there is.
        kept["band"] = [max(band.low, -_FAR), min(band.high, _FAR), band.mean, band.bound]
    elif part.values:
        kept["values"] = part.values
    return kept
