"""The plans of rollouts, what they saw, and the history of their decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _json(name: str, empty: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=False, server_default=empty)


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "rollout_plans",
        sa.Column("rollout", sa.Text(), primary_key=True),
        _ns("time_ns"),
        _ns("ended_ns"),
        _json("plan", "{}"),
        _text("position"),
        _text("paused"),
        _json("limits", "{}"),
        _json("evidence", "[]"),
    )
    op.create_index("ix_rollout_plans_ended_ns", "rollout_plans", ["ended_ns"])
    op.create_table(
        "rollout_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("rollout", sa.Text(), nullable=False),
        _ns("time_ns"),
        sa.Column("action", sa.Text(), nullable=False),
        _text("actor"),
        _text("text"),
        sa.Column("share", sa.Float(), nullable=False, server_default=sa.text("0.0")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_rollout_events_rollout", "rollout_events", ["rollout"])
