"""The drawing of a probe's results: a sparkline for the list, a chart with its limit for the page. Pure geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from . import words
from .charts import Point, Scale, line_path, time_ticks
from .sequence import BOTTOM, LEFT, RIGHT, TOP, Tick

SPARK_WIDTH, SPARK_HEIGHT = 96, 20
#: Results whose values are further from usual than anybody asked are drawn as a dot.
BAD = ("alarm", "moved")
#: Labels of the time axis at most, and half the width of one.
_MOST_TICKS, _LABEL = 5, 24
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

#: Verdict and value of one run.
Result = tuple[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A result that is no good."""

    x: float
    y: float
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """A line through the latest results, and a dot on each that was no good; ``said`` is the same in words."""

    line: str
    dots: tuple[Dot, ...]
    said: str


def spark(results: Sequence[Result]) -> Spark | None:
    """The sparkline of results, oldest first; None where none has a value."""
    values = [value for _, value in results if value is not None]
    if not values:
        return None
    x = Scale(low=0, high=max(1, len(results) - 1), start=3, end=SPARK_WIDTH - 3)
    y = Scale(low=min(values), high=max(values), start=SPARK_HEIGHT - 3, end=3)
    bad = sum(verdict in BAD for verdict, _ in results)
    return Spark(
        line=line_path(_points(results), x, y),
        dots=_dots(results, x, y),
        said=f"{words.plural(len(values), 'result')}, {words.fixed(min(values))} to {words.fixed(max(values))}"
        + (f", {bad} out of the usual" if bad else ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeChart:
    """Everything that the template draws. ``usual`` and ``limit`` are heights, None where there is none."""

    line: str
    dots: tuple[Dot, ...]
    rows: tuple[Tick, ...]
    columns: tuple[tuple[float, int], ...]
    usual: float | None
    limit: float | None
    sentence: str


def probe_chart(
    results: Sequence[Result], times: Sequence[int], *, usual: float | None, limit: float | None, what: str
) -> ProbeChart | None:
    """The chart of results, oldest first, each with its time; None where none has a value."""
    values = [value for _, value in results if value is not None]
    if not values:
        return None
    shown = [*values, *(v for v in (usual, limit) if v is not None)]
    low, high = min(shown), max(shown)
    room = max(0.05, 0.15 * (high - low)) if high <= 1.5 else 0.15 * (high - low) + 1
    low, high = max(0.0, low - room), high + room if high > 1.0 else min(1.0, high + room)
    x = Scale(low=times[0], high=times[-1], start=LEFT + 6, end=RIGHT - 6)
    y = Scale(low=high, high=low, start=TOP, end=BOTTOM)
    points = [
        None if v is None else Point(x=t, mean=v, low=v, high=v, n=1) for t, (_, v) in zip(times, results, strict=True)
    ]
    bad = sum(verdict in BAD for verdict, _ in results)
    return ProbeChart(
        line=line_path(points, x, y),
        dots=tuple(
            Dot(x=x.at(t), y=y.at(v), css="bad" if verdict in BAD else "")
            for t, (verdict, v) in zip(times, results, strict=True)
            if v is not None
        ),
        rows=tuple(Tick(at=y.at(value), text=f"{value:g}") for value in _values(low, high)),
        columns=_columns(times, x),
        usual=None if usual is None else y.at(usual),
        limit=None if limit is None else y.at(limit),
        sentence=f"{what.capitalize()} over {words.plural(len(values), 'run')}: last {words.fixed(values[-1])}"
        + (f", usual {words.fixed(usual)}" if usual is not None else "")
        + (f", alarm beyond {words.fixed(limit)}" if limit is not None else "")
        + (f". {words.plural(bad, 'run')} out of the usual." if bad else "."),
    )


def _columns(times: Sequence[int], x: Scale) -> tuple[tuple[float, int], ...]:
    ticks = time_ticks(times[0], times[-1], most=_MOST_TICKS) or (times[-1],)
    every = -(-len(ticks) // _MOST_TICKS)
    # A label that stands at the very end would be cut.
    return tuple((min(RIGHT - _LABEL, x.at(tick)), tick) for tick in ticks[::every])


def _points(results: Sequence[Result]) -> list[Point | None]:
    return [
        None if value is None else Point(x=at, mean=value, low=value, high=value, n=1)
        for at, (_, value) in enumerate(results)
    ]


def _dots(results: Sequence[Result], x: Scale, y: Scale) -> tuple[Dot, ...]:
    return tuple(
        Dot(x=x.at(at), y=y.at(value), css="bad" if verdict == "alarm" else "warn")
        for at, (verdict, value) in enumerate(results)
        if value is not None and verdict in BAD
    )


def _values(low: float, high: float) -> list[float]:
    step = next((s for s in _STEPS if (high - low) / s <= 6), _STEPS[-1])
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 6) for i in range(first, int(high / step + 1e-9) + 1)]
