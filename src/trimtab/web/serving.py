"""The server: one ASGI application, models first, and the socket under it."""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.responses import PlainTextResponse

from trimtab import gateway
from trimtab.core import Conflict
from trimtab.wiring import House, WorkerHouse

from .forward import Forward
from .gathering import GatheringProtocol
from .vitals import Vitals

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Seconds that running requests have to finish once the server was asked to stop, unless the command says otherwise.
DRAIN_S = 15
#: Seconds in which those that did not are told so.
FAREWELL_S = 1.0
#: What a request hears that is cut off because somebody cannot wait; the gateway knows it by these words.
_CUT = "Task cancelled, graceful shutdown cut short"


def application(house: House, *, models: bool = True) -> App:
    """The whole surface: the gateway's hot path first, then telemetry, pages and the control API.

    The gateway asks every request for a key, which a page of another site does not have; so it stands before the door.
    Without ``models`` its paths are answered with 404: gateway processes serve them.
    """
    front = Vitals(house, _Front(house), loopback=house.config.loopback, port=house.config.port, role=house.role_of)
    served = house.gateway.app if models else gateway.nothing_here

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and gateway.serves(scope["path"]):
            return served(scope, receive, send)
        return front(scope, receive, send)

    return app


class _Front:
    """Everything but the models, loaded when it is first asked for, in a thread.

    It is a sixth of the program's code. A gateway that nobody looks at starts sooner and is smaller without it.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._app: App | None = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app or await self._load()
        await app(scope, receive, send)

    async def _load(self) -> App:
        async with self._loading:
            if self._app is None:
                loaded = await asyncio.to_thread(importlib.import_module, "trimtab.web.server")
                self._app = loaded.front(self._house)
        return self._app


def worker_application(house: WorkerHouse, pages: Path | None) -> App:
    """What a gateway worker serves: models itself, the rest by asking the control process at the socket ``pages``.

    Without that socket there is only the word that it is alive and ready.
    """
    forward = Forward(pages) if pages is not None else None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if gateway.serves(path):
            await house.gateway.app(scope, receive, send)
        elif forward is not None:
            await forward(scope, receive, send)
        else:
            known = path in ("/healthz", "/readyz")
            said = "ok\n" if known else "This process serves models only; pages and API are at the control process.\n"
            await PlainTextResponse(said, status_code=200 if known else 404)(scope, receive, send)

    return app


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

    def __init__(self, served: House | App, listener: socket.socket | Path, *, drain_s: int = DRAIN_S) -> None:
        """``served`` is a house with everything in it, or any application; ``listener`` a bound socket, or the path of
        a unix socket."""
        self._server = _Quiet(
            uvicorn.Config(
                application(served) if isinstance(served, House) else served,
                interface="asgi3",
                uds=str(listener) if isinstance(listener, Path) else None,
                http=GatheringProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=drain_s,
            )
        )
        self._listener = listener
        self._house = served if isinstance(served, House) else None
        self._task: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        self._cut: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept requests from now on."""
        _spare_generators()
        if self._house is not None:
            self._house.lag.start()
            self._house.breakers.start(self._house.health, self._house.clock)
        sockets = None if isinstance(self._listener, Path) else [self._listener]
        self._task = asyncio.create_task(self._server.serve(sockets=sockets), name="trimtab-http")
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)
        if self._house is not None:
            self._warming = asyncio.create_task(self._house.warm(), name="trimtab-warm")

    async def wait(self) -> None:
        """Until the server ends."""
        if self._task:
            await self._task

    async def stop(self) -> None:
        """Refuse new requests, let the running ones finish in their time, and tell those that do not."""
        if self._warming is not None:
            self._warming.cancel()
        self._server.should_exit = True
        if self._task:
            await self._drained(self._task)
            if late := set(self._server.server_state.tasks):
                await asyncio.wait(late, timeout=FAREWELL_S)
        if isinstance(self._listener, Path):
            with suppress(FileNotFoundError):
                os.unlink(self._listener)
        else:
            self._listener.close()

    def hurry(self) -> None:
        """Somebody cannot wait: running requests are cut off as if their time were up, now or when ``stop`` begins."""
        self._hurried.set()
        if self._server.should_exit:
            self._cut_off()

    async def _drained(self, serving: asyncio.Task[None]) -> None:
        """Until all running requests are done, or were cut off."""
        told = asyncio.ensure_future(self._hurried.wait())
        try:
            await asyncio.wait([serving, told], return_when=asyncio.FIRST_COMPLETED)
            if self._hurried.is_set():
                self._cut_off()
                # A client that does not read keeps its connection open, which nobody waits for any more.
                await asyncio.wait([serving], timeout=FAREWELL_S)
                serving.cancel()
        finally:
            told.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    def _cut_off(self) -> None:
        """Once each: it needs its time to tell its client."""
        self._server.force_exit = True
        for task in self._server.server_state.tasks - self._cut:
            self._cut.add(task)
            task.cancel(msg=_CUT)


def _spare_generators() -> None:
    """Do not keep a list of all running asynchronous generators: it costs two microseconds each, several a request.

    The loop keeps it only to close them when it ends. Those of a request are closed by the request, and one that is
    forgotten is closed when it is collected, as before.
    """
    sys.set_asyncgen_hooks(firstiter=None)


class _Quiet(uvicorn.Server):
    """uvicorn's server without its signal handlers: the command decides what a signal means."""

    def capture_signals(self) -> Any:
        return nullcontext()
