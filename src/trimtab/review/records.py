"""All SQL of review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, and_, case, desc, func, insert, select, update

from trimtab.core import Conflict, NotFound
from trimtab.store import Metadata, tables

from .queue import REVIEW, SETTLE, WAITING, Criterion, Expert, Item, Mark, Queue

_queues, _items, _marks = tables.review_queues, tables.review_items, tables.review_marks
_QUEUE = [_queues.c[f.name] for f in fields(Queue)]
_ITEM = [_items.c[f.name] for f in fields(Item)]
_MARK = [_marks.c[f.name] for f in fields(Mark)]


class ReviewLog:
    """The queues of one metadata database; every call is one transaction."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def add(self, queue: Queue, items: Sequence[Item], marks: Sequence[Mark]) -> None:
        """A new queue with everything in it."""
        row = asdict(queue)
        row["criteria"], row["experts"] = list(row["criteria"]), [_expert(expert) for expert in queue.experts]

        def write(connection: Connection) -> None:
            connection.execute(insert(_queues).values(**row))
            connection.execute(insert(_items), [{"queue": queue.id, **asdict(item)} for item in items])
            connection.execute(insert(_marks), [{"queue": queue.id, **asdict(mark)} for mark in marks])

        await self._metadata.write(write)

    async def get(self, queue_id: str) -> Queue:
        """One queue. Raises NotFound."""
        query = select(*_QUEUE).where(_queues.c.id == queue_id)
        row = await self._metadata.read(lambda c: c.execute(query).mappings().first())
        if row is None:
            mend = "Look at `trimtab review list`."
            raise NotFound(f"There is no review queue {queue_id[:40]!r}.", field="queue", mend=mend)
        return _queue(row)

    async def recent(self, limit: int = 100) -> list[Queue]:
        """Queues, those that are open first, then newest first."""
        closed = case((_queues.c.closed_ns > 0, 1), else_=0)
        query = select(*_QUEUE).order_by(closed, desc(_queues.c.time_ns), _queues.c.id).limit(limit)
        return await self._metadata.read(lambda c: [_queue(row) for row in c.execute(query).mappings()])

    async def standing(self, queue_ids: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
        """By queue and person: how many items are waiting, saved and skipped, and how many are done with."""
        m = _marks.c
        query = (
            select(m.queue, m.reviewer, m.state, func.count(), func.sum(case((m.done_ns > 0, 1), else_=0)))
            .where(m.queue.in_(queue_ids), m.role == REVIEW)
            .group_by(m.queue, m.reviewer, m.state)
        )

        def read(connection: Connection) -> dict[str, dict[str, dict[str, int]]]:
            found: dict[str, dict[str, dict[str, int]]] = {}
            for queue, who, state, n, done in connection.execute(query):
                counts = found.setdefault(queue, {}).setdefault(who, {"owed": 0, "done": 0})
                counts[state] = n
                counts["owed"] += n
                counts["done"] += int(done or 0)
            return found

        return await self._metadata.read(read)

    async def waiting(self) -> int:
        """Items that somebody still owes, in all open queues."""
        open_queues = select(_queues.c.id).where(_queues.c.closed_ns == 0)
        query = select(func.count()).where(_marks.c.state == WAITING, _marks.c.queue.in_(open_queues))
        return await self._metadata.read(lambda c: int(c.scalar(query) or 0))

    async def items(self, queue_id: str) -> list[Item]:
        """The items of a queue, in order."""
        query = select(*_ITEM).where(_items.c.queue == queue_id).order_by(_items.c.position)
        return await self._metadata.read(lambda c: [Item(**row) for row in c.execute(query).mappings()])

    async def item(self, queue_id: str, position: int) -> Item:
        """One item. Raises NotFound."""
        query = select(*_ITEM).where(_items.c.queue == queue_id, _items.c.position == position)
        row = await self._metadata.read(lambda c: c.execute(query).mappings().first())
        if row is None:
            raise NotFound(f"There is no item {position}.", field="item", mend="Go back to the queue.")
        return Item(**row)

    async def marks(self, queue_id: str, who: str = "") -> list[Mark]:
        """What was said, in everybody's own order; of one person, or of all."""
        m = _marks.c
        where = [m.queue == queue_id, *([m.reviewer == who] if who else [])]
        query = select(*_MARK).where(*where).order_by(m.reviewer, m.role, m.place)
        return await self._metadata.read(lambda c: [Mark(**row) for row in c.execute(query).mappings()])

    async def put(self, queue_id: str, mark: Mark) -> None:
        """What a person now says of an item. Raises Conflict where their batch has ended, or the item is not theirs."""
        m = _marks.c
        where = and_(
            m.queue == queue_id, m.position == mark.position, m.reviewer == mark.reviewer, m.role == REVIEW,
            m.done_ns == 0,
        )  # fmt: skip
        changed = {name: getattr(mark, name) for name in ("state", "verdicts", "critique", "shown_ns", "saved_ns")}

        def write(connection: Connection) -> None:
            if not connection.execute(update(_marks).where(where).values(**changed)).rowcount:
                mend = "Go back to the list of queues."
                raise Conflict("This item is not yours, or your batch has ended.", field="item", mend=mend)

        await self._metadata.write(write)

    async def settle(self, queue_id: str, mark: Mark) -> None:
        """The verdict that ends a disagreement. Raises Conflict where there is one."""
        m = _marks.c
        there = select(func.count()).where(m.queue == queue_id, m.position == mark.position, m.role == SETTLE)

        def write(connection: Connection) -> None:
            if connection.scalar(there):
                raise Conflict("Somebody settled this item already.", field="item", mend="Take the next one.")
            connection.execute(insert(_marks).values(queue=queue_id, **asdict(mark)))

        await self._metadata.write(write)

    async def finish(self, queue_id: str, who: str, now: int) -> None:
        """End a person's batch."""
        m = _marks.c
        where = and_(m.queue == queue_id, m.reviewer == who, m.role == REVIEW, m.done_ns == 0)
        await self._metadata.write(lambda c: c.execute(update(_marks).where(where).values(done_ns=now)).rowcount)

    async def close(self, queue_id: str, now: int) -> None:
        """End a queue for everybody."""
        m = _marks.c
        unfinished = and_(m.queue == queue_id, m.role == REVIEW, m.done_ns == 0)

        def write(connection: Connection) -> None:
            connection.execute(update(_marks).where(unfinished).values(done_ns=now))
            connection.execute(update(_queues).where(_queues.c.id == queue_id).values(closed_ns=now))

        await self._metadata.write(write)


def _expert(expert: Expert) -> dict[str, Any]:
    return {"who": expert.who, "slices": list(expert.slices), "tags": dict(expert.tags)}


def _queue(row: Any) -> Queue:
    values = dict(row)
    values["criteria"] = tuple(Criterion(**one) for one in values["criteria"])
    values["experts"] = tuple(
        Expert(who=one["who"], slices=tuple(one["slices"]), tags=one["tags"]) for one in values["experts"]
    )
    return Queue(**values)
