"""Rollups: counts and sums over 10 seconds, written in the same transaction as the rows that they count.

Scores are summed over hours too, for a dashboard of days would read ten thousand of the short sums for each day. Files
of schema 1 have no sums over hours; of them the short ones are read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from trimtab.core import BadInput, Score, Span

from .answers import ScoreBucket, SpanBucket
from .buckets import bucket_of
from .cube import has_cube
from .dayfile import Bounds

#: Seconds of one bucket.
BUCKET_S = 10
_NS = 10**9
BUCKET_NS = BUCKET_S * _NS
HOUR_S = 3600
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[int, int]).decode
_decode_all = msgspec.json.Decoder(list[dict[int, int]]).decode


@dataclass(slots=True)
class _Spans:
    n: int = 0
    errors: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    latency: dict[int, int] = field(default_factory=dict)

    def count(self, span: Span) -> None:
        self.n += 1
        self.errors += span.status == "error"
        self.refused += span.status == "refused"
        self.input_tokens += span.input_tokens or 0
        self.output_tokens += span.output_tokens or 0
        self.cost_usd += span.cost_usd or 0.0
        self.unpriced += span.cost_usd is None
        bucket = bucket_of((span.end_ns - span.start_ns) / 1e6)
        self.latency[bucket] = self.latency.get(bucket, 0) + 1

    def merge(self, latency: Mapping[int, int]) -> None:
        have = self.latency
        for bucket, n in latency.items():
            have[bucket] = have.get(bucket, 0) + n


class Rollup:
    """What a group of new rows adds to the rollups of a day file."""

    def __init__(self) -> None:
        self._spans: dict[tuple[int, str], _Spans] = {}
        self._scores: dict[tuple[int, str, str, str], list[float]] = {}

    def add(self, spans: Iterable[Span], scores: Iterable[Score]) -> None:
        """Count the root spans and the scores."""
        for span in spans:
            if not span.parent_id:
                at = (span.start_ns // BUCKET_NS * BUCKET_S, span.project)
                counted = self._spans.get(at)
                if counted is None:
                    counted = self._spans[at] = _Spans()
                counted.count(span)
        for score in scores:
            key = (score.time_ns // BUCKET_NS * BUCKET_S, score.project, score.name, score.slice)
            sums = self._scores.get(key)
            if sums is None:
                sums = self._scores[key] = [0, 0.0, 0.0]
            sums[0] += 1
            sums[1] += score.value
            sums[2] += score.value * score.value

    def write(self, connection: sqlite3.Connection) -> None:
        """Add it, inside the caller's transaction."""
        _write_scores(connection, "score_rollup", self._scores)
        if self._scores and has_cube(connection):
            _write_scores(connection, "score_rollup_hour", self._hours())
        for key, sums in self._spans.items():
            row = connection.execute(
                "SELECT latency FROM span_rollup WHERE start_s = ? AND project = ?", key
            ).fetchone()
            sums.merge(_decode(row[0]) if row else {})
        connection.executemany(
            "INSERT INTO span_rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET n = n + excluded.n, errors = errors + excluded.errors, refused = refused + excluded.refused,"
            " input_tokens = input_tokens + excluded.input_tokens,"
            " output_tokens = output_tokens + excluded.output_tokens,"
            " cost_usd = cost_usd + excluded.cost_usd, unpriced = unpriced + excluded.unpriced,"
            " latency = excluded.latency",
            (
                (*key, *_sums(sums), _encode(dict(sorted(sums.latency.items()))).decode())
                for key, sums in self._spans.items()
            ),
        )

    def _hours(self) -> dict[tuple[int, str, str, str], list[float]]:
        """The sums over 10 seconds as sums over hours."""
        found: dict[tuple[int, str, str, str], list[float]] = {}
        for (start_s, project, name, slice_), sums in self._scores.items():
            have = found.setdefault((start_s // HOUR_S * HOUR_S, project, name, slice_), [0, 0.0, 0.0])
            have[:] = (a + b for a, b in zip(have, sums, strict=True))
        return found


def _write_scores(
    connection: sqlite3.Connection,
    table: Literal["score_rollup", "score_rollup_hour"],
    scores: Mapping[tuple[int, str, str, str], list[float]],
) -> None:
    connection.executemany(
        f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET n = n + excluded.n, total = total + excluded.total, total_sq = total_sq + excluded.total_sq",
        ((*key, *sums) for key, sums in scores.items()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which buckets are asked for: those of 10 s that touch [since, until), summed over ``bucket_s`` seconds."""

    since_ns: int
    until_ns: int
    bucket_s: int
    project: str = ""

    def __post_init__(self) -> None:
        if self.bucket_s < BUCKET_S or self.bucket_s % BUCKET_S:
            raise BadInput(
                f"buckets of {self.bucket_s} s cannot be read from sums over {BUCKET_S} s.",
                field="bucket_s",
                mend=f"Use a multiple of {BUCKET_S}.",
            )

    @property
    def where(self) -> tuple[str, tuple[int | str, ...]]:
        """The condition on a rollup table, and its parameters."""
        until_s = -(-self.until_ns // _NS) if self.until_ns else 1 << 40
        sql = "start_s >= ? AND start_s < ?"
        bounds = (_start_s(self.since_ns), until_s)
        return (f"{sql} AND project = ?", (*bounds, self.project)) if self.project else (sql, bounds)

    @property
    def whole_hours(self) -> bool:
        """Whether its ends and its buckets are whole hours."""
        hour_ns = HOUR_S * _NS
        return not (self.bucket_s % HOUR_S or self.since_ns % hour_ns or self.until_ns % hour_ns)

    def meets(self, bounds: Bounds) -> bool:
        """Whether times within these bounds may lie in the window's buckets."""
        return bounds.meets(self.since_ns - BUCKET_NS, self.until_ns + BUCKET_NS if self.until_ns else 0)

    def start_ns(self, start_s: int) -> int:
        """Where the asked bucket starts that holds this second."""
        return start_s // self.bucket_s * self.bucket_s * _NS


def score_series(connections: Iterable[sqlite3.Connection], window: Window) -> list[ScoreBucket]:
    """The scores' rollup, summed over all files, by start, name and slice."""
    where, parameters = window.where
    found: dict[tuple[int, str, str], list[float]] = {}
    for connection in connections:
        table = "score_rollup_hour" if window.whole_hours and has_cube(connection) else "score_rollup"
        for start_s, name, slice_, *sums in connection.execute(
            "SELECT start_s / ? * ?, name, slice, sum(n), sum(total), sum(total_sq)"
            f" FROM {table} WHERE {where} GROUP BY 1, 2, 3",
            (window.bucket_s, window.bucket_s, *parameters),
        ):
            have = found.setdefault((start_s * _NS, name, slice_), [0, 0.0, 0.0])
            have[:] = (a + b for a, b in zip(have, sums, strict=True))
    return [
        ScoreBucket(start_ns=key[0], name=key[1], slice=key[2], n=int(n), total=total, total_sq=total_sq)
        for key, (n, total, total_sq) in sorted(found.items())
    ]


def span_series(connections: Iterable[sqlite3.Connection], window: Window) -> list[SpanBucket]:
    """The root spans' rollup, summed over all files, by start."""
    where, parameters = window.where
    found: dict[int, _Spans] = {}
    for connection in connections:
        # The histograms of a bucket are read as one text: one by one they would take most of the time.
        for start_s, *row in connection.execute(
            "SELECT start_s / ? * ?, sum(n), sum(errors), sum(refused), sum(input_tokens), sum(output_tokens),"
            f" sum(cost_usd), sum(unpriced), '[' || group_concat(latency) || ']' FROM span_rollup WHERE {where}"
            " GROUP BY 1",
            (window.bucket_s, window.bucket_s, *parameters),
        ):
            sums = found.setdefault(start_s * _NS, _Spans())
            sums.n += row[0]
            sums.errors += row[1]
            sums.refused += row[2]
            sums.input_tokens += row[3]
            sums.output_tokens += row[4]
            sums.cost_usd += row[5]
            sums.unpriced += row[6]
            for latency in _decode_all(row[7]):
                sums.merge(latency)
    return [
        SpanBucket(
            start_ns=start_ns,
            n=sums.n,
            errors=sums.errors,
            refused=sums.refused,
            input_tokens=sums.input_tokens,
            output_tokens=sums.output_tokens,
            cost_usd=sums.cost_usd,
            unpriced=sums.unpriced,
            latency=sums.latency,
        )
        for start_ns, sums in sorted(found.items())
    ]


def _sums(sums: _Spans) -> tuple[float, ...]:
    return (
        sums.n,
        sums.errors,
        sums.refused,
        sums.input_tokens,
        sums.output_tokens,
        sums.cost_usd,
        sums.unpriced,
    )


def _start_s(time_ns: int) -> int:
    return time_ns // _NS // BUCKET_S * BUCKET_S
