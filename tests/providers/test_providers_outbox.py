"""Writes that wait for the end of the turn: in order, together, and none twice."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from trimtab.providers import outbox
from trimtab.providers.exchange import Connection, Response, StaleConnection


async def test_what_is_posted_in_one_turn_is_written_after_it_and_in_order() -> None:
    box, written = outbox(asyncio.get_running_loop()), list[str]()
    box.post(lambda: written.append("a"))
    asyncio.get_running_loop().call_soon(lambda: box.post(lambda: written.append("b")))
    assert written == []
    await asyncio.sleep(0)
    assert written == ["a"]
    await asyncio.sleep(0)
    assert written == ["a", "b"]


async def test_what_a_write_posts_is_written_in_the_next_turn() -> None:
    box, written = outbox(asyncio.get_running_loop()), list[str]()

    def first() -> None:
        written.append("first")
        box.post(lambda: written.append("later"))

    box.post(first)
    box.post(lambda: written.append("second"))
    await asyncio.sleep(0)
    assert written == ["first", "second"]
    await asyncio.sleep(0)
    assert written == ["first", "second", "later"]


async def test_a_loop_has_one_outbox() -> None:
    loop = asyncio.get_running_loop()
    assert outbox(loop) is outbox(loop)


def test_an_outbox_goes_with_its_loop() -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        gone = weakref.ref(outbox(first))
        first.close()
        kept = outbox(second)  # whoever comes next clears away
        assert gone() is None
        assert outbox(second) is kept
    finally:
        second.close()


async def test_a_write_that_raises_keeps_no_other_from_being_written() -> None:
    loop = asyncio.get_running_loop()
    box, written, told = outbox(loop), list[str](), list[object]()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    error = RuntimeError("no")

    def broken() -> None:
        raise error

    try:
        box.post(broken)
        box.post(lambda: written.append("second"))
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert (written, told) == (["second"], [error])


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


async def test_what_arrives_before_the_request_is_sent_is_not_its_answer() -> None:
    loop, wire, released = asyncio.get_running_loop(), Wire(), list[Connection]()
    connection = Connection("model", lambda _: None)
    connection.connection_made(wire)
    connection.used = True
    response = Response(connection, "model", released.append, loop)
    connection.start(response, b"GET / HTTP/1.1\r\n\r\n", outbox(loop))
    connection.data_received(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")  # a vendor tires of waiting
    await asyncio.sleep(0)
    assert (wire.written, wire.closed) == (b"", True)
    connection.connection_lost(None)
    with pytest.raises(StaleConnection):  # the client sends it on another connection
        await response.head
    assert released == [connection]
