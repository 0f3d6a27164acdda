"""What the writer's thread does with PostgreSQL: one transaction a group, first come first kept, nothing half done."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import psycopg

from trimtab.core import Overloaded
from trimtab.store.answers import Erased
from trimtab.store.intake import Item, PackedScore, PackedSpan
from trimtab.store.payload import Codec, payload_of, stripped
from trimtab.store.sums import score_sums, span_sums

from . import schema
from .connection import Connection, Place, is_bad_row, rows
from .rows import SCORE_COLUMNS, SCORE_TYPES, SPAN_COLUMNS, SPAN_TYPES, escape, id_in, score_row, span_row
from .schema import SCHEMA

T = TypeVar("T")
_log = logging.getLogger(__name__)
_HOUR_NS = 3600 * 10**9
_DAY = datetime.timedelta(days=1)
#: Rows of a day after which the planner is told what they are like, and again whenever there are ten times as many:
#: the server's own looks come late for a table that grows so fast.
_FIRST_LOOK = 500
_SUMS = (
    f"INSERT INTO {SCHEMA}.span_rollup AS r VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (start_s, project, bucket, day) DO UPDATE SET n = r.n + excluded.n,"
    " errors = r.errors + excluded.errors, refused = r.refused + excluded.refused,"
    " input_tokens = r.input_tokens + excluded.input_tokens, output_tokens = r.output_tokens + excluded.output_tokens,"
    " cost_usd = r.cost_usd + excluded.cost_usd, unpriced = r.unpriced + excluded.unpriced"
).encode()
_SCORE_SUMS = (
    f"INSERT INTO {SCHEMA}.score_rollup AS r VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (start_s, project, name, slice, day) DO UPDATE SET n = r.n + excluded.n,"
    " total = r.total + excluded.total, total_sq = r.total_sq + excluded.total_sq"
).encode()


class _New(NamedTuple):
    """The rows of a group, each id once, in the order in which they came."""

    spans: list[PackedSpan]
    scores: list[PackedScore]


class Ledger:
    """The writer's connection and what it knows. Writers of all processes wait for each other at the row of ``store``
    from before they number their rows until after they committed them."""

    def __init__(self, place: Place, codec: Codec, clock: Callable[[], int]) -> None:
        self._place = place
        self._codec = codec
        self._clock = clock
        self._connection: Connection | None = None
        self._days: set[datetime.date] = set()
        self._rows = 0
        self._look_at = _FIRST_LOOK

    def commit(self, items: Sequence[Item]) -> bool:
        """Store all; if the database refuses a row, halves of them, until only the bad items are left out."""
        items = [item for item in items if item.pack()]
        if not items:
            return False
        try:
            return self._with(lambda connection: self._transact(connection, items))
        except Overloaded:
            raise
        except Exception as error:  # house: except because no row may end the only thread that writes
            if len(items) == 1:
                items[0].refuse(error)
                return False
            half = len(items) // 2
            first = self.commit(items[:half])
            return self.commit(items[half:]) or first

    def expire(self, before_ns: int) -> list[str]:
        """Drop the partitions of all days that ended before this time, but today's."""

        def drop(connection: Connection) -> list[str]:
            today = schema.day_of(self._clock())
            gone = [day for day in schema.days(connection) if schema.end_ns(day) <= before_ns and day != today]
            self._days.difference_update(gone)
            schema.drop_days(connection, gone)
            return [day.isoformat() for day in gone]

        return self._with(drop)

    def erase(self, trace_ids: Sequence[str]) -> Erased:
        """Delete what is kept of some traces, and have their old rows cleared away."""
        ids = [id_in(one) for one in trace_ids]

        def delete(connection: Connection) -> Erased:
            if not ids:
                return Erased()
            touched: set[str] = set()
            counts = []
            with connection.transaction():
                self._lock(connection)
                for table in ("spans", "scores"):
                    found = rows(
                        connection,
                        f"DELETE FROM {SCHEMA}.{table} WHERE trace_id = ANY(%s) RETURNING tableoid::regclass::text",
                        (ids,),
                    )
                    counts.append(len(found))
                    touched.update(leaf for (leaf,) in found)
            for leaf in sorted(touched):
                connection.execute(f"VACUUM {leaf}".encode())
            return Erased(spans=counts[0], scores=counts[1], settled=True)

        return self._with(delete)

    def strip(self, trace_ids: Sequence[str]) -> int:
        """Drop the texts of some traces; returns how many spans had any."""

        def shorten(connection: Connection) -> int:
            with connection.transaction():
                self._lock(connection)
                found = rows(
                    connection,
                    f"SELECT day, seq, dictionary, data FROM {SCHEMA}.spans WHERE trace_id = ANY(%s)",
                    ([id_in(one) for one in trace_ids],),
                )
                smaller = [
                    (day, seq, self._codec.pack(rest))
                    for day, seq, dictionary, data in found
                    if (rest := stripped(self._codec.unpack(dictionary, data))) is not None
                ]
                connection.cursor().executemany(
                    f"UPDATE {SCHEMA}.spans SET dictionary = %s, data = %s, error = '', folded = folded - 'error'"
                    " WHERE day = %s AND seq = %s".encode(),
                    [(self._codec.current, data, day, seq) for day, seq, data in smaller],
                )
            return len(smaller)

        return self._with(shorten)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- in one transaction ------------------------------------------------------------------------------------------

    def _transact(self, connection: Connection, items: Sequence[Item]) -> bool:
        day = schema.day_of(self._clock())
        if day not in self._days:
            schema.add_day(connection, day)
            self._days.add(day)
            self._rows, self._look_at = 0, _FIRST_LOOK
        new = _once(items)
        packed = self._codec.pack_all([payload_of(span, attributes) for span, _, attributes in new.spans])
        with connection.transaction():
            last_seq = self._lock(connection)
            late = min([span.start_ns for span, _, _ in new.spans] + [score.time_ns for score, _ in new.scores])
            # The same span starts at the same time and comes after it: an older day has it only if it began that early.
            if late < schema.end_ns(day) - 23 * _HOUR_NS:
                new, packed = _unknown(connection, new, packed, schema.day_of(late) - _DAY)
            try:
                with connection.transaction():
                    self._copy(connection, day, last_seq, new, packed)
            except psycopg.errors.UniqueViolation:
                new, packed = _unknown(connection, new, packed, day)
                self._copy(connection, day, last_seq, new, packed)
            count = len(new.spans) + len(new.scores)
            connection.execute(f"UPDATE {SCHEMA}.store SET seq = %s".encode(), (last_seq + count,))
        self._learn(new)
        self._rows += count
        if self._rows >= self._look_at:
            self._look_at *= 10
            schema.estimate(connection, day)
        return count > 0

    def _lock(self, connection: Connection) -> int:
        """Hold off the writers of every process, see to it that a commit is on disk, and return the last number."""
        rows(
            connection,
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
        )
        return int(rows(connection, f"SELECT seq FROM {SCHEMA}.store FOR UPDATE")[0][0])

    def _copy(
        self, connection: Connection, day: datetime.date, last_seq: int, new: _New, packed: Sequence[bytes]
    ) -> None:
        dictionary = self._codec.current
        numbered = enumerate(zip(new.spans, packed, strict=True), last_seq + 1)
        spans = (span_row(seq, one, dictionary, data) for seq, (one, data) in numbered)
        scores = (score_row(seq, one) for seq, one in enumerate(new.scores, last_seq + 1 + len(new.spans)))
        with connection.cursor() as cursor:
            if new.spans:
                _copy(cursor, ("spans", SPAN_COLUMNS, SPAN_TYPES), day, spans)
            if new.scores:
                _copy(cursor, ("scores", SCORE_COLUMNS, SCORE_TYPES), day, scores)
            if sums := span_sums(span for span, _, _ in new.spans):
                cursor.executemany(_SUMS, [(day, *map(_storable, row)) for row in sums])
            if score := score_sums(score for score, _ in new.scores):
                cursor.executemany(_SCORE_SUMS, [(day, *map(_storable, row)) for row in score])

    def _learn(self, new: _New) -> None:
        if self._codec.current:
            return
        try:
            self._codec.learn((span.session or span.trace_id, payload_of(span, line)) for span, _, line in new.spans)
        except Overloaded as error:
            _log.warning("no dictionary could be kept: %s", error)

    # -- the connection ----------------------------------------------------------------------------------------------

    def _with(self, fn: Callable[[Connection], T]) -> T:
        """Run something on the writer's connection. Raises Overloaded when the database is away.

        A connection that breaks may have been cut while it lay idle, so a new one is tried at once. Where it broke
        while committing, the rows are there already and are known by their ids.
        """
        fresh = self._connection is None or self._connection.closed
        if self._connection is None or fresh:
            self._connection = self._place.connect()
        try:
            return fn(self._connection)
        except psycopg.Error as error:
            if is_bad_row(error):
                raise
            self._days.clear()  # Somebody may have dropped a partition, or put an older database in its place.
            if self._connection.broken:
                self.close()
                if not fresh:
                    return self._with(fn)
            raise self._place.away(error) from error


def _storable(value: Any) -> Any:
    return escape(value) if isinstance(value, str) else value


def _once(items: Sequence[Item]) -> _New:
    spans = {one[1][:2]: one for item in reversed(items) for one in reversed(item.packed_spans)}
    scores = {one[0].id: one for item in reversed(items) for one in reversed(item.packed_scores)}
    return _New(list(spans.values())[::-1], list(scores.values())[::-1])


def _unknown(
    connection: Connection, new: _New, packed: Sequence[bytes], since: datetime.date
) -> tuple[_New, list[bytes]]:
    """Without those that a day since then has already."""
    have: set[Any] = set()
    if new.spans:
        ids = [(id_in(span.trace_id), id_in(span.span_id)) for span, _, _ in new.spans]
        have.update(
            rows(
                connection,
                f"SELECT s.trace_id, s.span_id FROM {SCHEMA}.spans s JOIN unnest(%s::bytea[], %s::bytea[])"
                " AS u (trace_id, span_id) USING (trace_id, span_id) WHERE s.day >= %s",
                ([one for one, _ in ids], [one for _, one in ids], since),
            )
        )
        kept = [place for place, one in enumerate(ids) if one not in have]
    else:
        kept = []
    known: set[str] = set()
    if new.scores:
        wanted = [score_row(0, one)[1] for one in new.scores]
        known = {
            id_
            for (id_,) in rows(
                connection, f"SELECT id FROM {SCHEMA}.scores WHERE id = ANY(%s) AND day >= %s", (wanted, since)
            )
        }
    scores = [one for one in new.scores if score_row(0, one)[1] not in known]
    return _New([new.spans[place] for place in kept], scores), [packed[place] for place in kept]


def _copy(cursor: Any, into: tuple[str, Sequence[str], Sequence[str]], day: datetime.date, values: Any) -> None:
    table, columns, types = into
    names = ", ".join(columns)
    with cursor.copy(f"COPY {schema.partition(table, day)} ({names}, day) FROM STDIN (FORMAT BINARY)".encode()) as copy:
        copy.set_types([*types, "date"])
        for row in values:
            copy.write_row((*row, day))
