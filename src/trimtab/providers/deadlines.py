"""Many deadlines behind one timer of the event loop.

Nearly every request ends long before its time is up, so its timer is started and stopped for nothing, and that costs
more than asking a clock a few times. Here deadlines that lie close together share a slot, and one timer looks at the
slots as their time comes. A deadline is met up to STEP_S late, and never early.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from .of_loop import OfLoop

#: The length of a slot in seconds.
STEP_S = 1 / 32

_Slot = dict["Deadline", None]


class Deadline:
    """One deadline. ``cancel`` when it need not be met any more."""

    __slots__ = ("_slot", "expired")

    def __init__(self, slot: _Slot, expired: Callable[[], object]) -> None:
        self._slot = slot
        self.expired = expired
        slot[self] = None

    def cancel(self) -> None:
        """Nothing happens when its time comes."""
        self._slot.pop(self, None)

    def meet(self) -> None:
        """Its time has come, unless it was cancelled since somebody saw that."""
        if self._slot.pop(self, self) is None:
            self.expired()


class Deadlines:
    """The deadlines of one event loop; ``deadlines`` finds them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_at, self._call_soon, self._time = loop.call_at, loop.call_soon, loop.time
        self._slots: dict[int, _Slot] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0

    def at(self, when: float, expired: Callable[[], object]) -> Deadline:
        """Call ``expired`` at a time of the loop's clock."""
        number = math.ceil(when / STEP_S)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            if self._timer is None or number < self._next:
                self._wait_for(number)
        return Deadline(slot, expired)

    def _wait_for(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = number
        self._timer = self._call_at(number * STEP_S, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._time()
        for number in sorted(number for number in self._slots if number * STEP_S <= now):
            for deadline in self._slots.pop(number):
                self._call_soon(deadline.meet)
        # Slots that nobody waits in any more, which is most of them, need no look of their own.
        waited = [number for number, slot in self._slots.items() if slot]
        self._slots = {number: self._slots[number] for number in waited}
        if waited:
            self._wait_for(min(waited))


#: The deadlines of a loop.
deadlines = OfLoop(Deadlines)
