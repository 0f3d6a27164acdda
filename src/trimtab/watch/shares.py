"""How the budget for false alarms is shared out among the signals that are watched. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .signals import signal_of


class Shares:
    """Each signal has a part by its stake. One that only some traffic carries has none before its first value: nothing
    is bet on it until then, and the others would wait longer for nothing.

    Parts become smaller as such signals come, and never larger, so at no time do all of them together alarm falsely
    more often than once in ``false_alarms_per`` requests.
    """

    def __init__(self, false_alarms_per: int) -> None:
        self._false_alarms_per = false_alarms_per
        self._carried: set[str] = set()

    def begins(self, signal: str) -> bool:
        """A value of the signal is here: whether it takes its part from now on, and the others have less."""
        known = signal_of(signal)
        if known is None or not known.rare or signal in self._carried:
            return False
        self._carried.add(signal)
        return True

    def waits(self, signal: str) -> bool:
        """Whether it takes its part only with its first value, which has not come."""
        known = signal_of(signal)
        return known is not None and known.rare and signal not in self._carried

    def threshold(self, signal: str, watched: Iterable[str], bets: float) -> float:
        """The evidence that a detector of the signal must reach while these are watched and it makes so many bets of
        each value; of one that is not watched or has no value yet, what it would have to reach if it had."""
        stakes = {name: _stake(name) for name in {*watched, signal} if name == signal or not self.waits(name)}
        known = signal_of(signal)
        values = known.values if known is not None else 1
        return bets * values * self._false_alarms_per * sum(stakes.values()) / stakes[signal]


def _stake(name: str) -> float:
    known = signal_of(name)
    return known.stake if known is not None else 1.0
