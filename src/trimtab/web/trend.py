"""The plot of one signal on its monitor's page: its mean over time, the values that are usual, its alarms. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from trimtab.stats import wilson

from . import words
from .charts import Point, Scale, band_path, line_path, time_ticks

LEFT, RIGHT, TOP, BOTTOM = 34, 800, 12, 164
MOST_TICKS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A cell of time: ``n`` values that add up to ``total``."""

    start_ns: int
    n: int
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """``levels`` are horizontal lines (y, text, class), ``alarms`` vertical ones (x, text)."""

    line: str
    band: str
    grid: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    levels: tuple[tuple[float, str, str], ...]
    alarms: tuple[tuple[float, str], ...]
    sentence: str


def trend(
    parts: Sequence[Part],
    bounds: tuple[int, int],
    cell_ns: int,
    *,
    title: str,
    levels: Sequence[tuple[float, str, str]] = (),
    alarms: Sequence[int] = (),
    zone: tzinfo | None = None,
) -> Trend | None:
    """The plot within ``bounds`` (ns); None where there is no value in them. ``levels`` are (value, text, class)."""
    since, until = bounds
    cells = max(1, math.ceil((until - since) / cell_ns))
    points: list[Point | None] = [None] * cells
    for part in parts:
        at = (part.start_ns - since) // cell_ns
        if part.n and 0 <= at < cells:
            mean = min(1.0, max(0.0, part.total / part.n))
            low, high = wilson(mean * part.n, part.n)
            points[at] = Point(x=at + 0.5, mean=mean, low=low, high=high, n=part.n)
    known = [point for point in points if point is not None]
    if not known:
        return None
    lowest = min(*(p.low for p in known), *(value for value, _, _ in levels), 0.9)
    floor = max(0.0, math.floor(lowest * 10) / 10)
    x = Scale(low=0, high=cells, start=LEFT, end=RIGHT)
    y = Scale(low=floor, high=1.0, start=BOTTOM, end=TOP)
    time = Scale(low=since, high=since + cells * cell_ns, start=LEFT, end=RIGHT)
    n = sum(point.n for point in known)
    mean = sum(point.mean * point.n for point in known) / n
    return Trend(
        line=line_path(points, x, y),
        band=band_path(points, x, y),
        grid=tuple((y.at(floor + step * (1.0 - floor) / 2), words.fixed(floor + step * (1.0 - floor) / 2)) for step in
                   range(3)),
        ticks=tuple((time.at(at), words.clock(at, zone)) for at in _ticks(since, until, zone)),
        levels=tuple((y.at(value), text, css) for value, text, css in levels),
        alarms=tuple((time.at(at), words.clock(at, zone)) for at in alarms if since <= at <= until),
        sentence=f"{title} from {words.clock(since, zone)} to {words.clock(until, zone)}: mean {words.fixed(mean)} over"
        f" {words.count(n)} values, lowest {words.fixed(min(p.mean for p in known))}",
    )  # fmt: skip


def _ticks(since: int, until: int, zone: tzinfo | None) -> Sequence[int]:
    offset = words.local(since, zone).utcoffset()
    return time_ticks(since, until, offset_s=int(offset.total_seconds()) if offset else 0, most=MOST_TICKS)
