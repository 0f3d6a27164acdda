"""Reading day files: a few threads with connections of their own, so that no read waits for the writer or a peer."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from trimtab.core import Score, SpanQuery

from . import dayfile
from .answers import Batch, Page, Trace
from .dayfile import DayFile
from .filters import Compiled, compile_query, make_cursor
from .payload import Codec, said_in
from .rows import SCORE_COLUMNS, SPAN_COLUMNS, Row, id_in, score_of, span_of, tags_in

T = TypeVar("T")
#: The threads that read.
READERS = 4
#: Connections that one thread keeps open between reads; more than a fortnight is rarely looked at twice.
_KEPT = 16
_SPAN = ", ".join(f"s.{name}" for name in SPAN_COLUMNS) + ", p.dictionary, p.data"
_FROM = "FROM spans s CROSS JOIN payloads p ON p.seq = s.seq"
_SCORE = ", ".join(f'"{name}"' for name in SCORE_COLUMNS)


class Shelf:
    """One thread's open connections, by file."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._open: dict[Path, sqlite3.Connection] = {}

    def tidy(self, files: Iterable[DayFile]) -> None:
        """Close what is gone, and the longest open beyond what a thread keeps."""
        known = {file.path for file in files}
        gone = [path for path in self._open if path not in known]
        for path in gone + [path for path in self._open if path in known][: -_KEPT or None]:
            self._open.pop(path).close()

    def open(self, file: DayFile) -> sqlite3.Connection:
        """The connection to a file. Raises sqlite3.OperationalError when the file is gone."""
        if (connection := self._open.get(file.path)) is None:
            connection = dayfile.connect(file.path)
            connection.create_function("folds", 2, _folds, deterministic=True)
            connection.create_function("tag", 2, _tag, deterministic=True)
            connection.create_function("said", 3, self._said)
            self._open[file.path] = connection
        return connection

    def close(self) -> None:
        """Close them all."""
        while self._open:
            self._open.popitem()[1].close()

    def _said(self, dictionary: int, data: bytes, needle: str) -> bool:
        said = said_in(self.codec.unpack(dictionary, data))
        return needle in said.input.casefold() or needle in said.output.casefold()


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
    compiled = compile_query(question)

    def answer(shelf: Shelf, files: tuple[DayFile, ...]) -> Page:
        found: list[Row] = []
        wanted = compiled.limit + 1
        in_window = [file for file in files if file.starts.meets(question.since_ns, question.until_ns)]
        for file in sorted(in_window, key=lambda file: file.starts.high, reverse=True):
            if len(found) == wanted and file.starts.high < found[-1][1]:
                break
            found += _matching(shelf, files, file, compiled)
            found.sort(key=lambda row: (row[1], row[0]), reverse=True)
            del found[wanted:]
        rows = found[: compiled.limit]
        cursor = make_cursor(rows[-1][1], rows[-1][0]) if len(found) == wanted else ""
        return Page(spans=tuple(span_of(row[2:], shelf.codec) for row in rows), cursor=cursor)

    return answer


def _matching(shelf: Shelf, files: Sequence[DayFile], file: DayFile, compiled: Compiled) -> list[Row]:
    connection = shelf.open(file)
    if compiled.tests:
        connection.create_function("score_elsewhere", 4, _elsewhere(shelf, files, file, compiled))
    return connection.execute(
        f"SELECT s.seq, s.start_ns, {_SPAN} {_FROM} WHERE {compiled.where}"
        " ORDER BY s.start_ns DESC, s.seq DESC LIMIT ?",
        (*compiled.parameters, compiled.limit + 1),
    ).fetchall()


def _elsewhere(
    shelf: Shelf, files: Sequence[DayFile], file: DayFile, compiled: Compiled
) -> Callable[[int, Any, Any, Any], bool]:
    """Whether a score that a test wants lies in another file than its span: any later one, for people judge days
    later, or the one before, for a trace may straddle midnight."""
    here = files.index(file)
    others = [shelf.open(one) for one in files[max(0, here - 1) :] if one is not file and one.times.high >= 0]

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
            spans += connection.execute(f"SELECT s.seq, {_SPAN} {_FROM} WHERE s.trace_id = ?", (stored,)).fetchall()
            scores += connection.execute(f"SELECT seq, {_SCORE} FROM scores WHERE trace_id = ?", (stored,)).fetchall()
        if not spans and not scores:
            return None
        found = [(row[0], span_of(row[1:], shelf.codec)) for row in spans]
        said = [(row[0], score_of(row[1:])) for row in scores]
        return Trace(
            spans=tuple(span for _, span in sorted(found, key=lambda one: (one[1].start_ns, one[0]))),
            scores=tuple(score for _, score in sorted(said, key=lambda one: (one[1].time_ns, one[0]))),
        )

    return answer


def scores(
    *, since_ns: int, until_ns: int, name: str, limit: int
) -> Callable[[Shelf, tuple[DayFile, ...]], list[Score]]:
    """How to list scores, newest first."""
    where = "time_ns >= ? AND time_ns < ?" + (" AND name = ?" if name else "")
    until = until_ns or (1 << 63) - 1
    parameters = (since_ns, until, name, limit) if name else (since_ns, until, limit)

    def answer(shelf: Shelf, files: tuple[DayFile, ...]) -> list[Score]:
        found: list[Row] = []
        in_window = [file for file in files if file.times.meets(since_ns, until_ns)]
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
            spans += connection.execute(f"SELECT s.seq, {_SPAN} {_FROM} WHERE s.seq > ? AND s.seq <= ?", (after, end))
            judged += connection.execute(f"SELECT seq, {_SCORE} FROM scores WHERE seq > ? AND seq <= ?", (after, end))
        return Batch(
            spans=tuple(span_of(row[1:], shelf.codec) for row in sorted(spans, key=_seq)),
            scores=tuple(score_of(row[1:]) for row in sorted(judged, key=_seq)),
            position=str(max(end, after)),
        )

    return answer


def _seq(row: Row) -> int:
    return int(row[0])


def _folds(text: object, needle: str) -> bool:
    return isinstance(text, str) and needle in text.casefold()


def _tag(tags: str | None, name: str) -> str | None:
    return tags_in(tags).get(name)
