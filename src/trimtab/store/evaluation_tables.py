"""The tables of evaluation: runs with every answer and score, people's labels, calibrations of judges."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, Table, Text, UniqueConstraint, false, text, true

from .columns import RowId, moment, schema, values, words

eval_runs = Table(
    "eval_runs",
    schema,
    Column("id", Text, primary_key=True),
    words("name"),
    Column("state", Text, nullable=False),
    words("reason"),
    words("actor"),
    moment("time_ns"),
    moment("started_ns"),
    moment("ended_ns"),
    values("plan", dict),
    words("dataset"),
    words("digest"),
    values("scorers", list),
    values("progress", dict),
    words("holder"),
    moment("beat_ns"),
    Index(None, "time_ns"),
    Index(None, "state"),
)

eval_cases = Table(
    "eval_cases",
    schema,
    Column("run", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("case", Text, nullable=False),
    Column("content", Text, nullable=False),
    Index(None, "run", "case", unique=True),
)

eval_outputs = Table(
    "eval_outputs",
    schema,
    Column("run", Text, primary_key=True),
    Column("case", Text, primary_key=True),
    Column("repeat", Integer, primary_key=True, autoincrement=False),
    words("key"),
    words("output"),
    words("error"),
    Column("tries", Integer, nullable=False, default=1, server_default=text("1")),
    Column("latency_ms", Float, nullable=False, default=0.0, server_default=text("0.0")),
    Column("cost_usd", Float, nullable=True),
    Column("cached", Boolean, nullable=False, default=False, server_default=false()),
    words("trace_id"),
    moment("time_ns"),
    Index(None, "key"),
)

eval_scores = Table(
    "eval_scores",
    schema,
    Column("run", Text, primary_key=True),
    Column("case", Text, primary_key=True),
    Column("repeat", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("judgement", Integer, primary_key=True, autoincrement=False),
    words("scorer"),
    Column("value", Float, nullable=True),
    words("error"),
    words("reason"),
    words("judge"),
    Column("cost_usd", Float, nullable=True),
    Column("cached", Boolean, nullable=False, default=False, server_default=false()),
    words("detail"),
    words("key"),
    moment("time_ns"),
    Index(None, "key"),
)

eval_labels = Table(
    "eval_labels",
    schema,
    Column("seq", RowId, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("case", Text, nullable=False),
    words("criterion"),
    Column("value", Float, nullable=False),
    words("by"),
    words("critique"),
    words("group"),
    Column("blind", Boolean, nullable=False, default=True, server_default=true()),
    moment("time_ns"),
    words("drawn"),
    UniqueConstraint("id"),
    Index(None, "dataset", "case"),
    sqlite_autoincrement=True,
)

eval_calibrations = Table(
    "eval_calibrations",
    schema,
    Column("seq", RowId, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("judge", Text, nullable=False),
    words("dataset"),
    words("pin"),
    values("record", dict),
    moment("time_ns"),
    Index(None, "name"),
    sqlite_autoincrement=True,
)
