"""The door to the metadata database: keys, versions, labels, changes, incidents; everything but spans and scores."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from trimtab.core import ConfigError, Conflict, Overloaded

from .engines import READERS, Engines, dispose, engines_for, reason
from .tables import schema

T = TypeVar("T")

#: The version of the embedded engine, for the doctor.
ENGINE_VERSION = sqlite3.sqlite_version
#: The schema that ``tables.schema`` describes: the newest revision in ``migrations/versions``.
HEAD = "0013"
MIGRATIONS = Path(__file__).parent / "migrations"
#: Alembic's own table, as it would create it.
_STAMP = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,"
    " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
_TRIES = 3
#: Seconds for which a synchronous look-up is not tried again after the database did not answer one.
_REST_S = 1.0


class Metadata:
    """SQLite in a file (WAL, synchronous=FULL) or PostgreSQL by URL: what ``write`` returned for survives a crash.

    One transaction writes at a time, over all processes; reads run beside it on their own connections and see the
    last commit.
    """

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="trimtab-metadata-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="trimtab-metadata-reader")
        self._away_until = 0.0

    @classmethod
    def open(cls, target: Path | str) -> Self:
        """Open the database, create its tables where there are none, migrate them where they are older than this
        program. ``target`` is a file, or a URL ``postgresql://user@host/database``.

        A migration is one transaction, and one process at a time does it. Raises Conflict when the schema is newer
        than this program and ConfigError when there is no database or it cannot be written.
        """
        metadata = cls(engines_for(target))
        with contextlib.ExitStack() as stack:
            stack.callback(metadata.close)
            engines = metadata._engines
            try:
                with engines.writing.begin() as connection:
                    engines.lock(connection, patient=True)
                    _bring_to_head(connection, engines)
            except DBAPIError as error:
                raise ConfigError(
                    f"the metadata database {engines.place} cannot be opened: {reason(error)}.",
                    field=engines.field,
                    mend="Name another data folder, or put back a good copy of this file."
                    if engines.field == "data"
                    else "Start the server, or correct the address.",
                ) from error
            stack.pop_all()
        return metadata

    @property
    def place(self) -> str:
        """Where the database is, without a password."""
        return self._engines.place

    @property
    def shared(self) -> bool:
        """Whether other processes may write to it as well, so that what is kept in memory has to be looked after."""
        return self._engines.shared

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` in a reader thread inside one read transaction; an attempt to write there fails.

        Raises Overloaded when the database does not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, functools.partial(self._read, fn))

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` in the writer thread inside one transaction, committed to disk before this returns.

        When ``fn`` raises, everything it did is undone. ``fn`` must not keep the connection, and must bear being run
        again: PostgreSQL may undo a transaction and ask for that. When the caller is cancelled while ``fn`` runs,
        ``fn`` still runs to its end and is committed. Raises Overloaded when the database does not answer; what was
        being committed at that moment may have been or not.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writer, functools.partial(self._write, fn))

    def look_up(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` in this very thread inside one read transaction: for a single row by its key, and no more.

        Raises Overloaded when the database does not answer within two seconds, and at once for a second after that.
        """
        if time.monotonic() < self._away_until:
            raise Overloaded("The metadata database does not answer.", mend="Try again in a moment.", retry_after=1)
        try:
            with self._engines.hurried.begin() as connection:
                return fn(connection)
        except DBAPIError as error:
            self._away_until = time.monotonic() + _REST_S
            raise _away(error) from error

    def close(self) -> None:
        """Wait for what is running, then close all connections. Closing twice is allowed."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._away_until = math.inf
        dispose(self._engines)

    def _read(self, fn: Callable[[Connection], T]) -> T:
        try:
            with self._engines.reading.begin() as connection:
                return fn(connection)
        except DBAPIError as error:
            if self._engines.away(error):
                raise _away(error) from error
            raise

    def _write(self, fn: Callable[[Connection], T]) -> T:
        left = _TRIES
        while True:
            left -= 1
            committing = False
            try:
                with self._engines.writing.begin() as connection:
                    self._engines.lock(connection)
                    result = fn(connection)
                    committing = True
                return result
            except DBAPIError as error:
                if left and self._engines.again(error, committing=committing):
                    continue
                if self._engines.away(error):
                    raise _away(error) from error
                raise


def _away(error: DBAPIError) -> Overloaded:
    return Overloaded(f"The metadata database does not answer: {reason(error)}.", mend="Try again.", retry_after=1)


def _bring_to_head(connection: Connection, engines: Engines) -> None:
    found = _revision(connection)
    if found == HEAD:
        return
    if found == "" and not inspect(connection).get_table_names():
        schema.create_all(connection, checkfirst=False)
        connection.execute(text(_STAMP))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        return
    if found == "" or found > HEAD:
        what = f"schema {found}, newer than this program's {HEAD}" if found else "tables that are not Trimtab's"
        raise Conflict(
            f"the metadata database {engines.place} has {what}.",
            field=engines.field,
            mend="Use the program that wrote it or a newer one, or another "
            + ("data folder." if engines.field == "data" else "database."),
        )
    _migrate(connection)


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


def _migrate(connection: Connection, to: str = HEAD) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
