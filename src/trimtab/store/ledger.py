"""The day files as the writer sees them: one transaction a group, first come first kept, nothing half done."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from trimtab.core import Overloaded, Score, Span

from . import blocks, cube, dayfile, erasing
from .answers import Erased
from .cube import Uncounted
from .dayfile import DayFile
from .inserting import Insert
from .intake import Item
from .packing import Inserts, NumberedSpan
from .payload import Codec, attributes_lines, payload_of, sync_folder
from .recent import Committed, Recent
from .rollup import Rollup
from .rows import Row, id_in
from .words import Segment

_log = logging.getLogger(__name__)
#: What SQLite raises for a bad row; anything else it raises is about the file or the disk.
_BAD_ROW = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
_PAYLOADS = Insert("payloads", ("dictionary", "data"))
_BLOCKS = Insert("blocks", ("dictionary", "data"))


class Ledger:
    """All day files of a folder. Only the writer's thread calls its methods.

    ``files`` and ``last_seq`` say what is committed; they are replaced, never changed, so that any thread may read them
    (``last_seq`` first where both are needed). ``recent`` holds the newest rows up to ``last_seq`` at least.
    """

    def __init__(self, folder: Path, codec: Codec, clock: Callable[[], int]) -> None:
        self._folder = folder
        self._codec = codec
        self._clock = clock
        self.files: tuple[DayFile, ...] = dayfile.scan(folder)
        # Numbers go on from the clock's microseconds, so that an old position lies before whatever comes later even
        # when somebody has deleted the files in between.
        self.last_seq = max([clock() // 1000, *(file.seqs.high for file in self.files)])
        self.recent = Recent(self.last_seq)
        #: How often anything was erased from a file, and texts were dropped: words that were read before may be gone.
        self.erased: Counter[Path] = Counter()
        self.stripped: Counter[Path] = Counter()
        self._today: DayFile | None = None
        #: What the cube of today's file has yet to count.
        self._uncounted: list[Uncounted] = []
        self._connection: sqlite3.Connection | None = None
        self._inserts: Inserts | None = None
        self._others: dict[Path, sqlite3.Connection] = {}
        #: Files from which rows were erased, and whose log may still hold them.
        self._unsettled: set[Path] = set()

    def commit(self, items: Sequence[Item]) -> bool:
        """One transaction for all; if the database refuses a row, halves of it, until only the bad items are left out.

        Raises nothing: an item that is not on disk afterwards has its ``error``. True when any row was new.
        """
        before = self.last_seq
        self._commit(items)
        return self.last_seq > before

    def _commit(self, items: Sequence[Item]) -> None:
        if not items:
            return
        try:
            self._transact(items)
        except Exception as error:  # house: except because no row and no file may end the only thread that writes
            if isinstance(error, sqlite3.Error | OSError) and not isinstance(error, _BAD_ROW):
                _log.error("the span store in %s cannot be written: %s", self._folder, error)
                for item in items:
                    item.error = Overloaded(
                        f"the span store cannot be written: {error}.", mend="Look at its disk.", retry_after=5.0
                    )
            elif len(items) == 1:
                items[0].refuse(error)
            elif len(good := [item for item in items if item.pack()]) < len(items):
                self._commit(good)
            else:
                self._commit(items[: len(items) // 2])
                self._commit(items[len(items) // 2 :])

    def expire(self, before_ns: int) -> list[str]:
        """Delete the files of all days that ended before this time; returns their days."""
        gone = [file for file in self.files if file.end_ns <= before_ns and file.path != self._path_of_today]
        self.files = tuple(file for file in self.files if file not in gone)
        if self._today is not None and self._today.path in {file.path for file in gone}:
            self._leave_today()  # Nothing was committed since midnight.
        if gone:
            self.recent.forget(self.last_seq)
        for file in gone:
            if connection := self._others.pop(file.path, None):
                connection.close()
            for ending in ("", "-wal", "-shm"):
                file.path.with_name(file.path.name + ending).unlink(missing_ok=True)
        return [file.day for file in gone]

    def erase(self, ids: Sequence[bytes | str]) -> Erased:
        """Delete everything of these traces, file by file, and overwrite it; the rollups stay as they are."""
        found = [file for file in self.files if ids and self._knows(file, ids)]
        spans = scores = 0
        for file in found:
            with self._writing(file) as connection:
                connection.execute("PRAGMA secure_delete=ON").close()
                with _transaction(connection):
                    gone = erasing.erase(connection, ids, self._codec)
                if connection is self._connection and self._inserts is not None:
                    self._uncounted = cube.uncounted(connection)
                    self._inserts.forget()
                # Only now, and in this order: whoever reads this number and then texts reads none that are gone.
                self.recent.forget(self.last_seq)
                self.erased[file.path] += 1
                spans, scores = spans + gone[0], scores + gone[1]
            self._unsettled.add(file.path)
        for file in [file for file in self.files if file.path in self._unsettled]:
            with self._writing(file) as connection:
                if erasing.settle(connection):
                    self._unsettled.discard(file.path)
        self._unsettled &= {file.path for file in self.files}
        return Erased(spans=spans, scores=scores, settled=not self._unsettled)

    def strip(self, ids: Sequence[bytes | str]) -> int:
        """Drop the texts of these traces, file by file; returns how many spans had any."""
        done = 0
        for file in self.files:
            if ids and self._knows(file, ids):
                with self._writing(file) as connection, _transaction(connection):
                    done += erasing.strip(connection, ids, self._codec)
                self.recent.forget(self.last_seq)
                self.stripped[file.path] += 1
        return done

    @property
    def today(self) -> str:
        """The day whose file what comes now is written to."""
        return dayfile.day_of(self._clock())

    def removed(self, file: DayFile) -> tuple[int, int]:
        """How often anything was erased from a file, and how often texts were dropped."""
        return self.erased[file.path], self.stripped[file.path]

    def keep_words(self, file: DayFile, segment: Segment, removed: tuple[int, int]) -> bool:
        """Store a segment of a file's words that was begun when so much was ``removed``. False where it may hold what
        was erased since, and where the file is gone."""
        erased, stripped = self.removed(file)
        if erased != removed[0] or file.path not in {one.path for one in self.files}:
            return False
        with self._writing(file) as connection, _transaction(connection):
            connection.execute(
                "INSERT INTO words (first, last, groups, words, places, stale) VALUES (?, ?, ?, ?, ?, ?)",
                (*segment, stripped != removed[1]),
            )
        return True

    def forget_stale_words(self, file: DayFile) -> bool:
        """Delete the segments that may hold words of texts that were dropped. False where the file is gone."""
        if file.path not in {one.path for one in self.files}:
            return False
        with self._writing(file) as connection, _transaction(connection):
            connection.execute("DELETE FROM words WHERE stale")
        return True

    def close(self) -> None:
        """Fold the log of today's file into it and close all connections."""
        self._leave_today()
        while self._others:
            self._others.popitem()[1].close()

    def _transact(self, items: Sequence[Item]) -> None:
        file, connection, inserts = self._enter_today()
        others = [other for other in self.files if other.path != file.path]
        spans = self._new_spans([span for item in items for span in item.spans], others)
        lines = attributes_lines(spans)
        scores = self._new_scores([score for item in items for score in item.scores], others)
        first = self.last_seq + 1
        with inserts, _transaction(connection):
            numbered_scores = inserts.add_scores(first + len(spans), scores)
            numbered, uncounted = inserts.add_spans(first, spans, lines)
            self._write_payloads(connection, numbered)
            rollup = Rollup()
            rollup.add((one[1] for one in numbered), (one[1] for one in numbered_scores))
            rollup.write(connection)
            waiting = [*self._uncounted, uncounted]
            if sum([len(each.starts_ns) for each in waiting]) >= cube.FOLD:
                cube.fold(connection, waiting)
                waiting = []
        self._uncounted = waiting
        self._today = file.grown(
            seqs=[seq for rows in (numbered, numbered_scores) if rows for seq in (rows[0][0], rows[-1][0])],
            starts=uncounted.starts_ns,
            times=[score.time_ns for _, score in numbered_scores],
        )
        self.files = tuple(self._today if one.path == file.path else one for one in self.files)
        last_seq = max(self.last_seq, self._today.seqs.high)
        characters = sum([item.characters for item in items]) + sum([len(line) for _, _, line in numbered])
        self.recent.add(Committed(numbered, numbered_scores, last_seq, characters))
        self.last_seq = last_seq
        if not self._codec.current:
            self._learn([(_owner(span), payload_of(span, line)) for _, span, line in numbered])

    def _write_payloads(self, connection: sqlite3.Connection, spans: Sequence[NumberedSpan]) -> None:
        codec = self._codec
        if dayfile.has_blocks(connection):
            payloads, packed = blocks.packed(spans, codec)
            _BLOCKS.run(connection, packed)
        else:
            data = codec.pack_all([payload_of(span, attributes) for _, span, attributes in spans])
            payloads = [(seq, codec.current, one) for (seq, _, _), one in zip(spans, data, strict=True)]
        _PAYLOADS.run(connection, payloads)

    def _learn(self, payloads: list[tuple[str, bytes]]) -> None:
        try:
            self._codec.learn(payloads)
        except OSError as error:
            _log.warning("no dictionary could be kept in %s: %s", self._folder, error)

    def _new_spans(self, spans: list[Span], others: Sequence[DayFile]) -> list[Span]:
        """Without those that another file has: a sender's second try may come after midnight. The same span starts at
        the same time, so nearly always no other file needs to be asked."""

        def seen(file: DayFile, span: Span) -> bool:
            return file.starts.low <= span.start_ns <= file.starts.high and self._has(
                file,
                "SELECT 1 FROM spans WHERE trace_id = ? AND span_id = ?",
                (id_in(span.trace_id), id_in(span.span_id)),
            )

        newest = max((file.starts.high for file in others), default=-1)
        return [one for one in spans if one.start_ns > newest or not any(seen(file, one) for file in others)]

    def _new_scores(self, scores: list[Score], others: Sequence[DayFile]) -> list[Score]:
        """The same for scores."""

        def seen(file: DayFile, score: Score) -> bool:
            return file.times.low <= score.time_ns <= file.times.high and self._has(
                file, "SELECT 1 FROM scores WHERE id = ?", (score.id,)
            )

        newest = max((file.times.high for file in others), default=-1)
        return [one for one in scores if one.time_ns > newest or not any(seen(file, one) for file in others)]

    def _has(self, file: DayFile, sql: str, parameters: Row) -> bool:
        return self._other(file).execute(sql, parameters).fetchone() is not None

    def _other(self, file: DayFile) -> sqlite3.Connection:
        """A reading connection to a file that is not today's."""
        if (connection := self._others.get(file.path)) is None:
            connection = self._others[file.path] = dayfile.connect(file.path)
        return connection

    def _knows(self, file: DayFile, ids: Sequence[bytes | str]) -> bool:
        if file.seqs.high < 0:
            return False
        if self._today is not None and self._connection is not None and file.path == self._today.path:
            return erasing.known(self._connection, ids)
        return erasing.known(self._other(file), ids)

    @contextlib.contextmanager
    def _writing(self, file: DayFile) -> Iterator[sqlite3.Connection]:
        """The writer's connection to any day's file."""
        if self._today is not None and self._connection is not None and file.path == self._today.path:
            yield self._connection
            return
        connection = dayfile.create(file.path)
        try:
            yield connection
        finally:
            connection.close()

    @property
    def _path_of_today(self) -> Path:
        return dayfile.path_of(self._folder, dayfile.day_of(self._clock()))

    def _enter_today(self) -> tuple[DayFile, sqlite3.Connection, Inserts]:
        path = self._path_of_today
        if self._today is not None and self._connection is not None and self._inserts is not None:
            if self._today.path == path:
                return self._today, self._connection, self._inserts
            self._leave_today()
        connection = dayfile.create(path)
        sync_folder(self._folder)
        known = {file.path: file for file in self.files}
        file = known.setdefault(path, DayFile(path=path, day=dayfile.day_of(self._clock())))
        if (other := self._others.pop(path, None)) is not None:
            other.close()
        self.files = tuple(sorted(known.values(), key=lambda one: one.day))
        self._uncounted = cube.uncounted(connection)
        self._today, self._connection, self._inserts = file, connection, Inserts(connection)
        return file, connection, self._inserts

    def _leave_today(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error), _transaction(self._connection):  # Else they are read one by one.
                cube.fold(self._connection, self._uncounted)
            with contextlib.suppress(sqlite3.Error):  # A reader may be in the log: the next open folds it in.
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
            self._connection.close()
        self._today = self._connection = self._inserts = None
        self._uncounted = []


def _owner(span: Span) -> str:
    """Whose span it is, as far as it says."""
    return span.tags.get("user") or span.session or span.trace_id


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
