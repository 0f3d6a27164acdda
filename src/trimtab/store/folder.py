"""The data folder: everything that Trimtab keeps lies in one folder, and one process at a time has it open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from trimtab.core import ConfigError, Conflict


class DataFolder:
    """An open data folder, held by an exclusive lock on its file ``lock`` until ``close`` or the end of the process.

    The lock belongs to the process, not to the file: after a crash or ``kill -9`` the next start just takes it.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Create the folder where it is missing (readable by its owner only) and take its lock.

        Raises Conflict, naming the folder and the process, when another process has it open, and ConfigError when it
        cannot be created or written to.
        """
        path = Path(path).expanduser().absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the data folder {path} cannot be used: {error.strerror}.",
                field="data",
                mend="Name a folder that you may write to.",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise Conflict(
                f"the data folder {path} is in use by process {holder}.",
                field="data",
                mend="Stop that process, or give this one another data folder.",
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return cls(path, lock)

    @property
    def metadata_path(self) -> Path:
        """The metadata database."""
        return self.path / "metadata.db"

    @property
    def spans_path(self) -> Path:
        """The folder of the span store."""
        return self.path / "spans"

    def close(self) -> None:
        """Release the lock. Closing twice is allowed."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
