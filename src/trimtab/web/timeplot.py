"""Charts over time, drawn by the server: bars and curves in a window's cells, each named at its right. Pure geometry.

The x axis counts cells, so that every chart of a page, its change marks and its table share it. A missing value is a
gap and never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import words
from .charts import Point, Scale, band_path, line_path

HEIGHT = 56
#: Curves that can be told apart by their dashes; more are left to the table.
MOST_CURVES = 5

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line: ``css`` is its dash, ``value`` what it comes to over the whole window."""

    name: str
    css: str
    line: str
    band: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One stacked piece of a cell's bar, in the chart's own units."""

    x: float
    y: float
    width: float
    height: float
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One chart: ``top`` is the value at its upper edge, ``bottom`` at its lower; ``sentence`` says what it shows.

    It is seen from ``shift`` cells on, ``cells`` wide: buckets need not begin where the window does.
    """

    title: str
    note: str
    cells: float
    bars: tuple[Bar, ...]
    curves: tuple[Curve, ...]
    top: str
    bottom: str
    sentence: str
    href: str = ""
    shift: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What a curve is drawn of: a value a cell, its interval where known, ``css`` where the order does not say it."""

    name: str
    values: Values
    value: str
    low: Values = ()
    high: Values = ()
    css: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What is said around a chart. ``text`` writes a value of its axis; ``low`` and ``high`` fix the ends of it."""

    title: str
    note: str
    text: Callable[[float], str]
    low: float | None = 0.0
    high: float | None = None
    href: str = ""


def curves(caption: Caption, series: Sequence[Series]) -> Plot:
    """Lines, the first MOST_CURVES of them, on one axis."""
    shown = series[:MOST_CURVES]
    known = [v for one in shown for v in (*one.values, *one.low, *one.high) if v is not None]
    low = min(known, default=0.0) if caption.low is None else caption.low
    high = nice(max(known, default=0.0)) if caption.high is None else caption.high
    cells = max((len(one.values) for one in shown), default=0)
    x = Scale(low=0, high=max(1, cells), start=0, end=max(1, cells))
    y = Scale(low=low, high=high if high > low else low + 1, start=HEIGHT - 2, end=2)
    return Plot(
        title=caption.title,
        note=caption.note,
        cells=max(1, cells),
        bars=(),
        curves=tuple(_curve(at, one, x, y, banded=len(shown) == 1) for at, one in enumerate(shown)),
        top=caption.text(high) if known else "",
        bottom=caption.text(low) if known and low else "",
        sentence=f"{caption.title}, {caption.note}: " + (said(series) if known else "nothing was measured."),
        href=caption.href,
    )


def stacked(caption: Caption, series: Sequence[Series]) -> Plot:
    """Bars of one cell each, the first series at the bottom; ``bar0`` to ``bar4`` in their order."""
    cells = max((len(one.values) for one in series), default=0)
    sums = [sum(one.values[at] or 0.0 for one in series) for at in range(cells)]
    high = nice(max(sums, default=0.0)) if caption.high is None else caption.high
    found: list[Bar] = []
    for at in range(cells):
        floor = 0.0
        for number, one in enumerate(series):
            value = one.values[at] or 0.0
            if value > 0 and high > 0:
                height = max(0.8, value / high * (HEIGHT - 2))
                floor += height
                found.append(
                    Bar(
                        x=at + 0.1,
                        y=round(HEIGHT - floor, 2),
                        width=0.8,
                        height=round(height, 2),
                        css=one.css or f"bar{number}",
                    )
                )
    return Plot(
        title=caption.title,
        note=caption.note,
        cells=max(1, cells),
        bars=tuple(found),
        curves=tuple(Curve(name=one.name, css=one.css or f"bar{number}", line="", band="", value=one.value)
                     for number, one in enumerate(series)),
        top=caption.text(high) if any(sums) else "",
        bottom="",
        sentence=f"{caption.title}, {caption.note}: " + (said(series) if any(sums) else "nothing was counted."),
        href=caption.href,
    )  # fmt: skip


def _curve(at: int, one: Series, x: Scale, y: Scale, *, banded: bool) -> Curve:
    points: list[Point | None] = []
    for cell, value in enumerate(one.values):
        low = one.low[cell] if one.low else None
        high = one.high[cell] if one.high else None
        points.append(
            None if value is None else Point(
                x=cell + 0.5, mean=value, low=value if low is None else low, high=value if high is None else high, n=1
            )
        )  # fmt: skip
    return Curve(
        name=one.name,
        css=one.css or f"s{at}",
        line=line_path(points, x, y),
        band=band_path(points, x, y) if banded and one.low else "",
        value=one.value,
    )


def said(series: Sequence[Series]) -> str:
    """The figures of the whole window as a clause."""
    return ", ".join(f"{one.name} {one.value}" for one in series) + "."


def nice(value: float) -> float:
    """The next round number at or above a value: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 0.0
    power = 10.0 ** _floor_log10(value)
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9))


def _floor_log10(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def every(seconds: float) -> str:
    """``by hour``, ``by 10 min``, ``by day of UTC``."""
    named = {60: "minute", 3600: "hour", 86_400: "day of UTC"}
    return f"by {named.get(int(seconds)) or words.duration(seconds)}"


def written(seconds: int) -> str:
    """A length of time as the query language writes it."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
