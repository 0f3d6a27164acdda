from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Talk = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One connection to the test server, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    heads: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self) -> bytes:
        """The next request's body; its head goes to ``heads``. Ends the talk when the client has gone."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        self.asked.set()
        length = next((int(h[15:]) for h in head.split("\r\n") if h.startswith("content-length:")), 0)
        return await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
        await self.say(f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body)

    async def begin_stream(self, headers: str = "content-type: text/event-stream\r\n") -> None:
        await self.say(f"HTTP/1.1 200 OK\r\n{headers}transfer-encoding: chunked\r\n\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        await self.say(b"%x\r\n%b\r\n" % (len(data), data))

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


class Server:
    """A server on 127.0.0.1 that says, byte for byte, what a test tells it to."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.port = 0
        self._came = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, talk: Talk, tls: ssl.SSLContext | None = None) -> str:
        async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            self.visits.append(one := Visit(reader, writer, len(self.visits)))
            self._came.set()
            # A cancelled visit ends quietly: asyncio's streams report anything else as an error of the loop.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await talk(one)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)

        self._server = await asyncio.start_server(visit, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    async def visit(self, number: int) -> Visit:
        """That connection, once its first request has come."""
        async with asyncio.timeout(5):
            while len(self.visits) <= number:
                self._came.clear()
                await self._came.wait()
            await self.visits[number].asked.wait()
        return self.visits[number]

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    yield made
    await made.stop()


@pytest.fixture
def certificate() -> Path:
    """A self-signed certificate for localhost with its key, of no use anywhere but here."""
    return Path(__file__).parent / "localhost.pem"
