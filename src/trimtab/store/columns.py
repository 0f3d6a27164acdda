"""What the tables of the metadata database are made of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Integer, MetaData, Text, text

schema = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)

#: SQLite numbers rows by itself only where the type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


def words(name: str) -> Column[str]:
    """Text, empty unless given."""
    return Column(name, Text, nullable=False, default="", server_default="")


def moment(name: str) -> Column[int]:
    """Nanoseconds UTC, 0 unless given."""
    return Column(name, BigInteger, nullable=False, default=0, server_default=text("0"))


def values(name: str, empty: type[dict[str, Any]] | type[list[Any]]) -> Column[Any]:
    """JSON, empty unless given."""
    return Column(name, JSON, nullable=False, default=empty, server_default="{}" if empty is dict else "[]")
