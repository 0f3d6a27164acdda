"""Probes: what asks questions of its own, how each stands, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import NotFound, TrimtabError
from trimtab.probes import KINDS, Run, View, state_of
from trimtab.web import words
from trimtab.web.frame import Frame, actor
from trimtab.web.probechart import Spark, probe_chart, spark

#: Runs that a page shows, and results in a sparkline.
SHOWN_RUNS, SPARKS = 60, 40
#: Seconds that a pressed button waits for the end of its run: most are over by then.
PATIENCE_S = 2.0
#: State of a probe: its word for people, and the class of the verdict.
STATES = {
    "alarm": ("alarm", "fail"), "moved": ("moved a little", "unsure"), "ok": ("as usual", "pass"),
    "learning": ("learning", "unsure"), "unknown": ("could not tell", "unsure"), "failed": ("failed", "fail"),
    "running": ("running", "unsure"), "asleep": ("off", "none"), "new": ("not run yet", "none"),
}  # fmt: skip
#: Fields of a run's detail that are shown elsewhere on the page.
_ELSEWHERE = ("usual", "limit")
_TITLES = {
    "pin": "Version", "evidence": "Evidence", "needed": "Evidence needed", "border": "Border inputs",
    "inputs": "Inputs", "reported": "Reports", "reported_before": "Reported before", "answers": "Answers kept",
    "golden": "Golden prompts pass", "failures": "Scanners failed on", "errors": "Verdicts not had",
    "items": "Golden items", "failed": "Calls failed",
}  # fmt: skip
_LISTS = {
    "lost": "No longer",
    "won": "Now also",
    "wrong": "Not as it ought to be",
    "decoration": "Answered alike without",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow:
    """A probe in the list."""

    view: View
    layer: int
    word: str
    css: str
    about: str
    result: str
    spark: Spark | None
    spent: str
    budget: str


def row_of(view: View, results: Sequence[tuple[str, float | None]] = ()) -> ProbeRow:
    """A probe as the list shows it."""
    one = view.declared
    word, css = STATES[state_of(view)]
    spent, budget = money(view)
    return ProbeRow(
        view=view, layer=int(one.layer), word=word, css=css, about=one.target or KINDS[one.kind].help,
        result=view.asleep if view.last is None or (view.asleep and css == "none") else view.last.text,
        spark=spark(results), spent=spent, budget=budget,
    )  # fmt: skip


def money(view: View) -> tuple[str, str]:
    """What was spent today, and of what."""
    one, spent = view.declared, view.spent
    if not one.of.costs:
        return "nothing", "asks no model"
    said = f"{words.plural(spent.calls, 'call')}, {words.dollars(spent.usd)}"
    if spent.unpriced:
        said += f", {spent.unpriced} unpriced"
    parts = [words.plural(one.calls, "call")] if one.calls is not None else []
    parts += [words.dollars(one.usd)] if one.usd is not None else []
    return said, f"of {' and '.join(parts)} a day" if parts else "no budget"


async def probes(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /probes``."""
    house = frame.house
    figures = await house.probes.figures(SPARKS)
    rows = [row_of(view, figures.get(view.declared.name, ())) for view in await house.probes.views()]
    return frame.page(
        request, "probes.html", title="Probes", nav="/probes", rows=rows,
        began=any(row.view.last for row in rows), waiting_for_budget=sum(_needs_budget(row.view) for row in rows),
        incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def probe(request: Request, frame: Frame, refused: TrimtabError | None = None) -> HTMLResponse:
    """``GET /probes/{name}``. ``refused``: what a step was refused for. Raises NotFound."""
    house, name = frame.house, str(request.path_params["name"])
    view = await house.probes.view(name)
    runs = await house.probes.recent(name, SHOWN_RUNS)
    ended = [run for run in reversed(runs) if run.state != "running"]
    last = next((run for run in runs if run.detail), None)
    detail: Mapping[str, Any] = last.detail if last else {}
    chart = probe_chart(
        [(run.verdict, run.value) for run in ended], [run.ended_ns for run in ended], usual=detail.get("usual"),
        limit=detail.get("limit"), what=view.declared.of.value,
    ) if ended else None  # fmt: skip
    return frame.page(
        request, "probe.html", title=f"Probe {name}", nav="/probes", row=row_of(view), view=view,
        one=view.declared, kind=view.declared.of, runs=runs, chart=chart, facts=facts(detail), lists=lists(detail),
        findings=findings(detail), word_of=word_of, refused=refused, status=refused.status if refused else 200,
        needs_budget=_needs_budget(view), incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def step(request: Request, frame: Frame) -> Response:
    """``POST /probes/{name}/{step}``: run or accept."""
    name, what = str(request.path_params["name"]), str(request.path_params["step"])
    await request.body()
    desk, who = frame.house.probes, actor(request)
    try:
        if what == "run":
            await desk.run(name, who)
            await desk.wait(name, PATIENCE_S)
        elif what == "accept":
            await desk.accept(name, who)
        else:
            raise NotFound(f"There is no step {what[:40]!r}.", mend="Go back to the probe.")
    except NotFound:
        raise
    except TrimtabError as refused:
        return await probe(request, frame, refused)
    return RedirectResponse(f"/probes/{name}", status_code=303)


def word_of(run: Run) -> tuple[str, str]:
    """A run's outcome in a word, and the class of the verdict."""
    return STATES[run.state if run.state in ("running", "failed") else run.verdict or "failed"]


def facts(detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain facts of a run's evidence."""
    found = []
    for name, value in detail.items():
        if name in _ELSEWHERE or isinstance(value, list | dict) or value in (None, ""):
            continue
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        text = str(value) if isinstance(value, str) else words.count(int(value)) if whole else words.evidence(value)
        found.append((_TITLES.get(name, name), text))
    return found


def lists(detail: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The lists of names in a run's evidence, those that are not empty."""
    return [(title, [str(item) for item in detail[name]]) for name, title in _LISTS.items() if detail.get(name)]


def findings(detail: Mapping[str, Any]) -> list[tuple[bool, Mapping[str, str]]]:
    """What a corpus scan found, new ones first."""
    return [(True, one) for one in detail.get("new", ())] + [(False, one) for one in detail.get("known", ())]


def _needs_budget(view: View) -> bool:
    one = view.declared
    return one.on and one.of.costs and one.usd is None and one.calls is None
