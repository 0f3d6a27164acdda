"""Teams, rotation of keys, the usage ledger with its sums by day, and refusals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    """Three columns for keys, and four tables."""
    for column in (_text("team"), _text("old_hash"), _ns("old_until_ns")):
        op.add_column("keys", column)
    op.create_table(
        "teams",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"),
    )
    op.create_table(
        "usage",
        sa.Column("id", sa.Text(), primary_key=True),
        _ns("time_ns"),
        _text("key"),
        _text("team"),
        _text("route"),
        _text("model"),
        _text("node"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False, server_default=sa.text("1")),
        _ns("input_tokens"),
        _ns("output_tokens"),
        _ns("cached_tokens"),
        sa.Column("cost_nano", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_usage_time_ns", "usage", ["time_ns"])
    op.create_table(
        "usage_days",
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text(), primary_key=True) for name in ("key", "team", "route", "model")),
        *(_ns(name) for name in ("requests", "input_tokens", "output_tokens", "cached_tokens")),
        *(_ns(name) for name in ("cost_nano", "unpriced", "interrupted")),
    )
    op.create_table(
        "refusals",
        sa.Column("id", sa.Text(), primary_key=True),
        _ns("time_ns"),
        _text("key"),
        _text("team"),
        _text("route"),
        _text("code"),
        sa.Column("status", sa.Integer(), nullable=False),
        _text("message"),
        _text("mend"),
        sa.Column("retry_after", sa.Float(), nullable=True),
        sa.Column("checks", sa.JSON(), nullable=False, server_default="[]"),
    )
    op.create_index("ix_refusals_time_ns", "refusals", ["time_ns"])
