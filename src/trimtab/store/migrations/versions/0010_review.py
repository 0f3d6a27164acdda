"""Review by people: queues, their items, and what each person said of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _json(name: str, empty: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=False, server_default=empty)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), primary_key=True)


def _place() -> sa.Column[int]:
    return sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "review_queues",
        _key("id"), _text("name"), _text("dataset"), _text("note"), _text("actor"), _json("criteria", "[]"),
        _json("experts", "[]"), _ns("time_ns"), _ns("closed_ns"),
    )  # fmt: skip
    op.create_index("ix_review_queues_time_ns", "review_queues", ["time_ns"])
    op.create_table(
        "review_items",
        _key("queue"), _place(), sa.Column("case", sa.Text(), nullable=False), _text("group"), _text("trace_id"),
        _text("slice"), _text("known"), _text("known_why"), _json("shown", "{}"), _json("hidden", "{}"),
    )  # fmt: skip
    op.create_table(
        "review_marks",
        _key("queue"), _place(), _key("reviewer"), _key("role"),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _json("verdicts", "{}"), _text("critique"), _ns("shown_ns"), _ns("saved_ns"), _ns("done_ns"),
    )  # fmt: skip
    op.create_index("ix_review_marks_queue_reviewer", "review_marks", ["queue", "reviewer"])
