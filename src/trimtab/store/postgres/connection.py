"""Connections to PostgreSQL: one for the writer, one for each reading thread; both come back when the server does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from trimtab.core import ConfigError, Overloaded

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]
#: The threads that read.
READERS = 4
#: Seconds to wait for a connection; milliseconds for a lock, for a statement, and for a server that says nothing.
_CONNECT_S = 5
_LOCK_MS = 10_000
_STATEMENT_MS = 30_000
_SILENT_MS = 30_000
#: What the server refuses because of the values of a row; anything else is about the server.
_BAD_ROW = (psycopg.DataError, psycopg.IntegrityError)
#: The class of errors of a value that is too large for an index.
_TOO_LARGE = "54"
FIELD = "storage.spans"


class Place:
    """Where the store is: the URL's settings beside our own, which it may override. Nothing here says a password."""

    def __init__(self, url: str) -> None:
        try:
            said = conninfo_to_dict(url)
        except psycopg.Error as error:
            raise ConfigError(
                "this is not the address of a PostgreSQL database.",
                field=FIELD,
                mend="Write postgresql://user@host/database.",
            ) from error
        own = f"-c statement_timeout={_STATEMENT_MS} -c lock_timeout={_LOCK_MS}"
        self._settings: dict[str, Any] = {
            "connect_timeout": _CONNECT_S,
            "application_name": "trimtab",
            "keepalives_idle": 10,
            "tcp_user_timeout": _SILENT_MS,
            **said,
            "client_encoding": "utf8",
            "options": f"{own} {said.get('options') or ''}".strip(),
        }
        self.name = f"{said.get('host') or 'localhost'}/{said.get('dbname') or said.get('user') or ''}"

    def connect(self) -> Connection:
        """A new connection, in autocommit. Raises Overloaded when there is no server."""
        try:
            return psycopg.connect(make_conninfo(**self._settings), autocommit=True)
        except psycopg.OperationalError as error:
            raise self.away(error) from error

    def away(self, error: psycopg.Error) -> Overloaded:
        """What to tell the caller of a database that cannot be used now."""
        why = " ".join(str(error).split()) or type(error).__name__
        return Overloaded(
            f"the span store at {self.name} cannot be used: {why}.", mend="Look at its server.", retry_after=5.0
        )


def is_bad_row(error: Exception) -> bool:
    """Whether an error is about the values of a row, not about the database."""
    if not isinstance(error, psycopg.Error):
        return True
    return isinstance(error, _BAD_ROW) or (error.sqlstate or "").startswith(_TOO_LARGE)


class Readers:
    """The reading threads, each with a connection of its own."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="trimtab-span-reader")
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._open: set[Connection] = set()

    async def run(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` in a reading thread. Raises Overloaded when the server is away or did not come to it in time."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, fn)

    def close(self) -> None:
        """Wait for the reads that run, and close every connection."""
        self._threads.shutdown()
        for connection in self._open:
            connection.close()

    def _run(self, fn: Callable[[Connection], T]) -> T:
        for attempt in (1, 2):
            connection, fresh = self._connection()
            try:
                return fn(connection)
            except psycopg.Error as error:
                broken = connection.broken or connection.closed
                if broken:
                    self._forget(connection)
                # A connection that lay idle may have been cut long ago: that says nothing about the server.
                if not broken or fresh or attempt == 2:
                    raise self._place.away(error) from error
        raise AssertionError("unreachable")

    def _connection(self) -> tuple[Connection, bool]:
        connection: Connection | None = getattr(self._mine, "connection", None)
        if connection is not None and not connection.closed:
            return connection, False
        connection = self._mine.connection = self._place.connect()
        with self._lock:
            self._open.add(connection)
        return connection, True

    def _forget(self, connection: Connection) -> None:
        self._mine.connection = None
        with self._lock:
            self._open.discard(connection)
        with contextlib.suppress(psycopg.Error):
            connection.close()


def rows(connection: Connection, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows of a question. ``sql`` is made of fixed texts only; every value is a parameter."""
    return connection.cursor(binary=True).execute(sql.encode(), parameters).fetchall()
