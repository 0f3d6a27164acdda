"""A checked query as SQL over one day file. Pure: only the fixed texts below reach the database, every value is bound.

Some columns are read by functions of ours that a reader's connection has: ``folds`` (contains), ``tag``, ``error``,
``said`` and ``said_block`` (of a payload or a block), ``score_elsewhere`` (scores that lie in other files).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from trimtab.core import COLUMNS, NUMBERS

from .blocks import COLUMNS as STORED
from .conditions import Checked, Condition
from .rows import id_in

_IDS: Final = ("trace_id", "span_id", "parent_id")
_NUMBERS: Final = {name: f"s.{name}" for name in NUMBERS} | {
    "duration_ms": "(max(0, s.end_ns - s.start_ns) / 1e6)",
    "ttft_ms": "(s.ttft_ns / 1e6)",
}
_ERROR: Final = f"error({STORED})"
#: The texts of a root lie by themselves, those of other spans mostly in blocks.
_SAID: Final = "said(p.dictionary, p.data)"
_SAID_ANYWHERE: Final = f"CASE WHEN p.seq IS NULL THEN said_block(s.seq, b.seq, b.dictionary, b.data) ELSE {_SAID} END"
_TEXTS: Final = (
    {name: f"s.{name.replace('.', '_')}" for name in COLUMNS if name not in NUMBERS}
    | {name: f"(CASE typeof(s.{name}) WHEN 'blob' THEN lower(hex(s.{name})) ELSE s.{name} END)" for name in _IDS}
    | {"error": _ERROR}
)
#: Columns with an index of the spans that have a value, by start (schema 2).
_INDEXED: Final = ("model", "stamp.prompt", "session")
#: The scores of a trace: without statistics SQLite would rather look through all of one name.
SCORES: Final = "scores c INDEXED BY scores_trace"
#: Whether a score ``c`` of a span's trace is about the span ``s``.
OWN: Final = "(s.parent_id = '' OR c.span_id = '' OR c.span_id = s.span_id)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTest:
    """A condition on scores, as it is put to those that lie in other files than the span."""

    name: str
    test: str
    values: tuple[float, ...]
    negated: bool

    @property
    def sql(self) -> str:
        """Whether there is such a score; parameters as in ``parameters``."""
        return (
            f"SELECT 1 FROM {SCORES} WHERE c.trace_id = ? AND c.name = ?{self.test}"
            " AND (? = '' OR c.span_id = '' OR c.span_id = ?) LIMIT 1"
        )

    def parameters(self, trace_id: Any, span_id: Any, parent_id: Any) -> tuple[Any, ...]:
        """The parameters of ``sql`` for one span, ids as stored."""
        return (trace_id, self.name, *self.values, parent_id, span_id)

    @property
    def traces_sql(self) -> str:
        """The traces with such a score, at most as many as the last parameter says; before it ``traces_parameters``."""
        return f"SELECT DISTINCT c.trace_id FROM scores c WHERE c.name = ?{self.test} LIMIT ?"

    @property
    def traces_parameters(self) -> tuple[Any, ...]:
        """The parameters of ``traces_sql`` but the last."""
        return (self.name, *self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A condition on ``spans s``, with what ``blocks`` joins where ``payload`` says so; ``score_elsewhere`` gets an
    index of ``tests``."""

    where: str
    parameters: tuple[Any, ...]
    tests: tuple[ScoreTest, ...] = ()
    payload: bool = False


def compile_query(query: Checked, *, apart: bool = False) -> Compiled:
    """Turn a query into SQL; its limit is the caller's. ``apart`` asks for scores in other files than the span's."""
    where: list[str] = []
    parameters: list[Any] = []
    tests: list[ScoreTest] = []
    if query.roots:
        where.append("s.parent_id = ''")
    for bound, sql in ((query.since_ns, "s.start_ns >= ?"), (query.until_ns, "s.start_ns < ?")):
        if bound:
            where.append(sql)
            parameters.append(bound)
    if query.after is not None:
        where.append("(s.start_ns, s.seq) < (?, ?)")
        parameters.extend(query.after)
    for condition in query.conditions:
        sql, values = _scored(condition, tests, apart=apart) if condition.kind == "score" else _tested(condition)
        where.append(f"NOT coalesce({sql}, 0)" if condition.negated else sql)
        parameters.extend(values)
    if query.text:
        where.append(_SAID if query.roots else _SAID_ANYWHERE)
    return Compiled(
        where=" AND ".join(where) or "1",
        parameters=tuple(parameters),
        tests=tuple(tests),
        payload=bool(query.text) or any(one.name == "error" and one.kind == "text" for one in query.conditions),
    )


def column_sql(column: str) -> tuple[str, tuple[str, ...]]:
    """The value of a column or ``tag:NAME`` as SQL, with its parameters."""
    if column.startswith("tag:"):
        # ``tag`` is a function of ours, for SQLite's own reading of JSON loses the rest of a text after a NUL.
        return "tag(s.tags, ?)", (column[len("tag:") :],)
    return (_NUMBERS.get(column) or _TEXTS[column]), ()


def reads_payload(column: str) -> bool:
    """Whether the column lies in ``payloads p``."""
    return column == "error"


def _tested(one: Condition) -> tuple[str, tuple[Any, ...]]:
    expression, parameters = column_sql(f"tag:{one.name}" if one.kind == "tag" else one.name)
    if one.kind == "text" and one.name in _IDS and one.positive in ("=", "in"):
        ids = tuple(id_in(str(value)) for value in one.values)
        return f"s.{one.name}{_test(one)}", ids
    if one.op == "contains":
        return f"folds({expression}, ?)", (*parameters, *one.values)
    if one.op == "exists":
        return f"{expression} IS NOT NULL" if one.kind == "number" else f"{expression} != ''", parameters
    sql = f"{expression}{_test(one)}"
    if one.op in ("=", "in") and one.kind == "text" and one.name in _INDEXED and "" not in one.values:
        sql += f" AND {expression} != ''"  # The index holds no empty texts.
    return sql, (*parameters, *one.values)


def _test(one: Condition) -> str:
    if one.op == "in":
        return f" IN (?{', ?' * (len(one.values) - 1)})"
    return f" {one.positive} ?"


def _scored(one: Condition, tests: list[ScoreTest], *, apart: bool) -> tuple[str, tuple[Any, ...]]:
    exists = one.op == "exists"
    test = ScoreTest(
        name=one.name,
        test="" if exists else f" AND c.value{_test(one)}",
        values=() if exists else tuple(float(value) for value in one.values),
        negated=one.negated,
    )
    tests.append(test)
    sql = f"EXISTS (SELECT 1 FROM {SCORES} WHERE c.trace_id = s.trace_id AND c.name = ?{test.test} AND {OWN})"
    if apart:
        sql = f"({sql} OR score_elsewhere({len(tests) - 1}, s.trace_id, s.span_id, s.parent_id))"
    return sql, (test.name, *test.values)
