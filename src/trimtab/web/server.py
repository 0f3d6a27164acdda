"""The server: one ASGI application in front of the house, and the socket under it."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext, suppress
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse

from trimtab import gateway, guard, incidents, registry, traces
from trimtab.core import Conflict, Unauthorized
from trimtab.wiring import House

from .app import create_app
from .door import Door
from .problems import problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GATEWAY_PATHS = frozenset({"/v1/chat/completions", "/v1/models"})
DRAIN_S = 5


def application(house: House) -> App:
    """The whole surface: the gateway's hot path first, then telemetry, then pages and the control API.

    The gateway asks every request for a key, which a page of another site does not have; so it stands before the door.
    """
    routes = [
        *registry.routes(house.registry),
        *gateway.routes(house.keys),
        *traces.routes(house.spans),
        *incidents.routes(house.desk),
        *guard.routes(lambda address: house.registry.resolve(address, kind="guards").version.content),
    ]
    config = house.config
    telemetry = traces.otlp_app(house.spans)

    async def behind_the_door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/v1/traces":
            if config.loopback or await _has_key(house, scope, receive, send):
                await telemetry(scope, receive, send)
        else:
            await pages(scope, receive, send)

    pages = create_app(house, routes)
    door = Door(behind_the_door, loopback=config.loopback, port=config.port, admin=house.authenticate_admin)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in GATEWAY_PATHS:
            await house.gateway.app(scope, receive, send)
        else:
            await door(scope, receive, send)

    return app


async def _has_key(house: House, scope: Scope, receive: Receive, send: Send) -> bool:
    """Whether the request brings any live key; if not, it is answered."""
    try:
        house.keys.authenticate(Request(scope).headers.get("authorization", ""))
    except Unauthorized as error:
        refusal = JSONResponse(
            problem(error),
            status_code=error.status,
            headers={"www-authenticate": "Bearer"},
            media_type="application/problem+json",
        )
        await refusal(scope, receive, send)
        return False
    return True


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises Conflict when the port is taken, naming the mend."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} on {host} is in use by another process.",
                field="--port",
                mend=f"Stop that process, or choose another: --port {port + 1}.",
            ) from None
        raise Conflict(f"cannot listen on {host}: {error.strerror}.", field="--host", mend="Try 127.0.0.1.") from None
    return listener


class Server:
    """A running server: ``await start()`` returns when it accepts requests, ``await stop()`` when it has drained."""

    def __init__(self, house: House, listener: socket.socket) -> None:
        self._server = _Quiet(
            uvicorn.Config(
                application(house),
                http="httptools",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept requests from now on."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="trimtab-http")
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)

    async def wait(self) -> None:
        """Until the server ends."""
        if self._task:
            await self._task

    async def stop(self) -> None:
        """Refuse new requests, let the running ones finish within DRAIN_S."""
        self._server.should_exit = True
        if self._task:
            with suppress(asyncio.CancelledError):
                await self._task
        self._listener.close()


class _Quiet(uvicorn.Server):
    """uvicorn's server without its signal handlers: the command decides what a signal means."""

    def capture_signals(self) -> Any:
        return nullcontext()
