"""SpanQuery: the one closed question that every span store answers in the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Op = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "in", "exists"]

#: Columns of a span that hold numbers. ``layer`` is 1 to 5. Cached tokens are part of the input tokens and reasoning
#: tokens part of the output tokens.
NUMBERS = (
    "layer", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_usd", "duration_ms", "ttft_ms",
)  # fmt: skip
#: Columns of a span that a filter may name, besides ``tag:NAME`` and ``score:NAME``; what is no number is text.
COLUMNS = (
    "trace_id", "span_id", "parent_id", "project", "session", "name", "kind", "status", "error",
    "model", "provider", "fingerprint",
    "stamp.model", "stamp.knowledge", "stamp.prompt", "stamp.guard", "stamp.route",
    *NUMBERS,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One condition: ``column op value``. ``column`` is one of COLUMNS, ``tag:NAME`` or ``score:NAME``.

    ``in`` takes a tuple of 1 to 1,000 values and is ``=`` with any of them. ``exists`` takes 1 (the span has the value,
    and it is not empty text) or 0 (it has not). ``contains`` is for text.
    """

    column: str
    op: Op
    value: str | float | tuple[str | float, ...]


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


#: What a Breakdown may compute of a number column; ``count`` is how many spans have the value.
STATISTICS = ("count", "sum", "avg", "min", "max", "p50", "p75", "p90", "p95", "p99")
#: Columns that groups may be made by: all text, and the layer (as text).
GROUPABLE = (*(column for column in COLUMNS if column not in NUMBERS), "layer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Numbers over groups of spans: which spans, grouped by what, which numbers, which groups first.

    ``query`` says which spans (its limit and cursor count for nothing here). ``by`` holds up to four of GROUPABLE,
    ``tag:NAME`` or ``time:SECONDS`` (the start of the bucket of that many seconds, UTC), none twice; empty is one group
    of everything. ``measures`` holds 1 to 64 of ``count``, ``errors``, ``refused`` or ``STATISTIC:COLUMN`` with a
    number column or ``score:NAME`` (``p95:duration_ms``, ``sum:cost_usd``, ``avg:score:quality``). Percentiles come
    from the mergeable histogram, so that every store gives the same ones. ``order`` is a measure (asked for or not) or
    a column of ``by``, with a ``-`` before it for the largest first; groups without a value come last, equal ones are
    ordered by their keys. ``limit`` is 1 to 10,000 groups.

    A root span carries the totals of its trace, each call its own tokens and cost: either the roots or the calls
    (``kind``) are summed, never both.
    """

    query: SpanQuery = field(default_factory=SpanQuery)
    by: tuple[str, ...] = ()
    measures: tuple[str, ...] = ("count",)
    order: str = "-count"
    limit: int = 100
