"""How failures come in clusters where nothing names the sessions behind them, and what that is worth. Pure.

Somebody who asks for what the documents lack fails again and again. Where the spans name the session, its own past says
what to expect of it (see ``Sessions``). Where they do not, only the slice's own newest failures tell: after an excess
of them a part of it goes on. That part is learnt from healthy traffic, as the slope with which a value's failure
follows the failure rate just before it, an average whose weights fall off exponentially. It is the best linear forecast
of traffic that is a mixture of unseen sessions, and the compensator of a self-exciting process (Hawkes 1971).

What is bet against is that forecast and no longer the reference's bound alone, so a cluster is no surprise once it has
begun. A real fall is one still, but a smaller one: a part of it is taken for a cluster. Where failures do not cluster,
the slope is 0 and nothing changes.
"""

from __future__ import annotations

import math
from typing import Any

#: Memories that are tried, in values of the signal over all slices.
SPANS = (32.0, 128.0, 512.0)
#: Clusters are believed in from so many standard errors on.
_TOLD = 2.5
#: What all signals say together weighs as much as so much evidence of a signal's own.
_WEIGHS = 100.0
#: More than this part of an excess is never taken to go on.
_MOST = 0.9
#: The shortest memory of a slice, in its own values, and how many memories long a sample must be to tell.
_SHORTEST, _LONG_ENOUGH = 2.0, 2.0


class Clustering:
    """How large a part of an excess of failures goes on, learnt of one signal. ``pooled`` learns of all of them: a
    signal that seldom fails cannot tell by itself, and those behind the luck are the same people.

    ``slope`` is that part, 0 where nothing says that failures cluster, and ``at`` the memory of SPANS that shows it
    best. Evidence is kept as the sums of a regression through the origin, in units of the value's variance. ``share``
    is what is reckoned with: after the part that goes on, the same part of what is left. For the slope holds on
    average, and the clusters that could raise an alarm are those that go on the longest.
    """

    __slots__ = ("_pooled", "_seen", "_xx", "_xy", "at", "news", "share", "slope")

    def __init__(self, pooled: Clustering | None = None) -> None:
        self._pooled = pooled
        self._xx, self._xy = [0.0] * len(SPANS), [0.0] * len(SPANS)
        self.news = self._seen = 0
        self.at, self.slope, self.share = 0, 0.0, 0.0

    def add(self, at: int, xx: float, xy: float) -> None:
        """What healthy values said."""
        self._xx[at] += xx
        self._xy[at] += xy
        self.news += 1
        if self._pooled is not None:
            self._pooled.add(at, xx, xy)

    def learn(self) -> None:
        """Think again, if there is something new."""
        known = self._pooled or self
        if known.news == self._seen:
            return
        self._seen = known.news
        pairs = list(zip(known._xx, known._xy, strict=True))
        told = [xy / math.sqrt(xx) if xx > 0.0 else 0.0 for xx, xy in pairs]
        best = max(range(len(SPANS)), key=told.__getitem__)
        if told[best] < _TOLD:
            self.slope = self.share = 0.0
            return
        xx, xy = pairs[best]
        common = xy / xx
        own = (self._xy[best] + _WEIGHS * common) / (self._xx[best] + _WEIGHS)
        self.at, self.slope = best, max(0.0, own)
        self.share = min(_MOST, 1.0 - (1.0 - self.slope) ** 2)

    def lowered(self, low: float, rate: float) -> float:
        """The bound of a value after this failure rate, where ``low`` is what all values are above on average."""
        above = rate - 1.0 + low
        return max(0.0, low - self.share * above) if above > 0.0 else low

    def state(self) -> list[list[float]]:
        """What was learnt, JSON-able."""
        return [self._xx[:], self._xy[:]]

    def restore(self, kept: Any) -> None:
        """Take over what ``state`` returned. Raises TypeError or ValueError for anything else."""
        found = [[float(each) for each in side] for side in kept]
        sound = len(found) == 2 and all(len(side) == len(SPANS) for side in found)
        if not sound or not all(math.isfinite(each) for side in found for each in side) or min(found[0]) < 0.0:
            raise ValueError("clusters")
        for at, (xx, xy) in enumerate(zip(*found, strict=True)):
            self.add(at, xx - self._xx[at], xy - self._xy[at])
        self.learn()


class Losses:
    """The failures of a slice so far, each of which counts the less the more values came since.

    Positions count the slice's values from 1. ``hot`` says that the failure rate of late may lie above what is bet
    against. ``owed`` is by how much bounds must be lower together, over the ones that wait for the slice's detector,
    and ``fresh`` the same over the ones of the batch under way.
    """

    __slots__ = (
        "_at", "_cooled", "_decays", "_from", "_held", "_lost", "_products", "_squares", "_sums", "_weights", "fresh",
        "hot", "owed",
    )  # fmt: skip

    def __init__(self) -> None:
        self._at = self._cooled = self._from = 0
        self._held = [0.0] * len(SPANS)
        self._decays: list[float] = []
        self._weights: list[float] = []
        self.hot, self.owed, self.fresh = False, 0.0, 0.0
        self._clear()

    def begin(self, position: int, part: float) -> None:
        """Learn from the values after this position; the slice is such a part of the traffic."""
        self._decays = [math.exp(-1.0 / max(_SHORTEST, span * part)) for span in SPANS]
        self._weights = [(1.0 - decay) / decay for decay in self._decays]
        self._from = position
        self._clear()

    def rate(self, at: int, position: int) -> float:
        """The failure rate before this position, newer values weighing more, by one of the memories."""
        if not self._decays:
            return 0.0
        return self._held[at] * self._weights[at] * self._decays[at] ** (position - self._at)

    def lose(self, position: int, lost: float) -> None:
        """The value at this position left ``lost`` of what it could be."""
        if not self._decays:
            return
        self._pass(position)
        self._cooled = position
        self._lost += lost
        held, products = self._held, self._products
        for at, before in enumerate(held):
            products[at] += before * lost
            held[at] = before + lost

    def cool(self, position: int, clustering: Clustering, usual: float) -> float:
        """By how much together the bounds of the ones up to this position must be lower that this was not asked for
        yet, where ``usual`` is what a value may lose."""
        since, ones = self._cooled, position - self._cooled
        if ones < 0:  # somebody looks at the evidence while a batch that goes farther is under way
            return 0.0
        self._cooled = position
        at, share = clustering.at, clustering.share
        rate = self.rate(at, since + 1)
        if ones <= 0 or rate <= usual or share <= 0.0:
            self.hot = ones <= 0 and rate > usual and share > 0.0
            return 0.0
        decay = self._decays[at]
        if usual > 0.0:
            least = math.ceil(math.log(usual / rate) / math.log(decay))
            if least <= ones:
                ones, self.hot = least, False
        return share * (rate * (1.0 - decay**ones) / (1.0 - decay) - usual * ones)

    def tell(self, position: int, clustering: Clustering) -> None:
        """What the values up to this position say of clusters, those since ``begin``."""
        n = position - self._from
        if not self._decays or n <= 0:
            return
        self._pass(position)
        usual = self._lost / n
        spread = usual * (1.0 - usual)
        if spread <= 0.0:
            return
        # The mean is that of the very values it is taken from: that costs both sums the variance of n means.
        taken = (1.0 - min(_MOST, clustering.slope)) ** -2
        for at, weight in enumerate(self._weights):
            if weight * n >= _LONG_ENOUGH:
                before = weight * self._sums[at]
                xx = weight * weight * self._squares[at] - 2.0 * usual * before + n * usual * usual
                xy = weight * self._products[at] - usual * before
                clustering.add(at, max(0.0, xx / spread) + taken, xy / spread + taken)

    def _clear(self) -> None:
        self._lost = 0.0
        self._sums, self._squares, self._products = [0.0] * len(SPANS), [0.0] * len(SPANS), [0.0] * len(SPANS)

    def _pass(self, position: int) -> None:
        """Let the values up to this position go by."""
        gap = position - self._at
        if gap <= 0:
            return
        self._at = position
        held, sums, squares = self._held, self._sums, self._squares
        for at, decay in enumerate(self._decays):
            before = held[at]
            if before > 0.0:
                left = before * decay**gap
                sums[at] += decay * (before - left) / (1.0 - decay)
                squares[at] += decay * decay * (before * before - left * left) / (1.0 - decay * decay)
                held[at] = left
