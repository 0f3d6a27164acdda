"""Keeping up with what other processes write: a cheap look at the counter now and then, and at once when told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from trimtab.core import TrimtabError

log = logging.getLogger(__name__)

#: Seconds between two looks: the longest that another process serves what was taken back here.
INTERVAL_S = 0.5


class Follower:
    """Calls ``refresh`` again and again. A database that is away is said once; what is in memory goes on serving."""

    def __init__(self, refresh: Callable[[], Awaitable[object]], interval_s: float = INTERVAL_S) -> None:
        self._refresh = refresh
        self._interval_s = interval_s
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Starting twice is allowed."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="trimtab-registry-follower")

    def nudge(self) -> None:
        """Look now: somebody says that there is news."""
        self._told.set()

    async def stop(self) -> None:
        """End. Stopping twice is allowed."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        away = False
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), self._interval_s)
            self._told.clear()
            try:
                await self._refresh()
            except Exception as error:  # house: except because what is in memory must go on serving
                if not away:
                    said = error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
                    log.warning("the registry cannot see what other processes write: %s", said)
                away = True
            else:
                if away:
                    log.warning("the registry sees what other processes write again")
                away = False
