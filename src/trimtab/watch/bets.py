"""The bets of one signal: its detectors, and how they take the values of a batch together.

What a batch says is counted, by slice and value, and every detector takes one step for all of it. A step costs about as
much as a single value would, so a busy server pays for batches and not for values. Batches are cut by the clock and by
counts, never by what the values say, so a step is a bet like any other (see ``EDetector.batch``). Only a busy server
lets values wait for more; otherwise a batch is what came at once, and nobody loses time.
"""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.stats import EDetector

from .band import Band
from .pooled import bounds, rounded
from .reference import Reference
from .roster import Watchers
from .sessions import WAITS, Sessions, before_of

#: What is bet on together at most: so many values, from so long a time.
TOGETHER, TOGETHER_NS = 2048, 5 * 10**8
#: Fewer values at once than these are taken one by one: a step costs more.
FEW = 16
#: Values after which the shares of the slices are looked at anew; where so many come in less than a second, after a
#: second or so many times as many.
_MIX, _MIX_NS, _MIXES = 512, 10**9, 8


class Group:
    """Slices that the detector of all slices bets on alike: against ``low``. ``ones`` wait to be taken by it."""

    __slots__ = ("low", "ones")

    def __init__(self, low: float) -> None:
        self.low = low
        self.ones = [0] * WAITS


class Part:
    """A slice: its reference, its band if the signal is a level, and once it is armed its detector.

    Of the batch under way ``new`` counts the values, ``noted`` those that are no plain ones, and ``later`` the plain
    ones of a session that had values before (see ``WAITS``). ``own`` counts the ones that its detector has not taken
    yet, ``low`` is what that bets against, and ``group`` holds the same for the detector of all slices. ``recent``
    counts the newest values, of which the older weigh less.
    """

    __slots__ = (
        "armed_at", "band", "detector", "group", "later", "low", "name", "new", "noted", "own", "recent", "reference",
        "values",
    )  # fmt: skip

    def __init__(self, name: str, first: int) -> None:
        self.name = name
        self.reference = Reference(first)
        self.values: list[float] = []
        self.band: Band | None = None
        self.detector: EDetector | None = None
        self.low = self.recent = 0.0
        self.new = self.noted = 0
        self.later, self.own = [0] * WAITS, [0] * WAITS
        self.group = Group(0.0)
        #: The stream's count of observations when this slice was armed: evidence before it was never bet on.
        self.armed_at = 0


#: How often each pair of a value and the bound that it is bet against came.
Counts = dict[tuple[float, float], int]
#: A value that is no plain one: its slice, itself, how many values its session had before, and how much they lost.
Noted = tuple[Part, float, int, float]


class Bets:
    """The detector of all slices of a signal and one of each armed slice.

    ``touched`` and ``noted`` are the batch under way: the slices that had values, and the values below 1 or of a
    session that lost something. ``fired`` are the detectors that have fired and were not told of yet, each with its
    slice. Most values of a healthy signal are 1: where a batch has nothing else they only add to
    counts, for no detector ever fires at a 1, and are taken when the next value below 1 comes.
    """

    def __init__(self, watchers: Watchers, threshold: float) -> None:
        self.watchers = watchers
        self.threshold = threshold
        self.every = EDetector(threshold, 0.9)
        self.armed: list[Part] = []
        self.sessions = Sessions()
        self.seen = 0
        self.touched: list[Part] = []
        self.noted: list[Noted] = []
        self.fired: list[tuple[EDetector, str]] = []
        #: When the first value of the batch under way was answered.
        self.since_ns = 0
        self._groups: list[Group] = []
        self._mixed = self._mixed_ns = 0
        self._stale = False

    @property
    def suspicion(self) -> float:
        """The most evidence that one of the detectors holds. The batch under way is not bet on for it, so it is as old
        as that batch, half a second at most: whoever looks neither cuts batches short nor lets a detector fire."""
        self._settle()
        return max(self.every.value, *(part.detector.value for part in self.armed if part.detector), 0.0)

    @property
    def crowd(self) -> float:
        """How much more sums of neighbouring values vary than those of independent ones, over all armed slices."""
        n = sum(part.reference.n for part in self.armed)
        return sum(part.reference.crowded * part.reference.n for part in self.armed) / n if n else 1.0

    def demand(self, threshold: float) -> None:
        """Ask for so much evidence from now on."""
        self.threshold = self.every.threshold = threshold
        for part in self.armed:
            if part.detector is not None:
                part.detector.threshold = threshold

    def step(self) -> None:
        """The batch under way is whole: take it."""
        touched, noted = self.touched, self.noted
        if self._stale and self.armed:
            self._aim()
        self._fold()
        due = self.seen // _MIX - self._mixed
        if due and (due >= _MIXES or not 0 <= self.since_ns - self._mixed_ns < _MIX_NS):
            self._mix()
        by_part: dict[Part, list[Noted]] = {}
        for each in noted:
            if each[0].detector is not None:
                by_part.setdefault(each[0], []).append(each)
        every: Counts | None = {} if by_part else None
        fired: list[tuple[EDetector, str]] = []
        if by_part and not self.every.fired:
            self._settle_every()
        for part in touched:
            if part.detector is not None:
                quiet = not part.detector.fired
                self._bet(part, part.detector, by_part.get(part, ()), every)
                if quiet and part.detector.fired:
                    fired.append((part.detector, part.name))
            part.new = part.noted = 0
            part.later = [0] * WAITS
        touched.clear()
        noted.clear()
        if every and not self.every.fired:
            self.every.batch(every)
            if self.every.fired:
                self.fired.append((self.every, ""))
        self.fired += fired

    def count(self, part: Part, now_ns: int) -> None:
        """One value of a slice came by itself."""
        if self._stale and self.armed:
            self._aim()
        self.seen += 1
        part.recent += 1.0
        part.reference.left -= 1
        if self.seen // _MIX > self._mixed:
            self.since_ns = now_ns
            self._mix()

    def bet(self, part: Part, value: float, n: int, lost: float) -> None:
        """Bet on one value by itself: the last counted, of a session that had ``n`` before, ``lost`` of them."""
        detector = part.detector
        if detector is None:
            return
        expected = self.sessions.expected
        if value == 1.0 and not lost:
            part.own[n.bit_length()] += 1
            part.group.ones[n.bit_length()] += 1
            return
        if not self.every.fired:
            self._settle_every()
            self.every.update(value, expected(part.group.low, n, lost))
            if self.every.fired:
                self.fired.append((self.every, ""))
        if not detector.fired:
            self._settle_own(part, detector)
            detector.update(value, expected(part.low, n, lost))
            if detector.fired:
                self.fired.append((detector, part.name))

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
        found = bounds([(part.reference, part.recent) for part in self.armed])
        groups: dict[float, Group] = {}
        for part, low in zip(self.armed, found, strict=True):
            low = monitor.bound(part.reference.mean, low) if monitor is not None else low
            low = rounded(low) if len(found) > 1 else low
            part.group = groups.setdefault(low, Group(low))
        self._groups = sorted(groups.values(), key=lambda group: -group.low)
        shared = sum(part.reference.caution for part in self.armed) / len(self.armed)
        self.every.aim(sum(part.group.low for part in self.armed) / len(self.armed), shared)

    def aim_at(self, part: Part) -> None:
        """The same for the slice's own detector: the bound of its reference, as the monitor of the slice has it."""
        monitor, low = self.watchers.of(part.name), part.reference.low
        part.low = monitor.bound(part.reference.mean, low) if monitor is not None else low
        if part.detector is not None:
            part.detector.aim(part.low, part.reference.caution)

    def arm(self, part: Part) -> None:
        """The slice has its first reference: its values are bet on from now on."""
        self._settle_every()
        part.detector = EDetector(self.threshold, 0.9)
        self.aim_at(part)
        part.armed_at = self.seen + sum(each.new for each in self.touched)
        self.armed.append(part)
        self.aim()

    def forget(self) -> None:
        """Let all detectors start from nothing."""
        self._fold()
        self._drop()
        self.every.reset()
        self.sessions.forget()
        for part in self.armed:
            part.own, part.group.ones = [0] * WAITS, [0] * WAITS
            if part.detector is not None:
                part.detector.reset()

    def disarm(self) -> None:
        """No slice has a reference any more."""
        self.armed.clear()
        self._groups.clear()
        self._drop()
        self.every.reset()

    def _fold(self) -> None:
        """Count the values of the batch; each once, whatever is done with them."""
        for part in self.touched:
            self.seen += part.new
            part.reference.left -= part.new
            part.recent += part.new

    def _drop(self) -> None:
        """Nobody bets on the batch any more."""
        for part in self.touched:
            part.new = part.noted = 0
            part.later = [0] * WAITS
        self.touched.clear()
        self.noted.clear()
        self.fired.clear()

    def _bet(self, part: Part, detector: EDetector, noted: Sequence[Noted], every: Counts | None) -> None:
        """What a batch says of a slice: its own detector takes it, and it is added to ``every``, what the one of all
        slices takes. Ones wait for whichever of the two the batch brings nothing else (then ``every`` is None)."""
        ones = part.later
        ones[0] = part.new - part.noted - sum(ones)
        if every is not None:
            self._count(every, ones, part.group.low, noted)
        if noted and not detector.fired:
            self._settle_own(part, detector)
            counts: Counts = {}
            self._count(counts, ones, part.low, noted)
            detector.batch(counts)
        own, shared = part.own, part.group.ones
        for at, n in enumerate(ones):
            if n:
                if not noted:
                    own[at] += n
                if every is None:
                    shared[at] += n

    def _count(self, counts: Counts, ones: Sequence[int], low: float, noted: Sequence[Noted]) -> None:
        """Add the values of a slice, each with what it is bet against."""
        expected = self.sessions.expected
        for at, n in enumerate(ones):
            if n:
                key = 1.0, expected(low, before_of(at), 0.0) if at else low
                counts[key] = counts.get(key, 0) + n
        for _, value, n, lost in noted:
            key = value, expected(low, n, lost)
            counts[key] = counts.get(key, 0) + 1

    def _settle_own(self, part: Part, detector: EDetector) -> None:
        if any(part.own):
            detector.passed(self.sessions.runs(part.own, part.low))
            part.own = [0] * WAITS

    def _settle_every(self) -> None:
        waiting = [group for group in self._groups if any(group.ones)]
        if not waiting:
            return
        if not self.every.fired:
            runs = [run for group in waiting for run in self.sessions.runs(group.ones, group.low)]
            self.every.passed(sorted(runs, key=lambda run: -run[1]))
        for group in waiting:
            group.ones = [0] * WAITS

    def _mix(self) -> None:
        """The shares of the slices in the traffic as they are now."""
        self._mixed, self._mixed_ns = self.seen // _MIX, self.since_ns
        for part in self.armed:
            part.recent /= 2.0
        if len(self.armed) > 1:
            self._settle_every()
            self._aim()
