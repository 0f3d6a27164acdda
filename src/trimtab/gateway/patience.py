"""How long something may keep silent: one timer for a whole stream.

``asyncio.timeout`` around every piece of a stream costs more than all the rest that is done with a piece. Here a timer
runs once; it ends the waiting if somebody waits at that moment, and otherwise the next waiting before it begins.
"""

from __future__ import annotations

import asyncio

from trimtab.providers import Deadlines


class Patience:
    """Used by one task at a time: ``follow`` it, then set ``waiting`` around each await and ask ``ended`` whether a
    cancellation was this timer's doing."""

    __slots__ = ("_before", "_cancelled", "_deadlines", "_task", "_timer", "over", "waiting")

    def __init__(self, until: float, deadlines: Deadlines) -> None:
        self.over = False
        self.waiting = False
        self._cancelled = False
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._deadlines = deadlines
        self._timer = deadlines.at(until, self._fire)

    def follow(self) -> None:
        """From now on it is the running task that waits."""
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task is not None else 0

    def extend(self, until: float) -> None:
        """Wait until this time of the loop's clock instead."""
        self._timer.cancel()
        self._timer = self._deadlines.at(until, self._fire)

    def ended(self) -> bool:
        """Whether the cancellation that arrived is the timer's and nobody else's; it is taken back then."""
        if not self._cancelled or self._task is None:
            return False
        self._cancelled = False
        return self._task.uncancel() <= self._before

    def close(self) -> None:
        """Nothing is waited for any more."""
        self._timer.cancel()

    def _fire(self) -> None:
        self.over = True
        if self.waiting and self._task is not None:
            self._cancelled = True
            self._task.cancel()
