"""A checked query as ClickHouse's SQL over the table of spans as ``s``. Pure: only fixed texts and ``%s``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from trimtab.core import COLUMNS, NUMBERS
from trimtab.store.conditions import Checked, Condition

from .schema import SCORES

_NUMBERS: Final = {name: f"s.{name}" for name in NUMBERS} | {
    "duration_ms": "(greatest(s.end_ns - s.start_ns, 0) / 1e6)",
    "ttft_ms": "(s.ttft_ns / 1e6)",
}
_TEXTS: Final = {name: f"s.{name.replace('.', '_')}" for name in COLUMNS if name not in NUMBERS}
#: ``bucket_of``: where a logarithm comes out within rounding of a bound, the bound itself decides.
_BUCKET: Final = (
    "toInt32(if({x} > 0, if(abs(8 * log2({x}) - round(8 * log2({x}))) > 1e-7, floor(8 * log2({x})),"
    " round(8 * log2({x})) - if({x} >= exp2(round(8 * log2({x})) / 8), 0, 1)), -1048576))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A condition on the table of spans as ``s``."""

    where: str
    parameters: tuple[Any, ...]


def compile_query(query: Checked) -> Compiled:
    """Turn a query into SQL; its limit is the caller's."""
    where: list[str] = []
    parameters: list[Any] = []
    if query.roots:
        where.append("s.parent_id = ''")
    for bound, sql in ((query.since_ns, "s.start_ns >= %s"), (query.until_ns, "s.start_ns < %s")):
        if bound:
            where.append(sql)
            parameters.append(bound)
    if query.after is not None:
        # The first half is what the order of the table can use.
        where.append("s.start_ns <= %s AND (s.start_ns, s.seq) < (%s, %s)")
        parameters.extend((query.after[0], *query.after))
    for condition in query.conditions:
        sql, values = _scored(condition) if condition.kind == "score" else _tested(condition)
        where.append(f"NOT ifNull({sql}, 0)" if condition.negated else sql)
        parameters.extend(values)
    if query.text:
        said = [f"position(if(s.{one}_folded = '', lower(s.{one}), s.{one}_folded), %s)" for one in ("input", "output")]
        where.append(f"({said[0]} > 0 OR {said[1]} > 0)")
        parameters.extend((query.text, query.text))
    return Compiled(where=" AND ".join(f"({one})" for one in where) or "1", parameters=tuple(parameters))


def column_sql(column: str) -> tuple[str, tuple[str, ...]]:
    """The value of a column or ``tag:NAME`` as SQL, with its parameters; a tag that is not there is empty."""
    if column.startswith("tag:"):
        return "s.tags[%s]", (column[len("tag:") :],)
    return (_NUMBERS.get(column) or _TEXTS[column]), ()


def bucket_sql(column: str, expression: str) -> str:
    """``bucket_of`` of a number; that of the duration was stored with the span."""
    return "s.bucket" if column == "duration_ms" else _BUCKET.format(x=expression)


def _tested(one: Condition) -> tuple[str, tuple[Any, ...]]:
    name = f"tag:{one.name}" if one.kind == "tag" else one.name
    expression, parameters = column_sql(name)
    if one.kind == "number":
        return (f"isNotNull({expression})", ()) if one.op == "exists" else (_test(expression, one), _values(one))
    if one.op == "exists":
        return f"{expression} != ''", parameters
    there, names = ("mapContains(s.tags, %s) AND ", (one.name,)) if one.kind == "tag" else ("", ())
    if one.op == "contains":
        folded = f"if(mapContains(s.folded, %s), s.folded[%s], lower({expression}))"
        return f"{there}position({folded}, %s) > 0", (*names, name, name, *parameters, *one.values)
    return f"{there}{_test(expression, one)}", (*names, *parameters, *_values(one))


def _scored(one: Condition) -> tuple[str, tuple[Any, ...]]:
    test, values = ("1", ()) if one.op == "exists" else (_test("value", one), _values(one))
    named = f"FROM {SCORES} WHERE name = %s AND {test}"
    parameters = (one.name, *values)
    sql = (
        f"if(s.parent_id = '', s.trace_id IN (SELECT trace_id {named}),"
        f" s.trace_id IN (SELECT trace_id {named} AND span_id = '')"
        f" OR (s.trace_id, s.span_id) IN (SELECT trace_id, span_id {named}))"
    )
    return sql, parameters * 3


def _test(expression: str, one: Condition) -> str:
    return f"{expression} IN %s" if one.op == "in" else f"{expression} {one.positive} %s"


def _values(one: Condition) -> tuple[Any, ...]:
    return (one.values,) if one.op == "in" else one.values
