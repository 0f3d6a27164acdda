"""Contents of versions that were asked for lately: bounded, so that old versions take no memory for good."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: Bytes of canonical JSON; what is read from it takes several times as much.
LIMIT = 16 * 1024 * 1024


class Contents:
    """The least recently used contents leave first. Keyed by digest: equal contents are kept once. For any thread."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, tuple[Mapping[str, Any], int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of JSON that are kept."""
        return self._size

    def get(self, digest: str) -> Mapping[str, Any] | None:
        """The content, if it is here."""
        with self._lock:
            found = self._kept.get(digest)
            if found is None:
                return None
            self._kept.move_to_end(digest)
            return found[0]

    def put(self, digest: str, content: Mapping[str, Any], size: int) -> None:
        """Keep a content of ``size`` bytes; one that is larger than everything may be is not kept."""
        if size > self._limit:
            return
        with self._lock:
            if (old := self._kept.pop(digest, None)) is not None:
                self._size -= old[1]
            self._kept[digest] = (content, size)
            self._size += size
            while self._size > self._limit:
                _, (_, gone) = self._kept.popitem(last=False)
                self._size -= gone


class Unread(Mapping[str, Any]):
    """A content that is read when somebody looks into it, and not before."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[], Mapping[str, Any]]) -> None:
        self._read = read

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return "Unread()"
