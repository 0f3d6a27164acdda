"""Judges: which there are, and of one of them whether it may be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import NotFound, TrimtabError, Version
from trimtab.evals import Calibration, PassRate, judge_digest, judge_status, loaded
from trimtab.evals.biases import FOUND, UNKNOWN
from trimtab.evals.calibrate import CriterionCalibration
from trimtab.evals.rendering import METHOD_NAMES
from trimtab.stats import Interval
from trimtab.web import words
from trimtab.web.charts import Scale, Whisker, whisker
from trimtab.web.frame import Frame

WIDTH = 170
CSS = {"calibrated": "pass", "certified": "pass", "not certified": "fail", "cannot tell": "unsure",
       "uncalibrated": "unsure", "expired": "unsure"}  # fmt: skip
#: Runs that are looked through for a judge's latest rate.
_RECENT_RUNS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionRow:
    """One criterion of a calibration."""

    name: str
    word: str
    css: str
    why: str
    kappa: str
    lower: str
    labels: str
    more: str
    whisker: Whisker | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasRow:
    """One suspicion."""

    name: str
    what: str
    effect: str
    interval: str
    word: str
    css: str
    n: str


def criterion_row(c: CriterionCalibration, bar: float) -> CriterionRow:
    """Kappa on an axis from 0 to 1, the bar marked."""
    scale = Scale(low=0, high=1, start=4, end=WIDTH - 4)
    css = CSS[c.answer]
    drawn = {"pass": "ok", "fail": "bad", "unsure": "warn"}[css]
    return CriterionRow(
        name=c.criterion or "verdict", word=c.answer, css=css, why=c.why,
        kappa=words.fixed(c.kappa.value if c.kappa else None), lower=words.fixed(c.lower),
        labels=words.count(c.cases), more=f"about {words.count(c.more_labels)} more labels" if c.more_labels else "",
        whisker=whisker(c.kappa.value, c.lower if c.lower is not None else c.kappa.low, c.kappa.high, scale=scale,
                        reference=bar, css=drawn) if c.kappa else None,
    )  # fmt: skip


def bias_rows(c: CriterionCalibration) -> tuple[BiasRow, ...]:
    """Every bias that was looked for; found means beyond chance."""
    return tuple(
        BiasRow(
            name=b.name.capitalize(), what=b.what, effect=words.signed(b.effect),
            interval=f"{words.signed(b.low)} to {words.signed(b.high)}", n=words.count(b.n),
            word="found" if b.p < FOUND else "not known" if b.what.startswith(UNKNOWN) else "not found",
            css="fail" if b.p < FOUND else "none",
        )
        for b in (*c.biases, *(c.pairs.biases if c.pairs else ()))
    )  # fmt: skip


def share(interval: Interval | None) -> tuple[str, str]:
    """A share as figure and interval, both in percent."""
    if interval is None:
        return "none", "not measured"
    low, high = words.fixed(interval.low * 100, 0), words.fixed(interval.high * 100, 0)
    return words.percent(interval.value), f"{low} to {high}, n {words.count(interval.n)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRow:
    """What a judge that compares chose where people preferred one answer, or neither."""

    people: str
    b: str
    tie: str
    a: str


def preference_rows(c: CriterionCalibration) -> tuple[PreferenceRow, ...]:
    """The counts of a judge that compares, by what people said."""
    if c.preferences is None:
        return ()
    rows = (("A", c.preferences.people_a), ("neither", c.preferences.people_tie), ("B", c.preferences.people_b))
    return tuple(
        PreferenceRow(people=name, b=words.count(b), tie=words.count(tie), a=words.count(a))
        for name, (b, tie, a) in rows if b + tie + a
    )  # fmt: skip


async def judges(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /evals/judges``."""
    house = frame.house
    rows = []
    for name in sorted({*house.registry.names("judges"), *await _used(frame)}):
        past = await _past(frame, name)
        version = current(frame, name)
        digest = digest_of(version, past)
        status = judge_status(digest, past, model=str(version.content.get("model", "")) if version else "")
        last = past[-1] if past else None
        rows.append({"name": name, "version": version, "status": status, "css": CSS[status.state], "last": last})
    return frame.page(
        request, "judges.html", title="Judges", nav="/evals/judges", rows=rows,
        incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def judge(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /evals/judges/{name}?criterion=tone``. Raises NotFound for a judge that nobody knows."""
    house, name = frame.house, str(request.path_params["name"])
    past, version = await _past(frame, name), current(frame, name)
    if version is None and not past and name not in await _used(frame):
        raise NotFound(f"There is no judge {name[:100]!r}.", mend="The list shows which there are.")
    digest = digest_of(version, past)
    model = str(version.content.get("model", "")) if version else ""
    # A judge that a plan spells is none of the registry's: its own last calibration says what it is.
    own = [c for c in past if c.judge == digest] or past
    status = judge_status(digest, past, model=model)
    last = own[-1] if own else None
    asked = request.query_params.get("criterion", "")
    shown = (
        next((c for c in last.criteria if c.criterion == asked), last.criteria[0]) if last and last.criteria else None
    )
    return frame.page(
        request, "judge.html", title=f"Judge {name}", nav="/evals/judges", name=name, version=version, trust=status,
        css=CSS[status.state], last=last, shown=shown, found=share(shown.tnr) if shown else ("none", ""),
        left=share(shown.tpr) if shown else ("none", ""), agreed=share(shown.agreement) if shown else ("none", ""),
        flips=share(shown.flips) if shown else ("none", ""), bar=last.bar if last else 0.8, width=WIDTH,
        rows=[criterion_row(c, last.bar) for c in last.criteria] if last else [],
        biases=bias_rows(shown) if shown else (), preferences=preference_rows(shown) if shown else (),
        orders=share(shown.pairs.flips) if shown and shown.pairs else None,
        first=share(shown.pairs.picks_first) if shown and shown.pairs else None,
        rate=await _latest_rate(frame, name), methods=METHOD_NAMES, past=tuple(reversed(past))[:20], digest=digest,
        incidents=await house.desk.list(limit=50),
    )  # fmt: skip


def digest_of(version: Version | None, past: Sequence[Calibration]) -> str:
    """The digest of a judge's version: as a judge of pairs where it was last calibrated as one."""
    if version is None:
        return past[-1].judge if past else ""
    compares = bool(past) and any(c.preferences for c in past[-1].criteria)
    return judge_digest(version.content, "pair" if compares else "judge")


def current(frame: Frame, name: str) -> Version | None:
    """The version that is live, else the newest; None for a judge that the registry does not know."""
    registry = frame.house.registry
    if name not in registry.names("judges"):
        return None
    live = registry.labels("judges", name).get("production")
    return registry.version("judges", name, live) if live else registry.versions("judges", name)[-1]


async def _past(frame: Frame, name: str) -> list[Calibration]:
    return [loaded(Calibration, row["record"]) for row in await frame.house.reports.people.calibrations(name)]


async def _used(frame: Frame) -> set[str]:
    """The judges of recent runs, by the name of their score."""
    runs = await frame.house.reports.log.recent(limit=_RECENT_RUNS)
    return {str(s["name"]) for run in runs for s in run.scorers if s["judge"]}


async def _latest_rate(frame: Frame, name: str) -> tuple[Any, PassRate] | None:
    """The latest finished run that this judge scored, and its rate corrected by people's labels."""
    reports = frame.house.reports
    runs: Sequence[Any] = await reports.log.recent(limit=_RECENT_RUNS, states=("done",))
    for run in runs:
        if any(s["name"] == name and s["judge"] for s in run.scorers):
            try:
                return run, await reports.rate(run.id, name)
            except TrimtabError:
                return None
    return None
