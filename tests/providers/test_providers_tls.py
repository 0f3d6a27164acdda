from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvloop

from trimtab.core import ModelError
from trimtab.providers import HttpClient


async def get(client: HttpClient, url: str) -> tuple[int, bytes]:
    response = await client.request("GET", url, {}, timeout=5)
    return response.status, await response.read()


async def echo(visit: Any) -> None:
    while True:
        await visit.answer(await visit.request())


async def test_tls_checks_the_certificate(server: Any, certificate: Path) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)
    url = await server.start(echo, serving)
    trusting = HttpClient(tls=ssl.create_default_context(cafile=str(certificate)))
    assert await get(trusting, url) == (200, b"")
    await trusting.close()
    client = HttpClient()
    with pytest.raises(ModelError, match="no connection to"):
        await get(client, url)
    await client.close()


def test_it_works_on_uvloop_too(certificate: Path) -> None:
    """The server runs on uvloop, whose transports differ from asyncio's."""

    async def run() -> None:
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving.load_cert_chain(certificate)

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + bytes(3_000_000))
                    await writer.drain()
            writer.close()

        for tls, scheme in ((None, "http"), (serving, "https")):
            listening = await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls)
            url = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            client = HttpClient(tls=ssl.create_default_context(cafile=str(certificate)))
            for _ in range(2):
                assert await get(client, url) == (200, bytes(3_000_000))
            await client.close()
            listening.close()
            await listening.wait_closed()
            with pytest.raises(ModelError, match="no connection to"):
                await get(HttpClient(), url)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
