"""What the span store answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.core import Score, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of spans, newest first. ``cursor`` asks for the next page; empty when there is none."""

    spans: tuple[Span, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A whole trace: its spans by start, its scores by time."""

    spans: tuple[Span, ...]
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What was committed after a position, spans and scores each in the order of their commits.

    ``position`` is where the next batch starts; it may be kept for years and stays valid across restarts.
    """

    spans: tuple[Span, ...]
    scores: tuple[Score, ...]
    position: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreBucket:
    """The scores of one name and slice in one bucket of time: how many, their sum and the sum of their squares."""

    start_ns: int
    name: str
    slice: str
    n: int
    total: float
    total_sq: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanBucket:
    """The root spans that started in one bucket of time.

    ``unpriced`` counts those without a cost; ``cost_usd`` is the sum over the others. ``latency`` counts durations in
    milliseconds by ``bucket_of``; read it with ``quantile``.
    """

    start_ns: int
    n: int
    errors: int
    refused: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    unpriced: int
    latency: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of a Breakdown: its keys in the order of ``by`` ("" for a span without the value; a bucket of time as
    nanoseconds UTC) and its numbers in the order of ``measures``; None where no span of it has the value."""

    keys: tuple[str | int, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A trace in a few words.

    How many spans and scores, whether its root is there, whether a span of it failed or was refused, its project (the
    first by name, where its spans have several), the lowest score that it got (None without scores).
    """

    spans: int = 0
    scores: int = 0
    root: bool = False
    bad: bool = False
    project: str = ""
    lowest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How many rows were deleted. ``settled`` says that the old bytes are gone from the disk too; where it is False, a
    reader still has an older state open, and asking again (with no traces) settles it later."""

    spans: int = 0
    scores: int = 0
    settled: bool = True
