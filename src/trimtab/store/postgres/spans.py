"""The span store in PostgreSQL: partitions by day of arrival, any number of processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from trimtab.core import now_ns
from trimtab.store.payload import Codec
from trimtab.store.served import ServedSpans

from . import schema
from .connection import Connection, Place, Readers
from .dictionaries import TableDictionaries
from .ledger import Ledger
from .reader import Reader

#: Seconds between two looks for what other processes have committed, while somebody waits.
_LOOK_S = 0.25


class PostgresSpans(ServedSpans[Connection]):
    """Writers of all processes take turns from numbering their rows to committing them, so that ``tail`` skips
    nothing. Every thread has a connection of its own, and all come back when the server does."""

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], int] = now_ns, capacity: int) -> Self:
        """Connect, and make the tables where they are missing.

        Raises Overloaded when no server answers, Conflict where the schema is newer than this program, ConfigError
        where the address or the database cannot be used.
        """
        place = Place(url)
        store_id = schema.prepare_at(place, clock() // 1000)
        codec = Codec(TableDictionaries(place))
        return cls(
            ledger=Ledger(place, codec, clock), readers=Readers(place), questions=Reader(codec, store_id),
            capacity=capacity, look_s=_LOOK_S,
        )  # fmt: skip
