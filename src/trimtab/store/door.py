"""The door to spans and scores: what every span store does, whatever database lies behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trimtab.core import Breakdown, Score, Span, SpanQuery

from .answers import Batch, Erased, Group, Outline, Page, ScoreBucket, SpanBucket, Trace


class Spans(Protocol):
    """Spans and scores, durable before anybody is told so, readable while they are written.

    A span is written once, when it is finished. Of spans with the same trace and span id, and of scores with the same
    id, the first is kept and the others count as written. All methods are for the event loop's thread or any other;
    the async ones never block it. A store answers ``query``, ``groups`` and ``trace`` from what was committed before.

    What a condition of a query means, on every store:

    - Text compares by code point; ``contains`` ignores case (Unicode case folding).
    - A span without the value (no cost, no such tag, no such score) satisfies no condition on it but ``!=``, which is
      always exactly the opposite of ``=``. An empty text is a value, but for ``exists``, which asks whether there is
      a value that is not empty: ``exists 1`` that there is one, ``exists 0`` that there is none.
    - ``score:NAME`` is satisfied when any score of that name is: for a root span the scores of its whole trace, for
      others those that name the span and those that name only the trace.
    """

    @property
    def dropped(self) -> int:
        """Spans and scores that were offered and not stored, since the store was opened."""

    @property
    def commits(self) -> int:
        """Commits since the store was opened: fewer than writes, for what waits together is committed together."""

    async def write(self, spans: Sequence[Span] = (), scores: Sequence[Score] = (), *, patient: bool = False) -> None:
        """Store all of them or none; returns when they are on disk. ``patient`` waits for what else is to be written.

        Raises Overloaded when the queue is full or the database fails, BadInput when a row cannot be stored.
        """

    def offer(self, spans: Sequence[Span], scores: Sequence[Score] = ()) -> bool:
        """Store them soon, without waiting. False when the queue is full: they are dropped and counted."""

    async def flush(self) -> None:
        """Return when everything that was offered before is on disk or, if it could not be, counted as dropped."""

    async def expire(self, before_ns: int) -> list[str]:
        """Delete all days of arrival that ended before this time, whole; returns those days (``2026-11-25``)."""

    async def erase(self, trace_ids: Sequence[str]) -> Erased:
        """Delete everything that is kept of some traces, whatever its day: spans, texts, scores. At most 1,000 at once.

        Sums over time (``span_series``, ``score_series``) stay as they are. Unknown traces count nothing, so that it
        may be called again after a crash. What was deleted is in no later answer, ``tail`` included; a span that is
        sent again afterwards is new. The old bytes are overwritten where the database can do that.
        """

    async def strip(self, trace_ids: Sequence[str]) -> int:
        """Drop the texts of some traces and keep their columns; returns how many spans had any. At most 1,000 at once.

        A stripped span has no input, output and error, and of its attributes those that ``payload.stripped`` leaves.
        All columns, tags and scores stay, so that every count, sum and percentile is what it was.
        """

    def close(self) -> None:
        """Store what waits, end the threads, close the connections. Closing twice is allowed."""

    async def query(self, query: SpanQuery) -> Page:
        """Spans, newest first (by start, then the later committed first).

        Raises BadInput for an unknown column or comparison, a bad value, cursor or limit. Pages are stable: a span that
        comes in between appears on a later page, if it belongs there, and moves no other.
        """

    async def groups(self, breakdown: Breakdown) -> list[Group]:
        """Numbers over groups of spans, ordered and limited as the question says.

        ``score:NAME`` in a measure counts each score once for each span that it is about (see the class); with the
        roots only, that is once. Sums are exact for whole numbers and within rounding for others; a percentile is
        ``quantile`` over ``bucket_of`` of the values. Groups without a value of the ordering measure come last. Raises
        BadInput as ``query`` does, and for an unknown column of ``by``, measure, order or limit.
        """

    async def trace(self, trace_id: str) -> Trace | None:
        """All that is known of a trace (spans by start, scores by time, equals by commit), or None."""

    async def outlines(self, trace_ids: Sequence[str]) -> dict[str, Outline]:
        """What is known of some traces in a few words, by trace id; of unknown ones nothing. At most 1,000 at once."""

    async def scores_of(self, trace_ids: Sequence[str]) -> dict[str, tuple[Score, ...]]:
        """The scores of some traces, by time and commit; a trace without scores has an empty tuple.

        At most 1,000 traces at once; raises BadInput for more.
        """

    async def scores(
        self, *, since_ns: int, until_ns: int, name: str = "", project: str = "", limit: int = 1000
    ) -> list[Score]:
        """Scores with a time in [since, until), newest first (of equals the later committed first).

        An ``until`` of 0 is no bound, and a name or a project of "" are all.
        """

    async def score_series(
        self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = ""
    ) -> list[ScoreBucket]:
        """Scores per bucket of time, name and slice, from sums over 10 s that touch [since, until).

        ``bucket_s`` is a multiple of 10. Only buckets with scores are listed, by start, name and slice.
        """

    async def span_series(self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = "") -> list[SpanBucket]:
        """Root spans per bucket of time, from sums over 10 s that touch [since, until).

        ``bucket_s`` is a multiple of 10. Only buckets with spans are listed, by start.
        """

    async def tail(self, position: str, limit: int = 1000) -> Batch:
        """What was committed after ``position`` (empty: everything), at most ``limit`` rows, in commit order.

        Reading on from each batch's position gives every row exactly once, across restarts and days. A position of
        another store is answered with nothing and the position after everything: who reads along goes on from there
        when the store was changed. Raises BadInput for what is no position.
        """

    async def end(self) -> str:
        """The position after everything that is committed."""

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - running out of time is an answer here, not an error
        """Return when something was committed since this task's last wait, or after ``timeout`` seconds."""
