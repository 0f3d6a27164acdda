"""Fewer writes: what is said in one turn of the event loop goes to the socket at once.

A response is written as head and body, and a stream as many small pieces of which several often arrive together. Each
write is a system call that costs as much as a good part of the work on the request, so they are gathered until the
turn is over. A whole answer of the gateway is written at once, without the detour over ASGI's messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

#: Bytes that are not held back any longer.
ENOUGH = 64 * 1024


class Gathered(asyncio.Transport):
    """A transport that writes to another one, at the latest when the event loop's turn is over."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._call_soon = loop.call_soon
        self._held: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write soon, in order."""
        if not self._held:
            self._call_soon(self.flush)
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

    def body(self) -> bytes | None:
        """The whole body, if it has arrived; it is given once."""
        cycle = self._cycle
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        if not isinstance(cycle, Cycle) or cycle.waited_for is not None:
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
        if not isinstance(cycle, Cycle) or cycle.waited_for is not None:
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
    _event: asyncio.Event | None = None

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
        if self._event is None:
            self._event = asyncio.Event()
            if self.body or not self.more_body or self.disconnected:
                self._event.set()
        return self._event

    @property
    def waited_for(self) -> asyncio.Event | None:
        """The event, where somebody may wait for it."""
        return self._event


class GatheringProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 over gathered writes, with a Wire in the scope of each request.

    What each request of a connection has in common is made once, and one timer closes a connection that rests, looked
    at when it runs out: uvicorn's own starts and stops one for each request.
    """

    _serving: Wire | None = None
    _rests_since = 0.0
    _common: Mapping[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(Gathered(transport, self.loop))
        super().on_message_begin()
        self._common = self.scope

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {**self._common, "headers": self.headers, "state": {}}  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        """A head is whole. One that needs a closer look goes uvicorn's way."""
        url, before, scope = self.url, self.cycle, self.scope
        plain = url.startswith(b"/") and b"?" not in url and b"%" not in url and b"#" not in url
        if not plain or self.root_path or self.limit_concurrency is not None or self.parser.should_upgrade():
            super().on_headers_complete()
            return
        if self.parser.get_http_version() != "1.1":
            super().on_headers_complete()
            return
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = url.decode("ascii")
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
            if cycle.waited_for is not None:
                cycle.waited_for.set()

    def on_message_complete(self) -> None:
        """A request is whole."""
        cycle = self.cycle
        if not isinstance(cycle, Cycle):
            super().on_message_complete()
        elif not cycle.response_complete:
            cycle.more_body = False
            if cycle.waited_for is not None:
                cycle.waited_for.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: whoever still works for it hears of it."""
        super().connection_lost(exc)
        self._stop_resting()
        wire, self._serving = self._serving, None
        if wire is not None and wire.gone is not None:
            wire.gone()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        wire = self._serving = Wire(cycle)
        cycle.scope["trimtab.wire"] = wire  # type: ignore[typeddict-unknown-key]
        task = wire.task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """An answer is out: the next request that has arrived already, or rest."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
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
