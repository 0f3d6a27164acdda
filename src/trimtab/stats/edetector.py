"""A detector that tells a fall of a mean with a guaranteed distance between false alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import mul

from trimtab.core import BadInput

#: Falls of the mean that the bets are made for.
_DROPS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
#: Each bet's part of the stake; they sum up to 1. A bet for a large fall wins so fast that a small part costs it a
#: few values; one for a small fall would wait for hundreds.
_WEIGHTS = (0.1, 0.25, 0.3, 0.2, 0.1, 0.05)
#: No bet risks more than this part of what it holds, so that 1 + bet * (m0 - x) stays above 0.
_RISK = 0.95
#: Evidence is capped here: far above any threshold, far below the end of floats.
_CAP = 1e280
_LOG_CAP = math.log(_CAP)
#: Different observations whose factors are remembered; 0/1 signals with a few slices need a handful.
_REMEMBERED = 512
#: No variance counts as less.
_LEAST = 1e-6

#: An observation: its value, its null bound, and the part of a fall that shows in it where that is not the whole.
Seen = tuple[float, float] | tuple[float, float, float]


def _bets(center: float) -> tuple[float, ...]:
    """Growth-optimal bets for a coin that falls from ``center`` by each of the drops: d / (p (1 - p))."""
    p = min(0.999, max(0.001, center))
    return tuple((p - max(p - drop, 0.0005)) / (p * (1.0 - p)) for drop in _DROPS)


class EDetector:
    """Mixture Shiryaev-Roberts e-detector for values in [0, 1]. Feed single values, or runs of ones in one step.

    Null: given the past, each value's mean is at least the ``m0`` it is bet against; nothing else is assumed (no
    identical distribution, no independence beyond that). For each bet b the statistic is
    M <- (M + 1) * (1 + b * (m0 - x)), the value is the weighted mean over the bets. Under the null M_n - n is a
    supermartingale, hence (Shin, Ramdas and Rinaldo, "E-detectors", 2022, arXiv 2203.03532) the expected number of
    observations to a false alarm is at least ``threshold``. A threshold that only ever grows keeps the probability of a
    false alarm within n observations below the sum of 1/threshold over them (Chow's inequality, 1960).

    ``fired`` stays true once the threshold was reached, until ``reset``.
    """

    __slots__ = ("_ages", "_bets", "_caution", "_known", "_logs", "_peaks", "_sums", "fired", "threshold", "value")

    def __init__(self, threshold: float, center: float) -> None:
        if not threshold > 1.0:
            raise BadInput(f"{threshold} is no threshold", field="threshold", mend="Give observations per false alarm.")
        self.threshold = threshold
        self._bets: tuple[float, ...] = ()
        self._caution = 0.0
        self.aim(center)
        self.reset()

    def aim(self, center: float, caution: float = 1.0) -> None:
        """Choose the bets of the observations to come for a healthy mean near ``center``; what was won stays.

        ``caution`` divides the bets: where neighbours share their luck, sums vary by so much more than those of
        independent values, and the bets that grow fastest are so much smaller.
        """
        bets = tuple([bet / caution for bet in _bets(center)])
        if bets == self._bets and caution == self._caution:
            return
        self._bets, self._caution = bets, caution
        self._known: dict[Seen, Sequence[float]] = {}
        self._logs: dict[Seen, tuple[float, ...]] = {}

    def reset(self) -> None:
        """Forget all evidence."""
        self.value = 0.0
        self.fired = False
        self._sums = [0.0] * len(_DROPS)
        self._peaks = [0.0] * len(_DROPS)
        self._ages = [0] * len(_DROPS)

    @property
    def n_since(self) -> int:
        """Observations since the likeliest onset: where the winning bet's CUSUM (Page 1954) last rose from nothing."""
        best = max(range(len(_DROPS)), key=self._peaks.__getitem__)
        return self._ages[best] if self._peaks[best] > 1.0 else 0

    @property
    def bet(self) -> float:
        """What the winning bet stakes: a value that is lower by 1 makes its logarithm about that much larger."""
        return self._bets[max(range(len(_DROPS)), key=self._peaks.__getitem__)]

    def gain(self, x: float, m0: float) -> float:
        """The logarithm of what the winning bet makes of an observation."""
        return math.log(self._factors(x, m0)[max(range(len(_DROPS)), key=self._peaks.__getitem__)])

    def update(self, x: float, m0: float, shows: float = 1.0) -> float:
        """Take one observation with its null bound ``m0``; return the evidence. Raises BadInput outside [0, 1].

        ``shows`` is the part of a fall that shows in it. Below 1 it is an observation whose bound lies far from
        ``center``, and is bet on as is best there, for so much smaller falls. Bets for a mean near 1 are so large that
        they would stake all they may there, and lose it to the first 1.
        """
        factors = (self._known.get((x, m0)) if shows == 1.0 else None) or self._factors(x, m0, shows)
        sums, peaks, ages = self._sums, self._peaks, self._ages
        total = 0.0
        for j, factor in enumerate(factors):
            held = (sums[j] + 1.0) * factor
            sums[j] = held = held if held < _CAP else _CAP
            total += held * _WEIGHTS[j]
            peak = peaks[j]
            if peak > 1.0:
                peak *= factor
                ages[j] += 1
            else:
                peak = factor
                ages[j] = 1
            peaks[j] = peak if peak < _CAP else _CAP
        self.value = total
        if self.value >= self.threshold:
            self.fired = True
        return self.value

    def batch(self, counts: Mapping[Seen, int]) -> float:
        """Take observations that came together: how often each did. Returns the evidence.

        For n of them M <- (M + n) * product of (1 + b * (m0 - x)): one bet of n stakes. Given the past and n, the
        product averages at most 1 under the null, so M_n - n stays a supermartingale and the guarantee holds, provided
        that nobody who chose where the batch ends knew its values. One observation is ``update``. Raises BadInput
        outside [0, 1].
        """
        n = sum(counts.values())
        if n == 1:
            return self.update(*next(iter(counts)))
        logs, times = self._logs, counts.values()
        rows = [logs.get(seen) or self._log_factors(seen) for seen in counts]
        sums, peaks, ages = self._sums, self._peaks, self._ages
        for j, column in enumerate(zip(*rows, strict=True)):
            log = sum(map(mul, times, column))
            factor = math.exp(log) if log < _LOG_CAP else _CAP
            held = (sums[j] + n) * factor
            sums[j] = held if held < _CAP else _CAP
            peak = peaks[j]
            if peak > 1.0:
                peak *= factor
                ages[j] += n
            else:
                peak = factor
                ages[j] = n
            peaks[j] = peak if peak < _CAP else _CAP
        self.value = sum(map(mul, sums, _WEIGHTS))
        if self.value >= self.threshold:
            self.fired = True
        return self.value

    def passed(self, runs: Sequence[tuple[int, float]]) -> None:
        """Take ones that came in a row, as (how many, their bound), the highest bound first.

        Healthy streams are mostly ones, and only a value below its bound raises the evidence, so ones may wait for the
        next of those. n ones in a row with the factor f take M to M f^n + f + f^2 + ... + f^n. Ones with different
        bounds came in some other order, but never in one that leaves less: ``b`` after ``a`` leaves (M + 1) a b + b,
        so the smallest factor, which belongs to the lowest bound, goes last. The evidence is therefore at most that of
        one step at a time, and the guarantee holds.
        """
        sums, peaks, ages = self._sums, self._peaks, self._ages
        for n, m0 in runs:
            for j, factor in enumerate(self._known.get((1.0, m0)) or self._factors(1.0, m0)):
                if factor >= 1.0:
                    sums[j] += n
                    ages[j] += n
                    continue
                shrunk = factor**n
                sums[j] = sums[j] * shrunk + factor * (1.0 - shrunk) / (1.0 - factor)
                # The peak falls below 1 on the way or with the last of them, and starts anew there.
                if peaks[j] * shrunk > factor:
                    peaks[j] *= shrunk
                    ages[j] += n
                else:
                    peaks[j] = factor
                    ages[j] = 1
        self.value = sum(map(mul, sums, _WEIGHTS))

    def _log_factors(self, seen: Seen) -> tuple[float, ...]:
        logs = tuple(map(math.log, self._known.get(seen) or self._made(seen)))
        if len(self._logs) < _REMEMBERED:
            self._logs[seen] = logs
        return logs

    def _factors(self, x: float, m0: float, shows: float = 1.0) -> Sequence[float]:
        seen: Seen = (x, m0) if shows == 1.0 else (x, m0, shows)
        if (known := self._known.get(seen)) is not None:
            return known
        factors = self._made(seen)
        if len(self._known) < _REMEMBERED:
            self._known[seen] = factors
        return factors

    def _made(self, seen: Seen) -> Sequence[float]:
        """What each bet makes of an observation."""
        x, m0 = seen[0], seen[1]
        if not (0.0 <= x <= 1.0 and 0.0 <= m0 <= 1.0):
            raise BadInput(f"value {x} or bound {m0} is outside 0 to 1", field="x", mend="Scale the signal to 0 to 1.")
        most = _RISK / (1.0 - m0) if m0 < 1.0 else _CAP
        bets: Sequence[float] = self._own(m0, seen[2]) if len(seen) == 3 and seen[2] != 1.0 else self._bets
        if bets[-1] > most:  # the last is the largest
            bets = [bet if bet < most else most for bet in bets]
        above = m0 - x
        return [1.0 + bet * above for bet in bets]

    def _own(self, m0: float, shows: float) -> Sequence[float]:
        """The growth-optimal bets of an observation with a bound of its own, none larger than the usual one."""
        spread = self._caution * max(_LEAST, m0 * (1.0 - m0))
        own = [drop * shows / spread for drop in _DROPS]
        return [bet if bet < best else best for bet, best in zip(self._bets, own, strict=True)]
