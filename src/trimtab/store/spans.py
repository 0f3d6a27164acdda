"""The span store: spans and scores, durable before anybody is told so, readable while they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from trimtab.core import Breakdown, ConfigError, Score, Span, SpanQuery, now_ns

from . import counting, erasing, reader, rollup
from .answers import Batch, Erased, Group, Outline, Page, ScoreBucket, SpanBucket, Trace
from .bookmarks import own
from .dayfile import DayFile
from .indexing import Indexer
from .ledger import Ledger
from .payload import Codec, FolderDictionaries
from .reader import Readers
from .shelf import Shelf
from .writer import Writer

#: Spans and scores that may wait to be written.
CAPACITY = 50_000


class SpanStore:
    """SQLite, one file per UTC day of arrival, one writing thread, a few reading ones.

    A span is written once, when it is finished. Of spans with the same trace and span id, and of scores with the same
    id, the first is kept and the others count as written. All methods are for the event loop's thread or any other;
    the async ones never block it.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], int], capacity: int) -> None:
        self._codec = Codec(FolderDictionaries(folder))
        self._ledger = Ledger(folder, self._codec, clock)
        self._readers = Readers(lambda: self._ledger.files, self._codec)
        self._writer = Writer(self._ledger, capacity=capacity)
        self._indexer = Indexer(self._ledger, self._codec, self._writer.post)

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
        return self._writer.dropped

    @property
    def commits(self) -> int:
        """Commits since the store was opened: fewer than writes, for what waits together is committed together."""
        return self._writer.commits

    async def write(self, spans: Sequence[Span] = (), scores: Sequence[Score] = (), *, patient: bool = False) -> None:
        """Store all of them or none; returns when they are on disk. ``patient`` waits for what else is to be written.

        Raises Overloaded when the queue is full or the disk fails, BadInput when a row cannot be stored.
        """
        await self._writer.write(spans, scores, patient=patient)

    def offer(self, spans: Sequence[Span], scores: Sequence[Score] = ()) -> bool:
        """Store them soon, without waiting. False when the queue is full: they are dropped and counted."""
        return self._writer.offer(spans, scores)

    async def flush(self) -> None:
        """Return when everything that was offered before is on disk or, if it could not be, counted as dropped."""
        await self._writer.flush()

    async def expire(self, before_ns: int) -> list[str]:
        """Delete the files of all days that ended before this time; returns those days (``2026-11-25``)."""
        days: list[str] = []
        await self._writer.run(lambda: days.extend(self._ledger.expire(before_ns)))
        return days

    async def erase(self, trace_ids: Sequence[str]) -> Erased:
        """Delete everything that is kept of some traces. See the door; the rollups stay as they are."""
        ids = erasing.ids_of(trace_ids)
        done: list[Erased] = []
        await self._writer.run(lambda: done.append(self._ledger.erase(ids)))
        return done[0]

    async def strip(self, trace_ids: Sequence[str]) -> int:
        """Drop the texts of some traces and keep their columns; returns how many spans had any."""
        ids = erasing.ids_of(trace_ids)
        done: list[int] = []
        await self._writer.run(lambda: done.append(self._ledger.strip(ids)), patient=True)
        return done[0]

    async def index(self, *, today: bool = False) -> int:
        """Write down now which words the stored spans have, as the store does by itself after a while; returns how many
        segments of some ten thousand spans were made. ``today`` asks for the newest spans too."""
        return await asyncio.to_thread(self._indexer.index, today=today)

    def close(self) -> None:
        """Store what waits, end the threads, close the files. Closing twice is allowed."""
        self._indexer.close()
        self._writer.close()
        self._readers.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    async def query(self, query: SpanQuery) -> Page:
        """Spans, newest first. Raises BadInput for an unknown column or comparison, a bad value, cursor or limit.

        Pages are stable: a span that comes in between appears on a later page, if it belongs there, and moves no other.
        """
        return await self._readers.run(reader.query(query))

    async def groups(self, breakdown: Breakdown) -> list[Group]:
        """Numbers over groups of spans, in the asked order. What the sums hold is read from them, the rest from rows.

        Raises BadInput where the question is wrong, and for more than 100,000 groups.
        """
        return await self._readers.run(counting.groups(breakdown))

    async def scores_of(self, trace_ids: Sequence[str]) -> dict[str, tuple[Score, ...]]:
        """The scores of up to 1,000 traces, each trace's by time; raises BadInput for more."""
        return await self._readers.run(reader.scores_of(trace_ids))

    async def trace(self, trace_id: str) -> Trace | None:
        """All that is known of a trace, or None."""
        return await self._readers.run(reader.trace(trace_id))

    async def outlines(self, trace_ids: Sequence[str]) -> dict[str, Outline]:
        """What is known of some traces in a few words, by trace id; of unknown ones nothing. At most 1,000 at once."""
        ids = erasing.ids_of(trace_ids)
        return await self._readers.run(
            lambda shelf, files: erasing.outlines((shelf.open(file) for file in files if ids), ids)
        )

    async def scores(
        self, *, since_ns: int, until_ns: int, name: str = "", project: str = "", limit: int = 1000
    ) -> list[Score]:
        """Scores with a time in [since, until), newest first; an ``until`` of 0 is no bound."""
        return await self._readers.run(
            reader.scores(since_ns=since_ns, until_ns=until_ns, name=name, project=project, limit=max(0, limit))
        )

    async def score_series(
        self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = ""
    ) -> list[ScoreBucket]:
        """Scores per bucket of time, name and slice, from sums over 10 s that touch [since, until).

        ``bucket_s`` is a multiple of 10. Only buckets with scores are listed, by start, name and slice.
        """
        window = rollup.Window(since_ns=since_ns, until_ns=until_ns, bucket_s=bucket_s, project=project)
        return await self._readers.run(
            lambda shelf, files: rollup.score_series(_open(shelf, files, lambda file: window.meets(file.times)), window)
        )

    async def span_series(self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = "") -> list[SpanBucket]:
        """Root spans per bucket of time, from sums over 10 s that touch [since, until).

        ``bucket_s`` is a multiple of 10. Only buckets with spans are listed, by start.
        """
        window = rollup.Window(since_ns=since_ns, until_ns=until_ns, bucket_s=bucket_s, project=project)
        return await self._readers.run(
            lambda shelf, files: rollup.span_series(_open(shelf, files, lambda file: window.meets(file.starts)), window)
        )

    # -- the bus -----------------------------------------------------------------------------------------------------

    async def tail(self, position: str, limit: int = 1000) -> Batch:
        """What was committed after ``position`` (empty: everything), at most ``limit`` rows, in commit order.

        Reading on from each batch's position gives every row exactly once, across restarts and days.
        """
        mine = own(position, "")
        until, most = self._ledger.last_seq, max(1, limit)
        after = until if mine is None else int(mine or 0)
        kept = self._ledger.recent.after(after, until, most)
        return kept if kept is not None else await self._readers.run(reader.tail(after, until, most))

    async def end(self) -> str:
        """The position after everything that is committed."""
        return str(self._ledger.last_seq)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - running out of time is an answer here, not an error
        """Return when something was committed since this task's last wait, or after ``timeout`` seconds."""
        await self._writer.wait(timeout)


def _open(shelf: Shelf, files: Iterable[DayFile], wanted: Callable[[DayFile], bool]) -> Iterable[Any]:
    return (shelf.open(file) for file in files if wanted(file))
