"""Every table of the metadata database. Times are nanoseconds since 1970 UTC; 0 says "not yet" or "never"."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from .columns import RowId as _RowId
from .columns import moment as _ns
from .columns import schema
from .columns import values as _json
from .columns import words as _text
from .evaluation_tables import eval_calibrations, eval_cases, eval_labels, eval_outputs, eval_runs, eval_scores
from .guard_tables import approvals, conversations, guard_measurements, tool_pins
from .probe_tables import probe_runs
from .review_tables import review_items, review_marks, review_queues

__all__ = [
    "approvals",
    "conversations",
    "eval_calibrations",
    "eval_cases",
    "eval_labels",
    "eval_outputs",
    "eval_runs",
    "eval_scores",
    "guard_measurements",
    "probe_runs",
    "review_items",
    "review_marks",
    "review_queues",
    "schema",
    "tool_pins",
]


def _generation() -> Column[int]:
    """The value of the registry's counter when this row was last written: what is above another's is new to it."""
    return Column("generation", BigInteger, nullable=False, default=0, server_default=text("0"))


versions = Table(
    "versions",
    schema,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("content", JSON, nullable=False),
    _text("author"),
    _text("note"),
    _ns("created_ns"),
    _json("parents", list),
    _json("needs", dict),
    _generation(),
    UniqueConstraint("kind", "name", "digest"),
    Index(None, "generation"),
)

labels = Table(
    "labels",
    schema,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    _ns("moved_ns"),
    _generation(),
    Index(None, "generation"),
)

rollouts = Table(
    "rollouts",
    schema,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("base", Integer, nullable=False),
    Column("candidate", Integer, nullable=False),
    Column("share", Float, nullable=False),
    _text("sticky"),
    Column("state", Text, nullable=False),
    _text("reason"),
    _ns("started_ns"),
    _json("stages", list),
    _generation(),
)

changes = Table(
    "changes",
    schema,
    Column("seq", _RowId, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    _ns("time_ns"),
    Column("action", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    _text("before"),
    _text("after"),
    _text("actor"),
    Column("share", Float, nullable=False, default=1.0, server_default=text("1.0")),
    _text("sticky"),
    _text("rollout"),
    _text("note"),
    Column("undo", Boolean, nullable=False, default=True, server_default=true()),
    _text("label"),
    _text("group"),
    _text("override"),
    Column("said_layer", Integer, nullable=False, default=0, server_default=text("0")),
    _generation(),
    UniqueConstraint("id"),
    Index(None, "time_ns"),
    Index(None, "kind", "name", "label"),
    Index(None, "generation"),
    sqlite_autoincrement=True,
)

protections = Table(
    "protections",
    schema,
    Column("seq", _RowId, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    _text("role"),
    _text("gate"),
    _text("actor"),
    _text("note"),
    _ns("time_ns"),
    _generation(),
    Index(None, "kind", "name", "label"),
    Index(None, "generation"),
    sqlite_autoincrement=True,
)

gates = Table(
    "gates",
    schema,
    Column("seq", _RowId, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("gate", Text, nullable=False),
    Column("passed", Boolean, nullable=False),
    _json("evidence", dict),
    _text("actor"),
    _ns("time_ns"),
    UniqueConstraint("id"),
    Index(None, "kind", "name", "number", "gate"),
    sqlite_autoincrement=True,
)

generations = Table(
    "generations",
    schema,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    schema,
    Column("id", Text, primary_key=True),
    _text("name"),
    Column("hash", Text, nullable=False),
    _text("prefix"),
    _text("owner"),
    _text("role"),
    _ns("created_ns"),
    _ns("expires_ns"),
    Column("disabled", Boolean, nullable=False, default=False, server_default=false()),
    _json("limits", dict),
    _text("team"),
    _text("old_hash"),
    _ns("old_until_ns"),
    UniqueConstraint("hash"),
)

teams = Table(
    "teams",
    schema,
    Column("name", Text, primary_key=True),
    _json("limits", dict),
)

usage = Table(
    "usage",
    schema,
    Column("id", Text, primary_key=True),
    _ns("time_ns"),
    _text("key"),
    _text("team"),
    _text("route"),
    _text("model"),
    _text("node"),
    Column("state", Text, nullable=False),
    Column("requests", Integer, nullable=False, default=1, server_default=text("1")),
    Column("input_tokens", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("output_tokens", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("cached_tokens", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("cost_nano", BigInteger, nullable=True),
    Index(None, "time_ns"),
)

usage_days = Table(
    "usage_days",
    schema,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("team", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("input_tokens", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("output_tokens", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("cached_tokens", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("cost_nano", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("unpriced", BigInteger, nullable=False, default=0, server_default=text("0")),
    Column("interrupted", BigInteger, nullable=False, default=0, server_default=text("0")),
)

refusals = Table(
    "refusals",
    schema,
    Column("id", Text, primary_key=True),
    _ns("time_ns"),
    _text("key"),
    _text("team"),
    _text("route"),
    _text("code"),
    Column("status", Integer, nullable=False),
    _text("message"),
    _text("mend"),
    Column("retry_after", Float, nullable=True),
    _json("checks", list),
    Index(None, "time_ns"),
)

blobs = Table(
    "blobs",
    schema,
    Column("digest", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

settings = Table(
    "settings",
    schema,
    Column("name", Text, primary_key=True),
    Column("value", JSON, nullable=False),
)

incidents = Table(
    "incidents",
    schema,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    _ns("opened_ns"),
    _ns("closed_ns"),
    Column("state", Text, nullable=False),
    Column("severity", Integer, nullable=False, default=3, server_default=text("3")),
    _text("signal"),
    _text("slice"),
    Column("layer", Integer, nullable=True),
    _text("owner"),
    _text("acknowledged_by"),
    _text("title"),
    _json("cause", dict),
    _json("evidence", dict),
    _text("lesson"),
    _text("dataset"),
    Column("cases", Integer, nullable=False, default=0, server_default=text("0")),
    Index(None, "state"),
    sqlite_autoincrement=True,
)

incident_events = Table(
    "incident_events",
    schema,
    Column("seq", _RowId, primary_key=True, autoincrement=True),
    Column("incident", BigInteger, nullable=False),
    _ns("time_ns"),
    Column("kind", Text, nullable=False),
    _text("actor"),
    _text("text"),
    Index(None, "incident"),
    sqlite_autoincrement=True,
)

notices = Table(
    "notices",
    schema,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("incident", BigInteger, nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    _text("owner"),
    _text("phase"),
    _text("text"),
    _ns("due_ns"),
    _ns("done_ns"),
    Column("tries", Integer, nullable=False, default=0, server_default=text("0")),
    _text("error"),
    Index(None, "event"),
    Index(None, "done_ns", "due_ns"),
    sqlite_autoincrement=True,
)

rollout_plans = Table(
    "rollout_plans",
    schema,
    Column("rollout", Text, primary_key=True),
    _ns("time_ns"),
    _ns("ended_ns"),
    _json("plan", dict),
    _text("position"),
    _text("paused"),
    _json("limits", dict),
    _json("evidence", list),
    Index(None, "ended_ns"),
)

rollout_events = Table(
    "rollout_events",
    schema,
    Column("seq", _RowId, primary_key=True, autoincrement=True),
    Column("rollout", Text, nullable=False),
    _ns("time_ns"),
    Column("action", Text, nullable=False),
    _text("actor"),
    _text("text"),
    Column("share", Float, nullable=False, default=0.0, server_default=text("0.0")),
    Index(None, "rollout"),
    sqlite_autoincrement=True,
)
