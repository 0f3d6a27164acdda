"""The bets of one signal: its detectors, and how they take the values of a batch together.

What a batch says is counted, by slice and value, and every detector takes one step for all of it. A step costs about as
much as a single value would, so a busy server pays for batches and not for values. Batches are cut by the clock and by
counts, never by what the values say, so a step is a bet like any other (see ``EDetector.batch``). Only a busy server
lets values wait for more; otherwise a batch is what came at once, and nobody loses time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from trimtab.stats import EDetector

from . import allowance
from .clusters import Clustering
from .fairness import VERDICT
from .monitors import Monitor
from .observation import Observation
from .parts import Counts, Group, Part
from .pooled import bounds, on_grid, shares_of
from .roster import Watchers
from .sessions import WAITS, Against, Sessions, before_of

#: What is bet on together at most: so many values, from so long a time where they come at once, and from so long a time
#: where more comes soon.
TOGETHER, TOGETHER_NS, WAITS_NS = 4096, 5 * 10**8, 8 * 10**8
#: Fewer values at once than these are taken one by one: a step costs more.
FEW = 16
#: Values after which the shares of the slices are looked at anew; where so many come in less than a second, after a
#: second or so many times as many.
_MIX, _MIX_NS, _MIXES = 512, 10**9, 8
#: How many values a session had at least before a one that waits in each place.
_BEFORE = tuple(map(before_of, range(WAITS)))
#: After a restart references tell the shares at first: one of so many values counts as a recent one.
_KEPT = 16.0


class Bets:
    """The detector of all slices of a signal and one of each armed slice, which needs ``each`` times the threshold.
    ``slices`` are all of them, the armed ones and those that have no reference yet, as they come to be.

    ``touched`` are the slices that had values in the batch under way. ``fired`` are the detectors that have fired and
    were not told of yet, each with its slice. Most values of a healthy signal are 1: where a batch has nothing else
    they only add to counts, for no detector ever fires at a 1, and are taken when the next value below 1 comes.
    """

    def __init__(
        self,
        watchers: Watchers,
        threshold: float,
        evidence: deque[Observation],
        slices: Mapping[str, Part],
        pooled: Clustering | None = None,
        each: float = 1.0,
    ) -> None:
        self.watchers = watchers
        self._evidence, self._slices = evidence, slices
        #: Verdicts move least of all, so together they are bet against what is usual (see ``allowance``).
        self._near = watchers.signal == VERDICT
        self.threshold, self.each = threshold, each
        self.every = EDetector(threshold, 0.9)
        self.armed: list[Part] = []
        self.sessions = Sessions()
        self.clustering = Clustering(pooled)
        self.seen = 0
        self.touched: list[Part] = []
        #: How many values the batch under way has.
        self.waiting = 0
        self.fired: list[tuple[EDetector, str]] = []
        #: When the first value of the batch under way was answered.
        self.since_ns = 0
        self._groups: list[Group] = []
        self._hot: dict[Part, None] = {}
        self._mixed = self._mixed_ns = 0
        self._stale = False
        #: How far what all slices are bet against lies above what is surely so, as they come now.
        self._above = 0.0

    @property
    def suspicion(self) -> float:
        """The most evidence that one of the detectors holds. The batch under way is not bet on for it, so it is as old
        as that batch, a second at most: whoever looks neither cuts batches short nor lets a detector fire."""
        self._settle()
        shared = allowance.against_bounds(self.every, self._above)
        own = [part.detector.value / self.each for part in self.armed if part.detector is not None]
        return max(shared, *own, 0.0)

    @property
    def crowd(self) -> float:
        """How much more sums of neighbouring values vary than those of independent ones, over all armed slices."""
        n = sum(part.reference.n for part in self.armed)
        return sum(part.reference.crowded * part.reference.n for part in self.armed) / n if n else 1.0

    def told(self, name: str) -> bool:
        """Whether the detector of this slice ("": of all) has fired and its alarm was given away."""
        found = self.every if not name else next((part.detector for part in self.armed if part.name == name), None)
        return found is not None and found.fired and not any(waits is found for waits, _ in self.fired)

    def follow(self) -> None:
        """Follow the failures of the armed slices from here on: they were kept over a restart, and a long reference has
        no next bound at which that would begin."""
        total = sum([part.recent for part in self.armed])
        for part in self.armed:
            part.losses.begin(part.taken, part.recent / total)

    def suspects(self, part: Part, level: float) -> bool:
        """Whether there is so much evidence that a slice has fallen, or all have."""
        shared = allowance.against_bounds(self.every, self._above)
        return part.detector is not None and max(part.detector.value, shared) >= level

    def demand(self, threshold: float) -> None:
        """Ask for so much evidence from now on."""
        self.threshold = self.every.threshold = threshold
        for part in self.armed:
            if part.detector is not None:
                part.detector.threshold = threshold * self.each

    def step(self) -> None:
        """The batch under way is whole: take it."""
        touched = self.touched
        if self._stale and self.armed:
            self._aim()
        self._fold()
        due = self.seen // _MIX - self._mixed
        if due and (due >= _MIXES or not 0 <= self.since_ns - self._mixed_ns < _MIX_NS):
            self._mix()
        noted = any(part.kinds and part.detector is not None for part in touched)
        every: Counts | None = {} if noted else None
        fired: list[tuple[EDetector, str]] = []
        if noted and not self.every.fired:
            self._settle_every()
        for part in touched:
            if part.detector is not None:
                quiet = not part.detector.fired
                self._bet(part, part.detector, every)
                if quiet and part.detector.fired:
                    fired.append((part.detector, part.name))
            part.clear()
        touched.clear()
        self.waiting = 0
        if every and not self.every.fired:
            self.every.batch(every)
            if self.every.fired and self._sure():
                self.fired.append((self.every, ""))
        self.fired += fired

    def count(self, part: Part, now_ns: int) -> None:
        """One value of a slice came by itself."""
        if self._stale and self.armed:
            self._aim()
        self.seen += 1
        part.recent += 1.0
        part.taken += 1
        part.reference.left -= 1
        if self.seen // _MIX > self._mixed:
            self.since_ns = now_ns
            self._mix()

    def bet(self, part: Part, value: float, n: int, lost: float, rate: float) -> None:
        """Bet on one value by itself: the last counted, of a session that had ``n`` before, ``lost`` of them, or after
        this failure rate."""
        detector = part.detector
        if detector is None:
            return
        if value == 1.0 and not lost:
            part.own[n.bit_length()] += 1
            part.group.ones[n.bit_length()] += 1
            return
        if not self.every.fired:
            self._settle_every()
            self.every.update(value, *self._against(part.group.low, n, lost, rate))
            if self.every.fired and self._sure():
                self.fired.append((self.every, ""))
        if not detector.fired:
            self._settle_own(part, detector)
            detector.update(value, *self._against(part.low, n, lost, rate))
            if detector.fired:
                self.fired.append((detector, part.name))

    def lose(self, part: Part, position: int, value: float) -> float:
        """A value below 1 at this position of a slice belongs to no session that is known. Returns the failure rate
        before it, 0 where that does not count."""
        clustering, losses = self.clustering, part.losses
        clustering.learn()
        rate = 0.0
        if clustering.share:
            rate = losses.rate(clustering.at, position)
            if not losses.hot:
                losses.hot = True
                self._hot[part] = None
        losses.lose(position, 1.0 - value)
        return rate

    def cool(self, part: Part, position: int) -> float:
        """By how much together the bounds of the ones that came to a hot slice until now must be lower."""
        return part.losses.cool(position, self.clustering, 1.0 - max(part.low, part.group.low))

    def wait(self, part: Part, position: int) -> None:
        """The same for ones that wait for both detectors."""
        owed = self.cool(part, position)
        part.losses.owed += owed
        part.group.owed += owed

    def settle(self) -> None:
        """Let the detectors take all that waits."""
        if self.touched:
            self.step()
        self._settle()

    def _settle(self) -> None:
        """Let the detectors take the ones that wait; none fires at them."""
        self._settle_every()
        for part in self.armed:
            if part.detector is not None and not part.detector.fired:
                self._settle_own(part, part.detector)

    def aim(self) -> None:
        """The detector of all slices bets anew from the next step on; what was seen before must be settled."""
        self._stale = True

    def _aim(self) -> None:
        self._stale = False
        monitor = self.watchers.general
        sure = bounds([(part.reference, part.recent) for part in self.armed])
        found = self._lows(monitor, sure)
        if len(found) > 1:
            found = on_grid(found, shares_of([part.recent for part in self.armed]))
        groups, nears = dict[float, Group](), self._nears(monitor)
        for part, low, least in zip(self.armed, found, sure, strict=True):
            part.group = groups.get(low) or groups.setdefault(low, Group(low))
            part.above = max(0.0, low - least) if nears else 0.0
        self._groups = sorted(groups.values(), key=lambda group: -group.low)
        total = sum([part.recent for part in self.armed])
        self._above = sum([part.recent * part.above for part in self.armed]) / total if nears and total else 0.0
        shared = sum([part.reference.caution for part in self.armed]) / len(self.armed)
        self.every.aim(sum(found) / len(self.armed), shared)

    def aim_at(self, part: Part) -> None:
        """The same for the slice's own detector: the bound of its reference, as the monitor of the slice has it."""
        monitor, low = self.watchers.of(part.name), part.reference.low
        part.low = monitor.bound(part.reference.mean, low) if monitor is not None else low
        if part.detector is not None:
            part.detector.aim(part.low, part.reference.caution)

    def _lows(self, monitor: Monitor | None, sure: Sequence[float]) -> Sequence[float]:
        """What each slice is bet against, where its mean is surely above ``sure``."""
        if self._nears(monitor):
            return [allowance.usual(part, low) for part, low in zip(self.armed, sure, strict=True)]
        if monitor is None:
            return sure
        return [monitor.bound(part.reference.mean, low) for part, low in zip(self.armed, sure, strict=True)]

    def _nears(self, monitor: Monitor | None) -> bool:
        """Whether the mean itself is bet against: who set a threshold has said against what."""
        return self._near and (monitor is None or monitor.threshold is None)

    def arm(self, part: Part) -> None:
        """The slice has its first reference: its values are bet on from now on."""
        self._settle_every()
        part.detector = EDetector(self.threshold * self.each, 0.9)
        self.aim_at(part)
        part.armed_at = self.seen + sum(each.new for each in self.touched)
        self.armed.append(part)
        if not part.recent:  # it was kept over a restart
            part.recent = part.reference.n / _KEPT
        self.aim()

    def forget(self) -> None:
        """Let all detectors start from nothing."""
        self._fold()
        self._drop()
        self.every.reset()
        self.sessions.forget()
        for part in self.armed:
            part.own, part.group.ones = [0] * WAITS, [0] * WAITS
            part.losses.owed = part.group.owed = 0.0
            if part.detector is not None:
                part.detector.reset()
        self._ask_anew()

    def disarm(self) -> None:
        """No slice has a reference any more."""
        self.armed.clear()
        self._groups.clear()
        self._hot.clear()
        self._drop()
        self.every.reset()

    def _fold(self) -> None:
        """Count the values of the batch; each once, whatever is done with them."""
        for part in self.touched:
            self.seen += part.new
            part.reference.left -= part.new
            part.recent += part.new
            part.taken += part.new
            if part.losses.hot:
                part.losses.fresh += self.cool(part, part.taken)

    def _sure(self) -> bool:
        """Whether the detector of all slices, which fired, has the evidence that such a run must have."""
        every = self.every
        return not self._near or allowance.enough(
            every, self.threshold, allowance.shared_run(every, self._evidence, self.armed)
        )

    def _ask_anew(self) -> None:
        """A run that asks for more has ended: the detector of all slices fires at the threshold again."""
        if not self.every.fired and self.every.value < self.threshold:
            self.every.threshold = self.threshold

    def _drop(self) -> None:
        """Nobody bets on the batch any more."""
        for part in self.touched:
            part.clear()
        self.touched.clear()
        self.waiting = 0
        self.fired.clear()

    def _bet(self, part: Part, detector: EDetector, every: Counts | None) -> None:
        """What a batch says of a slice: its own detector takes it, and it is added to ``every``, what the one of all
        slices takes. Ones wait for whichever of the two the batch brings nothing else (then ``every`` is None)."""
        ones = part.later
        ones[0] = part.new - part.noted - sum(ones)
        noted, fresh = part.kinds, part.losses.fresh
        if every is not None:
            self._count(every, part, part.group.low)
        elif fresh:
            part.group.owed += fresh
        if fresh and not noted:
            part.losses.owed += fresh
        if noted and not detector.fired:
            self._settle_own(part, detector)
            counts: Counts = {}
            self._count(counts, part, part.low)
            detector.batch(counts)
        own, shared = part.own, part.group.ones
        for at, n in enumerate(ones):
            if n:
                if not noted:
                    own[at] += n
                if every is None:
                    shared[at] += n

    def _count(self, counts: Counts, part: Part, low: float) -> None:
        """Add the values of a slice, each with what it is bet against."""
        sessions = self.sessions
        for at, n in enumerate(part.later):
            if n:
                key = 1.0, sessions.expected(low, _BEFORE[at], 0.0) if at else max(0.0, low - part.losses.fresh / n)
                counts[key] = counts.get(key, 0) + n
        for (value, n, lost, rate), times in part.kinds.items():
            against = self._against(low, n, lost, rate) if rate else sessions.against(low, n, lost)
            seen = value, *against
            counts[seen] = counts.get(seen, 0) + times

    def _against(self, low: float, n: int, lost: float, rate: float) -> Against:
        """What a value averages at least, by what is known of its session, or else of its slice's newest failures."""
        return (self.clustering.lowered(low, rate),) if rate else self.sessions.against(low, n, lost)

    def _runs(self, ones: list[int], low: float, owed: float) -> list[tuple[int, float]]:
        """Ones that wait, the highest bound first."""
        first = ones[0]
        if not owed or not first:
            return self.sessions.runs(ones, low)
        return [*self.sessions.runs([0, *ones[1:]], low), (first, max(0.0, low - owed / first))]

    def _settle_own(self, part: Part, detector: EDetector) -> None:
        if part.losses.hot:
            self.wait(part, part.taken)
        if any(part.own):
            detector.passed(self._runs(part.own, part.low, part.losses.owed))
            part.own = [0] * WAITS
        part.losses.owed = 0.0

    def _settle_every(self) -> None:
        if self._hot:
            for part in self._hot:
                self.wait(part, part.taken)
            self._hot = {part: None for part in self._hot if part.losses.hot}
        waiting = [group for group in self._groups if any(group.ones)]
        if not waiting:
            return
        if not self.every.fired:
            runs = [run for group in waiting for run in self._runs(group.ones, group.low, group.owed)]
            self.every.passed(sorted(runs, key=lambda run: -run[1]))
        for group in waiting:
            group.ones, group.owed = [0] * WAITS, 0.0

    def _mix(self) -> None:
        """The shares of the slices in the traffic as they are now."""
        self._mixed, self._mixed_ns = self.seen // _MIX, self.since_ns
        self._ask_anew()
        for part in self._slices.values():
            part.recent /= 2.0
        if len(self.armed) > 1:
            self._settle_every()
            self._aim()
