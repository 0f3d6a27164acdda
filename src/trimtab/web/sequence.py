"""The drawing of a rollout's test: the difference with its confidence sequence, in three zones. Pure geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.rollouts import Judgement

from . import words
from .charts import Point, Scale, band_path, line_path

WIDTH, HEIGHT = 620, 224
LEFT, RIGHT, TOP, BOTTOM = 46, 612, 10, 190
#: Heights at which a label's neighbours stay apart.
_NEAR = 14.0
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_COUNTS = (5, 10, 20, 25, 50, 100, 200, 250, 500, 1_000, 2_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A stretch of the vertical axis: better, less than what matters, or harm."""

    css: str
    top: float
    height: float
    text: str
    text_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceChart:
    """Everything that the template draws. ``told`` is where harm was shown, None where it was not."""

    line: str
    band: str
    bad: bool
    zones: tuple[Zone, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    told: Tick | None
    told_flip: bool
    sentence: str


def sequence_chart(judgement: Judgement) -> SequenceChart | None:
    """The chart of one guard; None while there is nothing to draw."""
    points = judgement.points
    if not points:
        return None
    last = points[-1]
    reach = max(1.6 * judgement.width, 1.25 * abs(last.low), 0.06)
    low, high = -min(1.0, reach), min(1.0, max(0.6 * reach, 1.25 * last.high))
    x = Scale(low=0, high=last.n * 1.02, start=LEFT, end=RIGHT)
    y = Scale(low=high, high=low, start=TOP, end=BOTTOM)
    drawn = [Point(x=p.n, mean=p.value, low=p.low, high=p.high, n=p.n) for p in points]
    told = Tick(at=x.at(judgement.harm_at), text=f"harm shown after {words.plural(judgement.harm_at, 'answer')}")
    return SequenceChart(
        line=line_path(drawn, x, y),
        band=band_path(drawn, x, y),
        bad=judgement.state == "harm",
        zones=_zones(judgement.width, y),
        rows=tuple(Tick(at=y.at(value), text=words.signed(value * 100, 0)) for value in _values(low, high)),
        columns=tuple(Tick(at=x.at(n), text=words.count(n)) for n in _numbers(last.n)),
        told=told if judgement.harm_at else None,
        told_flip=told.at > (LEFT + RIGHT) / 2,
        sentence=_sentence(judgement),
    )


def _zones(width: float, y: Scale) -> tuple[Zone, ...]:
    edges = [(y.start, y.at(0.0), "good", "better"), (y.at(0.0), y.at(-width), "mid", "worse, too little to matter"),
             (y.at(-width), y.end, "bad", "harm")]  # fmt: skip
    return tuple(
        Zone(css=css, top=top, height=round(bottom - top, 1), text=text if bottom - top >= _NEAR else "",
             text_at=round((top + bottom) / 2 + 4, 1))
        for top, bottom, css, text in edges
        if bottom > top
    )  # fmt: skip


def _values(low: float, high: float) -> list[float]:
    step = next((s for s in _STEPS if (high - low) / s <= 7), _STEPS[-1])
    first = -int(-low / step)
    return [i * step for i in range(first, int(high / step) + 1)]


def _numbers(n: int) -> Sequence[int]:
    step = next((s for s in _COUNTS if n / s <= 7), _COUNTS[-1])
    return range(0, n + 1, step)


def _sentence(j: Judgement) -> str:
    n = j.points[-1].n
    state = {
        "harm": f"Harm was shown after {words.plural(j.harm_at, 'answer')}.",
        "no_worse": f"The whole interval lies above {words.signed(-j.width * 100, 0)} points: no worse.",
        "undecided": "The interval decides nothing yet.",
        "not_measured": "Nothing was measured.",
    }[j.state]
    return (
        f"Difference in {j.metric}, candidate minus base version, in points, over {words.plural(n, 'answer')}: "
        f"{words.signed(j.difference * 100, 1)}, interval {words.interval(j.low * 100, j.high * 100, 1)}. {state}"
    )
