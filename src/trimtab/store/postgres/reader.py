"""How questions are put to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from trimtab.core import Breakdown, Score, SpanQuery
from trimtab.store import rows as columns
from trimtab.store.answers import Batch, Group, Outline, Page, ScoreBucket, SpanBucket, Trace
from trimtab.store.bookmarks import own
from trimtab.store.conditions import check, make_cursor
from trimtab.store.payload import Codec
from trimtab.store.rollup import Window
from trimtab.store.sums import score_buckets, span_buckets

from .connection import Connection, rows
from .filters import compile_query
from .groups import groups
from .matching import SPAN, at, matching
from .rows import escape, id_in, id_out, score_of, span_of, unescape
from .schema import SCHEMA

_SCORE = ", ".join(columns.SCORE_COLUMNS)


class Reader:
    """The questions of ``ServedSpans``. Each function says how to answer one; a reading thread does it."""

    def __init__(self, codec: Codec, store_id: str) -> None:
        self._codec = codec
        self._prefix = f"p{store_id}-"

    def query(self, query: SpanQuery) -> Callable[[Connection], Page]:
        """Spans, newest first. Raises BadInput at once where the question is wrong."""
        checked = check(query)
        compiled = compile_query(checked)
        wanted = checked.limit + 1

        def answer(connection: Connection) -> Page:
            if compiled.unsure:
                seqs = list(islice(matching(connection, compiled, self._codec), wanted))
                found = at(connection, seqs)
            else:
                found = rows(
                    connection,
                    f"SELECT s.seq, s.start_ns, {SPAN} FROM {SCHEMA}.spans s WHERE {compiled.where}"
                    " ORDER BY s.start_ns DESC, s.seq DESC LIMIT %s",
                    (*compiled.parameters, wanted),
                )
            page = found[: checked.limit]
            cursor = make_cursor(page[-1][1], page[-1][0]) if len(found) == wanted else ""
            return Page(spans=tuple(span_of(row[2:], self._codec) for row in page), cursor=cursor)

        return answer

    def groups(self, breakdown: Breakdown) -> Callable[[Connection], list[Group]]:
        """Numbers over groups of spans."""
        return groups(breakdown, self._codec)

    def trace(self, trace_id: str) -> Callable[[Connection], Trace | None]:
        """A whole trace."""

        def answer(connection: Connection) -> Trace | None:
            stored = id_in(trace_id)
            spans = rows(
                connection,
                f"SELECT {SPAN} FROM {SCHEMA}.spans s WHERE s.trace_id = %s ORDER BY s.start_ns, s.seq",
                (stored,),
            )
            scores = _scores(connection, [stored])
            if not spans and not scores:
                return None
            return Trace(spans=tuple(span_of(row, self._codec) for row in spans), scores=tuple(scores))

        return answer

    def scores_of(self, trace_ids: Sequence[str]) -> Callable[[Connection], dict[str, tuple[Score, ...]]]:
        """The scores of some traces, by time."""

        def answer(connection: Connection) -> dict[str, tuple[Score, ...]]:
            found: dict[str, list[Score]] = {trace_id: [] for trace_id in trace_ids}
            for score in _scores(connection, [id_in(one) for one in found]):
                found[score.trace_id].append(score)
            return {trace_id: tuple(scores) for trace_id, scores in found.items()}

        return answer

    def outlines(self, trace_ids: Sequence[str]) -> Callable[[Connection], dict[str, Outline]]:
        """Traces in a few words."""
        ids = [id_in(one) for one in dict.fromkeys(trace_ids)]

        def answer(connection: Connection) -> dict[str, Outline]:
            spans = {
                row[0]: row[1:]
                for row in rows(
                    connection,
                    "SELECT trace_id, count(*), bool_or(parent_id = ''), bool_or(status IN ('error', 'refused')),"
                    f" (array_agg(project ORDER BY start_ns, seq))[1] FROM {SCHEMA}.spans WHERE trace_id = ANY(%s)"
                    " GROUP BY trace_id",
                    (ids,),
                )
            }
            scores = {
                row[0]: row[1:]
                for row in rows(
                    connection,
                    f"SELECT trace_id, count(*), min(value) FROM {SCHEMA}.scores WHERE trace_id = ANY(%s)"
                    " GROUP BY trace_id",
                    (ids,),
                )
            }
            found = {}
            for stored in dict.fromkeys([*spans, *scores]):
                n, root, bad, project = spans.get(stored, (0, False, False, ""))
                judged, lowest = scores.get(stored, (0, None))
                found[id_out(stored)] = Outline(
                    spans=n, scores=judged, root=root, bad=bad, project=unescape(project), lowest=lowest
                )
            return found

        return answer

    def scores(
        self, window: tuple[int, int], name: str, project: str, limit: int
    ) -> Callable[[Connection], list[Score]]:
        """Scores, newest first."""
        where = "time_ns >= %s AND time_ns < %s" + (" AND name = %s" if name else "")
        where += " AND project = %s" if project else ""
        bounds = (window[0], window[1] or (1 << 63) - 1)
        parameters = (*bounds, *(escape(text) for text in (name, project) if text), limit)

        def answer(connection: Connection) -> list[Score]:
            sql = f"SELECT {_SCORE} FROM {SCHEMA}.scores WHERE {where} ORDER BY time_ns DESC, seq DESC LIMIT %s"
            return [score_of(row) for row in rows(connection, sql, parameters)]

        return answer

    def score_series(self, window: Window) -> Callable[[Connection], list[ScoreBucket]]:
        """The scores' sums per bucket of time, name and slice."""
        where, parameters = _where(window)

        def answer(connection: Connection) -> list[ScoreBucket]:
            found = rows(
                connection,
                "SELECT start_s / %s * %s, name, slice, sum(n)::bigint, sum(total), sum(total_sq)"
                f" FROM {SCHEMA}.score_rollup WHERE {where} GROUP BY 1, 2, 3",
                (window.bucket_s, window.bucket_s, *parameters),
            )
            return score_buckets(
                (start, unescape(name), unescape(slice_), *sums) for start, name, slice_, *sums in found
            )

        return answer

    def span_series(self, window: Window) -> Callable[[Connection], list[SpanBucket]]:
        """The root spans' sums per bucket of time."""
        where, parameters = _where(window)

        def answer(connection: Connection) -> list[SpanBucket]:
            return span_buckets(
                rows(
                    connection,
                    "SELECT start_s / %s * %s, bucket, sum(n)::bigint, sum(errors)::bigint, sum(refused)::bigint,"
                    " sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cost_usd), sum(unpriced)::bigint"
                    f" FROM {SCHEMA}.span_rollup WHERE {where} GROUP BY 1, 2",
                    (window.bucket_s, window.bucket_s, *parameters),
                ),
                window,
            )

        return answer

    def tail(self, position: str, limit: int) -> Callable[[Connection], Batch]:
        """What was committed after a position: at most ``limit`` rows."""
        mine = own(position, self._prefix)

        def answer(connection: Connection) -> Batch:
            # Whatever has a number up to this one is committed: writers number one after the other.
            until = _last(connection)
            after = until if mine is None else int(mine or 0)
            seqs = rows(
                connection,
                f"(SELECT seq FROM {SCHEMA}.spans WHERE seq > %s AND seq <= %s ORDER BY seq LIMIT %s) UNION ALL"
                f" (SELECT seq FROM {SCHEMA}.scores WHERE seq > %s AND seq <= %s ORDER BY seq LIMIT %s)"
                " ORDER BY seq LIMIT %s",
                (after, until, limit, after, until, limit, limit),
            )
            last = seqs[-1][0] if len(seqs) == limit else until
            bounds = (after, last)
            spans = judged = []
            if seqs:
                spans = rows(
                    connection, f"SELECT {SPAN} FROM {SCHEMA}.spans s WHERE s.seq > %s AND s.seq <= %s ORDER BY s.seq",
                    bounds,
                )  # fmt: skip
                judged = rows(
                    connection,
                    f"SELECT {_SCORE} FROM {SCHEMA}.scores WHERE seq > %s AND seq <= %s ORDER BY seq",
                    bounds,
                )
            return Batch(
                spans=tuple(span_of(row, self._codec) for row in spans),
                scores=tuple(score_of(row) for row in judged),
                position=f"{self._prefix}{max(last, after)}",
            )

        return answer

    def end(self) -> Callable[[Connection], str]:
        """The position after everything."""
        return lambda connection: f"{self._prefix}{_last(connection)}"

    def marks(self) -> Callable[[Connection], Mapping[str, int]]:
        """The last number; writers of all processes share one row of numbers."""
        return lambda connection: {"": _last(connection)}


def _last(connection: Connection) -> int:
    """The number of the last row that is committed."""
    return int(rows(connection, f"SELECT seq FROM {SCHEMA}.store")[0][0])


def _scores(connection: Connection, ids: list[bytes]) -> list[Score]:
    found = rows(
        connection,
        f"SELECT {_SCORE} FROM {SCHEMA}.scores WHERE trace_id = ANY(%s) ORDER BY time_ns, seq",
        (ids,),
    )
    return [score_of(row) for row in found]


def _where(window: Window) -> tuple[str, tuple[Any, ...]]:
    sql, parameters = window.where
    return sql.replace("?", "%s"), tuple(escape(one) if isinstance(one, str) else one for one in parameters)
