"""Evaluation runs with every answer and score, people's labels, and what calibrating judges with them gave."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _ns(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _json(name: str, empty: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=False, server_default=empty)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), primary_key=True)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), primary_key=True, autoincrement=False)


def _needed(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _flag(name: str, *, on: bool) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.true() if on else sa.false())


def upgrade() -> None:
    """Create the tables."""
    _runs()
    _rows()
    op.create_table(
        "eval_labels",
        sa.Column("seq", _ROW_ID, primary_key=True, autoincrement=True),
        _needed("id"), _needed("dataset"), _needed("case"), _text("criterion"),
        sa.Column("value", sa.Float(), nullable=False),
        _text("by"), _text("critique"), _text("group"), _flag("blind", on=True), _ns("time_ns"),
        sa.UniqueConstraint("id", name="uq_eval_labels_id"),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_index("ix_eval_labels_dataset_case", "eval_labels", ["dataset", "case"])
    op.create_table(
        "eval_calibrations",
        sa.Column("seq", _ROW_ID, primary_key=True, autoincrement=True),
        _needed("name"), _needed("judge"), _text("dataset"), _text("pin"), _json("record", "{}"), _ns("time_ns"),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_index("ix_eval_calibrations_name", "eval_calibrations", ["name"])


def _runs() -> None:
    op.create_table(
        "eval_runs",
        _key("id"), _text("name"), _needed("state"), _text("reason"), _text("actor"), _ns("time_ns"),
        _ns("started_ns"), _ns("ended_ns"), _json("plan", "{}"), _text("dataset"), _text("digest"),
        _json("scorers", "[]"), _json("progress", "{}"), _text("holder"), _ns("beat_ns"),
    )  # fmt: skip
    op.create_index("ix_eval_runs_time_ns", "eval_runs", ["time_ns"])
    op.create_index("ix_eval_runs_state", "eval_runs", ["state"])
    op.create_table("eval_cases", _key("run"), _count("position"), _needed("case"), _needed("content"))
    op.create_index("ix_eval_cases_run_case", "eval_cases", ["run", "case"], unique=True)


def _rows() -> None:
    op.create_table(
        "eval_outputs",
        _key("run"), _key("case"), _count("repeat"), _text("key"), _text("output"), _text("error"),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("latency_ms", sa.Float(), nullable=False, server_default=sa.text("0.0")),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        _flag("cached", on=False), _text("trace_id"), _ns("time_ns"),
    )  # fmt: skip
    op.create_index("ix_eval_outputs_key", "eval_outputs", ["key"])
    op.create_table(
        "eval_scores",
        _key("run"), _key("case"), _count("repeat"), _key("name"), _count("judgement"), _text("scorer"),
        sa.Column("value", sa.Float(), nullable=True),
        _text("error"), _text("reason"), _text("judge"),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        _flag("cached", on=False), _text("detail"), _text("key"), _ns("time_ns"),
    )  # fmt: skip
    op.create_index("ix_eval_scores_key", "eval_scores", ["key"])
