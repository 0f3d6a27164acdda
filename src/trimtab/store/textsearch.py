"""Text search in a day file that has words: the groups that may hold the text, newest first, until enough is found.

Spans without words yet, the newest above all, are taken in groups of their own, which may hold anything. Groups are
gone through by their latest start, so that a text which is everywhere is found in the first of them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from .blocks import JOIN, SPAN, block_finder
from .conditions import Checked
from .dayfile import has_words
from .payload import Codec, sayer
from .rows import Row
from .words import Group, groups_of, places_of

#: Groups that are looked through one by one even where other conditions have an index.
FEW_GROUPS: Final = 100
#: Groups that are taken together at most.
_LONGEST_RUN: Final = 32
#: Numbers of spans without words that make a group.
_UNINDEXED: Final = 128


def groups_with(connection: sqlite3.Connection, codec: Codec, checked: Checked) -> list[Group] | None:
    """The groups of a file that may hold the text of a query in its window, by number; None where the file has no
    words, so that all of it is to be looked through."""
    if not checked.text or not has_words(connection):
        return None
    with _one_state(connection):
        segments = connection.execute("SELECT first, last FROM words ORDER BY first").fetchall()
        if not segments:
            return None
        found: list[Group] = []
        covered = -1
        for first, last in segments:
            found += _without_words(connection, covered, first)
            found += _groups(_Segment(connection, codec, first), checked.text)
            covered = last
        found += _without_words(connection, covered, 1 << 62)
    return [group for group in found if _in_window(group, checked)]


def membership(groups: Sequence[Group]) -> Callable[[int], bool]:
    """Whether the span with a number lies in one of these groups, which are sorted by number."""
    firsts = [group.first for group in groups]

    def lies(seq: int) -> bool:
        place = bisect_right(firsts, seq) - 1
        return place >= 0 and seq <= groups[place].last

    return lies


def newest(
    connection: sqlite3.Connection,
    codec: Codec,
    checked: Checked,
    groups: Sequence[Group],
    where: tuple[str, tuple[Any, ...]],
    wanted: int,
) -> list[Row]:
    """The newest spans that say the text and satisfy ``where`` (SQL and its parameters), at most as many as wanted:
    their numbers, starts and what ``SPAN`` selects."""
    sql, parameters = where
    select = (
        f"SELECT s.seq, s.start_ns, {SPAN} FROM spans s NOT INDEXED {JOIN}"
        f" WHERE {sql} AND s.seq IN (SELECT value FROM json_each(?)) ORDER BY s.start_ns DESC, s.seq DESC LIMIT ?"
    )
    find = _finder(connection, codec, checked)
    found: list[Row] = []
    for group in _runs(groups):
        if len(found) == wanted and group.high_ns < found[-1][1]:
            break
        if seqs := find(group):
            found += connection.execute(select, (*parameters, msgspec.json.encode(seqs).decode(), wanted))
            found.sort(key=lambda row: (row[1], row[0]), reverse=True)
            del found[wanted:]
    return found


def _runs(groups: Sequence[Group]) -> Iterator[Group]:
    """The groups by their latest start; neighbours are taken together, at first few and then more and more of them,
    since who has not found enough has far to go."""
    most, length = 1, 0
    run: Group | None = None
    for group in sorted(groups, key=lambda one: one.high_ns, reverse=True):
        if run is not None and group.last + 1 == run.first and length < most:
            run, length = Group(group.first, run.last, min(group.low_ns, run.low_ns), run.high_ns), length + 1
            continue
        if run is not None:
            yield run
            most = min(2 * most, _LONGEST_RUN)
        run, length = group, 1
    if run is not None:
        yield run


def _finder(connection: sqlite3.Connection, codec: Codec, checked: Checked) -> Callable[[Group], list[int]]:
    """The numbers of the spans of a group that say the text: of the roots only, whose texts lie by themselves, or of
    all."""
    said, in_block = sayer(codec, checked.text), block_finder(codec, checked.text)

    def find(group: Group) -> list[int]:
        bounds = group[:2]
        found = [
            seq
            for seq, dictionary, data in connection.execute(
                "SELECT seq, dictionary, data FROM payloads WHERE seq BETWEEN ? AND ?", bounds
            )
            if said(dictionary, data)
        ]
        if not checked.roots:
            for block in connection.execute(
                "SELECT seq, dictionary, data FROM blocks"
                " WHERE seq >= coalesce((SELECT max(seq) FROM blocks WHERE seq <= ?1), ?1) AND seq <= ?2",
                bounds,
            ):
                found += [seq for seq in in_block(*block) if group.first <= seq <= group.last]
        return found

    return find


class _Segment(NamedTuple):
    """A segment whose columns are read when they are wanted: most searches want the words only."""

    connection: sqlite3.Connection
    codec: Codec
    first: int

    @property
    def words(self) -> bytes:
        return self._opened("SELECT words FROM words WHERE first = ?")

    @property
    def groups(self) -> bytes:
        return self._opened("SELECT groups FROM words WHERE first = ?")

    def places(self) -> bytes:
        return self._opened("SELECT places FROM words WHERE first = ?")

    def _opened(self, sql: str) -> bytes:
        return self.codec.unpack(0, self.connection.execute(sql, (self.first,)).fetchone()[0])


def _groups(segment: _Segment, needle: str) -> list[Group]:
    """The groups of a segment that may hold a text."""
    places = places_of(needle, segment.words, segment.places)
    if places is not None and not places:
        return []
    groups = groups_of(segment.first, segment.groups)
    return groups if places is None else [groups[place] for place in sorted(places)]


@contextlib.contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is read within is of the same commit, for words may be taken away meanwhile."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN").close()
    try:
        yield
    finally:
        connection.execute("ROLLBACK").close()


def _without_words(connection: sqlite3.Connection, after: int, before: int) -> list[Group]:
    """The spans with a number between these two, in groups."""
    rows = connection.execute(
        "SELECT min(seq), max(seq), min(start_ns), max(start_ns) FROM spans NOT INDEXED"
        f" WHERE seq > ? AND seq < ? GROUP BY seq / {_UNINDEXED}",
        (after, before),
    )
    return [Group(*row) for row in rows]


def _in_window(group: Group, checked: Checked) -> bool:
    until = checked.until_ns or (1 << 63) - 1
    after = checked.after[0] if checked.after is not None else until
    return group.high_ns >= checked.since_ns and group.low_ns < until and group.low_ns <= after
