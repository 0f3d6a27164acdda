"""Dashboards: requests, errors, cost, tokens, latency and scores over time, from sums that the store keeps. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from urllib.parse import urlencode

from trimtab.stats import wilson
from trimtab.store import Group, ScoreBucket
from trimtab.watch import SIGNALS

from . import words
from .banner import signal_title
from .timeplot import MOST_CURVES, Caption, Plot, Series, curves, every, stacked, written
from .window import Window

#: Charts of scores.
MOST_SCORES = 10
#: What is asked of every cell of the window, in this order.
MEASURES = (
    "count", "errors", "refused", "sum:input_tokens", "sum:cached_tokens", "sum:output_tokens", "sum:reasoning_tokens",
    "sum:cost_usd", "count:cost_usd", "p50:duration_ms", "p95:duration_ms", "p99:duration_ms", "p50:ttft_ms",
    "p95:ttft_ms",
)  # fmt: skip
MODEL_MEASURES = ("count", "sum:cost_usd", "count:cost_usd", "sum:input_tokens", "sum:output_tokens")
NO_MODEL = "none reached"
OTHERS = "others"

Row = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRow:
    """One cell of the window in the table under the charts."""

    time: str
    requests: str
    errors: str
    refused: str
    tokens: str
    cost: str
    p50: str
    p95: str
    p99: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """What one model cost in the window."""

    model: str
    requests: str
    tokens: str
    cost: str
    share: str
    percent: float
    query: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the store said: sums a cell, of the whole window, a cell and model, and of scores. ``asked`` is added to
    links to the explorer."""

    window: Window
    cells: Sequence[Group]
    whole: Sequence[Group]
    models: Sequence[Group]
    scores: Sequence[ScoreBucket]
    asked: Mapping[str, str]
    zone: tzinfo | None = None


def rows_of(groups: Sequence[Group], measures: Sequence[str]) -> list[tuple[tuple[str | int, ...], Row]]:
    """Groups with their values by the names of their measures."""
    return [(group.keys, dict(zip(measures, group.values, strict=True))) for group in groups]


def in_cells(window: Window, groups: Sequence[Group], measures: Sequence[str]) -> list[Row]:
    """One row a cell, an empty one where nothing was."""
    found: list[Row] = [{} for _ in range(window.cells)]
    for keys, row in rows_of(groups, measures):
        at = window.cell_of(int(keys[0]))
        if at is not None:
            found[at] = row
    return found


def plots(figures: Figures) -> tuple[Plot, ...]:
    """The charts, from the most general to the scores."""
    cells = in_cells(figures.window, figures.cells, MEASURES)
    whole: Row = rows_of(figures.whole, MEASURES)[0][1] if figures.whole else {}
    each = every(figures.window.cell_s)

    def link(clauses: str) -> str:
        return f"/dashboards/explore?{urlencode({'q': clauses, **figures.asked})}"

    time = f"time:{written(figures.window.cell_s)}"
    return (
        _requests(cells, whole, each, link(f"| by {time} | count, errors, refused")),
        _failures(cells, whole, each, link(f"| by {time}, route | errors")),
        _latency(cells, whole, each, link(f"| by {time} | p50 duration, p95 duration, p99 duration")),
        _first_token(cells, whole, each, link(f"| by {time} | p50 ttft, p95 ttft")),
        cost_by_model(figures, each, link(f"| by {time}, model | sum cost")),
        _tokens(cells, whole, each, link(f"| by {time} | sum input_tokens, sum output_tokens")),
        *score_plots(figures, each, link),
    )


def _requests(cells: Sequence[Row], whole: Row, each: str, href: str) -> Plot:
    def kept(row: Row) -> float:
        return (row.get("count") or 0.0) - (row.get("errors") or 0.0) - (row.get("refused") or 0.0)

    return stacked(
        Caption(title="Requests", note=each, text=_count, href=href),
        [
            Series(name="served", values=[kept(row) for row in cells], value=_count(kept(whole))),
            Series(name="refused", values=_column(cells, "refused"), value=_count(whole.get("refused"))),
            Series(name="errors", values=_column(cells, "errors"), value=_count(whole.get("errors")), css="barbad"),
        ],
    )


def _failures(cells: Sequence[Row], whole: Row, each: str, href: str) -> Plot:
    def share(row: Row, name: str) -> float | None:
        count = row.get("count")
        return (row.get(name) or 0.0) / count if count else None

    return curves(
        Caption(title="Share that failed", note=each, text=words.percent, href=href),
        [
            Series(name=n, values=[share(row, n) for row in cells], value=words.percent(share(whole, n)), css=css)
            for n, css in (("errors", "bad"), ("refused", "s1"))
        ],
    )


def _latency(cells: Sequence[Row], whole: Row, each: str, href: str) -> Plot:
    return _times("Latency", "duration_ms", ("p50", "p95", "p99"), (cells, whole), (each, href))


def _first_token(cells: Sequence[Row], whole: Row, each: str, href: str) -> Plot:
    return _times("Time to first token", "ttft_ms", ("p50", "p95"), (cells, whole), (each, href))


def _times(
    title: str, column: str, names: Sequence[str], rows: tuple[Sequence[Row], Row], around: tuple[str, str]
) -> Plot:
    cells, whole = rows
    return curves(
        Caption(title=title, note=around[0], text=milliseconds, href=around[1]),
        [
            Series(
                name=name,
                values=_column(cells, f"{name}:{column}"),
                value=milliseconds(whole.get(f"{name}:{column}")),
            )
            for name in names
        ],
    )


def _tokens(cells: Sequence[Row], whole: Row, each: str, href: str) -> Plot:
    def fresh(row: Row) -> float:
        return max(0.0, (row.get("sum:input_tokens") or 0.0) - (row.get("sum:cached_tokens") or 0.0))

    parts = (("input, cached", "sum:cached_tokens"), ("output", "sum:output_tokens"))
    return stacked(
        Caption(title="Tokens", note=each, text=_count, href=href),
        [
            Series(name="input, fresh", values=[fresh(row) for row in cells], value=_count(fresh(whole))),
            *(Series(name=name, values=_column(cells, m), value=_count(whole.get(m))) for name, m in parts),
        ],
    )


def cost_by_model(figures: Figures, each: str, href: str) -> Plot:
    """Cost of the dearest models, the rest together."""
    window = figures.window
    costs: dict[str, list[float | None]] = defaultdict(lambda: [None] * window.cells)
    for keys, row in rows_of(figures.models, MODEL_MEASURES):
        at = window.cell_of(int(keys[0]))
        if at is not None and row["count:cost_usd"]:
            costs[str(keys[1]) or NO_MODEL][at] = row["sum:cost_usd"]
    order = sorted(costs, key=lambda model: -_sum(costs[model]))
    shown = order if len(order) <= MOST_CURVES else order[: MOST_CURVES - 1]
    series = [Series(name=words.snippet(m, 26), values=costs[m], value=words.money(_sum(costs[m]))) for m in shown]
    if len(order) > len(shown):
        rest = [costs[model] for model in order[len(shown) :]]
        together = [_sum([values[at] for values in rest]) for at in range(window.cells)]
        series.append(Series(name=OTHERS, values=together, value=words.money(_sum(together))))
    return curves(Caption(title="Cost by model", note=each, text=_money, href=href), series)


def score_plots(figures: Figures, each: str, link: Callable[[str], str]) -> list[Plot]:
    """A chart a score: its mean with the 95 % interval. The watched signals first, then the most frequent."""
    window = figures.window
    sums: dict[str, list[list[float]]] = defaultdict(lambda: [[0.0, 0.0, 0.0] for _ in range(window.cells)])
    for bucket in figures.scores:
        at = window.cell_of(bucket.start_ns)
        if at is not None:
            for place, value in enumerate((bucket.n, bucket.total, bucket.total_sq)):
                sums[bucket.name][at][place] += value
    order = [name for name in SIGNALS if name in sums]
    order += sorted(sums.keys() - SIGNALS.keys(), key=lambda name: (-sum(cell[0] for cell in sums[name]), name))
    return [_score_plot(name, sums[name], each, link) for name in order[:MOST_SCORES]]


def _score_plot(name: str, cells: Sequence[Sequence[float]], each: str, link: Callable[[str], str]) -> Plot:
    means = [interval(*cell) for cell in cells]
    n, total, total_sq = (sum(cell[place] for cell in cells) for place in range(3))
    whole = interval(n, total, total_sq)
    lows = [one[1] for one in means if one is not None]
    within = all(0 <= value <= 1 for one in means if one is not None for value in one)
    clauses = f"| by prompt | count score:{name}, avg score:{name}"
    return curves(
        Caption(
            title=signal_title(name),
            note=f"mean {each}, {words.plural(int(n), 'score')}",
            text=lambda value: words.fixed(value),
            low=math.floor(min(lows, default=0.0) * 10) / 10,
            high=1.0 if within else None,
            href=link(clauses) if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else "",
        ),
        [
            Series(
                name=words.interval(whole[1], whole[2]) if whole else "",
                values=[one[0] if one else None for one in means],
                low=[one[1] if one else None for one in means],
                high=[one[2] if one else None for one in means],
                value=words.fixed(whole[0]) if whole else "not measured",
            )
        ],
    )


def interval(n: float, total: float, total_sq: float) -> tuple[float, float, float] | None:
    """Mean and 95 % interval: Wilson's for shares, else the normal one. None of nothing."""
    if n <= 0:
        return None
    mean = total / n
    if 0 <= total <= n and abs(total - total_sq) < 1e-9 * max(1.0, n):
        low, high = wilson(total, int(n))
        return mean, low, high
    spread = 1.96 * math.sqrt(max(0.0, total_sq / n - mean * mean) / n)
    return mean, mean - spread, mean + spread


def time_rows(figures: Figures) -> tuple[TimeRow, ...]:
    """The window as a table, the newest cell first; cells without a request are left out."""
    window = figures.window
    found = []
    for at, row in enumerate(in_cells(window, figures.cells, MEASURES)):
        if not row.get("count"):
            continue
        start = window.since_ns + at * window.cell_s * words.SECOND
        requests, priced = int(row["count"] or 0), int(row["count:cost_usd"] or 0)
        day = words.day(start, figures.zone)
        clock = words.seconds_clock if window.cell_s < 60 else words.clock
        found.append(
            TimeRow(
                time=day if window.cell_s >= 86_400 else f"{day} {clock(start, figures.zone)}",
                requests=_count(requests),
                errors=_count(row["errors"]),
                refused=_count(row["refused"]),
                tokens=_count((row["sum:input_tokens"] or 0) + (row["sum:output_tokens"] or 0)),
                cost=words.money(row["sum:cost_usd"]) if priced else "unpriced",
                p50=milliseconds(row["p50:duration_ms"]),
                p95=milliseconds(row["p95:duration_ms"]),
                p99=milliseconds(row["p99:duration_ms"]),
                query="",
            )
        )
    return tuple(reversed(found))


def model_rows(figures: Figures) -> tuple[ModelRow, ...]:
    """Each model's part of the cost, the dearest first; what has no price is said."""
    from_model: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for keys, row in rows_of(figures.models, MODEL_MEASURES):
        for measure, value in row.items():
            from_model[str(keys[1])][measure] += value or 0.0
    whole = sum(row["sum:cost_usd"] for row in from_model.values())
    order = sorted(from_model, key=lambda model: (-from_model[model]["sum:cost_usd"], -from_model[model]["count"]))
    return tuple(_model_row(model, from_model[model], whole) for model in order[:50])


def _model_row(model: str, row: Mapping[str, float], whole: float) -> ModelRow:
    share = row["sum:cost_usd"] / whole if whole else 0.0
    unpriced = int(row["count"] - row["count:cost_usd"]) if model else 0
    cost = words.money(row["sum:cost_usd"]) if row["count:cost_usd"] else ""
    if unpriced:
        cost += f"{' + ' if cost else ''}{words.count(unpriced)} unpriced"
    return ModelRow(
        model=model or NO_MODEL,
        requests=_count(row["count"]),
        tokens=_count(row["sum:input_tokens"] + row["sum:output_tokens"]),
        cost=cost,
        share=words.percent(share) if row["count:cost_usd"] else "",
        percent=round(100 * share, 1),
        query=model,
    )


def _column(cells: Sequence[Row], name: str) -> list[float | None]:
    return [row.get(name) for row in cells]


def _sum(values: Sequence[float | None]) -> float:
    return sum(value for value in values if value is not None)


def _count(value: float | None) -> str:
    return words.count(round(value or 0))


def _money(usd: float) -> str:
    return words.money(usd)


def milliseconds(value: float | None) -> str:
    """A length of time in one unit; "none" where nothing was timed."""
    return words.duration(value / 1000) if value is not None else "none"
