"""A Breakdown as ClickHouse counts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trimtab.core import Breakdown
from trimtab.store.answers import Group
from trimtab.store.breakdown import MOST_GROUPS, Groups, Keys, Plan, plan, seconds_of
from trimtab.store.conditions import check

from .connection import Connection
from .filters import Compiled, bucket_sql, column_sql, compile_query
from .schema import SCORES, SPANS

_NS = 10**9
_SPANS = f"FROM {SPANS} s"
_SCORES = (
    f"{_SPANS} INNER JOIN (SELECT trace_id, span_id, value FROM {SCORES} WHERE name = %s) c ON c.trace_id = s.trace_id"
)
_OWN = "(s.parent_id = '' OR c.span_id = '' OR c.span_id = s.span_id)"


def groups(breakdown: Breakdown) -> Callable[[Connection], list[Group]]:
    """How to answer a Breakdown. Raises BadInput at once where it is wrong."""
    planned = plan(breakdown)
    compiled = compile_query(check(replace(breakdown.query, limit=1, cursor="")))
    return lambda connection: _Count(connection, planned, compiled).run()


class _Count:
    """The questions of one Breakdown, and the groups that their answers are added to."""

    def __init__(self, connection: Connection, planned: Plan, compiled: Compiled) -> None:
        self._connection = connection
        self._plan = planned
        self._compiled = compiled
        self._groups = Groups(planned)
        keys = [_key(column) for column in planned.by]
        self._keys = [f"{sql} AS k{place}" for place, (sql, _) in enumerate(keys)]
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
        counts = ["count()", "countIf(s.status = 'error')", "countIf(s.status = 'refused')"]
        numbers = [one for column in self._plan.numbers for one in _figures(column_sql(column)[0])]
        for keys, values in self._ask([*counts, *numbers], _SPANS):
            tally = self._groups.at(keys)
            tally.count, tally.errors, tally.refused = values[:3]
            for place, column in enumerate(self._plan.numbers):
                n, total, low, high = values[3 + 4 * place : 7 + 4 * place]
                tally.of(column).add(n, total or 0.0, low if n else None, high if n else None)

    def _count_scores(self, name: str) -> None:
        for keys, (n, total, low, high) in self._ask(_figures("c.value"), _SCORES, (name,), condition=_OWN):
            if n:
                self._groups.at(keys).of(f"score:{name}").add(n, total, low, high)

    def _spread(self, column: str) -> None:
        if column.startswith("score:"):
            names: tuple[str, ...] = (column[len("score:") :],)
            source, expression, condition = _SCORES, "c.value", _OWN
        else:
            names, source, expression = (), _SPANS, column_sql(column)[0]
            condition = f"isNotNull({expression})"
        bucket = f"{bucket_sql(column, expression)} AS bucket_"
        for keys, (at, n) in self._ask([bucket, "count()"], source, names, condition=condition, also="bucket_"):
            self._groups.at(keys).of(column).spread({at: n})

    def _ask(
        self, figures: list[str], source: str, names: tuple[Any, ...] = (), *, condition: str = "1", also: str = ""
    ) -> list[tuple[Keys, tuple[Any, ...]]]:
        """Figures by group; ``also`` is grouped by as well."""
        width = len(self._plan.by)
        grouped = [f"k{place}" for place in range(width)] + ([also] if also else [])
        sql = f"SELECT {', '.join([*self._keys, *figures])} {source} WHERE ({self._compiled.where}) AND {condition}"
        if grouped:
            sql += f" GROUP BY {', '.join(grouped)}"
        if not also:
            sql += f" LIMIT {MOST_GROUPS + 1}"
        found = self._connection.rows(sql, (*self._key_parameters, *names, *self._compiled.parameters))
        return [(tuple(row[:width]), tuple(row[width:])) for row in found]


def _key(column: str) -> tuple[str, tuple[str, ...]]:
    if seconds := seconds_of(column):
        step = seconds * _NS
        return f"intDiv(s.start_ns, {step}) * {step}", ()
    if column == "layer":
        return "ifNull(toString(s.layer), '')", ()
    return column_sql(column)


def _figures(expression: str) -> list[str]:
    return [
        f"count({expression})",
        f"toFloat64(sum({expression}))",
        f"toFloat64(min({expression}))",
        f"toFloat64(max({expression}))",
    ]
