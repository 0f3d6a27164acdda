"""What stands around the list of traces: how many match, three charts over time with the changes, and facets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import BadInput, Breakdown, SpanQuery
from trimtab.store import Group, ScoreBucket
from trimtab.web import words
from trimtab.web.changes import sentence
from trimtab.web.dashboard import in_cells, interval, milliseconds
from trimtab.web.facets import Facets, facets
from trimtab.web.frame import OWN_PROJECT, Frame
from trimtab.web.querybar import address, asked_query, bounds_of
from trimtab.web.timeplot import Caption, Plot, Series, curves, every, stacked
from trimtab.web.window import SECOND, Window

from .dashboards import first_start
from .stack import Mark, marks

#: Requests that facets are made of, the newest ones.
SAMPLE = 300
#: Cells of a chart at most, and the lengths that one may have: from ten minutes on the store has sums.
CELLS = 60
LENGTHS_S = (10, 30, 60, 300, 600, 3600, 21_600, 86_400)
DAY_S = 86_400
#: Columns that the sums of the store know; a question about anything else reads rows, and is asked after the list.
SUMMED = frozenset(("project", "kind", "model", "stamp.prompt", "stamp.route"))
MEASURES = ("count", "errors", "refused", "p95:duration_ms", "sum:cost_usd", "count:cost_usd")
MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Everything the template draws around the list."""

    count: str
    plots: tuple[Plot, ...]
    marks: tuple[Mark, ...]
    changes: tuple[tuple[int, str], ...]
    facets: Facets
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address of the list says: the question, a named window, or a stretch of time."""

    q: str
    w: str
    since: str
    until: str

    @classmethod
    def of(cls, request: Request) -> Asked:
        """Read it, with bounds on every length."""
        params = request.query_params
        since, until = bounds_of(params.get("since", ""), params.get("until", ""))
        return cls(
            q=params.get("q", "")[:2000],
            w=params.get("w", "")[:20],
            since=str(since) if since else "",
            until=str(until) if until else "",
        )

    def query(self, now_ns: int) -> SpanQuery:
        """The query of the list. Raises QueryError."""
        query = asked_query(self.q, self.w, now_ns)
        since, until = bounds_of(self.since, self.until)
        return replace(query, since_ns=since or query.since_ns, until_ns=until)

    def address(self, path: str = "/traces", **more: str) -> str:
        """The address of the same question."""
        return address(path, **{"q": self.q, "w": self.w, "since": self.since, "until": self.until} | more)


def cheap(query: SpanQuery) -> bool:
    """Whether sums answer it, so that it costs no more with a million requests than with ten."""
    return not query.text and query.roots and all(one.column in SUMMED for one in query.filters)


async def about(frame: Frame, query: SpanQuery) -> About:
    """Ask for all of it."""
    store = frame.house.spans
    shown = await _window(frame, query)
    charted = replace(query, since_ns=max(query.since_ns, shown.since_ns), until_ns=min(shown.until_ns, query.until_ns)
                      if query.until_ns else shown.until_ns)  # fmt: skip
    time = f"time:{shown.cell_s}"
    plain = all(one.column == "project" and one.value == OWN_PROJECT for one in query.filters) and not query.text
    whole, cells, scores, sample = await asyncio.gather(
        store.groups(Breakdown(query=query, measures=MEASURES)),
        store.groups(Breakdown(query=charted, by=(time,), measures=MEASURES, order=time, limit=1000)),
        _quality(frame, shown) if plain and query.roots else _nothing(),
        store.query(replace(query, limit=SAMPLE, cursor="")),
    )
    said = await store.scores_of(list(dict.fromkeys(span.trace_id for span in sample.spans)))
    changes = frame.house.registry.changes(since_ns=shown.since_ns, until_ns=shown.until_ns, limit=50)
    return About(
        count=_count(whole, roots=query.roots),
        plots=_plots(shown, cells, scores),
        marks=marks(changes, shown, frame.zone),
        changes=tuple((change.time_ns, sentence(change)) for change in changes[:MOST_NAMED]),
        facets=facets(sample.spans, said),
        sample=f"the newest {words.count(len(sample.spans))}" if sample.cursor else "all that match",
    )


async def _window(frame: Frame, query: SpanQuery) -> Window:
    """The stretch of time that the charts show: the query's; where it has no beginning the last day, or what there is
    of it."""
    until = query.until_ns or frame.house.clock() + 1
    since = query.since_ns or until - DAY_S * SECOND
    if not query.since_ns:
        since = max(since, await first_start(frame, since))
    wanted = (until - since) / SECOND / CELLS
    cell_s = next((length for length in LENGTHS_S if length >= wanted), LENGTHS_S[-1])
    cell_ns = cell_s * SECOND
    first, last = since // cell_ns, -(-until // cell_ns)
    cells = int(max(1, min(400, last - first)))
    return Window(
        name="", cell_s=cell_s, cells=cells, since_ns=(last - cells) * cell_ns, until_ns=last * cell_ns,
        live=not query.until_ns,
    )  # fmt: skip


async def _quality(frame: Frame, shown: Window) -> list[ScoreBucket]:
    found = await frame.house.spans.score_series(
        since_ns=shown.since_ns, until_ns=shown.until_ns, bucket_s=min(shown.cell_s, 3600)
    )
    return [bucket for bucket in found if bucket.name == "quality"]


async def _nothing() -> list[ScoreBucket]:
    return []


def _count(whole: Sequence[Group], *, roots: bool) -> str:
    """``2,289 requests, 262 failed or refused``."""
    count, errors, refused = (int(value or 0) for value in whole[0].values[:3]) if whole else (0, 0, 0)
    said = words.plural(count, "request" if roots else "span")
    return said + (f", {words.count(errors + refused)} failed or refused" if errors + refused else "")


def _plots(shown: Window, groups: Sequence[Group], scores: Sequence[ScoreBucket]) -> tuple[Plot, ...]:
    cells = in_cells(shown, groups, MEASURES)
    each = every(shown.cell_s)

    def column(name: str) -> list[float | None]:
        return [row.get(name) for row in cells]

    total = sum(row.get("count") or 0.0 for row in cells)
    bad = [(row.get("errors") or 0.0) + (row.get("refused") or 0.0) for row in cells]
    kept = [(row.get("count") or 0.0) - wrong for row, wrong in zip(cells, bad, strict=True)]
    slow = [value for value in column("p95:duration_ms") if value is not None]
    served = Series(name="served", values=kept, value=words.count(round(total - sum(bad))))
    failed = Series(name="failed or refused", values=bad, value=words.count(round(sum(bad))), css="barbad")
    return (
        stacked(Caption(title="Requests", note=each, text=lambda v: words.count(round(v))), [served, failed]),
        _third(shown, cells, scores, each),
        curves(
            Caption(title="Latency, 95th percentile", note=each, text=milliseconds),
            [Series(name="last", values=column("p95:duration_ms"), value=milliseconds(slow[-1] if slow else None))],
        ),
    )


def _third(
    shown: Window, cells: Sequence[Mapping[str, float | None]], scores: Sequence[ScoreBucket], each: str
) -> Plot:
    """Judged quality where it is known of all of them, else what they cost."""
    if not scores:
        costs = [row.get("sum:cost_usd") if row.get("count:cost_usd") else None for row in cells]
        known = [value for value in costs if value is not None]
        said = words.money(sum(known)) if known else "unpriced"
        return curves(
            Caption(title="Cost", note=each, text=words.money), [Series(name="all", values=costs, value=said)]
        )
    sums = [[0.0, 0.0, 0.0] for _ in range(shown.cells)]
    for bucket in scores:
        if (at := shown.cell_of(bucket.start_ns)) is not None:
            for place, value in enumerate((bucket.n, bucket.total, bucket.total_sq)):
                sums[at][place] += value
    means = [interval(*cell) for cell in sums]
    n, total = sum(cell[0] for cell in sums), sum(cell[1] for cell in sums)
    return curves(
        Caption(title="Judged quality, mean", note=each, text=lambda v: words.fixed(v), high=1.0),
        [
            Series(
                name="mean",
                values=[one[0] if one else None for one in means],
                low=[one[1] if one else None for one in means],
                high=[one[2] if one else None for one in means],
                value=words.fixed(total / n) if n else "not measured",
            )
        ],
    )


async def around(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /traces/about?q=&w=&since=&until=``: what stands around the list, where it takes longer than the list."""
    asked = Asked.of(request)
    try:
        found = await about(frame, asked.query(frame.house.clock()))
    except BadInput:  # the list has said so
        return HTMLResponse("", status_code=204)
    return frame.fragment("_about.html", about=found, asked=asked, swap=True)
