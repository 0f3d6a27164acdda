"""The cube: spans counted by time, project, kind, model, prompt and route.

It has four levels: ten minutes by model and by route, half hours by prompt, and hours by all three together. A
dashboard over a day reads a few thousand of its cells instead of every span. Roots and the spans under them are counted
apart, and a sum holds only the spans that carry the value, so that nothing is counted twice. Files of schema 1 have no
cube; they are read row by row.

It is not written with every span: once ten thousand have come, all of them are counted at once, from what the writer
still has of them. A number in the file marks how far that has gone, in the same transaction, and who reads adds the few
spans behind it.

A histogram is one whole number with 32 bits for each bucket: adding two of them is one addition.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from operator import add
from typing import Any, Final, NamedTuple

from .breakdown import Groups, Keys, Measure, Plan, seconds_of
from .buckets import ZERO, bucket_of
from .conditions import Checked
from .filters import compile_query

_NS: Final = 10**9
#: The schema version from which on a file has the table.
SINCE_SCHEMA: Final = 2
#: What cells are made by at every level.
_ALWAYS: Final = ("project", "kind")
#: What some levels are made by; a level's number is a place in ``_LEVELS``.
_SOMETIMES: Final = ("model", "stamp.prompt", "stamp.route")
_LEVELS: Final = (("stamp.route",), ("model",), ("stamp.prompt",), _SOMETIMES)
#: Seconds of one cell, by level.
_CELL_S: Final = (600, 600, 1800, 3600)
_ALL: Final = 3
#: The number columns, each with how many values and their sum; durations in nanoseconds.
_SUMS: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_tokens": "cached_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cost_usd": "cost_usd",
    "ttft_ms": "ttft_ns",
    "duration_ms": "duration_ns",
}
_SPREAD: Final = {"duration_ms": "durations", "ttft_ms": "ttfts"}
_KEY: Final = ("level", "root", "start_s", *(name.replace(".", "_") for name in (*_ALWAYS, *_SOMETIMES)))
_ADDED: Final = (
    "n", "errors", "refused",
    *(f"{name}_n" for name in _SUMS.values() if name != "duration_ns"), *_SUMS.values(),
)  # fmt: skip
SCHEMA: Final = f"""
CREATE TABLE cube (
  {", ".join(f"{name} INTEGER NOT NULL" for name in _KEY[:3])},
  {", ".join(f"{name} TEXT NOT NULL" for name in _KEY[3:])},
  {", ".join(f"{name} NUMERIC NOT NULL" for name in _ADDED)},
  durations BLOB NOT NULL, ttfts BLOB NOT NULL,
  PRIMARY KEY ({", ".join(_KEY)})
) WITHOUT ROWID;
CREATE TABLE cube_mark (seq INTEGER NOT NULL);
INSERT INTO cube_mark VALUES (-1);
"""
#: Spans that wait to be counted at most: so many at once cost a fraction of what each by itself would.
FOLD: Final = 10_000
_WRITE: Final = (
    f"INSERT INTO cube VALUES (?{', ?' * (len(_KEY) + len(_ADDED) + 1)}) ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in _ADDED)
    + ", durations = add_spread(durations, excluded.durations), ttfts = add_spread(ttfts, excluded.ttfts)"
)
#: Bits of a histogram's bucket, the place of bucket 0, and the places there are: from a nanosecond to centuries, in
#: milliseconds. Place 0 is the bucket ZERO.
_BITS: Final = 32
_MIDDLE: Final = 200
_PLACES: Final = 640
#: The spans after a number, in the order of ``Uncounted``.
_UNCOUNTED: Final = (
    "SELECT start_ns, end_ns, parent_id, project, kind, model, stamp_prompt, stamp_route, status,"
    f" {', '.join(name for name in _SUMS.values() if name != 'duration_ns')}"
    " FROM spans NOT INDEXED WHERE seq > ? ORDER BY seq"
)
_Key = tuple[int, int, int, str, str, str, str, str]


class _Cell:
    """The sums of one cell, in the order of ``_ADDED``, and its histograms."""

    __slots__ = ("durations", "sums", "ttfts")

    def __init__(self) -> None:
        self.sums: list[float] = [0] * len(_ADDED)
        self.durations = 0
        self.ttfts = 0

    def add(self, sums: Sequence[float], durations: int, ttfts: int) -> None:
        self.sums = list(map(add, self.sums, sums))
        self.durations += durations
        self.ttfts += ttfts


class Uncounted(NamedTuple):
    """Spans that the cube has yet to count, as columns. ``kinds`` says of each its project, kind, model, prompt, route
    and status. The numbers may be None."""

    starts_ns: Sequence[int]
    ends_ns: Sequence[int]
    parents: Sequence[bytes | str]
    kinds: Sequence[tuple[str, ...]]
    input_tokens: Sequence[int | None]
    output_tokens: Sequence[int | None]
    cached_tokens: Sequence[int | None]
    reasoning_tokens: Sequence[int | None]
    cost_usd: Sequence[float | None]
    ttft_ns: Sequence[int | None]


#: Nothing to be counted.
NONE: Final = Uncounted._make([()] * len(Uncounted._fields))


def fold(connection: sqlite3.Connection, waiting: Sequence[Uncounted]) -> None:
    """Count spans, inside the caller's transaction, if the file has a cube: all that it has not counted yet."""
    if not has_cube(connection):
        return
    cells: dict[_Key, _Cell] = {}
    spans = _together(waiting)
    for (start, root, (project, kind, model, prompt, route, status)), places in _alike(spans).items():
        start_s = start * _CELL_S[0]
        sums, durations, ttfts = _counted_up(spans, places, status)
        for key in (
            (0, root, start_s, project, kind, "", "", route),
            (1, root, start_s, project, kind, model, "", ""),
            (2, root, start_s // 1800 * 1800, project, kind, "", prompt, ""),
            (_ALL, root, start_s // 3600 * 3600, project, kind, model, prompt, route),
        ):
            if (cell := cells.get(key)) is None:
                cell = cells[key] = _Cell()
            cell.add(sums, durations, ttfts)
    connection.executemany(
        _WRITE, ((*key, *cell.sums, _packed(cell.durations), _packed(cell.ttfts)) for key, cell in cells.items())
    )
    connection.execute("UPDATE cube_mark SET seq = max(seq, (SELECT coalesce(max(seq), -1) FROM spans))")


def uncounted(connection: sqlite3.Connection) -> list[Uncounted]:
    """The spans of a file that its cube has yet to count; none without a cube."""
    if not has_cube(connection):
        return []
    rows = connection.execute(_UNCOUNTED, (mark(connection),)).fetchall()
    return [Uncounted._make(zip(*((*row[:3], row[3:9], *row[9:]) for row in rows), strict=True))] if rows else []


def _together(waiting: Sequence[Uncounted]) -> Uncounted:
    columns: Iterable[Any] = zip(*waiting, strict=True) if waiting else NONE
    return Uncounted._make([list(chain.from_iterable(column)) for column in columns])


def _alike(spans: Uncounted) -> dict[tuple[int, bool, tuple[str, ...]], list[int]]:
    """The places of the spans that all cells count together, by the start of their ten minutes, whether they are roots,
    and their kind."""
    found: defaultdict[tuple[int, bool, tuple[str, ...]], list[int]] = defaultdict(list)
    cell_ns = _CELL_S[0] * _NS
    starts, roots = [start // cell_ns for start in spans.starts_ns], [parent == "" for parent in spans.parents]
    for place, key in enumerate(zip(starts, roots, spans.kinds, strict=True)):
        found[key].append(place)
    return found


def _counted_up(spans: Uncounted, places: list[int], status: str) -> tuple[list[float], int, int]:
    """The sums of some spans in the order of ``_ADDED``, and the histograms of their durations and first tokens."""
    n = len(places)
    columns: Sequence[Sequence[float | None]] = spans[4:]
    numbers = [[value for place in places if (value := column[place]) is not None] for column in columns]
    durations = [max(0, spans.ends_ns[place] - spans.starts_ns[place]) for place in places]
    sums: list[float] = [n, n * (status == "error"), n * (status == "refused"), *map(len, numbers)]
    # Whole numbers may be too large for the database, all together.
    sums += [*[float(sum(column)) for column in numbers], float(sum(durations))]
    return sums, _spread(durations), _spread(numbers[-1])


def _spread(times_ns: Iterable[float]) -> int:
    """The histogram of lengths of time."""
    counts = Counter([bucket_of(time_ns / 1e6) for time_ns in times_ns])
    return sum([n << _shift(bucket) for bucket, n in counts.items()])


def mark(connection: sqlite3.Connection) -> int:
    """The number of the last span that the cube of a file has counted."""
    return int(connection.execute("SELECT seq FROM cube_mark").fetchone()[0])


def waiting(connection: sqlite3.Connection) -> int:
    """How many spans of a file its cube has yet to count; 0 without a cube."""
    if not has_cube(connection):
        return 0
    sql = "SELECT count(*) FROM spans NOT INDEXED WHERE seq > ?"
    return int(connection.execute(sql, (mark(connection),)).fetchone()[0])


def has_cube(connection: sqlite3.Connection) -> bool:
    """Whether a day file has the table."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0]) >= SINCE_SCHEMA


def add_spread(one: bytes, other: bytes) -> bytes:
    """Two stored histograms as one: a function that the writer's SQL calls."""
    return _packed(_unpacked(one) + _unpacked(other))


def level_for(plan: Plan, checked: Checked) -> int | None:
    """The level of the cube that knows the answer, but for the ends of the window; None when none does."""

    def known(measure: Measure) -> bool:
        if measure.column and measure.column not in _SUMS:
            return False
        return measure.statistic not in ("min", "max") and (measure.percentile is None or measure.column in _SPREAD)

    order = () if isinstance(plan.order, int) else (plan.order,)
    if checked.text or not all(known(measure) for measure in (*plan.measures, *order)):
        return None
    if not all(one.kind == "text" for one in checked.conditions):
        return None
    seconds = [seconds_of(column) or 0 for column in plan.by]
    used = {one.name for one in checked.conditions} | {column for column in plan.by if not seconds_of(column)}
    used.difference_update(_ALWAYS)
    for level, names in enumerate(_LEVELS):
        if used <= set(names) and not any(each % _CELL_S[level] for each in seconds):
            return level
    return None


def whole_cells(checked: Checked, level: int) -> tuple[Checked | None, list[Checked]]:
    """The window's part that is whole cells, if there is any, and what is left of it at either end."""
    cell = _CELL_S[level] * _NS
    since, until = max(checked.since_ns, 0), checked.until_ns
    first, last = -(-since // cell) * cell, until // cell * cell
    if until and last <= first:
        return None, [checked]
    ends = [replace(checked, until_ns=first)] if since < first else []
    ends += [replace(checked, since_ns=last)] if last < until else []
    return replace(checked, since_ns=first, until_ns=last), ends


def read(connection: sqlite3.Connection, level: int, plan: Plan, checked: Checked, groups: Groups) -> None:
    """Add the cells of a window of whole cells to the groups: the spans up to ``mark``. Both in one transaction."""
    compiled = compile_query(replace(checked, roots=False, since_ns=0, until_ns=0))
    until_s = checked.until_ns // _NS or 1 << 40
    roots = "1" if checked.roots else "0, 1"
    condition = f"s.level = ? AND s.root IN ({roots}) AND s.start_s >= ? AND s.start_s < ? AND {compiled.where}"
    parameters = (level, checked.since_ns // _NS, until_s, *compiled.parameters)
    keys = [_key_sql(column) for column in plan.by]
    group = f" GROUP BY {', '.join(str(place + 1) for place in range(len(keys)))}" if keys else ""
    sums = [f"total(s.{_counted(name)}), total(s.{_SUMS[name]})" for name in plan.numbers]
    selected = ", ".join([*keys, "total(s.n)", "total(s.errors)", "total(s.refused)", *sums])
    for row in connection.execute(f"SELECT {selected} FROM cube s WHERE {condition}{group}", parameters):
        n, errors, refused, *values = row[len(keys) :]
        if not n:
            continue
        tally = groups.at(tuple(row[: len(keys)]))
        tally.count, tally.errors, tally.refused = (
            tally.count + int(n), tally.errors + int(errors), tally.refused + int(refused),
        )  # fmt: skip
        for place, name in enumerate(plan.numbers):
            total = values[2 * place + 1]
            tally.of(name).add(int(values[2 * place]), total / 1e6 if _SUMS[name].endswith("_ns") else total)
    if plan.spread:
        _read_spread(connection, plan, groups, (condition, parameters, keys))


def _read_spread(
    connection: sqlite3.Connection, plan: Plan, groups: Groups, asked: tuple[str, Sequence[Any], Sequence[str]]
) -> None:
    condition, parameters, keys = asked
    for name in plan.spread:
        selected = ", ".join([*keys, f"s.{_SPREAD[name]}"])
        found: dict[Keys, int] = {}
        for row in connection.execute(f"SELECT {selected} FROM cube s WHERE {condition}", parameters):
            if row[-1]:
                found[row[:-1]] = found.get(row[:-1], 0) + _unpacked(row[-1])
        for at, spread in found.items():
            groups.at(at).of(name).spread(_counts(spread))


def _key_sql(column: str) -> str:
    if seconds := seconds_of(column):
        return f"s.start_s / {seconds} * {seconds * _NS}"
    return f"s.{column.replace('.', '_')}"


def _counted(name: str) -> str:
    return "n" if name == "duration_ms" else f"{_SUMS[name]}_n"


def _shift(bucket: int) -> int:
    """By how many bits a bucket's count is shifted."""
    return 0 if bucket == ZERO else _BITS * (_MIDDLE + bucket)


def _packed(spread: int) -> bytes:
    """A histogram as stored: the first place that holds anything in two bytes, then the places from there on."""
    if not spread:
        return b""
    first = ((spread & -spread).bit_length() - 1) // _BITS
    rest = spread >> (_BITS * first)
    return first.to_bytes(2, "little") + rest.to_bytes((rest.bit_length() + 7) // 8, "little")


def _unpacked(stored: bytes) -> int:
    return int.from_bytes(stored[2:], "little") << (_BITS * int.from_bytes(stored[:2], "little"))


def _counts(spread: int) -> dict[int, int]:
    """A histogram by the numbers of ``bucket_of``."""
    places = memoryview(spread.to_bytes(_PLACES * _BITS // 8, sys.byteorder)).cast("I")
    if sys.byteorder == "big":
        places = places[::-1]
    return {place - _MIDDLE if place else ZERO: n for place, n in enumerate(places) if n}
