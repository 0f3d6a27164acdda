"""SpanQuery as SQL over one day file. Pure: only the fixed texts below reach the database, every value is bound.

What a condition means, on every store:

- Text compares by code point; ``contains`` ignores case (Unicode case folding).
- A span without the value (no cost, no such tag, no such score) satisfies no condition on it but ``!=``, which is
  always exactly the opposite of ``=``.
- ``score:NAME`` is satisfied when any score of that name is: for a root span the scores of its whole trace, for others
  those that name the span and those that name only the trace.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final, get_args

from trimtab.core import COLUMNS, BadInput, Filter, SpanQuery
from trimtab.core.query import Op

from .rows import id_in

OPS: Final = get_args(Op)
_NUMBERS: Final = {
    "input_tokens": "s.input_tokens",
    "output_tokens": "s.output_tokens",
    "cost_usd": "s.cost_usd",
    "duration_ms": "(max(0, s.end_ns - s.start_ns) / 1e6)",
    "ttft_ms": "(s.ttft_ns / 1e6)",
}
_TEXTS: Final = {name: f"s.{name.replace('.', '_')}" for name in COLUMNS if name not in _NUMBERS and name != "trace_id"}
_TRACE_ID: Final = "(CASE typeof(s.trace_id) WHEN 'blob' THEN lower(hex(s.trace_id)) ELSE s.trace_id END)"
_CURSOR: Final = re.compile(r"(\d{1,19})\.(\d{1,19})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTest:
    """``score:NAME op value``, as it is put to the scores that lie in other files than the span."""

    name: str
    op: str
    value: float

    @property
    def sql(self) -> str:
        """Whether there is such a score; parameters as in ``parameters``."""
        return (
            f"SELECT 1 FROM scores c WHERE c.trace_id = ? AND c.name = ? AND c.value {self.op} ?"
            " AND (? = '' OR c.span_id = '' OR c.span_id = ?) LIMIT 1"
        )

    def parameters(self, trace_id: Any, span_id: Any, parent_id: Any) -> tuple[Any, ...]:
        """The parameters of ``sql`` for one span, ids as stored."""
        return (trace_id, self.name, self.value, parent_id, span_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A query's condition on ``spans s`` joined with ``payloads p``; ``score_elsewhere`` gets an index of ``tests``."""

    where: str
    parameters: tuple[Any, ...]
    tests: tuple[ScoreTest, ...]
    limit: int


def compile_query(query: SpanQuery) -> Compiled:
    """Check a query and turn it into SQL. Raises BadInput, naming the field and what would be right."""
    if not 1 <= query.limit <= 1000:
        raise BadInput(f"{query.limit} is not a page size.", field="limit", mend="Use 1 to 1000.")
    where: list[str] = []
    parameters: list[Any] = []
    tests: list[ScoreTest] = []
    if query.roots:
        where.append("s.parent_id = ''")
    for bound, sql in ((query.since_ns, "s.start_ns >= ?"), (query.until_ns, "s.start_ns < ?")):
        if bound:
            where.append(sql)
            parameters.append(_whole(bound))
    if query.cursor:
        where.append("(s.start_ns, s.seq) < (?, ?)")
        parameters.extend(read_cursor(query.cursor))
    for position, one in enumerate(query.filters):
        sql, values = _condition(one, f"filters[{position}]", tests)
        where.append(sql)
        parameters.extend(values)
    if query.text:
        where.append("said(p.dictionary, p.data, ?)")
        parameters.append(_unicode(query.text, "text").casefold())
    return Compiled(
        where=" AND ".join(where) or "1", parameters=tuple(parameters), tests=tuple(tests), limit=query.limit
    )


def make_cursor(start_ns: int, seq: int) -> str:
    """The cursor of the page after a span."""
    return f"{start_ns}.{seq}"


def read_cursor(cursor: str) -> tuple[int, int]:
    """The span that a cursor points behind, as (start, seq). Raises BadInput."""
    if (found := _CURSOR.fullmatch(cursor)) is None:
        raise BadInput(f"{cursor!r} is no cursor.", field="cursor", mend="Use the one that the page before returned.")
    return _whole(int(found[1])), _whole(int(found[2]))


def _condition(one: Filter, field: str, tests: list[ScoreTest]) -> tuple[str, tuple[Any, ...]]:
    if one.op not in OPS:
        raise BadInput(f"{one.op!r} is no comparison.", field=f"{field}.op", mend=f"Use one of {', '.join(OPS)}.")
    kind, _, name = one.column.partition(":")
    if one.column in _NUMBERS:
        return _number(_NUMBERS[one.column], one, field)
    if one.column == "trace_id":
        return _trace(one, field)
    if one.column in _TEXTS:
        sql, value = _text_test(_TEXTS[one.column], one, field)
        return sql, (value,)
    if kind == "tag" and name:
        return _tag(_unicode(name, f"{field}.column"), one, field)
    if kind == "score" and name:
        return _score(_unicode(name, f"{field}.column"), one, field, tests)
    raise BadInput(
        f"there is no column {one.column!r}.",
        field=f"{field}.column",
        mend=f"Use one of {', '.join(COLUMNS)}, tag:NAME or score:NAME.",
    )


def _text_test(expression: str, one: Filter, field: str) -> tuple[str, str]:
    value = _text_value(one, field)
    if one.op == "contains":
        return f"folds({expression}, ?)", value.casefold()
    return f"{expression} {one.op} ?", value


def _trace(one: Filter, field: str) -> tuple[str, tuple[Any, ...]]:
    if one.op in ("=", "!="):
        return f"s.trace_id {one.op} ?", (id_in(_text_value(one, field)),)
    sql, value = _text_test(_TRACE_ID, one, field)
    return sql, (value,)


def _number(expression: str, one: Filter, field: str) -> tuple[str, tuple[Any, ...]]:
    value = _number_value(one, field)
    if one.op == "!=":
        return f"{expression} IS NOT ?", (value,)
    return f"{expression} {one.op} ?", (value,)


def _tag(name: str, one: Filter, field: str) -> tuple[str, tuple[Any, ...]]:
    # ``tag`` is a function of ours, for SQLite's own reading of JSON loses the rest of a text after a NUL.
    if one.op == "!=":
        return "tag(s.tags, ?) IS NOT ?", (name, _text_value(one, field))
    sql, value = _text_test("tag(s.tags, ?)", one, field)
    return sql, (name, value)


def _score(name: str, one: Filter, field: str, tests: list[ScoreTest]) -> tuple[str, tuple[Any, ...]]:
    test = ScoreTest(name=name, op="=" if one.op == "!=" else one.op, value=_number_value(one, field))
    tests.append(test)
    negation = "NOT " if one.op == "!=" else ""
    sql = (
        f"{negation}(EXISTS (SELECT 1 FROM scores c WHERE c.trace_id = s.trace_id AND c.name = ?"
        f" AND c.value {test.op} ? AND (s.parent_id = '' OR c.span_id = '' OR c.span_id = s.span_id))"
        f" OR score_elsewhere({len(tests) - 1}, s.trace_id, s.span_id, s.parent_id))"
    )
    return sql, (name, test.value)


def _text_value(one: Filter, field: str) -> str:
    if not isinstance(one.value, str):
        raise BadInput(
            f"{one.column} is text, and {one.value!r} is not.", field=f"{field}.value", mend="Put it in quotes."
        )
    return _unicode(one.value, f"{field}.value")


def _number_value(one: Filter, field: str) -> float:
    if one.op == "contains":
        raise BadInput(
            f"{one.column} is a number and contains nothing.", field=f"{field}.op", mend="Use =, !=, <, <=, > or >=."
        )
    try:
        value = math.nan if isinstance(one.value, bool) else float(one.value)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if math.isnan(value):
        raise BadInput(
            f"{one.column} is a number, and {one.value!r} is not.", field=f"{field}.value", mend="Give a number."
        )
    return value


def _unicode(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{text!r} is not valid Unicode.", field=field, mend="Remove the lone surrogates.") from error
    return text


def _whole(value: int) -> int:
    """Within what the database can hold; what lies outside compares the same as the outermost number."""
    return max(-(1 << 63), min(value, (1 << 63) - 1))
