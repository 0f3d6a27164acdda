"""The way to ClickHouse: its HTTP client, blocking, used from threads of ours."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from trimtab.core import ConfigError, Overloaded

T = TypeVar("T")
FIELD = "storage.spans"
#: The threads that read.
READERS = 4
#: Seconds to reach the server, and for an answer.
_CONNECT_S = 5
_ANSWER_S = 60
#: Sent with every statement: an insert is answered when it is written, a change of rows when it is made.
_SETTINGS = {"async_insert": 0, "mutations_sync": 1, "max_execution_time": 30, "max_query_size": 16 << 20}
#: What a client that cannot use the address raises, besides its own errors.
_UNUSABLE = (ValueError, TypeError, OSError)


class Place:
    """Where the store is. Options of the address go to the client (``?compress=false``). No password is ever said."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self._client: Client | None = None
        self.name = f"{parts.hostname or 'localhost'}{parts.path}"

    def connect(self) -> Connection:
        """The connection, which any thread may use. Raises Overloaded when no server answers."""
        if self._client is None:
            try:
                # Without a session the client may ask several things at once.
                self._client = clickhouse_connect.get_client(
                    dsn=self._url,
                    autogenerate_session_id=False,
                    connect_timeout=_CONNECT_S,
                    send_receive_timeout=_ANSWER_S,
                    settings=_SETTINGS,
                )
            except ClickHouseError as error:
                raise self.away(error) from error
            except _UNUSABLE as error:
                raise ConfigError(
                    f"{self.name} is no address of a ClickHouse server: {' '.join(str(error).split())}.",
                    field=FIELD,
                    mend="Write clickhouse://user@host:8123/database.",
                ) from error
        return Connection(self._client, self)

    def away(self, error: Exception) -> Overloaded:
        """What to tell the caller of a database that cannot be used now."""
        why = " ".join(str(error).split())[:300] or type(error).__name__
        return Overloaded(
            f"the span store at {self.name} cannot be used: {why}.", mend="Look at its server.", retry_after=5.0
        )

    def close(self) -> None:
        """Close the client's connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


class Connection:
    """Questions and statements. All raise Overloaded when the server is away or refuses."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """All rows of a question. ``sql`` is made of fixed texts with ``%s`` where a parameter goes."""
        try:
            return self._client.query(bound(sql, parameters)).result_rows
        except ClickHouseError as error:
            raise self._place.away(error) from error

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """A statement without an answer."""
        try:
            self._client.command(bound(sql, parameters))
        except ClickHouseError as error:
            raise self._place.away(error) from error

    def insert(self, table: str, columns: Mapping[str, str], values: Sequence[Sequence[Any]]) -> None:
        """Insert values by column. ``columns`` says name and type; a value of another type raises ValueError."""
        try:
            self._client.insert(
                table,
                values,
                column_names=list(columns),
                column_type_names=list(columns.values()),
                column_oriented=True,
            )
        except ClickHouseError as error:
            raise self._place.away(error) from error


class Readers:
    """The reading threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="trimtab-span-reader")

    async def run(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` in a reading thread. Raises Overloaded when the server is away."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: fn(self._place.connect()))

    def close(self) -> None:
        """Wait for the reads that run."""
        self._threads.shutdown()
        self._place.close()


def bound(sql: str, parameters: Sequence[Any]) -> str:
    """The statement with its parameters in place, each written as ClickHouse reads it."""
    return sql % tuple(map(literal, parameters)) if parameters else sql


def literal(value: Any) -> str:
    """A value as ClickHouse reads it: text, a number, or a list of them. Raises ValueError for anything else."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"
    if isinstance(value, list | tuple) and value:
        return "(" + ", ".join(map(literal, value)) + ")"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and not math.isnan(value):
        return repr(value)
    raise ValueError(f"{value!r} cannot be written into a question")
