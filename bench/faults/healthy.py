"""Healthy scenarios: what changes a lot and breaks nothing. None of them may raise an alarm.

One of them is not healthy for one signal, see ``_retries``; what it raises counts like the others' alarms all the same.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .effects import Effect
from .stage import Learnt, Stage, stage
from .traffic import INTENT_MIX
from .world import BETWEEN_NS, OTHERS, Swap, stages

Scene = Callable[[Stage, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthy:
    """What one scenario raised. ``observations`` are the values that detectors saw; ``notes`` open no incident."""

    name: str
    requests: int
    observations: int
    alarms: tuple[str, ...]
    notes: tuple[str, ...]


def _steady(run: Stage, requests: int) -> None:
    """Nothing happens."""


def _mix_shift(run: Stage, requests: int) -> None:
    run.at(requests // 3, partial(_set, run, "intents", {n: 1.0 / w for n, w in INTENT_MIX.items()}))


def _new_tenant(run: Stage, requests: int) -> None:
    run.at(requests // 3, partial(_set, run, "tenants", {"acme": 4.0, "borealis": 3.0, "cobalt": 2.0, "delta": 5.0}))


def _new_language_mix(run: Stage, requests: int) -> None:
    run.at(requests // 3, partial(_set, run, "languages", {"en": 3.0, "de": 7.0}))


def _day_and_night(run: Stage, requests: int) -> None:
    steps = 24
    for step in range(steps):
        busy = 1.0 + 0.9 * math.sin(2.0 * math.pi * step / steps)
        run.at(step * requests // steps + 1, partial(_pace, run, max(0.1, busy)))
        run.at(
            step * requests // steps + 1,
            partial(_set, run, "languages", {"en": 7.0 * max(0.2, busy), "de": 3.0 / max(0.2, busy)}),
        )


def _spike(run: Stage, requests: int) -> None:
    run.at(requests // 3, partial(_pace, run, 10.0))


def _prompt_upgrade(run: Stage, requests: int) -> None:
    _release(run, "prompts", requests // 3, {})


def _model_upgrade(run: Stage, requests: int) -> None:
    effect = Effect(knobs={}, since=requests // 3, onset="ramp", share=0.6, provider="alpha", salt="upgrade")
    run.world.swaps.append(Swap(effect, "alpha", ("alpha-large-1b", "fp_a9")))


def _style(run: Stage, requests: int) -> None:
    _release(run, "prompts", requests // 3, {"wordy": 0.15})


def _edits(run: Stage, requests: int) -> None:
    for i in range(15):
        at = (i + 1) * requests // 17
        if i % 3 == 0:
            run.at(at, partial(_deploy, run, f"build-{i}"))
        elif i % 3 == 1:
            run.at(at, partial(_elsewhere, run, i))
        else:
            _release(run, ("prompts", "guards", "routes", "corpora", "judges")[i // 3], at, {}, staged=False)


def _refresh(run: Stage, requests: int) -> None:
    _release(run, "corpora", requests // 3, {"aged": -1.0}, staged=False)


def _recalibrated(run: Stage, requests: int) -> None:
    _release(run, "judges", requests // 3, {})


def _long_sessions(run: Stage, requests: int) -> None:
    run.world.traffic.turns = (6, 8, 12, 20)
    run.world.traffic.moods = 1.5


def _retries(run: Stage, requests: int) -> None:
    # Not more: when nearly all do, and go on, the hard questions are most of the traffic, and quality does fall.
    # ``asked_once`` falls for certain: it measures how often people ask again, and the past that it is compared with
    # has ``ASKS_AGAIN``. Of a hundred questions seven or eight are asked again, and not six. That is two points, which
    # 10,000 requests show in few runs; where they do, the alarm is true.
    run.world.traffic.asks_again = 0.6


SCENES: dict[str, Scene] = {
    "steady": _steady, "traffic mix shift": _mix_shift, "new tenant": _new_tenant,
    "other languages": _new_language_mix, "day and night": _day_and_night, "spike of traffic": _spike,
    "equal prompt, staged": _prompt_upgrade, "equal model, ramp": _model_upgrade, "wordier style": _style,
    "fifteen edits": _edits, "planned index refresh": _refresh, "recalibrated judge": _recalibrated,
    "long moody sessions": _long_sessions, "people ask again": _retries,
}  # fmt: skip


async def healthy(name: str, template: Path, learnt: Learnt, seed: int, requests: int, judged: float = 0.0) -> Healthy:
    """Run one scenario."""
    async with stage(template, seed, learnt=learnt, judged=judged) as run:
        run.answering = False
        SCENES[name](run, requests)
        measured = 0
        for begun in range(0, requests, 10_000):
            before = {m.signal: len(run.watch.evidence(m.signal)[0]) for m in run.watch.monitors}
            await run.serve(min(10_000, requests - begun))
            # The evidence is bounded: what a stretch added is counted before the bound is reached.
            kept = {m.signal: len(run.watch.evidence(m.signal)[0]) for m in run.watch.monitors}
            measured += sum(kept[s] - before[s] if kept[s] < 20_000 else 10_000 for s in kept)
        pages = [f"{a.signal}/{a.slice or 'all'}@{n}" for n, a in run.raised if a.monitor.action != "note"]
        notes = [f"{a.signal}/{a.slice or 'all'}@{n}" for n, a in run.raised if a.monitor.action == "note"]
    return Healthy(name=name, requests=requests, observations=measured, alarms=tuple(pages), notes=tuple(notes))


async def _set(run: Stage, name: str, value: dict[str, float]) -> None:
    setattr(run.world.traffic, name, value)


async def _pace(run: Stage, factor: float) -> None:
    run.world.between_ns = round(BETWEEN_NS / factor)


async def _deploy(run: Stage, after: str) -> None:
    await run.world.deployed("web-app", after)


async def _elsewhere(run: Stage, i: int) -> None:
    await run.world.elsewhere(*OTHERS[i % len(OTHERS)])


def _release(run: Stage, kind: str, at: int, knobs: dict[str, float], *, staged: bool = True) -> None:
    async def release() -> None:
        effects = [Effect(knobs=knobs, since=at)] if knobs else []
        made = await run.world.release(kind, effects, staged=staged, actor="team", note="routine")
        for step, later in stages():
            if staged:
                run.at(at + later, partial(_advance, made.advance, run, step))

    run.at(at, release)


async def _advance(advance: Callable[..., Awaitable[None]], run: Stage, step: int) -> None:
    await advance(run.world.registry, step)
