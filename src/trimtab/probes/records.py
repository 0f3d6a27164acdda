"""All SQL of the probes: their runs, and what each of them knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from trimtab.core import NotFound
from trimtab.store import Metadata, tables

_runs, _settings = tables.probe_runs, tables.settings
#: Runs of one probe that are kept, beside those of today.
KEPT = 1000
RUNNING, DONE, FAILED = "running", "done", "failed"
LOST = "The process ended before the run did."


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a probe. ``verdict`` is empty while it runs and where it failed. Times are nanoseconds UTC."""

    id: int
    probe: str
    kind: str
    target: str
    actor: str
    state: str
    verdict: str = ""
    text: str = ""
    started_ns: int = 0
    ended_ns: int = 0
    value: float | None = None
    calls: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    detail: Mapping[str, Any]


class Spending(NamedTuple):
    """What a probe asked and paid for in a time, and how many of its calls have no known price."""

    calls: int = 0
    usd: float = 0.0
    unpriced: int = 0


class Standing(NamedTuple):
    """The newest run of a probe, and what it spent since the beginning of the day."""

    last: Run | None
    spent: Spending


_COLUMNS = [_runs.c[f.name] for f in fields(Run)]


class Records:
    """The runs of one metadata database. Every step is one transaction."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def claim(
        self, run: Run, *, holder: str, lease_ns: int, due_ns: int, day_ns: int, most: Spending | None
    ) -> int | None:
        """Begin a run, unless another process has it: its number, or None.

        None where a run of this probe is under way and its lease has not ended, where one began after ``due_ns``, or
        where what was spent since ``day_ns`` reaches ``most``. A run whose lease ended is written down as failed.
        """

        def step(connection: Connection) -> int | None:
            mine = _runs.c.probe == run.probe
            lost = and_(mine, _runs.c.state == RUNNING, _runs.c.lease_ns <= run.started_ns)
            connection.execute(update(_runs).where(lost).values(state=FAILED, text=LOST, ended_ns=run.started_ns))
            busy = select(_runs.c.id).where(mine, _runs.c.state == RUNNING).limit(1)
            early = select(_runs.c.id).where(mine, _runs.c.started_ns > due_ns).limit(1)
            if connection.scalar(busy) is not None or connection.scalar(early) is not None:
                return None
            spent = _spent(connection, run.probe, day_ns)
            if most is not None and (spent.calls >= most.calls or spent.usd >= most.usd):
                return None
            row = {name: getattr(run, name) for name in Run.__dataclass_fields__ if name != "id"}
            row |= {"detail": dict(run.detail), "holder": holder, "lease_ns": lease_ns}
            key = connection.execute(insert(_runs).values(**row)).inserted_primary_key
            assert key is not None
            return int(key[0])

        return await self._metadata.write(step)

    async def finish(self, run: Run, *, holder: str, state: Mapping[str, Any] | None, day_ns: int) -> bool:
        """Write how a run ended, and what its probe knows now, in one transaction; drop its oldest runs. False when
        the run was taken for lost meanwhile: then nothing is written."""

        def step(connection: Connection) -> bool:
            row = {name: getattr(run, name) for name in Run.__dataclass_fields__ if name != "id"}
            mine = and_(_runs.c.id == run.id, _runs.c.holder == holder, _runs.c.state == RUNNING)
            if not connection.execute(update(_runs).where(mine).values(**row, lease_ns=0)).rowcount:
                return False
            if state is not None:
                _put(connection, run.probe, state)
            _drop_old(connection, run.probe, day_ns)
            return True

        return await self._metadata.write(step)

    async def give_up(self, now_ns: int) -> None:
        """At the start of the only process there is: what still seems to run was cut off."""
        lost = update(_runs).where(_runs.c.state == RUNNING)
        values = {"state": FAILED, "text": LOST, "ended_ns": now_ns}
        await self._metadata.write(lambda connection: connection.execute(lost.values(**values)).rowcount)

    async def standings(self, probes: Sequence[str], day_ns: int) -> dict[str, Standing]:
        """How each probe stands."""

        def look(connection: Connection) -> dict[str, Standing]:
            newest = select(func.max(_runs.c.id)).where(_runs.c.probe.in_(probes)).group_by(_runs.c.probe)
            rows = connection.execute(select(*_COLUMNS).where(_runs.c.id.in_(newest))).mappings().all()
            last = {row["probe"]: Run(**row) for row in rows}
            return {name: Standing(last.get(name), _spent(connection, name, day_ns)) for name in probes}

        return await self._metadata.read(look)

    async def spent(self, probe: str, day_ns: int) -> Spending:
        """What a probe spent since a time."""
        return await self._metadata.read(lambda connection: _spent(connection, probe, day_ns))

    async def recent(self, probe: str, limit: int) -> list[Run]:
        """The newest runs of a probe, newest first."""
        query = select(*_COLUMNS).where(_runs.c.probe == probe).order_by(_runs.c.id.desc()).limit(limit)
        return await self._metadata.read(lambda c: [Run(**row) for row in c.execute(query).mappings()])

    async def figures(self, probes: Sequence[str], limit: int) -> dict[str, list[tuple[str, float | None]]]:
        """Verdict and value of the newest ended runs of each probe, oldest first."""

        def look(connection: Connection) -> dict[str, list[tuple[str, float | None]]]:
            found = {}
            for name in probes:
                query = (
                    select(_runs.c.verdict, _runs.c.value)
                    .where(_runs.c.probe == name, _runs.c.state != RUNNING)
                    .order_by(_runs.c.id.desc())
                    .limit(limit)
                )
                found[name] = [(row.verdict, row.value) for row in reversed(connection.execute(query).all())]
            return found

        return await self._metadata.read(look)

    async def one(self, run_id: int) -> Run:
        """One run. Raises NotFound."""
        query = select(*_COLUMNS).where(_runs.c.id == run_id)
        row = await self._metadata.read(lambda c: c.execute(query).mappings().first())
        if row is None:
            raise NotFound(f"There is no run {run_id}.", field="run", mend="Look at `trimtab probe list`.")
        return Run(**row)

    async def known(self, probe: str) -> dict[str, Any]:
        """What a probe knows; empty before its first run."""
        query = select(_settings.c.value).where(_settings.c.name == _name(probe))
        return dict(await self._metadata.read(lambda connection: connection.scalar(query)) or {})

    async def owed(self, probes: Sequence[str]) -> frozenset[str]:
        """Those of which news waits to be delivered; one read for all of them."""
        names = {_name(probe): probe for probe in probes}
        query = select(_settings.c.name, _settings.c.value).where(_settings.c.name.in_(names))
        rows = await self._metadata.read(lambda connection: [(n, value) for n, value in connection.execute(query)])
        return frozenset(names[name] for name, value in rows if isinstance(value, Mapping) and value.get("waiting"))

    async def know(self, probe: str, state: Mapping[str, Any]) -> None:
        """Replace what a probe knows."""
        await self._metadata.write(lambda connection: _put(connection, probe, state))


def _name(probe: str) -> str:
    return f"probe.{probe}"


def _put(connection: Connection, probe: str, state: Mapping[str, Any]) -> None:
    connection.execute(delete(_settings).where(_settings.c.name == _name(probe)))
    connection.execute(insert(_settings).values(name=_name(probe), value=dict(state)))


def _spent(connection: Connection, probe: str, day_ns: int) -> Spending:
    total = func.coalesce
    query = select(
        total(func.sum(_runs.c.calls), 0), total(func.sum(_runs.c.cost_usd), 0.0), total(func.sum(_runs.c.unpriced), 0)
    ).where(_runs.c.probe == probe, _runs.c.started_ns >= day_ns)
    calls, usd, unpriced = connection.execute(query).one()
    return Spending(int(calls), float(usd), int(unpriced))


def _drop_old(connection: Connection, probe: str, day_ns: int) -> None:
    newest = select(_runs.c.id).where(_runs.c.probe == probe).order_by(_runs.c.id.desc()).offset(KEPT).limit(1)
    edge = connection.scalar(newest)
    if edge is not None:
        old = and_(_runs.c.probe == probe, _runs.c.id <= edge, _runs.c.started_ns < day_ns)
        connection.execute(delete(_runs).where(old))
