"""A worker's way to the pages: what the control process answers arrives as it was sent, however it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from trimtab.web.forward import Forward

HEADERS = [(b"host", b"127.0.0.1:4100"), (b"connection", b"keep-alive"), (b"x-mine", b"1")]


class Pages:
    """A server on a unix socket that keeps what it was asked and answers with given bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer = [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]
        self.asked = b""
        self.hold = asyncio.Event()
        self.gone = asyncio.Event()
        self.hold.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked = await reader.readuntil(b"\r\n\r\n")
            if b"chunked" in self.asked:
                self.asked += await reader.readuntil(b"0\r\n\r\n")
            elif b"content-length" in self.asked:
                self.asked += await reader.readexactly(int(self.asked.split(b"content-length: ")[1].split(b"\r\n")[0]))
            for piece in self.answer:
                writer.write(piece)
                await writer.drain()
            await self.hold.wait()
            if not self.answer:
                await reader.read()
        except ConnectionError:
            pass
        finally:
            self.gone.set()
            writer.close()


@pytest.fixture
async def pages(short_folder: Path) -> AsyncIterator[Pages]:
    made = Pages(short_folder / "pages.sock")
    server = await asyncio.start_unix_server(made.serve, made.path)
    yield made
    made.hold.set()
    server.close()
    await server.wait_closed()


async def ask(
    path: Path, method: str = "GET", body: list[bytes] | None = None, leave: asyncio.Event | None = None, **more: Any
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request through the forwarder."""
    scope = {"type": "http", "method": method, "path": "/api/keys", "raw_path": b"/api/keys", "query_string": b"a=%20",
             "headers": [*HEADERS, *more.get("headers", [])]}  # fmt: skip
    parts = list(body or [b""])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if parts:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
        await (leave or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await Forward(path)(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    pieces = [message["body"] for message in sent if message["type"] == "http.response.body"]
    return start["status"], dict(start["headers"]), b"".join(pieces)


async def test_a_request_goes_on_as_it_came(pages: Pages) -> None:
    status, headers, body = await ask(pages.path, "POST", [b"{}"], headers=[(b"content-length", b"2")])
    assert (status, headers, body) == (200, {b"content-length": b"2"}, b"ok")
    head, _, sent = pages.asked.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/keys?a=%20 HTTP/1.1\r\n")
    assert sent == b"{}"
    assert b"host: 127.0.0.1:4100" in head
    assert b"keep-alive" not in head


async def test_a_body_of_unknown_length_goes_in_chunks(pages: Pages) -> None:
    await ask(pages.path, "POST", [b"abc", b"", b"defg"])
    assert pages.asked.partition(b"\r\n\r\n")[2] == b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        (
            "GET",
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", b"lo\r\n1;x=y\r\n!\r\n0\r\n\r\n"],
            b"hello!",
        ),
        ("GET", [b"HTTP/1.1 200 OK\r\n\r\n", b"until ", b"the end"], b"until the end"),
        ("HEAD", [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"], b""),
        ("GET", [b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n"], b""),
    ],
)  # fmt: skip
async def test_every_way_to_send_an_answer(pages: Pages, method: str, answer: list[bytes], body: bytes) -> None:
    pages.answer = answer
    assert (await ask(pages.path, method))[2] == body


async def test_half_an_answer_is_not_taken_for_the_whole(pages: Pages) -> None:
    pages.answer = [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]
    with pytest.raises(ConnectionError):
        await ask(pages.path)


@pytest.mark.parametrize("answer", [[b""], [b"nonsense\r\n\r\n"], [b"x" * 100_000]])
async def test_what_is_no_answer_is_a_503(pages: Pages, answer: list[bytes]) -> None:
    pages.answer = answer
    status, headers, body = await ask(pages.path)
    assert (status, headers[b"content-type"]) == (503, b"application/problem+json")
    assert b"does not answer" in body


async def test_nobody_there_is_a_503(tmp_path: Path) -> None:
    assert (await ask(tmp_path / "none.sock"))[0] == 503


async def test_a_client_that_leaves_ends_the_request_behind(pages: Pages) -> None:
    pages.answer = [b"HTTP/1.1 200 OK\r\n\r\nfirst"]
    pages.hold.clear()
    leave = asyncio.Event()
    asking = asyncio.create_task(ask(pages.path, leave=leave))
    await asyncio.sleep(0.02)
    assert not asking.done()
    leave.set()
    async with asyncio.timeout(5):
        _, _, body = await asking
    assert body == b"first"
