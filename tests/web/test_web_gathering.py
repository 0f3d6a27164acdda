"""Gathered writes: the same bytes in the same order, in fewer writes."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from trimtab.web import gathering
from trimtab.web.gathering import ENOUGH, REMEMBERED, Gathered, GatheringProtocol


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


# The protocol: what our own server tells the gateway beside ASGI's messages.

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n"
LATER = b"POST /v1/chat/completions?x=%31 HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"


class Talk:
    """A connection to an application that keeps what it saw."""

    def __init__(self, answer: bytes = b"ok", keep_alive: float = 75.0) -> None:
        config = uvicorn.Config(
            self.app, interface="asgi3", lifespan="off", log_config=None, timeout_keep_alive=keep_alive,  # type: ignore[arg-type]
        )  # fmt: skip
        config.load()
        loop = asyncio.get_running_loop()
        self.protocol = GatheringProtocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self.socket: Any = Socket()
        self.protocol.connection_made(self.socket)
        self.answer = answer
        self.bodies: list[bytes | None] = []
        self.gone = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()
        self.rest = asyncio.Event()  # what is left to do after an answer
        self.rest.set()
        self.tasks: list[asyncio.Task[None] | None] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        wire = scope["trimtab.wire"]
        self.tasks.append(asyncio.current_task())
        body = wire.body()
        if body is None:
            received = b""
            while True:
                message = await receive()
                received += message["body"]
                if not message["more_body"]:
                    break
            self.bodies += [None, received]
        else:
            self.bodies.append(body)
        wire.gone = self.gone.set
        await self.hold.wait()
        wire.gone = None
        assert wire.reply(200, [(b"x-a", b"b")], self.answer)
        await self.rest.wait()

    async def turns(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


async def test_a_request_that_came_whole_is_served_without_messages() -> None:
    talk = Talk()
    for body in (b"hello", b""):
        talk.protocol.data_received(HEAD % len(body) + body)
        await talk.turns()
    assert talk.bodies == [b"hello", b""]
    first, second = talk.socket.writes
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert first.endswith(b"x-a: b\r\ncontent-length: 2\r\n\r\nok")
    assert second.endswith(b"\r\n\r\nok")


async def test_a_body_that_comes_in_pieces_is_received() -> None:
    talk = Talk()
    talk.protocol.data_received(HEAD % 6 + b"he")
    await talk.turns()
    talk.protocol.data_received(b"llo")
    await talk.turns()
    assert talk.socket.writes == []
    talk.protocol.data_received(b"!")
    await talk.turns()
    assert talk.bodies == [None, b"hello!"]
    assert len(talk.socket.writes) == 1


async def test_pieces_that_come_together_are_put_into_one_buffer() -> None:
    talk = Talk()
    talk.protocol.data_received(HEAD % 4 + b"a")
    talk.protocol.data_received(b"b")
    held = talk.protocol.cycle.body
    talk.protocol.data_received(b"c")
    assert talk.protocol.cycle.body is held  # what is there already is not copied for each piece
    talk.protocol.data_received(b"d")
    await talk.turns()
    assert talk.bodies == [b"abcd"]


async def test_a_head_that_needs_a_closer_look_goes_the_servers_own_way() -> None:
    talk = Talk()
    talk.protocol.data_received(LATER)
    await talk.turns()
    assert talk.socket.writes[0].startswith(b"HTTP/1.1 100 Continue")
    talk.protocol.data_received(b"ab")
    await talk.turns()
    assert talk.bodies == [None, b"ab"]
    assert talk.socket.writes[-1].endswith(b"ok")


async def test_requests_that_come_together_are_answered_in_order() -> None:
    talk = Talk()
    talk.protocol.data_received((HEAD % 1 + b"a") + (HEAD % 1 + b"b"))
    for _ in range(5):
        await talk.turns()
    assert talk.bodies == [b"a", b"b"]
    assert b"".join(talk.socket.writes).count(b"HTTP/1.1 200 OK") == 2


async def test_a_client_that_hangs_up_is_told_of_while_it_waits_and_not_after() -> None:
    talk = Talk()
    talk.hold.clear()
    talk.protocol.data_received(HEAD % 1 + b"a")
    await talk.turns()
    talk.protocol.connection_lost(None)
    assert talk.gone.is_set()
    talk.hold.set()
    await talk.turns()
    done = Talk()
    done.protocol.data_received(HEAD % 1 + b"a")
    await done.turns()
    done.protocol.connection_lost(None)
    assert not done.gone.is_set()


async def test_a_connection_that_rests_is_closed_and_one_that_does_not_is_kept() -> None:
    talk = Talk(keep_alive=75.0)
    talk.protocol.data_received(HEAD % 1 + b"a")
    await talk.turns()
    assert talk.protocol.timeout_keep_alive_task is not None
    talk.protocol.data_received((HEAD % 1)[:20])  # the next request has begun
    talk.protocol._look()
    assert not talk.socket.closed
    talk.protocol.data_received((HEAD % 1)[20:] + b"b")
    await talk.turns()
    assert talk.bodies == [b"a", b"b"]
    assert not talk.socket.closed
    talk.protocol._rests_since -= 80.0
    talk.protocol._look()
    assert talk.socket.closed


async def test_a_request_that_was_answered_before_it_was_whole_rests_once_it_is() -> None:
    talk = Talk(keep_alive=75.0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["trimtab.wire"].reply(401, [], b"no")

    talk.protocol.app = app
    talk.protocol.data_received(HEAD % 1)
    await talk.turns()
    talk.protocol.data_received(b"a")
    assert talk.protocol._rests_since
    talk.protocol._rests_since -= 80.0
    talk.protocol._look()
    assert talk.socket.closed


# One task a connection, and nothing left of a request when it has ended.


async def test_one_task_serves_the_requests_of_a_connection() -> None:
    talk = Talk()
    for body in (b"a", b"b", b"c"):
        talk.protocol.data_received(HEAD % 1 + body)
        await talk.turns()
        assert not talk.protocol.tasks  # a server that stops does not wait for a connection that rests
    first, *others = talk.tasks
    assert first is not None
    assert all(task is first for task in others)
    assert not first.done()
    talk.protocol.connection_lost(None)
    await talk.turns()
    assert first.done()
    assert not first.cancelled()


async def test_what_an_earlier_request_left_to_do_keeps_no_later_one_waiting() -> None:
    talk = Talk()
    talk.rest.clear()
    talk.protocol.data_received(HEAD % 1 + b"a")
    await talk.turns()
    talk.protocol.data_received(HEAD % 1 + b"b")
    await talk.turns()
    assert talk.bodies == [b"a", b"b"]
    assert len(talk.socket.writes) == 2
    assert talk.tasks[0] is not talk.tasks[1]
    assert len(talk.protocol.tasks) == 2
    talk.rest.set()
    await talk.turns()
    assert not talk.protocol.tasks
    talk.protocol.data_received(HEAD % 1 + b"c")
    await talk.turns()
    assert talk.tasks[2] is talk.tasks[0]


async def test_a_cancelled_request_takes_its_task_with_it_and_the_next_one_gets_another() -> None:
    talk = Talk()
    talk.hold.clear()
    talk.protocol.data_received(HEAD % 1 + b"a")
    await talk.turns()
    (task,) = talk.protocol.tasks
    task.cancel()
    await talk.turns()
    assert task.done()
    assert not talk.protocol.tasks
    assert talk.socket.writes[0].startswith(b"HTTP/1.1 500")
    talk.hold.set()
    talk.socket.closed = False
    talk.protocol.data_received(HEAD % 1 + b"b")
    await talk.turns()
    assert talk.bodies == [b"a", b"b"]
    assert talk.tasks[1] is not task


async def test_nothing_is_left_of_a_request_for_the_collector_to_find() -> None:
    talk = Talk()
    talk.protocol.data_received(HEAD % 1 + b"a")
    await talk.turns()
    gc.disable()
    try:
        ended = weakref.ref(talk.protocol.cycle)
        talk.protocol.data_received(HEAD % 1 + b"b")
        await talk.turns()
        assert talk.bodies == [b"a", b"b"]
        assert ended() is None
    finally:
        gc.enable()


# What one request does, and what the others of its connection notice of it.

SEEN: contextvars.ContextVar[str] = contextvars.ContextVar("test_seen", default="nothing")


async def test_no_request_sees_the_context_variables_of_another() -> None:
    talk = Talk()
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(SEEN.get())
        SEEN.set("an earlier request")
        await talk.app(scope, receive, send)

    talk.protocol.app = app
    for _ in range(2):
        talk.protocol.data_received(HEAD % 1 + b"a")
        await talk.turns()
    talk.protocol.data_received((HEAD % 1 + b"b") * 3)  # these are begun by the answer before them
    for _ in range(5):
        await talk.turns()
    talk.protocol.data_received(HEAD % 1 + b"c")
    await talk.turns()
    assert talk.bodies == [b"a", b"a", b"b", b"b", b"b", b"c"]
    assert seen == ["nothing"] * 6
    assert SEEN.get() == "nothing"
    assert not talk.protocol.tasks


@pytest.mark.parametrize(
    "head", [HEAD, HEAD.replace(b"completions", b"completions?beta=true")], ids=["ours", "its own"]
)
@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_client_whose_large_body_is_whole_is_still_listened_to(head: bytes, pieces: int) -> None:
    talk = Talk()
    talk.hold.clear()
    body = b"a" * 90_000
    talk.protocol.data_received(head % (pieces * len(body)))
    for piece in range(pieces):
        talk.protocol.data_received(body)
        assert talk.socket.reading is (piece == pieces - 1)  # a socket that is not read tells of no hanging up
        if piece < pieces - 1:
            await talk.turns()
    await talk.turns()
    assert b"".join(part for part in talk.bodies if part) == body * pieces
    assert talk.socket.reading


async def test_a_request_with_others_behind_it_hears_that_the_client_is_gone() -> None:
    talk = Talk()
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        heard.append((await receive())["type"])

    talk.protocol.app = app
    talk.protocol.data_received((HEAD % 1 + b"a") + (HEAD % 1 + b"b"))
    await talk.turns()
    talk.protocol.connection_lost(None)
    await talk.turns()
    assert heard == ["http.request", "http.disconnect"]
    assert not talk.protocol.tasks


async def test_a_target_of_any_length_is_served_and_only_short_ones_are_remembered() -> None:
    talk = Talk()
    gathering._plain_path.cache_clear()
    for length in (REMEMBERED, REMEMBERED + 1, 50_000):
        talk.protocol.data_received(b"GET /%b HTTP/1.1\r\nhost: here\r\n\r\n" % (b"a" * (length - 1)))
        await talk.turns()
        assert talk.protocol.scope["path"] == "/" + "a" * (length - 1)
    assert len(talk.socket.writes) == 3
    assert gathering._plain_path.cache_info().currsize == 1
