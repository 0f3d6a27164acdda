"""How late the event loop is: what one slow step costs every request that waits behind it."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import deque

#: Seconds between two measurements, and for how long one counts.
EVERY_S, KEPT_S = 0.5, 60.0
#: Seconds after which a thread that computes, such as a scan of a long text, lets the event loop have its turn.
SWITCH_S = 0.0005


def rest_collector() -> None:
    """What was built at the start stays until the end: the garbage collector, which stops every thread while it looks,
    need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class LoopLag:
    """Asks to be woken every EVERY_S seconds, and notes how much later it was."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=round(KEPT_S / EVERY_S))
        self._task: asyncio.Task[None] | None = None

    @property
    def worst(self) -> float:
        """The longest delay within the last KEPT_S seconds."""
        return max(self._late, default=0.0)

    def note(self, seconds: float) -> None:
        """One measurement; an early wake-up is none."""
        self._late.append(max(0.0, seconds))

    def start(self) -> None:
        """Measure from now on, and let threads that compute give way sooner than the interpreter's own 5 ms."""
        sys.setswitchinterval(SWITCH_S)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._measure(), name="trimtab-loop-lag")

    async def stop(self) -> None:
        """Measure no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _measure(self) -> None:
        time = asyncio.get_running_loop().time
        while True:
            due = time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self.note(time() - due)
