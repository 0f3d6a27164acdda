"""Probes: what they asked and found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "probe_runs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("probe", sa.Text(), nullable=False),
        _text("kind"), _text("target"), _text("actor"),
        sa.Column("state", sa.Text(), nullable=False),
        _text("verdict"), _text("text"), _ns("started_ns"), _ns("ended_ns"),
        sa.Column("value", sa.Float(), nullable=True),
        _count("calls"),
        sa.Column("cost_usd", sa.Float(), nullable=False, server_default=sa.text("0.0")),
        _count("unpriced"), _text("holder"), _ns("lease_ns"),
        sa.Column("detail", sa.JSON(), nullable=False, server_default="{}"),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_index("ix_probe_runs_probe_started_ns", "probe_runs", ["probe", "started_ns"])
