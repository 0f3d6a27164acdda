"""The span store in ClickHouse: one wide table, partitions by day of arrival."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from trimtab.core import now_ns
from trimtab.store.intake import Pace
from trimtab.store.served import ServedSpans

from . import schema
from .connection import Connection, Place, Readers
from .ledger import Ledger
from .reader import Reader

#: Seconds between two looks for what other processes have committed, while somebody waits.
_LOOK_S = 0.5
#: ClickHouse writes files for every insert and merges them later: few and large ones are what it is made for.
_PACE = Pace(rows=10_000, offered_s=0.5, written_s=0.1)


class ClickHouseSpans(ServedSpans[Connection]):
    """Any number of processes write, each its own batches. A span that reaches two of them in the same moment may be
    counted twice; the table keeps it once."""

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], int] = now_ns, capacity: int) -> Self:
        """Connect, and make the tables where they are missing.

        Raises Overloaded when no server answers, Conflict where the schema is newer than this program, ConfigError
        where the address cannot be used.
        """
        place = Place(url)
        connection = place.connect()
        store_id = schema.prepare(connection)
        ((last_seq, now_us),) = connection.rows(
            f"SELECT greatest((SELECT max(seq) FROM {schema.SPANS}), (SELECT max(seq) FROM {schema.SCORES})),"
            " toUnixTimestamp64Micro(now64(6))"
        )
        ahead_us = int(now_us) - time.time_ns() // 1000

        def server_us() -> int:
            return time.time_ns() // 1000 + ahead_us

        return cls(
            ledger=Ledger(place, clock, now_us=server_us, last_seq=int(last_seq)), readers=Readers(place),
            questions=Reader(server_us, store_id), capacity=capacity, pace=_PACE, look_s=_LOOK_S,
        )  # fmt: skip
