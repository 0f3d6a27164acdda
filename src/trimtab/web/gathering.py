"""Fewer writes and fewer tasks: what makes our own server cheaper than the one that it is made of.

A response is written as head and body, and a stream as many small pieces of which several often arrive together. Each
write is a system call that costs as much as a good part of the work on the request, so they are gathered until the
turn is over. A whole answer of the gateway is written at once, without the detour over ASGI's messages. One task serves
the requests of a connection one after another, and what belongs to a request is let go of when it ends: nothing is left
in circles for the garbage collector to find.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from trimtab.providers import outbox

#: Bytes that are not held back any longer.
ENOUGH = 64 * 1024
#: Targets longer than this many bytes are not remembered: anybody may send them, and as long as they like.
REMEMBERED = 256


class Gathered(asyncio.Transport):
    """A transport that writes to another one, at the latest when the event loop's turn is over."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._post = outbox(loop).post
        self._held: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write soon, in order."""
        if not self._held:
            self._post(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size >= ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def close(self) -> None:
        """Close once everything is written."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._held = []
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()


class Wire:
    """One request as this server has it, for who need not go by way of ASGI's messages (``trimtab.wire``)."""

    __slots__ = ("_cycle", "gone", "task")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        #: Called when the client hangs up before its answer is whole.
        self.gone: Callable[[], object] | None = None
        #: The task that serves it.
        self.task: asyncio.Task[None] | None = None

    def hang_up(self) -> None:
        """The client is gone: whoever still works for it, or waits for it, hears of it."""
        cycle = self._cycle
        if not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        if self.gone is not None:
            self.gone()

    def body(self) -> bytes | None:
        """The whole body, if it has arrived; it is given once."""
        cycle = self._cycle
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        if not isinstance(cycle, Cycle) or cycle.event is not None:
            cycle.message_event.clear()
        return body

    def reply(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer, whose headers are right. False where the usual way must be gone: to a client that reads
        too slowly, or asked for the head only."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.response_started or cycle.scope["method"] == "HEAD":
            return False
        if cycle.disconnected:
            return True  # nobody is left to answer
        lines = [b"%b: %b\r\n" % pair for pair in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        cycle.waiting_for_100_continue = False
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(
            b"%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[status], b"".join(lines), len(body), body)
        )
        if not isinstance(cycle, Cycle) or cycle.event is not None:
            cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True


class Cycle(RequestResponseCycle):
    """One request and its answer, begun with what differs from the next one; the rest stands in the class."""

    access_log = disconnected = response_started = response_complete = False
    more_body = True
    chunked_encoding: bool | None = None
    expected_content_length = 0
    #: What ``message_event`` is once somebody may wait for it.
    event: asyncio.Event | None = None

    def __init__(self, protocol: GatheringProtocol, scope: Any) -> None:
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.default_headers = protocol.server_state.default_headers
        self.on_response = protocol.on_response_complete
        self.keep_alive = protocol.parser.should_keep_alive()
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body: Any = b""

    @property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]
        """Set when there is something to receive. A request that has arrived whole mostly needs none."""
        if self.event is None:
            self.event = asyncio.Event()
            if self.body or not self.more_body or self.disconnected:
                self.event.set()
        return self.event


class GatheringProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 over gathered writes, with a Wire in the scope of each request.

    What each request of a connection has in common is made once, and one timer closes a connection that rests, looked
    at when it runs out: uvicorn's own starts and stops one for each request. No request sees the context variables that
    another one has set.
    """

    _serving: Wire | None = None
    _task: asyncio.Task[None] | None = None
    _due: asyncio.Future[None] | None = None
    _next: tuple[RequestResponseCycle, Any] | None = None
    _rests_since = 0.0
    _common: Mapping[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(Gathered(transport, self.loop))
        super().on_message_begin()
        self._common = self.scope
        self._context = contextvars.copy_context()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {**self._common, "headers": self.headers, "state": {}}  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        """A head is whole. One that needs a closer look goes uvicorn's way."""
        url, before, scope = self.url, self.cycle, self.scope
        path, parser = _plain_path(url) if len(url) <= REMEMBERED else "", self.parser
        if not path or self.root_path or self.limit_concurrency is not None or parser.should_upgrade():
            super().on_headers_complete()
            return
        if parser.get_http_version() != "1.1":
            super().on_headers_complete()
            return
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"] = path
        scope["raw_path"] = url
        scope["query_string"] = b""
        self.cycle = Cycle(self, scope)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        cycle = self.cycle
        if not isinstance(cycle, Cycle):
            super().on_body(body)
        elif not cycle.response_complete:
            if not cycle.body:
                cycle.body = body
            else:
                if isinstance(cycle.body, bytes):  # most bodies come as one piece and are not copied
                    cycle.body = bytearray(cycle.body)
                cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            if cycle.event is not None:
                cycle.event.set()

    def on_message_complete(self) -> None:
        """A request is whole."""
        cycle = self.cycle
        if not isinstance(cycle, Cycle):
            super().on_message_complete()
        elif not cycle.response_complete:
            cycle.more_body = False
            if cycle.event is not None:
                cycle.event.set()
        if cycle.response_complete:
            self._rest()  # it was answered before it was whole, and what came since ended the rest
        if self.flow.read_paused and not self.pipeline:
            # It was paused for the size of a body that is whole now. Who does not read does not see a client hang up.
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: whoever still works for it hears of it."""
        super().connection_lost(exc)
        self._stop_resting()
        due, self._due = self._due, None
        if due is not None and not due.done():
            due.set_result(None)
        wire, self._serving = self._serving, None
        if wire is not None:
            wire.hang_up()  # uvicorn has told only the request that came last

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Serve a request: in the connection's own task, or in another where that is still busy with what an earlier
        request left to do after its answer."""
        wire = self._serving = Wire(cycle)
        cycle.scope["trimtab.wire"] = wire  # type: ignore[typeddict-unknown-key]
        task, due = self._task, self._due
        if due is not None and not due.done():
            self._due, self._next = None, (cycle, app)
            due.set_result(None)
        elif task is None:
            self._next = (cycle, app)
            task = self._task = self.loop.create_task(self._serve(), context=self._context.copy())
        else:
            task = self.loop.create_task(_served(cycle, app), context=self._context.copy())
            task.add_done_callback(self.tasks.discard)
        wire.task = task
        self.tasks.add(task)  # type: ignore[arg-type]

    async def _serve(self) -> None:
        """The requests of this connection, as they come, until it is closed, somebody cancels, or one of them leaves a
        context variable set."""
        task: Any = self._task
        tasks = self.tasks
        try:
            while self._next is not None:
                cycle, app = self._next
                self._next = None
                await _served(cycle, app)
                tasks.discard(task)
                if task.cancelling() or self.transport.is_closing() or _differs(self._context):
                    return
                due = self._due = self.loop.create_future()
                await due
        finally:
            tasks.discard(task)
            self._task = self._due = None

    def on_response_complete(self) -> None:
        """An answer is out: the next request that has arrived already, or rest."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._rest()

    def _rest(self) -> None:
        self._rests_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _unset_keepalive_if_required(self) -> None:
        self._rests_since = 0.0

    def _look(self) -> None:
        """Close a connection that has rested for as long as it may."""
        self.timeout_keep_alive_task = None
        if not self._rests_since or self.transport.is_closing():
            return
        left = self._rests_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self._look)
        else:
            self.transport.close()

    def _stop_resting(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None


@lru_cache(maxsize=256)
def _plain_path(url: bytes) -> str:
    """The path of a target that is nothing but a path; empty for what needs a closer look. Most requests ask the same
    few."""
    plain = url.startswith(b"/") and b"?" not in url and b"%" not in url and b"#" not in url
    return url.decode("ascii") if plain and url.isascii() else ""


def _differs(before: contextvars.Context) -> bool:
    """Whether the running task has set context variables since this copy."""
    now = contextvars.copy_context()
    return len(now) != len(before) or any(now.get(name, now) is not value for name, value in before.items())


async def _served(cycle: RequestResponseCycle, app: Any) -> None:
    try:
        await cycle.run_asgi(app)
    finally:
        # The wire knows the request, and the request the wire.
        wire: Wire | None = cycle.scope.pop("trimtab.wire", None)  # type: ignore[typeddict-item]
        if wire is not None:
            wire.task = None
