"""Reading day files: a few threads with connections of their own, so that no read waits for the writer or a peer."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from trimtab.core import BadInput, Score, SpanQuery

from .answers import Batch, Page, Trace
from .blocks import JOIN, SPAN, Opener, block_sayer
from .conditions import Checked, check, make_cursor
from .dayfile import DayFile
from .filters import Compiled, compile_query
from .payload import Codec, sayer
from .rows import SCORE_COLUMNS, Row, id_in, score_of
from .shelf import Shelf
from .textsearch import FEW_GROUPS, groups_with, membership, newest
from .words import Group

T = TypeVar("T")
#: The threads that read.
READERS = 4
#: Traces that ``scores_of`` takes at once.
MOST_TRACES = 1000
#: Traces with a wanted score up to which their spans are looked up one by one; more are met soon on the way from the
#: newest span to the oldest.
_FEW_TRACES = 5000
_FROM = f"FROM spans s {JOIN}"
_SCORE = ", ".join(f'"{name}"' for name in SCORE_COLUMNS)


class Readers:
    """The reading threads. ``files`` gives the day files as of the last commit."""

    def __init__(self, files: Callable[[], tuple[DayFile, ...]], codec: Codec) -> None:
        self._files = files
        self._codec = codec
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="trimtab-span-reader")
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._shelves: list[Shelf] = []

    async def run(self, fn: Callable[[Shelf, tuple[DayFile, ...]], T]) -> T:
        """Run ``fn`` in a reading thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(self._run, fn))

    def close(self) -> None:
        """Wait for the reads that run, and close every connection."""
        self._threads.shutdown()
        for shelf in self._shelves:
            shelf.close()

    def _run(self, fn: Callable[[Shelf, tuple[DayFile, ...]], T]) -> T:
        shelf: Shelf | None = getattr(self._mine, "shelf", None)
        if shelf is None:
            shelf = self._mine.shelf = Shelf(self._codec)
            with self._lock:
                self._shelves.append(shelf)
        while True:
            files = self._files()
            shelf.tidy(files)
            try:
                return fn(shelf, tuple(file for file in files if file.seqs.high >= 0))
            except sqlite3.OperationalError:
                if {file.path for file in files} <= {file.path for file in self._files()}:
                    raise
                # A file was deleted by retention while we read: read again without it.


def query(question: SpanQuery) -> Callable[[Shelf, tuple[DayFile, ...]], Page]:
    """How to answer a query. Raises BadInput at once where the query is wrong."""
    checked = check(question)

    def answer(shelf: Shelf, files: tuple[DayFile, ...]) -> Page:
        found: list[Row] = []
        wanted = checked.limit + 1
        scan = Scan(shelf, files, checked)
        for file in sorted(scan.files, key=lambda file: file.starts.high, reverse=True):
            if len(found) == wanted and file.starts.high < found[-1][1]:
                break
            found += scan.newest(file, wanted)
            found.sort(key=lambda row: (row[1], row[0]), reverse=True)
            del found[wanted:]
        rows = found[: checked.limit]
        cursor = make_cursor(rows[-1][1], rows[-1][0]) if len(found) == wanted else ""
        opener = Opener(shelf.codec)
        return Page(spans=tuple(opener.span(row[2:]) for row in rows), cursor=cursor)

    return answer


class Where(NamedTuple):
    """A condition on ``spans s`` of one file, and which index it is to be found by, where that is known."""

    sql: str
    parameters: tuple[Any, ...]
    hint: str = ""


class Scan:
    """A checked query over some day files: which of them hold matches, and by what condition."""

    def __init__(self, shelf: Shelf, files: tuple[DayFile, ...], checked: Checked) -> None:
        self._shelf = shelf
        self._files = files
        self._checked = checked
        self._near = compile_query(checked)
        self._met: dict[Path, list[Group] | None] = {}
        self._traces = self._few_traces()
        self.files = [file for file in files if file.starts.meets(checked.since_ns, checked.until_ns)]

    def newest(self, file: DayFile, wanted: int) -> list[Row]:
        """The newest spans of a file that match, at most as many as wanted: number, start and what ``SPAN`` selects."""
        groups = self._groups(file)
        if groups is not None and (not self._checked.conditions or len(groups) <= FEW_GROUPS):
            connection = self._shelf.open(file)
            where = self._where(file, connection, replace(self._checked, text=""))
            return newest(connection, self._shelf.codec, self._checked, groups, where[:2], wanted)
        connection, where = self.ready(file)
        return connection.execute(
            f"SELECT s.seq, s.start_ns, {SPAN} FROM spans s {where.hint} {JOIN} WHERE {where.sql}"
            " ORDER BY s.start_ns DESC, s.seq DESC LIMIT ?",
            (*where.parameters, wanted),
        ).fetchall()

    def ready(self, file: DayFile) -> tuple[sqlite3.Connection, Where]:
        """The connection to a file, with the functions that the condition on its spans calls."""
        connection = self._shelf.open(file)
        where = self._where(file, connection, self._checked)
        if self._checked.text:
            connection.create_function("said", 2, sayer(self._shelf.codec, self._checked.text))
            connection.create_function("said_block", 4, block_sayer(self._shelf.codec, self._checked.text))
        if (groups := self._groups(file)) is not None:
            connection.create_function("may_say", 1, membership(groups))
            where = where._replace(sql=f"may_say(s.seq) AND {where.sql}")
        return connection, where

    def _groups(self, file: DayFile) -> list[Group] | None:
        """The groups of a file that may hold the text; None for all of it."""
        if file.path not in self._met:
            self._met[file.path] = groups_with(self._shelf.open(file), self._shelf.codec, self._checked)
        return self._met[file.path]

    def _where(self, file: DayFile, connection: sqlite3.Connection, checked: Checked) -> Where:
        """The condition of the query, or of the query without its text."""
        others = self.others(file) if self._near.tests else []
        compiled = compile_query(checked, apart=bool(others))
        if others:
            connection.create_function("score_elsewhere", 4, _elsewhere(self._shelf, others, compiled))
        if self._traces is None:
            return Where(compiled.where, compiled.parameters)
        marks = ", ".join("?" * len(self._traces))
        sql = f"{compiled.where} AND s.trace_id IN ({marks})"
        return Where(sql, (*compiled.parameters, *self._traces), "INDEXED BY spans_id")

    @property
    def reads_payload(self) -> bool:
        """Whether the condition needs ``payloads p``."""
        return self._near.payload

    def others(self, file: DayFile) -> list[DayFile]:
        """The other files in which scores of a file's spans may lie: any later one, for people judge days later, or the
        one before, for a trace may straddle midnight."""
        here = self._files.index(file)
        return [one for one in self._files[max(0, here - 1) :] if one is not file and one.times.high >= 0]

    def _few_traces(self) -> list[Any] | None:
        """The traces that have a score that the query wants, if they are few."""
        few: set[Any] | None = None
        for test in self._near.tests:
            if not test.negated:
                found: set[Any] = set()
                for file in self._files:
                    if file.times.high >= 0 and len(found) <= _FEW_TRACES:
                        connection = self._shelf.open(file)
                        rows = connection.execute(test.traces_sql, (*test.traces_parameters, _FEW_TRACES + 1))
                        found.update(trace_id for (trace_id,) in rows)
                if len(found) <= _FEW_TRACES:
                    few = found if few is None else few & found
        return None if few is None else list(few)


def _elsewhere(shelf: Shelf, files: Sequence[DayFile], compiled: Compiled) -> Callable[[int, Any, Any, Any], bool]:
    """Whether a score that a test wants lies in one of these files."""
    others = [shelf.open(one) for one in files]

    def elsewhere(test: int, trace_id: Any, span_id: Any, parent_id: Any) -> bool:
        parameters = compiled.tests[test].parameters(trace_id, span_id, parent_id)
        return any(other.execute(compiled.tests[test].sql, parameters).fetchone() for other in others)

    return elsewhere


def trace(trace_id: str) -> Callable[[Shelf, tuple[DayFile, ...]], Trace | None]:
    """How to find a whole trace."""
    stored = id_in(trace_id)

    def answer(shelf: Shelf, files: tuple[DayFile, ...]) -> Trace | None:
        spans = []
        scores = []
        for file in files:
            connection = shelf.open(file)
            spans += connection.execute(f"SELECT s.seq, {SPAN} {_FROM} WHERE s.trace_id = ?", (stored,)).fetchall()
            scores += connection.execute(f"SELECT seq, {_SCORE} FROM scores WHERE trace_id = ?", (stored,)).fetchall()
        if not spans and not scores:
            return None
        opener = Opener(shelf.codec)
        found = [(row[0], opener.span(row[1:])) for row in spans]
        said = [(row[0], score_of(row[1:])) for row in scores]
        return Trace(
            spans=tuple(span for _, span in sorted(found, key=lambda one: (one[1].start_ns, one[0]))),
            scores=tuple(score for _, score in sorted(said, key=lambda one: (one[1].time_ns, one[0]))),
        )

    return answer


def scores(
    *, since_ns: int, until_ns: int, name: str, project: str, limit: int
) -> Callable[[Shelf, tuple[DayFile, ...]], list[Score]]:
    """How to list scores, newest first."""
    # The sign keeps the index by name out of it, for what is wanted are the newest.
    where = "time_ns >= ? AND time_ns < ?" + (" AND +name = ?" if name else "")
    where += " AND project = ?" if project else ""
    until = until_ns or (1 << 63) - 1
    parameters = (since_ns, until, *filter(None, (name, project)), limit)

    def answer(shelf: Shelf, files: tuple[DayFile, ...]) -> list[Score]:
        found: list[Row] = []
        in_window = [file for file in files if limit and file.times.meets(since_ns, until_ns)]
        for file in sorted(in_window, key=lambda file: file.times.high, reverse=True):
            if len(found) == limit and file.times.high < found[-1][1]:
                break
            found += shelf.open(file).execute(
                f"SELECT seq, time_ns, {_SCORE} FROM scores WHERE {where} ORDER BY time_ns DESC, seq DESC LIMIT ?",
                parameters,
            )
            found.sort(key=lambda row: (row[1], row[0]), reverse=True)
            del found[limit:]
        return [score_of(row[2:]) for row in found]

    return answer


def scores_of(trace_ids: Sequence[str]) -> Callable[[Shelf, tuple[DayFile, ...]], dict[str, tuple[Score, ...]]]:
    """How to find the scores of some traces. Raises BadInput for too many."""
    if len(trace_ids) > MOST_TRACES:
        raise BadInput(f"{len(trace_ids)} traces at once.", field="trace_ids", mend=f"Name at most {MOST_TRACES}.")
    stored = tuple(id_in(trace_id) for trace_id in dict.fromkeys(trace_ids))
    sql = f"SELECT seq, {_SCORE} FROM scores WHERE trace_id IN ({', '.join('?' * len(stored))})"

    def answer(shelf: Shelf, files: tuple[DayFile, ...]) -> dict[str, tuple[Score, ...]]:
        rows = [row for file in files if file.times.high >= 0 for row in shelf.open(file).execute(sql, stored)]
        found: dict[str, list[Score]] = {trace_id: [] for trace_id in trace_ids}
        for _, score in sorted(((row[0], score_of(row[1:])) for row in rows), key=lambda one: (one[1].time_ns, one[0])):
            found[score.trace_id].append(score)
        return {trace_id: tuple(its) for trace_id, its in found.items()}

    return answer


class _Place(NamedTuple):
    seq: int
    file: DayFile


def tail(after: int, until: int, limit: int) -> Callable[[Shelf, tuple[DayFile, ...]], Batch]:
    """How to read what was committed with a number in (after, until]: at most ``limit`` rows."""

    def answer(shelf: Shelf, files: tuple[DayFile, ...]) -> Batch:
        places: list[_Place] = []
        for file in sorted(files, key=lambda file: file.seqs.low):
            if file.seqs.high <= after:
                continue
            if len(places) >= limit and file.seqs.low > places[limit - 1].seq:
                break
            found = shelf.open(file).execute(
                "SELECT seq FROM (SELECT seq FROM spans WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)"
                " UNION ALL"
                " SELECT seq FROM (SELECT seq FROM scores WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)",
                (after, until, limit),
            )
            places = sorted([*places, *(_Place(seq, file) for (seq,) in found)], key=lambda place: place.seq)
        end = places[limit - 1].seq if len(places) >= limit else until
        spans: list[Row] = []
        judged: list[Row] = []
        for file in {place.file.path: place.file for place in places[:limit]}.values():
            connection = shelf.open(file)
            spans += connection.execute(f"SELECT s.seq, {SPAN} {_FROM} WHERE s.seq > ? AND s.seq <= ?", (after, end))
            judged += connection.execute(f"SELECT seq, {_SCORE} FROM scores WHERE seq > ? AND seq <= ?", (after, end))
        opener = Opener(shelf.codec)
        return Batch(
            spans=tuple(opener.span(row[1:]) for row in sorted(spans, key=_seq)),
            scores=tuple(score_of(row[1:]) for row in sorted(judged, key=_seq)),
            position=str(max(end, after)),
        )

    return answer


def _seq(row: Row) -> int:
    return int(row[0])
