"""Whether the signal of a mitigated incident is back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.attribution import Report
from trimtab.stats import wilson

#: Fewer values say nothing; with 50, half of a 20-point fall still lies outside the interval around a full recovery.
LEAST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The signal since the remedy: ``n`` values, their mean and its 95 % interval; ``back`` is the verdict."""

    n: int
    mean: float
    low: float
    high: float
    back: bool


def recovery(report: Report, values: Sequence[float]) -> Recovery | None:
    """How the signal stands after the remedy; None while there are too few values.

    It is back when its 95 % interval (Wilson; for values inside [0, 1] it is wide enough too) reaches what was usual
    and lies whole above the middle between that and the fall: a remedy that helps by half is none.
    """
    if len(values) < LEAST:
        return None
    mean = sum(values) / len(values)
    low, high = wilson(sum(values), len(values))
    middle = (report.baseline + report.now) / 2
    return Recovery(n=len(values), mean=mean, low=low, high=high, back=high >= report.baseline and low > middle)
