"""All SQL of the registry: what is new comes out, effects go in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Text,
    and_,
    cast,
    desc,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from trimtab.core import LAYER_OF_EVENT, LAYER_OF_KIND, Change, NotFound, Rollout
from trimtab.store import tables

from .books import Books as Asked
from .ledger import STANDS
from .snapshot import RECENT, Asset, Effect, Entry, Gate, LabelMove, News, Place, Protection, Snapshot

#: The row of the counter that every write of the registry raises.
COUNTER = "registry"
_MANY = 200
_CHANGE = [tables.changes.c[field.name] for field in fields(Change)]
_ROLLOUT = [tables.rollouts.c[field.name] for field in fields(Rollout)]
_PROTECTION = [tables.protections.c[field.name] for field in fields(Protection)]
_GATE = [tables.gates.c[field.name] for field in fields(Gate)]
#: Contents come as text: their size counts, and one decoder reads them on both engines.
_CONTENT = cast(tables.versions.c.content, Text)

_LINEAGE = (cast(tables.versions.c.parents, Text), cast(tables.versions.c.needs, Text))
_NO_NEEDS: Mapping[str, Any] = {}

Loaded = tuple[Mapping[str, Any], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A write: the registry after it, what it did, and what others had done before it since the caller looked."""

    snapshot: Snapshot
    effect: Effect
    heard: tuple[Change, ...] = ()


def generation(connection: Connection) -> int:
    """The number of writes so far: one row by its key."""
    counter = tables.generations
    return int(connection.scalar(select(counter.c.value).where(counter.c.name == COUNTER)) or 0)


def caught_up(connection: Connection, seen: Snapshot) -> tuple[Snapshot, tuple[Change, ...]]:
    """The registry as of the last commit, and the changes that are new in it. Reads only what ``seen`` has not."""
    current = generation(connection)
    if current == seen.generation:
        return seen, ()
    news = _news(connection, seen.generation, current)
    return _filled(connection, seen.merged(news), None if seen.generation < 0 else news), news.changes


def transact(seen: Snapshot, plan: Callable[[Snapshot, Asked], Effect]) -> Callable[[Connection], Done]:
    """A transaction that decides on the registry as of now and writes the effect. ``plan`` gets what its caller has
    seen, and the books; when it raises, nothing is written."""

    def write(connection: Connection) -> Done:
        now, heard = caught_up(connection, seen)
        effect = plan(seen, Books(connection, now))
        if not effect.writes:
            return Done(snapshot=now, effect=effect, heard=heard)
        number = generation(connection) + 1
        _count(connection, number)
        _put(connection, effect, number)
        touched = News(
            generation=number,
            labels=tuple(((m.kind, m.name), m.label, m.number) for m in effect.labels),
            rollouts=effect.rollouts,
        )
        after = _filled(connection, now.after(effect, number), touched)
        return Done(snapshot=after, effect=effect, heard=heard)

    return write


def imagine(seen: Snapshot, plan: Callable[[Asked], Effect]) -> Callable[[Connection], Effect]:
    """What a transaction would do, decided on the registry as of now, and not done."""
    return lambda connection: plan(Books(connection, caught_up(connection, seen)[0]))


def content_of(connection: Connection, place: Place) -> Loaded:
    """One version's content and its size. Raises NotFound."""
    v = tables.versions.c
    text = connection.scalar(select(_CONTENT).where(v.kind == place[0], v.name == place[1], v.number == place[2]))
    if text is None:
        raise NotFound(f"There is no {place[0]}:/{place[1]}/{place[2]}.", field="number", mend="List the versions.")
    return msgspec.json.decode(text), len(text)


def contents_of(connection: Connection, places: Sequence[Place]) -> dict[Place, Mapping[str, Any]]:
    """The contents of several versions."""
    v = tables.versions.c
    found: dict[Place, Mapping[str, Any]] = {}
    for start in range(0, len(places), _MANY):
        chosen = tuple_(v.kind, v.name, v.number).in_(places[start : start + _MANY])
        for kind, name, number, text in connection.execute(select(v.kind, v.name, v.number, _CONTENT).where(chosen)):
            found[kind, name, number] = msgspec.json.decode(text)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which part of the ledger is wanted, newest first. ``before`` is the position after which it goes on; 0: all.

    ``asset`` is part of ``kind:/name`` and ``actor`` part of who did it, in any case; ``layer`` is 1 to 5, 0 for all.
    """

    kind: str = ""
    name: str = ""
    label: str = ""
    group: str = ""
    since_ns: int = 0
    until_ns: int = 0
    before: int = 0
    limit: int = 200
    layer: int = 0
    asset: str = ""
    actor: str = ""


def search(connection: Connection, asked: Search) -> tuple[list[Change], int]:
    """A page of the ledger, and the position at which the next one begins; 0 after the last."""
    c = tables.changes.c
    bounds = [*_bounds(asked), *([c.seq < asked.before] if asked.before else [])]
    statement = select(c.seq, *_CHANGE).where(and_(True, *bounds)).order_by(desc(c.seq)).limit(asked.limit + 1)
    rows = _rows(connection, statement)
    page = rows[: asked.limit]
    return [_change(row) for row in page], int(page[-1]["seq"]) if len(rows) > len(page) else 0


def counted(connection: Connection, asked: Search) -> int:
    """How many changes a search finds on all its pages."""
    statement = select(func.count()).select_from(tables.changes).where(and_(True, *_bounds(asked)))
    return int(connection.scalar(statement) or 0)


def _bounds(asked: Search) -> list[ColumnElement[bool]]:
    c = tables.changes.c
    bounds = [c[key] == value for key in ("kind", "name", "label", "group") if (value := getattr(asked, key))]
    bounds += [c.time_ns >= asked.since_ns] if asked.since_ns else []
    bounds += [c.time_ns < asked.until_ns] if asked.until_ns else []
    bounds += [(c.kind + ":/" + c.name).icontains(asked.asset, autoescape=True)] if asked.asset else []
    bounds += [c.actor.icontains(asked.actor, autoescape=True)] if asked.actor else []
    if asked.layer:
        kinds = [kind for kind, layer in (LAYER_OF_KIND | LAYER_OF_EVENT).items() if layer == asked.layer]
        bounds.append(or_(c.said_layer == asked.layer, and_(c.said_layer == 0, c.kind.in_(kinds))))
    return bounds


def protections_of(connection: Connection, asset: Asset, label: str) -> list[Protection]:
    """Every protection that a label has had, newest first."""
    c = tables.protections.c
    where = (c.kind == asset[0], c.name == asset[1], c.label == label)
    return [Protection(**row) for row in _rows(connection, select(*_PROTECTION).where(*where).order_by(desc(c.seq)))]


def gates_of(connection: Connection, asset: Asset, number: int, limit: int) -> list[Gate]:
    """The results for a version (0: for all of the asset's), newest first."""
    c = tables.gates.c
    where = [c.kind == asset[0], c.name == asset[1], *([c.number == number] if number else [])]
    statement = select(*_GATE).where(*where).order_by(desc(c.seq)).limit(limit)
    return [Gate(**row) for row in _rows(connection, statement)]


class Books:
    """What a plan may look at, inside its transaction."""

    def __init__(self, connection: Connection, now: Snapshot) -> None:
        self._connection = connection
        self._now = now

    @property
    def now(self) -> Snapshot:
        return self._now

    def history(self, asset: Asset, label: str) -> list[Change]:
        c = tables.changes.c
        return self._changes(c.kind == asset[0], c.name == asset[1], c.label == label)

    def change(self, change_id: str) -> Change | None:
        return next(iter(self._changes(tables.changes.c.id == change_id)), None)

    def group(self, group: str) -> list[Change]:
        return self._changes(tables.changes.c.group == group)

    def verdict(self, asset: Asset, number: int, gate: str) -> Gate | None:
        c = tables.gates.c
        where = (c.kind == asset[0], c.name == asset[1], c.number == number, c.gate == gate)
        rows = _rows(self._connection, select(*_GATE).where(*where).order_by(desc(c.seq)).limit(1))
        return Gate(**rows[0]) if rows else None

    def moved_since(self, at_ns: int) -> list[tuple[Asset, str]]:
        c = tables.changes.c
        where = (c.time_ns > at_ns, c.action.in_(STANDS), c.label != "")
        found = self._connection.execute(select(c.kind, c.name, c.label).where(*where).distinct())
        return sorted(((kind, name), label) for kind, name, label in found)

    def stood_at(self, asset: Asset, label: str, at_ns: int) -> int:
        c = tables.changes.c
        where = (c.kind == asset[0], c.name == asset[1], c.label == label)
        moves = select(c.after).where(*where, c.action.in_(STANDS), c.time_ns <= at_ns)
        pin = self._connection.scalar(moves.order_by(desc(c.time_ns), desc(c.seq)).limit(1))
        return int(str(pin).rpartition("/")[2]) if pin else 0

    def share_at(self, rollout_id: str, at_ns: int) -> float | None:
        c = tables.changes.c
        where = (c.rollout == rollout_id, c.time_ns <= at_ns)
        share = self._connection.scalar(select(c.share).where(*where).order_by(desc(c.seq)).limit(1))
        return None if share is None else float(share)

    def ended_since(self, at_ns: int) -> list[str]:
        c = tables.changes.c
        ends = (c.rollout != "", c.action.in_(("promote", "abort", "rollback")), c.time_ns > at_ns)
        ids = self._connection.scalars(select(c.rollout).where(*ends).distinct().order_by(c.rollout))
        rollouts = self._now.rollouts
        return [name for name in ids if name in rollouts and rollouts[name].started_ns <= at_ns]

    def _changes(self, *where: Any) -> list[Change]:
        statement = select(*_CHANGE).where(*where).order_by(tables.changes.c.seq)
        return [_change(row) for row in _rows(self._connection, statement)]


def _news(connection: Connection, seen: int, current: int) -> News:
    v, lab, r, c, p = (getattr(tables, name).c for name in ("versions", "labels", "rollouts", "changes", "protections"))
    columns = (v.kind, v.name, v.number, v.digest, v.author, v.note, v.created_ns, *_LINEAGE)
    # Sorted here: told to sort, SQLite walks the whole primary key instead of the index of the counter.
    rows = sorted(map(tuple, connection.execute(select(*columns).where(v.generation > seen))))
    latest = select(*_CHANGE).where(c.generation > seen).order_by(desc(c.seq)).limit(RECENT)
    rollouts = select(*_ROLLOUT).where(r.generation > seen).order_by(r.started_ns)
    protections = select(*_PROTECTION).where(p.generation > seen).order_by(p.seq)
    return News(
        generation=current,
        entries=tuple(
            ((kind, name), Entry(number, digest, author, note, created_ns, *_lineage(parents, needs)))
            for kind, name, number, digest, author, note, created_ns, parents, needs in rows
        ),
        labels=tuple(
            ((kind, name), label, number)
            for kind, name, label, number in connection.execute(
                select(lab.kind, lab.name, lab.label, lab.number).where(lab.generation > seen)
            )
        ),
        rollouts=tuple(_rollout(row) for row in _rows(connection, rollouts)),
        changes=tuple(_change(row) for row in reversed(_rows(connection, latest))),
        protections=tuple(Protection(**row) for row in _rows(connection, protections)),
    )


def _lineage(parents: str, needs: str) -> tuple[tuple[int, ...], Mapping[str, Any]]:
    """Most versions have none, and there may be very many."""
    return (
        () if parents == "[]" else tuple(msgspec.json.decode(parents)),
        _NO_NEEDS if needs == "{}" else msgspec.json.decode(needs),
    )


def _filled(connection: Connection, now: Snapshot, news: News | None) -> Snapshot:
    """The snapshot with the contents of what is live in it; without ``news`` every asset is looked at."""
    assets: Iterable[Asset] | None = None
    if news is not None:
        assets = {asset for asset, _, _ in news.labels} | {(r.kind, r.name) for r in news.rollouts}
    unread = now.unread(assets)
    return now.filled(contents_of(connection, unread)) if unread else now


def _count(connection: Connection, number: int) -> None:
    counter = tables.generations
    if not connection.execute(update(counter).where(counter.c.name == COUNTER).values(value=number)).rowcount:
        connection.execute(insert(counter).values(name=COUNTER, value=number))


def _put(connection: Connection, effect: Effect, number: int) -> None:
    if (version := effect.version) is not None:
        values = {**asdict(version), "parents": list(version.parents), "generation": number}
        connection.execute(insert(tables.versions).values(**values))
    for move in effect.labels:
        _move(connection, move, number)
    for rollout in effect.rollouts:
        _put_rollout(connection, rollout, number)
    for change in effect.changes:
        connection.execute(insert(tables.changes).values(**asdict(change), generation=number))
    if effect.protection is not None:
        connection.execute(insert(tables.protections).values(**asdict(effect.protection), generation=number))
    if effect.gate is not None:
        connection.execute(insert(tables.gates).values(**asdict(effect.gate)))


def _move(connection: Connection, move: LabelMove, number: int) -> None:
    labels = tables.labels
    where = (labels.c.kind == move.kind, labels.c.name == move.name, labels.c.label == move.label)
    values = {"number": move.number, "moved_ns": move.moved_ns, "generation": number}
    if not connection.execute(update(labels).where(*where).values(**values)).rowcount:
        connection.execute(insert(labels).values(kind=move.kind, name=move.name, label=move.label, **values))


def _put_rollout(connection: Connection, rollout: Rollout, number: int) -> None:
    rollouts = tables.rollouts
    values = {**asdict(rollout), "stages": list(rollout.stages), "generation": number}
    if not connection.execute(update(rollouts).where(rollouts.c.id == rollout.id).values(**values)).rowcount:
        connection.execute(insert(rollouts).values(**values))


def _rows(connection: Connection, statement: Any) -> list[RowMapping]:
    return list(connection.execute(statement).mappings())


def _change(row: RowMapping) -> Change:
    return Change(**{field.name: row[field.name] for field in fields(Change)})


def _rollout(row: RowMapping) -> Rollout:
    return Rollout(**{**row, "stages": tuple(row["stages"])})
