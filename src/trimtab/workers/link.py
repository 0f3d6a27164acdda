"""The worker's end of the line, and what a gateway finds there: counters, the ledger, a place for its spans."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from trimtab.core import Conflict, Overloaded, Score, Span
from trimtab.gateway import Refusal, UsageRow
from trimtab.store import Answer, Demand, Purse

from . import frames

log = logging.getLogger("trimtab.workers")

R = TypeVar("R")

#: Seconds within which the control process answers, or is taken for gone.
PATIENCE_S = 30.0
#: Spans and scores that may wait; most in one message; seconds that a message waits for company, and for another try.
WAITING, BATCH, LINGER_S, AGAIN_S = 50_000, 1000, 0.02, 0.2
#: Seconds between two tries for a place that another worker may have given back.
POLL_S = 0.02


class Link:
    """A line to the control process. When it is cut, this process has no purpose any more: ``lost`` is set."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, boot: str) -> None:
        self.boot = boot
        self.lost = asyncio.Event()
        self.on_change: list[Callable[[], Awaitable[object]]] = []
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._asked: dict[int, asyncio.Future[frames.Reply]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading = asyncio.create_task(self._read(), name="trimtab-link")

    @classmethod
    async def connect(cls, path: Path) -> Link:
        """Call the control process. Raises Conflict where none answers."""
        try:
            reader, writer = await asyncio.open_unix_connection(path)
            _, hello = frames.replies.decode(await frames.read_body(reader))
        except OSError as error:
            raise Conflict(
                f"no control process answers at {path}: {error.strerror or error}.",
                field="--role",
                mend="Start one on the same data folder first: trimtab up --role control.",
            ) from error
        return cls(reader, writer, hello.boot if isinstance(hello, frames.Hello) else "")

    async def ask(self, question: frames.Question, kind: type[R]) -> R:
        """The answer. Raises Overloaded where it could not be done, or nobody answers."""
        self._number += 1
        number = self._number
        waiter = asyncio.get_running_loop().create_future()
        if self.lost.is_set():
            raise _gone()
        self._asked[number] = waiter
        try:
            self._writer.write(frames.frame(number, question))
            async with asyncio.timeout(PATIENCE_S):
                reply = await waiter
        except (ConnectionError, TimeoutError) as error:
            raise _gone() from error
        finally:
            self._asked.pop(number, None)
        if not isinstance(reply, kind):
            why = reply.message if isinstance(reply, frames.Failed) else f"It answered {type(reply).__name__}."
            raise Overloaded(f"The control process could not do it: {why}", retry_after=1.0)
        return reply

    def say(self, said: frames.Report | frames.Seen) -> None:
        """Say something that has no answer."""
        if not self.lost.is_set():
            self._writer.write(frames.frame(0, said))

    async def close(self) -> None:
        """Hang up."""
        self._reading.cancel()
        await asyncio.gather(self._reading, *self._tasks, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while True:
                number, reply = frames.replies.decode(await frames.read_body(self._reader))
                if isinstance(reply, frames.Changed):
                    task = asyncio.create_task(self._catch_up(reply.number))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif (waiter := self._asked.get(number)) is not None and not waiter.done():
                    waiter.set_result(reply)
        except ConnectionError:
            log.warning("the control process is gone")
        except msgspec.DecodeError as error:
            log.error("the control process said something that this one does not understand: %s", error)
        finally:
            self.lost.set()
            for waiter in self._asked.values():
                if not waiter.done():
                    waiter.set_exception(ConnectionError("the control process is gone"))

    async def _catch_up(self, number: int) -> None:
        for hear in self.on_change:
            try:
                await hear()
            except Exception:  # house: except because what is in memory serves on, whatever the database says
                log.exception("what has changed could not be read; the last state goes on")
        self.say(frames.Seen(number))


class LinkShared:
    """Counters that the control process keeps for all its workers."""

    poll_s = POLL_S

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def degraded(self) -> str:
        """Empty: where the control process is gone, so will be this one."""
        return ""

    async def acquire(self, hold: str, demands: Sequence[Demand], *, now_ns: int, ttl_s: float) -> Answer:
        asked = frames.Acquire(hold, tuple(demands), now_ns, ttl_s)
        return (await self._link.ask(asked, frames.Answered)).answer

    async def settle(self, hold: str, demands: Sequence[Demand], amounts: Sequence[int], *, now_ns: int) -> None:
        await self._link.ask(frames.Settle(hold, tuple(demands), tuple(amounts), now_ns), frames.Done)

    async def seed(self, name: str, spent: int, ends_ns: int) -> None:
        await self._link.ask(frames.Seed(name, spent, ends_ns), frames.Done)

    async def look(self, name: str, *, now_ns: int) -> Purse:
        return (await self._link.ask(frames.Look(name, now_ns), frames.Found)).purse

    async def recount(self, name: str, spent: int, *, version: int) -> bool:
        return bool((await self._link.ask(frames.Recount(name, spent, version), frames.Counted)).value)

    async def close(self) -> None:
        return


class Sender:
    """Sends what may wait a moment, in batches, and keeps each until it is acknowledged: spans, scores, usage rows,
    refusals. What does not fit any more is counted in ``dropped``."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._spans: deque[tuple[Sequence[Span], Sequence[Score]]] = deque()
        self._rows: list[UsageRow] = []
        self._refusals: list[Refusal] = []
        self._waiting = 0
        self._stirred = asyncio.Event()
        self._closing = False
        self.dropped = 0
        self._task = asyncio.create_task(self._send(), name="trimtab-link-sender")

    def offer(self, spans: Sequence[Span], scores: Sequence[Score] = ()) -> bool:
        """Take spans and scores, all or none. Never blocks; False when there is no room."""
        size = len(spans) + len(scores)
        if self._waiting + size > WAITING:
            self.dropped += size
            return False
        self._spans.append((spans, scores))
        self._waiting += size
        self._stirred.set()
        return True

    async def reserve(self, row: UsageRow) -> None:
        await self._link.ask(frames.Reserve(row), frames.Done)

    def note(self, rows: Sequence[UsageRow]) -> None:
        if len(self._rows) + len(rows) > WAITING:
            self.dropped += len(rows)
            return
        self._rows.extend(rows)
        self._stirred.set()

    async def settle(self, rows: Sequence[UsageRow]) -> None:
        await self._link.ask(frames.Rows(tuple(rows)), frames.Done)

    async def end(self, row: UsageRow) -> UsageRow | None:
        return (await self._link.ask(frames.End(row), frames.Ended)).row

    def refuse(self, refusal: Refusal) -> None:
        if len(self._refusals) >= WAITING:
            self.dropped += 1
            return
        self._refusals.append(refusal)
        self._stirred.set()

    async def spent(self, scope: str, who: str, first_day: int, last_day: int) -> int:
        if self._rows:  # what this worker has not sent yet counts as well
            await self._send_rows()
        return (await self._link.ask(frames.Spent(scope, who, first_day, last_day), frames.Counted)).value

    async def close(self) -> None:
        """Send what waits, then stop; what the control process does not take by then is lost."""
        self._closing = True
        self._stirred.set()
        await self._task

    async def _send(self) -> None:
        while True:
            if not (self._spans or self._rows or self._refusals):
                if self._closing:
                    return
                self._stirred.clear()
                await self._stirred.wait()
            if not self._closing:
                await asyncio.sleep(LINGER_S)
            try:
                await self._send_rows()
                await self._send_refusals()
                await self._send_spans()
            except Overloaded as error:
                if self._link.lost.is_set() or self._closing:
                    left = self._waiting + len(self._rows) + len(self._refusals)
                    log.error("%d spans, scores and usage rows could not be handed over: %s", left, error)
                    return
                await asyncio.sleep(AGAIN_S)

    async def _send_rows(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            try:
                await self.settle(rows)
            except BaseException:  # house: except because what was not acknowledged is kept whatever stopped it
                self._rows[:0] = rows
                raise

    async def _send_refusals(self) -> None:
        refusals, self._refusals = self._refusals, []
        if refusals:
            await self._link.ask(frames.Refused(tuple(refusals)), frames.Done)

    async def _send_spans(self) -> None:
        while self._spans:
            batch: list[tuple[Sequence[Span], Sequence[Score]]] = []
            size = 0
            while self._spans and size < BATCH:
                batch.append(self._spans.popleft())
                size += len(batch[-1][0]) + len(batch[-1][1])
            spans = tuple(span for its, _ in batch for span in its)
            scores = tuple(score for _, its in batch for score in its)
            try:
                await self._link.ask(frames.Record(spans, scores), frames.Done)
            except BaseException:  # house: except because what was not acknowledged is kept whatever stopped it
                self._spans.extendleft(reversed(batch))
                raise
            self._waiting -= size


def _gone() -> Overloaded:
    return Overloaded("The control process does not answer.", mend="Try again.", retry_after=1.0)
