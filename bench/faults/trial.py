"""One trial: a fault (or two) in its surroundings, until the desk has answered or patience ends."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from trimtab.incidents import Incident
from trimtab.watch import Alarm

from . import surroundings
from .baselines import Guesses, guesses
from .effects import Effect, Onset
from .fault import Fault, Reach
from .impact import Impact, impact_of
from .stage import PATIENCE, Learnt, Stage, stage
from .surroundings import Surroundings
from .world import Hidden, Swap, stages

#: Requests after the first alarm in which others may join its incident.
JOINING = 200
SLICES = ("intent=billing", "intent=refunds", "tenant=borealis", "language=de", "intent=limits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one trial is to be. ``severity`` is the share of touched requests that are to break."""

    faults: tuple[Fault, ...]
    severity: float
    reach: Reach
    share: float
    slice: str
    onset: Onset
    staged: bool
    seed: int
    hard: bool = True
    apart: int = 0
    pair: str = ""


@dataclass(slots=True, kw_only=True)
class Truths:
    """What attribution should have said of one fault: its layer, and the (kind, pin) of its change, None while (or
    because) none is on record."""

    layer: int
    pin: tuple[str, str] | None = None


@dataclass(kw_only=True)
class Trial:
    """What came of a plan. ``onset`` and ``alarm_at`` are request numbers; ``alarm_at`` 0: never."""

    plan: Plan
    impacts: tuple[Impact, ...]
    around: Surroundings
    truths: tuple[Truths, ...]
    onset: int
    alarm: Alarm | None = None
    alarm_at: int = 0
    scored: int = 0
    early: int = 0
    served: int = 0
    replays: int = 0
    incidents: list[Incident] = field(default_factory=list)
    guesses: Guesses | None = None

    @property
    def counts(self) -> bool:
        """Whether every fault of the plan breaks something."""
        return all(impact.counts for impact in self.impacts)


async def play(
    plan: Plan, template: Path, learnt: Learnt, *, limit: int, judged: float = 0.0, explained: bool = True
) -> Trial:
    """Run it. ``limit``: requests after the onset before the fault counts as missed. Unless ``explained`` it ends
    at the alarm."""
    rng = random.Random(f"plan/{plan.seed}/{'+'.join(f.name for f in plan.faults)}/{plan.staged}")
    onset = rng.randint(700, 1300)
    around = surroundings.drawn(plan.faults, onset, rng, hard=plan.hard)
    effects = [effect_of(plan, i, onset + i * plan.apart) for i in range(len(plan.faults))]
    impacts = [
        await impact_of(template, fault, effect, seed=plan.seed)
        for fault, effect in zip(plan.faults, effects, strict=True)
    ]
    async with stage(template, plan.seed, learnt=learnt, without=around.removed, judged=judged) as run:
        if plan.hard:
            surroundings.plan(run, around, plan.faults, onset, rng, plan.staged)
        truths = tuple(
            _break(run, plan, fault, effect, rng) for fault, effect in zip(plan.faults, effects, strict=True)
        )
        trial = Trial(plan=plan, impacts=tuple(impacts), around=around, truths=truths, onset=onset)
        await run.serve(onset - 1)
        trial.early = sum(_under_test(trial, alarm) for _, alarm in run.raised)
        await _until_answered(run, trial, onset + limit, explained)
        trial.served = run.world.number
        if not explained:
            return trial
        if trial.alarm is not None:
            # Dumb rules see what was known at the alarm.
            trial.guesses = guesses(run, trial.alarm, trial.alarm_at)
        trial.incidents = await run.finish()
        trial.replays = run.replays
    return trial


async def _until_answered(run: Stage, trial: Trial, last: int, explained: bool) -> None:
    seen = len(run.raised)
    while run.world.number < last:
        await run.one()
        for number, alarm in run.raised[seen:]:
            if trial.alarm is None and _under_test(trial, alarm):
                trial.alarm, trial.alarm_at = alarm, number
                evidence, _ = run.watch.evidence(alarm.signal, alarm.slice)
                behind = (run.world.number - trial.onset) * run.world.between_ns
                trial.scored = sum(seen.time_ns >= alarm.time_ns - behind for seen in evidence)
                last = min(last, number + PATIENCE + JOINING) if len(trial.truths) == 1 else last
        seen = len(run.raised)
        if trial.alarm is not None and not explained:
            return
        if trial.alarm is not None and len(trial.truths) > 1:
            # The second fault of a pair gets its own time.
            last = min(last, max(trial.alarm_at, trial.onset + trial.plan.apart) + PATIENCE + 5 * JOINING)


def _under_test(trial: Trial, alarm: Alarm) -> bool:
    """Whether an alarm opens an incident and is not what the benign change is known to move."""
    benign = trial.around.benign
    return alarm.monitor.action != "note" and not (benign is not None and alarm.signal in benign.signals)


def effect_of(plan: Plan, place: int, since: int) -> Effect:
    """What the fault at this place of a plan does from request ``since`` on."""
    fault = plan.faults[place]
    where = ""
    if plan.reach == "slice" or "all" not in fault.reaches:
        where = plan.slice or fault.slice or (SLICES[place] if plan.reach == "slice" else "")
    return Effect(
        knobs=fault.knobs(plan.severity), since=since, onset=plan.onset, slice=where, share=plan.share,
        provider=fault.provider, salt=f"{plan.seed}/{fault.name}",
    )  # fmt: skip


def _break(run: Stage, plan: Plan, fault: Fault, effect: Effect, rng: random.Random) -> Truths:
    """Put the fault on the schedule; returns what attribution should find."""
    world, at = run.world, effect.since
    if fault.silent:
        world.effects.append(effect)
        pin = None
        if fault.seen:
            reports = (f"alpha-large-2{fault.name[:1]}", "fp_a2")
            world.swaps.append(Swap(effect, fault.provider, reports))
            pin = ("models", f"alpha/large={reports[0]}@{reports[1]}")
        return Truths(layer=fault.layer, pin=pin)
    draw = rng.random() if plan.hard else 1.0
    late = rng.randint(100, 400) if draw < 0.05 else 0
    missing = 0.05 <= draw < 0.10
    if fault.carrier == "application":
        world.effects.append(effect)
        after = f"release-{plan.seed}"
        if not missing:
            run.at(at + late, lambda: world.deployed("support-bot", after))
        return Truths(layer=fault.layer, pin=None if missing else ("application", after))
    kind = fault.carrier
    truth = Truths(layer=fault.layer)

    async def begin() -> None:
        if late or missing:
            after = world.next_pin(kind)
            world.hidden[kind] = Hidden(after, at)
            world.pinned[kind, after] = [effect]
            # Nobody wrote it down, but the answers carry the version: who names it is right.
            truth.pin = (kind, after)
        else:
            await release(plan.staged)

    async def release(staged: bool) -> None:
        world.hidden.pop(kind, None)
        made = await world.release(kind, [effect], staged=staged, actor="team", note=fault.title)
        truth.pin = (kind, made.change.after)
        for step, later in stages():
            if staged:
                run.at(world.number + later, partial(made.advance, world.registry, step))

    run.at(at, begin)
    if late:
        run.at(at + late, lambda: release(False))
    return truth
