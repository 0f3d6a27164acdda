"""Gathered writes: the same bytes in the same order, in fewer writes."""

from __future__ import annotations

import asyncio
from typing import Any

from trimtab.web.gathering import ENOUGH, Gathered


class Socket(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.writes: list[bytes] = []
        self.closed = self.aborted = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def gathered() -> tuple[Any, Gathered]:
    socket = Socket()
    return socket, Gathered(socket, asyncio.get_running_loop())


async def turn() -> None:
    await asyncio.sleep(0)


async def test_one_turn_is_one_write() -> None:
    socket, transport = gathered()
    transport.write(b"head")
    transport.write(b"body")
    assert socket.writes == []
    await turn()
    transport.write(b"next")
    await turn()
    assert socket.writes == [b"headbody", b"next"]


async def test_much_is_written_at_once() -> None:
    socket, transport = gathered()
    transport.write(b"a")
    transport.write(b"b" * ENOUGH)
    assert [len(data) for data in socket.writes] == [ENOUGH + 1]
    transport.write(b"c")
    await turn()
    assert socket.writes[1:] == [b"c"]


async def test_closing_writes_what_is_held_first() -> None:
    socket, transport = gathered()
    transport.write(b"last")
    transport.close()
    assert (socket.writes, socket.closed) == ([b"last"], True)
    await turn()
    assert socket.writes == [b"last"]


async def test_aborting_does_not() -> None:
    socket, transport = gathered()
    transport.write(b"last")
    transport.abort()
    await turn()
    assert (socket.writes, socket.aborted) == ([], True)


async def test_nothing_is_written_to_a_connection_that_was_lost_meanwhile() -> None:
    socket, transport = gathered()
    transport.write(b"late")
    socket.closed = True
    await turn()
    assert socket.writes == []
    assert transport.is_closing()


async def test_the_rest_is_passed_through() -> None:
    socket, transport = gathered()
    assert transport.get_extra_info("peername") == ("127.0.0.1", 1)
    transport.pause_reading()
    assert not socket.reading
    transport.resume_reading()
    assert socket.reading
