"""Rollouts: what is going out, is it worse, and what happens next?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import LAYER_OF_KIND, BadInput, Change, NotFound, Rollout, TrimtabError
from trimtab.registry import Registry, may_of
from trimtab.rollouts import Judgement, View, passes, width
from trimtab.stats import wilson
from trimtab.web import words
from trimtab.web.charts import Scale, Whisker, whisker
from trimtab.web.frame import Frame, actor
from trimtab.web.sequence import SequenceChart, sequence_chart

HOUR_NS = 3_600 * words.SECOND
MOST_ENDED = 30
WHISKER_WIDTH = 84
#: State of a guard: its verdict in words, and the class of the verdict.
STATES = {
    "harm": ("worse", "fail"), "no_worse": ("no worse", "pass"), "undecided": ("undecided", "unsure"),
    "not_measured": ("not measured", "none"),
}  # fmt: skip
#: What needs a look first.
_ORDER = ("harm", "undecided", "no_worse", "not_measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRow:
    """One guard: verdict, difference, evidence."""

    judgement: Judgement
    title: str
    word: str
    css: str
    difference: str
    interval: str
    n: str
    evidence: str
    more: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One guard's mean on one version."""

    title: str
    first: bool
    version: str
    mean: str
    interval: str
    n: str
    whisker: Whisker
    bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Something else that goes out at the same time."""

    href: str
    layer: int
    text: str
    when: str


def title_of(metric: str) -> str:
    """A guard's name for people."""
    names = {"latency": "Within the latency limit", "cost": "Within the cost limit"}
    return names.get(metric, metric.replace("_", " ").capitalize())


def href_of(rollout: Rollout) -> str:
    """The page of the asset."""
    return f"/prompts/{rollout.name}" if rollout.kind == "prompts" else f"/assets/{rollout.kind}/{rollout.name}"


def guard_rows(judgements: Sequence[Judgement], shown: str, here: str) -> tuple[GuardRow, ...]:
    """A row a guard, in the order of the plan."""
    return tuple(_guard_row(j, here, current=j.metric == shown) for j in judgements)


def _guard_row(j: Judgement, here: str, *, current: bool) -> GuardRow:
    word, css = STATES[j.state]
    seen = j.state != "not_measured"
    n = j.candidate_n or j.pairs
    harm = f"{words.evidence(j.harm)} of {words.count(round(j.harm_needed))}"
    calm = f"{words.evidence(j.calm)} of {words.count(round(j.calm_needed))}" if j.width < 1.0 else "not needed yet"
    more = (
        ""
        if j.state != "undecided"
        else "none at this difference"
        if j.more is None
        else f"about {words.count(j.more)}"
    )
    return GuardRow(
        judgement=j,
        title=title_of(j.metric),
        word=word if seen or j.named else "does not apply",
        css=css,
        difference=words.signed(j.difference * 100, 1) if seen else "",
        interval=words.interval(j.low * 100, j.high * 100, 1) if seen else "",
        n=(words.plural(j.pairs, "pair") if j.pairs and not j.candidate_n else words.count(n)) if seen else "",
        evidence=f"{harm} / {calm}" if seen else "",
        more=more,
        href=f"{here}?guard={j.metric}",
        current=current,
    )


def score_rows(judgements: Sequence[Judgement], rollout: Rollout) -> tuple[ScoreRow, ...]:
    """Mean and Wilson interval of every guard on both versions; red where harm was shown."""
    scale = Scale(low=0, high=1, start=4, end=WHISKER_WIDTH - 4)
    rows: list[ScoreRow] = []
    for j in judgements:
        arms = (
            (rollout.base, j.base_n, j.base_mean, False),
            (rollout.candidate, j.candidate_n, j.candidate_mean, True),
        )
        for version, n, mean, candidate in arms:
            if not n:
                continue
            low, high = wilson(mean * n, n)
            bad = candidate and j.state == "harm"
            rows.append(
                ScoreRow(
                    title=title_of(j.metric), first=not candidate or not j.base_n, version=str(version),
                    mean=words.fixed(mean), interval=words.interval(low, high), n=words.count(n), bad=bad,
                    whisker=whisker(mean, low, high, scale=scale, reference=1.0, css="bad" if bad else ""),
                )
            )  # fmt: skip
    return tuple(rows)


def stages(view: View) -> tuple[tuple[str, str, str], ...]:
    """(share, state in words, class) of every stage; the shadow and a share outside the plan stand in their place, and
    everybody comes after the holdback."""
    plan, share, running = view.record.plan, view.rollout.share, view.rollout.state == "running"
    shares = {plan.share_of(i) for i in range(len(plan.stages))} | ({0.0} if plan.mode == "shadow" else set())
    shares |= {1.0} if plan.stages and plan.stages[-1] == 1.0 else set()
    found = []
    for step in sorted({*shares, share}):
        name = "shadow" if step == 0.0 and plan.mode == "shadow" else words.percent(step)
        if step == share:
            found.append((name, "now" if running else "ended here", "now-step" if running else "done"))
        elif step < share:
            found.append((name, "done", "done"))
        else:
            found.append((name, "to come" if running else "not reached", ""))
    return tuple(found)


def beside(registry: Registry, rollout: Rollout, now_ns: int) -> tuple[Beside, ...]:
    """The other rollouts that run, with what is next for them, and what moved for everybody in the last hour."""
    found = [
        Beside(
            href=f"/rollouts/{other.id}", layer=_layer(other),
            text=f"{other.kind}:/{other.name} v{other.candidate} at {words.percent(other.share)}",
            when=f"next {words.percent(_next(other))}" if _next(other) > other.share else "no further stage",
        )
        for other in registry.rollouts(running=True)
        if other.id != rollout.id
    ]  # fmt: skip
    for change in registry.changes(since_ns=now_ns - HOUR_NS, limit=50):
        if change.rollout == "" and (change.kind, change.name) != (rollout.kind, rollout.name):
            found.append(_moved(change, now_ns))
    return tuple(found[:12])


def _layer(rollout: Rollout) -> int:
    return int(LAYER_OF_KIND[rollout.kind])


def _next(rollout: Rollout) -> float:
    return min((stage for stage in rollout.stages if stage > rollout.share + 1e-9), default=rollout.share)


def _moved(change: Change, now_ns: int) -> Beside:
    text = f"{change.asset} {words.version(change.after)} for everybody"
    if change.action == "external":
        text = f"{change.asset} answered by {words.snippet(words.pin(change.after), 40)}"
    return Beside(href="/ledger", layer=int(change.layer), text=text, when=words.ago(change.time_ns, now_ns))


def first_look(judgements: Sequence[Judgement], asked: str) -> Judgement | None:
    """The guard whose test is drawn: the one asked for, else what needs a look first."""
    known = {j.metric: j for j in judgements}
    if asked in known:
        return known[asked]
    drawn = [j for j in judgements if j.points]
    return min(drawn, key=lambda j: _ORDER.index(j.state), default=None)


def chart_of(judgement: Judgement | None) -> SequenceChart | None:
    """The chart of a guard, if there is anything to draw."""
    return sequence_chart(judgement) if judgement else None


async def rollouts(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /rollouts``."""
    house = frame.house
    found = house.registry.rollouts()
    running = [rollout for rollout in found if rollout.state == "running"]
    ended = [rollout for rollout in found if rollout.state != "running"][:MOST_ENDED]
    records = await house.rollouts.records([rollout.id for rollout in running + ended])
    decisions = {rollout.id: house.rollouts.standing(rollout.id) for rollout in running}
    return frame.page(
        request, "rollouts.html", title="Rollouts", nav="/rollouts", running=running, ended=ended, records=records,
        decisions=decisions, layer_of=_layer, incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def rollout_page(request: Request, frame: Frame, refused: TrimtabError | None = None) -> HTMLResponse:
    """``GET /rollouts/{id}?guard=cites&confirm=abort``. ``refused``: what a step by hand was refused for."""
    house, now = frame.house, frame.house.clock()
    view = await house.rollouts.view(str(request.path_params["id"]))
    rollout, plan = view.rollout, view.record.plan
    shown = first_look(view.judgements, request.query_params.get("guard", ""))
    form = await request.form() if refused else {}
    following = plan.next_share(rollout.share)
    return frame.page(
        request, "rollout.html", title=f"Rollout of {rollout.name} v{rollout.candidate}", nav="/rollouts", view=view,
        rollout=rollout, plan=plan, asset_href=href_of(rollout), layer=_layer(rollout), stages=stages(view),
        guards=guard_rows(view.judgements, shown.metric if shown else "", f"/rollouts/{rollout.id}"), shown=shown,
        shown_title=title_of(shown.metric) if shown else "", chart=chart_of(shown),
        scores=score_rows(view.judgements, rollout), passed=passes(view.judgements), following=following,
        widths=[(title_of(g.metric), words.fixed(width(g, following) * 100, 0)) for g in plan.guards],
        beside=beside(house.registry, rollout, now), confirm=request.query_params.get("confirm", ""),
        refused=refused, typed=str(form.get("reason", "")), status=refused.status if refused else 200,
        incidents=await house.desk.list(limit=50),
    )  # fmt: skip


async def step(request: Request, frame: Frame) -> Response:
    """``POST /rollouts/{id}/{step}`` with ``reason``, and ``percent`` where the share moves. What was typed is kept."""
    rollout_id, what = str(request.path_params["id"]), str(request.path_params["step"])
    form = await request.form()
    reason, hands, who = str(form.get("reason", "")).strip(), frame.house.rollouts.by_hand, actor(request)
    try:
        match what:
            case "pause":
                await hands.pause(rollout_id, actor=who, reason=reason)
            case "resume":
                await hands.resume(rollout_id, actor=who, reason=reason)
            case "share":
                await hands.share(rollout_id, _share(str(form.get("percent", ""))), actor=who, reason=reason)
            case "abort":
                await hands.abort(rollout_id, actor=who, reason=reason)
            case "promote":
                await hands.promote(rollout_id, actor=who, reason=reason, may=may_of(request))
            case _:
                raise NotFound(f"There is no step {what[:40]!r}.", mend="Go back to the rollout.")
    except NotFound:
        raise
    except TrimtabError as refused:
        return await rollout_page(request, frame, refused)
    return RedirectResponse(f"/rollouts/{rollout_id}", status_code=303)


def _share(text: str) -> float:
    try:
        return float(text.replace(",", ".")) / 100
    except ValueError:
        mend = "Give a number from 0 to 100."
        raise BadInput(f"{text[:40]!r} is no percentage.", field="percent", mend=mend) from None
