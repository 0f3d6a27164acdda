"""The notices that wait to be sent: all SQL of paging."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from trimtab.store import Metadata, tables

from .plan import Notice

_notices = tables.notices
_settings = tables.settings
#: Sent notices are kept so long, for the timeline and so that nothing is told twice.
KEPT_NS = 90 * 86_400 * 10**9


class Waiting(NamedTuple):
    """A notice that was not sent yet, its number and how often it was tried."""

    id: int
    tries: int
    notice: Notice


class Outbox:
    """Notices, written in the same transaction as the position of the event that they tell of."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def add(self, notices: Iterable[Notice], position: str, up_to: int) -> None:
        """Put notices in, and remember under the name ``position`` that the events up to ``up_to`` are done."""
        rows = list(notices)

        def step(connection: Connection) -> None:
            known = _told(connection, {notice.event for notice in rows})
            fresh = [_row(n) for n in rows if (n.event, n.channel, n.owner) not in known]
            if fresh:
                connection.execute(insert(_notices), fresh)
            connection.execute(delete(_settings).where(_settings.c.name == position))
            connection.execute(insert(_settings).values(name=position, value=up_to))

        await self._metadata.write(step)

    async def due(self, now_ns: int, limit: int = 100) -> list[Waiting]:
        """What is to be sent now, oldest first."""
        query = (
            select(_notices)
            .where(_notices.c.done_ns == 0, _notices.c.due_ns <= now_ns)
            .order_by(_notices.c.due_ns, _notices.c.id)
            .limit(limit)
        )
        rows = await self._metadata.read(lambda connection: connection.execute(query).mappings().all())
        return [
            Waiting(row["id"], row["tries"], Notice(**{name: row[name] for name in Notice.__dataclass_fields__}))
            for row in rows
        ]

    async def sent(self, notice_id: int, now_ns: int) -> None:
        """It arrived."""
        await self._set(notice_id, done_ns=now_ns, error="")

    async def failed(self, waiting: Waiting, error: str, again_ns: int, now_ns: int) -> None:
        """It did not; tried again at ``again_ns``, or given up where that is 0."""
        values = {"due_ns": again_ns} if again_ns else {"done_ns": now_ns}
        await self._set(waiting.id, tries=waiting.tries + 1, error=error[:300], **values)

    async def recent(self, limit: int) -> Sequence[dict[str, object]]:
        """The newest notices with what became of them, newest first."""
        query = select(_notices).order_by(_notices.c.id.desc()).limit(limit)
        rows = await self._metadata.read(lambda connection: connection.execute(query).mappings().all())
        return [dict(row) for row in rows]

    async def tidy(self, now_ns: int) -> None:
        """Forget what was settled long ago."""
        old = delete(_notices).where(_notices.c.done_ns > 0, _notices.c.done_ns < now_ns - KEPT_NS)
        await self._metadata.write(lambda connection: connection.execute(old))

    async def _set(self, notice_id: int, **values: object) -> None:
        statement = update(_notices).where(_notices.c.id == notice_id).values(**values)
        await self._metadata.write(lambda connection: connection.execute(statement))


def _told(connection: Connection, events: set[int]) -> set[tuple[int, str, str]]:
    query = select(_notices.c.event, _notices.c.channel, _notices.c.owner).where(_notices.c.event.in_(events))
    return {(row.event, row.channel, row.owner) for row in connection.execute(query)}


def _row(notice: Notice) -> dict[str, object]:
    return {name: getattr(notice, name) for name in Notice.__dataclass_fields__}
