"""What the writer's thread does with ClickHouse: a batch an insert, first come first kept.

An insert is whole or not there, but spans and scores are two inserts: a batch whose second one failed is told to its
sender as failed, and is completed when it comes again.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core import Overloaded
from trimtab.store.answers import Erased
from trimtab.store.dayfile import day_of
from trimtab.store.intake import Item, PackedScore, PackedSpan
from trimtab.store.payload import KEPT, STRIPPED

from . import schema
from .connection import Connection, Place
from .positions import PER_US
from .rows import SCORE_COLUMNS, SPAN_COLUMNS, check_texts, score_values, span_values
from .schema import IDS, SCORES, SPANS

_DAY_NS = 86_400 * 10**9
_KEEP = f"[{', '.join(repr(name) for name in KEPT)}]"
#: ``payload.stripped`` in SQL.
_STRIPPED = (
    "concat('{', arrayStringConcat(arrayPushBack(arrayMap(k -> concat('\"', k, '\":', JSONExtractRaw(attributes, k)),"
    f" arrayFilter(k -> JSONHas(attributes, k), {_KEEP})), '\"{STRIPPED}\":true'), ','), '}}')"
)
_WHOLE = f"NOT JSONExtractBool(attributes, '{STRIPPED}')"


class Ledger:
    """Numbers the rows of this process upwards, from the clock of the server."""

    def __init__(self, place: Place, clock: Callable[[], int], *, now_us: Callable[[], int], last_seq: int) -> None:
        self._place = place
        self._clock = clock
        self._writer = secrets.token_hex(6)
        # The last bits differ between writers, so that two numbers hardly ever are the same.
        self._mine = secrets.randbelow(PER_US)
        self._last_us = last_seq // PER_US + 1
        self._now_us = now_us

    def commit(self, items: Sequence[Item]) -> bool:
        """Store all; where a row cannot be written, halves of them, until only the bad items are left out."""
        items = [item for item in items if item.pack()]
        if not items:
            return False
        try:
            return self._insert(self._place.connect(), items)
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
        connection = self._place.connect()
        today = day_of(self._clock())
        gone = [day for day in schema.days(connection) if _end_ns(day) <= before_ns and day != today]
        for day in gone:
            for table in schema.DAILY:
                connection.run(f"ALTER TABLE {table} DROP PARTITION %s", (day,))
        return gone

    def erase(self, trace_ids: Sequence[str]) -> Erased:
        """Delete what is kept of some traces. The parts with the old bytes go a few minutes later."""
        connection = self._place.connect()
        counts = {SPANS: 0, SCORES: 0}
        for table in (SPANS, SCORES, IDS) if trace_ids else ():
            found = connection.rows(
                f"SELECT toString(day), count() FROM {table} WHERE trace_id IN %s GROUP BY day", (trace_ids,)
            )
            counts[table] = sum(n for _, n in found)
            for day, _ in found:
                connection.run(f"ALTER TABLE {table} DELETE IN PARTITION %s WHERE trace_id IN %s", (day, trace_ids))
        return Erased(spans=counts[SPANS], scores=counts[SCORES], settled=schema.settled(connection))

    def strip(self, trace_ids: Sequence[str]) -> int:
        """Drop the texts of some traces; returns how many spans had any."""
        connection = self._place.connect()
        if not trace_ids:
            return 0
        where = f"trace_id IN %s AND {_WHOLE}"
        found = connection.rows(f"SELECT toString(day), count() FROM {SPANS} WHERE {where} GROUP BY day", (trace_ids,))
        for day, _ in found:
            connection.run(
                f"ALTER TABLE {SPANS} UPDATE input = '', output = '', input_folded = '', output_folded = '',"
                f" error = '', folded = mapFilter((k, v) -> k != 'error', folded), attributes = {_STRIPPED}"
                f" IN PARTITION %s WHERE {where}",
                (day, trace_ids),
            )
        return sum(n for _, n in found)

    def close(self) -> None:
        """The readers close the client."""

    def _insert(self, connection: Connection, items: Sequence[Item]) -> bool:
        day = datetime.date.fromisoformat(day_of(self._clock()))
        spans = {one[1][:2]: one for item in reversed(items) for one in reversed(item.packed_spans)}
        scores = {one[0].id: one for item in reversed(items) for one in reversed(item.packed_scores)}
        new_spans = self._new_spans(connection, list(spans.values())[::-1], day)
        new_scores = self._new_scores(connection, list(scores.values())[::-1], day)
        numbers = self._numbers(len(new_spans) + len(new_scores))
        rows = [span_values((day, seq, self._writer), one) for seq, one in zip(numbers, new_spans, strict=False)]
        judged = [
            score_values((day, seq, self._writer), one)
            for seq, one in zip(numbers[len(rows) :], new_scores, strict=False)
        ]
        for columns, values in ((SPAN_COLUMNS, rows), (SCORE_COLUMNS, judged)):
            for row in values:
                check_texts(columns, row)
        _insert(connection, SPANS, SPAN_COLUMNS, rows)
        _insert(connection, SCORES, SCORE_COLUMNS, judged)
        return bool(numbers)

    def _numbers(self, count: int) -> range:
        """The next numbers: greater than all before, and not behind the server's clock."""
        first = max(self._last_us + 1, self._now_us())
        self._last_us = first + count
        return range(first * PER_US + self._mine, (first + count) * PER_US + self._mine, PER_US)

    def _new_spans(self, connection: Connection, spans: list[PackedSpan], day: datetime.date) -> list[PackedSpan]:
        """Without those that are stored. The same span starts at the same time, so older days need not be asked."""
        if not spans:
            return []
        since = _since(day, min(span.start_ns for span, _, _ in spans))
        ids = [(span.trace_id, span.span_id) for span, _, _ in spans]
        traces, parts = dict.fromkeys(trace_id for trace_id, _ in ids), [span_id for _, span_id in ids]
        # Two lists of texts are read much faster than one of pairs; what fits by chance is told apart below.
        known = connection.rows(
            f"SELECT trace_id, span_id FROM {IDS} WHERE day >= toDate(%s) AND trace_id IN %s AND span_id IN %s",
            (since, list(traces), parts),
        )
        have = {(trace_id, span_id) for trace_id, span_id in known}
        return [one for one, key in zip(spans, ids, strict=True) if key not in have]

    def _new_scores(self, connection: Connection, scores: list[PackedScore], day: datetime.date) -> list[PackedScore]:
        """The same for scores."""
        if not scores:
            return []
        since = _since(day, min(score.time_ns for score, _ in scores))
        known = connection.rows(
            f"SELECT id FROM {SCORES} WHERE day >= toDate(%s) AND id IN %s", (since, [score.id for score, _ in scores])
        )
        have = {id_ for (id_,) in known}
        return [one for one in scores if one[0].id not in have]


def _insert(connection: Connection, table: str, columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        connection.insert(table, columns, list(zip(*rows, strict=True)))


def _since(day: datetime.date, earliest_ns: int) -> str:
    """The first day of arrival that may have a row which began at this time."""
    return (min(day, datetime.date.fromisoformat(day_of(earliest_ns))) - datetime.timedelta(days=1)).isoformat()


def _end_ns(day: str) -> int:
    return (datetime.date.fromisoformat(day) - datetime.date(1970, 1, 1)).days * _DAY_NS + _DAY_NS
