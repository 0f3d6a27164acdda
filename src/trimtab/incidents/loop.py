"""The loop that reads the ledger: finished spans -> scores -> monitors -> incidents.

The store is the bus: the loop remembers a position in it, so a restart goes on where it stopped. A step that was done
but not yet remembered is done again, which changes nothing: score ids are made from trace and name, and the first wins.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from trimtab.core import Score, TrimtabError, now_ns
from trimtab.evals import Online
from trimtab.registry import Registry
from trimtab.store import Batch, Settings, Spans
from trimtab.watch import Alarm, Vendors, Watch

from .desk import Desk

log = logging.getLogger("trimtab.loop")

POSITION = "loop.position"
BASELINES = "loop.baselines"
VENDORS = "loop.vendors"
REMEMBER_EVERY_S = 2.0
REVIEW_EVERY_S = 10.0
BATCH = 2000
#: A step of so many rows is a busy server's: bets may wait for the next one, which follows at once.
BUSY = 500
TRIES = 3


class Loop:
    """One instance a process. ``start`` spawns its tasks on the running loop, ``stop`` ends them and remembers."""

    def __init__(
        self,
        *,
        store: Spans,
        settings: Settings,
        online: Online,
        watch: Watch,
        vendors: Vendors,
        registry: Registry,
        desk: Desk,
    ) -> None:
        self._store, self._settings = store, settings
        self._online, self._watch, self._vendors = online, watch, vendors
        self._registry, self._desk = registry, desk
        self._position = ""
        self._remembered = 0.0
        self._alarms: asyncio.Queue[Alarm] = asyncio.Queue(maxsize=256)
        self._tasks: list[asyncio.Task[None]] = []
        self._failures = 0
        self._moved = asyncio.Event()
        self.lag_ns = 0
        self.on_scores: list[Callable[[list[Score]], None]] = []

    async def start(self) -> None:
        """Take up the position and the baselines of the last run, then begin."""
        self._position = await self._settings.get(POSITION) or ""
        if state := await self._settings.get(BASELINES):
            self._watch.restore(state)
        if state := await self._settings.get(VENDORS):
            self._vendors.restore(state)
        self._tasks = [
            asyncio.create_task(self._forever(self._read, "loop"), name="trimtab-loop"),
            asyncio.create_task(self._forever(self._answer, "desk"), name="trimtab-desk"),
            asyncio.create_task(self._forever(self._review, "review"), name="trimtab-review"),
        ]

    async def stop(self) -> None:
        """End the tasks and write down where they were."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._remember()

    async def settle(self) -> None:
        """Wait until everything committed so far was scored and watched, and every alarm was answered.

        Two more steps after the one under way: the first reads the spans and writes their scores, the second reads
        those scores. Traffic may go on meanwhile.
        """
        await self._store.flush()
        for _ in range(3):
            self._moved.clear()
            await self._moved.wait()
        await self._alarms.join()

    async def turn(self, batch: Batch) -> None:
        """One step: what was committed since the last one."""
        for seen in self._vendors.observe(batch.spans):
            await self._registry.record_external(
                "models", seen.ref, before=seen.before, after=seen.after, note="another model answered at the vendor"
            )
        scores = await self._online.score(batch.spans)
        if scores:
            await self._store.write(scores=scores, patient=True)
        more = len(batch.spans) + len(batch.scores) >= BUSY
        alarms = [*self._watch.measure(batch.spans, more=more), *self._watch.observe(batch.scores, more=more)]
        for alarm in alarms if more else [*alarms, *self._watch.due()]:
            await self._alarms.put(alarm)
        for listener in self.on_scores:
            listener(list(batch.scores))
        if batch.spans:
            self.lag_ns = max(0, now_ns() - max(span.end_ns for span in batch.spans))
        self._position = batch.position

    async def _read(self) -> None:
        batch = await self._store.tail(self._position, BATCH)
        if batch.spans or batch.scores:
            self._failures += 1
            if self._failures > TRIES:
                log.error("skipped a batch of %d spans that failed %d times", len(batch.spans), TRIES)
                self._position = batch.position
            else:
                await self.turn(batch)
            self._failures = 0
        else:
            for alarm in self._watch.due():
                await self._alarms.put(alarm)
            self._position = batch.position
            await self._store.wait(1.0)
        self._moved.set()
        if time.monotonic() - self._remembered > REMEMBER_EVERY_S:
            await self._remember()

    async def _answer(self) -> None:
        alarm = await self._alarms.get()
        try:
            await self._desk.handle(alarm)
        finally:
            self._alarms.task_done()

    async def _review(self) -> None:
        await asyncio.sleep(REVIEW_EVERY_S)
        await self._desk.review()

    async def _remember(self) -> None:
        self._remembered = time.monotonic()
        await self._settings.put(POSITION, self._position)
        await self._settings.put(BASELINES, self._watch.state())
        await self._settings.put(VENDORS, self._vendors.state())

    async def _forever(self, step: Callable[[], Awaitable[None]], name: str) -> None:
        while True:
            try:
                await step()
            except asyncio.CancelledError:
                raise
            except TrimtabError as error:
                log.error("%s: %s", name, error)
                await asyncio.sleep(0.5)
            except Exception:  # house: except because a chore that dies silently is worse than one that goes on
                log.exception("%s: unexpected", name)
                await asyncio.sleep(0.5)
