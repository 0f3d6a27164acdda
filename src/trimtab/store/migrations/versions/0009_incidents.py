"""The notices that people are sent of incidents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("incident", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        _text("owner"),
        _text("phase"),
        _text("text"),
        _ns("due_ns"),
        _ns("done_ns"),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        _text("error"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notices_event", "notices", ["event"])
    op.create_index("ix_notices_done_ns_due_ns", "notices", ["done_ns", "due_ns"])
