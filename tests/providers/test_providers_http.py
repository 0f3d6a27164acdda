from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from trimtab.core import BadInput, ModelError, ModelTimeout
from trimtab.providers import HttpClient
from trimtab.providers.exchange import HIGH

TIMEOUT = 5.0


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


async def get(client: HttpClient, url: str, **more: Any) -> tuple[int, bytes]:
    response = await client.request("GET", url, {}, **{"timeout": TIMEOUT, **more})
    return response.status, await response.read()


async def echo(visit: Any) -> None:
    while True:
        await visit.answer(await visit.request(), headers="X-Seen: yes\r\nx-seen: twice\r\n")


async def test_a_request_carries_head_and_body_and_the_answer_comes_back(client: HttpClient, server: Any) -> None:
    url = await server.start(echo)
    response = await client.request("POST", f"{url}/v1/a%20b?x=1", {"x-mine": "42"}, b"hello", timeout=TIMEOUT)
    assert (response.status, await response.read()) == (200, b"hello")
    assert response.headers["x-seen"] == "yes, twice"
    head = server.visits[0].heads[0].lower()
    assert head.startswith("post /v1/a%20b?x=1 http/1.1\r\n")
    assert f"\r\nhost: 127.0.0.1:{server.port}\r\n" in head
    assert "\r\nx-mine: 42\r\n" in head


async def test_connections_are_used_again(client: HttpClient, server: Any) -> None:
    url = await server.start(echo)
    for _ in range(5):
        await get(client, url)
    assert len(server.visits) == 1
    await asyncio.gather(*(get(client, url) for _ in range(4)))
    assert len(server.visits) == 4


async def test_a_connection_that_was_idle_for_too_long_is_not_used(server: Any) -> None:
    url = await server.start(echo)
    client = HttpClient(idle=-1.0)  # any time at all is too long
    for _ in range(3):
        assert await get(client, url) == (200, b"")
    await client.close()
    assert len(server.visits) == 3


async def test_no_more_than_the_limit_at_once_and_the_rest_wait_their_turn(server: Any) -> None:
    under_way = most = 0

    async def slow(visit: Any) -> None:
        nonlocal under_way, most
        while True:
            await visit.request()
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.005)
            under_way -= 1
            await visit.answer(b"")

    client = HttpClient(per_host=3)
    url = await server.start(slow)
    answers = await asyncio.gather(*(get(client, url) for _ in range(12)))
    await client.close()
    assert [status for status, _ in answers] == [200] * 12
    assert most <= 3
    assert len(server.visits) <= 3


async def test_waiting_for_a_turn_counts_against_the_timeout(server: Any) -> None:
    async def silent(visit: Any) -> None:
        await visit.request()
        await visit.gone()

    client = HttpClient(per_host=1)
    url = await server.start(silent)
    first = asyncio.create_task(get(client, url))
    await asyncio.sleep(0)
    with pytest.raises(ModelTimeout, match="stayed busy"):
        await get(client, url, timeout=0.05)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await client.close()


async def test_a_cancelled_request_gives_its_turn_back(server: Any) -> None:
    async def first_silent(visit: Any) -> None:
        await visit.request()
        if visit.number:
            await visit.answer(b"ok")
        await visit.gone()

    client = HttpClient(per_host=1)
    url = await server.start(first_silent)
    hung = asyncio.create_task(get(client, url))
    await server.visit(0)
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung
    assert await get(client, url) == (200, b"ok")
    await client.close()


async def test_total_timeout_covers_the_body(client: HttpClient, server: Any) -> None:
    async def stalls(visit: Any) -> None:
        await visit.request()
        await visit.begin_stream()
        await visit.chunk(b"some")
        await visit.gone()

    url = await server.start(stalls)
    response = await client.request("GET", url, {}, timeout=0.1)
    assert await anext(response) == b"some"
    with pytest.raises(ModelTimeout, match=r"did not finish its answer within 0\.1 s"):
        await anext(response)


async def test_first_byte_timeout_ends_with_the_head(client: HttpClient, server: Any) -> None:
    async def late(visit: Any) -> None:
        await visit.request()
        if visit.number == 0:
            await visit.gone()
            return
        await visit.begin_stream()
        await asyncio.sleep(0.15)
        await visit.chunk(b"late body")
        await visit.chunk(b"")

    url = await server.start(late)
    with pytest.raises(ModelTimeout, match="did not begin to answer") as caught:
        await get(client, url, first_byte=0.05)
    assert caught.value.retryable
    assert await get(client, url, first_byte=0.1) == (200, b"late body")


async def test_refused_connections_and_unknown_hosts_are_retryable_errors(client: HttpClient, server: Any) -> None:
    url = await server.start(echo)
    await server.stop()
    for there in (url, "http://no-such-host.invalid/"):
        with pytest.raises(ModelError, match="no connection to") as caught:
            await get(client, there)
        assert caught.value.retryable


async def test_a_stale_connection_is_replaced_once_without_a_word(client: HttpClient, server: Any) -> None:
    async def one_answer_then_close(visit: Any) -> None:
        await visit.answer(await visit.request())
        if visit.number == 0:
            await visit.request()  # reads the second request and closes without a byte of answer

    url = await server.start(one_answer_then_close)
    assert await get(client, url) == (200, b"")
    response = await client.request("POST", url, {}, b"again", timeout=TIMEOUT)
    assert await response.read() == b"again"
    assert len(server.visits) == 2


async def test_a_fresh_connection_that_closes_is_an_error_and_not_tried_again(client: HttpClient, server: Any) -> None:
    async def rude(visit: Any) -> None:
        await visit.request()

    url = await server.start(rude)
    with pytest.raises(ModelError, match="closed the connection") as caught:
        await get(client, url)
    assert caught.value.retryable
    assert len(server.visits) == 1


async def test_a_cut_body_is_an_error_after_what_came(client: HttpClient, server: Any) -> None:
    async def cut(visit: Any) -> None:
        await visit.request()
        await visit.begin_stream()
        await visit.chunk(b"half")

    url = await server.start(cut)
    response = await client.request("GET", url, {}, timeout=TIMEOUT)
    assert await anext(response) == b"half"
    with pytest.raises(ModelError, match="before the end"):
        await anext(response)


async def test_a_cut_body_is_an_error_however_its_chunks_are_announced(client: HttpClient, server: Any) -> None:
    async def cut(visit: Any) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nhalf\r\n")

    url = await server.start(cut)
    with pytest.raises(ModelError, match="before the end"):
        await get(client, url)


async def test_a_body_without_length_ends_with_the_connection(client: HttpClient, server: Any) -> None:
    async def old_style(visit: Any) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

    url = await server.start(old_style)
    assert await get(client, url) == (200, b"until the end")
    assert await get(client, url) == (200, b"until the end")
    assert len(server.visits) == 2


async def test_interim_answers_are_passed_over_and_empty_ones_have_no_body(client: HttpClient, server: Any) -> None:
    async def interim(visit: Any) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        await visit.answer(b"real", headers="x-a: b\r\n")
        await visit.request()
        await visit.say(b"HTTP/1.1 204 No Content\r\n\r\n")
        await visit.gone()

    url = await server.start(interim)
    response = await client.request("GET", url, {}, timeout=TIMEOUT)
    assert (response.status, await response.read()) == (200, b"real")
    assert "link" not in response.headers
    assert await get(client, url) == (204, b"")
    assert len(server.visits) == 1


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"garbage"])
async def test_bytes_that_nobody_asked_for_never_reach_the_next_request(
    client: HttpClient, server: Any, extra: bytes
) -> None:
    async def smuggle(visit: Any) -> None:
        body = await visit.request()
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        await visit.say(head + body + extra)
        await visit.gone()

    url = await server.start(smuggle)
    for body in (b"one", b"two"):
        response = await client.request("POST", url, {}, body, timeout=TIMEOUT)
        assert await response.read() == body
    assert len(server.visits) == 2


@pytest.mark.parametrize(
    "nonsense", [b"SSH-2.0-x\r\n", b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"]
)
async def test_what_is_not_http_is_an_error(client: HttpClient, server: Any, nonsense: bytes) -> None:
    async def odd(visit: Any) -> None:
        await visit.request()
        await visit.say(nonsense)
        await visit.gone()

    url = await server.start(odd)
    with pytest.raises(ModelError):
        await get(client, url)


async def test_endless_heads_and_oversized_bodies_are_refused(client: HttpClient, server: Any) -> None:
    async def endless(visit: Any) -> None:
        await visit.request()
        if visit.number == 0:
            await visit.say(b"HTTP/1.1 200 OK\r\n")
            while True:
                await visit.say(b"x-more: " + b"y" * 4000 + b"\r\n")
        await visit.answer(b"z" * 2000)

    url = await server.start(endless)
    with pytest.raises(ModelError, match="head of more than"):
        await get(client, url)
    response = await client.request("GET", url, {}, timeout=TIMEOUT)
    with pytest.raises(ModelError, match="more than 1000 bytes"):
        await response.read(limit=1000)


async def test_a_slow_reader_stops_the_sender(client: HttpClient, server: Any) -> None:
    size = 24 << 20
    sent = 0

    async def flood(visit: Any) -> None:
        nonlocal sent
        await visit.request()
        await visit.say(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())
        while sent < size:
            await visit.say(bytes(1 << 16))
            sent += 1 << 16
        await echo(visit)

    url = await server.start(flood)
    response = await client.request("GET", url, {}, timeout=TIMEOUT)
    before = -1
    while before != sent:  # until the sender makes no more progress
        before = sent
        await asyncio.sleep(0.05)
    assert sent < size
    assert response._buffered < HIGH + (1 << 20)
    got = 0
    async for piece in response:
        got += len(piece)
    assert got == size
    assert await get(client, url) == (200, b"")
    assert len(server.visits) == 1


async def test_closing_early_drops_the_connection(client: HttpClient, server: Any) -> None:
    ended = asyncio.Event()

    async def stream(visit: Any) -> None:
        await visit.request()
        if visit.number:
            await visit.answer(b"fresh")
            return
        await visit.begin_stream()
        await visit.chunk(b"first")
        await visit.gone()
        ended.set()

    url = await server.start(stream)
    response = await client.request("GET", url, {}, timeout=TIMEOUT)
    assert await anext(response) == b"first"
    await response.close()
    await asyncio.wait_for(ended.wait(), TIMEOUT)
    assert [piece async for piece in response] == []
    assert await get(client, url) == (200, b"fresh")


async def test_closing_after_the_end_keeps_the_connection(client: HttpClient, server: Any) -> None:
    url = await server.start(echo)
    response = await client.request("POST", url, {}, b"x", timeout=TIMEOUT)
    await response.read()
    await response.close()
    await get(client, url)
    assert len(server.visits) == 1


async def test_closing_the_client_ends_what_is_under_way(client: HttpClient, server: Any) -> None:
    async def silent(visit: Any) -> None:
        await visit.request()
        await visit.gone()

    url = await server.start(silent)
    waiting = asyncio.create_task(get(client, url))
    await server.visit(0)
    await client.close()
    with pytest.raises(ModelError, match="client was closed"):
        await waiting
    with pytest.raises(ModelError, match="client is closed"):
        await get(client, url)


@pytest.mark.parametrize(
    ("url", "headers", "said"),
    [
        ("ftp://host/", {}, "http or https"),
        ("http://", {}, "http or https"),
        ("http://u:p@host/", {}, "user or password"),
        ("http://host:x/", {}, "not a URL"),
        ("http://host/?a b", {}, "percent-encoded"),
        ("http://host/", {"a": "b\r\nc: d"}, "line break"),
        ("http://host/", {"a": "\u20ac"}, "Latin-1"),
    ],
)
async def test_bad_requests_are_named(client: HttpClient, url: str, headers: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        await client.request("GET", url, headers, timeout=1)
