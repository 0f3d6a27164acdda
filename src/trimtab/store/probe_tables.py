"""The table of probe runs. What a probe knows stands among the settings."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, Table, Text, text

from .columns import RowId, moment, schema, values, words

probe_runs = Table(
    "probe_runs",
    schema,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("probe", Text, nullable=False),
    words("kind"),
    words("target"),
    words("actor"),
    Column("state", Text, nullable=False),
    words("verdict"),
    words("text"),
    moment("started_ns"),
    moment("ended_ns"),
    Column("value", Float, nullable=True),
    Column("calls", Integer, nullable=False, default=0, server_default=text("0")),
    Column("cost_usd", Float, nullable=False, default=0.0, server_default=text("0.0")),
    Column("unpriced", Integer, nullable=False, default=0, server_default=text("0")),
    words("holder"),
    Column("lease_ns", BigInteger, nullable=False, default=0, server_default=text("0")),
    values("detail", dict),
    Index(None, "probe", "started_ns"),
    sqlite_autoincrement=True,
)
