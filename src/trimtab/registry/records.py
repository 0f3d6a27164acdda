"""All SQL of the registry: effects go in, a snapshot comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from trimtab.core import Change, Conflict, Rollout, Version
from trimtab.store import tables

from .snapshot import Asset, Effect, LabelMove, Snapshot


def read(connection: Connection) -> Snapshot:
    """The whole registry as of the last commit."""
    versions: dict[Asset, dict[int, Version]] = {}
    for row in _rows(connection, select(tables.versions).order_by(tables.versions.c.number)):
        version = Version(**row)
        versions.setdefault((version.kind, version.name), {})[version.number] = version
    labels: dict[Asset, dict[str, int]] = {}
    for row in _rows(connection, select(tables.labels)):
        labels.setdefault((row["kind"], row["name"]), {})[row["label"]] = row["number"]
    rollouts: dict[str, Rollout] = {}
    for row in _rows(connection, select(tables.rollouts).order_by(tables.rollouts.c.started_ns)):
        rollouts[row["id"]] = Rollout(**{**row, "stages": tuple(row["stages"])})
    columns = [column for column in tables.changes.c if column.name != "seq"]
    ledger = tuple(Change(**row) for row in _rows(connection, select(*columns).order_by(tables.changes.c.seq)))
    running = {(r.kind, r.name): r for r in rollouts.values() if r.state == "running"}
    return Snapshot(versions=versions, labels=labels, rollouts=rollouts, running=running, ledger=ledger)


def writing(effect: Effect, *, new_version: bool, new_rollout: bool) -> Callable[[Connection], None]:
    """The transaction that makes an effect durable. It raises Conflict, and changes nothing, when another writer of the
    same database was first: labels and rollouts only move from where the effect saw them.
    """

    def write(connection: Connection) -> None:
        if effect.version is not None and new_version:
            _insert_version(connection, effect.version)
        if effect.label is not None:
            _move(connection, effect.label)
        if effect.rollout is not None:
            _put_rollout(connection, effect.rollout, new=new_rollout)
        if effect.change is not None:
            connection.execute(insert(tables.changes).values(**asdict(effect.change)))

    return write


def _rows(connection: Connection, statement: Any) -> list[RowMapping]:
    return list(connection.execute(statement).mappings())


def _insert_version(connection: Connection, version: Version) -> None:
    try:
        connection.execute(insert(tables.versions).values(**asdict(version)))
    except IntegrityError as error:
        mend = "Try again."
        raise Conflict(f"Somebody else registered {version.address} first.", field="number", mend=mend) from error


def _move(connection: Connection, move: LabelMove) -> None:
    labels = tables.labels
    where = (labels.c.kind == move.kind, labels.c.name == move.name, labels.c.label == move.label)
    values = {"number": move.number, "moved_ns": move.moved_ns}
    if move.before:
        moved = connection.execute(
            update(labels).where(*where, labels.c.number == move.before).values(**values)
        ).rowcount
    else:
        moved = int(connection.execute(select(labels.c.number).where(*where)).first() is None)
        if moved:
            connection.execute(insert(labels).values(kind=move.kind, name=move.name, label=move.label, **values))
    if not moved:
        mend = "Read the label again and decide anew."
        raise Conflict(f"Somebody else moved {move.kind}:/{move.name}@{move.label} first.", field="label", mend=mend)


def _put_rollout(connection: Connection, rollout: Rollout, *, new: bool) -> None:
    rollouts = tables.rollouts
    values = {**asdict(rollout), "stages": list(rollout.stages)}
    if new:
        connection.execute(insert(rollouts).values(**values))
        return
    where = (rollouts.c.id == rollout.id, rollouts.c.state == "running")
    if not connection.execute(update(rollouts).where(*where).values(**values)).rowcount:
        mend = "Read the rollout again."
        raise Conflict(f"Somebody else ended rollout {rollout.id} first.", field="rollout", mend=mend)
