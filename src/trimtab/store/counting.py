"""A Breakdown counted over day files: from the cube where it knows the answer, from the rows elsewhere."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from trimtab.core import Breakdown

from . import cube
from .answers import Group
from .blocks import JOIN
from .breakdown import Groups, Plan, plan, seconds_of
from .buckets import ZERO
from .conditions import check
from .dayfile import DayFile
from .filters import OWN, SCORES, column_sql, reads_payload
from .reader import Scan, Where
from .shelf import Shelf

_NS: Final = 10**9


def groups(breakdown: Breakdown) -> Callable[[Shelf, tuple[DayFile, ...]], list[Group]]:
    """How to answer a Breakdown. Raises BadInput at once where it is wrong."""
    asked = plan(breakdown)
    checked = check(replace(breakdown.query, cursor="", limit=1))

    def answer(shelf: Shelf, files: tuple[DayFile, ...]) -> list[Group]:
        counted = Groups(asked)
        level = cube.level_for(asked, checked)
        cells, ends = cube.whole_cells(checked, level) if level is not None else (None, [])
        rows_only = Scan(shelf, files, checked)
        at_ends = [Scan(shelf, files, end) for end in ends]
        for file in files:
            if not file.starts.meets(checked.since_ns, checked.until_ns):
                continue
            if level is None or cells is None or not cube.has_cube(shelf.open(file)):
                _Rows(shelf, rows_only, file, asked).count(counted)
                continue
            with _one_state(shelf.open(file)) as connection:
                cube.read(connection, level, asked, cells, counted)
                _Rows(shelf, Scan(shelf, files, cells), file, asked, after=cube.mark(connection)).count(counted)
            for scan in at_ends:
                if file in scan.files:
                    _Rows(shelf, scan, file, asked).count(counted)
        return counted.answer()

    return answer


@contextlib.contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that is read within is of the same commit."""
    connection.execute("BEGIN").close()
    try:
        yield connection
    finally:
        connection.execute("ROLLBACK").close()


class _Rows:
    """The spans of one file that a scan finds, those with a number over ``after`` where it is given, counted by SQL."""

    def __init__(self, shelf: Shelf, scan: Scan, file: DayFile, asked: Plan, *, after: int | None = None) -> None:
        self._shelf = shelf
        self._asked = asked
        self._others = [file, *scan.others(file)] if asked.scores else []
        self._file = file
        self._connection, self._where = scan.ready(file)
        if after is not None:
            sql, parameters, _ = self._where
            self._where = Where(f"{sql} AND s.seq > ?", (*parameters, after), "NOT INDEXED")
        keys = [_key(column) for column in asked.by]
        self._keys = [sql for sql, _ in keys]
        self._parameters = tuple(parameter for _, parameters in keys for parameter in parameters)
        payload = scan.reads_payload or any(reads_payload(column) for column in asked.by)
        self._from = f"FROM spans s {self._where.hint} {JOIN if payload else ''}"

    def count(self, counted: Groups) -> None:
        """Add what is asked of these spans to the groups."""
        numbers = [_number(name) for name in self._asked.numbers]
        values = [f"count({sql}), total({sql}), min({sql}), max({sql})" for sql in numbers]
        for key, row in self._select(["count(*)", "total(s.status = 'error')", "total(s.status = 'refused')", *values]):
            tally = counted.at(key)
            tally.count, tally.errors, tally.refused = (
                tally.count + row[0],
                tally.errors + row[1],
                tally.refused + row[2],
            )
            for place, name in enumerate(self._asked.numbers):
                tally.of(name).add(*row[3 + 4 * place : 7 + 4 * place])
        for name in self._asked.spread:
            if not name.startswith("score:"):
                sql = _number(name)
                for key, (bucket, n) in self._select([_bucket(sql), "count(*)"], grouped=1, extra=f"{sql} IS NOT NULL"):
                    counted.at(key).of(name).spread({bucket: n})
        for name in self._asked.scores:
            for other in self._others:
                self._count_scores(name, other, counted)

    def _count_scores(self, name: str, file: DayFile, counted: Groups) -> None:
        """Add the scores of one name that lie in a file, each to the span that it is about."""
        known = "SELECT 1 FROM score_rollup WHERE name = ? LIMIT 1"
        if not self._shelf.open(file).execute(known, (name,)).fetchone():
            return
        column = f"score:{name}"
        with self._beside(file) as schema:
            join = f"CROSS JOIN {schema}.{SCORES} ON c.trace_id = s.trace_id AND c.name = ? AND {OWN}"
            values = ["count(*)", "total(c.value)", "min(c.value)", "max(c.value)"]
            for key, row in self._select(values, join=join, named=(name,)):
                if row[0]:
                    counted.at(key).of(column).add(*row)
            if column in self._asked.spread:
                values = [_bucket("c.value"), "count(*)"]
                for key, (bucket, n) in self._select(values, grouped=1, join=join, named=(name,)):
                    counted.at(key).of(column).spread({bucket: n})

    def _select(
        self, values: Sequence[str], *, grouped: int = 0, extra: str = "1", join: str = "", named: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """Rows of keys and values; the first ``grouped`` values make groups too."""
        places = ", ".join(str(place + 1) for place in range(len(self._keys) + grouped))
        sql = f"SELECT {', '.join([*self._keys, *values])} {self._from} {join} WHERE {self._where.sql} AND {extra}" + (
            f" GROUP BY {places}" if places else ""
        )
        for row in self._connection.execute(sql, (*self._parameters, *named, *self._where.parameters)):
            yield row[: len(self._keys)], row[len(self._keys) :]

    @contextlib.contextmanager
    def _beside(self, file: DayFile) -> Iterator[str]:
        """The name of the schema under which the connection sees a file."""
        if file is self._file:
            yield "main"
            return
        self._connection.execute("ATTACH ? AS other", (str(file.path.absolute()),)).close()
        try:
            yield "other"
        finally:
            self._connection.execute("DETACH other").close()


def _key(column: str) -> tuple[str, tuple[str, ...]]:
    if seconds := seconds_of(column):
        return f"s.start_ns / {seconds * _NS} * {seconds * _NS}", ()
    sql, parameters = column_sql(column)
    if column == "layer":
        sql = f"CAST({sql} AS TEXT)"
    return f"coalesce({sql}, '')", parameters


def _number(column: str) -> str:
    return column_sql(column)[0]


def _bucket(sql: str) -> str:
    """``bucket_of`` as SQL: SQLite's logarithm is the one that Python uses."""
    return f"CASE WHEN {sql} > 0 THEN CAST(floor(8 * log2({sql})) AS INTEGER) ELSE {ZERO} END"
