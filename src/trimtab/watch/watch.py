"""The watch: scores in, alarms out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput, NotFound, Score, Span, Stamp

from .besides import Besides
from .clusters import Clustering
from .fairness import CHECKS, VERDICT
from .gaps import Recorded
from .gauges import Gauge
from .measure import SOME
from .measures import MEASURES
from .monitors import Monitor
from .observation import Alarm, Baseline, Observation, Served, judge_of, pins_of
from .of_scores import OfScores
from .roster import grouped
from .shares import Shares
from .signals import is_score
from .silence import Silence, Silences
from .sound import SoundVerdicts
from .standing import Standing
from .stream import Stream
from .told import Told
from .traffic import Owners, Ranks, Traffic, not_own, roots_of, traces_of, turned_away

_STATE_VERSION = 1
_NONE = Observation(Served(time_ns=0, trace_id="", pins={}), "", 1.0)
_REMEMBERED_PINS = 4096
#: Requests of one second of traffic that are measured, whatever the load: more of them would see little sooner, and
#: cost the gateway's processor a twentieth by themselves. Which ones are left out depends on the clock alone.
MEASURED_A_SECOND = 200
#: Readings of a busy server after which measured values go to their detectors: each time costs each signal the same,
#: however many there are.
TOGETHER = 8


class Watch:
    """Anytime-valid detectors over every monitored signal, per slice and over all slices.

    The first ``reference`` observations of a slice are its reference and are not bet on; then the slice is armed. Each
    later observation is bet against the lower bound of its own slice's mean, so a shift of the traffic between slices
    cannot alarm; one detector a signal collects the bets of all slices, one a slice its own. The reference goes on
    growing while it agrees with itself (see ``Reference``), for a longer past shows a smaller fall, and the detector of
    all slices bets against a bound of all of them together (see ``pooled``).

    Each value of a signal is a bet of two detectors, its slice's and the one of all slices, and each detector alarms
    falsely once in as many of its own bets as its threshold says, on average. A request brings one value of each signal
    at most, or as many as its evidence must be larger by (see ``Signal.values``). Each signal has a part of the budget
    (see ``Signal.stake`` and ``Shares``), and with twice ``false_alarms_per`` over that part as threshold all of them
    together alarm at most once in ``false_alarms_per`` healthy requests, however many slices there are, as long as the
    bounds hold (each slice's do with 99.5 %).
    The judge's verdicts on sound answers are bets of five, at twice that threshold or more (see ``SoundVerdicts``),
    and against means: there the guarantee holds on average over references (see ``allowance``).

    What the guarantee rests on: given the past, the next value of a slice averages at least what the reference says.
    Requests of one session that share their luck bend that. Where the spans name the session (or else the user) it is
    learnt by how much, and allowed for (see ``Sessions``); where they do not, it is learnt how failures cluster, and
    allowed for (see ``Clustering``), which holds on average only: ``bench/false_alarms.py`` measures it. Slices beyond
    the 64th of a signal share one, inside which a shift of traffic can alarm.

    A detector that alarmed is quiet until ``rearm``. Pure and in memory; not thread-safe.
    """

    def __init__(
        self,
        monitors: Iterable[Monitor],
        *,
        reference: int = 60,
        false_alarms_per: int = 1_000_000,
        measured_a_second: int = MEASURED_A_SECOND,
        recorded: Recorded | None = None,
    ) -> None:
        """``recorded`` tells whether the change ledger knows a version. Raises BadInput for an invalid monitor, two
        monitors of one signal and slice, or a useless setting."""
        if reference < 1:
            raise BadInput(
                f"a reference of {reference}", field="reference", mend="Give 1 or more; 60 is a sound least."
            )
        if false_alarms_per < 2:
            raise BadInput(f"one in {false_alarms_per}", field="false_alarms_per", mend="Give 2 or more.")
        self._reference = reference
        self._false_alarms_per, self._shares = false_alarms_per, Shares(false_alarms_per)
        self._streams: dict[str, Stream] = {}
        self._clustering = Clustering()
        self._pins: dict[tuple[Stamp, str], Mapping[str, str]] = {}
        self._latest: tuple[Stamp | None, str, Mapping[str, str]] = (None, "", {})
        self._silences = Silences()
        self._most, self._ranks, self._owners, self._readings = measured_a_second, Ranks(), Owners(), 0
        self._gauges: dict[str, list[Gauge]] = {}
        self._asleep: list[Gauge] = []
        self._besides = Besides(recorded)
        self._sound, self._of_scores = SoundVerdicts(), OfScores()
        self.adopt(monitors)

    def adopt(self, monitors: Iterable[Monitor]) -> None:
        """Watch with these monitors from now on. References and evidence of the signals that stay are kept; a signal
        that comes new begins with its reference. Raises BadInput for an invalid monitor and for two of one signal and
        slice; then nothing has changed."""
        streams: dict[str, Stream] = {}
        for watchers in grouped(monitors):
            known = self._streams.get(watchers.signal)
            if known is None:
                known = Stream(watchers, self._reference, float(self._false_alarms_per), self._clustering)
            else:
                known.adopt(watchers)
            streams[watchers.signal] = known
        known_gauges = {gauge.stream: gauge for gauges in self._gauges.values() for gauge in gauges}
        # Requests of a project are looked at where anything but scores is watched of it.
        self._streams, self._gauges = streams, {s.project: [] for name, s in streams.items() if not is_score(name)}
        # Those that are read of every measured request come first.
        for name in sorted([name for name in streams if name in MEASURES], key=lambda name: MEASURES[name].dear):
            stream = streams[name]
            # What a gauge has read and not given yet stays with it.
            self._gauges[stream.project].append(known_gauges.get(stream) or Gauge(name, stream))
        self._asleep = [g for gauges in self._gauges.values() for g in gauges if self._shares.waits(g.name)]
        judged = streams[VERDICT].watchers if VERDICT in streams else None
        self._sound.adopt(judged, self._reference, float(self._false_alarms_per), self._clustering)
        self._set_thresholds()

    @property
    def monitors(self) -> list[Monitor]:
        """The monitors by signal, in the order they were given; the one of all slices comes last of its signal."""
        return [monitor for stream in self._streams.values() for monitor in stream.watchers.every]

    @property
    def reference(self) -> int:
        """Values of a slice that arm its detector."""
        return self._reference

    @property
    def false_alarms_per(self) -> int:
        """The requests in which all monitors together raise one false alarm at most, on average."""
        return self._false_alarms_per

    def threshold_of(self, signal: str) -> float:
        """The evidence that the detectors of a signal must reach now: as much as follows from its part of the budget.
        Of a signal that is not watched, what they would have to reach if it were."""
        return self._shares.threshold(signal, self._streams, 4.0 if signal == VERDICT and self._sound.used else 2.0)

    def suspicion(self) -> float:
        """The most evidence that any detector holds now, an e-value: on healthy traffic one detector reaches a level at
        most once in as many observations, on average."""
        return max((stream.suspicion for stream in self._every()), default=0.0)

    def observe(self, scores: Sequence[Score], *, more: bool = False) -> list[Alarm]:
        """Take scores in the order they were committed. Unwatched names, other projects and NaN are passed over.

        With ``more`` to come at once, a busy server's, bets may wait for it, for a second of traffic at most; who
        says so calls ``due`` when it has not come.
        """
        boxes: dict[tuple[str, str], list[Observation]] = {}
        mine: dict[str, list[Observation]] = {}
        trace_id = slice = version = by = project = ""
        time_ns, stamp = -1, None
        one = _NONE
        for score in scores:
            # The scores of a request come together: they share one record of it, and of a value of 1.
            if (
                score.trace_id != trace_id
                or score.time_ns != time_ns
                or score.stamp is not stamp
                or score.slice != slice
                or score.project != project
                or (score.by_version != version or (version and score.by != by))
            ):
                trace_id, time_ns, stamp, slice = score.trace_id, score.time_ns, score.stamp, score.slice
                version, by = score.by_version, score.by
                if score.project != project:
                    project = score.project
                    mine = {}
                one = Observation(self._served(score), slice, 1.0)
            name = score.name
            try:
                box = mine[name]
            except KeyError:
                box = mine[name] = boxes.setdefault((project, name), [])
            value = score.value
            if value == 1.0:
                box.append(one)
            elif math.isfinite(value):
                box.append(Observation(one.served, slice, min(1.0, max(0.0, value))))
                if value < 0.5 and name in CHECKS:
                    self._sound.doubt(trace_id)
                    self._of_scores.failed(name, trace_id)
        told, alarms = self._of_scores.read(scores, boxes, self._served), list[Alarm]()
        for (project, name), box in boxes.items():
            stream = self._streams.get(name)
            if stream is not None and box and project == stream.project:
                self._silences.hear(name, scores[-1].time_ns, len(box))
                taken = stream.take(box, more=more)
                alarms += self._sound.news(taken) if name == VERDICT else taken
                if name == VERDICT and self._checked(boxes):
                    alarms += self._sound.take(box, stream, more=more)
        return [*alarms, *self._taken(told, more)] if told else alarms

    def measure(self, spans: Iterable[Span], *, more: bool = False) -> list[Alarm]:
        """Take the requests among finished spans, in the order they were committed, and measure them. ``more`` as for
        scores."""
        spans, beside = list(spans), list[Told]()
        roots = roots_of(spans)
        requests, ranks = not_own(roots.values()), dict[str, int]()
        self._owners.own(requests)
        for root in requests:
            if root.project in self._gauges and (rank := self._ranks.of(root.end_ns)) <= self._most:
                ranks[root.trace_id] = rank
        traces, others = traces_of(spans, roots, ranks)
        for trace_id, rank in ranks.items():
            root = roots[trace_id]
            served = Served(
                time_ns=root.end_ns, trace_id=trace_id, pins=self._pins_for(root.stamp, ""), session=root.session,
                user=root.tags.get("user", ""),
            )  # fmt: skip
            one, seen = Observation(served, root.tags.get("topic", ""), 1.0), Traffic(root, traces[trace_id])
            for gauge in self._gauges[root.project]:
                if (rank - 1) * gauge.dear >= self._most:
                    break
                gauge.read(seen, one)
            if (rank - 1) * SOME < self._most:
                beside += self._besides.read(seen, one)
        # Nobody scores what a limit turned away.
        self._silences.request(len([root for root in requests if root.status != "refused" or not turned_away(root)]))
        self._readings += 1
        alarms = self._given(more=more) if not more or self._readings % TOGETHER == 0 else []
        if others:
            beside += self._besides.arrived(others, self._pins_for)
        return [*alarms, *self._taken(beside, more)] if beside else alarms

    def due(self) -> list[Alarm]:
        """Bet on what waits for more to come; return the alarms."""
        found = self._given(more=False)
        for name, stream in self._streams.items():
            raised = stream.due()
            found += self._sound.news(raised) if name == VERDICT else raised
        return [*found, *self._sound.due(self._streams.get(VERDICT))]

    def inside(self, signal: str, slice: str, value: float) -> float | None:
        """A value measured elsewhere (in a replay) as this watch keeps it: for a level 1 inside the band of its slice
        and 0 outside. None for a signal that is not watched, and for a level without a band."""
        stream = self._streams.get(signal)
        return stream.inside(slice, value) if stream is not None and math.isfinite(value) else None

    def standing(self, signal: str) -> Standing:
        """How the detectors of a signal stand. Raises NotFound for one that is not watched."""
        found = self._stream(signal).standing()
        for closer in self._sound.streams if signal == VERDICT else ():
            found = found.joined(closer.standing())
        return found

    def silent(self) -> list[Silence]:
        """The watched scores that have stopped coming although requests still do. Counted since the start."""
        return [silence for silence in self._silences.silent() if silence.signal in self._streams]

    def evidence(self, signal: str, slice: str = "") -> tuple[tuple[Observation, ...], Mapping[str, Baseline]]:
        """The newest observations (at most 20,000), oldest first, and the baselines; of one slice if one is named."""
        stream = self._stream(signal)
        if not slice:
            return stream.observations, stream.baselines
        kept = {name: baseline for name, baseline in stream.baselines.items() if name == slice}
        return tuple(seen for seen in stream.observations if seen.slice == slice), kept

    def armed(self, signal: str) -> bool:
        """Whether any slice of the signal has its reference."""
        return bool(self._stream(signal).baselines)

    def baselines(self, signal: str) -> Mapping[str, Baseline]:
        """The frozen references by slice."""
        return self._stream(signal).baselines

    def rearm(self, signal: str) -> None:
        """Let the signal's detectors start from nothing; its references stay."""
        self._stream(signal).rearm()
        for closer in self._sound.streams if signal == VERDICT else ():
            closer.rearm()

    def refreeze(self, signal: str) -> None:
        """Start a new reference, after an approved change that moved what is normal."""
        self._stream(signal).refreeze()
        for closer in self._sound.streams if signal == VERDICT else ():
            closer.refreeze()

    def state(self) -> dict[str, Any]:
        """What survives a restart, JSON-able: the references, how far sessions share their luck, and how failures
        cluster. Evidence is not kept: detectors start from nothing."""
        return {
            "version": _STATE_VERSION,
            "signals": {name: stream.state() for name, stream in self._streams.items()},
            "sessions": {name: stream.sessions.state() for name, stream in self._streams.items()},
            "clusters": {name: stream.clustering.state() for name, stream in self._streams.items()},
            "sound": self._sound.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned; signals no longer watched are dropped. Raises BadInput if it is broken."""
        signals = state.get("signals")
        if state.get("version") != _STATE_VERSION or not isinstance(signals, Mapping):
            mend = "Delete it: the references are then gathered anew."
            raise BadInput("the kept references are not of this version", field="version", mend=mend)
        luck, clusters = state.get("sessions"), state.get("clusters")
        for name, stream in self._streams.items():
            kept = signals.get(name)
            shared = luck.get(name) if isinstance(luck, Mapping) else None
            together = clusters.get(name) if isinstance(clusters, Mapping) else None
            try:
                if isinstance(shared, Mapping):
                    stream.sessions.restore(shared)
                if together is not None:
                    stream.clustering.restore(together)
            except (KeyError, TypeError, ValueError) as error:
                raise _broken(f"sessions of {name!r}", name) from error
            if isinstance(kept, Mapping):
                stream.restore(dict(kept))
                if kept:
                    self._shares.begins(name)
        if isinstance(sound := state.get("sound"), Mapping):
            try:
                self._sound.restore(sound)
            except (KeyError, TypeError, ValueError) as error:
                raise _broken("references of sound answers", "sound") from error
        self._besides.resumed()
        self._set_thresholds()

    def _stream(self, signal: str) -> Stream:
        stream = self._streams.get(signal)
        if stream is None:
            watched = ", ".join(self._streams) or "none"
            raise NotFound(f"signal {signal!r} is not watched", field="signal", mend=f"Watched: {watched}.")
        return stream

    def _every(self) -> list[Stream]:
        return [*self._streams.values(), *self._sound.streams]

    def _checked(self, boxes: Mapping[tuple[str, str], object]) -> bool:
        """Whether there are checks beside the verdicts. From then on verdicts are bet on twice."""
        if not self._sound.used and any(name in CHECKS for _, name in boxes):
            self._sound.used = True
            self._set_thresholds()
        return self._sound.used

    def _set_thresholds(self) -> None:
        for name, stream in self._streams.items():
            stream.raise_threshold(self.threshold_of(name))
        self._sound.raise_threshold(self.threshold_of(VERDICT))

    def _given(self, *, more: bool) -> list[Alarm]:
        """Bet on what was measured."""
        for gauge in [gauge for gauge in self._asleep if gauge.holds]:
            self._asleep.remove(gauge)
            self._begin(gauge.name)
        return [alarm for gauges in self._gauges.values() for gauge in gauges for alarm in gauge.give(more=more)]

    def _begin(self, signal: str) -> None:
        """The first value of a signal that only some traffic carries: the others give it its part of the budget."""
        if self._shares.begins(signal):
            self._set_thresholds()

    def _taken(self, told: Iterable[Told], more: bool) -> list[Alarm]:
        """Bet on what no single request tells, each by its own signal."""
        boxes: dict[str, tuple[list[Observation], list[float]]] = {}
        for signal, project, one, level in told:
            if signal in self._streams and project == self._streams[signal].project:
                box = boxes.get(signal)
                if box is None:
                    box = boxes[signal] = [], []
                    self._begin(signal)
                box[0].append(one)
                if level is not None:
                    box[1].append(level)
        taken = [self._streams[signal].take(seen, values, more=more) for signal, (seen, values) in boxes.items()]
        return [alarm for alarms in taken for alarm in alarms]

    def _served(self, score: Score) -> Served:
        """The request that a score is of."""
        session, user = self._owners.of(score.trace_id)
        return Served(
            time_ns=score.time_ns, trace_id=score.trace_id,
            pins=self._pins_for(score.stamp, judge_of(score) if score.by_version else ""), session=session, user=user,
        )  # fmt: skip

    def _pins_for(self, stamp: Stamp, judge: str) -> Mapping[str, str]:
        # Thousands of observations share a handful of stamps: they share the mapping too.
        if stamp is self._latest[0] and judge == self._latest[1]:
            return self._latest[2]
        key = (stamp, judge)
        pins = self._pins.get(key)
        if pins is None:
            if len(self._pins) >= _REMEMBERED_PINS:
                self._pins.clear()
            pins = self._pins[key] = pins_of(*key)
        self._latest = stamp, judge, pins
        return pins


def _broken(what: str, field: str) -> BadInput:
    return BadInput(f"the kept {what} are broken", field=field, mend="Delete them: they are learnt anew.")
