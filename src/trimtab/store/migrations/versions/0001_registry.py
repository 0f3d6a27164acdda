"""Versions, labels, rollouts, changes, keys, blobs and settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "versions",
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        _text("author"),
        _text("note"),
        _ns("created_ns"),
        sa.UniqueConstraint("kind", "name", "digest", name="uq_versions_kind_name_digest"),
    )
    op.create_table(
        "labels",
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("label", sa.Text(), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        _ns("moved_ns"),
    )
    _ledger()
    op.create_table(
        "keys",
        sa.Column("id", sa.Text(), primary_key=True),
        _text("name"),
        sa.Column("hash", sa.Text(), nullable=False),
        _text("prefix"),
        _text("owner"),
        _text("role"),
        _ns("created_ns"),
        _ns("expires_ns"),
        sa.Column("disabled", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
    )
    op.create_table(
        "blobs",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.JSON(), nullable=False),
    )


def _ledger() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("base", sa.Integer(), nullable=False),
        sa.Column("candidate", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        _text("sticky"),
        sa.Column("state", sa.Text(), nullable=False),
        _text("reason"),
        _ns("started_ns"),
        sa.Column("stages", sa.JSON(), nullable=False, server_default="[]"),
    )
    op.create_table(
        "changes",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text(), nullable=False),
        _ns("time_ns"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _text("before"),
        _text("after"),
        _text("actor"),
        sa.Column("share", sa.Float(), nullable=False, server_default=sa.text("1.0")),
        _text("sticky"),
        _text("rollout"),
        _text("note"),
        sa.Column("undo", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.UniqueConstraint("id", name="uq_changes_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_time_ns", "changes", ["time_ns"])
