"""The query language of the search box and the command line: ``model=gpt-4o score:cites<1 tag:topic=gateway words``.

A word is a condition (``column op value``) or text to find. Quotes keep spaces and operators together:
``tag:team="two words"``, ``"a=b"``. ``model=(a,b)`` is one of several, ``has:cost`` and ``no:tag:team`` ask whether
there is a value. ``in:spans`` looks at every span and ``in:calls`` at the calls of models, where otherwise the root of
each trace is meant. Words that are no condition are looked for as one phrase.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from trimtab.core import COLUMNS, NUMBERS, BadInput, Filter, SpanQuery
from trimtab.core.query import Op

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
    "span": "span_id",
    "parent": "parent_id",
}
#: Kinds of spans that are calls of a model: with ``in:calls`` each is counted by itself.
CALLS = ("llm", "embedding")
SCOPES = ("spans", "calls")
OPS: tuple[Op, ...] = get_args(Op)
_SIGNS: dict[str, Op] = {"!=": "!=", "<=": "<=", ">=": ">=", "=": "=", "<": "<", ">": ">", "~": "contains"}
_SIGN = re.compile(r"!=|<=|>=|=|<|>|~")
_EXISTS = re.compile(r"(has|no):(.+)", re.DOTALL)
_PART = re.compile(r'\s*((?:"(?:[^"\\]|\\.)*"|[^",])*?)\s*(?:,|$)', re.DOTALL)
_WORD = re.compile(r'\s*((?:"(?:[^"\\]|\\.)*"?|[^\s"])+)', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)("?)', re.DOTALL)
_UNITS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0}
_LENGTH = re.compile(r"([0-9.]+)(ms|s|m)")
_NAME_LIMIT = 200
_MOST_VALUES = 1000


class QueryError(BadInput):
    """A query that cannot be read. ``position`` is where its faulty ``word`` starts, counted from 0."""

    def __init__(self, message: str, *, word: str, position: int, mend: str) -> None:
        super().__init__(f"at {position + 1}, {word!r}: {message}", field="q", mend=mend)
        self.word = word
        self.position = position


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a query and where it starts, counted from 0."""

    text: str
    position: int


def parse_query(text: str) -> SpanQuery:
    """Read a query for a list of traces or spans. Raises QueryError, which points at the word."""
    words = words_of(text)
    if bar := next((word for word in words if word.text == "|"), None):
        raise error_at(bar, "a list has no groups", 'Ask `trimtab trace stats`, or write "|" to search for it.')
    return query_of_words(words)


def query_of_words(words: Iterable[Word]) -> SpanQuery:
    """The query of some words, none of them a bar. Raises QueryError."""
    filters: list[Filter] = []
    phrase: list[str] = []
    roots = True
    for word in words:
        if word.text.startswith("in:"):
            roots = False
            filters += _scope(word)
            continue
        if asked := _EXISTS.fullmatch(word.text):
            filters.append(_filter(word, asked[2], "exists", 1.0 if asked[1] == "has" else 0.0))
            continue
        sign = None if word.text.startswith('"') else _SIGN.search(word.text)
        if sign is None:
            phrase.append(unquoted(word, word.text))
            continue
        column = word.text[: sign.start()]
        if '"' in column:
            raise error_at(word, "a quote stands before the operator", 'Quote the value only: tag:topic="two words".')
        rest = word.text[sign.end() :]
        if rest.startswith("(") and rest.endswith(")") and sign[0] in ("=", "!="):
            filters += _one_of(word, column, sign[0], rest[1:-1])
        else:
            filters.append(_filter(word, column, _SIGNS[sign[0]], unquoted(word, rest)))
    return SpanQuery(filters=tuple(filters), text=" ".join(phrase), roots=roots)


def _filter(word: Word, column: str, op: str, value: str | float | tuple[str, ...]) -> Filter:
    try:
        return make_filter(column, op, value)
    except BadInput as error:
        raise error_at(word, error.message, error.mend) from None


def _one_of(word: Word, column: str, sign: str, inside: str) -> list[Filter]:
    """``column=(a,b)``: one of them, or with ``!=`` none of them."""
    values = tuple(unquoted(word, part[1]) for part in _PART.finditer(inside) if part.start() < len(inside) or part[1])
    if not values:
        raise error_at(word, "the list is empty", "Write values with commas between: model=(a,b).")
    if sign == "!=":
        return [_filter(word, column, "!=", value) for value in values]
    return [_filter(word, column, "in", values)]


def _scope(word: Word) -> list[Filter]:
    scope = word.text[len("in:") :]
    if scope not in SCOPES:
        raise error_at(word, f"{scope!r} is not where one can look", "Write in:spans or in:calls.")
    return [Filter(column="kind", op="in", value=CALLS)] if scope == "calls" else []


def make_filter(column: str, op: str, value: str | float | Sequence[str | float]) -> Filter:
    """A checked condition: a known column (short names too), an operator that fits it, a number where one is due.

    Raises BadInput with field ``filter``.
    """
    name = column_of(column)
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
    if op == "exists":
        return Filter(column=name, op=op, value=_yes_or_no(value))
    if op == "in":
        if isinstance(value, str | int | float) or not 1 <= len(value) <= _MOST_VALUES:
            raise BadInput("that is no list", field="filter", mend=f"Give 1 to {_MOST_VALUES} values.")
        return Filter(column=name, op=op, value=tuple(_number(name, v) if number else str(v) for v in value))
    if not isinstance(value, str | int | float):
        raise BadInput(f"{op} takes no list", field="filter", mend="Use in, or give one value.")
    if number and op == "contains":
        raise BadInput(f"{column!r} holds numbers", field="filter", mend="Compare it with =, !=, <, <=, > or >=.")
    if not number and op not in ("=", "!=", "contains"):  # Text in order of its code points helps no person.
        raise BadInput(f"{column!r} holds text", field="filter", mend="Compare it with =, != or ~ (contains).")
    return Filter(column=name, op=op, value=_number(name, value) if number else str(value))


def column_of(name: str) -> str:
    """The column of a short name; any other name as it is."""
    return SHORT.get(name, name)


def _yes_or_no(value: object) -> float:
    if value in (0, 1, "0", "1"):
        return float(value)
    raise BadInput("exists is 1 or 0", field="filter", mend="Use 1 where there is to be a value, 0 where none.")


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


def words_of(text: str) -> list[Word]:
    """The words of a query, quotes kept."""
    return [Word(match[1], match.start(1)) for match in _WORD.finditer(text)]


def unquoted(word: Word, text: str) -> str:
    """The text without its quotes; a backslash keeps the next character as it is."""

    def plain(match: re.Match[str]) -> str:
        if not match[2]:
            raise error_at(word, "the quote is not closed", 'Close it with ".')
        return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL)

    return _QUOTED.sub(plain, text)


def error_at(word: Word, message: str, mend: str) -> QueryError:
    """An error that points at a word."""
    return QueryError(message, word=word.text, position=word.position, mend=mend)
