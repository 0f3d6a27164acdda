"""The tables in PostgreSQL: one schema, partitions by UTC day of arrival, made when the first row of a day comes."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import psycopg

from trimtab.core import ConfigError, Conflict

from .connection import FIELD, Connection, Place, rows

SCHEMA = "trimtab_spans"
#: The schema below, as it is kept in ``store.version``. In 1 there was no index of sessions.
VERSION = 2
#: The tables with a partition for every day.
DAILY = ("spans", "scores", "span_rollup", "score_rollup")
_DAY = re.compile(r"spans_(\d{4})_(\d{2})_(\d{2})")
_EPOCH = datetime.date(1970, 1, 1)
_DAY_NS = 86_400 * 10**9
#: The lock that only making and dropping of partitions and of the schema take: any number that nobody else uses.
_SCHEMA_LOCK = 7_412_002

_SESSIONS = f"CREATE INDEX spans_session ON {{}} {SCHEMA}.spans (session, start_ns, seq) WHERE parent_id = '';"
# Payloads lie in the row, compressed by us: a table of their own costs a sixth more to write and 6 % more room.
# ``store`` has one row. Whoever writes holds its lock until the commit, so that ``seq`` numbers the rows of all
# processes in the order of their commits.
_TABLES = f"""
CREATE TABLE {SCHEMA}.store (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), version integer NOT NULL, seq bigint NOT NULL,
  id text NOT NULL DEFAULT left(md5(random()::text || clock_timestamp()::text), 8)
);
CREATE TABLE {SCHEMA}.dictionaries (number integer PRIMARY KEY, content bytea NOT NULL);
CREATE TABLE {SCHEMA}.spans (
  seq bigint NOT NULL, day date NOT NULL,
  trace_id bytea NOT NULL, span_id bytea NOT NULL, parent_id bytea NOT NULL,
  project text COLLATE "C" NOT NULL, session text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL, status text COLLATE "C" NOT NULL,
  layer integer, start_ns bigint NOT NULL, end_ns bigint NOT NULL,
  model text COLLATE "C" NOT NULL, provider text COLLATE "C" NOT NULL, fingerprint text COLLATE "C" NOT NULL,
  stamp_model text COLLATE "C" NOT NULL, stamp_knowledge text COLLATE "C" NOT NULL,
  stamp_prompt text COLLATE "C" NOT NULL, stamp_guard text COLLATE "C" NOT NULL, stamp_route text COLLATE "C" NOT NULL,
  input_tokens bigint, output_tokens bigint, cached_tokens bigint, reasoning_tokens bigint,
  cost_usd double precision, ttft_ns bigint, tags jsonb,
  error text COLLATE "C" NOT NULL, folded jsonb, dictionary integer NOT NULL, data bytea NOT NULL
) PARTITION BY LIST (day);
ALTER TABLE {SCHEMA}.spans ALTER data SET STORAGE EXTERNAL;
CREATE INDEX spans_seq ON {SCHEMA}.spans (seq);
CREATE INDEX spans_start ON {SCHEMA}.spans (start_ns, seq);
CREATE INDEX spans_root ON {SCHEMA}.spans (start_ns, seq) WHERE parent_id = '';
{_SESSIONS.format("")}
CREATE TABLE {SCHEMA}.scores (
  seq bigint NOT NULL, day date NOT NULL,
  id text COLLATE "C" NOT NULL, trace_id bytea NOT NULL, span_id bytea NOT NULL,
  project text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, value double precision NOT NULL,
  by text COLLATE "C" NOT NULL, by_version text COLLATE "C" NOT NULL, label text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL, slice text COLLATE "C" NOT NULL, time_ns bigint NOT NULL,
  stamp_model text COLLATE "C" NOT NULL, stamp_knowledge text COLLATE "C" NOT NULL,
  stamp_prompt text COLLATE "C" NOT NULL, stamp_guard text COLLATE "C" NOT NULL, stamp_route text COLLATE "C" NOT NULL
) PARTITION BY LIST (day);
CREATE INDEX scores_seq ON {SCHEMA}.scores (seq);
CREATE INDEX scores_trace ON {SCHEMA}.scores (trace_id);
CREATE INDEX scores_time ON {SCHEMA}.scores (time_ns, seq);
CREATE TABLE {SCHEMA}.span_rollup (
  day date NOT NULL, start_s bigint NOT NULL, project text COLLATE "C" NOT NULL, bucket integer NOT NULL,
  n bigint NOT NULL, errors bigint NOT NULL, refused bigint NOT NULL,
  input_tokens bigint NOT NULL, output_tokens bigint NOT NULL, cost_usd double precision NOT NULL,
  unpriced bigint NOT NULL, PRIMARY KEY (start_s, project, bucket, day)
) PARTITION BY LIST (day);
CREATE TABLE {SCHEMA}.score_rollup (
  day date NOT NULL, start_s bigint NOT NULL, project text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  slice text COLLATE "C" NOT NULL, n bigint NOT NULL, total double precision NOT NULL,
  total_sq double precision NOT NULL, PRIMARY KEY (start_s, project, name, slice, day)
) PARTITION BY LIST (day);
"""
_UNIQUE = {"spans": "(trace_id, span_id)", "scores": "(id)"}


def prepare(connection: Connection, first_seq: int) -> str:
    """Make the schema where it is missing, and return the store's id.

    Raises Conflict for a newer one, ConfigError where it cannot be used.
    """
    (encoding,) = rows(connection, "SHOW server_encoding")[0]
    if encoding != "UTF8":
        raise ConfigError(
            f"the database is encoded as {encoding}.", field=FIELD, mend="Use a database with the encoding UTF8."
        )
    with connection.transaction():
        rows(connection, "SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        if rows(connection, "SELECT to_regclass(%s)", (f"{SCHEMA}.store",))[0][0] is None:
            if rows(connection, "SELECT to_regnamespace(%s)", (SCHEMA,))[0][0] is None:
                connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
            connection.execute(_TABLES.encode())
            connection.execute(
                f"INSERT INTO {SCHEMA}.store (version, seq) VALUES (%s, %s)".encode(), (VERSION, first_seq)
            )
        _upgrade(connection)
    ((version, store_id),) = rows(connection, f"SELECT version, id FROM {SCHEMA}.store")
    if version > VERSION:
        raise Conflict(
            f"the span store has schema {version}, newer than this program's {VERSION}.",
            field=FIELD,
            mend="Use the program that made it or a newer one, or another database.",
        )
    return str(store_id)


def _upgrade(connection: Connection) -> None:
    """Bring an older schema up, under its lock. Days that are there stay as they are, so that nobody has to wait for an
    index of all of them; those that come have the new one."""
    ((version,),) = rows(connection, f"SELECT version FROM {SCHEMA}.store")
    if version == 1:
        connection.execute(_SESSIONS.format("ONLY").encode())
        connection.execute(f"UPDATE {SCHEMA}.store SET version = {VERSION}".encode())


def partition(table: str, day: datetime.date) -> str:
    """The name of a day's partition, with its schema."""
    return f"{SCHEMA}.{table}_{day:%Y_%m_%d}"


def add_day(connection: Connection, day: datetime.date) -> None:
    """Make the partitions of a day where they are missing. Inside no transaction; safe with several processes."""
    with connection.transaction():
        rows(connection, "SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        if rows(connection, "SELECT to_regclass(%s)", (partition("spans", day),))[0][0] is not None:
            return
        for table in DAILY:
            leaf = partition(table, day)
            # Attaching, unlike CREATE ... PARTITION OF, lets others read and write meanwhile.
            connection.execute(f"CREATE TABLE {leaf} (LIKE {SCHEMA}.{table} INCLUDING ALL)".encode())
            if table in _UNIQUE:
                connection.execute(f"CREATE UNIQUE INDEX ON {leaf} {_UNIQUE[table]}".encode())
            connection.execute(f"ALTER TABLE {SCHEMA}.{table} ATTACH PARTITION {leaf} FOR VALUES IN ('{day}')".encode())


def estimate(connection: Connection, day: datetime.date) -> None:
    """Have the planner's estimates of a day made, from few rows: a good guess is enough for it."""
    with connection.transaction():
        connection.execute(b"SET LOCAL default_statistics_target = 10")
        connection.execute(f"ANALYZE {partition('spans', day)}, {partition('scores', day)}".encode())


def days(connection: Connection) -> list[datetime.date]:
    """The days that have partitions, oldest first."""
    found = rows(
        connection,
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(%s)",
        (f"{SCHEMA}.spans",),
    )
    matches = (_DAY.fullmatch(name) for (name,) in found)
    return sorted(datetime.date(*map(int, match.groups())) for match in matches if match)


def drop_days(connection: Connection, gone: Sequence[datetime.date]) -> None:
    """Drop the partitions of some days, a day at a time. Waits for who reads them, and has nobody wait for long."""
    for day in gone:
        with connection.transaction():
            rows(connection, "SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            tables = ", ".join(partition(table, day) for table in DAILY)
            connection.execute(f"DROP TABLE IF EXISTS {tables}".encode())


def day_of(time_ns: int) -> datetime.date:
    """The UTC day of a time."""
    return _EPOCH + datetime.timedelta(days=time_ns // _DAY_NS)


def end_ns(day: datetime.date) -> int:
    """When a UTC day ends."""
    return (day - _EPOCH).days * _DAY_NS + _DAY_NS


def prepare_at(place: Place, first_seq: int) -> str:
    """Connect and make the schema where it is missing; see ``prepare``."""
    with place.connect() as connection:
        try:
            return prepare(connection, first_seq)
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigError(
                f"the span store may not make its tables in {place.name}: {' '.join(str(error).split())}.",
                field=FIELD,
                mend=f"Grant CREATE on the database, or make the schema {SCHEMA} and give it to this user.",
            ) from error
