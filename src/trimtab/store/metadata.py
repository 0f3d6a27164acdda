"""The door to the metadata database: keys, versions, labels, changes, incidents; everything but spans and scores."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool

from trimtab.core import ConfigError, Conflict

from .tables import schema

T = TypeVar("T")

#: The version of the embedded engine, for the doctor.
ENGINE_VERSION = sqlite3.sqlite_version
#: The schema that ``tables.schema`` describes: the newest revision in ``migrations/versions``.
HEAD = "0006"
MIGRATIONS = Path(__file__).parent / "migrations"
#: Alembic's own table, as it would create it.
_STAMP = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,"
    " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
_BUSY_MS = 10_000
_READERS = 4


class Metadata:
    """SQLite in WAL mode with synchronous=FULL: what ``write`` returned for survives a crash and a power cut.

    One thread writes; reads run beside it on their own connections and see the last commit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = _engine(path, "BEGIN IMMEDIATE", size=1)
        self._reading = _engine(path, "BEGIN", size=_READERS, pragmas=("query_only=ON",))
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="trimtab-metadata-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="trimtab-metadata-reader")

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the database, create it where it is missing, migrate it where its schema is older than this program.

        A migration is one transaction: done or not done. Raises Conflict when the schema is newer than this program
        and ConfigError when the file is not a database or cannot be written.
        """
        metadata = cls(Path(path))
        with contextlib.ExitStack() as stack:
            stack.callback(metadata.close)
            try:
                with metadata._writing.begin() as connection:
                    _bring_to_head(connection, metadata.path)
            except DatabaseError as error:
                raise ConfigError(
                    f"the metadata database {path} cannot be opened: {error.orig}.",
                    field="data",
                    mend="Name another data folder, or put back a good copy of this file.",
                ) from error
            stack.pop_all()
        return metadata

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` in a reader thread inside one read transaction; an attempt to write there fails."""
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, functools.partial(_in_transaction, self._reading, fn)
        )

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` in the writer thread inside one transaction, committed to disk before this returns.

        When ``fn`` raises, everything it did is undone. ``fn`` must not keep the connection. When the caller is
        cancelled while ``fn`` runs, ``fn`` still runs to its end and is committed.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._writer, functools.partial(_in_transaction, self._writing, fn)
        )

    def close(self) -> None:
        """Wait for what is running, then close all connections. Closing twice is allowed."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._reading.dispose()
        self._writing.dispose()


def _in_transaction(engine: Engine, fn: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return fn(connection)


def _engine(path: Path, begin: str, *, size: int, pragmas: tuple[str, ...] = ()) -> Engine:
    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver starts no transaction by itself, so that ours is the one that counts.
        connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", *pragmas):
            connection.execute(f"PRAGMA {pragma}").close()
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=size, max_overflow=0)

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", start)
    return engine


def _bring_to_head(connection: Connection, path: Path) -> None:
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
            f"the metadata database {path} has {what}.",
            field="data",
            mend="Use the program that wrote it or a newer one, or another data folder.",
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
