"""The tables of review by people: queues, their items, and what each person said of each."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from .columns import moment, schema, values, words

review_queues = Table(
    "review_queues",
    schema,
    Column("id", Text, primary_key=True),
    words("name"),
    words("dataset"),
    words("note"),
    words("actor"),
    values("criteria", list),
    values("experts", list),
    moment("time_ns"),
    moment("closed_ns"),
    Index(None, "time_ns"),
)

review_items = Table(
    "review_items",
    schema,
    Column("queue", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("case", Text, nullable=False),
    words("group"),
    words("trace_id"),
    words("slice"),
    words("known"),
    words("known_why"),
    values("shown", dict),
    values("hidden", dict),
)

review_marks = Table(
    "review_marks",
    schema,
    Column("queue", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("reviewer", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("place", Integer, nullable=False),
    Column("state", Text, nullable=False),
    values("verdicts", dict),
    words("critique"),
    moment("shown_ns"),
    moment("saved_ns"),
    moment("done_ns"),
    Index(None, "queue", "reviewer"),
)
