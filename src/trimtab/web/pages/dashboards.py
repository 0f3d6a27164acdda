"""Dashboards: what happened over a stretch of time beside what was changed, and any question as tables and charts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from trimtab.core import BadInput, Breakdown, Change, Filter, SpanQuery
from trimtab.traces import compared_groups, parse_question, words_of
from trimtab.web import words
from trimtab.web.changes import ChangeRow, rows
from trimtab.web.charts import share_of, time_ticks
from trimtab.web.dashboard import (
    MEASURES,
    MODEL_MEASURES,
    Figures,
    ModelRow,
    TimeRow,
    model_rows,
    plots,
    time_rows,
)
from trimtab.web.exploring import column_title, compared_rows, measure_title, table, text_of, time_plots
from trimtab.web.frame import OWN_PROJECT, Frame
from trimtab.web.querybar import WINDOWS, Mistake, address, condition, mistake, without_own
from trimtab.web.timeplot import Plot
from trimtab.web.window import Window, fitting, links, window

from .stack import Mark, marks, number

#: Name in the address, seconds of a cell, cells. The store has sums over ten minutes and more; a shorter cell is read
#: from the rows.
SIZES = (
    ("15m", 30, 30), ("1h", 60, 60), ("6h", 600, 36), ("24h", 3600, 24), ("7d", 3600, 168), ("30d", 86_400, 30),
    ("90d", 86_400, 90),
)  # fmt: skip
#: Windows that may be cut by the hour or by the day.
BY = {"hour": 3600, "day": 86_400}
BOTH = ("7d", "30d")
DAY_NS = 86_400 * words.SECOND
TEN_MIN_NS = 600 * words.SECOND
#: What is asked of a question that names no measure and no group.
PLAIN = ("count", "errors", "refused", "p95:duration_ms", "sum:cost_usd")
MOST_CHANGES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The time that every chart of a page shares: its ticks, and the changes of the ledger within it."""

    window: Window
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]
    changes: tuple[ChangeRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardView:
    """Everything the template draws."""

    axis: Axis
    plots: tuple[Plot, ...]
    times: tuple[TimeRow, ...]
    models: tuple[ModelRow, ...]
    requests: int


async def dashboards(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /dashboards?w=24h&by=hour&until=NANOSECONDS&project=NAME``."""
    params = request.query_params
    now, project = frame.house.clock(), params.get("project", "")[:200]
    asked = params.get("w", "")
    if not any(asked == size[0] for size in SIZES):
        asked = await _fitting(frame, now)
    cut = params.get("by", "") if asked in BOTH and params.get("by", "") in BY else ""
    shown = window(asked, now, number(params.get("until", "")), sizes=_sizes(cut))
    kept = {"w": asked, "by": cut, "project": project}
    figures, projects = await asyncio.gather(
        collect(frame, shown, project, {"w": asked} | ({} if shown.live else {"until": str(shown.until_ns)})),
        _projects(frame, shown),
    )
    incidents = await frame.house.desk.list(limit=50)
    total = figures.whole[0].values[0] if figures.whole else 0
    view = DashboardView(
        axis=await _axis(frame, shown),
        plots=plots(figures),
        times=time_rows(figures),
        models=model_rows(figures),
        requests=int(total or 0),
    )
    return frame.page(
        request, "dashboards.html", title="Dashboards", nav="/dashboards", view=view, incidents=incidents,
        sizes=[(address("/dashboards", **kept | {"w": name}), title, current)
               for name, title, current in links(shown, asked, SIZES)],
        cuts=[(address("/dashboards", **kept | {"by": name}), name, BY[name] == shown.cell_s) for name in BY]
        if asked in BOTH else [],
        projects=[(address("/dashboards", **kept | {"project": name}), name or "all", name == project)
                  for name in ("", *projects)] if len(projects) > 1 or project else [],
        steps=_steps("/dashboards", shown, kept), presets=await presets(frame, shown, asked),
    )  # fmt: skip


def _sizes(cut: str) -> tuple[tuple[str, int, int], ...]:
    """The windows, with cells of the asked length where there is a choice."""
    if not cut:
        return SIZES
    return tuple(
        (name, BY[cut], cell_s * cells // BY[cut]) if name in BOTH else (name, cell_s, cells)
        for name, cell_s, cells in SIZES
    )


async def _fitting(frame: Frame, now_ns: int) -> str:
    """A day, or less where there is less."""
    return fitting(await first_start(frame, now_ns - DAY_NS) or now_ns - DAY_NS, now_ns, SIZES[:4])


async def first_start(frame: Frame, since_ns: int) -> int:
    """The first ten minutes since a time in which an application's request came; 0 where there are none."""
    query = without_own(SpanQuery(since_ns=since_ns // TEN_MIN_NS * TEN_MIN_NS))
    groups = await frame.house.spans.groups(Breakdown(query=query, by=("time:600",), order="time:600", limit=1))
    return int(groups[0].keys[0]) if groups else 0


async def collect(frame: Frame, shown: Window, project: str, asked: Mapping[str, str]) -> Figures:
    """Ask the store: four sums, none of which reads a span where the cells are ten minutes or more."""
    store = frame.house.spans
    query = SpanQuery(since_ns=shown.since_ns, until_ns=shown.until_ns)
    query = (
        replace(query, filters=(Filter(column="project", op="=", value=project),)) if project else without_own(query)
    )
    time = f"time:{shown.cell_s}"
    cells, whole, models, scores = await asyncio.gather(
        store.groups(Breakdown(query=query, by=(time,), measures=MEASURES, order=time, limit=10_000)),
        store.groups(Breakdown(query=query, measures=MEASURES)),
        store.groups(Breakdown(query=query, by=(time, "model"), measures=MODEL_MEASURES, order=time, limit=10_000)),
        store.score_series(
            since_ns=shown.since_ns, until_ns=shown.until_ns, bucket_s=min(shown.cell_s, 3600), project=project
        ),
    )
    return Figures(
        window=shown, cells=cells, whole=whole, models=models, scores=scores, zone=frame.zone,
        asked={"w": asked["w"], **{k: v for k, v in asked.items() if k == "until"}},
    )  # fmt: skip


async def _projects(frame: Frame, shown: Window) -> list[str]:
    """The projects with requests in this window, the largest first."""
    query = SpanQuery(since_ns=shown.since_ns, until_ns=shown.until_ns)
    groups = await frame.house.spans.groups(Breakdown(query=query, by=("project",), limit=20))
    return [str(group.keys[0]) for group in groups if group.keys[0] != OWN_PROJECT]


async def _axis(frame: Frame, shown: Window) -> Axis:
    changes: Sequence[Change] = frame.house.registry.changes(
        since_ns=shown.since_ns, until_ns=shown.until_ns, limit=MOST_CHANGES
    )
    incidents = await frame.house.desk.list(limit=50)
    offset = words.local(shown.since_ns, frame.zone).utcoffset()
    offset_s = 0 if shown.cell_s >= 86_400 or not offset else int(offset.total_seconds())
    ticks = time_ticks(shown.since_ns, shown.until_ns, offset_s=offset_s, most=8)
    name = words.clock if shown.length_ns <= DAY_NS else words.day
    step = 1 + len(ticks) // 10  # a window of weeks has a tick a day: every third or tenth of them has room
    return Axis(
        window=shown,
        ticks=tuple((share_of(t, shown.since_ns, shown.until_ns), name(t, frame.zone)) for t in ticks[::step]),
        marks=marks(changes, shown, frame.zone),
        changes=rows(changes, incidents),
    )


def _steps(path: str, shown: Window, kept: Mapping[str, str]) -> Mapping[str, str]:
    """Half a window back and forth."""
    half = shown.length_ns // 2
    found = {"earlier": address(path, **kept, until=str(shown.until_ns - half)), "later": "", "now": ""}
    if not shown.live:
        found |= {"later": address(path, **kept, until=str(shown.until_ns + half)), "now": address(path, **kept)}
    return found


async def presets(frame: Frame, shown: Window, asked: str) -> list[tuple[str, str]]:
    """Questions that are asked often, as (name, address); the comparison of two versions where two have served."""
    found = [
        ("cost by model", "in:calls | by model | sum cost, count, sum input_tokens, sum output_tokens"),
        ("latency by prompt", "| by prompt | p50 duration, p95 duration, count"),
        ("errors by route", "| by route | errors, refused, count"),
        ("quality by prompt", "| by prompt | avg score:quality, count score:quality"),
        ("steps by kind", "in:spans | by kind, name | count, sum duration, errors | top 20"),
        (
            "this window against the one before",
            "| count, errors, p95 duration, sum cost, avg score:quality | compare previous",
        ),
    ]
    query = without_own(SpanQuery(since_ns=shown.since_ns, until_ns=shown.until_ns))
    groups = await frame.house.spans.groups(Breakdown(query=query, by=("stamp.prompt",), limit=50))
    if pair := _two_versions([str(group.keys[0]) for group in groups]):
        sides = " with ".join(condition("prompt", pin) for pin in pair)
        measures = "count, errors, p95 duration, avg cost, avg score:quality"
        found.append((f"{words.pin(pair[0])} against {words.version(pair[1])}", f"| {measures} | compare {sides}"))
    until = "" if shown.live else str(shown.until_ns)
    return [(name, address("/dashboards/explore", q=q, w=asked, until=until)) for name, q in found]


def _two_versions(pins: Sequence[str]) -> tuple[str, str] | None:
    """The most used prompt with two versions: the older of its two most used ones, and the newer."""
    for pin in pins:
        name, _, version = pin.rpartition("/")
        other = next((one for one in pins if one != pin and one.rpartition("/")[0] == name), None)
        if name and other is not None and version.isdigit() and other.rpartition("/")[2].isdigit():
            older, newer = sorted((pin, other), key=lambda one: int(one.rpartition("/")[2]))
            return older, newer
    return None


async def explore(request: Request, frame: Frame) -> Response:
    """``GET /dashboards/explore?q=QUESTION&w=24h&until=NANOSECONDS``."""
    params, now = request.query_params, frame.house.clock()
    q, asked = params.get("q", "")[:2000], params.get("w", "")
    if not any(asked == size[0] for size in SIZES):
        asked = await _fitting(frame, now)
    shown = window(asked, now, number(params.get("until", "")), sizes=SIZES)
    kept = {"q": q, "w": asked}
    wrong: Mistake | None = None
    answer: dict[str, Any] = {}
    status = 200
    try:
        answer = await _answer(frame, q, shown, asked)
    except BadInput as error:
        wrong, status = mistake(q, error), error.status
    return frame.page(
        request, "explore.html", title="Explore", nav="/dashboards", status=status, q=q, w=asked, mistake=wrong,
        answer=answer, axis=await _axis(frame, shown), presets=await presets(frame, shown, asked),
        sizes=[(address("/dashboards/explore", **kept | {"w": name}), title, current)
               for name, title, current in links(shown, asked, SIZES)],
        steps=_steps("/dashboards/explore", shown, kept), until="" if shown.live else str(shown.until_ns),
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def _answer(frame: Frame, q: str, shown: Window, asked: str) -> dict[str, Any]:
    """What a question comes to: ``figures``, a ``table`` with ``plots`` where there is a course of time, or two
    sides ``compared``."""
    store, now = frame.house.spans, frame.house.clock()
    question = parse_question(q)
    # A window that goes on is compared up to now, for the other side is as long.
    until = min(shown.until_ns, now) if question.versus and shown.live else shown.until_ns
    query = replace(without_own(question.query), since_ns=shown.since_ns, until_ns=until)
    breakdown = replace(question.breakdown or Breakdown(measures=PLAIN), query=query)
    if question.versus is not None:
        compared = await compared_groups(store, breakdown, question.versus, now)
        return {
            "compared": compared_rows(breakdown, compared, frame.zone),
            "sides": _sides(question.versus),
            "keys": [column_title(column) for column in breakdown.by],
        }
    groups = await store.groups(breakdown)
    before_bar = next((word.position for word in words_of(q) if word.text == "|"), len(q))

    def link(more: str) -> str:
        window_of_list = asked if asked in {name for name, _, _ in WINDOWS} else ""
        return address("/traces", q=f"{q[:before_bar].strip()} {more}".strip(), w=window_of_list)

    if not breakdown.by:
        values = groups[0].values if groups else ()
        figures = [(measure_title(m), text_of(m, v)) for m, v in zip(breakdown.measures, values, strict=True)]
        return {"figures": figures, "list": link("") if question.breakdown is None else ""}
    timed = sum(column.startswith("time:") for column in breakdown.by) == 1
    return {
        "table": table(breakdown, groups, frame.zone, link),
        "plots": time_plots(breakdown, groups, shown) if timed else (),
    }


def _sides(versus: str | tuple[Filter, Filter]) -> tuple[str, str]:
    """What the two sides of a comparison are called."""
    if isinstance(versus, str):
        return "The window before", "this window"
    before, after = (words.pin(str(side.value)) for side in versus)
    return before, after
