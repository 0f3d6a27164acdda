"""Reservations that outlive their request: those of responses that a provider makes in the background.

Such a response is paid for when its client hears that it has ended: once, whoever asks and in whichever process, since
the ledger ends a reservation only once. One whose end nobody asks for within an hour is charged as it was reserved. So
is every one that is open when its process ends, as all reservations are; but within the hour its end still puts right
what was charged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from trimtab.core import Overloaded, TrimtabError

from .usage import UsageLedger
from .usagerow import GONE_NS, KEEP_NS, UsageRow

log = logging.getLogger("trimtab.limits")

#: Seconds for which the counters hold the money of one: an hour, and time for the round that charges it.
LATE_S = GONE_NS / 1e9 + 300.0
#: Responses that may be under way in the background of one process.
MOST = 10_000


class Late:
    """What this process has reserved for responses in the background, and the end of anybody's."""

    def __init__(
        self, ledger: UsageLedger | None, clock: Callable[[], int], charge: Callable[[UsageRow], Awaitable[None]]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._charge = charge
        self._open: dict[str, int] = {}  # the oldest first: ids of requests, and since when
        self._ending: set[asyncio.Task[bool]] = set()

    def check(self) -> None:
        """Raises Overloaded where no further one may begin."""
        if len(self._open) >= MOST:
            mend = "Ask for those that have ended, or leave background out."
            raise Overloaded(f"{MOST} responses are made in the background.", mend=mend, retry_after=10.0)

    def keep(self, trace_id: str) -> None:
        """This one is under way."""
        self._open.setdefault(trace_id, self._clock())

    async def end(self, row: UsageRow) -> bool:
        """It has ended, as ``row`` says; ``interrupted`` charges what was reserved. Whether that was news: it is, too,
        where nobody had said what it used.

        Raises Overloaded where the ledger does not answer; it may be ended again then. Is done to its end also where
        nobody waits for it any more: the ledger and the counters must hear of it both.
        """
        ending = asyncio.get_running_loop().create_task(self._end(row))
        self._ending.add(ending)
        ending.add_done_callback(self._ended)
        return await asyncio.shield(ending)

    async def expire(self) -> None:
        """Charge what nobody has asked for in an hour."""
        since = self._clock() - GONE_NS
        for trace_id, began in list(self._open.items()):
            if began > since:
                break
            await self.end(UsageRow(id=trace_id, time_ns=began, state="interrupted"))

    async def close(self) -> None:
        """Let what is ending end."""
        while self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)

    async def _end(self, row: UsageRow) -> bool:
        if row.time_ns < self._clock() - KEEP_NS:  # it ended long ago: the ledger need not know it any more
            return False
        if self._ledger is None:
            return self._open.pop(row.id, None) is not None
        ended = await self._ledger.end(row)
        self._open.pop(row.id, None)
        if ended is None:
            return False
        try:
            await self._charge(ended)
        except TrimtabError as error:  # it is paid; the next comparison puts the counter right
            log.warning("The counters have not heard of the end of %s: %s", row.id, error)
        return True

    def _ended(self, ending: asyncio.Task[bool]) -> None:
        self._ending.discard(ending)
        if not ending.cancelled():
            ending.exception()  # whoever asked has heard of it, or is gone
