"""The engines under the metadata database: SQLite in a file of its own, or PostgreSQL by URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from trimtab.core import ConfigError

READERS = 4
#: Seconds to wait for a connection, milliseconds for a lock and for a statement.
_CONNECT_S = 5
_BUSY_MS = 10_000
_STATEMENT_MS = 30_000
#: A synchronous look-up stands in somebody's way, so it gives up early.
_HURRY_MS = 2_000
#: Any number that nobody else uses: holds writers apart, and whoever migrates.
_WRITER_LOCK = 7_412_001
#: Transactions that PostgreSQL undid through no fault of their own: serialisation, deadlock.
_UNDONE = frozenset({"40001", "40P01"})


class Engines(Protocol):
    """Three ways into one database: ``writing`` one at a time, ``reading`` beside it, ``hurried`` for one quick row."""

    @property
    def place(self) -> str:
        """Where the database is, without a password."""

    @property
    def field(self) -> str:
        """The setting that names it."""

    @property
    def shared(self) -> bool:
        """Whether other processes may write to it as well."""

    @property
    def writing(self) -> Engine: ...

    @property
    def reading(self) -> Engine: ...

    @property
    def hurried(self) -> Engine: ...

    def lock(self, connection: Connection, *, patient: bool = False) -> None:
        """Hold off every other writer until this transaction ends; ``patient`` lifts the time limits of it."""

    def again(self, error: DBAPIError, *, committing: bool) -> bool:
        """Whether a transaction that failed like this left nothing behind and may be tried again."""

    def away(self, error: DBAPIError) -> bool:
        """Whether the database could not be reached, or did not come to it in time."""


class Sqlite:
    """WAL mode, synchronous=FULL. Writers wait for each other at BEGIN IMMEDIATE."""

    field = "data"
    shared = False

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self.writing = _sqlite(path, "BEGIN IMMEDIATE", size=1)
        self.reading = _sqlite(path, "BEGIN", size=READERS, pragmas=("query_only=ON",))
        self.hurried = _sqlite(path, "BEGIN", size=1, pragmas=("query_only=ON", f"busy_timeout={_HURRY_MS}"))

    def lock(self, connection: Connection, *, patient: bool = False) -> None:
        """BEGIN IMMEDIATE has done it."""

    def again(self, error: DBAPIError, *, committing: bool) -> bool:
        """BEGIN IMMEDIATE waits by itself."""
        return False

    def away(self, error: DBAPIError) -> bool:
        """Locked by another process for longer than anybody should wait."""
        return getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY


class Postgres:
    """psycopg. Writers of all processes wait for each other at an advisory lock, so that what holds on SQLite, one
    writer at a time, holds here; a read transaction sees one moment (REPEATABLE READ)."""

    field = "storage.metadata"
    shared = True

    def __init__(self, url: URL) -> None:
        self.place = url.render_as_string(hide_password=True)
        try:
            self.writing = _postgres(url, size=1, settings={"lock_timeout": _BUSY_MS})
            self.reading = _postgres(url, size=READERS, snapshot=True)
            self.hurried = _postgres(url, size=1, settings={"statement_timeout": _HURRY_MS}, snapshot=True, wait_s=2)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{self.place} needs the driver for PostgreSQL, which is not installed.",
                field=self.field,
                mend="Install it with: pip install 'trimtab[scale]'",
            ) from error

    def lock(self, connection: Connection, *, patient: bool = False) -> None:
        """Hold off the writers of every process."""
        if patient:
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITER_LOCK})

    def again(self, error: DBAPIError, *, committing: bool) -> bool:
        """A lost connection undoes what was not committed; lost while committing, nobody knows."""
        if getattr(error.orig, "sqlstate", "") in _UNDONE:
            return True
        return error.connection_invalidated and not committing

    def away(self, error: DBAPIError) -> bool:
        """No connection, a lock that others keep, a statement that took too long."""
        return isinstance(error, OperationalError) or error.connection_invalidated


def engines_for(target: Path | str) -> Engines:
    """The engines for a file, or for a URL ``postgresql://...``. Raises ConfigError for a URL that is none."""
    if isinstance(target, Path) or "://" not in target:
        return Sqlite(Path(target))
    try:
        url = make_url(target)
    except (ArgumentError, ValueError):
        url = None
    # The URL itself is not repeated: it may hold a password.
    if url is None or url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ConfigError(
            "this is not the address of a metadata database.",
            field=Postgres.field,
            mend="Write sqlite: or postgresql://user@host/database.",
        )
    return Postgres(url.set(drivername="postgresql+psycopg"))


def reason(error: DBAPIError) -> str:
    """What the engine said, on one line."""
    return " ".join(str(error.orig).split())


def _sqlite(path: Path, begin: str, *, size: int, pragmas: tuple[str, ...] = ()) -> Engine:
    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver starts no transaction by itself, so that ours is the one that counts.
        connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", *pragmas):
                connection.execute(f"PRAGMA {pragma}").close()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=size, max_overflow=0)

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", start)
    return engine


def _postgres(
    url: URL, *, size: int, settings: Mapping[str, int] | None = None, snapshot: bool = False, wait_s: int = _CONNECT_S
) -> Engine:
    options = {"statement_timeout": _STATEMENT_MS, **(settings or {})}
    asked: dict[str, Any] = {
        "connect_timeout": wait_s,
        "application_name": "trimtab",
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }
    # What the URL itself says wins; its options are kept beside ours.
    said = {name: value for name, value in url.query.items() if isinstance(value, str)}
    asked = {name: value for name, value in asked.items() if name == "options" or name not in said}
    if own := said.get("options"):
        asked["options"] += f" {own}"
    engine = create_engine(
        url.difference_update_query(["options"]),
        connect_args=asked,
        pool_size=size,
        max_overflow=0,
        pool_timeout=_CONNECT_S + wait_s,
        pool_pre_ping=True,
        pool_recycle=1800,
    )
    if snapshot:
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


def dispose(engines: Engines) -> None:
    """Close every connection."""
    for engine in (engines.hurried, engines.reading, engines.writing):
        with suppress(DBAPIError):
            engine.dispose()
