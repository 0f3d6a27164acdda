"""The watch: scores in, alarms out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput, NotFound, Score, Span, Stamp

from .measures import MEASURES, traffic_of
from .monitors import Monitor
from .observation import Alarm, Baseline, Observation, judge_of, pins_of
from .silence import Silence, Silences
from .stream import Stream

_STATE_VERSION = 1
_REMEMBERED_PINS = 4096


class Watch:
    """Anytime-valid detectors over every monitored signal, per slice and over all slices.

    The first ``reference`` observations of a slice are its reference and are not bet on; then the slice is armed. Each
    later observation is bet against the lower bound of its own slice's mean, so a shift of the traffic between slices
    cannot alarm; one detector a signal collects the bets of all slices, one a slice its own. Every threshold is
    ``false_alarms_per`` times the number of detectors of this watch: together, on healthy traffic, they alarm at most
    once in ``false_alarms_per`` observations, as long as the bounds hold (each of them does with 99.9 %).

    What the guarantee rests on: given the past, the next value of a slice averages what the reference averaged.
    Requests of one session that share their luck bend that; ``bench/false_alarms.py`` measures by how much. Slices
    beyond the 64th of a signal share one, inside which a shift of traffic can alarm.

    A detector that alarmed is quiet until ``rearm``. Pure and in memory; not thread-safe.
    """

    def __init__(self, monitors: Iterable[Monitor], *, reference: int = 60, false_alarms_per: int = 1_000_000) -> None:
        """Raises BadInput for an invalid monitor, two monitors of one signal, or a useless setting."""
        if reference < 1:
            raise BadInput(
                f"a reference of {reference}", field="reference", mend="Give 1 or more; 60 is a sound least."
            )
        if false_alarms_per < 2:
            raise BadInput(f"one in {false_alarms_per}", field="false_alarms_per", mend="Give 2 or more.")
        self._reference = reference
        self._false_alarms_per = false_alarms_per
        self._streams: dict[str, Stream] = {}
        self._pins: dict[tuple[Stamp, str], Mapping[str, str]] = {}
        self._silences = Silences()
        for monitor in monitors:
            monitor.validate()
            if monitor.signal in self._streams:
                mend = "Keep one; its owner may pass the word on."
                raise BadInput(f"signal {monitor.signal!r} has two monitors", field="signal", mend=mend)
            self._streams[monitor.signal] = Stream(monitor, reference, float(false_alarms_per))
        self._measured = [(stream, MEASURES[name].of) for name, stream in self._streams.items() if name in MEASURES]
        self._set_thresholds()

    @property
    def monitors(self) -> list[Monitor]:
        """The monitors, in the order they were given."""
        return [stream.monitor for stream in self._streams.values()]

    @property
    def threshold(self) -> float:
        """The evidence that every detector must reach now."""
        return float(self._false_alarms_per * sum(stream.n_detectors for stream in self._streams.values()))

    def suspicion(self) -> float:
        """The most evidence that any detector holds now, an e-value: on healthy traffic one detector reaches a level at
        most once in as many observations, on average."""
        return max((stream.suspicion for stream in self._streams.values()), default=0.0)

    def observe(self, scores: Sequence[Score]) -> list[Alarm]:
        """Take scores in the order they were committed. Unwatched names, other projects and NaN are passed over."""
        alarms: list[Alarm] = []
        for score in scores:
            stream = self._streams.get(score.name)
            if stream is None or score.project != stream.monitor.project or not math.isfinite(score.value):
                continue
            self._silences.hear(score.name, score.time_ns)
            seen = Observation(
                time_ns=score.time_ns,
                slice=stream.slice_of(score.slice),
                value=min(1.0, max(0.0, score.value)),
                trace_id=score.trace_id,
                pins=self._pins_of(score),
            )
            raised, armed = stream.take(seen)
            alarms.extend(raised)
            if armed:
                self._set_thresholds()
        return alarms

    def measure(self, spans: Iterable[Span]) -> list[Alarm]:
        """Take the requests among finished spans, in the order they were committed, and measure them."""
        alarms: list[Alarm] = []
        for seen in traffic_of(spans):
            root = seen.root
            self._silences.request()
            name = root.tags.get("topic", "")
            pins = self._pins_for(root.stamp, "")
            for stream, rule in self._measured:
                if root.project != stream.monitor.project:
                    continue
                value = rule(seen)
                if value is None or not math.isfinite(value):
                    continue
                observed = Observation(
                    time_ns=root.end_ns, slice=stream.slice_of(name), value=value, trace_id=root.trace_id, pins=pins
                )
                raised, armed = stream.take(observed)
                alarms.extend(raised)
                if armed:
                    self._set_thresholds()
        return alarms

    def silent(self) -> list[Silence]:
        """The scored signals that have stopped coming although requests still do. Counted since the start."""
        return self._silences.silent()

    def evidence(self, signal: str, slice: str = "") -> tuple[tuple[Observation, ...], Mapping[str, Baseline]]:
        """The newest observations (at most 20,000), oldest first, and the baselines; of one slice if one is named."""
        stream = self._stream(signal)
        if not slice:
            return tuple(stream.evidence), stream.baselines
        kept = {name: baseline for name, baseline in stream.baselines.items() if name == slice}
        return tuple(seen for seen in stream.evidence if seen.slice == slice), kept

    def armed(self, signal: str) -> bool:
        """Whether any slice of the signal has its reference."""
        return bool(self._stream(signal).baselines)

    def baselines(self, signal: str) -> Mapping[str, Baseline]:
        """The frozen references by slice."""
        return self._stream(signal).baselines

    def rearm(self, signal: str) -> None:
        """Let the signal's detectors start from nothing; its references stay."""
        self._stream(signal).rearm()

    def refreeze(self, signal: str) -> None:
        """Start a new reference, after an approved change that moved what is normal."""
        self._stream(signal).refreeze()

    def state(self) -> dict[str, Any]:
        """What survives a restart, JSON-able: the references. Evidence is not kept: detectors start from nothing."""
        return {
            "version": _STATE_VERSION,
            "signals": {name: stream.state() for name, stream in self._streams.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned; signals no longer watched are dropped. Raises BadInput if it is broken."""
        signals = state.get("signals")
        if state.get("version") != _STATE_VERSION or not isinstance(signals, Mapping):
            mend = "Delete it: the references are then gathered anew."
            raise BadInput("the kept references are not of this version", field="version", mend=mend)
        for name, stream in self._streams.items():
            kept = signals.get(name)
            if isinstance(kept, Mapping):
                stream.restore(dict(kept))
        self._set_thresholds()

    def _stream(self, signal: str) -> Stream:
        stream = self._streams.get(signal)
        if stream is None:
            watched = ", ".join(self._streams) or "none"
            raise NotFound(f"signal {signal!r} is not watched", field="signal", mend=f"Watched: {watched}.")
        return stream

    def _set_thresholds(self) -> None:
        threshold = self.threshold
        for stream in self._streams.values():
            stream.raise_threshold(threshold)

    def _pins_of(self, score: Score) -> Mapping[str, str]:
        return self._pins_for(score.stamp, judge_of(score))

    def _pins_for(self, stamp: Stamp, judge: str) -> Mapping[str, str]:
        # Thousands of observations share a handful of stamps: they share the mapping too.
        key = (stamp, judge)
        pins = self._pins.get(key)
        if pins is None:
            if len(self._pins) >= _REMEMBERED_PINS:
                self._pins.clear()
            pins = self._pins[key] = pins_of(*key)
        return pins
