"""The sums over 10 seconds of stores that add in the database, and the series read from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trimtab.core import Score, Span

from .answers import ScoreBucket, SpanBucket
from .buckets import bucket_of
from .rollup import BUCKET_S, Window

_NS = 10**9

SpanSums = tuple[int, str, int, int, int, int, int, int, float, int]
ScoreSums = tuple[int, str, str, str, int, float, float]


def span_sums(spans: Iterable[Span]) -> list[SpanSums]:
    """What some root spans add: start in seconds, project, bucket of latency; how many, errors, refused, input tokens,
    output tokens, cost, unpriced."""
    found: dict[tuple[int, str, int], list[float]] = {}
    for span in spans:
        if span.parent_id:
            continue
        key = (start_s(span.start_ns), span.project, bucket_of(span.duration_ns / 1e6))
        sums = found.setdefault(key, [0, 0, 0, 0, 0, 0.0, 0])
        sums[0] += 1
        sums[1] += span.status == "error"
        sums[2] += span.status == "refused"
        sums[3] += span.input_tokens or 0
        sums[4] += span.output_tokens or 0
        sums[5] += span.cost_usd or 0.0
        sums[6] += span.cost_usd is None
    return [(*key, *sums) for key, sums in sorted(found.items())]  # type: ignore[misc]


def score_sums(scores: Iterable[Score]) -> list[ScoreSums]:
    """What some scores add: time in seconds, project, name, slice; how many, their sum, the sum of their squares."""
    found: dict[tuple[int, str, str, str], list[float]] = {}
    for score in scores:
        sums = found.setdefault((start_s(score.time_ns), score.project, score.name, score.slice), [0, 0.0, 0.0])
        sums[0] += 1
        sums[1] += score.value
        sums[2] += score.value * score.value
    return [(*key, *sums) for key, sums in sorted(found.items())]  # type: ignore[misc]


def span_buckets(rows: Iterable[Sequence[float]], window: Window) -> list[SpanBucket]:
    """The series from rows of start in seconds, bucket of latency and the sums of ``span_sums``."""
    sums: dict[int, list[float]] = {}
    latency: dict[int, dict[int, int]] = {}
    for start, bucket, *values in rows:
        at = window.start_ns(int(start))
        have = sums.setdefault(at, [0, 0, 0, 0, 0, 0.0, 0])
        have[:] = (a + b for a, b in zip(have, values, strict=True))
        counts = latency.setdefault(at, {})
        counts[int(bucket)] = counts.get(int(bucket), 0) + int(values[0])
    return [
        SpanBucket(
            start_ns=at,
            n=int(n),
            errors=int(errors),
            refused=int(refused),
            input_tokens=int(read),
            output_tokens=int(written),
            cost_usd=float(cost),
            unpriced=int(unpriced),
            latency=latency[at],
        )
        for at, (n, errors, refused, read, written, cost, unpriced) in sorted(sums.items())
    ]


def score_buckets(rows: Iterable[Sequence[Any]]) -> list[ScoreBucket]:
    """The series from rows of start in seconds, name, slice and the sums of ``score_sums``."""
    found = [
        ScoreBucket(start_ns=int(start) * _NS, name=name, slice=slice_, n=int(n), total=total, total_sq=total_sq)
        for start, name, slice_, n, total, total_sq in rows
    ]
    return sorted(found, key=lambda one: (one.start_ns, one.name, one.slice))


def start_s(time_ns: int) -> int:
    """The start of the 10 seconds that a time lies in."""
    return time_ns // _NS // BUCKET_S * BUCKET_S
