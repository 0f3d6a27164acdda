"""Spans and scores of a commit as columns: what ``rows.span_row`` makes of one, made of all of them at once.

Nearly all spans are as they should be. So each column is looked at as a whole, and only where one of its values is out
of the ordinary each span becomes a row by itself, which says what is wrong or puts it right.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import compress
from math import isfinite
from operator import attrgetter, le
from types import TracebackType
from typing import Any, Final, NamedTuple

from trimtab.core import Score, Span

from .cube import NONE, Uncounted
from .inserting import Sharing, Table
from .rows import MOST, Row, id_in, score_row, span_row, tags_text

_SPAN_OWN: Final = (
    "trace_id", "span_id", "parent_id", "session", "name", "layer", "start_ns", "end_ns",
    "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_usd", "ttft_ns", "tags",
)  # fmt: skip
_STAMP: Final = ("stamp_model", "stamp_knowledge", "stamp_prompt", "stamp_guard", "stamp_route")
_SPAN_SHARED: Final = ("project", "kind", "status", "model", "provider", "fingerprint")
_SCORE_OWN: Final = ("id", "trace_id", "span_id", "value", "reason", "time_ns")
_SCORE_SHARED: Final = ("project", "name", "by", "by_version", "label", "slice")
#: What the spans and scores of a commit often have in common too, and then share.
_SPAN_ALIKE: Final = ("session", "name", "layer", "cached_tokens", "reasoning_tokens", "tags")
_SCORE_ALIKE: Final = ("value", "reason")
#: From how many rows on that is looked at, and how many different such values they may have then.
_MANY_ROWS: Final = 64
_FEW_VALUES: Final = 16
_score_own = attrgetter(*_SCORE_OWN)
_pins = attrgetter(*(name.removeprefix("stamp_") for name in _STAMP))
#: Places in the shared columns: of spans project, kind, model, stamp_prompt, stamp_route and status.
_KIND: Final = (0, 1, 3, 8, 10, 2)
_INTEGERS: Final = frozenset({int, type(None)})
_REALS: Final = frozenset({float, type(None)})
#: A span, its number and the line of its attributes.
NumberedSpan = tuple[int, Span, bytes]


class SpanColumns(NamedTuple):
    """What spans have of their own, in the order of their table."""

    trace_id: Sequence[Any]
    span_id: Sequence[Any]
    parent_id: Sequence[Any]
    session: Sequence[str]
    name: Sequence[str]
    layer: Sequence[int | None]
    start_ns: Sequence[int]
    end_ns: Sequence[int]
    input_tokens: Sequence[int | None]
    output_tokens: Sequence[int | None]
    cached_tokens: Sequence[int | None]
    reasoning_tokens: Sequence[int | None]
    cost_usd: Sequence[float | None]
    ttft_ns: Sequence[int | None]
    tags: Sequence[Any]


class ScoreColumns(NamedTuple):
    """What scores have of their own, in the order of their table."""

    id: Sequence[str]
    trace_id: Sequence[Any]
    span_id: Sequence[Any]
    value: Sequence[float]
    reason: Sequence[str]
    time_ns: Sequence[int]


def span_columns(spans: Sequence[Span]) -> SpanColumns:
    """The own columns of some spans. Raises what ``span_row`` raises for one that cannot be stored."""
    given = SpanColumns(
        [span.trace_id for span in spans], [span.span_id for span in spans], [span.parent_id for span in spans],
        [span.session for span in spans], [span.name for span in spans], [span.layer for span in spans],
        [span.start_ns for span in spans], [span.end_ns for span in spans],
        [span.input_tokens for span in spans], [span.output_tokens for span in spans],
        [span.cached_tokens for span in spans], [span.reasoning_tokens for span in spans],
        [span.cost_usd for span in spans], [span.ttft_ns for span in spans], [span.tags for span in spans],
    )  # fmt: skip
    if not _ordinary(given):
        return _row_by_row(spans)
    traces, ids = _ids(given.trace_id, 32), _ids(given.span_id, 16)
    parents: list[Any] = list(map({"": "", **dict(zip(given.span_id, ids, strict=True))}.get, given.parent_id))
    if None in parents:
        parents = [id_in(text) if one is None else one for one, text in zip(parents, given.parent_id, strict=True)]
    return given._replace(
        trace_id=traces, span_id=ids, parent_id=parents,
        # Any other kind of number is adapted by the driver, which takes long.
        layer=[None if layer is None else int(layer) for layer in given.layer],
        tags=[tags_text(tags) if tags else None for tags in given.tags],
    )  # fmt: skip


def score_columns(scores: Sequence[Score]) -> ScoreColumns:
    """The same of some scores."""
    given = ScoreColumns._make(zip(*map(_score_own, scores), strict=True))
    if set(map(type, given.value)) == {float} and isfinite(sum(given.value)) and _whole(given.time_ns):
        return given._replace(trace_id=_ids(given.trace_id, 32), span_id=_ids(given.span_id, 16))
    rows = list(map(score_row, scores))
    return ScoreColumns._make(zip(*((row[0], row[1], row[2], row[5], row[9], row[11]) for row in rows), strict=True))


def _shared_values(key: Row) -> Row:
    """The values of a table's shared columns, of what a span or score has of them."""
    *values, stamp = key
    return (*values, *_pins(stamp))


def _alike_span_values(key: Row) -> Row:
    """The same where spans share ``_SPAN_ALIKE`` as well. They have no tags then."""
    *shared, stamp, session, name, layer, cached_tokens, reasoning_tokens = key
    layer = None if layer is None else int(layer)
    return (*shared, *_pins(stamp), session, name, layer, cached_tokens, reasoning_tokens, None)


def _alike_score_values(key: Row) -> Row:
    """The same where scores share ``_SCORE_ALIKE`` as well."""
    *shared, stamp, value, reason = key
    return (*shared, *_pins(stamp), float(value), reason)


def _table(name: str, own: tuple[str, ...], shared: tuple[str, ...], ids: str) -> Table:
    return Table(
        name, own, (*shared, *_STAMP), ids=ids, key=attrgetter(*shared, "stamp"), values=_shared_values,
        lines=f"common_{name}",
    )  # fmt: skip


def _alike_table(
    name: str, own: tuple[str, ...], shared: tuple[str, ...], ids: str, alike: tuple[str, ...],
    values: Callable[[Row], Row],
) -> Table:  # fmt: skip
    """The table for rows that share ``alike`` as well. No key has tags: a mapping is none, and there are none."""
    return Table(
        name, [one for one in own if one not in alike], (*shared, *_STAMP, *alike), ids=ids, values=values,
        key=attrgetter(*shared, "stamp", *(one for one in alike if one != "tags")), lines=f"alike_{name}",
    )  # fmt: skip


_SPANS: Final = ("spans", _SPAN_OWN, _SPAN_SHARED, "trace_id, span_id")
_SCORES: Final = ("scores", _SCORE_OWN, _SCORE_SHARED, "id")
SPANS: Final = _table(*_SPANS)
ALIKE_SPANS: Final = _alike_table(*_SPANS, _SPAN_ALIKE, _alike_span_values)
SCORES: Final = _table(*_SCORES)
ALIKE_SCORES: Final = _alike_table(*_SCORES, _SCORE_ALIKE, _alike_score_values)


def _much_alike(*columns: Sequence[Any]) -> bool:
    """Whether there are many rows that have few different values in these columns, taken together."""
    return len(columns[0]) >= _MANY_ROWS and len(set(zip(*columns, strict=True))) <= _FEW_VALUES


def _ordinary(given: SpanColumns) -> bool:
    """Whether each value has the type that it should have, and each number is one that can be stored."""
    starts, ends = given.start_ns, given.end_ns
    if not (_whole(starts) and _whole(ends) and all(map(le, starts, ends))):
        return False
    for column in (given.input_tokens, given.output_tokens, given.cached_tokens, given.reasoning_tokens, given.ttft_ns):
        if not _INTEGERS.issuperset(map(type, column)):
            return False
        numbers = list(filter(None, column))
        if numbers and not (min(numbers) >= -MOST and max(numbers) <= MOST):
            return False
    costs = given.cost_usd
    return (
        _REALS.issuperset(map(type, costs))
        and isfinite(sum(filter(None, costs)))
        and all(layer is None or isinstance(layer, int) for layer in given.layer)
    )


def _whole(times: Sequence[Any]) -> bool:
    return set(map(type, times)) == {int} and min(times) >= 0 and max(times) <= MOST


def _row_by_row(spans: Sequence[Span]) -> SpanColumns:
    columns: list[Any] = list(zip(*map(span_row, spans), strict=True))
    return SpanColumns._make([*columns[:3], *columns[4:6], *columns[8:11], *columns[19:26]])


def _ids(texts: Sequence[str], digits: int) -> list[bytes | bytearray | str]:
    """Ids as they are stored: ``id_in`` of each. Nearly all of them have so many hex digits, and become bytearrays."""
    if set(map(len, texts)) == {digits}:
        joined = "".join(texts)
        try:
            packed = bytes.fromhex(joined)
        except ValueError:
            packed = b""
        if packed.hex() == joined:
            array, width = bytearray(packed), digits // 2
            return [array[at : at + width] for at in range(0, len(array), width)]
    return list(map(id_in, texts))


class Inserts:
    """Inserts the spans and scores of commits into the day file of one connection. Around each of the caller's
    transactions it is entered: once one was undone, what rows have in common must be given anew."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._spans, self._alike_spans = Sharing(connection, SPANS), Sharing(connection, ALIKE_SPANS)
        self._scores, self._alike_scores = Sharing(connection, SCORES), Sharing(connection, ALIKE_SCORES)

    def add_spans(
        self, first: int, spans: Sequence[Span], lines: Sequence[bytes]
    ) -> tuple[list[NumberedSpan], Uncounted]:
        """Insert spans, numbered from ``first``, but for those whose id is there already; returns those that are new,
        with the lines of their attributes, and what the cube is to count of them."""
        if not spans:
            return [], NONE
        own = span_columns(spans)
        alike = not any(own.tags) and _much_alike(*(getattr(own, name) for name in _SPAN_ALIKE))
        new, commons = (self._alike_spans if alike else self._spans).add(first, spans, own)
        numbered = list(zip(range(first, first + len(spans)), spans, lines, strict=True))
        kinds = {common: tuple(common.values[place] for place in _KIND) for common in set(commons)}
        uncounted = Uncounted(
            own.start_ns,
            own.end_ns,
            [span.parent_id for span in spans],
            list(map(kinds.__getitem__, commons)),
            *own[8:14],
        )
        if new < len(numbered):
            kept = self._kept("spans", first, len(numbered))
            numbered = list(compress(numbered, kept))
            uncounted = Uncounted._make([list(compress(column, kept)) for column in uncounted])
        return numbered, uncounted

    def add_scores(self, first: int, scores: Sequence[Score]) -> list[tuple[int, Score]]:
        """The same for scores."""
        if not scores:
            return []
        own = score_columns(scores)
        alike = _much_alike(*(getattr(own, name) for name in _SCORE_ALIKE))
        new, _ = (self._alike_scores if alike else self._scores).add(first, scores, own)
        numbered = list(enumerate(scores, first))
        return numbered if new == len(numbered) else list(compress(numbered, self._kept("scores", first, len(scores))))

    def forget(self) -> None:
        """Forget what rows have in common, which may be the words of somebody who had them deleted."""
        for one in (self._spans, self._alike_spans, self._scores, self._alike_scores):
            one.forget()

    def __enter__(self) -> None:
        """Nothing is to be done yet."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self.forget()

    def _kept(self, table: str, first: int, count: int) -> list[bool]:
        """Which rows of those numbered from ``first`` are there."""
        there = {seq for (seq,) in self._connection.execute(f"SELECT seq FROM {table} WHERE seq >= ?", (first,))}
        return [seq in there for seq in range(first, first + count)]
