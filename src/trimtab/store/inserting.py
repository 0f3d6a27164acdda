"""Rows into the tables of a day file, many with one statement.

Each statement gives the interpreter up to other threads and has to win it back, so that a busy server would let
statements of one row starve. And to give SQLite a value takes longer than to store it. So what many rows have in common
is given once: it lies in a temporary table, in memory, and a row says which of its lines it means.

What a value costs depends on its type. For each that is no number, text or bytearray the driver first looks for an
adapter, which takes ten times as long as to give a number. So ids are given as bytearrays, and None has an adapter.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from .rows import Row

#: Rows of one statement, the largest first. Powers of two make it the fewest statements.
_BULKS: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)
#: What is kept of what rows have in common, in lines and in characters. Beyond that all of it is forgotten, and what is
#: still used comes back.
_MOST_LINES: Final = 4096
_MOST_CHARACTERS: Final = 1_000_000
_number = attrgetter("number")
_none: Any = {}.get  # Of None it makes None, without a call in Python.
sqlite3.register_adapter(type(None), _none)


class Insert:
    """INSERT statements of one table, by how many rows they take."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        names = ", ".join(f'"{name}"' for name in ("seq", *columns))
        row = f"(?{', ?' * len(columns)})"
        self._sql = {n: f"INSERT INTO {table} ({names}) VALUES {', '.join([row] * n)}" for n in _BULKS}

    def run(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Insert the rows, each its ``seq`` and the columns."""
        done = 0
        for size, sql in self._sql.items():
            while len(rows) - done >= size:
                connection.execute(sql, list(chain.from_iterable(rows[done : done + size]))).close()
                done += size


class Common:
    """What some rows have in common: the values of a table's shared columns, and their line's number. Two are equal
    only when they are the same."""

    __slots__ = ("number", "values")

    def __init__(self, number: int, values: Row) -> None:
        self.number = number
        self.values = values


class Table:
    """A table whose rows have some columns of their own and share others, and the statements that insert into it."""

    def __init__(
        self, name: str, own: Sequence[str], shared: Sequence[str], *, ids: str, key: Callable[[Any], Row],
        values: Callable[[Row], Row], lines: str,
    ) -> None:  # fmt: skip
        """``ids`` are the columns that no two rows have alike. ``key`` says what a record has of the shared columns,
        and ``values`` what stands there. ``lines`` is the name of the temporary table."""
        self.own = own
        self.key = key
        self.values = values
        self.width = len(own) + 1
        #: The columns of a line, of any type: what its values become is the table's to say.
        quoted = [f'"{one}"' for one in shared]
        self.create = f"CREATE TEMP TABLE {lines} (number INTEGER PRIMARY KEY, {', '.join(quoted)})"
        lines = f"temp.{lines}"
        self.add = f"INSERT INTO {lines} VALUES (?{', ?' * len(shared)})"
        self.forget = f"DELETE FROM {lines}"
        names = ", ".join(["seq", *(f'"{one}"' for one in own), *quoted])
        # ``seq`` counts from what is given first.
        chosen = ", ".join(["?1 + v.column1", *(f"v.column{place}" for place in range(2, len(own) + 2)),
                            *(f"l.{one}" for one in quoted)])  # fmt: skip
        row = ", ?" * self.width
        # A line that is missing would leave out its rows without a word. So it gives NULL, which no table takes.
        self.insert = {
            n: f"INSERT INTO {name} ({names}) SELECT {chosen}"
            f" FROM (VALUES {', '.join(f'({place}{row})' for place in range(n))}) v"
            f" LEFT JOIN {lines} l ON l.number = v.column{len(own) + 2} WHERE true ON CONFLICT ({ids}) DO NOTHING"
            for n in _BULKS
        }


class Sharing:
    """Inserts into one table of one connection, within its transactions, and knows what its rows have in common."""

    def __init__(self, connection: sqlite3.Connection, table: Table) -> None:
        self._connection = connection
        self._table = table
        self._lines: dict[Row, Common] = {}
        self._numbers = 0
        self._characters = 0
        connection.execute(table.create).close()

    def add(self, first: int, records: Iterable[Any], columns: Any) -> tuple[int, list[Common]]:
        """Insert records numbered from ``first``, of which ``columns`` has the own columns by name. Those whose id is
        there already are left out. Returns how many were not, and what each has in common with others."""
        commons = self._commons(list(map(self._table.key, records)))
        return self._insert(first, [getattr(columns, name) for name in self._table.own], commons), commons

    def _commons(self, keys: Sequence[Row]) -> list[Common]:
        """What each key stands for."""
        lines = self._lines
        found: list[Common | None] = list(map(lines.get, keys))
        if None in found:
            if len(lines) > _MOST_LINES or self._characters > _MOST_CHARACTERS:
                self.forget()
            for key in dict.fromkeys(keys):
                if key not in lines:
                    lines[key] = self._new(self._table.values(key))
            found = list(map(lines.__getitem__, keys))
        return found  # type: ignore[return-value]  # none of them is None

    def _insert(self, first: int, own: Iterable[Sequence[Any]], commons: Sequence[Common]) -> int:
        width, count = self._table.width, len(commons)
        values = list(chain.from_iterable(zip(*own, map(_number, commons), strict=True)))
        new = done = 0
        for size, sql in self._table.insert.items():
            while count - done >= size:
                given = [first + done, *values[done * width : (done + size) * width]]
                new += self._connection.execute(sql, given).rowcount
                done += size
        return new

    def forget(self) -> None:
        """Forget what rows have in common, as must be when a transaction was undone: the lines are gone with it."""
        self._lines.clear()
        self._characters = 0
        self._connection.execute(self._table.forget).close()

    def _new(self, values: Row) -> Common:
        self._numbers += 1
        self._characters += sum([len(value) for value in values if isinstance(value, str)])
        self._connection.execute(self._table.add, (self._numbers, *values)).close()
        return Common(self._numbers, values)
