"""The only speaker of HTTP to models: a pooled HTTP/1.1 client on asyncio and httptools.

A general client costs several times the CPU of the gateway's whole remaining work per request, so this one does just
what calls to models need: no redirects (a vendor that redirects a POST is misconfigured), no cookies, no compression,
no proxies.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from trimtab.core import BadInput, ModelError, ModelTimeout

from .deadlines import Deadlines, deadlines
from .exchange import Connection, Response, StaleConnection
from .outbox import Outbox, outbox


class Target(NamedTuple):
    """Where a URL points."""

    secure: bool
    host: str
    port: int
    authority: str
    path: str


@functools.lru_cache(maxsize=256)
def target_of(url: str) -> Target:
    """Take a URL apart. Raises BadInput when it is not an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("ascii" if ":" in (parts.hostname or "") else "idna").decode("ascii")
    except (ValueError, UnicodeError) as error:
        raise BadInput(f"{url!r} is not a URL ({error}).", field="url") from error
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput(f"{url!r} is not an http or https URL.", field="url", mend="Write https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise BadInput("a URL may not carry a user or password.", field="url", mend="Give the key as api_key.")
    secure = parts.scheme == "https"
    named = f"[{host}]" if ":" in host else host
    authority = named if port is None else f"{named}:{port}"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(c.isspace() or ord(c) < 32 for c in path):
        raise BadInput(f"{url!r} has a query that is not percent-encoded.", field="url")
    return Target(secure, host, port or (443 if secure else 80), authority, path)


class _Pool:
    """The connections to one host: at most ``limit`` exchanges at once, the rest wait their turn in order."""

    def __init__(self, limit: int) -> None:
        self.free = limit
        self.idle: deque[Connection] = deque()
        self.open: set[Connection] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait for a turn. Where ``free`` is above 0 nobody waits, and counting it down is enough."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()  # it was given to somebody who does not want it any more
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def release(self) -> None:
        """Give a turn back: to whoever waits longest."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.free += 1

    def take(self, older_than: float) -> Connection | None:
        """The connection used last, which is the least likely to be stale; those idle for too long are closed."""
        while self.idle:
            connection = self.idle.pop()
            if connection.idle_since >= older_than and connection.reusable:
                return connection
            connection.drop()
        return None

    def put(self, connection: Connection) -> None:
        """An exchange is over: keep the connection if it may be used again, and let the next one in."""
        if connection.reusable:
            connection.used = True
            connection.idle_since = asyncio.get_running_loop().time()
            self.idle.append(connection)
        else:
            connection.drop()
        self.release()

    def lost(self, connection: Connection) -> None:
        """The connection is gone."""
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)


class Way(NamedTuple):
    """Where requests of one kind go, and what each of them begins with: made once, used for all of them."""

    target: Target
    head: bytes
    pool: _Pool


class HttpClient:
    """HTTP/1.1 with kept connections, per host at most ``per_host`` exchanges at once.

    ``connect`` is seconds for a new connection including TLS, ``idle`` seconds after which a kept one is not used any
    more. ``tls`` replaces the default context (the system's certificates, host names checked). An instance belongs to
    one event loop.
    """

    def __init__(
        self, *, per_host: int = 256, connect: float = 10.0, idle: float = 55.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._per_host = per_host
        self._connect = connect
        self._idle = idle
        self._tls = tls
        self._pools: dict[tuple[bool, str, int], _Pool] = {}
        self._closed = False
        self._deadlines: Deadlines | None = None
        self._outbox: Outbox | None = None

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout: float,  # noqa: ASYNC109  (one timer for the whole exchange, body included, outlives this call)
        first_byte: float | None = None,
    ) -> Response:
        """Send a request and return when the head of the answer is there; read the body from the Response.

        ``timeout`` is seconds for everything, from waiting for a connection to the end of the body; ``first_byte``
        seconds until the head. Raises ModelTimeout, ModelError (no connection, or it broke: retryable) or BadInput.
        A kept connection that turns out to be closed before it answered is replaced once, silently.
        """
        way = self.way(method, url, headers)
        return await self.send(way, body, timeout=timeout, first_byte=first_byte)

    def way(self, method: str, url: str, headers: Mapping[str, str]) -> Way:
        """What all requests to ``url`` with these headers have in common. Raises BadInput."""
        target = target_of(url)
        key = (target.secure, target.host, target.port)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool(self._per_host)
        return Way(target, _head(method, target, tuple(headers.items())), pool)

    async def send(
        self,
        way: Way,
        body: bytes,
        *,
        timeout: float,  # noqa: ASYNC109  (as in ``request``)
        first_byte: float | None = None,
    ) -> Response:
        """``request`` for what is the same each time."""
        if self._closed:
            raise ModelError("the HTTP client is closed.", retryable=False)
        target, head, pool = way
        # RFC 9110, 8.6: a method that expects a body says its length even where it is 0.
        sized = body or not head.startswith((b"GET ", b"DELETE "))
        request = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body) if sized else head + b"\r\n"
        loop = asyncio.get_running_loop()
        start = loop.time()
        if self._deadlines is None or self._outbox is None:
            self._deadlines, self._outbox = deadlines(loop), outbox(loop)
        if pool.free > 0:
            pool.free -= 1
        else:
            await self._turn(pool, target, start + timeout)
        connection = pool.take(start - self._idle)
        if connection is None:
            connection = await self._open(pool, target, start + timeout)
        while True:
            response = Response(connection, target.authority, pool.put, loop)
            response.expire(self._deadlines, start, timeout, first_byte)
            connection.start(response, request, self._outbox)
            begun = False
            try:
                await response.head
                begun = True
                return response
            except StaleConnection:
                await self._turn(pool, target, start + timeout)
            finally:
                if not begun:
                    await response.close()
            connection = await self._open(pool, target, start + timeout)

    async def close(self) -> None:
        """Drop every connection; what is under way fails."""
        self._closed = True
        for pool in self._pools.values():
            for connection in tuple(pool.open):
                if connection.response is not None:
                    connection.response.fail(ModelError("the HTTP client was closed.", retryable=False))
                connection.drop()
        await asyncio.sleep(0)  # lets the transports close their sockets

    async def _turn(self, pool: _Pool, target: Target, deadline: float) -> None:
        if pool.free > 0:
            pool.free -= 1
            return
        try:
            async with asyncio.timeout_at(deadline):
                await pool.turn()
        except TimeoutError:
            raise ModelTimeout(f"all {self._per_host} connections to {target.authority} stayed busy.") from None

    async def _open(self, pool: _Pool, target: Target, deadline: float) -> Connection:
        """A new connection; on failure the turn is given back."""
        loop = asyncio.get_running_loop()
        opened = False
        if target.secure and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + self._connect)):
                _, connection = await loop.create_connection(
                    lambda: Connection(target.authority, pool.lost),
                    target.host,
                    target.port,
                    ssl=self._tls if target.secure else None,
                    server_hostname=target.host if target.secure else None,
                )
            opened = True
        except TimeoutError:
            raise ModelTimeout(f"no connection to {target.authority} in time.") from None
        except OSError as error:
            raise ModelError(f"no connection to {target.authority}: {error.strerror or error}.") from error
        finally:
            if not opened:
                pool.release()
        pool.open.add(connection)
        return connection


@functools.lru_cache(maxsize=256)
def _head(method: str, target: Target, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Everything before ``content-length``: the same for every request to one model."""
    if method not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        raise BadInput(f"{method!r} is not a method this client speaks.", field="method")
    lines = [f"{method} {target.path} HTTP/1.1", f"host: {target.authority}"]
    for name, value in headers:
        if any(c in "\r\n\0" for c in name + value):
            raise BadInput(f"the header {name!r} holds a line break.", field="headers")
        lines.append(f"{name}: {value}")
    try:
        return ("\r\n".join(lines) + "\r\n").encode("latin-1")
    except UnicodeEncodeError:
        raise BadInput("a header holds characters outside Latin-1.", field="headers") from None
