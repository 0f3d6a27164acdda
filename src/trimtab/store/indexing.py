"""The thread that writes down which words spans have, some ten thousand spans at a time, behind the writer.

A segment is made a few groups at a time with a rest after them, so that no request waits for it and while spans come in
it takes a tenth of one core at most. Texts that were just written are in memory still; others are read from the disk.
The writer's thread stores a segment once it is whole. Spans that have no words yet
are searched all the same, and what is missing is seen from the files: nothing is lost when the process ends meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from trimtab.core import Overloaded

from . import dayfile
from .blocks import texts_of
from .dayfile import DayFile
from .ledger import Ledger
from .payload import Codec
from .recent import ROWS, Texts
from .words import GROUP_SPANS, GROUPS, Group, Maker

_log = logging.getLogger(__name__)
#: Spans without words of which today's file has at least so many before it gets another segment.
FULL: Final = GROUP_SPANS * GROUPS
#: Spans without words that a file of an earlier day may keep: looking through them takes some milliseconds.
FEW: Final = 1000
#: Seconds between two looks for new spans, and between two glances at whether so many rows have come that it is time:
#: who comes soon finds their texts in memory.
_LOOK_S: Final = 5.0
_GLANCE_S: Final = 0.5
_SOON: Final = ROWS // 4
#: Seconds of rest for each second of CPU time: while spans are written, and once none were for a second.
#: Work comes in pieces of at least so many seconds: to rest costs something too.
_WORK_S: Final = 0.0005
#: Seconds by which work may be late, because a busy machine had other things to do, and is then made up for.
_LATE_S: Final = 0.1
_REST_BUSY: Final = 9.0
_REST_IDLE: Final = 1.0
#: Seconds after which a file whose words could not be made is tried again.
_AGAIN_S: Final = 600.0
#: Seconds after which who waits for the writer sees whether the store is being closed.
_WAIT_S: Final = 0.5
_END: Final = 1 << 62


class Gap(NamedTuple):
    """Spans that have no words: some of those with a number in [first, last]."""

    first: int
    last: int


class _Draft:
    """A segment that is begun."""

    __slots__ = ("_first", "_path", "groups", "maker", "next", "removed")

    def __init__(self, file: DayFile, gap: Gap, removed: tuple[int, int]) -> None:
        self._path = file.path
        self._first = gap.first
        self.removed = removed
        self.maker = Maker()
        self.groups = 0
        #: The least number that a span of its next group may have.
        self.next = gap.first

    def goes_on(self, file: DayFile, gap: Gap, removed: tuple[int, int]) -> bool:
        """Whether it covers the beginning of a gap, and nothing was erased from the file since."""
        return self._path == file.path and self._first == gap.first and self.removed[0] == removed[0]


class Indexer:
    """The thread, from the beginning until ``close``. ``errand`` has the writer's thread do something in its turn."""

    def __init__(self, ledger: Ledger, codec: Codec, errand: Callable[[Callable[[], None]], None]) -> None:
        self._ledger = ledger
        self._codec = codec
        self._errand = errand
        self._closed = threading.Event()
        self._turn = threading.Lock()
        self._draft: _Draft | None = None
        self._last_seq, self._written = ledger.last_seq, 0.0
        #: Files of earlier days that have all their words and no others, and what had been removed when that was seen.
        self._whole: dict[Path, tuple[int, int]] = {}
        #: When files whose words could not be made are tried again.
        self._again: dict[Path, float] = {}
        self._thread = threading.Thread(target=self._run, name="trimtab-span-indexer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the group that it is at. Closing twice is allowed."""
        self._closed.set()
        self._thread.join()

    def index(self, *, today: bool = False, gently: bool = False) -> int:
        """Make the segments that are missing now, of today's file only full ones unless ``today`` asks for all; returns
        how many were stored. ``gently`` rests between groups, and leaves alone for a while a file where that failed."""
        made = 0
        with self._turn:
            here = {file.path for file in self._ledger.files}
            self._again = {path: at for path, at in self._again.items() if path in here}
            for file in self._ledger.files:
                earlier, removed = file.day < self._ledger.today, self._ledger.removed(file)
                if file.seqs.high < 0 or self._whole.get(file.path) == removed:
                    continue
                if gently and time.monotonic() < self._again.get(file.path, 0.0):
                    continue
                least = 1 if today else FEW if earlier else FULL
                try:
                    made += self._cover(file, least, earlier=earlier, gently=gently)
                except Exception as error:  # house: except because search works without words, and other files go on
                    self._failed(file, error)
                    continue
                self._again.pop(file.path, None)
                if earlier and not self._closed.is_set() and removed == self._ledger.removed(file):
                    self._whole[file.path] = removed
        return made

    def _failed(self, file: DayFile, error: Exception) -> None:
        self._draft = None
        if file.path not in {one.path for one in self._ledger.files}:
            return  # Its day was deleted meanwhile.
        self._again[file.path] = time.monotonic() + _AGAIN_S
        _log.warning("the words of the spans in %s were not written down: %s", file.path, error)

    def _cover(self, file: DayFile, least: int, *, earlier: bool, gently: bool) -> int:
        """Cover what a file has without words; returns how many segments were stored. Once its day is over, words of
        texts that were dropped go: before, a segment would be made anew for each of its traces."""
        with contextlib.closing(dayfile.connect(file.path)) as connection:
            if not dayfile.has_words(connection):
                return 0
            if earlier and connection.execute("SELECT 1 FROM words WHERE stale LIMIT 1").fetchone():
                self._by_the_writer(lambda: self._ledger.forget_stale_words(file))
            found = gaps(connection, 1 if least == FULL else least)
            (end,) = connection.execute("SELECT coalesce(max(last), -1) FROM words").fetchone()
            # What an erasure took away between two segments need not wait until it fills one.
            return sum(
                self._fill(file, connection, gap, full=least == FULL and gap.first > end, gently=gently)
                for gap in found
            )

    def _fill(self, file: DayFile, connection: sqlite3.Connection, gap: Gap, *, full: bool, gently: bool) -> int:
        """Cover a gap with segments, or as much of it as fills some; returns how many were stored. What fills none yet
        is begun: the rest is added by and by, while the texts of its spans are in memory."""
        made = 0
        seen, recent = self._ledger.removed(file), self._ledger.recent.texts()
        while True:
            removed = self._ledger.removed(file)
            if removed != seen:  # Texts of what is gone since may be among them.
                seen, recent = removed, self._ledger.recent.texts()
            draft = self._draft
            if not full or draft is None or not draft.goes_on(file, gap, removed):
                draft = _Draft(file, gap, removed)
            self._draft = draft if full else None
            groups = groups_in(connection, Gap(draft.next, gap.last), GROUPS - draft.groups, whole=full)
            if not self._add(draft, groups, (connection, recent), gently=gently):
                return made
            if not draft.groups or (full and draft.groups < GROUPS):
                break
            self._draft = None
            segment = draft.maker.made(gap.first)
            if not self._by_the_writer(partial(self._ledger.keep_words, file, segment, draft.removed)):
                break
            gap, made = Gap(segment.last + 1, gap.last), made + 1
        return made

    def _add(
        self, draft: _Draft, groups: list[Group], places: tuple[sqlite3.Connection, Texts], *, gently: bool
    ) -> bool:
        """Add groups to a draft, with their texts from memory or from the disk. False when all is closed meanwhile."""
        connection, recent = places
        began, due = time.thread_time(), time.monotonic()
        for group in groups:
            texts = recent.of(group.first, group.last)
            if texts is None:
                texts = texts_of(connection, self._codec, group.first, group.last)
            draft.maker.add(group, texts)
            draft.groups, draft.next = draft.groups + 1, group.last + 1
            worked = time.thread_time() - began
            if worked > _WORK_S:
                now = time.monotonic()
                due = max(due, now - _LATE_S) + worked * (1.0 + self._rest())
                if self._closed.wait(max(worked, due - now) if gently else 0.0):
                    return False
                began = time.thread_time()
        return True

    def _rest(self) -> float:
        """Seconds of rest for each second of CPU time."""
        now = time.monotonic()
        if self._ledger.last_seq != self._last_seq:
            self._last_seq, self._written = self._ledger.last_seq, now
        return _REST_BUSY if now - self._written < 1 else _REST_IDLE

    def _by_the_writer(self, change: Callable[[], bool]) -> bool:
        """Have the writer's thread change a file. False where it did not, or when all is closed. Raises here what that
        raised there."""
        changed: list[bool] = []
        failed: list[Exception] = []
        done = threading.Event()

        def errand() -> None:
            try:
                changed.append(change())
            except Exception as error:  # house: except because it is raised again, by the thread that waits
                failed.append(error)
            finally:
                done.set()

        try:
            self._errand(errand)
        except Overloaded:
            return False
        while not done.wait(_WAIT_S):
            if self._closed.is_set():
                return False
        if failed:
            raise failed[0]
        return any(changed)

    def _run(self) -> None:
        seen: object = None
        looked, looked_seq = time.monotonic(), 0
        while not self._closed.wait(min(_GLANCE_S, _LOOK_S)):
            if time.monotonic() < looked + _LOOK_S and self._ledger.last_seq < looked_seq + _SOON:
                continue
            looked, looked_seq = time.monotonic(), self._ledger.last_seq
            now = (
                self._ledger.today,
                self._ledger.last_seq,
                [self._ledger.removed(file) for file in self._ledger.files],
            )
            if now != seen or any(at <= time.monotonic() for at in tuple(self._again.values())):
                self.index(gently=True)
                seen = now


def gaps(connection: sqlite3.Connection, least: int) -> list[Gap]:
    """What has no words in a file: any spans between two segments, and the spans after the last one where there are at
    least so many."""
    found = []
    covered = -1
    for first, last in connection.execute("SELECT first, last FROM words ORDER BY first").fetchall():
        if first > covered + 1 and _nth(connection, covered, first, 1) >= 0:
            found.append(Gap(covered + 1, first - 1))
        covered = last
    if _nth(connection, covered, _END, least) >= 0:
        (high,) = connection.execute("SELECT max(seq) FROM spans").fetchone()
        found.append(Gap(covered + 1, high))
    return found


def groups_in(connection: sqlite3.Connection, gap: Gap, count: int = GROUPS, *, whole: bool = False) -> list[Group]:
    """The first so many groups of a gap: a group begins where a block does. ``whole`` leaves out the last one where
    more spans may come to it."""
    found: list[Group] = []
    for most in (count * GROUP_SPANS * 5 // 4, count * GROUP_SPANS * 2):
        # Numbers come as one text: to fetch rows takes several times as long.
        numbers, times = connection.execute(
            "SELECT group_concat(seq), group_concat(start_ns) FROM"
            " (SELECT seq, start_ns FROM spans NOT INDEXED WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?)",
            (*gap, most),
        ).fetchone()
        seqs, starts = _listed(numbers), _listed(times)
        (numbers,) = connection.execute(
            "SELECT group_concat(seq) FROM blocks WHERE seq BETWEEN ? AND ?", (gap.first, seqs[-1] if seqs else -1)
        ).fetchone()
        found, done = _grouped(gap.first, seqs, starts, frozenset(_listed(numbers)), count)
        if done < len(seqs):
            return found
        if len(seqs) < most:
            break
    last = bisect_left(seqs, found[-1].first) if found else 0
    grows = len(seqs) - last < GROUP_SPANS or (len(found) < count and len(seqs) - last < 2 * GROUP_SPANS)
    return found[:-1] if whole and found and grows else found


def _grouped(
    first: int, seqs: list[int], starts: list[int], blocks: Collection[int], count: int
) -> tuple[list[Group], int]:
    """So many groups at most of the spans with these numbers and starts, and how many spans lie in them; the first
    begins at ``first`` even where there is no span."""
    found: list[Group] = []
    begin = 0
    while begin < len(seqs) and len(found) < count:
        end = min(begin + GROUP_SPANS, len(seqs))
        while end < len(seqs) and seqs[end] not in blocks and end - begin < 2 * GROUP_SPANS:
            end += 1
        its = starts[begin:end]
        found.append(Group(first, seqs[end - 1], min(its), max(its)))
        first = seqs[end] if end < len(seqs) else -1
        begin = end
    return found, begin


def _listed(numbers: str | None) -> list[int]:
    return list(map(int, numbers.split(","))) if numbers else []


def _nth(connection: sqlite3.Connection, after: int, before: int, nth: int) -> int:
    """The number of the nth span between two numbers; -1 where there are fewer."""
    found = connection.execute(
        "SELECT seq FROM spans NOT INDEXED WHERE seq > ? AND seq < ? ORDER BY seq LIMIT 1 OFFSET ?",
        (after, before, nth - 1),
    ).fetchone()
    return int(found[0]) if found else -1
