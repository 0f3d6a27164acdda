"""Evaluation runs: which there are, and of one of them what failed, first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import TrimtabError
from trimtab.evals import (
    KINDS,
    Corrections,
    LiveLine,
    NamedRate,
    PassRate,
    corrected_live,
    dataset_rows,
    kind_of,
    live_rates,
    live_report,
)
from trimtab.evals.online import QUALITY
from trimtab.evals.rendering import METHOD_NAMES
from trimtab.stats import Interval
from trimtab.web import words
from trimtab.web.charts import Scale, Whisker, whisker
from trimtab.web.frame import Frame

#: Runs of the list, answers of one page of a run.
MOST_RUNS, MOST_ANSWERS, MOST_DATASETS = 50, 30, 100
WHISKER_WIDTH = 110
_SHOWN_SCORES = 3
#: How far back live traffic is looked at, and how many scores of it.
LIVE_NS, MOST_LIVE = 24 * 3600 * 10**9, 5_000
ACTIVE = ("waiting", "running")
STATES = {"done": "pass", "running": "none", "waiting": "none", "stopped": "unsure", "failed": "fail"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    """One score of a run. ``corrected`` is its rate after correction by labels and ``how`` by which method; ``lost`` is
    the share that did not pass, which on attacks is their success. ``trust`` is the status of its judge: "" for code,
    else calibrated, expired or uncalibrated; only a calibrated one is shown as a fact."""

    name: str
    rate: str
    interval: str
    n: str
    errors: int
    judge: str
    trust: str
    why: str
    whisker: Whisker
    corrected: str = ""
    how: str = ""
    lost: str = ""

    @property
    def grey(self) -> bool:
        """Whether nobody has shown that the judge may be believed."""
        return self.trust not in ("", "calibrated")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A line of the list."""

    id: str
    name: str
    state: str
    css: str
    asked: str
    judges: str
    dataset: str
    dataset_href: str
    kind: str
    rates: tuple[RateRow, ...]
    progress: str
    cost: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """How far a run is."""

    percent: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """What one scorer said of one answer."""

    name: str
    word: str
    css: str
    reason: str
    grey: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """One answer with everything that was said of it."""

    case: str
    repeat: int
    question: str
    answer: str
    expected: str
    error: str
    trace_id: str
    verdicts: tuple[VerdictRow, ...]


def corrected(rate: Mapping[str, Any] | None) -> tuple[str, str]:
    """A judge's rate after correction with its interval, and by which method, from how many labels, with what doubt."""
    if not rate or "refused" in rate:
        return "", str(rate["refused"]) if rate else ""
    if not rate["labels"]:
        return "", "no label fits"
    low, high = words.fixed(rate["low"] * 100, 0), words.fixed(rate["high"] * 100, 0)
    how = f"{METHOD_NAMES.get(rate['method'], rate['method'])}, {words.plural(rate['labels'], 'label')}"
    return f"{words.percent(rate['value'])}, {low} to {high}", f"{how}; {rate['doubt']}" if rate["doubt"] else how


def rate_rows(scores: Sequence[Mapping[str, Any]]) -> tuple[RateRow, ...]:
    """Every score with its share of passes and the interval that the log gives."""
    scale = Scale(low=0, high=1, start=4, end=WHISKER_WIDTH - 4)
    found: list[RateRow] = []
    for score in scores:
        n, cases = int(score["n"]), int(score["cases"])
        if not n:
            continue
        share, shown = score["passed"] / n, min(n, cases)
        low, high = float(score["low"]), float(score["high"])
        status, (value, how) = score.get("status") or {}, corrected(score.get("rate"))
        found.append(
            RateRow(
                name=str(score["name"]), rate=words.percent(share),
                interval=f"{words.fixed(low * 100, 0)} to {words.fixed(high * 100, 0)}", n=words.count(shown),
                errors=int(score["errors"]), judge=str(score["judge"] or ""),
                trust=str(status.get("state", "uncalibrated" if score["judge"] else "")),
                why=str(status.get("why", "")), corrected=value, how=how, lost=words.percent(1.0 - share),
                whisker=whisker(share, low, high, scale=scale, reference=1.0),
            )
        )  # fmt: skip
    return tuple(found)


def going(run: Mapping[str, Any]) -> Going | None:
    """How far a run is that has not ended; None for one that has."""
    if run["state"] not in ACTIVE:
        return None
    progress = run["progress"]
    total, done = int(progress.get("total", 0)), int(progress.get("done", 0))
    parts = [f"{words.count(done)} of {words.plural(total, 'answer')}"]
    if progress.get("errors"):
        parts.append(words.plural(int(progress["errors"]), "error"))
    if progress.get("cost_usd"):
        parts.append(f"{words.money(progress['cost_usd'])} so far")
    if progress.get("left_s") is not None:
        parts.append(f"about {words.duration(progress['left_s'])} left")
    return Going(percent=round(100.0 * done / total, 1) if total else 0.0, text=", ".join(parts))


def run_row(run: Mapping[str, Any]) -> RunRow:
    """A line of the list."""
    how_far = going(run)
    return RunRow(
        id=run["id"], name=run["name"], state=run["state"], css=STATES.get(run["state"], "none"),
        asked=target_of(run["plan"].get("target", {})),
        judges=", ".join(sorted({s["name"] for s in run["scorers"] if s["judge"]})),
        dataset=run["dataset"] or "cases of its own", dataset_href=dataset_href(run["dataset"]),
        kind=str(run["plan"].get("kind", "")), rates=rate_rows(run["scores"])[:_SHOWN_SCORES],
        progress=how_far.text if how_far else "",
        cost=words.money(run["progress"].get("cost_usd")), time_ns=run["time_ns"],
    )  # fmt: skip


def target_of(target: Mapping[str, Any]) -> str:
    """Who answers, in words."""
    if target.get("run"):
        return f"answers of {target['run']}"
    if target.get("recorded"):
        return "recorded answers"
    parts = [str(target[key]) for key in ("prompt", "model") if target.get(key)]
    return " with ".join(parts) or "not named"


def dataset_href(pin: str) -> str:
    """The page of the dataset that a pin is of; "" for loose cases."""
    return f"/evals/datasets/{pin.rpartition('/')[0]}?v={pin.rpartition('/')[2]}" if "/" in pin else ""


def answer_row(row: Mapping[str, Any], grey: frozenset[str]) -> AnswerRow:
    """One answer; ``grey`` names the scores whose judge nobody calibrated."""
    asked, output = row["asked"], row["output"]
    return AnswerRow(
        case=row["case"], repeat=row["repeat"], question=str(asked.get("input", "") or output.get("question", "")),
        answer=str(output.get("text", "")), expected=str(asked.get("expected", "")), error=row["error"],
        trace_id=row["trace_id"], verdicts=tuple(_verdict(score, grey) for score in row["scores"]),
    )  # fmt: skip


def _verdict(score: Mapping[str, Any], grey: frozenset[str]) -> VerdictRow:
    value, name = score["value"], str(score["name"])
    if value is None:
        return VerdictRow(name=name, word="not scored", css="unsure", reason=score["error"], grey=False)
    passed = value >= 0.5
    word = ("pass" if passed else "fail") + ("" if value in (0.0, 1.0) else f" {words.fixed(value)}")
    return VerdictRow(
        name=name, word=word, css="pass" if passed else "fail", reason=score["reason"], grey=name in grey
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRow:
    """A live score: who gives it, what it sees and spends, and its rate."""

    score: str
    by: str
    sees: str
    spent: str
    rate: str
    problem: str
    href: str


def live_rows(lines: Sequence[LiveLine], rates: Sequence[NamedRate]) -> tuple[LiveRow, ...]:
    """The live scorers with their rates; then the scores that came under names of their own, such as criteria."""
    by_name = {rate.score: rate for rate in rates}
    found = [_live_row(line, by_name.pop(line.score, None)) for line in lines]
    return (*found, *(_only_rated(rate) for rate in by_name.values()))


def _live_row(line: LiveLine, rate: NamedRate | None) -> LiveRow:
    sees = f"{line.sample:.0%}" + (f", up to {line.sample_raised:.0%}" if line.sample_raised > line.sample else "")
    spent = words.money(line.spent_usd) + (f" of {words.money(line.budget_usd)}" if line.budget_usd else "")
    if line.unpriced:
        spent += f", {line.unpriced} without a price"
    problem = line.problem or ("rests until midnight UTC" if line.resting else "")
    if line.errors and not problem:
        problem = f"{line.errors} not scored"
    return LiveRow(
        score=line.score, by=line.kind, sees=sees if line.kind else "", spent=spent if line.asks else "free",
        rate=_rated(rate), problem=problem, href=f"/assets/scorers/{quote(line.set, safe='')}",
    )  # fmt: skip


def _only_rated(rate: NamedRate) -> LiveRow:
    return LiveRow(score=rate.score, by=rate.by, sees="", spent="", rate=_rated(rate), problem="", href="")


def _rated(rate: NamedRate | None) -> str:
    if rate is None:
        return "none"
    behind = f"; corrected {live_rate(rate.corrected)}, {rate.labels} labels" if rate.corrected else ""
    return live_rate(rate.rate) + behind + (f"; {rate.others} of other versions left out" if rate.others else "")


def live_rate(interval: Interval | None) -> str:
    """A rate with its interval in percent and the answers that it rests on."""
    if interval is None:
        return "none"
    low, high = words.fixed(interval.low * 100, 0), words.fixed(interval.high * 100, 0)
    return f"{words.percent(interval.value)} ({low} to {high}), n {words.count(interval.n)}"


async def evaluations(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /evals?name=nightly&kind=golden``; ``kind`` is that of the datasets that are listed."""
    reports, asked = frame.house.reports, request.query_params
    name, kind = asked.get("name", ""), asked.get("kind", "")
    found = await reports.listed(await reports.log.recent(limit=MOST_RUNS, name=name))
    rows = [run_row(run) for run in found]
    now, spans = frame.house.clock(), frame.house.spans
    judged, thumbs = [
        await spans.scores(since_ns=now - LIVE_NS, until_ns=now + 1, name=signal, project="default", limit=MOST_LIVE)
        for signal in ("quality", "thumb")
    ]
    corrections = Corrections(frame.house.registry, reports.known_rates)
    live = await live_report(frame.house.online, spans, corrections, now, without=(QUALITY,))
    last = max(judged, key=lambda score: score.time_ns, default=None)
    known = await corrections.known(last.by, last.by_version, "") if last else None
    correct = partial(corrected_live, known=known) if known else None
    # There may be thousands of either: a thread, so that other requests do not wait.
    traffic = await asyncio.to_thread(live_rates, judged, thumbs, most=12, correct=correct)
    return frame.page(
        request, "evals.html", known=known, live_rate=live_rate,
        live_rows=live_rows(live.scorers, live.rates), traffic=traffic,
        scoring_note=frame.house.scoring_note, title="Evaluations", nav="/evals", rows=rows, name=name,
        datasets=await dataset_rows(frame.house.registry, kind, MOST_DATASETS), kind=kind, kinds=KINDS,
        live=any(row.state in ACTIVE for row in rows),
        width=WHISKER_WIDTH, incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def evaluation(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /evals/{id}?show=all&page=2&score=quality``."""
    house, asked = frame.house, request.query_params
    run = await house.runs.show(str(request.path_params["id"]))
    detail = await house.reports.detail(run, rates=run.state not in ACTIVE)
    rates = rate_rows(detail["scores"])
    failures, page = asked.get("show") != "all", _page(asked.get("page", ""))
    found = await house.reports.log.results(
        run.id, limit=MOST_ANSWERS + 1, offset=(page - 1) * MOST_ANSWERS, failures=failures
    )
    grey = frozenset(row.name for row in rates if row.grey)
    others = [r for r in await house.reports.log.recent(limit=20, states=("done",)) if r.id != run.id]
    rate, refused = await _rate(frame, run.id, asked.get("score", "")) if rates else (None, "")
    return frame.page(
        request, "eval_run.html", title=f"Run {run.name}", nav="/evals", run=run, rates=rates, going=going(detail),
        rows=[answer_row(row, grey) for row in found[:MOST_ANSWERS]], more=len(found) > MOST_ANSWERS, number=page,
        methods=METHOD_NAMES,
        failures=failures, css=STATES.get(run.state, "none"), asked=target_of(run.plan.get("target", {})),
        dataset_href=dataset_href(run.dataset), cost=words.money(detail["progress"].get("cost_usd")),
        others=others, kind=kind_of(run), kinds=KINDS, rate=rate, refused=refused, width=WHISKER_WIDTH,
        incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def _rate(frame: Frame, run_id: str, score: str) -> tuple[PassRate | None, str]:
    try:
        return await frame.house.reports.rate(run_id, score), ""
    except TrimtabError as error:
        return None, str(error)


def _page(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1
