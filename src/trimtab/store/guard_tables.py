"""The tables of the guard: tool calls that wait for a person, pinned tools, conversations with flows."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

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

#: How each tool was described when it was first declared, and how it is described now where that is another way.
tool_pins = Table(
    "tool_pins",
    schema,
    Column("scope", Text, primary_key=True),
    Column("tool", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    values("described", dict),
    moment("time_ns"),
    words("offered"),
    values("offer", dict),
    moment("offered_ns"),
    words("accepted_by"),
    Index(None, "offered_ns"),
)

#: What the messages of a conversation were recognised as, for clients that do not send them again.
conversations = Table(
    "conversations",
    schema,
    Column("id", Text, primary_key=True),
    values("turns", list),
    moment("time_ns"),
    Index(None, "time_ns"),
)

#: What a version of a policy stopped when it was measured.
guard_measurements = Table(
    "guard_measurements",
    schema,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    moment("time_ns"),
    words("by"),
    values("report", dict),
    Index(None, "name", "time_ns"),
)
