"""All SQL of the incidents: typed records in, typed records out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, RowMapping, case, func, insert, or_, select, update

from trimtab.attribution import Report
from trimtab.core import NotFound, described
from trimtab.store import Metadata, tables

from .incident import STATES, Deed, Incident, IncidentEvent, Pair
from .spending import UNSPENT, Spending
from .states import MAX_PAIRS

#: Incidents looked at when an alarm is placed: those that are not closed, and the newest of the closed ones.
MAX_LIVE, MAX_CLOSED = 200, 200

_incidents, _events = tables.incidents, tables.incident_events


class _Evidence(msgspec.Struct, kw_only=True):
    """What the evidence column holds: the report, and the facts of an incident that nobody filters by."""

    report: Report | None = None
    signals: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    onset_ns: int = 0
    alarm_ns: int = 0
    verdict_ns: int = 0
    mitigated_ns: int = 0
    action: str = "page"
    runbook: str = ""
    pending: bool = False
    deeds: tuple[Deed, ...] = ()
    replay: Spending = UNSPENT
    pairs: tuple[Pair, ...] = ()
    models: tuple[str, ...] = ()


_EVIDENCE = described(_Evidence)
_COLUMNS = (
    "opened_ns", "closed_ns", "state", "severity", "signal", "slice", "layer", "owner", "acknowledged_by", "title",
    "lesson", "dataset", "cases",
)  # fmt: skip


class Written(NamedTuple):
    """A record before (None: it is new) and after a committed step."""

    before: Incident | None
    after: Incident


class Records:
    """The incidents of one metadata database. Every step is one transaction, committed before it returns."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def get(self, incident_id: int) -> Incident:
        """One incident. Raises NotFound."""
        return await self._metadata.read(lambda connection: _get(connection, incident_id))

    async def listed(self, states: Sequence[str], limit: int) -> list[Incident]:
        """Incidents in these states, the open ones first, each state newest first."""
        return await self._metadata.read(lambda connection: _listed(connection, states, limit))

    async def telling_of(self, traces: Collection[str]) -> list[int]:
        """The ids of the incidents that keep texts of one of these requests, the oldest first."""
        kept = (_incidents.c.evidence["pairs", place, "trace_id"].as_string() for place in range(MAX_PAIRS))
        named = or_(*(trace_id.in_(sorted(traces)) for trace_id in kept))
        query = select(_incidents.c.id).where(named).order_by(_incidents.c.id)
        return list(await self._metadata.read(lambda connection: connection.scalars(query).all()))

    async def last_event(self) -> int:
        """The number of the newest line of all timelines; 0 if there is none."""
        newest = await self._metadata.read(lambda connection: connection.scalar(select(func.max(_events.c.seq))))
        return int(newest or 0)

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, int, IncidentEvent]]:
        """Lines of all timelines after a number, oldest first: number, incident, line."""
        query = select(_events).where(_events.c.seq > seq).order_by(_events.c.seq).limit(limit)
        rows = await self._metadata.read(lambda connection: connection.execute(query).mappings().all())
        return [(row["seq"], row["incident"], _event(row)) for row in rows]

    async def place(self, place: Callable[[Sequence[Incident]], Written]) -> Written:
        """Choose among the incidents and write what ``place`` made of one, or a new one."""

        def step(connection: Connection) -> Written:
            live = _listed(connection, STATES[:-1], MAX_LIVE)
            written = place([*live, *_listed(connection, STATES[-1:], MAX_CLOSED)])
            if written.before is not None:
                _save(connection, written.before, written.after)
                return written
            return Written(None, _add(connection, written.after))

        return await self._metadata.write(step)

    async def change(self, incident_id: int, change: Callable[[Incident], Incident]) -> Written:
        """Write what ``change`` makes of an incident. Raises NotFound, and what ``change`` raises."""

        def step(connection: Connection) -> Written:
            before = _get(connection, incident_id)
            after = change(before)
            if after != before:
                _save(connection, before, after)
            return Written(before, after)

        return await self._metadata.write(step)


def _add(connection: Connection, incident: Incident) -> Incident:
    key = connection.execute(insert(_incidents).values(**_row(incident))).inserted_primary_key
    assert key is not None
    incident = replace(incident, id=key[0])
    _add_events(connection, incident.id, incident.events)
    return incident


def _save(connection: Connection, before: Incident, after: Incident) -> None:
    connection.execute(update(_incidents).where(_incidents.c.id == after.id).values(**_row(after)))
    _add_events(connection, after.id, after.events[len(before.events) :])


def _get(connection: Connection, incident_id: int) -> Incident:
    row = connection.execute(select(_incidents).where(_incidents.c.id == incident_id)).mappings().first()
    if row is None:
        raise NotFound(f"There is no incident {incident_id}.", field="id", mend="List the incidents to see their ids.")
    return _incident(row, _events_of(connection, [incident_id]).get(incident_id, ()))


def _listed(connection: Connection, states: Sequence[str], limit: int) -> list[Incident]:
    order = case({state: place for place, state in enumerate(STATES)}, value=_incidents.c.state)
    query = (
        select(_incidents).where(_incidents.c.state.in_(states)).order_by(order, _incidents.c.id.desc()).limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    events = _events_of(connection, [row["id"] for row in rows])
    return [_incident(row, events.get(row["id"], ())) for row in rows]


def _add_events(connection: Connection, incident_id: int, events: Sequence[IncidentEvent]) -> None:
    if events:
        rows = [
            {"incident": incident_id, "time_ns": e.time_ns, "kind": e.kind, "actor": e.actor, "text": e.text}
            for e in events
        ]
        connection.execute(insert(_events), rows)


def _events_of(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[IncidentEvent, ...]]:
    found: dict[int, tuple[IncidentEvent, ...]] = {}
    query = select(_events).where(_events.c.incident.in_(ids)).order_by(_events.c.seq)
    for row in connection.execute(query).mappings():
        found[row["incident"]] = (*found.get(row["incident"], ()), _event(row))
    return found


def _event(row: RowMapping) -> IncidentEvent:
    return IncidentEvent(time_ns=row["time_ns"], kind=row["kind"], actor=row["actor"], text=row["text"])


def _row(incident: Incident) -> dict[str, Any]:
    evidence = _Evidence(**{name: getattr(incident, name) for name in _Evidence.__struct_fields__})
    cause = incident.cause
    return {
        **{column: getattr(incident, column) for column in _COLUMNS},
        "cause": _plain(cause) if cause else {},
        "evidence": _plain(evidence),
    }


def _incident(row: RowMapping, events: tuple[IncidentEvent, ...]) -> Incident:
    evidence = msgspec.convert(row["evidence"], _EVIDENCE)
    rest = {name: getattr(evidence, name) for name in _Evidence.__struct_fields__}
    return Incident(id=row["id"], events=events, **{column: row[column] for column in _COLUMNS}, **rest)


def _plain(value: Any) -> Any:
    return _finite(msgspec.to_builtins(value))


def _finite(value: Any) -> Any:
    """JSON has no infinity; an e-value that overflowed is kept as the largest number there is."""
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0 if math.isnan(value) else math.copysign(1.7e308, value)
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
