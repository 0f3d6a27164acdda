"""All SQL of the guard: tool calls that wait for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from trimtab.store import tables

Row = dict[str, Any]
_approvals = tables.approvals


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
