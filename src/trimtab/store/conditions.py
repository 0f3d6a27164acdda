"""A SpanQuery, checked: what every span store compiles to its own SQL. Pure.

What a condition means is said once, in the door (``Spans``).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from trimtab.core import COLUMNS, NUMBERS, BadInput, Filter, SpanQuery
from trimtab.core.query import Op

OPS: Final = get_args(Op)
MOST_VALUES: Final = 1000
_CURSOR: Final = re.compile(r"(\d{1,19})\.(\d{1,19})")
Kind = Literal["number", "text", "tag", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A checked Filter. ``name`` is the column, the tag's name or the score's name. ``values`` are texts for text and
    tags (case-folded for ``contains``), floats for numbers and scores (the infinities are possible, NaN is not): one,
    several for ``in``, and the single float 0.0 or 1.0 for ``exists``."""

    kind: Kind
    name: str
    op: Op
    values: tuple[str | float, ...]

    @property
    def negated(self) -> bool:
        """Whether it holds exactly where its ``positive`` does not."""
        return self.op == "!=" or (self.op == "exists" and self.values == (0.0,))

    @property
    def positive(self) -> Op:
        """The operator of what is negated: ``=`` for ``!=``; otherwise its own."""
        return "=" if self.op == "!=" else self.op


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A checked query. ``since_ns`` and ``until_ns`` are 0 for no bound. ``text`` is case-folded. ``after`` is the
    start and the number of the last span of the page before."""

    since_ns: int
    until_ns: int
    roots: bool
    conditions: tuple[Condition, ...]
    text: str
    limit: int
    after: tuple[int, int] | None


def check(query: SpanQuery) -> Checked:
    """Raises BadInput, naming the field and what would be right."""
    if not 1 <= query.limit <= 1000:
        raise BadInput(f"{query.limit} is not a page size.", field="limit", mend="Use 1 to 1000.")
    return Checked(
        since_ns=whole(query.since_ns),
        until_ns=whole(query.until_ns),
        roots=query.roots,
        conditions=tuple(_condition(one, f"filters[{place}]") for place, one in enumerate(query.filters)),
        text=_unicode(query.text, "text").casefold(),
        limit=query.limit,
        after=read_cursor(query.cursor) if query.cursor else None,
    )


def make_cursor(start_ns: int, seq: int) -> str:
    """The cursor of the page after a span."""
    return f"{start_ns}.{seq}"


def read_cursor(text: str) -> tuple[int, int]:
    """The start and the number of the span that a cursor names. Raises BadInput."""
    found = _CURSOR.fullmatch(text)
    if not found:
        raise BadInput(f"{text!r} is no cursor.", field="cursor", mend="Use the cursor of the page before.")
    return whole(int(found[1])), whole(int(found[2]))


def whole(value: int) -> int:
    """Within what a database can hold; what lies outside compares the same as the outermost number."""
    return max(-(1 << 63), min(value, (1 << 63) - 1))


def _condition(one: Filter, field: str) -> Condition:
    if one.op not in OPS:
        raise BadInput(f"{one.op!r} compares nothing.", field=f"{field}.op", mend=f"Use one of {', '.join(OPS)}.")
    kind, name = _named(one.column, field)
    number = kind in ("number", "score")
    if number and one.op == "contains":
        raise BadInput(
            f"{one.column} is a number and contains nothing.",
            field=f"{field}.op",
            mend="Use =, !=, <, <=, >, >=, in or exists.",
        )
    if one.op == "exists":
        return Condition(kind=kind, name=name, op=one.op, values=(_yes_or_no(one, field),))
    values = tuple(_number(value, one, field) if number else _text(value, one, field) for value in _listed(one, field))
    return Condition(kind=kind, name=name, op=one.op, values=values)


def _named(column: str, field: str) -> tuple[Kind, str]:
    prefix, _, name = column.partition(":")
    if column in COLUMNS:
        return "number" if column in NUMBERS else "text", column
    if prefix in ("tag", "score") and name:
        return "tag" if prefix == "tag" else "score", _unicode(name, f"{field}.column")
    raise BadInput(
        f"there is no column {column!r}.",
        field=f"{field}.column",
        mend=f"Use one of {', '.join(COLUMNS)}, tag:NAME or score:NAME.",
    )


def _listed(one: Filter, field: str) -> tuple[str | float, ...]:
    listed = isinstance(one.value, tuple | list)
    if listed != (one.op == "in"):
        what, mend = ("a list", "Use in.") if listed else ("one value", "Give a list of values, or use =.")
        raise BadInput(f"{one.op} does not take {what}.", field=f"{field}.value", mend=mend)
    values = tuple(one.value) if isinstance(one.value, tuple | list) else (one.value,)
    if not 1 <= len(values) <= MOST_VALUES:
        raise BadInput(f"{len(values)} values.", field=f"{field}.value", mend=f"Use 1 to {MOST_VALUES}.")
    return values


def _yes_or_no(one: Filter, field: str) -> float:
    if one.value in (0, 1) and not isinstance(one.value, str):
        return float(bool(one.value))
    raise BadInput(f"exists is 1 or 0, not {one.value!r}.", field=f"{field}.value", mend="Use 1 or 0.")


def _text(value: object, one: Filter, field: str) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{one.column} is text, and {value!r} is not.", field=f"{field}.value", mend="Put it in quotes.")
    value = _unicode(value, f"{field}.value")
    return value.casefold() if one.op == "contains" else value


def _number(value: object, one: Filter, field: str) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise BadInput(
            f"{one.column} is a number, and {value!r} is not.", field=f"{field}.value", mend="Give a number."
        )
    return number


def _unicode(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{text!r} is not valid Unicode.", field=field, mend="Remove the lone surrogates.") from error
    return text
