"""Where things go in the SVG charts: pure geometry, no markup, no colour (classes colour, templates draw)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Thresholds, in units of a cell's own noise, from which a deviation is drawn as q1 to q5.
LEVELS = (2.0, 3.0, 4.0, 6.0, 9.0)
UNKNOWN = "qx"
#: A cell without any request: there was nothing to measure, so nothing is drawn.
EMPTY = ""

_STEPS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_SECOND = 1_000_000_000


def level(z: float | None) -> str:
    """The class of one heat cell: q0 (usual) to q5 (far outside), qx where nothing was measured."""
    if z is None:
        return UNKNOWN
    return f"q{sum(z >= threshold for threshold in LEVELS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Equal neighbouring cells of a heat strip, drawn as one rectangle; ``x`` and ``width`` count cells."""

    x: int
    width: int
    css: str


def runs(cells: Sequence[str]) -> tuple[Run, ...]:
    """Run-length encode a strip; EMPTY cells are left out."""
    found: list[Run] = []
    for at, css in enumerate(cells):
        if css == EMPTY:
            continue
        if found and found[-1].css == css and found[-1].x + found[-1].width == at:
            found[-1] = Run(x=found[-1].x, width=found[-1].width + 1, css=css)
        else:
            found.append(Run(x=at, width=1, css=css))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear scale from values to coordinates, clamped to its ends."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The coordinate of a value, rounded to a tenth."""
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One bucket of a measured line: mean and 95 % interval over ``n`` values."""

    x: float
    mean: float
    low: float
    high: float
    n: int


def _pieces(points: Sequence[Point | None]) -> list[list[Point]]:
    """Neighbours without a gap between them: a line is never drawn over minutes that were not measured."""
    found: list[list[Point]] = [[]]
    for point in points:
        if point is None:
            found.append([])
        else:
            found[-1].append(point)
    return [piece for piece in found if piece]


def line_path(points: Sequence[Point | None], x: Scale, y: Scale) -> str:
    """The line through the means. A lone point becomes a short dash, so that it can be seen."""
    parts: list[str] = []
    for piece in _pieces(points):
        at = [(x.at(p.x), y.at(p.mean)) for p in piece]
        if len(at) == 1:
            at = [(at[0][0] - 1.5, at[0][1]), (at[0][0] + 1.5, at[0][1])]
        parts.append("M" + "L".join(f"{px:g} {py:g}" for px, py in at))
    return "".join(parts)


def band_path(points: Sequence[Point | None], x: Scale, y: Scale) -> str:
    """The band between the intervals' ends."""
    parts: list[str] = []
    for piece in _pieces(points):
        upper = [(x.at(p.x), y.at(p.high)) for p in piece]
        lower = [(x.at(p.x), y.at(p.low)) for p in reversed(piece)]
        if len(piece) == 1:
            (px, top), (_, bottom) = upper[0], lower[0]
            upper, lower = [(px - 1.5, top), (px + 1.5, top)], [(px + 1.5, bottom), (px - 1.5, bottom)]
        parts.append("M" + "L".join(f"{px:g} {py:g}" for px, py in upper + lower) + "Z")
    return "".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """An interval with its middle on a shared axis; ``zero`` is where the reference stands."""

    low: float
    value: float
    high: float
    zero: float
    css: str


def whisker(value: float, low: float, high: float, *, scale: Scale, reference: float, css: str = "") -> Whisker:
    """Place an interval on the axis."""
    return Whisker(low=scale.at(low), value=scale.at(value), high=scale.at(high), zero=scale.at(reference), css=css)


def share_of(time_ns: int, since_ns: int, until_ns: int) -> float:
    """Where a time stands in a window, in percent with two decimals, clamped to it."""
    if until_ns <= since_ns:
        return 0.0
    return round(100 * min(1.0, max(0.0, (time_ns - since_ns) / (until_ns - since_ns))), 2)


def time_ticks(since_ns: int, until_ns: int, *, offset_s: int = 0, most: int = 7) -> tuple[int, ...]:
    """Round times inside a window, at most ``most``; ``offset_s`` is the zone's distance from UTC."""
    length_s = (until_ns - since_ns) // _SECOND
    step = next((s for s in _STEPS_S if length_s / s <= most), _STEPS_S[-1]) * _SECOND
    offset = offset_s * _SECOND
    first = -(-(since_ns + offset) // step) * step - offset
    return tuple(range(first, until_ns, step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A mark in a lane, ``x`` in percent. ``members`` are positions in the caller's list; ``text`` may be empty."""

    x: float
    members: tuple[int, ...]
    text: str
    flip: bool


def place_marks(
    marks: Sequence[tuple[float, str]], *, plot_px: float = 790, near_px: float = 14, char_px: float = 6.3
) -> tuple[Placed, ...]:
    """Place marks given as (x in percent, text), in time order.

    Marks closer than ``near_px`` fold into one with a count. A text is written where it has room (to the right, or to
    the left near the right end); a mark without room keeps its shape and its accessible name only.
    """
    groups: list[list[int]] = []
    for at, (x, _) in enumerate(marks):
        if groups and (x - marks[groups[-1][-1]][0]) / 100 * plot_px < near_px:
            groups[-1].append(at)
        else:
            groups.append([at])
    placed: list[Placed] = []
    taken_until = 0.0
    for index, members in enumerate(groups):
        x = marks[members[-1]][0]
        centre = x / 100 * plot_px
        text = marks[members[0]][1] if len(members) == 1 else f"{len(members)} changes"
        need = len(text) * char_px + 12
        following = marks[groups[index + 1][0]][0] / 100 * plot_px - 9 if index + 1 < len(groups) else plot_px
        right, left = following - centre >= need, centre - taken_until >= need
        flip = left and (not right or x > 60)
        taken_until = centre + (need if right and not flip else 9)
        placed.append(Placed(x=x, members=tuple(members), text=text if right or left else "", flip=flip))
    return tuple(placed)
