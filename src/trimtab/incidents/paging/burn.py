"""How fast an error budget burns: the multi-window, multi-burn-rate alert of the Site Reliability Workbook. Pure.

An objective of 99 % leaves a budget of 1 % bad values. A burn rate of 1 spends it exactly; 14.4 spends in one hour what
is meant for two hundredths of a month, 6 in six hours for a twentieth. The long window says that it matters, the short
one that it still goes on (Beyer et al., "The Site Reliability Workbook", 2018, chapter 5, table 5-6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Burning in both windows (seconds) at ``rate`` or faster makes an incident of this severity."""

    long_s: int
    short_s: int
    rate: float
    severity: int


#: Fast first: what pages at once, and what pages as well and may take a little longer.
WINDOWS = (
    Window(long_s=3600, short_s=300, rate=14.4, severity=1),
    Window(long_s=6 * 3600, short_s=1800, rate=6.0, severity=2),
)
#: Fewer bad values than this in the long window are no pattern, however few values there were.
LEAST_BAD = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Burning:
    """A budget that burns too fast: how fast over the long and the short window."""

    window: Window
    objective: float
    long_rate: float
    short_rate: float

    @property
    def text(self) -> str:
        """In a sentence without its end."""
        long, short = _said(self.window.long_s), _said(self.window.short_s)
        return (
            f"the error budget of an objective of {self.objective * 100:g} % burns {self.long_rate:.1f} times too fast"
            f" over {long} and {self.short_rate:.1f} times over {short}"
        )


#: How many values there were in the last so many seconds, and how much of them was bad (1 - value, added up).
Counted = Callable[[int], tuple[int, float]]


def burning(objective: float, counted: Counted) -> Burning | None:
    """The fastest burn that is worth a page; None where none is."""
    for window in WINDOWS:
        n, bad = counted(window.long_s)
        n_short, bad_short = counted(window.short_s)
        if not n or not n_short or bad < LEAST_BAD:
            continue
        budget = 1.0 - objective
        long, short = bad / n / budget, bad_short / n_short / budget
        if long >= window.rate and short >= window.rate:
            return Burning(window=window, objective=objective, long_rate=long, short_rate=short)
    return None


def most(objective: float) -> float:
    """The fastest that a budget can burn: everything is bad. A rate above this can never be reached."""
    return 1.0 / (1.0 - objective)


def _said(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds // 60} min"
