"""Live scorers that hang: after a few answers without any verdict one rests, so that the others get their turn."""

from __future__ import annotations

import math
from collections.abc import Callable

#: Times in a row that a scorer runs out of time before it rests, and seconds that it then rests.
MOST_TIMEOUTS, REST_S = 3, 600.0


class Patience:
    """Counts by scorer how often in a row time ran out. ``clock`` gives seconds that only grow.

    Whoever runs out of time right after a rest rests again: it takes a verdict to begin anew.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._timeouts: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def ran_out(self, name: str) -> None:
        """A scorer gave no verdict in time."""
        self._timeouts[name] = self._timeouts.get(name, 0) + 1
        if self._timeouts[name] >= MOST_TIMEOUTS:
            self._until[name] = self._clock() + REST_S

    def answered(self, name: str) -> None:
        """A scorer came back in time."""
        self._timeouts.pop(name, None)
        self._until.pop(name, None)

    def rests(self, name: str) -> bool:
        """Whether a scorer is not to be asked now."""
        return self._until.get(name, 0.0) > self._clock()

    def forget(self) -> None:
        """Everyone begins anew: the scorers have changed."""
        self._timeouts.clear()
        self._until.clear()

    def notes(self) -> list[str]:
        """Who rests, a sentence each."""
        now = self._clock()
        return [
            f"{name} rests until it is tried again in {math.ceil((until - now) / 60)} minutes: it ran out of time "
            f"{self._timeouts[name]} times in a row."
            for name, until in self._until.items() if until > now
        ]  # fmt: skip
