"""The query language of the search box and the command line: ``model=gpt-4o score:cites<1 tag:topic=gateway words``.

A word is a condition (``column op value``) or text to find. Quotes keep spaces and operators together:
``tag:team="two words"``, ``"a=b"``. Words that are no condition are looked for as one phrase.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from trimtab.core import COLUMNS, BadInput, Filter, SpanQuery
from trimtab.core.query import Op

NUMBERS = frozenset({"input_tokens", "output_tokens", "cost_usd", "duration_ms", "ttft_ms"})
SHORT = {
    "prompt": "stamp.prompt",
    "knowledge": "stamp.knowledge",
    "guard": "stamp.guard",
    "route": "stamp.route",
    "cost": "cost_usd",
    "latency": "duration_ms",
    "duration": "duration_ms",
    "ttft": "ttft_ms",
    "trace": "trace_id",
}
OPS: tuple[Op, ...] = get_args(Op)
_SIGNS: dict[str, Op] = {"!=": "!=", "<=": "<=", ">=": ">=", "=": "=", "<": "<", ">": ">", "~": "contains"}
_SIGN = re.compile(r"!=|<=|>=|=|<|>|~")
_WORD = re.compile(r'\s*((?:"(?:[^"\\]|\\.)*"?|[^\s"])+)', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)("?)', re.DOTALL)
_UNITS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0}
_LENGTH = re.compile(r"([0-9.]+)(ms|s|m)")
_NAME_LIMIT = 200


class QueryError(BadInput):
    """A query that cannot be read. ``position`` is where its faulty ``word`` starts, counted from 0."""

    def __init__(self, message: str, *, word: str, position: int, mend: str) -> None:
        super().__init__(f"at {position + 1}, {word!r}: {message}", field="q", mend=mend)
        self.word = word
        self.position = position


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    position: int


def parse_query(text: str) -> SpanQuery:
    """Read a query. Raises QueryError, which points at the word."""
    filters: list[Filter] = []
    phrase: list[str] = []
    for word in _words(text):
        sign = None if word.text.startswith('"') else _SIGN.search(word.text)
        if sign is None:
            phrase.append(_unquoted(word, word.text))
            continue
        column = word.text[: sign.start()]
        if '"' in column:
            raise _error(word, "a quote stands before the operator", 'Quote the value only: tag:topic="two words".')
        value = _unquoted(word, word.text[sign.end() :])
        try:
            filters.append(make_filter(column, _SIGNS[sign[0]], value))
        except QueryError:
            raise
        except BadInput as error:
            raise _error(word, error.message, error.mend) from None
    return SpanQuery(filters=tuple(filters), text=" ".join(phrase))


def make_filter(column: str, op: str, value: str | float) -> Filter:
    """A checked condition: a known column (short names too), an operator that fits it, a number where one is due.

    Raises BadInput with field ``filter``.
    """
    name = SHORT.get(column, column)
    kind, _, rest = name.partition(":")
    if kind in ("tag", "score") and ":" in name:
        if not rest or len(rest) > _NAME_LIMIT:
            raise BadInput(f"{column!r} names no {kind}", field="filter", mend=f"Write {kind}:NAME.")
    elif name not in COLUMNS:
        near = difflib.get_close_matches(column, [*SHORT, *COLUMNS, "tag:NAME", "score:NAME"], n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Columns: {', '.join(COLUMNS)}, tag:NAME, score:NAME."
        raise BadInput(f"{column!r} is not a column", field="filter", mend=f"{hint} Quote it to search for it as text.")
    if op not in OPS:
        raise BadInput(f"{op!r} is not an operator", field="filter", mend=f"Use one of {' '.join(OPS)}.")
    number = kind == "score" or name in NUMBERS
    if number and op == "contains":
        raise BadInput(f"{column!r} holds numbers", field="filter", mend="Compare it with =, !=, <, <=, > or >=.")
    if not number and op not in ("=", "!=", "contains"):
        raise BadInput(f"{column!r} holds text", field="filter", mend="Compare it with =, != or ~ (contains).")
    return Filter(column=name, op=op, value=_number(name, value) if number else str(value))


def _number(column: str, value: str | float) -> float:
    """A finite number; a length of time may carry ms, s or m."""
    text = str(value).strip()
    length = _LENGTH.fullmatch(text) if column.endswith("_ms") else None
    try:
        number = float(length[1]) * _UNITS[length[2]] if length else float(text)
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        example = "2s or 350" if column.endswith("_ms") else "0.5"
        raise BadInput(f"{text[:40]!r} is not a number", field="filter", mend=f"Write a number such as {example}.")
    return number


def _words(text: str) -> Iterable[_Word]:
    for match in _WORD.finditer(text):
        yield _Word(match[1], match.start(1))


def _unquoted(word: _Word, text: str) -> str:
    """The text without its quotes; a backslash keeps the next character as it is."""

    def plain(match: re.Match[str]) -> str:
        if not match[2]:
            raise _error(word, "the quote is not closed", 'Close it with ".')
        return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL)

    return _QUOTED.sub(plain, text)


def _error(word: _Word, message: str, mend: str) -> QueryError:
    return QueryError(message, word=word.text, position=word.position, mend=mend)
