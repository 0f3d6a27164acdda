"""One HTTP/1.1 connection and the one exchange that is on it: bytes in, a Response out."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import httptools

from trimtab.core import ModelError, ModelTimeout

from .deadlines import Deadline, Deadlines
from .outbox import Outbox

#: Reading stops while more than HIGH bytes of a body wait to be read.
HIGH = 1 << 20
#: A response head may not be larger than this many bytes.
HEAD_LIMIT = 1 << 18
#: ``Response.read`` refuses a body larger than this many bytes.
BODY_LIMIT = 16 << 20


class StaleConnection(Exception):
    """A kept connection was closed by the other side before it answered a byte: the request was not served."""


class Response:
    """An answer under way: ``status``, ``headers`` (lower-case names), and the body as an async iteration over bytes.

    Iterating raises ModelTimeout when the request's time is up and ModelError when the connection breaks. A body
    that is not read to its end must be closed; closing early drops the connection.
    """

    status = 0
    _raw: Sequence[tuple[bytes, bytes]] = ()
    _headers: Mapping[str, str] | None = None
    _buffered = 0
    _complete = _closed = _settled = False
    _error: Exception | None = None
    _more: asyncio.Future[None] | None = None
    _first_byte: Deadline | None = None
    _total: Deadline | None = None

    def __init__(
        self,
        connection: Connection,
        host: str,
        release: Callable[[Connection], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._connection = connection
        self._host = host
        self._release = release
        self._pieces: list[bytes] = []
        self._loop = loop or asyncio.get_running_loop()
        #: Done when status and headers are there. Fails with StaleConnection, ModelTimeout or ModelError.
        self.head: asyncio.Future[None] = self._loop.create_future()

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer; repeated ones are joined, as RFC 9110 allows. Few answers are asked for them."""
        if self._headers is None:
            self._headers = _read_headers(self._raw)
        return self._headers

    # What the client tells it.

    def expire(self, deadlines: Deadlines, start: float, total: float, first_byte: float | None) -> None:
        """Fail with ModelTimeout when it is not whole ``total`` seconds, or not begun ``first_byte`` seconds, after
        loop time ``start``."""
        self._total = deadlines.at(start + total, functools.partial(self._expired, "finish its", total))
        if first_byte is not None and first_byte < total:
            self._first_byte = deadlines.at(
                start + first_byte, functools.partial(self._expired, "begin to", first_byte)
            )

    def _expired(self, what: str, seconds: float) -> None:
        self.fail(ModelTimeout(f"{self._host} did not {what} answer within {seconds:g} s."))

    # What the connection tells it.

    def begun(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Status and headers are complete."""
        self.status, self._raw = status, headers
        if self._first_byte is not None:
            self._first_byte.cancel()
            self._first_byte = None
        if not self.head.done():
            self.head.set_result(None)

    def piece(self, data: bytes) -> None:
        """A piece of the body arrived."""
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered > HIGH:
            self._connection.pause()
        if self._more is not None:
            self._wake()

    def complete(self) -> None:
        """The body is whole; the connection is free for the next exchange."""
        self._complete = True
        self._settle()
        if self._more is not None:
            self._wake()

    def fail(self, error: Exception) -> None:
        """The exchange broke; what arrived before stays readable."""
        if self._settled:
            return
        self._error = error
        self._connection.drop()
        self._settle()
        if not self.head.done():
            self.head.set_exception(error)
            self.head.exception()  # the waiter may be gone: an unread error must not be reported by the loop
        self._wake()

    def _settle(self) -> None:
        if self._settled:
            return
        self._settled = True
        if self._total is not None:
            self._total.cancel()
        if self._first_byte is not None:
            self._first_byte.cancel()
        self._total = self._first_byte = None
        self._connection.response = None
        self._release(self._connection)

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    # What the reader asks.

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._closed or self._complete:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._more = self._loop.create_future()
            await self._more
        # What has arrived together is read together: each step of a stream costs its reader more than the bytes do.
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        if not self._settled:
            self._connection.resume()
        return piece

    async def read(self, limit: int = BODY_LIMIT) -> bytes:
        """The rest of the body. Raises ModelError when it is larger than ``limit`` bytes."""
        if self._complete and self._buffered <= limit:  # a plain reply has mostly come whole
            body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self._buffered = 0
            return body
        parts: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                await self.close()
                raise ModelError(f"{self._host} sent a body of more than {limit} bytes.", retryable=False)
            parts.append(piece)
        return b"".join(parts)

    async def close(self) -> None:
        """Stop reading. An unfinished body drops the connection, because the rest of it would still arrive there."""
        self._closed = True
        self._pieces.clear()
        if not self._settled:
            self.fail(ModelError("the answer was closed before its end."))


@functools.lru_cache(maxsize=1024)
def _named(name: bytes) -> str:
    """A header's name. A vendor sends the same few with every answer."""
    return name.decode("latin-1").lower()


def _read_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = _named(name), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _ends_with_the_connection(status: int, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether nothing in a head says where the body ends."""
    if status in (204, 304):
        return False
    for name, value in headers:
        lower = name.lower()
        if lower == b"content-length" or (lower == b"transfer-encoding" and b"chunked" in value.lower()):
            return False
    return True


class Connection(asyncio.Protocol):
    """A TCP or TLS connection that carries one exchange at a time."""

    def __init__(self, host: str, on_lost: Callable[[Connection], None]) -> None:
        self.response: Response | None = None
        self.used = False
        self.idle_since = 0.0
        self._host = host
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reusable = True
        self._parser: httptools.HttpResponseParser | None = None
        self._paused = False
        self._lost = False
        self._received = 0
        self._in_body = False
        self._whole = False
        self._keep = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._request = b""

    @property
    def reusable(self) -> bool:
        """Whether another exchange may begin here."""
        transport = self._transport
        return (
            self._reusable
            and transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    def start(self, response: Response, request: bytes, outbox: Outbox) -> None:
        """Send a request whose answer goes to ``response``, at the end of this turn of the loop."""
        self.response = response
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._in_body = self._whole = False
        self._headers = []
        if self._lost or self._transport is None:
            self._broken(None)
        else:
            self._request = request
            outbox.post(self._send)

    def _send(self) -> None:
        request, self._request = self._request, b""
        if request and self._transport is not None and not self._transport.is_closing():
            self._transport.write(request)

    def drop(self) -> None:
        """Close at once; nothing more is sent or read."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Stop reading from the socket."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read from the socket again."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses of it

    def data_received(self, data: bytes) -> None:
        response, parser = self.response, self._parser
        if response is None or parser is None or self._request:
            self.drop()  # nobody has asked yet: what it says cannot belong to a later request
            return
        self._received += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            if not self._whole:
                response.fail(ModelError(f"{self._host} does not speak HTTP/1.1: {error or type(error).__name__}."))
                return
        if self._whole:
            self._reusable = self._reusable and self._keep
            self.resume()
            response.complete()
        elif not self._in_body and self._received > HEAD_LIMIT:
            response.fail(ModelError(f"{self._host} sent a head of more than {HEAD_LIMIT} bytes.", retryable=False))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._reusable = False
        self._broken(exc)
        self._on_lost(self)

    def _broken(self, exc: Exception | None) -> None:
        response = self.response
        if response is None:
            return
        if self.used and not self._received:
            response.fail(StaleConnection())
        elif self._in_body and exc is None and _ends_with_the_connection(response.status, self._headers):
            response.complete()
        else:
            response.fail(ModelError(f"{self._host} closed the connection before the end of its answer."))

    # httptools

    def on_message_begin(self) -> None:
        """A second message after a whole one means that the two sides disagree on where answers end."""
        if self._whole:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. Trailers are left out."""
        if not (self._in_body or self._whole):
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; an interim (1xx) head is forgotten."""
        if self._whole or self._parser is None or self.response is None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        self._in_body = True
        # Is no longer known once the message is complete, and is no for a body that ends with the connection.
        self._keep = self._parser.should_keep_alive()
        self.response.begun(status, self._headers)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self._whole and self.response is not None:
            self.response.piece(data)

    def on_message_complete(self) -> None:
        """The body is whole (for an interim head: nothing is)."""
        if self._in_body:
            self._whole = True
