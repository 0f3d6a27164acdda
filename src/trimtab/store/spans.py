"""The span store: spans and scores, durable before anybody is told so, readable while they are written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from trimtab.core import BadInput, ConfigError, Overloaded, Score, Span, SpanQuery, TrimtabError, now_ns

from . import reader, rollup
from .answers import Batch, Page, ScoreBucket, SpanBucket, Trace
from .dayfile import DayFile
from .intake import Intake, Item
from .ledger import Ledger
from .payload import Codec
from .reader import Readers, Shelf

_log = logging.getLogger(__name__)
#: Spans and scores that may wait to be written.
CAPACITY = 50_000


class SpanStore:
    """SQLite, one file per UTC day of arrival, one writing thread, a few reading ones.

    A span is written once, when it is finished. Of spans with the same trace and span id, and of scores with the same
    id, the first is kept and the others count as written. All methods are for the event loop's thread or any other;
    the async ones never block it.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], int], capacity: int) -> None:
        self._codec = Codec(folder)
        self._ledger = Ledger(folder, self._codec, clock)
        self._intake = Intake(capacity)
        self._readers = Readers(lambda: self._ledger.files, self._codec)
        self._commits = 0
        self._seen: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()
        self._watching = threading.Lock()
        self._watchers: set[asyncio.Future[None]] = set()
        self._writer = threading.Thread(target=self._write, name="trimtab-span-writer", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, folder: Path | str, *, clock: Callable[[], int] = now_ns, capacity: int = CAPACITY) -> Self:
        """Open the folder, create it where it is missing. ``capacity`` is how many rows may wait to be written.

        Nothing is ever to be repaired, whatever ended the last process. Raises Conflict where a file's schema is newer
        than this program, ConfigError where the folder or a file cannot be used.
        """
        folder = Path(folder)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(folder, clock=clock, capacity=capacity)
        except OSError as error:
            raise ConfigError(
                f"the span folder {folder} cannot be used: {error.strerror}.",
                field="data",
                mend="Name a folder that you may write to.",
            ) from error

    # -- writing -----------------------------------------------------------------------------------------------------

    @property
    def dropped(self) -> int:
        """Spans and scores that were offered and not stored, since the store was opened."""
        return self._intake.dropped

    @property
    def commits(self) -> int:
        """Commits since the store was opened: fewer than writes, for what waits together is committed together."""
        return self._commits

    async def write(self, spans: Sequence[Span] = (), scores: Sequence[Score] = (), *, patient: bool = False) -> None:
        """Store all of them or none; returns when they are on disk. ``patient`` waits for what else is to be written.

        Raises Overloaded when the queue is full or the disk fails, BadInput when a row cannot be stored.
        """
        if spans or scores:
            await self._wait_for(Item(spans=tuple(spans), scores=tuple(scores), patient=patient))

    def offer(self, spans: Sequence[Span], scores: Sequence[Score] = ()) -> bool:
        """Store them soon, without waiting. False when the queue is full: they are dropped and counted."""
        try:
            self._intake.put(Item(spans=tuple(spans), scores=tuple(scores)))
        except Overloaded:
            self._intake.drop(len(spans) + len(scores))
            return False
        return True

    async def flush(self) -> None:
        """Return when everything that was offered before is on disk or, if it could not be, counted as dropped."""
        await self._wait_for(Item())

    async def expire(self, before_ns: int) -> list[str]:
        """Delete the files of all days that ended before this time; returns those days (``2026-11-25``)."""
        days: list[str] = []
        await self._wait_for(Item(errand=lambda: days.extend(self._ledger.expire(before_ns))))
        return days

    def close(self) -> None:
        """Store what waits, end the threads, close the files. Closing twice is allowed."""
        self._intake.close()
        self._writer.join()
        self._readers.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    async def query(self, query: SpanQuery) -> Page:
        """Spans, newest first. Raises BadInput for an unknown column or comparison, a bad value, cursor or limit.

        Pages are stable: a span that comes in between appears on a later page, if it belongs there, and moves no other.
        """
        return await self._readers.run(reader.query(query))

    async def trace(self, trace_id: str) -> Trace | None:
        """All that is known of a trace, or None."""
        return await self._readers.run(reader.trace(trace_id))

    async def scores(self, *, since_ns: int, until_ns: int, name: str = "", limit: int = 1000) -> list[Score]:
        """Scores with a time in [since, until), newest first; an ``until`` of 0 is no bound."""
        return await self._readers.run(
            reader.scores(since_ns=since_ns, until_ns=until_ns, name=name, limit=max(0, limit))
        )

    async def score_series(
        self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = ""
    ) -> list[ScoreBucket]:
        """Scores per bucket of time, name and slice, from sums over 10 s that touch [since, until).

        ``bucket_s`` is a multiple of 10. Only buckets with scores are listed, by start, name and slice.
        """
        window = rollup.Window(since_ns=since_ns, until_ns=until_ns, bucket_s=bucket_s, project=project)
        return await self._readers.run(
            lambda shelf, files: rollup.score_series(
                _open(shelf, files, lambda file: file.times.meets(since_ns - rollup.BUCKET_NS, until_ns)), window
            )
        )

    async def span_series(self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = "") -> list[SpanBucket]:
        """Root spans per bucket of time, from sums over 10 s that touch [since, until).

        ``bucket_s`` is a multiple of 10. Only buckets with spans are listed, by start.
        """
        window = rollup.Window(since_ns=since_ns, until_ns=until_ns, bucket_s=bucket_s, project=project)
        return await self._readers.run(
            lambda shelf, files: rollup.span_series(
                _open(shelf, files, lambda file: file.starts.meets(since_ns - rollup.BUCKET_NS, until_ns)), window
            )
        )

    # -- the bus -----------------------------------------------------------------------------------------------------

    async def tail(self, position: str, limit: int = 1000) -> Batch:
        """What was committed after ``position`` (empty: everything), at most ``limit`` rows, in commit order.

        Reading on from each batch's position gives every row exactly once, across restarts and days.
        """
        if position and not (position.isascii() and position.isdigit() and len(position) < 19):
            raise BadInput(f"{position!r} is no position.", field="position", mend="Use one that tail or end returned.")
        after, until, most = int(position or 0), self._ledger.last_seq, max(1, limit)
        kept = self._ledger.recent.after(after, until, most)
        return kept if kept is not None else await self._readers.run(reader.tail(after, until, most))

    async def end(self) -> str:
        """The position after everything that is committed."""
        return str(self._ledger.last_seq)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - running out of time is an answer here, not an error
        """Return when something was committed since this task's last wait, or after ``timeout`` seconds."""
        task = asyncio.current_task()
        future = asyncio.get_running_loop().create_future()
        with self._watching:
            if task is not None and self._seen.get(task, 0) == self._commits and self._writer.is_alive():
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

    # -- the writer's thread -----------------------------------------------------------------------------------------

    def _write(self) -> None:
        while group := self._intake.take():
            for item in group:
                item.pack()
            before = self._ledger.last_seq
            self._ledger.commit([item for item in group if item.rows and item.error is None])
            for item in group:
                _run_errand(item)
            self._settle(group, committed=self._ledger.last_seq > before)
        self._ledger.close()
        with self._watching:
            watchers, self._watchers = self._watchers, set()
        _resolve([(watcher, None) for watcher in watchers])

    def _settle(self, group: Sequence[Item], *, committed: bool) -> None:
        """Tell everybody who waits, and count what was lost with nobody waiting."""
        lost = [item for item in group if item.error is not None and item.waiter is None]
        if lost:
            self._intake.drop(sum(item.rows for item in lost))
            _log.warning("%d batches that nobody waits for were not stored; the first: %s", len(lost), lost[0].error)
        answers = [(item.waiter, item.error) for item in group if item.waiter is not None]
        if committed:
            with self._watching:
                self._commits += 1
                watchers, self._watchers = self._watchers, set()
            answers += [(watcher, None) for watcher in watchers]
        _resolve(answers)

    async def _wait_for(self, item: Item) -> None:
        item.waiter = asyncio.get_running_loop().create_future()
        self._intake.put(item)
        await item.waiter


def _run_errand(item: Item) -> None:
    if item.errand is None:
        return
    try:
        item.errand()
    except OSError as error:
        item.error = Overloaded(f"the span files cannot be changed: {error}.", mend="Look at their folder.")


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


def _open(shelf: Shelf, files: Iterable[DayFile], wanted: Callable[[DayFile], bool]) -> Iterable[Any]:
    return (shelf.open(file) for file in files if wanted(file))
