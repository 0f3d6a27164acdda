"""A span store in plain Python, written from the docstrings of the door: what every real one must answer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from trimtab.core import NUMBERS, Breakdown, Filter, Score, Span, SpanQuery
from trimtab.store import Group, ScoreBucket, SpanBucket

SECOND = 10**9
DAY_NS = 86_400 * SECOND


class Reference:
    """Everything in lists, in the order of the commits."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.spans: list[tuple[int, int, Span]] = []  # (number, day of arrival, span)
        self.scores: list[tuple[int, int, Score]] = []
        self._last = 0

    def write(self, spans: Sequence[Span] = (), scores: Sequence[Score] = ()) -> None:
        day = self._clock() // DAY_NS
        for span in spans:
            if not any((span.trace_id, span.span_id) == (one.trace_id, one.span_id) for _, _, one in self.spans):
                self._last += 1
                self.spans.append((self._last, day, span))
        for score in scores:
            if not any(score.id == one.id for _, _, one in self.scores):
                self._last += 1
                self.scores.append((self._last, day, score))

    def expire(self, before_ns: int) -> list[str]:
        days = sorted({day for _, day, _ in [*self.spans, *self.scores] if (day + 1) * DAY_NS <= before_ns})
        self.spans = [one for one in self.spans if one[1] not in days]
        self.scores = [one for one in self.scores if one[1] not in days]
        return [datetime.fromtimestamp(day * 86_400, UTC).date().isoformat() for day in days]

    # -- questions ---------------------------------------------------------------------------------------------------

    def query(self, query: SpanQuery) -> list[Span]:
        """All pages together."""
        return [span for _, _, span in sorted(self._found(query), key=lambda one: (one[2].start_ns, one[0]))[::-1]]

    def trace(self, trace_id: str) -> tuple[list[Span], list[Score]]:
        spans = [(span.start_ns, n, span) for n, _, span in self.spans if span.trace_id == trace_id]
        return [one[2] for one in sorted(spans, key=lambda one: one[:2])], self.scores_of(trace_id)

    def scores_of(self, trace_id: str) -> list[Score]:
        scores = [(score.time_ns, n, score) for n, _, score in self.scores if score.trace_id == trace_id]
        return [one[2] for one in sorted(scores, key=lambda one: one[:2])]

    def newest_scores(self, *, since_ns: int, until_ns: int, name: str, project: str, limit: int) -> list[Score]:
        found = [
            (score.time_ns, n, score)
            for n, _, score in self.scores
            if since_ns <= score.time_ns
            and (not until_ns or score.time_ns < until_ns)
            and name in ("", score.name)
            and project in ("", score.project)
        ]
        return [one[2] for one in sorted(found, key=lambda one: one[:2])[::-1]][:limit]

    def groups(self, breakdown: Breakdown) -> list[Group]:
        held: dict[tuple[str | int, ...], list[Span]] = defaultdict(list)
        if not breakdown.by:
            held[()] = []
        for _, _, span in self._found(breakdown.query):
            held[tuple(self._key(span, column) for column in breakdown.by)].append(span)
        rows = [
            (keys, [self._measure(spans, one) for one in breakdown.measures], self._order(breakdown, keys, spans))
            for keys, spans in sorted(held.items(), key=lambda one: one[0])
        ]
        some = sorted(
            (row for row in rows if row[2] is not None), key=lambda row: row[2], reverse=breakdown.order.startswith("-")
        )
        none = [row for row in rows if row[2] is None]
        return [Group(keys=keys, values=tuple(values)) for keys, values, _ in [*some, *none][: breakdown.limit]]

    def span_series(self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = "") -> list[SpanBucket]:
        groups: dict[int, list[Span]] = defaultdict(list)
        for _, _, span in self.spans:
            if not span.parent_id and project in ("", span.project) and _touched(span.start_ns, since_ns, until_ns):
                groups[_floor(span.start_ns, bucket_s)].append(span)
        return [
            SpanBucket(
                start_ns=start,
                n=len(group),
                errors=sum(span.status == "error" for span in group),
                refused=sum(span.status == "refused" for span in group),
                input_tokens=sum(span.input_tokens or 0 for span in group),
                output_tokens=sum(span.output_tokens or 0 for span in group),
                cost_usd=math.fsum(span.cost_usd or 0 for span in group),
                unpriced=sum(span.cost_usd is None for span in group),
                latency=_histogram(span.duration_ns / 1e6 for span in group),
            )
            for start, group in sorted(groups.items())
        ]

    def score_series(self, *, since_ns: int, until_ns: int, bucket_s: int, project: str = "") -> list[ScoreBucket]:
        groups: dict[tuple[int, str, str], list[float]] = defaultdict(list)
        for _, _, score in self.scores:
            if project in ("", score.project) and _touched(score.time_ns, since_ns, until_ns):
                groups[_floor(score.time_ns, bucket_s), score.name, score.slice].append(score.value)
        return [
            ScoreBucket(
                start_ns=start, name=name, slice=slice_,
                n=len(values), total=math.fsum(values), total_sq=math.fsum(value * value for value in values),
            )
            for (start, name, slice_), values in sorted(groups.items())
        ]  # fmt: skip

    # -- what a condition means --------------------------------------------------------------------------------------

    def _found(self, query: SpanQuery) -> list[tuple[int, int, Span]]:
        text = query.text.casefold()
        return [
            (number, day, span)
            for number, day, span in self.spans
            if span.start_ns >= query.since_ns
            and (not query.until_ns or span.start_ns < query.until_ns)
            and (not query.roots or not span.parent_id)
            and all(self._holds(span, one) for one in query.filters)
            and (text in span.input.casefold() or text in span.output.casefold())
        ]

    def _holds(self, span: Span, one: Filter) -> bool:
        values = self.values(span, one.column)
        match one.op:
            case "exists":
                return any(value != "" for value in values) == bool(one.value)
            case "!=":
                return not any(value == one.value for value in values)
            case "in":
                return any(value in one.value for value in values)  # type: ignore[operator]
            case "contains":
                return any(str(one.value).casefold() in value.casefold() for value in values)
            case "=":
                return any(value == one.value for value in values)
            case "<":
                return any(value < one.value for value in values)
            case "<=":
                return any(value <= one.value for value in values)
            case ">":
                return any(value > one.value for value in values)
            case ">=":
                return any(value >= one.value for value in values)
        raise AssertionError(one.op)

    def values(self, span: Span, column: str) -> list[Any]:
        """The values that a span has in a column: none, one, or with scores several."""
        kind, _, name = column.partition(":")
        if kind == "tag":
            return [span.tags[name]] if name in span.tags else []
        if kind == "score":
            return [
                score.value
                for _, _, score in self.scores
                if score.name == name
                and score.trace_id == span.trace_id
                and (not span.parent_id or score.span_id in ("", span.span_id))
            ]
        if column == "duration_ms":
            return [max(0, span.end_ns - span.start_ns) / 1e6]
        if column == "ttft_ms":
            return [] if span.ttft_ns is None else [span.ttft_ns / 1e6]
        value = getattr(span.stamp, column[6:]) if column.startswith("stamp.") else getattr(span, column)
        return [] if value is None else [value]

    def _key(self, span: Span, column: str) -> str | int:
        if column.startswith("time:"):
            return _floor(span.start_ns, int(column[5:]))
        values = self.values(span, column)
        return str(values[0]) if values else ""

    def _order(self, breakdown: Breakdown, keys: tuple[str | int, ...], spans: list[Span]) -> Any:
        order = breakdown.order.removeprefix("-")
        return keys[breakdown.by.index(order)] if order in breakdown.by else self._measure(spans, order)

    def _measure(self, spans: list[Span], measure: str) -> float | None:
        if measure == "count":
            return float(len(spans))
        if measure in ("errors", "refused"):
            return float(sum(span.status == {"errors": "error"}.get(measure, measure) for span in spans))
        statistic, _, column = measure.partition(":")
        values = sorted(value for span in spans for value in self.values(span, column))
        if statistic == "count":
            return float(len(values))
        if not values:
            return None
        if statistic.startswith("p"):
            return _middle(values[max(1, math.ceil(int(statistic[1:]) / 100 * len(values))) - 1])
        total = math.fsum(values)
        return {"sum": total, "avg": total / len(values), "min": values[0], "max": values[-1]}[statistic]


def all_numbers() -> tuple[str, ...]:
    """The number columns and one of scores."""
    return (*NUMBERS, "score:q")


def _middle(value: float) -> float:
    """The middle of the eighth of an octave that a value lies in."""
    return 2 ** ((math.floor(8 * math.log2(value)) + 0.5) / 8) if value > 0 else 0.0


def _histogram(values: Iterable[float]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        bucket = math.floor(8 * math.log2(value)) if value > 0 else -(1 << 20)
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


def _floor(time_ns: int, bucket_s: int) -> int:
    return time_ns // (bucket_s * SECOND) * bucket_s * SECOND


def _touched(time_ns: int, since_ns: int, until_ns: int) -> bool:
    """Whether the ten seconds around a time touch a window."""
    start = _floor(time_ns, 10)
    return start + 10 * SECOND > since_ns and (not until_ns or start < until_ns)
