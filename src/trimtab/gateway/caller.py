"""The client at the other end of an ASGI connection: its headers and body, and whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol

from trimtab.core import TrimtabError

from .ask import MAX_BODY, too_large
from .live import LiveTrace

#: How much of a body that is too large is still read, and for how many seconds, so that its sender hears of it.
SWALLOWED = 64 * 1024 * 1024
SWALLOW_S = 10.0
#: Seconds after which a client is watched for hanging up: most answers are there by then, and need no watch.
WATCH_AFTER_S = 0.02
#: Names of headers longer than this are not remembered: anybody may send them, and as long as they like.
REMEMBERED = 64

Headers = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Wire(Protocol):
    """A request as our own server has it (``trimtab.wire`` in the scope), beside the messages of ASGI."""

    #: Called when the client hangs up before its answer is whole.
    gone: Callable[[], object] | None
    #: The task that serves it.
    task: asyncio.Task[None] | None

    def body(self) -> bytes | None:
        """The whole body, if it has arrived; it is given once."""
        ...

    def reply(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole answer at once. False where it must go the usual way."""
        ...


class Gone(Exception):
    """The client hung up before its request was whole."""


class Caller:
    """One HTTP request. After its body is read, a client that hangs up cancels the task that serves it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, live: LiveTrace) -> None:
        self.headers = read_headers(scope)
        self.started = False  # whether the status has been sent
        self.broke: Callable[[TrimtabError], bytes] | None = None  # what ends a stream that breaks
        self._live = live
        self._receive = receive
        self._send = send
        self._wire: Wire | None = scope.get("trimtab.wire")
        self._watch: asyncio.Task[None] | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._serving: asyncio.Task[None] | None = None

    def arrived(self) -> bytes | None:
        """The whole body, where the server can tell that it is there; None where it must be waited for."""
        body = self._wire.body() if self._wire is not None else None
        if body is None or self._wire is None:
            return None
        if len(body) > MAX_BODY:
            raise too_large()
        self._wire.gone = self._hung_up
        return body

    async def body(self) -> bytes:
        """The whole body. Raises TooLarge as soon as it is known to be, Gone when the client hangs up."""
        length = self.headers.get("content-length", "")
        if len(length) > 7 and length.isdigit() and int(length) > MAX_BODY:
            await self._swallow()
            raise too_large()
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece = message.get("body", b"")
            size += len(piece)
            if size > MAX_BODY:
                await self._swallow()
                raise too_large()
            pieces.append(piece)
            if not message.get("more_body", False):
                break
        if self._wire is not None:
            self._wire.gone = self._hung_up
        else:
            loop = asyncio.get_running_loop()
            self._serving = asyncio.current_task(loop)
            self._soon = loop.call_later(WATCH_AFTER_S, self._begin_watch)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> None:
        """The answer is sent: hanging up is now the client's good right."""
        if self._wire is not None:
            self._wire.gone = None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer, at once where the server can."""
        self.release()
        self.started = True
        if self._wire is None or not self._wire.reply(status, headers, body):
            await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
            await self.end(body)

    async def piece(self, body: bytes) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Send the last piece of the body."""
        self.release()
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _swallow(self) -> None:
        """Read on without keeping, within bounds: a client that is cut off while it sends never sees the answer."""
        left = SWALLOWED
        with suppress(TimeoutError):
            async with asyncio.timeout(SWALLOW_S):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        break

    def _begin_watch(self) -> None:
        def hung_up(_: asyncio.Task[None]) -> None:
            if self._watch is not None:
                self._hung_up()

        self._watch = asyncio.create_task(self._until_gone())
        self._watch.add_done_callback(hung_up)

    def _hung_up(self) -> None:
        serving = self._wire.task if self._wire is not None else self._serving
        if serving is not None:
            self._live.gone = True
            serving.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def read_headers(scope: Scope) -> dict[str, str]:
    """Headers by name (lower-case, as ASGI has it), the last of each; bytes that are not UTF-8 are replaced."""
    return {
        _read(name) if len(name) <= REMEMBERED else name.decode("latin-1"): value.decode("utf-8", "replace")
        for name, value in scope["headers"]
    }


def encoded(headers: Mapping[str, str]) -> Headers:
    """Headers of our own making, as they are sent."""
    return [(_written(name), value.encode()) for name, value in headers.items()]


@lru_cache(maxsize=1024)
def _read(name: bytes) -> str:
    """A header's name: clients send the same few with every request."""
    return name.decode("latin-1")


@lru_cache(maxsize=256)
def _written(name: str) -> bytes:
    return name.encode()


def plain(value: str) -> str:
    """Printable ASCII, as a header must be."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in value)
