"""All SQL of the rollouts' plans and decisions: typed records in, typed records out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update

from trimtab.core import described
from trimtab.store import Metadata, tables

from .judging import Judgement
from .measures import Limit
from .plan import Plan

#: Decisions of one rollout that are read back.
MAX_EVENTS = 1000

_plans, _events = tables.rollout_plans, tables.rollout_events
_PLAN, _LIMITS = described(Plan), described(dict[str, Limit])
_EVIDENCE = described(tuple[Judgement, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One decision: ``action`` is start, advance, share, pause, resume, promote, rollback, abort, harm or note."""

    time_ns: int
    action: str
    actor: str
    text: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A rollout's plan and what became of it. ``position`` is where in the store its answers begin."""

    rollout: str
    plan: Plan
    time_ns: int
    position: str = ""
    paused: str = ""
    ended_ns: int = 0
    limits: Mapping[str, Limit] = field(default_factory=dict)
    evidence: tuple[Judgement, ...] = ()


class Records:
    """The plans and decisions of one metadata database; every call is one transaction."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def add(self, record: Record, event: Event) -> None:
        """A new plan, with its first decision."""

        def write(connection: Connection) -> None:
            connection.execute(insert(_plans).values(**_row(record)))
            _add(connection, record.rollout, event)

        await self._metadata.write(write)

    async def note(self, rollout: str, event: Event, **changed: Any) -> None:
        """One more decision, and columns of the plan that it changes."""

        def write(connection: Connection) -> None:
            if changed:
                values = {name: msgspec.to_builtins(value) for name, value in changed.items()}
                connection.execute(update(_plans).where(_plans.c.rollout == rollout).values(**values))
            _add(connection, rollout, event)

        await self._metadata.write(write)

    async def keep(self, rollout: str, **changed: Any) -> None:
        """Columns of the plan that change without a decision."""
        values = {name: msgspec.to_builtins(value) for name, value in changed.items()}
        await self._metadata.write(
            lambda connection: (
                connection.execute(update(_plans).where(_plans.c.rollout == rollout).values(**values)).rowcount
            )
        )

    async def live(self) -> list[Record]:
        """The plans of rollouts that have not ended, oldest first."""
        query = select(_plans).where(_plans.c.ended_ns == 0).order_by(_plans.c.time_ns)
        return await self._metadata.read(lambda c: [_record(row) for row in c.execute(query).mappings()])

    async def get(self, rollout: str) -> Record | None:
        """One plan, or None."""
        query = select(_plans).where(_plans.c.rollout == rollout)

        def read(connection: Connection) -> Record | None:
            row = connection.execute(query).mappings().first()
            return _record(row) if row else None

        return await self._metadata.read(read)

    async def many(self, rollouts: Sequence[str]) -> dict[str, Record]:
        """Plans by rollout, as far as there are any."""
        query = select(_plans).where(_plans.c.rollout.in_(rollouts))
        found = await self._metadata.read(lambda c: [_record(row) for row in c.execute(query).mappings()])
        return {record.rollout: record for record in found}

    async def events(self, rollout: str) -> list[Event]:
        """The decisions, newest first."""
        query = select(_events).where(_events.c.rollout == rollout).order_by(_events.c.seq.desc()).limit(MAX_EVENTS)
        return await self._metadata.read(
            lambda c: [
                Event(time_ns=r["time_ns"], action=r["action"], actor=r["actor"], text=r["text"], share=r["share"])
                for r in c.execute(query).mappings()
            ]
        )


def _add(connection: Connection, rollout: str, event: Event) -> None:
    connection.execute(insert(_events).values(rollout=rollout, **msgspec.to_builtins(event)))


def _row(record: Record) -> dict[str, Any]:
    return {name: msgspec.to_builtins(getattr(record, name)) for name in record.__dataclass_fields__}


def _record(row: RowMapping) -> Record:
    return Record(
        rollout=row["rollout"],
        plan=msgspec.convert(row["plan"], _PLAN),
        time_ns=row["time_ns"],
        position=row["position"],
        paused=row["paused"],
        ended_ns=row["ended_ns"],
        limits=msgspec.convert(row["limits"], _LIMITS),
        evidence=msgspec.convert(row["evidence"], _EVIDENCE),
    )
