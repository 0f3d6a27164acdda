"""What a gateway worker does not serve itself goes on to the control process, over a unix socket, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Bytes of the longest head of an answer, and of a piece of its body; seconds until the head must be there.
HEAD, PIECE, PATIENCE_S = 64 * 1024, 64 * 1024, 60.0
#: Headers that belong to one connection and not to the message.
_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"transfer-encoding"}
)


class Head(NamedTuple):
    """The beginning of an answer; ``length`` is None where its body is sent in chunks or until the end."""

    status: int
    headers: list[tuple[bytes, bytes]]
    length: int | None
    chunked: bool


class Forward:
    """An ASGI application that asks the server behind a unix socket, one connection a request."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=HEAD)
        except OSError:
            await _unavailable(send)
            return
        started = False
        try:
            await _send_request(scope, receive, writer)
            async with asyncio.timeout(PATIENCE_S):
                head = await _read_head(reader)
            started = True
            await send({"type": "http.response.start", "status": head.status, "headers": head.headers})
            await _relay(scope["method"], head, reader, receive, send)
        except (ConnectionError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if started:
                raise  # the client must not take half of an answer for the whole
            await _unavailable(send)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _send_request(scope: Scope, receive: Receive, writer: asyncio.StreamWriter) -> None:
    target = scope.get("raw_path") or scope["path"].encode()
    if query := scope.get("query_string"):
        target += b"?" + query
    headers = [(name, value) for name, value in scope["headers"] if name not in _HOP]
    chunked = not any(name == b"content-length" for name, _ in headers)
    message = await receive()
    body, more = message.get("body", b""), message.get("more_body", False)
    chunked = chunked and bool(body or more)
    headers.append((b"connection", b"close"))
    if chunked:
        headers.append((b"transfer-encoding", b"chunked"))
    lines = [
        scope["method"].encode() + b" " + target + b" HTTP/1.1",
        *(name + b": " + value for name, value in headers),
    ]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
    while True:
        if body:
            writer.write(b"%x\r\n%b\r\n" % (len(body), body) if chunked else body)
            await writer.drain()
        if not more:
            break
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client hung up")
        body, more = message.get("body", b""), message.get("more_body", False)
    if chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _read_head(reader: asyncio.StreamReader) -> Head:
    lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    status = int(lines[0].partition(b" ")[2][:3])
    headers: list[tuple[bytes, bytes]] = []
    length: int | None = None
    chunked = False
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if name == b"transfer-encoding":
            chunked = value.lower() == b"chunked"
        elif name == b"content-length":
            length = int(value)
        if name not in _HOP:
            headers.append((name, value))
    return Head(status, headers, length, chunked)


async def _relay(method: str, head: Head, reader: asyncio.StreamReader, receive: Receive, send: Send) -> None:
    """The body, until it or the client is gone."""
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        if method != "HEAD" and head.status not in (204, 304):
            pieces = _body(head, reader)
            while True:
                coming = asyncio.ensure_future(anext(pieces, b""))
                await asyncio.wait([coming, gone], return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    with suppress(asyncio.CancelledError):
                        await coming
                    return
                if not (piece := coming.result()):
                    break
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(head: Head, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    if head.chunked:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        return
    left = head.length
    while left is None or left > 0:
        piece = await reader.read(PIECE if left is None else min(left, PIECE))
        if not piece:
            if left is not None:
                raise ConnectionError("the answer ended early")
            return
        left = None if left is None else left - len(piece)
        yield piece


async def _unavailable(send: Send) -> None:
    body = b'{"type":"urn:trimtab:error:overloaded","title":"Overloaded","status":503,' + (
        b'"detail":"The control process does not answer.","field":"","mend":"Try again in a moment.","layer":5}'
    )
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body)),
               (b"retry-after", b"1")]  # fmt: skip
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
