"""Incidents and their events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _row_id(name: str) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, primary_key=True, autoincrement=True)


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "incidents",
        _row_id("id"),
        _ns("opened_ns"),
        _ns("closed_ns"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False, server_default=sa.text("3")),
        _text("signal"),
        _text("slice"),
        sa.Column("layer", sa.Integer(), nullable=True),
        _text("owner"),
        _text("acknowledged_by"),
        _text("title"),
        sa.Column("cause", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("evidence", sa.JSON(), nullable=False, server_default="{}"),
        _text("lesson"),
        _text("dataset"),
        sa.Column("cases", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incidents_state", "incidents", ["state"])
    op.create_table(
        "incident_events",
        _row_id("seq"),
        sa.Column("incident", sa.BigInteger(), nullable=False),
        _ns("time_ns"),
        sa.Column("kind", sa.Text(), nullable=False),
        _text("actor"),
        _text("text"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incident_events_incident", "incident_events", ["incident"])
