"""Two runs side by side: is the second worse than the first, and may that be believed?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from trimtab.core import BadInput, TrimtabError
from trimtab.evals import Delta, GateResult, MixedJudges, Run
from trimtab.web import words
from trimtab.web.charts import Scale, Whisker, whisker
from trimtab.web.frame import Frame

#: The axis of differences, in rate, and its width.
AXIS, WIDTH = 0.25, 250
#: The side of the scatter, and the steps onto which points of many repeats are drawn.
SIDE, STEPS = 220, 20
MOST_SCORES, MOST_CHANGED = 12, 40
MARGIN = 0.05
RESULTS = {"pass": ("pass", "pass"), "fail": ("fail", "fail"), "cannot tell yet": ("inconclusive", "unsure")}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRow:
    """One score on both sides. ``refused`` says why it was not compared; then nothing else is filled."""

    name: str
    judge: str
    refused: str = ""
    old: str = ""
    new: str = ""
    difference: str = ""
    interval: str = ""
    n: str = ""
    word: str = ""
    css: str = "none"
    more: str = ""
    whisker: Whisker | None = None
    off: str = ""
    gate: GateResult | None = None
    mixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A case that moved."""

    case: str
    question: str
    old: str
    new: str
    lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Cases with the same pair of scores."""

    x: float
    y: float
    r: float
    css: str
    text: str


def delta_row(name: str, gate: GateResult, margin: float) -> DeltaRow:
    """A score that could be compared. The axis is the same for every score; what lies off it gets an arrow."""
    delta = gate.delta
    if delta is None:
        raise BadInput("has no difference.", field="score", mend="Compare with another run.")
    word, css = RESULTS[gate.answer]
    scale = Scale(low=-AXIS, high=AXIS, start=6, end=WIDTH - 6)
    off = "left" if delta.value < -AXIS else "right" if delta.value > AXIS else ""
    more = ""
    if css == "unsure":
        more = f"about {words.count(gate.more_cases)} more cases" if gate.more_cases else "out of reach at this size"
    return DeltaRow(
        name=name, judge=delta.judge, old=words.fixed(delta.old_rate, 3), new=words.fixed(delta.new_rate, 3),
        difference=words.signed(delta.value, 3),
        interval=f"{words.signed(delta.low, 3)} to {words.signed(delta.high, 3)}", n=words.count(delta.cases),
        word=word, css=css, more=more, off=off, gate=gate,
        whisker=whisker(
            delta.value, delta.low, delta.high, scale=scale, reference=0.0,
            css={"pass": "ok", "fail": "bad"}.get(css, "warn"),
        ),
    )  # fmt: skip


def sentence(row: DeltaRow | None, old: str, new: str) -> str:
    """The verdict in one sentence. Pure."""
    if row is None:
        return f"{new} and {old} have no score in common"
    if row.refused or row.gate is None or row.gate.delta is None:
        return f"{new} and {old} cannot be compared on {row.name}"
    delta = row.gate.delta
    size = words.fixed(abs(delta.value) * 100, 1).removesuffix(".0")
    if row.css == "fail":
        return f"{new} is worse than {old}: {row.name} falls by {size} points"
    if row.css == "pass":
        rises = delta.low > 0
        return f"{new} is better than {old}: {row.name} rises by {size} points" if rises else (
            f"{new} is no worse than {old} on {row.name}"
        )  # fmt: skip
    ask = f": {row.more} would settle it" if row.gate.more_cases else ""
    return f"Cannot tell whether {new} is worse than {old} on {row.name}{ask}"


def tolerance(margin: float) -> tuple[float, float]:
    """Start and width of the shaded part of the axis: no worse than the margin."""
    scale = Scale(low=-AXIS, high=AXIS, start=6, end=WIDTH - 6)
    return scale.at(-margin), round(scale.at(AXIS) - scale.at(-margin), 1)


def scatter(points: Sequence[Mapping[str, Any]]) -> tuple[Spot, ...]:
    """Every case as a spot, before to the right and after upwards; equal ones are one larger spot. Pure."""
    at = Scale(low=0, high=1, start=14, end=SIDE - 14)
    counts = Counter((round(p["old"] * STEPS) / STEPS, round(p["new"] * STEPS) / STEPS) for p in points)
    most = max(counts.values(), default=1)
    found = []
    for (old, new), n in sorted(counts.items()):
        css = "bad" if new < old else "ok" if new > old else ""
        text = f"{words.plural(n, 'case')}: {words.fixed(old)} before, {words.fixed(new)} after"
        found.append(
            Spot(x=at.at(old), y=SIDE - at.at(new), r=round(2 + 8 * math.sqrt(n / most), 1), css=css, text=text)
        )
    return tuple(found)


def changed(delta: Delta, questions: Mapping[str, str]) -> tuple[Changed, ...]:
    """The cases that moved most, lost ones first."""
    found = [(case, True) for case in delta.worse[:MOST_CHANGED]]
    found += [(case, False) for case in delta.better[: max(10, MOST_CHANGED - len(found))]]
    return tuple(
        Changed(
            case=c.case, question=questions.get(c.case, ""), old=words.fixed(c.old), new=words.fixed(c.new), lost=lost
        )
        for c, lost in found
    )  # fmt: skip


def trusted(rows: Sequence[DeltaRow], old: Run, new: Run, status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(class, sentence) of what one has to know before believing the comparison."""
    compared = [row for row in rows if row.gate is not None and row.gate.delta is not None]
    left_out = max((row.gate.delta.left_out for row in compared if row.gate and row.gate.delta), default=0)
    mixed = any(row.mixed for row in rows)
    found = [
        ("fail", "The judges differ between the runs") if mixed else ("pass", "The same judge versions in both runs"),
        ("pass", "The same cases in both runs") if old.digest == new.digest
        else ("unsure", "The datasets differ; only cases of both count"),
        ("pass", "Every case was scored on both sides") if not left_out
        else ("unsure", f"{words.plural(left_out, 'case')} left out: one side has no score"),
    ]  # fmt: skip
    if status:
        good = status["state"] == "calibrated"
        found.append(("pass" if good else "unsure", f"Judge {status['state']}: {status['why']}"))
    return found


async def compare(request: Request, frame: Frame) -> Response:
    """``GET /evals/compare?a=RUN&b=RUN&score=quality&margin=5``: b against a; the margin is in points."""
    asked, reports = request.query_params, frame.house.reports
    if not asked.get("a") or not asked.get("b"):
        return RedirectResponse("/evals", status_code=303)
    old, new = await reports.log.get(asked["a"]), await reports.log.get(asked["b"])
    margin = _margin(asked.get("margin", ""))
    names = [row["name"] for row in await reports.log.summary(new.id)]
    both = {row["name"] for row in await reports.log.summary(old.id)}
    rows = [await _row(frame, old, new, name, margin) for name in names if name in both][:MOST_SCORES]
    # Without a choice the page is about what looks worst.
    worst = min(rows, key=lambda row: ("fail", "unsure", "pass", "none").index(row.css), default=None)
    shown = next((row for row in rows if row.name == asked.get("score")), worst)
    delta = shown.gate.delta if shown is not None and shown.gate is not None else None
    questions = {case.id: case.input for case in await reports.log.cases(new.id)} if delta else {}
    status: Mapping[str, Any] = {}
    if shown is not None and delta is not None and delta.judge:
        status = await reports.status(shown.name.partition(".")[0], delta.judge)
    names_of = (_named(old, new), _named(new, old))
    return frame.page(
        request, "eval_compare.html", title=sentence(shown, *names_of), nav="/evals", old=old, new=new, rows=rows,
        shown=shown, delta=delta, margin=margin, tol=tolerance(margin), width=WIDTH, side=SIDE,
        spots=scatter(await reports.points(new.id, old.id, shown.name)) if shown is not None and delta else (),
        changed=changed(delta, questions) if delta else (), trust=trusted(rows, old, new, status),
        grey=bool(status) and status["state"] != "calibrated", names=names_of,
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def _row(frame: Frame, old: Run, new: Run, name: str, margin: float) -> DeltaRow:
    try:
        gate = await frame.house.reports.gate(new.id, old.id, score=name, max_drop=margin)
    except TrimtabError as error:
        return DeltaRow(name=name, judge="", refused=str(error), mixed=isinstance(error, MixedJudges))
    return delta_row(name, gate, margin)


def _named(run: Run, other: Run) -> str:
    return run.name if run.name != other.name else f"{run.name} {run.id[-6:]}"


def _margin(text: str) -> float:
    try:
        value = float(text.replace(",", ".")) / 100 if text else MARGIN
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise BadInput(f"{text[:40]!r} is no margin.", field="margin", mend="Give points, such as 5.")
    return value
