"""Questions with groups: ``model=gpt-4o cost>0.01 | by model, time:1h | p95 duration, sum cost | top 10``.

Before the first bar stands a query as in the search box. Each clause after it begins with what it is: ``by`` columns,
measures (``count``, ``errors``, ``p95 duration``, ``avg score:quality``), ``top N`` or ``bottom N`` with ``by MEASURE``
if it is not the first, ``compare previous`` for the window before, or ``compare CONDITION with CONDITION`` for two
versions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from trimtab.core import GROUPABLE, NUMBERS, STATISTICS, Breakdown, Filter, SpanQuery

from .language import Word, column_of, error_at, query_of_words, words_of

PLAIN: Final = ("count", "errors", "refused")
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
CLAUSES: Final = ("by", "top", "bottom", "compare", *PLAIN, *STATISTICS)
PREVIOUS: Final = "previous"
DEFAULT_LIMIT: Final = 100
_MOST_LIMIT: Final = 10_000
_MOST_BY: Final = 4
_MOST_MEASURES: Final = 12
_TIME: Final = re.compile(r"([1-9][0-9]{0,6})([smhdw])")
_PIECE: Final = re.compile(r"[^,]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a text asks. ``breakdown`` is None for a list. ``versus`` is None, ``"previous"``, or the conditions of the
    side before and of the side after."""

    query: SpanQuery
    breakdown: Breakdown | None = None
    versus: str | tuple[Filter, Filter] | None = None


def parse_question(text: str) -> Question:
    """Read a question. Raises QueryError, which points at the word."""
    first, *rest = _clauses(words_of(text))
    query = query_of_words(first[1])
    if not rest:
        return Question(query=query)
    asked = _Asked()
    for bar, words in rest:
        if not words:
            raise error_at(bar, "nothing stands after the bar", f"Begin with {', '.join(CLAUSES[:4])} or a measure.")
        asked.take(words)
    measures = tuple(asked.measures) or ("count",)
    breakdown = Breakdown(
        query=query,
        by=tuple(asked.by),
        measures=measures,
        order=asked.order or _natural_order(asked.by, measures, cut=asked.limit is not None),
        limit=asked.limit or (_MOST_LIMIT if any(one.startswith("time:") for one in asked.by) else DEFAULT_LIMIT),
    )
    if asked.bottom:
        breakdown = replace(breakdown, order=breakdown.order.removeprefix("-"))
    return Question(query=query, breakdown=breakdown, versus=asked.versus)


class _Asked:
    """The clauses read so far."""

    def __init__(self) -> None:
        self.by: list[str] = []
        self.measures: list[str] = []
        self.order = ""
        self.bottom = False
        self.limit: int | None = None
        self.versus: str | tuple[Filter, Filter] | None = None

    def take(self, words: Sequence[Word]) -> None:
        keyword = words[0].text
        if keyword == "by":
            self._take_by(words)
        elif keyword in ("top", "bottom"):
            self._take_top(words)
        elif keyword == "compare":
            self._take_compare(words)
        else:
            self._take_measures(words)

    def _take_by(self, words: Sequence[Word]) -> None:
        pieces = _pieces(words[1:])
        if not pieces:
            raise error_at(words[0], "no column stands after it", "Write by model, or by time:1h.")
        for piece in pieces:
            column = group_of(piece)
            if column in self.by:
                raise error_at(piece, "it is there twice", "Name each column once.")
            if len(self.by) == _MOST_BY:
                raise error_at(piece, "that is one column too many", f"Group by at most {_MOST_BY}.")
            self.by.append(column)

    def _take_measures(self, words: Sequence[Word]) -> None:
        for measure in _measures(words):
            if len(self.measures) == _MOST_MEASURES:
                raise error_at(words[0], "there are too many measures", f"Use at most {_MOST_MEASURES}.")
            if measure not in self.measures:
                self.measures.append(measure)

    def _take_top(self, words: Sequence[Word]) -> None:
        if self.limit is not None:
            raise error_at(words[0], "there is a limit already", "Leave one of them out.")
        number = words[1] if len(words) > 1 else words[0]
        digits = number.text if number.text.isascii() and number.text.isdecimal() and len(number.text) < 6 else "0"
        if not 1 <= int(digits) <= _MOST_LIMIT:
            raise error_at(number, "how many groups is not said", f"Write {words[0].text} N with 1 to {_MOST_LIMIT}.")
        self.limit, self.bottom = int(digits), words[0].text == "bottom"
        if len(words) > 2:
            if words[2].text != "by" or len(words) == 3:
                raise error_at(words[2], "only `by MEASURE` may follow", f"Write {words[0].text} 10 by p95 duration.")
            measures = _measures(words[3:])
            if len(measures) > 1:
                raise error_at(words[3], "groups are ordered by one measure", "Leave the others out.")
            self.order = f"-{measures[0]}"

    def _take_compare(self, words: Sequence[Word]) -> None:
        if self.versus is not None:
            raise error_at(words[0], "there is a comparison already", "Leave one of them out.")
        rest = words[1:]
        if [word.text for word in rest] == [PREVIOUS]:
            self.versus = PREVIOUS
            return
        if len(rest) != 3 or rest[1].text != "with":
            raise error_at(
                words[0], "it is not said what with", "Write compare previous, or compare prompt=a/1 with prompt=a/2."
            )
        self.versus = (_condition(rest[0]), _condition(rest[2]))


def group_of(word: Word) -> str:
    """A column to group by, as a Breakdown names it. Raises QueryError."""
    column = column_of(word.text)
    kind, _, rest = column.partition(":")
    if kind == "time":
        if not (found := _TIME.fullmatch(rest)) or int(found[1]) * UNITS[found[2]] > 366 * UNITS["d"]:
            raise error_at(word, f"{rest!r} is no length of time", "Write time:15m, time:1h or time:1d.")
        return f"time:{int(found[1]) * UNITS[found[2]]}"
    if column in GROUPABLE or (kind == "tag" and rest):
        return column
    what = "holds numbers" if column in NUMBERS or kind == "score" else "is not a column"
    raise error_at(word, f"it {what} and makes no groups", f"Use {', '.join(GROUPABLE)}, tag:NAME or time:1h.")


def _measures(words: Sequence[Word]) -> list[str]:
    """Measures with commas between: ``count`` or ``STATISTIC COLUMN``."""
    found: list[str] = []
    pieces: list[list[Word]] = [[]]
    for word in words:
        for place, part in enumerate(_split(word)):
            if place:
                pieces.append([])
            if part.text:
                pieces[-1].append(part)
    for piece in pieces:
        if piece:
            found.append(_measure(piece))
    if not found:
        raise error_at(words[0], "no measure stands here", "Write count, errors or p95 duration.")
    return found


def _measure(words: Sequence[Word]) -> str:
    first = words[0]
    if len(words) == 1:
        if first.text in PLAIN:
            return first.text
        if first.text in STATISTICS:
            raise error_at(first, "it is not said of which column", f"Write {first.text} duration.")
    elif first.text in STATISTICS and len(words) == 2:
        column = column_of(words[1].text)
        kind, _, name = column.partition(":")
        if column in NUMBERS or (kind == "score" and name):
            return f"{first.text}:{column}"
        if words[1].text in CLAUSES:
            raise error_at(words[1], "something too much stands here", "Write a comma between measures.")
        raise error_at(words[1], "it holds no numbers", f"Use {', '.join(NUMBERS)} or score:NAME.")
    elif first.text in STATISTICS or first.text in PLAIN:
        wrong = words[1] if first.text in PLAIN else words[2]
        raise error_at(wrong, "something too much stands here", "Write a comma between measures.")
    raise error_at(
        first,
        "it is no clause and no measure",
        f"Use by, top, bottom, compare, {', '.join(PLAIN)} or one of {', '.join(STATISTICS)} with a column.",
    )


def _condition(word: Word) -> Filter:
    query = query_of_words([word])
    if len(query.filters) != 1:
        raise error_at(word, "it is no condition", "Write column=value, such as prompt=support/2.")
    return query.filters[0]


def _natural_order(by: Sequence[str], measures: Sequence[str], *, cut: bool) -> str:
    """A course of time reads from its start, anything else from the largest."""
    time = next((column for column in by if column.startswith("time:")), None)
    return time if time is not None and not cut else f"-{measures[0]}"


def _clauses(words: Sequence[Word]) -> list[tuple[Word, list[Word]]]:
    """The words between the bars, each with the bar before them."""
    found: list[tuple[Word, list[Word]]] = [(Word("", 0), [])]
    for word in words:
        if word.text == "|":
            found.append((word, []))
        else:
            found[-1][1].append(word)
    return found


def _pieces(words: Sequence[Word]) -> list[Word]:
    return [part for word in words for part in _split(word) if part.text]


def _split(word: Word) -> list[Word]:
    """A word at its commas; a comma at the end leaves an empty part."""
    parts: list[Word] = []
    position = word.position
    for text in word.text.split(","):
        parts.append(Word(text, position))
        position += len(text) + 1
    return parts
