"""One signal's stream: references by slice, detectors over them, and the newest observations as evidence."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from trimtab.core import BadInput
from trimtab.stats import EDetector, lower_bound

from .band import Band, band_of
from .measures import MEASURES
from .monitors import Monitor
from .observation import Alarm, Baseline, Observation

#: Slices beyond the cap share this one.
REST = "…"
MAX_SLICES = 64
MAX_EVIDENCE = 20_000
#: The chance that a frozen bound lies above the true mean of its slice.
ALPHA = 1e-3
_FAR = 1.7e308


@dataclass(slots=True)
class _Reference:
    """A slice's reference while it is gathered and once it is frozen. ``values`` are kept for a level, till then."""

    n: int = 0
    values: list[float] = field(default_factory=list)
    band: Band | None = None
    total: float = 0.0
    binary: bool = True
    baseline: Baseline | None = None
    detector: EDetector | None = None
    #: The stream's count of observations when this slice was armed: evidence before it was never bet on.
    armed_at: int = 0


class Stream:
    """Everything known about one monitored signal. ``threshold`` is set by the Watch, which counts the detectors."""

    def __init__(self, monitor: Monitor, reference: int, threshold: float) -> None:
        self.monitor = monitor
        measure = MEASURES.get(monitor.signal)
        self._level = measure if measure is not None and measure.worse is not None else None
        self.evidence: deque[Observation] = deque(maxlen=MAX_EVIDENCE)
        self._reference = reference
        self._threshold = threshold
        self._seen = 0
        self._slices: dict[str, _Reference] = {}
        self._all = EDetector(threshold, 0.9)

    def slice_of(self, name: str) -> str:
        """The slice under which ``name`` is watched: itself, or REST once the cap is reached."""
        if name in self._slices or len(self._slices) < MAX_SLICES:
            return name
        return REST

    @property
    def n_detectors(self) -> int:
        """The stratified detector and one per armed slice."""
        return 1 + sum(s.detector is not None for s in self._slices.values())

    @property
    def suspicion(self) -> float:
        """The most evidence that one of its detectors holds."""
        return max(detector.value for detector in self._detectors())

    @property
    def baselines(self) -> dict[str, Baseline]:
        """The frozen references by slice."""
        return {name: s.baseline for name, s in self._slices.items() if s.baseline is not None}

    def raise_threshold(self, threshold: float) -> None:
        """Demand more evidence from now on; thresholds never fall, or the guarantee would not hold."""
        if threshold > self._threshold:
            self._threshold = threshold
            for detector in self._detectors():
                detector.threshold = threshold

    def take(self, seen: Observation) -> tuple[list[Alarm], bool]:
        """Take one observation (its slice from ``slice_of``); return the alarms, and whether this armed a slice.

        A level is kept as what it means: 1 inside its slice's band, 0 outside, and while there is no band yet, 1.
        """
        part = self._slices.get(seen.slice)
        if part is None:
            part = self._slices[seen.slice] = _Reference()
        raw = seen.value
        if self._level is not None:
            seen = replace(seen, value=part.band.holds(raw) if part.band is not None else 1.0)
        self.evidence.append(seen)
        self._seen += 1
        if part.baseline is None or part.detector is None:
            return [], self._gather(part, seen.slice, raw)
        low = part.baseline.low
        alarms: list[Alarm] = []
        for detector, name in ((self._all, ""), (part.detector, seen.slice)):
            if not detector.fired:
                detector.update(seen.value, low)
                if detector.fired:
                    alarms.append(self._alarm(detector, name, seen))
        return alarms, False

    def rearm(self) -> None:
        """Forget the detectors' evidence; the references stay."""
        for detector in self._detectors():
            detector.reset()

    def refreeze(self) -> None:
        """Start new references from the observations to come."""
        self._slices.clear()
        self._all.reset()

    def state(self) -> dict[str, Any]:
        """The references, frozen or half gathered, JSON-able."""
        return {name: _kept(part) for name, part in self._slices.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over references; detectors start without evidence. Raises BadInput for what ``state`` did not make."""
        slices: dict[str, _Reference] = {}
        for name, kept in state.items():
            try:
                part = _Reference(n=int(kept["n"]), total=float(kept["total"]), binary=bool(kept["binary"]))
                part.values = [float(value) for value in kept.get("values", ())]
                if "band" in kept:
                    low, high, mean, bound = map(float, kept["band"])
                    part.band = Band(low=low, high=high, mean=mean, bound=bound)
                if self._level is not None and part.band is None and len(part.values) != part.n:
                    raise ValueError(name)
            except (KeyError, TypeError, ValueError) as error:
                mend = "Delete it: the references are then gathered anew."
                raise BadInput(f"the kept reference of slice {name!r} is broken", field=name, mend=mend) from error
            slices[name] = part
        self._slices = slices
        self._all.reset()
        for name, part in slices.items():
            if part.n >= self._reference:
                self._freeze(part, name)

    def _detectors(self) -> list[EDetector]:
        return [self._all, *(s.detector for s in self._slices.values() if s.detector is not None)]

    def _gather(self, part: _Reference, name: str, value: float) -> bool:
        part.n += 1
        if self._level is not None:
            part.values.append(value)
        else:
            part.total += value
            part.binary = part.binary and value in (0.0, 1.0)
        if part.n < self._reference:
            return False
        self._freeze(part, name)
        return True

    def _freeze(self, part: _Reference, name: str) -> None:
        if self._level is not None:
            if part.band is None:
                part.band = band_of(
                    part.values, self._level.worse or "either", self._level.tolerance, ALPHA, self._level.least
                )
                part.values = []
            mean, low = part.band.mean, part.band.bound
        else:
            mean, low = part.total / part.n, lower_bound(part.total, part.n, ALPHA, binary=part.binary)
        part.baseline = Baseline(slice=name, n=part.n, mean=mean, low=low)
        part.detector = EDetector(self._threshold, low)
        part.armed_at = self._seen
        lows = [baseline.low for baseline in self.baselines.values()]
        self._all.aim(sum(lows) / len(lows))

    def _alarm(self, detector: EDetector, name: str, last: Observation) -> Alarm:
        """Look back over what was bet since the likeliest onset. Onsets beyond the kept evidence show as its start."""
        baselines = self.baselines
        n, total, expected, onset_ns = 0, 0.0, 0.0, last.time_ns
        count = self._seen
        for seen in reversed(self.evidence):
            part = self._slices.get(seen.slice)
            baseline = baselines.get(seen.slice)
            if part is not None and baseline is not None and count > part.armed_at and name in ("", seen.slice):
                n += 1
                total += seen.value
                expected += baseline.mean
                onset_ns = min(onset_ns, seen.time_ns)
            count -= 1
            if n >= detector.n_since:
                break
        return Alarm(
            monitor=self.monitor,
            signal=self.monitor.signal,
            slice=name,
            time_ns=last.time_ns,
            e_value=detector.value,
            threshold=detector.threshold,
            baseline=expected / n,
            now=total / n,
            n_since=n,
            onset_ns=onset_ns,
        )


def _kept(part: _Reference) -> dict[str, Any]:
    kept: dict[str, Any] = {"n": part.n, "total": part.total, "binary": part.binary}
    if part.band is not None:
        band = part.band
        # JSON has no infinity: an open end is kept as the largest number there is.
        kept["band"] = [max(band.low, -_FAR), min(band.high, _FAR), band.mean, band.bound]
    elif part.values:
        kept["values"] = part.values
    return kept
