"""What may come next in a query or a question: columns, operators, known values, clauses and measures. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trimtab.core import COLUMNS, GROUPABLE, NUMBERS, STATISTICS

from .language import SCOPES, SHORT, Word, column_of, words_of
from .questions import PLAIN, PREVIOUS

#: Suggestions at once.
MOST: Final = 20
_SIGN: Final = re.compile(r"!=|<=|>=|=|<|>|~")
_TEXT_SIGNS: Final = ("=", "!=", "~")
_NUMBER_SIGNS: Final = ("<", ">", "=", "!=", "<=", ">=")
_LENGTHS: Final = ("time:1h", "time:10m", "time:1m", "time:1d")
#: Under these names the known names of tags and scores are given in.
TAG_NAMES: Final = "tag:"
SCORE_NAMES: Final = "score:"
_NAMED: Final = (TAG_NAMES, SCORE_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """``text`` would stand in place of the characters from ``start`` to ``end``; ``note`` says what it is."""

    text: str
    start: int
    end: int
    note: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the cursor is: the word under it up to the cursor, the words before it in its clause, and whether that is
    the query before the first bar."""

    word: Word
    before: Sequence[Word]
    first: bool


def complete(text: str, cursor: int, known: Mapping[str, Sequence[str]]) -> list[Suggestion]:
    """What may stand at the cursor (characters from the start), the likeliest first, at most ``MOST``.

    ``known`` gives the values of columns by their full names, and the names of tags and scores under ``TAG_NAMES`` and
    ``SCORE_NAMES``; ``wanted`` says which of them matter.
    """
    cursor = max(0, min(cursor, len(text)))
    place = _place(text, cursor)
    found: dict[str, str] = {}
    start = place.word.position
    if place.first and (sign := _SIGN.search(place.word.text)) and not place.word.text.startswith('"'):
        start += sign.end()
        typed = place.word.text[sign.end() :].lstrip('"(')
        values = known.get(column_of(place.word.text[: sign.start()]), ())
        found = {quoted(value): "value" for value in values if typed.casefold() in value.casefold()}
    else:
        choices = list(_conditions(known) if place.first else _clause(place, known))
        if place.before and not place.word.text:
            choices.insert(0, ("|", "groups" if place.first else "another clause"))
        typed = place.word.text.rpartition(",")[2]
        start += len(place.word.text) - len(typed)
        if place.first and (column := column_of(typed)) and _is_column(column):
            number = column in NUMBERS or column.startswith("score:")
            found = {f"{typed}{sign}": "operator" for sign in (_NUMBER_SIGNS if number else _TEXT_SIGNS)}
        found |= {text: note for text, note in choices if text.startswith(typed) and text != typed}
    end = max(cursor, start)
    return [Suggestion(text=text, start=start, end=end, note=note) for text, note in list(found.items())[:MOST]]


def wanted(text: str, cursor: int) -> str:
    """The column whose values would help at the cursor, ``TAG_NAMES`` or ``SCORE_NAMES`` for names; empty for none."""
    place = _place(text, max(0, min(cursor, len(text))))
    word = place.word.text
    sign = _SIGN.search(word)
    if place.first and sign and not word.startswith('"'):
        column = column_of(word[: sign.start()])
        return column if column in GROUPABLE or (column.startswith("tag:") and column != "tag:") else ""
    typed = word.rpartition(",")[2]
    typed = typed.removeprefix("has:").removeprefix("no:") if place.first else typed
    return next((names for names in _NAMED if typed.startswith(names)), "")


def _place(text: str, cursor: int) -> _Place:
    words = words_of(text[:cursor])
    under = Word("", cursor)
    if words and words[-1].position + len(words[-1].text) == cursor:
        under = words.pop()
    bars = [place for place, word in enumerate(words) if word.text == "|"]
    return _Place(word=under, before=words[bars[-1] + 1 :] if bars else words, first=not bars)


def _conditions(known: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, str]]:
    """What a condition may begin with."""
    columns = [*SHORT, *(column for column in COLUMNS if column not in SHORT.values())]
    yield from ((column, "number" if column_of(column) in NUMBERS else "text") for column in columns)
    for prefix in _NAMED:
        yield prefix, "name"
        yield from ((_spaced(prefix + name), "name") for name in known.get(prefix, ()))
    yield from ((f"in:{scope}", "where to look") for scope in SCOPES)
    for prefix in ("has:", "no:"):
        yield prefix, "whether there is a value"
        yield from ((f"{prefix}{column}", "whether there is a value") for column in columns)
        yield from ((_spaced(f"{prefix}{kind}{name}"), "name") for kind in _NAMED for name in known.get(kind, ()))


def _clause(place: _Place, known: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, str]]:
    """What may come next in a clause after a bar."""
    words = [word.text for word in place.before]
    if not words:
        yield from (("by", "group by"), ("top", "the largest groups"), ("bottom", "the smallest groups"))
        yield "compare", "two windows or two versions"
        yield from _measures()
    elif words[0] == "by":
        yield from ((length, "time") for length in _LENGTHS)
        yield from ((_short(column), "column") for column in GROUPABLE)
        yield "tag:", "name"
        yield from ((_spaced(f"tag:{name}"), "name") for name in known.get(TAG_NAMES, ()))
    elif words[0] in ("top", "bottom"):
        yield from _after_top(words, known)
    elif words[0] == "compare":
        if len(words) == 1:
            yield PREVIOUS, "the window before"
            yield from ((f"{_short(column)}=", "version") for column in GROUPABLE)
        elif len(words) == 2:
            yield "with", "the other side"
        else:
            yield from ((f"{_short(column)}=", "version") for column in GROUPABLE)
    elif words[-1] in STATISTICS:
        yield from _numbers(known)
    else:
        yield from _measures()


def _after_top(words: Sequence[str], known: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, str]]:
    if len(words) == 1:
        yield from ((number, "groups") for number in ("10", "20", "100"))
    elif len(words) == 2:
        yield "by", "ordered by"
    elif words[-1] in STATISTICS:
        yield from _numbers(known)
    else:
        yield from _measures()


def _measures() -> Iterable[tuple[str, str]]:
    yield from ((name, "measure") for name in PLAIN)
    yield from ((name, "statistic of a column") for name in STATISTICS if name not in PLAIN)


def _numbers(known: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, str]]:
    yield from ((_short(column), "number") for column in NUMBERS)
    yield SCORE_NAMES, "name"
    yield from ((_spaced(SCORE_NAMES + name), "name") for name in known.get(SCORE_NAMES, ()))


def _is_column(column: str) -> bool:
    return column in COLUMNS or (column.startswith(_NAMED) and column not in _NAMED)


def _short(column: str) -> str:
    """The short name that people write."""
    return next((short for short, full in SHORT.items() if full == column), column)


def quoted(value: str) -> str:
    """A value as the language writes it."""
    if value and not re.search(r'[\s"\\()]', value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _spaced(name: str) -> str:
    """A name with spaces or quotes cannot be written: it is left out by its absence from what was typed."""
    return name if not re.search(r'[\s",=<>~!]', name) else ""
