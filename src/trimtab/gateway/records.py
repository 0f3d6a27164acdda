"""All SQL of the gateway: keys, teams, the usage ledger and refusals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from operator import add
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from trimtab.store import tables
from trimtab.store.upserting import upsert

from .budgets import DAY_NS
from .usagerow import KEEP_NS, KEEP_REFUSALS_NS, UsageRow

if TYPE_CHECKING:
    from .keys import Key
    from .refusals import Refusal

T = TypeVar("T")

_ROW = UsageRow.__struct_fields__
#: Rows of one statement that writes usage, the largest first: making a statement costs more than running it.
_BULKS = (100, 10, 1)
_SUMS = ("requests", "input_tokens", "output_tokens", "cached_tokens", "cost_nano", "unpriced", "interrupted")
_GROUPS = ("day", "key", "team", "route", "model")
#: Values in one statement, and rows that one sweep deletes: a long transaction would hold up everybody who writes.
_AT_ONCE, _SWEPT = 500, 5000

# -- keys and teams --------------------------------------------------------------------------------------------------


def read_keys(connection: Connection) -> list[dict[str, Any]]:
    """Every row as the fields of a Key, with its ``hash`` and ``old_hash``."""
    return [{**row, "limits": row["limits"] or {}} for row in connection.execute(select(tables.keys)).mappings()]


def insert_key(connection: Connection, key: Key, digest: str) -> None:
    """Add a key under the SHA-256 of its secret."""
    connection.execute(insert(tables.keys).values(**{**asdict(key), "limits": dict(key.limits)}, hash=digest))


def update_key(connection: Connection, key: Key, hashes: Mapping[str, str]) -> None:
    """Write a key anew; ``hashes`` may hold ``hash`` and ``old_hash``."""
    values = {**asdict(key), "limits": dict(key.limits), **hashes}
    connection.execute(update(tables.keys).where(tables.keys.c.id == values.pop("id")).values(**values))


def delete_key(connection: Connection, key_id: str) -> None:
    """Take one key away, so that its secret may come back under another name."""
    connection.execute(delete(tables.keys).where(tables.keys.c.id == key_id))


def read_teams(connection: Connection) -> dict[str, Mapping[str, Any]]:
    """The limits of every team."""
    return {row.name: row.limits or {} for row in connection.execute(select(tables.teams))}


def put_team(connection: Connection, name: str, limits: Mapping[str, Any]) -> None:
    """Write the limits of a team anew."""
    connection.execute(delete(tables.teams).where(tables.teams.c.name == name))
    connection.execute(insert(tables.teams).values(name=name, limits=dict(limits)))


def delete_team(connection: Connection, name: str) -> None:
    """Take a team's limits away."""
    connection.execute(delete(tables.teams).where(tables.teams.c.name == name))


# -- the usage ledger ------------------------------------------------------------------------------------------------


def write_usage(connection: Connection, rows: Sequence[UsageRow], refusals: Sequence[Refusal] = ()) -> None:
    """Add reservations and write how requests ended, with the sums by day. A row that has ended is left alone, so
    that writing the same thing twice changes nothing."""
    newest: dict[str, UsageRow] = {}
    for row in rows:  # a reservation and its end may come together: the end counts, whatever the order
        if row.id not in newest or newest[row.id].state == "reserved":
            newest[row.id] = row
    written = _write_rows(connection, list(newest.values()))
    _add_to_days(connection, [newest[id] for id in written if newest[id].state != "reserved"])
    _add_refusals(connection, refusals)


def interrupt(
    connection: Connection, *, node: str = "", stale_ns: int = 0, ids: Sequence[str] | None = None
) -> list[UsageRow]:
    """End reservations that nobody will settle: those of ``ids``, or all of ``node`` and all from before ``stale_ns``.

    They are charged as they were reserved.
    """
    usage = tables.usage
    found: list[UsageRow] = []
    conditions: list[ColumnElement[bool]] = (
        [usage.c.id.in_(chunk) for chunk in _chunks(ids)]
        if ids is not None
        else [(usage.c.node == node) | (usage.c.time_ns < stale_ns)]
    )
    for condition in conditions:
        rows = connection.execute(select(usage).where(condition, usage.c.state == "reserved")).mappings()
        found += [UsageRow(**{**row, "state": "interrupted"}) for row in rows]
    for row in found:
        connection.execute(update(usage).where(usage.c.id == row.id).values(state="interrupted"))
    _add_to_days(connection, found)
    return found


def end(connection: Connection, row: UsageRow, since_ns: int) -> UsageRow | None:
    """End one reservation, as the row says or, in the state ``interrupted``, charged as it was reserved. One from after
    ``since_ns`` that was charged so is put right. Returns what was written, with the money that came to what had been
    charged; None where it had ended. It is paid by whom it was reserved for, whatever has changed since."""
    if row.state == "interrupted":
        return next(iter(interrupt(connection, ids=[row.id])), None)
    usage = tables.usage
    here = select(usage).where(usage.c.id == row.id)
    if (there := connection.execute(here).mappings().first()) is not None:
        row = msgspec.structs.replace(row, **{name: there[name] for name in ("time_ns", "key", "team", "route")})
    if _write_rows(connection, [row]):
        _add_to_days(connection, [row])
        return row
    charged = UsageRow(**connection.execute(here).mappings().one())  # as it is now: others write as well
    if charged.state != "interrupted" or charged.time_ns <= since_ns:
        return None
    told = update(usage).where(usage.c.id == row.id, usage.c.state == "interrupted")
    if not connection.execute(told.values(**msgspec.structs.asdict(row))).rowcount:  # another process was faster
        return None
    _add_to_days(connection, [charged], -1)
    _add_to_days(connection, [row])
    return msgspec.structs.replace(row, cost_nano=(row.cost_nano or 0) - (charged.cost_nano or 0))


def spent(connection: Connection, scope: str, who: str, days: tuple[int, int]) -> int:
    """Billionths of a dollar that ``who`` of a scope (key, team, route) spent from the first to the last day."""
    table = tables.usage_days
    total = connection.scalar(
        select(func.coalesce(func.sum(table.c.cost_nano), 0)).where(
            table.c.day >= days[0], table.c.day <= days[1], table.c[scope] == who
        )
    )
    return int(total or 0)


def spent_by_rows(connection: Connection, scope: str, who: str, since_ns: int, until_ns: int) -> int:
    """The same from the rows themselves, as far as they are kept: what the sums must be equal to."""
    table = tables.usage
    total = connection.scalar(
        select(func.coalesce(func.sum(table.c.cost_nano), 0)).where(
            table.c.time_ns >= since_ns,
            table.c.time_ns < until_ns,
            table.c[scope] == who,
            table.c.state != "reserved",
        )
    )
    return int(total or 0)


def usage_by(
    connection: Connection, by: Sequence[str], where: Mapping[str, str], days: tuple[int, int], limit: int
) -> list[dict[str, Any]]:
    """Sums from the first to the last day, grouped by some of day, key, team, route, model; newest or dearest first."""
    table = tables.usage_days
    groups = [table.c[name] for name in by]
    sums = [func.sum(table.c[name]).label(name) for name in _SUMS]
    conditions = [table.c.day >= days[0], table.c.day <= days[1]]
    conditions += [table.c[name] == value for name, value in where.items()]
    order = [table.c.day.desc()] if "day" in by else []
    statement = select(*groups, *sums).where(*conditions).group_by(*groups).limit(limit)
    rows = connection.execute(statement.order_by(*order, func.sum(table.c.cost_nano).desc())).mappings()
    return [{**row, **{name: int(row[name] or 0) for name in _SUMS}} for row in rows]


def sweep(connection: Connection, now_ns: int) -> None:
    """Delete some of the rows and refusals that are old; the sums by day stay."""
    for table, before_ns in ((tables.usage, now_ns - KEEP_NS), (tables.refusals, now_ns - KEEP_REFUSALS_NS)):
        old = select(table.c.id).where(table.c.time_ns < before_ns).limit(_SWEPT)
        if table is tables.usage:
            old = old.where(table.c.state != "reserved")
        connection.execute(delete(table).where(table.c.id.in_(old)))


# -- refusals --------------------------------------------------------------------------------------------------------


def read_refusal(connection: Connection, refusal_id: str) -> dict[str, Any] | None:
    """One refusal."""
    row = connection.execute(select(tables.refusals).where(tables.refusals.c.id == refusal_id)).mappings().first()
    return None if row is None else dict(row)


def read_refusals(connection: Connection, where: Mapping[str, str], before_ns: int, limit: int) -> list[dict[str, Any]]:
    """Refusals, newest first, from before a time."""
    table = tables.refusals
    conditions = [table.c[name] == value for name, value in where.items()]
    statement = select(table).where(table.c.time_ns < before_ns, *conditions).order_by(table.c.time_ns.desc())
    return [dict(row) for row in connection.execute(statement.limit(limit)).mappings()]


def count_refusals(connection: Connection, key: str, since_ns: int) -> int:
    """How many requests of a key were turned away since a time."""
    table = tables.refusals
    conditions = (table.c.key == key, table.c.time_ns >= since_ns)
    return int(connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0)


def _add_refusals(connection: Connection, refusals: Sequence[Refusal]) -> None:
    if refusals:
        rows = {refusal.id: refusal.shown() for refusal in refusals}
        connection.execute(upsert(connection, tables.refusals).on_conflict_do_nothing(), list(rows.values()))


def _write_rows(connection: Connection, rows: Sequence[UsageRow]) -> list[str]:
    """Write rows of different ids. Returns the ids of those that were new, or that ended a reservation."""
    written: list[str] = []
    done = 0
    for size in _BULKS:
        while len(rows) - done >= size:
            values = tuple([value for row in rows[done : done + size] for value in msgspec.structs.astuple(row)])
            result = connection.exec_driver_sql(_usage_sql(connection.dialect.paramstyle, size), values)
            written += result.scalars()
            done += size
    return written


@lru_cache(maxsize=8)
def _usage_sql(style: str, rows: int) -> str:
    """The statement that writes so many rows: written out, since building it anew costs more than running it."""
    names = [f'"{name}"' for name in _ROW]
    ends = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return (
        f"INSERT INTO usage ({', '.join(names)}) VALUES {', '.join([_marks(style, names)] * rows)}"
        f" ON CONFLICT (id) DO UPDATE SET {ends}"
        " WHERE usage.state = 'reserved' AND excluded.state != 'reserved' RETURNING id"
    )


@lru_cache(maxsize=2)
def _days_sql(style: str) -> str:
    """The statement that adds to the sums of a day."""
    groups = ", ".join(f'"{name}"' for name in _GROUPS)
    sums = ", ".join(f"{name} = usage_days.{name} + excluded.{name}" for name in _SUMS)
    return (
        f"INSERT INTO usage_days ({groups}, {', '.join(_SUMS)}) VALUES {_marks(style, (*_GROUPS, *_SUMS))}"
        f" ON CONFLICT ({groups}) DO UPDATE SET {sums}"
    )


def _marks(style: str, names: Sequence[str]) -> str:
    return f"({', '.join(['?' if style == 'qmark' else '%s'] * len(names))})"


def _add_to_days(connection: Connection, rows: Sequence[UsageRow], sign: int = 1) -> None:
    """Add rows to the sums of their days, or with ``sign`` -1 take them out."""
    days: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        group = (row.time_ns // DAY_NS, row.key, row.team, row.route, row.model)
        sums = days.setdefault(group, [0] * len(_SUMS))
        cost, state = row.cost_nano, row.state
        added = (
            row.requests, row.input_tokens, row.output_tokens, row.cached_tokens, cost or 0, int(cost is None),
            int(state == "interrupted"),
        )  # fmt: skip
        sums[:] = map(add, sums, added)
    if days:
        values = [(*group, *[sign * each for each in sums]) for group, sums in days.items()]
        connection.exec_driver_sql(_days_sql(connection.dialect.paramstyle), values)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
