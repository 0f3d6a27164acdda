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

from .exchange import Connection, Response, StaleConnection


class Target(NamedTuple):
    """Where a URL points."""

    secure: bool
    host: str
    port: int
    authority: str
    path: str


class Times(NamedTuple):
    """When a request began (loop time), and its limits in seconds from there."""

    start: float
    total: float
    first_byte: float | None


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
    """The connections to one host: at most ``limit`` exchanges at once, the rest wait their turn."""

    def __init__(self, limit: int) -> None:
        self.turns = asyncio.Semaphore(limit)
        self.idle: deque[Connection] = deque()
        self.open: set[Connection] = set()

    def take(self, older_than: float) -> Connection | None:
        """The connection used last, which is the least likely to be stale; those idle for too long are closed."""
        while self.idle:
            connection = self.idle.pop()
            if connection.reusable and connection.idle_since >= older_than:
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
        self.turns.release()

    def lost(self, connection: Connection) -> None:
        """The connection is gone."""
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)


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
        target = target_of(url)
        length = b"content-length: %d\r\n" % len(body) if body or method in ("POST", "PUT", "PATCH") else b""
        request = b"%b%b\r\n%b" % (_head(method, target, tuple(headers.items())), length, body)
        if self._closed:
            raise ModelError("the HTTP client is closed.", retryable=False)
        times = Times(asyncio.get_running_loop().time(), timeout, first_byte)
        deadline = times.start + timeout
        pool = self._pool(target)
        await self._turn(pool, target, deadline)
        kept = pool.take(times.start - self._idle)
        if kept is not None:
            try:
                return await self._exchange(pool, kept, target, request, times)
            except StaleConnection:
                await self._turn(pool, target, deadline)
        fresh = await self._open(pool, target, deadline)
        return await self._exchange(pool, fresh, target, request, times)

    async def close(self) -> None:
        """Drop every connection; what is under way fails."""
        self._closed = True
        for pool in self._pools.values():
            for connection in tuple(pool.open):
                if connection.response is not None:
                    connection.response.fail(ModelError("the HTTP client was closed.", retryable=False))
                connection.drop()
        await asyncio.sleep(0)  # lets the transports close their sockets

    def _pool(self, target: Target) -> _Pool:
        key = (target.secure, target.host, target.port)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool(self._per_host)
        return pool

    async def _turn(self, pool: _Pool, target: Target, deadline: float) -> None:
        if not pool.turns.locked():
            await pool.turns.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await pool.turns.acquire()
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
                pool.turns.release()
        pool.open.add(connection)
        return connection

    async def _exchange(
        self,
        pool: _Pool,
        connection: Connection,
        target: Target,
        request: bytes,
        times: Times,
    ) -> Response:
        response = Response(connection, target.authority, pool.put)
        response.expire(*times)
        connection.start(response, request)
        begun = False
        try:
            await response.head
            begun = True
        finally:
            if not begun:
                await response.close()
        return response


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
