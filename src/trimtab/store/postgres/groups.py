"""A Breakdown as PostgreSQL counts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trimtab.core import Breakdown
from trimtab.store.answers import Group
from trimtab.store.breakdown import MOST_GROUPS, Groups, Keys, Plan, plan, seconds_of
from trimtab.store.conditions import check
from trimtab.store.payload import Codec

from .connection import Connection, rows
from .filters import OWN, bucket_from, bucket_sql, column_sql, compile_query
from .matching import matching
from .rows import escape, unescape
from .schema import SCHEMA

_NS = 10**9
_SPANS = f"FROM {SCHEMA}.spans s"
_SCORES = f"{_SPANS} JOIN {SCHEMA}.scores c ON {OWN} AND c.name = %s"


def groups(breakdown: Breakdown, codec: Codec) -> Callable[[Connection], list[Group]]:
    """How to answer a Breakdown. Raises BadInput at once where it is wrong."""
    planned = plan(breakdown)
    compiled = compile_query(check(replace(breakdown.query, limit=1, cursor="")))

    def answer(connection: Connection) -> list[Group]:
        with connection.transaction():
            connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            where, parameters = compiled.where, compiled.parameters
            if compiled.unsure:
                where, parameters = "s.seq = ANY(%s)", (list(matching(connection, compiled, codec)),)
            return _Count(connection, planned, where, parameters).run()

    return answer


class _Count:
    """The questions of one Breakdown, and the groups that their answers are added to."""

    def __init__(self, connection: Connection, planned: Plan, where: str, parameters: tuple[Any, ...]) -> None:
        self._connection = connection
        self._plan = planned
        self._where = where
        self._parameters = parameters
        self._groups = Groups(planned)
        keys = [_key(column) for column in planned.by]
        self._keys = "".join(f"{sql}, " for sql, _ in keys)
        self._key_parameters = tuple(value for _, values in keys for value in values)

    def run(self) -> list[Group]:
        """Ask everything."""
        self._count_spans()
        for name in self._plan.scores:
            self._count_scores(name)
        for column in self._plan.spread:
            self._spread(column)
        return self._groups.answer()

    def _count_spans(self) -> None:
        columns = [column_sql(column)[0] for column in self._plan.numbers]
        numbers = "".join(f", {_figures(sql)}" for sql in columns)
        counts = "count(*), count(*) FILTER (WHERE s.status = 'error'), count(*) FILTER (WHERE s.status = 'refused')"
        for keys, values in self._ask(f"{counts}{numbers}", _SPANS):
            tally = self._groups.at(keys)
            tally.count, tally.errors, tally.refused = values[:3]
            for place, column in enumerate(self._plan.numbers):
                n, total, low, high = values[3 + 4 * place : 7 + 4 * place]
                tally.of(column).add(n, total or 0.0, low, high)

    def _count_scores(self, name: str) -> None:
        for keys, (n, total, low, high) in self._ask(_figures("c.value"), _SCORES, (escape(name),)):
            self._groups.at(keys).of(f"score:{name}").add(n, total or 0.0, low, high)

    def _spread(self, column: str) -> None:
        score = column.removeprefix("score:") if column.startswith("score:") else None
        expression = "c.value" if score is not None else column_sql(column)[0]
        source, names = (_SCORES, (escape(score),)) if score is not None else (_SPANS, ())
        source = f"{source} {bucket_from(expression)}"
        for keys, (bucket, n) in self._ask(
            f"{bucket_sql(expression)}, count(*)", source, names, extra=1, condition=f"{expression} IS NOT NULL"
        ):
            self._groups.at(keys).of(column).spread({bucket: n})

    def _ask(
        self, figures: str, source: str, names: tuple[Any, ...] = (), *, extra: int = 0, condition: str = "true"
    ) -> list[tuple[Keys, tuple[Any, ...]]]:
        """Figures by group; the first ``extra`` of them are grouped by as well."""
        width = len(self._plan.by)
        grouped = ", ".join(str(place + 1) for place in range(width + extra))
        sql = f"SELECT {self._keys}{figures} {source} WHERE ({self._where}) AND {condition}"
        if grouped:
            sql += f" GROUP BY {grouped}"
        if not extra:
            sql += f" LIMIT {MOST_GROUPS + 1}"
        found = rows(self._connection, sql, (*self._key_parameters, *names, *self._parameters))
        return [(tuple(map(_given, row[:width])), row[width:]) for row in found]


def _key(column: str) -> tuple[str, tuple[str, ...]]:
    if seconds := seconds_of(column):
        step = seconds * _NS
        return f"s.start_ns / {step}::bigint * {step}::bigint", ()
    if column == "layer":
        return "coalesce(s.layer::text, '')", ()
    sql, parameters = column_sql(column)
    return f"coalesce({sql}, '')", parameters


def _figures(expression: str) -> str:
    return f"count({expression}), sum({expression})::float8, min({expression})::float8, max({expression})::float8"


def _given(key: str | int) -> str | int:
    return unescape(key) if isinstance(key, str) else key
