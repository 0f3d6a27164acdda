"""The incident page's first evidence: the signal with and without the suspect, minute by minute. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from trimtab.attribution import Candidate
from trimtab.core import LAYER_OF_KIND, Score
from trimtab.stats import wilson

from . import words
from .charts import Point, Scale, Whisker, band_path, line_path, time_ticks, whisker

WIDTH, HEIGHT = 876, 190
LEFT, RIGHT, TOP, BOTTOM = 34, 778, 12, 164
_CELLS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 7200)
MOST_CELLS = 32


def exposed(score: Score, candidate: Candidate) -> bool:
    """Whether the candidate's version served this request, or judged it where the candidate is a judge."""
    if candidate.kind == "judges":
        return score.by_version == candidate.after
    layer = LAYER_OF_KIND.get(candidate.kind)
    if layer is None or not candidate.after:
        return False
    pin = score.stamp.pin(layer)
    return pin == candidate.after or pin.endswith(f"={candidate.after}")


def arm_names(candidate: Candidate) -> tuple[str, str]:
    """Short names of the answers with and without the candidate: ``v2`` and ``v1``; ``new`` and ``old`` for models."""
    if candidate.kind == "models":
        return "new", "old"
    return words.version(candidate.after), words.version(candidate.before) if candidate.before else "the rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One arm's line: paths, and where its label stands."""

    name: str
    css: str
    line: str
    band: str
    label: str
    label_y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The chart of exposed and unexposed answers. ``marks`` are vertical lines: (x, text, class)."""

    series: tuple[Series, ...]
    grid: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str, str], ...]
    n_exposed: int
    n_unexposed: int
    sentence: str


def window_of(onset_ns: int, end_ns: int) -> tuple[int, int]:
    """The minutes to show: from well before the onset to the end, half a minute in all at least."""
    after = max(end_ns - onset_ns, 20 * words.SECOND)
    return onset_ns - int(after * 0.6), onset_ns + after


def cell_seconds(since_ns: int, until_ns: int) -> int:
    """The finest cell that keeps the chart at MOST_CELLS points or fewer."""
    length_s = (until_ns - since_ns) / words.SECOND
    return next((s for s in _CELLS_S if length_s / s <= MOST_CELLS), _CELLS_S[-1])


def compare(
    scores: Sequence[Score],
    candidate: Candidate,
    bounds: tuple[int, int],
    marks: Sequence[tuple[int, str, str]],
    *,
    title: str,
    zone: tzinfo | None = None,
) -> Comparison | None:
    """The chart of one signal. ``marks`` are (time, text, class). None where no score lies in the bounds."""
    since, until = bounds
    cell = cell_seconds(since, until) * words.SECOND
    start = since // cell * cell
    cells = max(1, math.ceil((until - start) / cell))
    arms: dict[bool, list[list[float]]] = {arm: [[] for _ in range(cells)] for arm in (True, False)}
    for score in scores:
        at = (score.time_ns - start) // cell
        if since <= score.time_ns < until and 0 <= at < cells:
            arms[exposed(score, candidate)][int(at)].append(min(1.0, max(0.0, score.value)))
    lines = {arm: [_point(at, values) for at, values in enumerate(row)] for arm, row in arms.items()}
    known = [p for line in lines.values() for p in line if p is not None]
    if not known:
        return None
    floor = max(0.0, math.floor(min(0.9, *(p.mean for p in known), 0.9) * 10 - 0.5) / 10)
    x = Scale(low=0, high=cells, start=LEFT, end=RIGHT)
    y = Scale(low=floor, high=1.0, start=BOTTOM, end=TOP)
    with_name, without_name = arm_names(candidate)
    series = [
        _series(without_name, "", lines[False], arms[False], x, y),
        _series(with_name, "bad", lines[True], arms[True], x, y),
    ]
    at_time = Scale(low=start, high=start + cells * cell, start=LEFT, end=RIGHT)
    n = {arm: sum(map(len, row)) for arm, row in arms.items()}
    return Comparison(
        series=tuple(_apart([s for s in series if s is not None])),
        grid=tuple((y.at(v), words.fixed(v, 1)) for v in _grid(floor)),
        ticks=tuple(_ticks(start, start + cells * cell, at_time, zone)),
        marks=tuple((at_time.at(t), text, css) for t, text, css in marks if since <= t <= until),
        n_exposed=n[True],
        n_unexposed=n[False],
        sentence=f"{title} of answers with {with_name} and with {without_name}, "
        f"{words.clock(since, zone)} to {words.clock(until, zone)}",
    )


def _point(at: int, values: list[float]) -> Point | None:
    if not values:
        return None
    total = sum(values)
    low, high = wilson(total, len(values))
    return Point(x=at + 0.5, mean=total / len(values), low=low, high=high, n=len(values))


def _series(
    name: str, css: str, points: list[Point | None], values: list[list[float]], x: Scale, y: Scale
) -> Series | None:
    known = [p for p in points if p is not None]
    if not known:
        return None
    everything = [v for cell in values for v in cell]
    recent = everything[-max(20, len(everything) // 3) :] if css == "" else everything
    return Series(
        name=name,
        css=css,
        line=line_path(points, x, y),
        band=band_path(points, x, y),
        label=f"{words.snippet(name, 22)}: {words.fixed(sum(recent) / len(recent))}",
        label_y=y.at(known[-1].mean) + 4,
    )


def _apart(series: list[Series], least: float = 14.0) -> list[Series]:
    """Move the second label so that two labels never touch."""
    if len(series) < 2 or abs(series[0].label_y - series[1].label_y) >= least:
        return series
    first, second = series
    down = second.label_y >= first.label_y
    moved = first.label_y + (least if down else -least)
    return [
        first,
        Series(name=second.name, css=second.css, line=second.line, band=second.band, label=second.label, label_y=moved),
    ]


def _grid(floor: float) -> list[float]:
    step = 0.1 if floor >= 0.5 else 0.2
    found = [1.0]
    while found[-1] - step >= floor - 1e-9:
        found.append(round(found[-1] - step, 1))
    return found


def _ticks(start: int, end: int, at: Scale, zone: tzinfo | None) -> list[tuple[float, str]]:
    offset = words.local(start, zone).utcoffset()
    times = time_ticks(start, end, offset_s=int(offset.total_seconds()) if offset else 0, most=8)
    name = words.clock if all((t // words.SECOND) % 60 == 0 for t in times) else words.seconds_clock
    return [(at.at(t), name(t, zone)) for t in times]


#: The whisker column of the table by slice, in pixels.
WHISKER_WIDTH = 140


def effect_whisker(value: float, low: float, high: float, reach: float) -> Whisker:
    """A difference on the axis that all slices share; red when the interval lies below zero altogether."""
    scale = Scale(low=-reach, high=reach * 0.28, start=4, end=WHISKER_WIDTH - 4)
    return whisker(value, low, high, scale=scale, reference=0.0, css="bad" if high < 0 else "ok" if low > 0 else "")
