"""What was paid for and is not in the database yet: a file that survives ``kill -9``, beside the log's own commits.

The database writes many rows in one transaction, durably; between an answer's arrival and that commit lie some
milliseconds. The journal takes the answer at once, in one system call without waiting for the disk: the end of the
process loses nothing of it, and only the end of the machine can.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

_LENGTH = struct.Struct("<I")


class Journal:
    """The journal of one run. Raises OSError when it cannot be written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def put(self, kind: str, row: Mapping[str, Any]) -> None:
        """Keep a row; ``kind`` is output or score."""
        record = msgspec.msgpack.encode((kind, row))
        os.write(self._file, _LENGTH.pack(len(record)) + record)

    def close(self, *, done: bool) -> None:
        """Close it; ``done`` says that everything is in the database, and removes it."""
        os.close(self._file)
        if done:
            with suppress(FileNotFoundError):
                self._path.unlink()


def read_journal(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a journal, in order; a last one that was cut off is left out. Nothing where there is no journal."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    at = 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        record = data[at + _LENGTH.size : at + _LENGTH.size + length]
        if len(record) < length:
            return
        kind, row = msgspec.msgpack.decode(record)
        yield kind, row
        at += _LENGTH.size + length
