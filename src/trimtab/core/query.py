"""SpanQuery: the one closed question that every span store answers in the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Op = Literal["=", "!=", "<", "<=", ">", ">=", "contains"]

#: Columns of a span that a filter may name, besides ``tag:NAME`` and ``score:NAME``.
COLUMNS = (
    "trace_id", "project", "session", "name", "kind", "status", "model", "provider", "fingerprint",
    "stamp.model", "stamp.knowledge", "stamp.prompt", "stamp.guard", "stamp.route",
    "input_tokens", "output_tokens", "cost_usd", "duration_ms", "ttft_ms",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One condition: ``column op value``. ``column`` is one of COLUMNS, ``tag:NAME`` or ``score:NAME``."""

    column: str
    op: Op
    value: str | float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanQuery:
    """Which spans, newest first. Times are nanoseconds UTC, ``since`` included, ``until`` excluded; 0 is no bound.

    ``roots`` keeps only the root spans (one row a trace). ``text`` must occur in input or output, any case.
    ``cursor`` is what the page before returned. ``limit`` is 1 to 1000.
    """

    since_ns: int = 0
    until_ns: int = 0
    roots: bool = True
    filters: tuple[Filter, ...] = field(default_factory=tuple)
    text: str = ""
    limit: int = 50
    cursor: str = ""
