"""What the desk sees of the watch at one moment: the alarmed signal, and every other one that moved with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab.attribution import Evidence
from trimtab.core import Score
from trimtab.watch import Baseline, Observation, Signal, Watch, observation_of, signal_of

#: Observations that attribution weighs: those since the onset, and so many before it.
BEFORE = 4_000
#: The most since the onset, the newest of them.
SINCE = 6_000
#: A signal moved when it lies so many standard errors below its past, over so many observations at least.
_MOVED, _LEAST = 4.0, 8
#: Signals beside the alarmed one, the most moved.
MAX_OTHERS = 8

#: A signal's newest observations, oldest first, and its references by slice.
Kept = tuple[Sequence[Observation], Mapping[str, Baseline]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A snapshot that costs the event loop little; the rest is worked out in a thread."""

    signal: str
    slice: str
    until_ns: int
    onset_ns: int
    kept: Mapping[str, Kept]

    def evidence(self) -> Evidence:
        """The alarmed signal's."""
        return self._evidence(self.signal, self.slice)

    def of_scores(self, scores: Sequence[Score]) -> Sight:
        """The same with what the store remembers of the alarmed signal."""
        found = sorted((observation_of(score) for score in scores), key=lambda seen: seen.time_ns)
        return replace(self, kept={**self.kept, self.signal: (found, self.kept[self.signal][1])})

    def others(self) -> list[Evidence]:
        """Those of the other signals that moved since the onset, the most moved first."""
        moves = self._moves()
        names = sorted((name for name in moves if moves[name] >= _MOVED), key=lambda name: -moves[name])
        return [self._evidence(name, self.slice) for name in names[:MAX_OTHERS]]

    def quiet(self) -> set[int]:
        """The layers of which signals are watched, and none moved."""
        moves = {self.signal: _MOVED, **self._moves()}
        layers = {name: int(layer) for name in moves if (layer := _signal(name).layer) is not None}
        watched = {layer for name, layer in layers.items() if self.kept[name][1]}
        return watched - {layer for name, layer in layers.items() if moves[name] >= _MOVED}

    def _moves(self) -> dict[str, float]:
        """How far each other signal lies below its past."""
        if not self.onset_ns:
            return {}
        return {name: self._moved(kept) for name, kept in self.kept.items() if name != self.signal}

    def _moved(self, kept: Kept) -> float:
        """How many standard errors a signal lies below its past since the onset, in the alarmed slice."""
        observations, baselines = kept
        n, fall, spread = 0, 0.0, 0.0
        for seen in reversed(observations):
            if seen.time_ns < self.onset_ns or n >= SINCE:
                break
            baseline = baselines.get(seen.slice)
            if baseline is None or seen.time_ns > self.until_ns or self.slice not in ("", seen.slice):
                continue
            n += 1
            fall += baseline.mean - seen.value
            # A mean that a reference of n values shows is no surer than one more failure among them.
            spread += max(baseline.mean * (1.0 - baseline.mean), 1.0 / (baseline.n + 2))
        return fall / math.sqrt(spread) if n >= _LEAST else 0.0

    def _evidence(self, name: str, slice_name: str) -> Evidence:
        observations, baselines = self.kept[name]
        signal = _signal(name)
        return Evidence(
            signal=name,
            slice=slice_name,
            alarm_ns=self.until_ns,
            onset_ns=self.onset_ns,
            observations=self._near(observations),
            baselines={key: baseline.mean for key, baseline in baselines.items() if slice_name in ("", key)},
            layer=int(signal.layer) if signal.layer is not None else None,
            tells=signal.tells,
            harm=not signal.diagnostic,
        )

    def _near(self, observations: Sequence[Observation]) -> Sequence[Observation]:
        """The observations around the onset: those before it show what is usual, and who was served what."""
        since = 0
        for seen in reversed(observations):
            if seen.time_ns < self.onset_ns:
                break
            since += 1
        return observations[-(min(since, SINCE) + BEFORE) :]


def sight(watch: Watch, signal: str, slice_name: str, until_ns: int, onset_ns: int) -> Sight:
    """Look now. Raises NotFound for a signal that is not watched."""
    kept: dict[str, Kept] = {signal: watch.evidence(signal)}
    for monitor in watch.monitors:
        if monitor.signal not in kept:
            kept[monitor.signal] = watch.evidence(monitor.signal)
    return Sight(signal=signal, slice=slice_name, until_ns=until_ns, onset_ns=onset_ns, kept=kept)


def _signal(name: str) -> Signal:
    """A signal that is watched: no monitor of another one is let in."""
    found = signal_of(name)
    assert found is not None, name
    return found
