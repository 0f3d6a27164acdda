"""One reading thread's connections to day files, and the functions that its SQL may call."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from . import dayfile
from .blocks import Opener
from .dayfile import DayFile
from .payload import Codec
from .rows import tags_in

#: Connections that one thread keeps open between reads; more than a fortnight is rarely looked at twice.
_KEPT = 16


class Shelf:
    """One thread's open connections, by file."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._open: dict[Path, sqlite3.Connection] = {}
        self._old: set[Path] = set()

    def tidy(self, files: Iterable[DayFile]) -> None:
        """Close what is gone, and the longest open beyond what a thread keeps."""
        known = {file.path for file in files}
        gone = [path for path in self._open if path not in known]
        for path in gone + [path for path in self._open if path in known][: -_KEPT or None]:
            self._open.pop(path).close()

    def open(self, file: DayFile) -> sqlite3.Connection:
        """The connection to a file. Raises sqlite3.OperationalError when the file is gone."""
        connection = self._open.get(file.path)
        if connection is not None and file.path in self._old and dayfile.has_blocks(connection):
            self._old.discard(file.path)  # Somebody has written to it since.
            connection.close()
            connection = None
        if connection is None:
            connection = dayfile.connect(file.path, blocks=True)
            if not dayfile.has_blocks(connection):
                self._old.add(file.path)
            connection.create_function("folds", 2, _folds, deterministic=True)
            connection.create_function("tag", 2, _tag, deterministic=True)
            connection.create_function("error", 6, Opener(self.codec).error)
            try:
                connection.execute("SELECT floor(log2(2.0))").close()
            except sqlite3.OperationalError:  # SQLite may be built without its mathematics.
                connection.create_function("log2", 1, math.log2, deterministic=True)
                connection.create_function("floor", 1, math.floor, deterministic=True)
            self._open[file.path] = connection
        return connection

    def close(self) -> None:
        """Close them all."""
        while self._open:
            self._open.popitem()[1].close()


def _folds(text: object, needle: str) -> bool:
    return isinstance(text, str) and needle in text.casefold()


def _tag(tags: str | None, name: str) -> str | None:
    return tags_in(tags).get(name)
