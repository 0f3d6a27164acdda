"""Whether a rollout goes on, waits or ends. Pure: the same evidence at the same moment gives the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .judging import Judgement
from .plan import Plan
from .sentences import answers_of, clause, duration, harmed, percent, undecided

Action = Literal["hold", "advance", "promote", "rollback"]
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a rollout is: the candidate's share since ``since_ns``, and how many of its answers were judged since then.

    ``paused`` says by whom, empty when it is not.
    """

    share: float
    since_ns: int
    answers: int
    paused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do and why, in one sentence. ``share`` is the candidate's share afterwards."""

    action: Action
    text: str
    share: float


def decide(plan: Plan, standing: Standing, judgements: Sequence[Judgement], now_ns: int) -> Decision:
    """Roll back on shown harm; go on only when every guard has passed and the stage has had its time and answers.

    Harm is acted on while paused too: a pause keeps the share where it is and keeps nobody exposed. Whatever is not
    decided waits, however long it takes.
    """
    if worse := [j for j in judgements if j.state == "harm"]:
        text = "; ".join(harmed(j) for j in worse)
        return _hold(standing, f"Harm was shown, and nothing is moved: {text}.") if plan.mode == "watch" else (
            Decision(action="rollback", text=f"{text[0].upper()}{text[1:]}.", share=0.0)
        )  # fmt: skip
    if standing.paused:
        return _hold(standing, f"Paused {standing.paused}.")
    if waiting := _waits(plan, standing, judgements, now_ns):
        return _hold(standing, waiting)
    passed = f"No guard is worse by what matters: {'; '.join(clause(j) for j in judgements if measured(j))}."
    if plan.mode == "watch" or not plan.stages:
        return _hold(standing, f"{passed} It is promoted by hand.")
    stage = plan.stage_at(standing.share) + 1
    if stage < len(plan.stages):
        return Decision(action="advance", text=passed, share=plan.share_of(stage))
    if plan.stages[-1] < 1.0:
        return _hold(standing, f"{passed} The last stage is {percent(plan.stages[-1])}; it is promoted by hand.")
    return Decision(action="promote", text=passed, share=1.0)


def passes(judgements: Sequence[Judgement]) -> bool:
    """Whether every guard that applies is proven to be no worse than it may be."""
    return any(measured(j) for j in judgements) and all(
        j.state == "no_worse" or (j.state == "not_measured" and not j.named) for j in judgements
    )


def measured(judgement: Judgement) -> bool:
    """Whether there is anything to say about a guard."""
    return judgement.state != "not_measured"


def _waits(plan: Plan, standing: Standing, judgements: Sequence[Judgement], now_ns: int) -> str:
    """What is still missing; empty when nothing is."""
    if standing.answers < plan.least_answers:
        return f"{answers_of(plan.least_answers - standing.answers)} of the candidate to go in this stage."
    if not passes(judgements):
        missing = [j for j in judgements if j.state == "undecided" or (j.state == "not_measured" and j.named)]
        return f"Undecided: {'; '.join(undecided(j) for j in missing) or 'no guard was measured yet'}."
    last = bool(plan.stages) and plan.stage_at(standing.share) == len(plan.stages) - 1
    least = max(plan.least_s, plan.hold_s if last and plan.holdback > 0.0 else 0.0)
    rest = least - (now_ns - standing.since_ns) / _SECOND
    if rest > 0.0 and plan.mode != "watch":
        kept = f" while {percent(1.0 - standing.share)} stay on the base version" if last else ""
        return f"Passed so far; {duration(rest)} of this stage to go{kept}."
    return ""


def _hold(standing: Standing, text: str) -> Decision:
    return Decision(action="hold", text=text, share=standing.share)
