"""A span store that a database server keeps: the same face for all of them, each with its own questions and ledger."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from trimtab.core import Breakdown, Overloaded, Score, Span, SpanQuery

from .answers import Batch, Erased, Group, Outline, Page, ScoreBucket, SpanBucket, Trace
from .erasing import few
from .intake import Pace
from .rollup import Window
from .writer import Backend, Writer

C = TypeVar("C")
Owner = TypeVar("Owner", covariant=True)
Asked = TypeVar("Asked", contravariant=True)
T = TypeVar("T")
#: The last number of everybody who writes: two of them are equal when nothing was committed in between.
Marks = Mapping[str, int]


class Ledger(Backend, Protocol):
    """What the writer's thread does, rows and errands. All raise Overloaded when the database is away."""

    def expire(self, before_ns: int) -> list[str]: ...
    def erase(self, trace_ids: Sequence[str]) -> Erased: ...
    def strip(self, trace_ids: Sequence[str]) -> int: ...


class Readers(Protocol[Owner]):
    """The threads that read, with connections of type Owner."""

    async def run(self, fn: Callable[[Owner], T]) -> T: ...
    def close(self) -> None: ...


class Questions(Protocol[Asked]):
    """How each question is put to a connection. BadInput is raised at once, before any thread is bothered."""

    def query(self, query: SpanQuery) -> Callable[[Asked], Page]: ...
    def groups(self, breakdown: Breakdown) -> Callable[[Asked], list[Group]]: ...
    def trace(self, trace_id: str) -> Callable[[Asked], Trace | None]: ...
    def outlines(self, trace_ids: Sequence[str]) -> Callable[[Asked], dict[str, Outline]]: ...
    def scores_of(self, trace_ids: Sequence[str]) -> Callable[[Asked], dict[str, tuple[Score, ...]]]: ...
    def scores(
        self, window: tuple[int, int], name: str, project: str, limit: int
    ) -> Callable[[Asked], list[Score]]: ...
    def score_series(self, window: Window) -> Callable[[Asked], list[ScoreBucket]]: ...
    def span_series(self, window: Window) -> Callable[[Asked], list[SpanBucket]]: ...
    def tail(self, position: str, limit: int) -> Callable[[Asked], Batch]: ...
    def end(self) -> Callable[[Asked], str]: ...
    def marks(self) -> Callable[[Asked], Marks]: ...


class ServedSpans(Generic[C]):
    """See the door (``Spans``). One writing thread, a few reading ones.

    While the server is away a write raises Overloaded, and what is offered waits in the bounded queue. ``look_s`` is
    how often it looks for what other processes have committed, while somebody waits.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        readers: Readers[C],
        questions: Questions[C],
        capacity: int,
        look_s: float,
        pace: Pace = Pace(),  # noqa: B008 - never changed
    ) -> None:
        self._ledger = ledger
        self._readers = readers
        self._ask = questions
        self._writer = Writer(ledger, capacity=capacity, pace=pace)
        self._look_s = look_s
        self._looked: tuple[float, Marks] = (0.0, {})
        self._seen: weakref.WeakKeyDictionary[asyncio.Task[Any], Marks] = weakref.WeakKeyDictionary()

    # -- writing -----------------------------------------------------------------------------------------------------

    @property
    def dropped(self) -> int:
        return self._writer.dropped

    @property
    def commits(self) -> int:
        return self._writer.commits

    async def write(self, spans: Sequence[Span] = (), scores: Sequence[Score] = (), *, patient: bool = False) -> None:
        await self._writer.write(spans, scores, patient=patient)

    def offer(self, spans: Sequence[Span], scores: Sequence[Score] = ()) -> bool:
        return self._writer.offer(spans, scores)

    async def flush(self) -> None:
        await self._writer.flush()

    async def expire(self, before_ns: int) -> list[str]:
        days: list[str] = []
        await self._writer.run(lambda: days.extend(self._ledger.expire(before_ns)))
        return days

    async def erase(self, trace_ids: Sequence[str]) -> Erased:
        ids = few(trace_ids)
        done: list[Erased] = []
        await self._writer.run(lambda: done.append(self._ledger.erase(ids)))
        return done[0]

    async def strip(self, trace_ids: Sequence[str]) -> int:
        ids = few(trace_ids)
        done: list[int] = []
        await self._writer.run(lambda: done.append(self._ledger.strip(ids)), patient=True)
        return done[0]

    def close(self) -> None:
        self._writer.close()
        self._readers.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    async def query(self, query: SpanQuery) -> Page:
        return await self._readers.run(self._ask.query(query))

    async def groups(self, breakdown: Breakdown) -> list[Group]:
        return await self._readers.run(self._ask.groups(breakdown))

    async def trace(self, trace_id: str) -> Trace | None:
        return await self._readers.run(self._ask.trace(trace_id))

    async def outlines(self, trace_ids: Sequence[str]) -> dict[str, Outline]:
        ids = few(trace_ids)
        return await self._readers.run(self._ask.outlines(ids)) if ids else {}

    async def scores_of(self, trace_ids: Sequence[str]) -> dict[str, tuple[Score, ...]]:
        ids = few(trace_ids)
        return await self._readers.run(self._ask.scores_of(ids)) if ids else {}

    async def scores(
        self, *, since_ns: int, until_ns: int, name: str = "", project: str = "", limit: int = 1000
    ) -> list[Score]:
        return await self._readers.run(self._ask.scores((since_ns, until_ns), name, project, max(0, limit)))

    async def score_series(
        self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = ""
    ) -> list[ScoreBucket]:
        window = Window(since_ns=since_ns, until_ns=until_ns, bucket_s=bucket_s, project=project)
        return await self._readers.run(self._ask.score_series(window))

    async def span_series(self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = "") -> list[SpanBucket]:
        window = Window(since_ns=since_ns, until_ns=until_ns, bucket_s=bucket_s, project=project)
        return await self._readers.run(self._ask.span_series(window))

    # -- the bus -----------------------------------------------------------------------------------------------------

    async def tail(self, position: str, limit: int = 1000) -> Batch:
        return await self._readers.run(self._ask.tail(position, max(1, limit)))

    async def end(self) -> str:
        return await self._readers.run(self._ask.end())

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - running out of time is an answer here, not an error
        """What this process commits is known at once; for others it looks now and then."""
        task = asyncio.current_task()
        until = time.monotonic() + timeout
        while True:
            left = until - time.monotonic()
            mine = await self._writer.wait(max(0.0, min(left, self._look_s)))
            marks = await self._look(now=mine)
            new = task is None or self._seen.get(task) != marks
            if task is not None:
                self._seen[task] = marks
            if new or left <= self._look_s:
                return

    async def _look(self, *, now: bool) -> Marks:
        """The marks, now or at most as old as the time between two looks."""
        looked, marks = self._looked
        if now or time.monotonic() - looked >= self._look_s:
            with contextlib.suppress(Overloaded):  # Nobody can say: whoever waits learns it when he reads.
                marks = await self._readers.run(self._ask.marks())
            self._looked = (time.monotonic(), marks)
        return marks
