"""All SQL of the guard: tool calls that wait for a person, pinned tools, conversations with flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from trimtab.store import tables
from trimtab.store.upserting import upsert

Row = dict[str, Any]
_approvals = tables.approvals
_pins = tables.tool_pins
_conversations = tables.conversations
_measurements = tables.guard_measurements


def place_approval(connection: Connection, row: Row, forget_ns: int) -> Row:
    """Add one, unless the same call of the conversation waits or was refused and its deadline has not passed: then
    that one. Those whose deadline was before ``forget_ns`` go."""
    found = latest_approval(connection, row["conversation"], row["digest"])
    if found is not None and found["deadline_ns"] > row["time_ns"] and found["state"] in ("waiting", "refused"):
        return found
    connection.execute(delete(_approvals).where(_approvals.c.deadline_ns < forget_ns))
    connection.execute(insert(_approvals).values(**row))
    return row


def read_approval(connection: Connection, approval_id: str) -> Row | None:
    """One by its id."""
    found = connection.execute(select(_approvals).where(_approvals.c.id == approval_id)).mappings().first()
    return dict(found) if found is not None else None


def latest_approval(connection: Connection, conversation: str, digest: str) -> Row | None:
    """The newest of the same call in the same conversation."""
    same = (_approvals.c.conversation == conversation) & (_approvals.c.digest == digest)
    newest = select(_approvals).where(same).order_by(_approvals.c.time_ns.desc(), _approvals.c.id.desc()).limit(1)
    found = connection.execute(newest).mappings().first()
    return dict(found) if found is not None else None


def read_approvals(connection: Connection, limit: int) -> list[Row]:
    """The newest, newest first."""
    newest = select(_approvals).order_by(_approvals.c.time_ns.desc(), _approvals.c.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(newest).mappings()]


def waiting_approvals(connection: Connection, now_ns: int, limit: int) -> list[Row]:
    """Those that still may be decided, the most urgent first."""
    open_ones = (_approvals.c.state == "waiting") & (_approvals.c.deadline_ns > now_ns)
    urgent = select(_approvals).where(open_ones).order_by(_approvals.c.deadline_ns, _approvals.c.id).limit(limit)
    return [dict(row) for row in connection.execute(urgent).mappings()]


def move_approval(connection: Connection, approval_id: str, was: str, values: Mapping[str, Any]) -> bool:
    """Change one that is still in the state ``was``; whether it was."""
    still = (_approvals.c.id == approval_id) & (_approvals.c.state == was)
    return connection.execute(update(_approvals).where(still).values(**values)).rowcount == 1


def place_measurement(connection: Connection, row: Row, kept: int) -> None:
    """Add one; of this policy only the ``kept`` newest stay."""
    connection.execute(insert(_measurements).values(**row))
    mine = select(_measurements.c.id).where(_measurements.c.name == row["name"])
    newest = connection.execute(mine.order_by(_measurements.c.time_ns.desc(), _measurements.c.id.desc())).scalars()
    for old in list(newest)[kept:]:
        connection.execute(delete(_measurements).where(_measurements.c.id == old))


def read_measurements(connection: Connection, name: str, number: int, limit: int) -> list[Row]:
    """The newest, newest first; ``name`` empty and ``number`` 0 ask for any."""
    wanted = select(_measurements).order_by(_measurements.c.time_ns.desc(), _measurements.c.id.desc()).limit(limit)
    if name:
        wanted = wanted.where(_measurements.c.name == name)
    if number:
        wanted = wanted.where(_measurements.c.number == number)
    return [dict(row) for row in connection.execute(wanted).mappings()]


def read_pins(connection: Connection, scope: str, tools: Sequence[str]) -> dict[str, Row]:
    """What is pinned of these tools, by name."""
    found = select(_pins).where((_pins.c.scope == scope) & _pins.c.tool.in_(tools))
    return {row["tool"]: dict(row) for row in connection.execute(found).mappings()}


def list_pins(connection: Connection, scope: str, tool: str, changed: bool, limit: int) -> list[Row]:
    """Pins, those first that were last described in another way. ``scope`` or ``tool`` empty: of all."""
    query = select(_pins).order_by(_pins.c.offered_ns.desc(), _pins.c.scope, _pins.c.tool).limit(limit)
    if scope:
        query = query.where(_pins.c.scope == scope)
    if tool:
        query = query.where(_pins.c.tool == tool)
    if changed:
        query = query.where(_pins.c.offered != "")
    return [dict(row) for row in connection.execute(query).mappings()]


def pin_tools(connection: Connection, scope: str, rows: Sequence[Row], most: int) -> None:
    """Pin tools that are not, as long as the scope has less than ``most`` pins."""
    count = select(func.count()).select_from(_pins).where(_pins.c.scope == scope)
    room = most - (connection.execute(count).scalar() or 0)
    if room > 0 and rows:
        connection.execute(upsert(connection, _pins).on_conflict_do_nothing(), list(rows[:room]))


def move_pin(connection: Connection, scope: str, tool: str, values: Mapping[str, Any]) -> bool:
    """Change a pin; whether there is one."""
    same = (_pins.c.scope == scope) & (_pins.c.tool == tool)
    return connection.execute(update(_pins).where(same).values(**values)).rowcount == 1


def read_conversation(connection: Connection, conversation: str, forget_ns: int) -> list[Any]:
    """The turns of a conversation; none where it is not known, or was last kept before ``forget_ns``."""
    known = (_conversations.c.id == conversation) & (_conversations.c.time_ns >= forget_ns)
    return connection.execute(select(_conversations.c.turns).where(known)).scalar() or []


def keep_conversation(
    connection: Connection, conversation: str, turns: Sequence[Any], now_ns: int, forget_ns: int
) -> None:
    """Keep the turns of a conversation. Those that were last kept before ``forget_ns`` go."""
    connection.execute(delete(_conversations).where(_conversations.c.time_ns < forget_ns))
    values = {"turns": list(turns), "time_ns": now_ns}
    kept = upsert(connection, _conversations).values(id=conversation, **values)
    connection.execute(kept.on_conflict_do_update(index_elements=["id"], set_=values))
