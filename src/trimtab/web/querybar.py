"""The query bar: what was typed as a question, its window, and what is wrong with it where it cannot be read. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from trimtab.core import BadInput, Filter, SpanQuery
from trimtab.traces import QueryError, parse_query, quoted

from . import words
from .frame import OWN_PROJECT

#: Rows of a page of a list.
PAGE = 50
#: Name in the address, on the page, and seconds back from now; 0 is all there is.
WINDOWS = (("15m", "15 min", 900), ("1h", "1 h", 3600), ("6h", "6 h", 21_600), ("7d", "7 d", 604_800), ("", "all", 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A query that cannot be read, cut around the word at fault."""

    before: str
    word: str
    after: str
    message: str


def asked_query(q: str, window: str, now_ns: int) -> SpanQuery:
    """The query of a list: the language's filters, the window, and none of Trimtab's own requests.

    Raises QueryError, which points at the word.
    """
    return replace(without_own(parse_query(q)), since_ns=since_of(window, now_ns), limit=PAGE)


def bounds_of(since: str, until: str) -> tuple[int, int]:
    """The two ends of a stretch of time in the address, nanoseconds; 0 is no bound, and so is what is no number."""
    found = [int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0 for text in (since, until)]
    return found[0], found[1]


def since_of(window: str, now_ns: int) -> int:
    """Where a window of this name begins; 0 where it has no bound."""
    seconds = next((length for name, _, length in WINDOWS if name == window), 0)
    return now_ns - seconds * words.SECOND if seconds else 0


def without_own(query: SpanQuery) -> SpanQuery:
    """The query without Trimtab's own requests, unless it asks for a project by name."""
    if any(one.column == "project" for one in query.filters):
        return query
    return replace(query, filters=(*query.filters, Filter(column="project", op="!=", value=OWN_PROJECT)))


def condition(column: str, value: str) -> str:
    """``column=value`` as the language writes it."""
    return f"{column}={quoted(value)}" if value else f"no:{column}"


def mistake(q: str, error: BadInput) -> Mistake:
    """Point at the word."""
    said = error.message
    if isinstance(error, QueryError):  # its message begins with the place, which the mark shows already
        said = said.partition(f"{error.word!r}: ")[2] or said
    message = f"{said[:1].upper()}{said[1:].rstrip('.')}. {error.mend}"
    if not isinstance(error, QueryError):
        return Mistake(before="", word=q, after="", message=message)
    end = error.position + len(error.word)
    return Mistake(before=q[: error.position], word=q[error.position : end], after=q[end:], message=message)


def address(path: str, **parts: str) -> str:
    """A path with those of its parameters that are not empty."""
    kept = {name: value for name, value in parts.items() if value}
    return path + (f"?{urlencode(kept)}" if kept else "")
