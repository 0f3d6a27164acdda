"""One signal's stream: references by slice, detectors over them, and the newest observations as evidence."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from trimtab.core import BadInput
from trimtab.stats import EDetector

from .band import band_of
from .bets import FEW, TOGETHER, TOGETHER_NS, WAITS_NS, Bets
from .clusters import Clustering
from .counting import count, note
from .measures import MEASURES
from .observation import Alarm, Baseline, Observation
from .onset import alarm_of
from .parts import ONCE, Asks, Part, kept_of, restored
from .reference import Reference, first_share
from .roster import Watchers
from .sessions import Sessions
from .standing import SliceStanding, Standing

#: Slices beyond the cap share this one.
REST = "…"
MAX_SLICES, MAX_EVIDENCE = 64, 20_000
#: The evidence from which on the newest values are not taken for healthy. Healthy ones mostly leave less than 200.
_SUSPECTED = 1_000.0


class Stream:
    """Everything known about one monitored signal. ``threshold`` is set by the Watch, which counts the detectors."""

    def __init__(
        self, watchers: Watchers, reference: int, threshold: float, pooled: Clustering | None = None, asks: Asks = ONCE
    ) -> None:
        measure = MEASURES.get(watchers.signal)
        self._level = measure if measure is not None and measure.worse is not None else None
        #: Whose requests are watched.
        self.project = watchers.project
        self.evidence: deque[Observation] = deque(maxlen=MAX_EVIDENCE)
        self._first, self._asks = reference, asks
        self._slices: dict[str, Part] = {}
        #: No reference is full before so many values.
        self._room = 0
        self._bets = Bets(watchers, threshold * asks.every, self.evidence, self._slices, pooled, asks.each / asks.every)

    @property
    def watchers(self) -> Watchers:
        """The monitors of the signal."""
        return self._bets.watchers

    @property
    def level(self) -> bool:
        """Whether its values are numbers that only its own past says are usual or not."""
        return self._level is not None

    @property
    def sessions(self) -> Sessions:
        """How far its values of one session share their luck."""
        return self._bets.sessions

    @property
    def clustering(self) -> Clustering:
        """How its failures cluster where nothing names the sessions."""
        return self._bets.clustering

    @property
    def suspicion(self) -> float:
        """The most evidence that one of its detectors holds."""
        return self._bets.suspicion

    @property
    def observations(self) -> tuple[Observation, ...]:
        """The newest observations, oldest first, with the slices that they count for."""
        return tuple(self.evidence)

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
        self._bets.settle()
        armed = [(name, part, part.detector) for name, part in self._slices.items() if part.detector is not None]
        slices = tuple(
            SliceStanding(
                slice=name, n=part.reference.n, mean=part.reference.mean, low=part.low,
                e_value=detector.value / self._bets.each, fired=detector.fired,
            )
            for name, part, detector in armed
        )  # fmt: skip
        gathering = {
            name: len(part.values) if self._level is not None else self._first - part.reference.left
            for name, part in self._slices.items()
            if part.detector is None
        }
        fired = self._bets.every.fired or any(part.fired for part in slices)
        return Standing(
            signal=self.watchers.signal, e_value=self.suspicion, threshold=self._bets.threshold, fired=fired,
            slices=slices, gathering=gathering, needed=self._first,
        )  # fmt: skip

    def adopt(self, watchers: Watchers) -> None:
        """Watch for these monitors from now on; references and evidence stay, the bounds are theirs."""
        bets, self._bets.watchers, self.project = self._bets, watchers, watchers.project
        bets.settle()
        for part in bets.armed:
            bets.aim_at(part)
        if bets.armed:
            bets.aim()

    def told(self, name: str) -> bool:
        """Whether the detector of this slice ("": of all) has fired and its alarm was given away."""
        return self._bets.told(name)

    def inside(self, name: str, value: float) -> float | None:
        """A measured value as the stream keeps it: for a level 1 inside its slice's band and 0 outside, None before it
        has one."""
        if self._level is None:
            return min(1.0, max(0.0, value))
        part = self._place(name)
        return part.band.holds(value) if part is not None and part.band is not None else None

    def raise_threshold(self, threshold: float) -> None:
        """Demand more evidence from now on; thresholds never fall, or the guarantee would not hold."""
        if threshold * self._asks.every > self._bets.threshold:
            self._bets.demand(threshold * self._asks.every)

    def take(self, seen: Sequence[Observation], values: Sequence[float] = (), *, more: bool = False) -> list[Alarm]:
        """Take values in the order they came; return the alarms. Of a level they are in ``values`` and the observations
        say 1. With ``more`` to come at once, bets may wait for it (see ``due``).

        Slices beyond the cap share REST. A level is kept as what it means: 1 inside its slice's band, 0 outside, and
        while there is no band yet, 1.
        """
        if self._level is not None:
            seen = self._judged(seen, values)
        if len(seen) < FEW and not more:
            return self._each(seen)
        return self._cut(seen, more)

    def _cut(self, seen: Sequence[Observation], more: bool) -> list[Alarm]:
        """Take what came together in one go, and the halves of what did not."""
        if not seen:
            return []
        half = len(seen) // 2
        if half and (len(seen) > TOGETHER or abs(seen[-1].time_ns - seen[0].time_ns) > TOGETHER_NS):
            return [*self._cut(seen[:half], more), *self._cut(seen[half:], more)]
        bets = self._bets
        late = bool(bets.touched) and seen[-1].time_ns - bets.since_ns > WAITS_NS
        # Who looked at how the detectors stand may have settled the last batch, and nobody was told of it yet.
        alarms = self.due() if late or bets.fired else []
        alarms += self._counted(seen)
        if not more or bets.waiting >= TOGETHER:
            alarms += self.due()
        return alarms

    def due(self) -> list[Alarm]:
        """Bet on what waits for more to come; return the alarms."""
        bets = self._bets
        if bets.touched:
            bets.step()
        fired, bets.fired = bets.fired, []
        return [alarm for detector, name in fired for alarm in self._alarm(detector, name)]

    def _each(self, seen: Sequence[Observation]) -> list[Alarm]:
        """Take a few values one by one."""
        self._room -= len(seen)
        bets = self._bets
        alarms = self.due() if bets.touched or bets.fired else []
        for one in seen:
            value, served = one.value, one.served
            part = self._slices.get(one.slice) or self._new(one.slice)
            reference = part.reference
            self.evidence.append(one if one.slice == part.name else Observation(served, part.name, value))
            bets.count(part, served.time_ns)
            n, lost, rate = 0, 0.0, 0.0
            if session := served.session or served.user:
                n, lost = bets.sessions.take(session, 1.0 - value, 1.0 - reference.mean if reference.n else None)
            elif value != 1.0:
                if part.losses.hot:
                    bets.wait(part, part.taken - 1)
                rate = bets.lose(part, part.taken, value)
            if value != 1.0:
                reference.lost(value, reference.left)
            bets.bet(part, value, n, lost, rate)
            if bets.fired:
                alarms += self.due()
            if reference.left == 0:
                self._grow(part)
        return alarms

    def _counted(self, seen: Sequence[Observation]) -> list[Alarm]:
        """Take a batch. Of most values there is nothing to say but that they were 1 and of a session of which nothing
        was lost yet: those are counted here, and the others one by one. Nothing here ends a batch."""
        slices = self._slices
        if len(slices) >= MAX_SLICES or not self._fits(len(seen)):
            half = len(seen) // 2
            return [*self._counted(seen[:half]), *self._counted(seen[half:])] if half >= FEW else self._taken(seen)
        try:
            parts = [slices[one.slice] for one in seen]
        except KeyError:
            at = next(at for at, one in enumerate(seen) if one.slice not in slices)
            self._known(seen[:at], [slices[one.slice] for one in seen[:at]])
            return self._taken(seen[at:])
        self._known(seen, parts)
        return []

    def _known(self, seen: Sequence[Observation], parts: Sequence[Part]) -> None:
        """Count values of slices that have their parts."""
        if seen:
            count(self._bets, seen, parts)
            self.evidence.extend(seen)

    def _fits(self, n: int) -> bool:
        """Whether no reference can become full within so many values."""
        if n >= self._room:
            lefts = [part.reference.left - part.new for part in self._slices.values()]
            self._room = min([left for left in lefts if left >= 0], default=TOGETHER)
        self._room -= n
        return self._room > 0

    def _taken(self, seen: Sequence[Observation]) -> list[Alarm]:
        """Take a batch: what is counted here is bet on when it is whole, or a slice's reference is full."""
        alarms: list[Alarm] = []
        bets, slices, evidence = self._bets, self._slices, self.evidence
        if not bets.touched:
            bets.since_ns = seen[0].time_ns
        for one in seen:
            part = slices.get(one.slice) or self._new(one.slice)
            evidence.append(one if one.slice == part.name else Observation(one.served, part.name, one.value))
            part.new += 1
            bets.waiting += 1
            if part.new == 1:
                bets.touched.append(part)
                if part.losses.hot:
                    bets.wait(part, part.taken)
            note(bets, part, one)
            if part.new == part.reference.left:
                alarms += self.due()
                self._grow(part)
        return alarms

    def _judged(self, seen: Sequence[Observation], values: Sequence[float]) -> list[Observation]:
        """Values of a level as 1 or 0; those of slices without a band are gathered for it."""
        found = []
        for one, value in zip(seen, values, strict=True):
            part = self._slices.get(one.slice) or self._new(one.slice)
            if part.band is None:
                self._gathered(part, one, value)
            elif part.band.low <= value <= part.band.high:
                found.append(one)
            else:
                found.append(Observation(one.served, one.slice, 0.0))
        return found

    def _gathered(self, part: Part, one: Observation, value: float) -> None:
        self.evidence.append(one if one.slice == part.name else Observation(one.served, part.name, one.value))
        self._bets.seen += 1
        part.recent += 1.0
        part.values.append(value)
        if len(part.values) >= self._first:
            self._measured(part)

    def rearm(self) -> None:
        """Forget the detectors' evidence; the references stay, what they were gathering goes."""
        self._room = 0
        self._bets.forget()
        for part in self._bets.armed:
            part.reference.again()

    def refreeze(self) -> None:
        """Start new references from the observations to come."""
        self._room = 0
        self._slices.clear()
        self._bets.disarm()

    def state(self) -> dict[str, Any]:
        """The references, armed or half gathered, JSON-able."""
        self._bets.settle()
        return {name: kept_of(part) for name, part in self._slices.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over references; detectors start without evidence. Raises BadInput for what ``state`` did not make."""
        self.refreeze()
        for name, kept in state.items():
            try:
                part = restored(name, kept, self._first, level=self.level)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                mend = "Delete it: the references are then gathered anew."
                raise BadInput(f"the kept reference of slice {name!r} is broken", field=name, mend=mend) from error
            self._slices[name] = part
            if part.reference.n:
                self._bets.arm(part)
        self._bets.follow()

    def _new(self, name: str) -> Part:
        """The slice under which ``name`` is watched: itself, or REST once the cap is reached."""
        if len(self._slices) >= MAX_SLICES:
            name = REST
        part = self._slices.get(name)
        if part is None:
            part = self._slices[name] = Part(name, self._first)
            self._room = 0
        return part

    def _measured(self, part: Part) -> None:
        """A level has its first values: from now on they tell what is usual."""
        level = self._level
        assert level is not None
        part.band = band_of(part.values, level.worse or "either", level.tolerance, first_share(), level.least)
        part.values, part.reference = [], Reference(self._first, part.band)
        self._room = 0
        self._bets.arm(part)

    def _grow(self, part: Part) -> None:
        """A part of the reference is full: it may arm the slice, or bring its bound nearer to its mean."""
        self._room = 0
        bets = self._bets
        bets.settle()  # what was seen so far is bet against the bound of its time
        suspected = bets.suspects(part, _SUSPECTED)
        if not suspected:
            bets.sessions.learn()
            part.losses.tell(part.taken, bets.clustering)
        part.losses.begin(part.taken, part.recent / sum([each.recent for each in self._slices.values()]))
        if not part.reference.full(suspected, bets.sessions.inflated, bets.crowd):
            return
        if part.detector is None:
            bets.arm(part)
            return
        bets.aim_at(part)
        bets.aim()

    def _place(self, name: str) -> Part | None:
        return self._slices.get(name) or self._slices.get(REST)

    def _alarm(self, detector: EDetector, name: str) -> Sequence[Alarm]:
        """What a detector that fired says; nothing where nobody watches this slice."""
        monitor = self.watchers.of(name)
        if monitor is None:
            return ()
        return (alarm_of(monitor, name, detector, evidence=self.evidence, seen=self._bets.seen, place=self._place),)
