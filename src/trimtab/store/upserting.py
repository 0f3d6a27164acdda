"""Inserts that know what to do with a row that is there already."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Table


def upsert(connection: Connection, table: Table) -> Any:
    """The insert of the dialect at hand that knows ``ON CONFLICT``: both have it, and spell it alike.

    A connection of that dialect is open, so its module is there already; the other one is never loaded.
    """
    return import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert(table)
