"""A checked query as PostgreSQL's SQL over ``spans s``. Pure: only fixed texts reach the database, values are bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from trimtab.core import COLUMNS, NUMBERS
from trimtab.store.conditions import Checked, Condition

from .rows import escape, id_in
from .schema import SCHEMA

_IDS: Final = ("trace_id", "span_id", "parent_id")
_NUMBERS: Final = {name: f"s.{name}" for name in NUMBERS} | {
    "duration_ms": "(greatest(0, s.end_ns - s.start_ns)::float8 / 1e6)",
    "ttft_ms": "(s.ttft_ns::float8 / 1e6)",
}
_TEXTS: Final = {name: f"s.{name.replace('.', '_')}" for name in COLUMNS if name not in NUMBERS} | {
    name: f"(CASE WHEN length(s.{name}) IN (8, 16) THEN encode(s.{name}, 'hex')"
    f" ELSE convert_from(ltrim(s.{name}, '\\xff'), 'UTF8') END COLLATE \"C\")"
    for name in _IDS
}
#: Which scores are about a span: for a root those of its trace, for others those that name it or only the trace.
OWN: Final = "c.trace_id = s.trace_id AND (s.parent_id = '' OR c.span_id = '' OR c.span_id = s.span_id)"
#: ``bucket_of``: where a logarithm comes out within rounding of a bound, the bound itself decides.
_BUCKET: Final = (
    "(CASE WHEN {x} > 0 THEN (CASE WHEN abs(l.v - round(l.v)) > 1e-7 THEN floor(l.v)"
    " WHEN {x} >= power(2::float8, round(l.v) / 8) THEN round(l.v) ELSE round(l.v) - 1 END)::integer"
    " ELSE -1048576 END)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A condition on ``spans s``. ``text`` and ``needles`` are left to be looked for by us, in what was found:
    PostgreSQL cannot read payloads, and a needle with a control character may meet one that stands for another."""

    where: str
    parameters: tuple[Any, ...]
    text: str = ""
    needles: tuple[Condition, ...] = ()

    @property
    def unsure(self) -> bool:
        """Whether what is found is to be looked at again."""
        return bool(self.text or self.needles)


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
        where.append("(s.start_ns, s.seq) < (%s, %s)")
        parameters.extend(query.after)
    for condition in query.conditions:
        sql, values = _scored(condition) if condition.kind == "score" else _tested(condition)
        where.append(f"NOT coalesce({sql}, false)" if condition.negated else sql)
        parameters.extend(values)
    return Compiled(
        where=" AND ".join(where) or "true",
        parameters=tuple(parameters),
        text=query.text,
        needles=tuple(
            one for one in query.conditions if one.op == "contains" and not _PLAIN.isdisjoint(str(one.values[0]))
        ),
    )


#: The characters that ``escape`` writes with or for.
_PLAIN: Final = frozenset("\0\1\2")


def column_sql(column: str) -> tuple[str, tuple[str, ...]]:
    """The value of a column or ``tag:NAME`` as SQL, with its parameters."""
    if column.startswith("tag:"):
        return '((s.tags ->> %s) COLLATE "C")', (escape(column[len("tag:") :]),)
    return (_NUMBERS.get(column) or _TEXTS[column]), ()


def bucket_sql(expression: str) -> str:
    """``bucket_of`` of a number; the FROM needs ``bucket_from`` of the same expression."""
    return _BUCKET.format(x=expression)


def bucket_from(expression: str) -> str:
    """What ``bucket_sql`` needs in the FROM: the logarithm, computed once."""
    return f"CROSS JOIN LATERAL (SELECT 8 * ln(nullif(greatest({expression}, 0), 0)) / ln(2::float8) AS v) l"


def _tested(one: Condition) -> tuple[str, tuple[Any, ...]]:
    name = f"tag:{one.name}" if one.kind == "tag" else one.name
    expression, parameters = column_sql(name)
    if one.kind == "number":
        return (f"{expression} IS NOT NULL", ()) if one.op == "exists" else (_test(expression, one), _values(one))
    if one.op == "exists":
        return f"{expression} <> ''", parameters
    if one.op == "contains":
        folded = f"coalesce(s.folded ->> %s, lower({expression}))"
        return f"strpos({folded}, %s) > 0", (escape(name), *parameters, escape(str(one.values[0])))
    if one.name in _IDS and one.kind == "text" and one.positive in ("=", "in"):
        return _test(f"s.{one.name}", one), _values(one, id_in)
    return _test(expression, one), (*parameters, *_values(one, escape))


def _scored(one: Condition) -> tuple[str, tuple[Any, ...]]:
    # Scores arrive with their span or later; the day before is for traces that straddle midnight.
    about = f"FROM {SCHEMA}.scores c WHERE {OWN} AND c.day >= s.day - 1 AND c.name = %s"
    if one.op == "exists":
        return f"EXISTS (SELECT 1 {about})", (escape(one.name),)
    return f"EXISTS (SELECT 1 {about} AND {_test('c.value', one)})", (escape(one.name), *_values(one))


def _test(expression: str, one: Condition) -> str:
    return f"{expression} = ANY(%s)" if one.op == "in" else f"{expression} {one.positive} %s"


def _values(one: Condition, stored: Any = None) -> tuple[Any, ...]:
    values = [stored(value) for value in one.values] if stored else list(one.values)
    return (values,) if one.op == "in" else tuple(values)
