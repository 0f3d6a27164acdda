"""Guard: flows, pins and verdicts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the tables of pinned tools, of conversations with flows, and of measurements."""
    op.create_table(
        "tool_pins",
        sa.Column("scope", sa.Text(), primary_key=True),
        sa.Column("tool", sa.Text(), primary_key=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("described", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("time_ns", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("offered", sa.Text(), nullable=False, server_default=""),
        sa.Column("offer", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("offered_ns", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("accepted_by", sa.Text(), nullable=False, server_default=""),
    )
    op.create_index("ix_tool_pins_offered_ns", "tool_pins", ["offered_ns"])
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("turns", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("time_ns", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.create_index("ix_conversations_time_ns", "conversations", ["time_ns"])
    op.create_table(
        "guard_measurements",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("by", sa.Text(), nullable=False, server_default=""),
        sa.Column("report", sa.JSON(), nullable=False, server_default="{}"),
    )
    op.create_index("ix_guard_measurements_name_time_ns", "guard_measurements", ["name", "time_ns"])
