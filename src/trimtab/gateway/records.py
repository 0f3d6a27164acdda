"""All SQL of the gateway: the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, select, update

from trimtab.store import tables

if TYPE_CHECKING:
    from .keys import Key

_COLUMNS = tables.keys.c


def read_keys(connection: Connection) -> list[dict[str, Any]]:
    """Every row as the fields of a Key, with its ``hash``."""
    return [{**row, "limits": row["limits"] or {}} for row in connection.execute(select(tables.keys)).mappings()]


def insert_key(connection: Connection, key: Key, digest: str) -> None:
    """Add a key under the SHA-256 of its secret."""
    connection.execute(
        insert(tables.keys).values(
            id=key.id,
            name=key.name,
            hash=digest,
            prefix=key.prefix,
            owner=key.owner,
            role=key.role,
            created_ns=key.created_ns,
            expires_ns=key.expires_ns,
            disabled=key.disabled,
            limits=dict(key.limits),
        )
    )


def disable_key(connection: Connection, key_id: str) -> None:
    """Shut one key out."""
    connection.execute(update(tables.keys).where(_COLUMNS.id == key_id).values(disabled=True))


def delete_key(connection: Connection, key_id: str) -> None:
    """Take one key away, so that its secret may come back under another name."""
    connection.execute(delete(tables.keys).where(_COLUMNS.id == key_id))
