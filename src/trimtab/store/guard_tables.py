"""The table of the guard: tool calls that wait for a person."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text

from .columns import moment, schema, values, words

approvals = Table(
    "approvals",
    schema,
    Column("id", Text, primary_key=True),
    Column("conversation", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("tool", Text, nullable=False),
    values("arguments", dict),
    values("reasons", list),
    words("route"),
    words("user"),
    words("policy"),
    words("trace_id"),
    Column("state", Text, nullable=False),
    moment("time_ns"),
    moment("deadline_ns"),
    moment("decided_ns"),
    words("by"),
    words("note"),
    Index(None, "conversation", "digest"),
    Index(None, "state", "deadline_ns"),
    Index(None, "time_ns"),
)
