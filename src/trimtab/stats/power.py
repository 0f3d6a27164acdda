"""What an evaluation could find, before it is paid for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trimtab.core import BadInput

from .distributions import normal_cdf, normal_quantile

#: The share of the spread of single outcomes that lies between cases, where no earlier run tells: that of a suite in
#: which most cases always end the same way.
STEADINESS = 0.68
_MOST_CASES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A paired comparison as planned.

    ``rate`` is the old pass rate. ``steadiness`` is the share of the variance of single outcomes that lies between
    cases: 1 when a case always ends the same way, 0 when every case is the same coin (measure it with a repeat run).
    ``repeats`` are outputs per case and side. ``alpha`` is one-sided.
    """

    cases: int
    repeats: int = 1
    rate: float = 0.8
    steadiness: float = STEADINESS
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if self.cases < 2 or self.repeats < 1:
            raise BadInput(f"{self.cases} cases x {self.repeats}", field="cases", mend="Plan 2 or more cases.")
        if not (0.0 < self.rate < 1.0 and 0.0 <= self.steadiness <= 1.0 and 0.0 < self.alpha < 0.5):
            raise BadInput("rate, steadiness or alpha is out of range", field="rate", mend="Give shares.")

    def error(self, drop: float) -> float:
        """The standard error of the paired difference when every case gets a little harder by this drop in the mean.

        Each side adds p (1 - p) (1 - steadiness) / repeats a case: what differs between cases cancels in pairs.
        """
        after = min(1.0, max(0.0, self.rate - drop))
        single = (self.rate * (1.0 - self.rate) + after * (1.0 - after)) * (1.0 - self.steadiness)
        # A case that always ends the same way still has to change for the mean to fall: at least `drop` of them.
        single = max(single / self.repeats, abs(drop) * (1.0 - abs(drop)) * self.steadiness)
        return math.sqrt(single / self.cases)

    def power(self, drop: float) -> float:
        """The probability that a one-sided paired test finds this drop (in rate, such as 0.05)."""
        error = self.error(drop)
        if error == 0.0:
            return 1.0
        return normal_cdf(drop / error - normal_quantile(1.0 - self.alpha))

    def detectable(self, power: float = 0.8) -> float:
        """The smallest drop that is found with this power; at most the whole rate."""
        low, high = 0.0, self.rate
        if self.power(high) < power:
            return self.rate
        for _ in range(50):
            middle = (low + high) / 2.0
            low, high = (middle, high) if self.power(middle) < power else (low, middle)
        return high


def cases_needed(design: Design, drop: float, power: float = 0.8) -> int | None:
    """How many cases, other things as designed, find the drop with this power; None beyond a million."""
    need = (normal_quantile(1.0 - design.alpha) + normal_quantile(power)) * design.error(drop) / drop
    cases = math.ceil(need * need * design.cases)
    return max(2, cases) if cases <= _MOST_CASES else None
