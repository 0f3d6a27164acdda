"""The daily chore that deletes the days that are older than they may be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from trimtab.core import now_ns
from trimtab.store import Spans

_LOG = logging.getLogger("trimtab.retention")
_DAY_NS = 86_400 * 1_000_000_000
_EVERY_S = 86_400.0


class Retention:
    """Keeps ``days`` whole days of spans and scores; looks once at the start and then every day."""

    def __init__(
        self, store: Spans, *, days: int, clock: Callable[[], int] = now_ns, every_s: float = _EVERY_S
    ) -> None:
        self._store, self._days, self._clock, self._every = store, days, clock, every_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; without a number of days there is nothing to do."""
        if self._days > 0:
            self._task = asyncio.create_task(self._forever(), name="trimtab-retention")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def turn(self) -> list[str]:
        """Delete what is too old now; returns the days."""
        gone = await self._store.expire(self._clock() - self._days * _DAY_NS)
        if gone:
            _LOG.info("deleted the spans of %s: %d days are kept", ", ".join(gone), self._days)
        return gone

    async def _forever(self) -> None:
        while True:
            try:
                await self.turn()
            except Exception as error:  # house: except because a chore must not die silently
                _LOG.error("old spans could not be deleted: %s", error)
            await asyncio.sleep(self._every)
