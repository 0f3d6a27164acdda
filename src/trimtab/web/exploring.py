"""A question's groups as a table with bars, as charts over time, and as two sides with their difference. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from trimtab.core import Breakdown
from trimtab.store import Group
from trimtab.traces import Compared, Delta

from . import words
from .dashboard import milliseconds
from .querybar import condition
from .timeplot import MOST_CURVES, Caption, Plot, Series, curves, every
from .window import Window

#: Rows of a table; the rest is counted.
MOST_ROWS = 200
#: Buckets of a course of time that are drawn.
MOST_CELLS = 2000
_PERCENT_OF_BAR = 100
#: Measures that two sides are compared by as shares of their spans.
RATES = ("errors", "refused")
#: Columns by their short names.
_SHORT = {
    "stamp.model": "model pin", "stamp.knowledge": "knowledge", "stamp.prompt": "prompt", "stamp.guard": "guard",
    "stamp.route": "route", "cost_usd": "cost", "duration_ms": "duration", "ttft_ms": "time to first token",
    "input_tokens": "input tokens", "output_tokens": "output tokens", "cached_tokens": "cached tokens",
    "reasoning_tokens": "reasoning tokens",
}  # fmt: skip
#: Columns as a condition of the language writes them.
_WRITTEN = {"stamp.knowledge": "knowledge", "stamp.prompt": "prompt", "stamp.guard": "guard", "stamp.route": "route"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number of a table; ``percent`` is the length of its bar."""

    text: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One group: its keys in words, its numbers, and the requests behind it."""

    keys: tuple[str, ...]
    cells: tuple[Cell, ...]
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Groups as rows. ``more`` counts those that are not shown."""

    keys: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[TableRow, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaCell:
    """One measure on both sides: difference, its interval and what it rests on; ``css`` says whether it is clear."""

    before: str
    after: str
    difference: str
    interval: str
    n: str
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    """One group and measure on both sides."""

    keys: tuple[str, ...]
    measure: str
    delta: DeltaCell


def table(asked: Breakdown, groups: Sequence[Group], zone: tzinfo | None, link: Callable[[str], str]) -> Table:
    """Groups as a table. ``link`` makes an address of conditions that are added to the question's own."""
    whole = [max((group.values[at] or 0.0 for group in groups), default=0.0) for at in range(len(asked.measures))]
    rows = [
        TableRow(
            keys=tuple(key_text(column, key, zone) for column, key in zip(asked.by, group.keys, strict=True)),
            cells=tuple(
                Cell(text=text_of(measure, value), percent=_part(value, whole[at]))
                for at, (measure, value) in enumerate(zip(asked.measures, group.values, strict=True))
            ),
            href=link(conditions(asked.by, group.keys)) if asked.by else "",
        )
        for group in groups[:MOST_ROWS]
    ]
    return Table(
        keys=tuple(column_title(column) for column in asked.by),
        measures=tuple(measure_title(measure) for measure in asked.measures),
        rows=tuple(rows),
        more=max(0, len(groups) - MOST_ROWS),
    )


def _part(value: float | None, whole: float) -> float:
    return round(_PERCENT_OF_BAR * value / whole, 1) if value and value > 0 and whole > 0 else 0.0


def time_plots(asked: Breakdown, groups: Sequence[Group], window: Window) -> tuple[Plot, ...]:
    """A chart a measure, a curve for each of the largest groups. The question must be grouped by one time."""
    at_time = next(at for at, column in enumerate(asked.by) if column.startswith("time:"))
    step_ns = int(asked.by[at_time].partition(":")[2]) * words.SECOND
    first = window.since_ns // step_ns
    cells = min(MOST_CELLS, max(1, -(-window.until_ns // step_ns) - first))
    found: dict[tuple[str, ...], list[list[float | None]]] = defaultdict(
        lambda: [[None] * cells for _ in asked.measures]
    )
    weights: dict[tuple[str, ...], float] = defaultdict(float)
    for group in groups:
        cell = int(group.keys[at_time]) // step_ns - first
        if 0 <= cell < cells:
            rest = tuple(str(key) for at, key in enumerate(group.keys) if at != at_time)
            weights[rest] += group.values[0] or 0.0
            for place, value in enumerate(group.values):
                found[rest][place][cell] = value
    order = sorted(found, key=lambda keys: (-weights[keys], keys))
    note = every(step_ns / words.SECOND)
    if len(order) > MOST_CURVES:
        note += f", the {MOST_CURVES} largest of {len(order)}"
    drawn = [
        curves(
            Caption(title=measure_title(measure), note=note, text=_axis(measure)),
            [_series(keys, found[keys][place], measure) for keys in order[:MOST_CURVES]],
        )
        for place, measure in enumerate(asked.measures)
    ]
    shift, wide = window.since_ns / step_ns - first, window.length_ns / step_ns
    return tuple(replace(plot, shift=round(shift, 3), cells=round(wide, 3)) for plot in drawn)


def _series(keys: tuple[str, ...], values: Sequence[float | None], measure: str) -> Series:
    known = [value for value in values if value is not None]
    added = measure.partition(":")[0] in ("count", "sum", "errors", "refused")
    gaps = [0.0 if value is None and added else value for value in values]
    whole = sum(known) if added else known[-1] if known else None
    said = text_of(measure, whole) + ("" if added or not known else " last")
    return Series(name=words.snippet(", ".join(key or "none" for key in keys), 30), values=gaps, value=said)


def _axis(measure: str) -> Callable[[float], str]:
    return lambda value: text_of(measure, value)


def compared_rows(asked: Breakdown, compared: Sequence[Compared], zone: tzinfo | None) -> tuple[ComparedRow, ...]:
    """Both sides of every group, a row a measure."""
    return tuple(
        ComparedRow(
            keys=tuple(key_text(column, key, zone) for column, key in zip(asked.by, one.keys, strict=True)),
            measure=measure_title(delta.measure) if delta.measure not in RATES else f"Share of {delta.measure}",
            delta=_delta(delta),
        )
        for one in compared[: MOST_ROWS // max(1, len(asked.measures))]
        for delta in one.deltas
    )


def _delta(delta: Delta) -> DeltaCell:
    def text(value: float | None) -> str:
        return words.percent(value) if delta.measure in RATES else text_of(delta.measure, value)

    rate = delta.measure in RATES
    difference, interval = "none", "no interval"
    if delta.difference is not None and rate:
        difference = f"{words.signed(100 * delta.difference, 1)} points"
    elif delta.difference is not None:
        sign = "+" if delta.difference > 0 else words.MINUS if delta.difference < 0 else ""
        difference = f"{sign}{text(abs(delta.difference))}"
    if delta.low is not None and delta.high is not None:
        interval = (
            words.interval(100 * delta.low, 100 * delta.high, 1) if rate else words.interval(delta.low, delta.high)
        )
    return DeltaCell(
        before=text(delta.before),
        after=text(delta.after),
        difference=difference,
        interval=interval,
        n=f"{words.count(delta.n_before)} → {words.count(delta.n_after)}",
        css="b" if delta.clear else "",
    )


def key_text(column: str, key: str | int, zone: tzinfo | None) -> str:
    """A group's key for people; an empty one is "none"."""
    if column.startswith("time:"):
        start, seconds = int(key), int(column.partition(":")[2])
        clock = "" if seconds % 86_400 == 0 else f" {words.clock(start, zone)}"
        return f"{words.day(start, zone)}{clock}"
    return words.snippet(str(key), 80) or "none"


def conditions(by: Sequence[str], keys: Sequence[str | int]) -> str:
    """What a list must ask to show the requests of a group; times are left to the window."""
    return " ".join(
        condition(_WRITTEN.get(column, column), str(key))
        for column, key in zip(by, keys, strict=True)
        if not column.startswith("time:")
    )


def column_title(column: str) -> str:
    """``Prompt`` for ``stamp.prompt``."""
    if column.startswith("time:"):
        return "Time"
    title = _SHORT.get(column, column.removeprefix("tag:"))
    return title[:1].upper() + title[1:]


def measure_title(measure: str) -> str:
    """``p95 duration`` for ``p95:duration_ms``; ``Requests`` for ``count``."""
    if measure == "count":
        return "Count"
    statistic, _, column = measure.partition(":")
    if not column:
        return statistic[:1].upper() + statistic[1:]
    words_of = {"sum": "Sum of", "avg": "Mean", "count": "How many have"}
    name = _SHORT.get(column, column.removeprefix("score:"))
    return f"{words_of.get(statistic, statistic)} {name}"


def text_of(measure: str, value: float | None) -> str:
    """A number in its unit; "none" where no span has the value."""
    statistic, _, column = measure.partition(":")
    if value is None:
        return "none"
    if statistic in ("count", "errors", "refused"):
        return words.count(round(value))
    if column == "cost_usd":
        return words.money(value)
    if column in ("duration_ms", "ttft_ms"):
        return milliseconds(value)
    if column.endswith("_tokens"):
        return words.count(round(value))
    return words.fixed(value)
