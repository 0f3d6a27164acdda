"""The usage ledger: a row for every request that reached a model, and the sums by day that budgets are read from.

Rows are written by one task, in groups, off the request's path. Where a budget applies, the reservation is on disk
before the provider is called (one commit serves all requests that wait at that moment), so a process that is killed
forgets no money: what was reserved and never settled is found at the next start and charged as it was reserved, in the
state ``interrupted``. Without a budget a row is written behind the answer. Sums and rows change in one transaction, and
a row that was settled never changes again, so every counter can be had from the rows at any time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from trimtab.core import Overloaded, now_ns
from trimtab.store import Metadata

from . import records
from .refusals import Refusal
from .usagerow import GONE_NS, UsageRow

log = logging.getLogger("trimtab.usage")

#: Seconds that rows which nobody waits for are gathered before a commit; most rows of one commit.
LINGER_S, GROUP = 0.25, 2000
#: Rows and refusals that may wait while the database does not answer.
WAITING, REFUSALS_WAITING = 200_000, 10_000
#: Seconds that a request waits for its reservation to reach the disk before it goes on without, and for a sum. Once the
#: database let one wait in vain, nobody waits until it answers again.
JOURNAL_S, ANSWER_S = 2.0, 5.0
#: Seconds until a failed commit is tried again, and between two rounds of sweeping.
AGAIN_S, SWEEP_S = 0.5, 60.0


class UsageLedger(Protocol):
    """What limits need of the ledger, wherever it is kept."""

    async def reserve(self, row: UsageRow) -> None:
        """Journal a reservation; returns when it is on disk, or when that takes too long."""
        ...

    def note(self, rows: Sequence[UsageRow]) -> None:
        """Write how requests ended that nothing was reserved for. Never blocks."""
        ...

    async def settle(self, rows: Sequence[UsageRow]) -> None:
        """Write how requests ended; returns when ``spent`` counts them."""
        ...

    async def end(self, row: UsageRow) -> UsageRow | None:
        """End a reservation that outlived its request, as the row says or, where its state is ``interrupted``, charged
        as it was reserved. One that was charged so within the hour is put right. Returns the row with the money that no
        counter has heard of, None where it had ended before. Raises Overloaded."""
        ...

    def refuse(self, refusal: Refusal) -> None:
        """Keep a refusal. Never blocks."""
        ...

    async def spent(self, scope: str, who: str, first_day: int, last_day: int) -> int:
        """Billionths of a dollar that a key, team or route spent, everything settled so far included."""
        ...


class Ledger:
    """The ledger in the metadata database. ``node`` names this process over restarts."""

    def __init__(self, metadata: Metadata, *, node: str = "", clock: Callable[[], int] = now_ns) -> None:
        self._metadata = metadata
        self._node = node
        self._clock = clock
        self._rows: list[UsageRow] = []
        self._refusals: list[Refusal] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._stirred = asyncio.Event()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._committing = False
        self.lost = 0  # rows and refusals that did not fit while the database did not answer
        self.unjournalled = 0  # requests that went on before their reservation was on disk
        self.failing = ""

    async def recover(self) -> list[UsageRow]:
        """Charge what a process of this name reserved and never settled. Before anything else; returns those rows."""
        stale_ns = self._clock() - GONE_NS
        return await self._metadata.write(lambda c: records.interrupt(c, node=self._node, stale_ns=stale_ns))

    async def interrupt(self, ids: Sequence[str]) -> list[UsageRow]:
        """Charge reservations whose process is gone. Returns those that were still open."""
        await self.flush()
        return await self._metadata.write(lambda c: records.interrupt(c, ids=ids))

    async def reserve(self, row: UsageRow) -> None:
        self._put([row])
        if self.failing:
            self.unjournalled += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._hurry.set()
        done, _ = await asyncio.wait([waiter], timeout=JOURNAL_S)
        if not done:  # The counters hold it all the same; a dead disk must not stop every request.
            self.unjournalled += 1
            self._fails("TimeoutError")

    def note(self, rows: Sequence[UsageRow]) -> None:
        self._put(rows)

    async def settle(self, rows: Sequence[UsageRow]) -> None:
        self._put(rows)
        if self._metadata.shared and not self.failing:  # other processes read the sums as well
            await self.flush()

    async def end(self, row: UsageRow) -> UsageRow | None:
        await self.flush()
        if self._stuck:  # the reservation itself may not be there yet
            raise self._silent()
        since_ns = self._clock() - GONE_NS
        return await self._metadata.write(lambda c: records.end(c, row, since_ns))

    def refuse(self, refusal: Refusal) -> None:
        if len(self._refusals) >= REFUSALS_WAITING:
            self.lost += 1
            return
        self._refusals.append(refusal)
        self._stir()

    async def spent(self, scope: str, who: str, first_day: int, last_day: int) -> int:
        try:
            async with asyncio.timeout(ANSWER_S):
                if not self._stuck:
                    await self.flush()
                if not self._stuck:
                    found = await self._metadata.read(lambda c: records.spent(c, scope, who, (first_day, last_day)))
                    self.failing = "" if not self._stuck else self.failing
                    return found
        except TimeoutError:
            self._fails("TimeoutError")
        raise self._silent()

    def _silent(self) -> Overloaded:
        return Overloaded(f"The usage ledger does not answer: {self.failing}.", mend="Try again.", retry_after=1)

    @property
    def _stuck(self) -> bool:
        """Whether there are rows that the database did not take."""
        return bool(self.failing and (self._rows or self._committing))

    async def flush(self) -> None:
        """Return when everything so far is on disk, or the database failed to take it."""
        if self._rows or self._refusals or self._waiting or self._committing:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            self._stir()
            self._hurry.set()
            done, _ = await asyncio.wait([waiter], timeout=JOURNAL_S * 2)
            if not done:
                self._fails("TimeoutError")

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._stirred.set()
        self._hurry.set()
        if self._task is not None:
            await self._task

    def _put(self, rows: Sequence[UsageRow]) -> None:
        if len(self._rows) + len(rows) > WAITING:
            self.lost += len(rows)
            return
        self._rows.extend(rows)
        self._stir()

    def _stir(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write(), name="trimtab-usage-writer")
        self._stirred.set()

    async def _write(self) -> None:
        swept = -SWEEP_S
        time = asyncio.get_running_loop().time
        while True:
            if not self._hurry.is_set() and not self._rows and not self._refusals and not self.failing:
                if self._closing:
                    return
                self._stirred.clear()
                await self._stirred.wait()
            await _set_within(self._hurry, LINGER_S)
            self._hurry.clear()
            if not await self._commit():
                if self._closing:
                    return
                await _set_within(asyncio.Event(), AGAIN_S)
            elif time() - swept > SWEEP_S:
                swept = time()
                await self._attempt(lambda c: records.sweep(c, self._clock()))

    async def _commit(self) -> bool:
        rows, self._rows = self._rows[:GROUP], self._rows[GROUP:]
        refusals, self._refusals = self._refusals, []
        waiting = [] if self._rows else self._waiting
        if not self._rows:
            self._waiting = []
        else:
            self._hurry.set()
        self._committing = True  # whoever asks for a flush from here on waits for this commit, and for the next
        written = await self._attempt(lambda c: records.write_usage(c, rows, refusals))
        self._committing = False
        if not written:
            self._rows[:0] = rows
            self._refusals[:0] = refusals
            # Who waits goes on when its own patience ends; a flush hears of the failure.
            self._waiting[:0] = [waiter for waiter in waiting if not waiter.done()]
            return False
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        return True

    def _fails(self, why: str) -> None:
        if not self.failing:
            log.warning("The usage ledger cannot be written (%s); rows wait in memory.", why)
        self.failing = why
        self._stir()  # until the database answers again it is tried, also where nothing waits to be written

    async def _attempt(self, work: Callable[[Any], Any]) -> bool:
        try:
            await self._metadata.write(work)
        except Exception as error:  # house: except because rows are kept and tried again, whatever it was
            self._fails(type(error).__name__)
            return False
        if self.failing:
            log.warning("The usage ledger is written again; %d rows were lost meanwhile.", self.lost)
            self.failing = ""
        return True


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
