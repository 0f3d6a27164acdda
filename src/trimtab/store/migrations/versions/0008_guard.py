"""Tool calls that wait for a person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _needed(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), primary_key=True),
        _needed("conversation"), _needed("digest"), _needed("tool"),
        sa.Column("arguments", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("reasons", sa.JSON(), nullable=False, server_default="[]"),
        _text("route"), _text("user"), _text("policy"), _text("trace_id"),
        _needed("state"), _ns("time_ns"), _ns("deadline_ns"), _ns("decided_ns"), _text("by"), _text("note"),
    )  # fmt: skip
    op.create_index("ix_approvals_conversation_digest", "approvals", ["conversation", "digest"])
    op.create_index("ix_approvals_state_deadline_ns", "approvals", ["state", "deadline_ns"])
    op.create_index("ix_approvals_time_ns", "approvals", ["time_ns"])
