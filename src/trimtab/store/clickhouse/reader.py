"""How questions are put to ClickHouse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core import Breakdown, Score, SpanQuery
from trimtab.store.answers import Batch, Group, Outline, Page, ScoreBucket, SpanBucket, Trace
from trimtab.store.bookmarks import own
from trimtab.store.conditions import check, make_cursor
from trimtab.store.rollup import Window
from trimtab.store.sums import score_buckets, span_buckets

from .connection import Connection
from .filters import compile_query
from .groups import groups
from .positions import PER_US, SETTLED_US, Position
from .rows import SCORE, SPAN, score_of, span_of
from .schema import IDS, SCORE_ROLLUP, SCORES, SPAN_ROLLUP, SPANS

Row = Sequence[Any]


class Reader:
    """The questions of ``ServedSpans``. Each function says how to answer one; a reading thread does it.

    Spans are found by narrow columns first and read by their place in the table's order then, so that texts are read
    of those only that are answered.
    """

    def __init__(self, now_us: Callable[[], int], store_id: str) -> None:
        self._now_us = now_us
        self._prefix = f"c{store_id}-"
        self._marks: Mapping[str, int] = {}

    def query(self, query: SpanQuery) -> Callable[[Connection], Page]:
        """Spans, newest first. Raises BadInput at once where the question is wrong."""
        checked = check(query)
        compiled = compile_query(checked)
        wanted = checked.limit + 1

        def answer(connection: Connection) -> Page:
            found = connection.rows(
                f"SELECT s.start_ns, s.seq FROM {SPANS} s WHERE {compiled.where}"
                f" ORDER BY s.start_ns DESC, s.seq DESC LIMIT {wanted}",
                compiled.parameters,
            )
            page = found[: checked.limit]
            cursor = make_cursor(*page[-1]) if len(found) == wanted else ""
            spans = _read(connection, page)
            return Page(
                spans=tuple(span_of(row) for row in sorted(spans, key=lambda row: (row[9], row[-1]), reverse=True)),
                cursor=cursor,
            )

        return answer

    def groups(self, breakdown: Breakdown) -> Callable[[Connection], list[Group]]:
        """Numbers over groups of spans."""
        return groups(breakdown)

    def trace(self, trace_id: str) -> Callable[[Connection], Trace | None]:
        """A whole trace. The index of ids says where in the table's order its spans lie."""

        def answer(connection: Connection) -> Trace | None:
            ((n, first, last, days),) = connection.rows(
                "SELECT count(), min(start_ns), max(start_ns), groupUniqArray(toString(day))"
                f" FROM {IDS} WHERE trace_id = %s",
                (trace_id,),
            )
            rows: Sequence[Row] = ()
            if n:
                rows = connection.rows(
                    f"SELECT {SPAN}, s.seq FROM {SPANS} s WHERE s.day IN %s AND s.start_ns >= %s AND s.start_ns <= %s"
                    " AND s.trace_id = %s ORDER BY s.start_ns, s.seq",
                    (list(days), first, last, trace_id),
                )
            scores = _scores(connection, [trace_id])
            if not rows and not scores:
                return None
            return Trace(spans=tuple(span_of(row) for row in rows), scores=tuple(scores))

        return answer

    def scores_of(self, trace_ids: Sequence[str]) -> Callable[[Connection], dict[str, tuple[Score, ...]]]:
        """The scores of some traces, by time."""

        def answer(connection: Connection) -> dict[str, tuple[Score, ...]]:
            found: dict[str, list[Score]] = {trace_id: [] for trace_id in trace_ids}
            for score in _scores(connection, trace_ids):
                found[score.trace_id].append(score)
            return {trace_id: tuple(scores) for trace_id, scores in found.items()}

        return answer

    def outlines(self, trace_ids: Sequence[str]) -> Callable[[Connection], dict[str, Outline]]:
        """Traces in a few words."""

        def answer(connection: Connection) -> dict[str, Outline]:
            spans = {
                row[0]: row[1:]
                for row in connection.rows(
                    "SELECT trace_id, count(), max(parent_id = ''), max(status IN ('error', 'refused')),"
                    f" argMin(project, (start_ns, seq)) FROM {SPANS} WHERE trace_id IN %s GROUP BY trace_id",
                    (trace_ids,),
                )
            }
            scores = {
                row[0]: row[1:]
                for row in connection.rows(
                    f"SELECT trace_id, count(), min(value) FROM {SCORES} WHERE trace_id IN %s GROUP BY trace_id",
                    (trace_ids,),
                )
            }
            found = {}
            for trace_id in dict.fromkeys([*spans, *scores]):
                n, root, bad, project = spans.get(trace_id, (0, 0, 0, ""))
                judged, lowest = scores.get(trace_id, (0, None))
                found[trace_id] = Outline(
                    spans=n, scores=judged, root=bool(root), bad=bool(bad), project=project, lowest=lowest
                )
            return found

        return answer

    def scores(
        self, window: tuple[int, int], name: str, project: str, limit: int
    ) -> Callable[[Connection], list[Score]]:
        """Scores, newest first."""
        where = "time_ns >= %s AND time_ns < %s" + (" AND name = %s" if name else "")
        where += " AND project = %s" if project else ""
        parameters = (window[0], window[1] or (1 << 63) - 1, *filter(None, (name, project)))

        def answer(connection: Connection) -> list[Score]:
            sql = f"SELECT {SCORE} FROM {SCORES} WHERE {where} ORDER BY time_ns DESC, seq DESC LIMIT {limit}"
            return [score_of(row) for row in connection.rows(sql, parameters)]

        return answer

    def score_series(self, window: Window) -> Callable[[Connection], list[ScoreBucket]]:
        """The scores' sums per bucket of time, name and slice."""
        where, parameters = _where(window)

        def answer(connection: Connection) -> list[ScoreBucket]:
            return score_buckets(
                connection.rows(
                    f"SELECT intDiv(start_s, {window.bucket_s}) * {window.bucket_s} AS start, name, slice, sum(n),"
                    f" sum(total), sum(total_sq) FROM {SCORE_ROLLUP} WHERE {where} GROUP BY start, name, slice",
                    parameters,
                )
            )

        return answer

    def span_series(self, window: Window) -> Callable[[Connection], list[SpanBucket]]:
        """The root spans' sums per bucket of time."""
        where, parameters = _where(window)

        def answer(connection: Connection) -> list[SpanBucket]:
            return span_buckets(
                connection.rows(
                    f"SELECT intDiv(start_s, {window.bucket_s}) * {window.bucket_s} AS start, bucket, sum(n),"
                    " sum(errors), sum(refused), sum(input_tokens), sum(output_tokens), sum(cost_usd), sum(unpriced)"
                    f" FROM {SPAN_ROLLUP} WHERE {where} GROUP BY start, bucket",
                    parameters,
                ),
                window,
            )

        return answer

    def tail(self, position: str, limit: int) -> Callable[[Connection], Batch]:
        """What was committed after a position: at most ``limit`` rows."""
        mine = own(position, self._prefix)
        before = Position.of(mine or "")

        def answer(connection: Connection) -> Batch:
            if mine is None:
                return Batch(spans=(), scores=(), position=self.end()(connection))
            settled = max(before.floor, self._settled())
            ends = _ends(connection, settled)
            where, parameters = before.where(settled, ends)
            places = [
                (int(seq), str(writer), int(start))
                for seq, writer, start in connection.rows(
                    "SELECT seq, writer, start FROM ("
                    f"SELECT seq, writer, start_ns AS start FROM {SPANS} WHERE {where} ORDER BY seq LIMIT {limit}"
                    f" UNION ALL SELECT seq, writer, -1 FROM {SCORES} WHERE {where} ORDER BY seq LIMIT {limit}"
                    f") ORDER BY seq LIMIT {limit}",
                    (*parameters, *parameters),
                )
            ]
            taken = [(writer, seq) for seq, writer, _ in places]
            spans = _read(connection, [(start, seq) for seq, _, start in places if start >= 0])
            judged = [seq for seq, _, start in places if start < 0]
            scores: Sequence[Row] = ()
            if judged:
                scores = connection.rows(
                    f"SELECT {SCORE} FROM {SCORES} WHERE seq >= %s AND seq <= %s AND seq IN %s ORDER BY seq",
                    (judged[0], judged[-1], judged),
                )
            after = before.after(settled, ends, taken, whole=len(places) < limit)
            return Batch(
                spans=tuple(span_of(row) for row in sorted(spans, key=lambda row: int(row[-1]))),
                scores=tuple(score_of(row) for row in scores),
                position=f"{self._prefix}{after}",
            )

        return answer

    def end(self) -> Callable[[Connection], str]:
        """The position after everything."""

        def answer(connection: Connection) -> str:
            settled = self._settled()
            return f"{self._prefix}{Position(settled, _ends(connection, settled))}"

        return answer

    def marks(self) -> Callable[[Connection], Mapping[str, int]]:
        """The last number of every writer that was seen."""

        def answer(connection: Connection) -> Mapping[str, int]:
            self._marks = {**self._marks, **_ends(connection, self._settled())}
            return self._marks

        return answer

    def _settled(self) -> int:
        """Up to which number everything is there by now."""
        return (self._now_us() - SETTLED_US) * PER_US


def _ends(connection: Connection, settled: int) -> dict[str, int]:
    """The last visible number of each writer beyond a number."""
    found = connection.rows(
        f"SELECT writer, max(seq) FROM (SELECT writer, seq FROM {SPANS} WHERE seq > %s"
        f" UNION ALL SELECT writer, seq FROM {SCORES} WHERE seq > %s) GROUP BY writer",
        (settled, settled),
    )
    return {str(writer): int(seq) for writer, seq in found}


def _read(connection: Connection, places: Sequence[Sequence[int]]) -> Sequence[Row]:
    """Whole spans, with their number last, by their start and number."""
    if not places:
        return ()
    starts = [start for start, _ in places]
    return connection.rows(
        f"SELECT {SPAN}, s.seq FROM {SPANS} s WHERE s.start_ns >= %s AND s.start_ns <= %s AND s.seq IN %s",
        (min(starts), max(starts), [seq for _, seq in places]),
    )


def _scores(connection: Connection, trace_ids: Sequence[str]) -> list[Score]:
    found = connection.rows(
        f"SELECT {SCORE} FROM {SCORES} WHERE trace_id IN %s ORDER BY time_ns, seq", (list(trace_ids),)
    )
    return [score_of(row) for row in found]


def _where(window: Window) -> tuple[str, tuple[Any, ...]]:
    sql, parameters = window.where
    return sql.replace("?", "%s"), parameters
