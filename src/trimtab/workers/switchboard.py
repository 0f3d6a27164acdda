"""The control process's end: answers the workers, and tells them what has changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from trimtab.core import Overloaded, TrimtabError, now_ns
from trimtab.gateway import Ledger, Limits
from trimtab.gateway.together import left_behind
from trimtab.store import Demand, SharedState, Spans

from . import frames
from .frames import Answered, Changed, Counted, Done, Failed, Found, Hello

log = logging.getLogger("trimtab.workers")

#: Seconds within which the workers have read a change, before it is answered for without them.
HEARD_S = 1.0
#: Figures that are no counts.
_OF_NOW = frozenset({"queue_waiting", "event_loop_lag_seconds"})
#: Questions of one worker that may be under way.
AT_ONCE = 1024


class _Line:
    """One worker on the line."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.report = frames.Report(pid=0, ready=False)
        self.open: set[str] = set()  # reservations that this worker has made and not settled
        self.holds: dict[str, tuple[Demand, ...]] = {}  # what its requests hold of the counters that are kept here
        self.seen = 0
        self.asked: set[asyncio.Task[None]] = set()
        self.room = asyncio.Semaphore(AT_ONCE)

    def say(self, number: int, message: frames.Reply) -> None:
        if not self.writer.is_closing():
            self.writer.write(frames.frame(number, message))


class Switchboard:
    """Listens on a unix socket. What a worker that is gone had reserved is charged as it was reserved."""

    def __init__(self, *, shared: SharedState, ledger: Ledger, limits: Limits, spans: Spans, boot: str = "") -> None:
        self._boot = boot
        self._shared = shared
        self._ledger = ledger
        self._limits = limits
        self._spans = spans
        self._lines: set[_Line] = set()
        self.past = frames.Report(pid=0, ready=False)  # counted by workers that are gone: no count goes down
        self._server: asyncio.Server | None = None
        self._told = 0
        self._moved = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()
        self._path: Path | None = None

    async def start(self, path: Path) -> None:
        """Answer calls at this path from now on; what an earlier process left there is removed."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path)
        finally:
            os.umask(before)
        self._path = path

    async def ready(self, workers: int) -> None:
        """Until so many workers accept requests."""
        async with self._moved:
            await self._moved.wait_for(lambda: sum(line.report.ready for line in self._lines) >= workers)

    async def tell(self) -> None:
        """Have every worker read keys, teams and registry again; returns when they have, or after HEARD_S."""
        self._told += 1
        told = self._told
        for line in self._lines:
            line.say(0, Changed(told))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARD_S), self._moved:
                await self._moved.wait_for(lambda: all(line.seen >= told for line in self._lines if line.report.ready))

    def tell_soon(self, _: object = None) -> None:
        """The same, for who cannot wait."""
        task = asyncio.get_running_loop().create_task(self.tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def reports(self) -> list[frames.Report]:
        """What the workers last said of themselves."""
        return sorted((line.report for line in self._lines), key=lambda report: report.pid)

    async def close(self) -> None:
        """Hang up."""
        for task in self._telling:
            task.cancel()
        if self._server is not None:
            self._server.close()
            for line in list(self._lines):
                line.writer.close()
            await self._server.wait_closed()
            async with self._moved:
                await self._moved.wait_for(lambda: not self._lines)
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(writer)
        line.say(0, Hello(self._boot))
        self._lines.add(line)
        try:
            while True:
                number, question = frames.questions.decode(await frames.read_body(reader))
                if isinstance(question, frames.Report | frames.Seen):
                    await self._hear(line, question)
                    continue
                await line.room.acquire()
                task = asyncio.create_task(self._answer(line, number, question))
                line.asked.add(task)
                task.add_done_callback(line.asked.discard)
        except (ConnectionError, msgspec.DecodeError) as error:
            if not isinstance(error, ConnectionError):
                log.error("a worker said something that nobody understands: %s", error)
        finally:
            await self._hung_up(line)

    async def _hear(self, line: _Line, said: frames.Report | frames.Seen) -> None:
        async with self._moved:
            if isinstance(said, frames.Report):
                line.report = said
            else:
                line.seen = max(line.seen, said.number)
            self._moved.notify_all()

    async def _answer(self, line: _Line, number: int, question: frames.Question) -> None:
        try:
            line.say(number, await self._do(line, question))
            await line.writer.drain()
        except ConnectionError:
            return
        except TrimtabError as error:
            line.say(number, Failed(str(error)))
        except Exception as error:  # house: except because a worker that gets no answer would wait for ever
            log.exception("a worker's question failed")
            line.say(number, Failed(type(error).__name__))
        finally:
            line.room.release()

    async def _do(self, line: _Line, asked: frames.Question) -> frames.Reply:
        if isinstance(asked, frames.Record):
            await self._spans.write(asked.spans, asked.scores)
        elif isinstance(asked, frames.Acquire):
            answer = await self._shared.acquire(asked.hold, asked.demands, now_ns=asked.now_ns, ttl_s=asked.ttl_s)
            if answer.denied < 0:
                line.holds[asked.hold] = tuple(demand for demand in asked.demands if demand.kind != "rate")
            return Answered(answer)
        elif isinstance(asked, frames.Settle):
            await self._shared.settle(asked.hold, asked.demands, asked.amounts, now_ns=asked.now_ns)
            given = {demand.name for demand in asked.demands}
            left = tuple([each for each in line.holds.pop(asked.hold, ()) if each.name not in given])
            if left:  # money stays reserved for a response that is made in the background
                line.holds[asked.hold] = left
            if any(demand.kind == "money" for demand in asked.demands):
                line.open.discard(asked.hold)
        elif isinstance(asked, frames.Reserve):
            line.open.add(asked.row.id)
            await self._ledger.reserve(asked.row)
        elif isinstance(asked, frames.Rows):
            await self._ledger.settle(asked.rows)
            line.open.difference_update(row.id for row in asked.rows)
        elif isinstance(asked, frames.End):
            ended = await self._ledger.end(asked.row)
            for each in self._lines:  # another worker may have made the reservation
                each.open.discard(asked.row.id)
                each.holds.pop(asked.row.id, None)
            return frames.Ended(ended)
        elif isinstance(asked, frames.Refused):
            for refusal in asked.refusals:
                self._ledger.refuse(refusal)
        elif isinstance(asked, frames.Spent):
            return Counted(await self._ledger.spent(asked.scope, asked.who, asked.first_day, asked.last_day))
        else:
            return await self._count(asked)
        return Done()

    async def _count(self, asked: frames.Question) -> frames.Reply:
        if isinstance(asked, frames.Look):
            return Found(await self._shared.look(asked.name, now_ns=asked.now_ns))
        if isinstance(asked, frames.Seed):
            await self._shared.seed(asked.name, asked.spent, asked.ends_ns)
            return Done()
        if isinstance(asked, frames.Recount):
            return Counted(int(await self._shared.recount(asked.name, asked.spent, version=asked.version)))
        raise Overloaded(f"There is no answer to {type(asked).__name__}.")

    async def _hung_up(self, line: _Line) -> None:
        """A worker is gone: charge what it had reserved, in the ledger and then in the counters."""
        await asyncio.gather(*line.asked, return_exceptions=True)
        line.writer.close()
        with contextlib.suppress(ConnectionError):
            await line.writer.wait_closed()
        try:
            for row in await self._ledger.interrupt(sorted(line.open)) if line.open else ():
                await self._limits.charge(row)
            for hold, demands in line.holds.items():  # places, and money whose row never came to be
                await self._shared.settle(hold, demands, [0] * len(demands), now_ns=now_ns())
        except Exception:  # house: except because the next start finds and charges them, whatever went wrong here
            log.exception("what the worker %d had reserved is not charged yet", line.report.pid)
        async with self._moved:
            self._lines.discard(line)
            gone, past = line.report, self.past
            figures = {name: value for name, value in figures_of([past, gone]).items() if name not in _OF_NOW}
            self.past = msgspec.structs.replace(
                past, figures=figures, routes=tuple(left_behind(past.routes, gone.routes))
            )
            self._moved.notify_all()


def figures_of(reports: Iterable[frames.Report]) -> Mapping[str, float]:
    """The figures of all workers, added up."""
    total: dict[str, float] = {}
    for report in reports:
        for name, value in report.figures.items():
            total[name] = total.get(name, 0.0) + value
    return total
