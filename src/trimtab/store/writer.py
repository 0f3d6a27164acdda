"""The one thread of a store that writes: it takes what waits, commits it in groups and tells who waited."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from trimtab.core import Overloaded, Score, Span, TrimtabError

from .intake import Intake, Item, Pace

_log = logging.getLogger(__name__)
#: Seconds after which a database that could not be reached is tried again, and after which a caller may try again.
_AGAIN_S = 1.0


class Backend(Protocol):
    """What a writer writes to. All methods are called by its thread only."""

    def commit(self, items: Sequence[Item]) -> bool:
        """Store the rows of all items, durable when this returns; True when any was new.

        An item that cannot be stored has its ``error`` set and is left out. Raises Overloaded when the database cannot
        be reached, and then nothing of them counts as stored.
        """

    def close(self) -> None:
        """Close the connections."""


class Writer:
    """The queue, the thread and those who wait for either.

    While the database is away, a write fails at once with Overloaded; what was only offered stays in the queue and is
    stored when the database is back. A full queue drops what is offered, and counts it.
    """

    def __init__(self, backend: Backend, *, capacity: int, pace: Pace = Pace()) -> None:  # noqa: B008
        self._backend = backend
        self._intake = Intake(capacity, pace)
        self._commits = 0
        self._seen: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()
        self._watching = threading.Lock()
        self._watchers: set[asyncio.Future[None]] = set()
        self._thread = threading.Thread(target=self._write, name="trimtab-span-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Spans and scores that were offered and not stored."""
        return self._intake.dropped

    @property
    def commits(self) -> int:
        """Commits so far."""
        return self._commits

    async def write(self, spans: Sequence[Span], scores: Sequence[Score], *, patient: bool) -> None:
        """Store all of them or none; returns when they are on disk."""
        if spans or scores:
            await self._wait_for(Item(tuple(spans), tuple(scores)), patient=patient)

    def offer(self, spans: Sequence[Span], scores: Sequence[Score]) -> bool:
        """Store them soon, without waiting. False when the queue is full: they are dropped and counted."""
        try:
            self._intake.put(Item(tuple(spans), tuple(scores)))
        except Overloaded:
            self._intake.drop(len(spans) + len(scores))
            return False
        return True

    async def flush(self) -> None:
        """Return when everything that was offered before is on disk or counted as dropped."""
        await self._wait_for(Item())

    async def run(self, errand: Callable[[], None], *, patient: bool = False) -> None:
        """Have the thread do something else in its turn. Raises TrimtabError when the errand fails."""
        await self._wait_for(_errand(errand), patient=patient)

    def post(self, errand: Callable[[], None]) -> None:
        """Have the thread do something else in its turn, with nobody waiting here. Raises Overloaded once closed."""
        self._intake.put(_errand(errand))

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 - running out of time is an answer, not an error
        """Return when this thread committed something since the task's last wait, or after so many seconds; says
        whether it did."""
        task = asyncio.current_task()
        future = asyncio.get_running_loop().create_future()
        with self._watching:
            if task is not None and self._seen.get(task, 0) == self._commits and self._thread.is_alive():
                self._watchers.add(future)
            else:
                future.set_result(None)
        try:
            await asyncio.wait([future], timeout=timeout)
        finally:
            with self._watching:
                self._watchers.discard(future)
                if task is not None:
                    self._seen[task] = self._commits
        return future.done()

    def close(self) -> None:
        """Store what waits, end the thread. Closing twice is allowed."""
        self._intake.close()
        self._thread.join()

    def _write(self) -> None:
        away: Overloaded | None = None
        not_before = 0.0
        while group := self._intake.take(not_before):
            if away is None or self._intake.closed or time.monotonic() >= not_before:
                away, committed = self._store(group)
                not_before = time.monotonic() + _AGAIN_S if away else 0.0
            else:
                committed = False
            if away is not None:
                group = self._keep(group, away)
            else:
                for item in group:
                    if item.errand is not None:
                        _run_errand(item, item.errand)
            self._settle(group, committed=committed)
        self._backend.close()
        with self._watching:
            watchers, self._watchers = self._watchers, set()
        _resolve([(watcher, None) for watcher in watchers])

    def _store(self, group: Sequence[Item]) -> tuple[Overloaded | None, bool]:
        """Why the rows could not be stored now, or nothing; and whether any was new."""
        rows = [item for item in group if item.rows and item.error is None]
        try:
            return None, bool(rows) and self._backend.commit(rows)
        except Overloaded as error:
            _log.error("%s", error)
            return error, False

    def _keep(self, group: list[Item], away: Overloaded) -> list[Item]:
        """Put back what was only offered, until the database is back; returns the others, with what is wrong."""
        for item in group:
            item.error = item.error or away
        kept = [item for item in group if item.waiter is None and item.error is away]
        if not kept or self._intake.closed:
            return group
        for item in kept:
            item.error = None
        self._intake.put_back(kept)
        return [item for item in group if item.waiter is not None or item.error is not None]

    def _settle(self, group: Sequence[Item], *, committed: bool) -> None:
        """Tell everybody who waits, and count what was lost with nobody waiting."""
        eventful = [item for item in group if item.waiter is not None or item.error is not None]
        lost = [item for item in eventful if item.waiter is None]
        if lost:
            self._intake.drop(sum(item.rows for item in lost))
            _log.warning("%d batches that nobody waits for were not stored; the first: %s", len(lost), lost[0].error)
        answers = [(item.waiter, item.error) for item in eventful if item.waiter is not None]
        if committed:
            with self._watching:
                self._commits += 1
                watchers, self._watchers = self._watchers, set()
            answers += [(watcher, None) for watcher in watchers]
        _resolve(answers)

    async def _wait_for(self, item: Item, *, patient: bool = False) -> None:
        item.patient = patient
        item.waiter = asyncio.get_running_loop().create_future()
        self._intake.put(item)
        await item.waiter


def _errand(errand: Callable[[], None]) -> Item:
    item = Item()
    item.errand = errand
    return item


def _run_errand(item: Item, errand: Callable[[], None]) -> None:
    try:
        errand()
    except TrimtabError as error:
        item.error = error
    except Exception as error:  # house: except because no errand may end the only thread that writes
        item.error = Overloaded(f"the span store cannot be changed: {error}.", mend="Look at its disk or server.")


def _resolve(answers: Iterable[tuple[asyncio.Future[None], TrimtabError | None]]) -> None:
    """Settle futures in their own loops: one wake-up a loop, however many wait there."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], TrimtabError | None]]] = {}
    for future, error in answers:
        by_loop.setdefault(future.get_loop(), []).append((future, error))
    for loop, its in by_loop.items():
        with contextlib.suppress(RuntimeError):  # The loop was closed: nobody waits there any more.
            loop.call_soon_threadsafe(_settle_all, its)


def _settle_all(answers: Iterable[tuple[asyncio.Future[None], TrimtabError | None]]) -> None:
    for future, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
