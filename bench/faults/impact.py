"""Whether a fault breaks anything: the same requests answered with and without it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from .effects import Effect
from .fault import IMPACT, Fault
from .stage import stage
from .world import Truth

REQUESTS = 500
#: As many times more are looked through for those that a fault touches.
SEARCHED = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """``points`` is how far the outcome fell among touched requests, ``harm`` how far what the fault is to move did:
    points of a share, or a part of a mean. ``touched`` is the share of requests in its reach."""

    points: float
    harm: float
    touched: float
    counts: bool


async def impact_of(template: Path, fault: Fault, effect: Effect, *, seed: int, requests: int = REQUESTS) -> Impact:
    """Measure it: so many touched requests of one traffic, each answered twice with the same draws."""
    before: list[Truth] = []
    after: list[Truth] = []
    async with stage(template, seed) as run:
        world = run.world
        while len(before) < requests and world.traffic.number < SEARCHED * requests:
            ask = world.traffic.next(world.attacks_with(effect))
            pins = world.pins(ask, f"{ask.number:032x}")
            providers = world.providers(pins.route, ask)
            # Where it comes in fits it is looked at in a fit, where it grows when it has grown.
            world.number = effect.since + (effect.ramp if effect.onset == "ramp" else 0)
            if not effect.strength(world.number, ask.session, ask.slices, providers[0]):
                continue
            for effects, kept in (([], before), ([effect], after)):
                world.effects = effects
                kept.append(world.truth(ask, pins, providers, random.Random(f"{seed}/{ask.number}")))
        drawn = world.traffic.number
    if not before:
        return Impact(points=0.0, harm=0.0, touched=0.0, counts=False)
    points = mean(t.good for t in before) - mean(t.good for t in after)
    was, now = (mean(getattr(t, fault.harms) for t in part) for part in (before, after))
    harm = now / was - 1.0 if fault.harms in ("cost", "wait") else was - now
    return Impact(points=points, harm=harm, touched=len(before) / drawn, counts=harm >= IMPACT[fault.harms])
