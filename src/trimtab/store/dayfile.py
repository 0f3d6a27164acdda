"""A day file: the spans and scores that were committed on one UTC day, in one SQLite database."""

from __future__ import annotations

import datetime
import re
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from trimtab.core import ConfigError, Conflict

from . import cube

#: The schema below, as ``PRAGMA user_version``. Files of schema 1 are read and written as they are: they have no cube
#: and fewer indexes. Those of schema 2 have no blocks and those of schema 3 no words; they get them when something is
#: written to them.
SCHEMA_VERSION = 4
#: The schema versions from which on a file has blocks, and words.
BLOCKS_SINCE, WORDS_SINCE = 3, 4
_DAY_NS = 86_400 * 10**9
_NAME = re.compile(r"spans-(\d{4}-\d{2}-\d{2})\.db")

# ``seq`` numbers the rows of all files and of both tables in the order of their commits. Rows of spans stay narrow
# because payloads lie in their own table: a scan over a window never reads them.
_BLOCKS = "CREATE TABLE blocks (seq INTEGER PRIMARY KEY, dictionary INTEGER NOT NULL, data BLOB NOT NULL);"
# Segments as ``words`` makes them, read column by column; one is stale once texts of its spans were dropped.
_WORDS = (
    "CREATE TABLE words (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, stale INTEGER NOT NULL,"
    " words BLOB NOT NULL, groups BLOB NOT NULL, places BLOB NOT NULL);"
)
#: What stands for the table where a file has none, so that all are read by the same SQL.
_NO_BLOCKS = _BLOCKS.replace("CREATE TABLE", "CREATE TEMP TABLE")
_SCHEMA = f"""
CREATE TABLE spans (
  seq INTEGER PRIMARY KEY,
  trace_id NOT NULL, span_id NOT NULL, parent_id NOT NULL,
  project TEXT NOT NULL, session TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL,
  layer INTEGER, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
  model TEXT NOT NULL, provider TEXT NOT NULL, fingerprint TEXT NOT NULL,
  stamp_model TEXT NOT NULL, stamp_knowledge TEXT NOT NULL, stamp_prompt TEXT NOT NULL,
  stamp_guard TEXT NOT NULL, stamp_route TEXT NOT NULL,
  input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER,
  cost_usd REAL, ttft_ns INTEGER, tags TEXT
);
CREATE UNIQUE INDEX spans_id ON spans (trace_id, span_id);
CREATE INDEX spans_start ON spans (start_ns);
CREATE INDEX spans_root ON spans (start_ns) WHERE parent_id = '';
CREATE INDEX spans_model ON spans (model, start_ns) WHERE model != '';
CREATE INDEX spans_prompt ON spans (stamp_prompt, start_ns) WHERE parent_id = '' AND stamp_prompt != '';
CREATE INDEX spans_session ON spans (session, start_ns) WHERE parent_id = '' AND session != '';
CREATE TABLE payloads (seq INTEGER PRIMARY KEY, dictionary INTEGER NOT NULL, data BLOB NOT NULL);
{_BLOCKS}
{_WORDS}
CREATE TABLE scores (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL, trace_id NOT NULL, span_id NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL,
  "by" TEXT NOT NULL, by_version TEXT NOT NULL, label TEXT NOT NULL, reason TEXT NOT NULL, slice TEXT NOT NULL,
  time_ns INTEGER NOT NULL,
  stamp_model TEXT NOT NULL, stamp_knowledge TEXT NOT NULL, stamp_prompt TEXT NOT NULL,
  stamp_guard TEXT NOT NULL, stamp_route TEXT NOT NULL
);
CREATE UNIQUE INDEX scores_id ON scores (id);
CREATE INDEX scores_trace ON scores (trace_id);
CREATE INDEX scores_time ON scores (time_ns);
CREATE INDEX scores_value ON scores (name, value);
CREATE TABLE score_rollup (
  start_s INTEGER NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL, slice TEXT NOT NULL,
  n INTEGER NOT NULL, total REAL NOT NULL, total_sq REAL NOT NULL,
  PRIMARY KEY (start_s, project, name, slice)
) WITHOUT ROWID;
CREATE TABLE score_rollup_hour (
  start_s INTEGER NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL, slice TEXT NOT NULL,
  n INTEGER NOT NULL, total REAL NOT NULL, total_sq REAL NOT NULL,
  PRIMARY KEY (start_s, project, name, slice)
) WITHOUT ROWID;
CREATE TABLE span_rollup (
  start_s INTEGER NOT NULL, project TEXT NOT NULL,
  n INTEGER NOT NULL, errors INTEGER NOT NULL, refused INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, unpriced INTEGER NOT NULL,
  latency TEXT NOT NULL,
  PRIMARY KEY (start_s, project)
) WITHOUT ROWID;
{cube.SCHEMA}
PRAGMA user_version = {SCHEMA_VERSION};
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The least and the greatest of some numbers; of none at first."""

    low: int = -1
    high: int = -1

    def with_(self, numbers: Collection[int]) -> Self:
        """The bounds once these numbers have come in. None of them is negative."""
        if not numbers:
            return self
        low, high = min(numbers), max(numbers)
        return replace(self, low=low if self.low < 0 else min(low, self.low), high=max(high, self.high))

    def meets(self, since: int, until: int) -> bool:
        """Whether any of them may lie in [since, until); an ``until`` of 0 is no bound."""
        return self.high >= max(since, 0) and (not until or self.low < until)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFile:
    """What is known of a day file without opening it, as of the last commit."""

    path: Path
    day: str
    seqs: Bounds = Bounds()
    starts: Bounds = Bounds()
    times: Bounds = Bounds()

    def grown(self, *, seqs: Collection[int], starts: Collection[int], times: Collection[int]) -> Self:
        """The file once rows with these numbers, span starts and score times are in it."""
        return replace(
            self, seqs=self.seqs.with_(seqs), starts=self.starts.with_(starts), times=self.times.with_(times)
        )

    @property
    def end_ns(self) -> int:
        """When this UTC day ends."""
        return (datetime.date.fromisoformat(self.day) - datetime.date(1970, 1, 1)).days * _DAY_NS + _DAY_NS


def day_of(time_ns: int) -> str:
    """The UTC day of a time, as ``2026-11-25``."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=time_ns // _DAY_NS)).isoformat()


def path_of(folder: Path, day: str) -> Path:
    """Where a day's file lies."""
    return folder / f"spans-{day}.db"


def scan(folder: Path) -> tuple[DayFile, ...]:
    """All day files of a folder, oldest first. Raises Conflict for a newer schema and ConfigError for a broken file."""
    found = sorted((match[1], path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))
    return tuple(_look_into(path, day) for day, path in found)


def _look_into(path: Path, day: str) -> DayFile:
    connection = connect(path)
    try:
        if _version(connection, path) == 0:
            return DayFile(path=path, day=day)
        row = connection.execute(
            "SELECT (SELECT min(seq) FROM spans), (SELECT min(seq) FROM scores),"
            " (SELECT max(seq) FROM spans), (SELECT max(seq) FROM scores),"
            " (SELECT min(start_ns) FROM spans), (SELECT max(start_ns) FROM spans),"
            " (SELECT min(time_ns) FROM scores), (SELECT max(time_ns) FROM scores)"
        ).fetchone()
    except sqlite3.DatabaseError as error:
        raise ConfigError(
            f"the span file {path} cannot be read: {error}.",
            field="data",
            mend="Put back a good copy of it, or move it away to go on without that day.",
        ) from error
    finally:
        connection.close()
    seqs, starts, times = row[:4], row[4:6], row[6:]
    return DayFile(path=path, day=day).grown(
        seqs=[n for n in seqs if n is not None],
        starts=[n for n in starts if n is not None],
        times=[n for n in times if n is not None],
    )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise Conflict(
            f"the span file {path} has schema {version}, newer than this program's {SCHEMA_VERSION}.",
            field="data",
            mend="Use the program that wrote it or a newer one, or another data folder.",
        )
    return version


def create(path: Path) -> sqlite3.Connection:
    """The writer's connection to a day file, which is created where it is missing.

    WAL with synchronous=FULL: a commit is on disk before it returns, and readers never wait for the writer. The file
    is only as good as empty until its schema is committed, so a crash in between leaves nothing to repair.
    """
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    for pragma in (
        "page_size=16384",  # A block takes some 1.5 kB: of smaller pages a tenth stays empty.
        "journal_mode=WAL",
        "synchronous=FULL",
        "cache_size=-65536",
        "wal_autocheckpoint=2000",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.create_function("add_spread", 2, cube.add_spread, deterministic=True)
    version = _version(connection, path)
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    elif version in (2, 3):
        missing = _BLOCKS + _WORDS if version < BLOCKS_SINCE else _WORDS
        connection.executescript(f"BEGIN IMMEDIATE; {missing} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version < BLOCKS_SINCE:
        connection.execute(_NO_BLOCKS).close()
    return connection


def has_blocks(connection: sqlite3.Connection) -> bool:
    """Whether a day file has the table; one that has it not may get it from whoever writes to it."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0]) >= BLOCKS_SINCE


def has_words(connection: sqlite3.Connection) -> bool:
    """Whether a day file has a table for its words; one that has it not may get it from whoever writes to it."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0]) >= WORDS_SINCE


def connect(path: Path, *, blocks: bool = False) -> sqlite3.Connection:
    """A reader's connection to a day file that exists; it refuses to write. ``blocks`` is for who reads payloads: where
    the file has no such table, the connection has an empty one."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10, isolation_level=None, check_same_thread=False
    )
    if blocks and not has_blocks(connection):
        connection.execute(_NO_BLOCKS).close()
    connection.execute("PRAGMA query_only=ON").close()
    return connection
