"""A slice's own past, which grows while it agrees with itself. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trimtab.stats import lower_bound

from .band import Band

#: The chance that any bound that a slice ever has lies above its true mean.
ALPHA = 5e-3
#: ALPHA is spent on the bounds one after another: the k-th gets the part 1 / (2.613 k^1.5) of it.
_SPENT, _SPENDING = 2.6124, 1.5
#: The longest reference, and how much longer each one is than the one before.
MOST, _LONGER = 16_000, 1.5
#: Newer values agree with the older ones when their mean is less than so many standard errors below.
_AGREES = 2.0
#: Values in a row whose sum shows how far neighbours share their luck, and the shortest reference where that shows.
_BATCH, _BATCHED = 32, 480
#: Sums over so many batches too, by powers of two: 128 and 512 values. Sessions that nothing names lie apart, among
#: those of other people, and only long sums show what they share.
_WIDER = (2, 4)
#: A wider sum is believed from so many of them on, where it varies by so many standard errors more than it ought to.
_WIDE, _TOLD = 5, 1.5
#: A reference of this many values shows by itself how far its neighbours share their luck.
_LONG = 4_000
#: Counted down from here, ``left`` never comes to 0.
_DONE = -1
#: What a mean is drawn by towards one half before its spread is judged: 60 values that all passed still have one.
_DRAWN = 4.0
#: Losses from which on a mean errs as a normal variable does.
_NORMAL = 50.0


def first_share(alpha: float = ALPHA) -> float:
    """What the first bound of a slice may err with."""
    return alpha / _SPENT


class Reference:
    """The values of a slice since the first one, with a mean and a lower bound of it at 60, 90, 135 ... values (for
    ``first`` 60), up to MOST.

    ``mean`` and ``n`` follow only while newer values agree with the older ones and no detector has evidence of a fall,
    so that a fall is not learnt as usual. ``low`` never falls: what sinks slowly is bet against the height at which it
    once was.

    Why the guarantee of the detectors stands: every value since the first one counts for the bound, whatever it says,
    so nothing is selected. The counts at which bounds are taken are fixed beforehand, the k-th errs with at most its
    share of ALPHA, and the shares add up to ALPHA; so with 99.5 % all bounds of a slice hold at once, and the highest
    of them with them. A bound is used only for values after those that it rests on. After an alarm the values begin
    anew, with the next shares. Neighbours that share their luck (sessions, retries) make a sample smaller than its
    count: ``Sessions`` tells by how much, and from 480 values on so do sums over 32 in a row. Bounds are taken at the
    smaller count.
    """

    __slots__ = (
        "_batch", "_batch_lost", "_binary", "_bounds", "_from", "_lost", "_lost_before", "_size", "_size_before",
        "_squares", "_wider",
        "caution", "crowded", "inflated", "left", "low", "mean", "n",
    )  # fmt: skip

    def __init__(self, first: int, band: Band | None = None) -> None:
        """``band``: the values tell whether a level lies inside it, and its own shares are the first mean and bound."""
        self.n, self.mean, self.low = (first, band.mean, band.bound) if band is not None else (0, 0.0, 0.0)
        self.inflated = self.caution = self.crowded = 1.0
        self._bounds = int(band is not None)
        self._lost = self._lost_before = self._squares = self._batch_lost = 0.0
        self._batch, self._binary = 0, True
        self._begin(first if band is None else max(first, round(_LONGER * first)))

    @property
    def variance(self) -> float:
        """How far the mean may lie from the truth, squared; never 0."""
        drawn = (self.mean * self.n + _DRAWN) / (self.n + 2.0 * _DRAWN)
        return drawn * (1.0 - drawn) * self.inflated / self.n

    @property
    def normal(self) -> bool:
        """Whether so much was lost that the mean errs as a normal variable does."""
        return self.n * (1.0 - self.mean) >= _NORMAL

    def lost(self, value: float, left: int) -> None:
        """Take a value below 1, of which ``left`` is what it leaves; ``left`` itself is counted down by whoever takes
        the values."""
        at = (self._size - 1 - left) // _BATCH
        if at != self._batch:
            self._close()
            self._batch, self._batch_lost = at, 0.0
        lost = 1.0 - value
        self._batch_lost += lost
        self._lost += lost
        if value != 0.0:
            self._binary = False

    def full(self, suspected: bool = False, shared: float = 1.0, crowd: float = 1.0) -> bool:
        """The next bound is due: whether mean or bound are new now. ``suspected``: a detector has some evidence of a
        fall. ``shared``: how much more sums vary because sessions share their luck. ``crowd``: how much more those of
        all armed slices of the signal vary, this one included; it stands in for what a short reference cannot show."""
        size = self._size
        mean = 1.0 - self._lost / size
        self._bounds += 1
        self.crowded = self._inflated(mean)
        crowded = max(self.crowded, crowd) if size < _LONG else self.crowded
        inflated = max(shared, crowded)
        count = max(1, math.floor(size / inflated))
        passed = mean * count
        if self._binary:  # a whole number of successes, rounded down but for the dust of floats
            passed = float(math.floor(passed + 1e-6))
        alpha = ALPHA / (_SPENT * self._bounds**_SPENDING)
        low = lower_bound(passed, count, alpha, binary=self._binary)
        news = low > self.low
        self.low = max(self.low, low)
        if size >= self.n and not suspected and self._agrees(inflated):
            self.n, self.mean, self.inflated, news = size, mean, inflated, True
            # What sessions share is known to the bets already; only what goes beyond it asks for smaller ones.
            self.caution = max(1.0, crowded / shared)
        self._on(size)
        return news

    def again(self) -> None:
        """Begin anew: the signal alarmed, so nobody knows what was gathered. What is known stays."""
        if self.n and self.left > 0:
            self._begin(max(self._from, self.n))

    def state(self) -> dict[str, Any]:
        """What survives a restart."""
        return {
            "n": self.n, "mean": self.mean, "low": self.low, "inflated": self.inflated,
            "caution": self.caution, "bounds": self._bounds,
            "size": self._size, "from": self._from, "left": max(_DONE, self.left), "lost": self._lost,
            "lost_before": self._lost_before, "size_before": self._size_before, "binary": self._binary,
            "squares": self._squares, "batch": self._batch, "batch_lost": self._batch_lost,
            "crowded": self.crowded, "wider": [list(each) for each in self._wider],
        }  # fmt: skip

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned. Raises KeyError, TypeError or ValueError for anything else."""
        self.n, self.mean, self.low = int(kept["n"]), float(kept["mean"]), float(kept["low"])
        self.inflated, self._bounds = float(kept["inflated"]), int(kept["bounds"])
        self.caution = max(1.0, float(kept.get("caution", self.inflated)))
        self._begin(int(kept["size"]))
        self._from, self.left, self._binary = int(kept["from"]), int(kept["left"]), bool(kept["binary"])
        self._lost, self._lost_before = float(kept["lost"]), float(kept["lost_before"])
        self._size_before = int(kept["size_before"])
        self._squares, self._batch, self._batch_lost = (
            float(kept["squares"]), int(kept["batch"]), float(kept["batch_lost"]),
        )  # fmt: skip
        self.crowded = max(1.0, float(kept.get("crowded", 1.0)))
        for wide, known in zip(self._wider, kept.get("wider", ()), strict=False):
            wide[:] = [float(number) for number in known[:3]]
        whole = all(len(wide) == 3 for wide in self._wider)
        if not (whole and 0.0 <= self.low <= 1.0 and 0.0 <= self.mean <= 1.0 and self._size > 0 and self.n >= 0):
            raise ValueError("low")

    @classmethod
    def known(cls, n: int, mean: float, low: float) -> Reference:
        """One of ``n`` values, of which nothing more is known."""
        made = cls(n)
        made.n, made.mean, made.low, made._bounds = n, mean, low, 1
        return made

    def _begin(self, size: int) -> None:
        self._size = min(MOST, size)
        self._from, self.left, self._size_before = self._size, self._size, 0
        self._lost = self._lost_before = self._squares = self._batch_lost = 0.0
        self._batch, self._binary = 0, True
        #: Of each wider sum its place, what it has lost so far, and the squares of those before it.
        self._wider = [[0.0, 0.0, 0.0] for _ in _WIDER]

    def _close(self) -> None:
        """A batch is over: it goes into the sums."""
        lost, batch = self._batch_lost, self._batch
        self._squares += lost * lost
        for place, wide in enumerate(self._wider):
            at = batch >> _WIDER[place]
            if at != wide[0]:
                wide[2] += wide[1] * wide[1]
                wide[0], wide[1] = at, lost
            else:
                wide[1] += lost

    def _on(self, size: int) -> None:
        """Gather on, to the next count at which a bound is due."""
        self._lost_before, self._size_before = self._lost, size
        self._size = min(MOST, math.ceil(_LONGER * size))
        self.left = self._size - size if size < MOST else _DONE

    def _agrees(self, inflated: float) -> bool:
        """Whether neither the values since the last bound nor all of them together are worse than what is known."""
        if not self.n:
            return True
        new = self._size - self._size_before
        newer, whole = 1.0 - (self._lost - self._lost_before) / new, 1.0 - self._lost / self._size
        known = (self.mean * self.n + newer * new + 1.0) / (self.n + new + 2.0)
        error = math.sqrt(known * (1.0 - known) * inflated * (1.0 / new + 1.0 / self.n))
        return self.mean - min(newer, whole) < _AGREES * error

    def _inflated(self, mean: float) -> float:
        """How much more the sums of batches vary than those of independent values would; at least 1."""
        size, spread = self._size, mean * (1.0 - mean)
        if size < _BATCHED or spread <= 0.0:
            return 1.0
        squares = self._squares + self._batch_lost * self._batch_lost
        found = [max(1.0, self._varies(squares, size / _BATCH) / (_BATCH * spread))]
        for (at, lost, before), power in zip(self._wider, _WIDER, strict=True):
            span = _BATCH << power
            n = size // span
            if n < _WIDE:
                continue
            # The batch under way is part of the last sum.
            last = lost + self._batch_lost if self._batch >> power == at else self._batch_lost
            rest = 0.0 if self._batch >> power == at else lost * lost
            ratio = self._varies(before + rest + last * last, size / span) / (span * spread) * n / (n - 1.0)
            if ratio > 1.0 + _TOLD * math.sqrt(2.0 / (n - 1.0)):
                found.append(ratio)
        return max(found)

    def _varies(self, squares: float, n: float) -> float:
        """The variance of ``n`` sums with these squares."""
        usual = self._lost / n
        return squares / n - usual * usual
