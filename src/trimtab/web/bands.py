"""The Stack's strips and lines: from buckets of the rollup to what the template draws. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.stats import wilson
from trimtab.store import ScoreBucket, SpanBucket, quantile
from trimtab.watch import Baseline, Signal

from . import words
from .charts import EMPTY, Point, Run, Scale, band_path, level, line_path, runs
from .deviation import Tally, expected, rate_z, stratified_z, value_z
from .window import Window

#: The current value is read over the last cells, going back until it rests on this many observations.
CURRENT_N = 20
CURRENT_CELLS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One row: a name, run-length encoded cells, the value now and what it was when it is off."""

    name: str
    title: str
    runs: tuple[Run, ...]
    now: str
    was: str = ""
    css: str = ""
    query: str = ""
    worst: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The quality line with its band."""

    title: str
    line: str
    band: str
    usual_y: float | None
    usual: str
    now: str
    interval: str
    css: str
    low: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Score buckets of one window, by signal and cell."""

    window: Window
    cells: Mapping[str, Sequence[list[Tally]]] = field(default_factory=dict)

    @classmethod
    def of(cls, window: Window, buckets: Sequence[ScoreBucket]) -> Scores:
        """Sort buckets into cells; what lies outside the window is left out."""
        cells: dict[str, list[list[Tally]]] = {}
        for bucket in buckets:
            at = window.cell_of(bucket.start_ns)
            if at is not None:
                row = cells.setdefault(bucket.name, [[] for _ in range(window.cells)])
                row[at].append(Tally(slice=bucket.slice, n=bucket.n, total=bucket.total))
        return cls(window=window, cells=cells)

    def of_signal(self, name: str) -> Sequence[list[Tally]]:
        """The cells of a signal, all empty where it was never measured."""
        return self.cells.get(name) or [[] for _ in range(self.window.cells)]


def latest(cells: Sequence[list[Tally]]) -> list[Tally]:
    """The tallies of the last cells, at least CURRENT_CELLS of them and CURRENT_N observations where there are any."""
    found: list[Tally] = []
    for back, cell in enumerate(reversed(cells)):
        if back >= CURRENT_CELLS and sum(tally.n for tally in found) >= CURRENT_N:
            break
        found.extend(cell)
    return found


def score_strip(
    signal: Signal, cells: Sequence[list[Tally]], baselines: Mapping[str, Baseline], busy: Sequence[bool]
) -> Strip:
    """The strip of a score signal. Requests that were not measured, or that nothing can be compared with yet, are
    hatched; cells without requests (not ``busy``) stay empty."""
    levels = [
        level(stratified_z(cell, baselines)) if cell or there else EMPTY
        for cell, there in zip(cells, busy, strict=True)
    ]
    current = latest(cells)
    n = sum(tally.n for tally in current)
    now, was, css = "not measured", "", "muted"
    worst = 0
    if n:
        css = ""
        now = value_text(signal, sum(tally.total for tally in current) / n)
        worst = _rank(level(stratified_z(current, baselines)))
        usual = expected(current, baselines)
        if worst >= 2 and usual is not None:
            was, css = value_text(signal, usual), "t-bad" if worst >= 3 else "t-warn"
        elif usual is None:
            was = f"{words.count(sum(t.n for cell in cells for t in cell))} seen, learning"
    return Strip(
        name=signal.name,
        title=signal.title,
        runs=runs(levels),
        now=now,
        was=f"was {was}" if css and was else was,
        css=css,
        query=f"score:{signal.name}<0.5",
        worst=worst,
    )


def value_text(signal: Signal, value: float) -> str:
    """Shares in percent, graded means as a figure."""
    return words.percent(value) if signal.unit.startswith("share") else words.fixed(value)


def _rank(css: str) -> int:
    return 0 if css == "qx" else int(css[1])


def without(everything: Sequence[SpanBucket], some: Sequence[SpanBucket]) -> list[SpanBucket]:
    """The buckets of all requests less those of some: counts, sums and histograms subtract."""
    taken = {bucket.start_ns: bucket for bucket in some}
    return [_less(b, taken[b.start_ns]) if b.start_ns in taken else b for b in everything]


def _less(whole: SpanBucket, part: SpanBucket) -> SpanBucket:
    return SpanBucket(
        start_ns=whole.start_ns,
        n=whole.n - part.n,
        errors=whole.errors - part.errors,
        refused=whole.refused - part.refused,
        input_tokens=whole.input_tokens - part.input_tokens,
        output_tokens=whole.output_tokens - part.output_tokens,
        cost_usd=max(0.0, whole.cost_usd - part.cost_usd),
        unpriced=whole.unpriced - part.unpriced,
        latency={b: n for b, all_n in whole.latency.items() if (n := all_n - part.latency.get(b, 0)) > 0},
    )


def _in_cells(window: Window, buckets: Sequence[SpanBucket]) -> list[list[SpanBucket]]:
    cells: list[list[SpanBucket]] = [[] for _ in range(window.cells)]
    for bucket in buckets:
        at = window.cell_of(bucket.start_ns)
        if at is not None and bucket.n > 0:
            cells[at].append(bucket)
    return cells


def busy_cells(window: Window, buckets: Sequence[SpanBucket]) -> list[bool]:
    """Which cells saw a request."""
    return [bool(cell) for cell in _in_cells(window, buckets)]


def request_strips(window: Window, buckets: Sequence[SpanBucket]) -> tuple[Strip, ...]:
    """Errors, latency and cost of the requests themselves."""
    cells = _in_cells(window, buckets)

    def drawn(zs: Sequence[float | None]) -> tuple[Run, ...]:
        return runs([level(z) if cell else EMPTY for z, cell in zip(zs, cells, strict=True)])

    recent = [bucket for cell in cells[-CURRENT_CELLS:] for bucket in cell]
    if not recent:
        recent = next((cell for cell in reversed(cells) if cell), [])
    errors = rate_z([_sum(cell, lambda b: b.errors) for cell in cells])
    n, failed = _total(recent, lambda b: b.n), _total(recent, lambda b: b.errors)
    latency = _latency(recent)
    cost = _total(recent, lambda b: b.cost_usd)
    priced = n - _total(recent, lambda b: b.unpriced)
    return (
        Strip(
            name="errors", title="Errors to the user", runs=drawn(errors), query="status=error",
            now=words.percent(failed / n) if n else "none yet", worst=_last(errors),
        ),
        Strip(
            name="latency", title="Latency, 95th percentile", worst=0,
            runs=drawn(value_z([_latency(cell) for cell in cells])),
            now=words.duration(latency) if latency is not None else "none yet",
        ),
        Strip(
            name="cost", title="Cost per request", worst=0,
            runs=drawn(value_z([_cost(cell) for cell in cells])),
            now=words.money(cost / priced) if priced else "unpriced" if n else "none yet",
        ),
    )  # fmt: skip


def _last(zs: Sequence[float | None]) -> int:
    return next((_rank(level(z)) for z in reversed(zs) if z is not None), 0)


def _total(buckets: Sequence[SpanBucket], of: Callable[[SpanBucket], float]) -> float:
    return sum(of(bucket) for bucket in buckets)


def _sum(cell: Sequence[SpanBucket], of: Callable[[SpanBucket], int]) -> tuple[int, int] | None:
    return (sum(of(b) for b in cell), sum(b.n for b in cell)) if cell else None


def _latency(cell: Sequence[SpanBucket]) -> float | None:
    """The 95th percentile in seconds; the rollup's histogram counts milliseconds."""
    counts: Counter[int] = Counter()
    for bucket in cell:
        counts.update(bucket.latency)
    return quantile(counts, 0.95) / 1000 if counts else None


def _cost(cell: Sequence[SpanBucket]) -> float | None:
    priced = sum(b.n - b.unpriced for b in cell)
    return sum(b.cost_usd for b in cell) / priced if priced else None


LINE_HEIGHT = 52


def quality_line(signal: Signal, cells: Sequence[list[Tally]], baselines: Mapping[str, Baseline]) -> Line:
    """Judged quality as a line with its Wilson interval per cell; the dotted line is what is usual for this mix."""
    points: list[Point | None] = []
    for at, cell in enumerate(cells):
        n, total = sum(t.n for t in cell), sum(t.total for t in cell)
        low, high = wilson(total, n)
        points.append(Point(x=at + 0.5, mean=total / n, low=low, high=high, n=n) if n else None)
    known = [p for p in points if p is not None]
    floor = min([0.5, *(p.mean - 0.08 for p in known)])
    x = Scale(low=0, high=len(cells), start=0, end=len(cells))
    y = Scale(low=floor, high=1.0, start=LINE_HEIGHT - 3, end=3)
    everything = [tally for cell in cells for tally in cell]
    usual = expected(everything, baselines)
    current = latest(cells)
    n, total = sum(t.n for t in current), sum(t.total for t in current)
    rank = _rank(level(stratified_z(current, baselines)))
    low, high = wilson(total, n)
    mean = total / n if n else None
    was = f", was {words.fixed(usual)}" if rank >= 3 else f", usual {words.fixed(usual)}" if usual is not None else ""
    return Line(
        title=signal.title,
        line=line_path(points, x, y),
        band=band_path(points, x, y),
        usual_y=None if usual is None else y.at(usual),
        usual=words.fixed(usual) if usual is not None else "",
        now=words.fixed(mean) if n else "not measured",
        interval=words.interval(low, high) + was if n else "",
        css="t-bad" if rank >= 3 else "t-warn" if rank == 2 else "",
        low=words.fixed(floor, 1),
        sentence=f"{signal.title}: {words.fixed(mean)} now{was}" if n else f"{signal.title}: not measured",
    )
