"""Hard mode: what else happens around a fault, so that no dumb rule finds it.

Fifteen harmless changes, two of them released together with the fault; one harmless change with a visible side effect
within 600 requests; three tenths of the signals that tell a layer not watched; a tenth of the changes written down late
or not at all.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from trimtab.core import TrimtabError
from trimtab.watch import SIGNALS

from .effects import Effect
from .fault import Fault
from .stage import Stage
from .world import OTHERS, OWN, stages

DECOYS = 15
REMOVED = 0.3
#: What a team would call its service level stays watched, as do the outcomes; what explains is what may be missing.
SERVICE = frozenset({"answered", "admitted", "complete", "allowed", "cost", "judge_agreement", "first_token"})
#: What this application's requests carry nothing of, so that there is nothing to take away: it records no spans of its
#: own, its prompts are of the registry, its vendors give no log-probabilities, it has no budget and embeds nothing
#: through the gateway, its judge always answers, and the watch is shown no ledger.
ABSENT = frozenset({
    "spans_sent", "connected", "certainty", "index_lag", "query_norm", "query_direction", "known_prompt", "on_record",
    "budget_left", "judged",
})  # fmt: skip
#: Signals that are younger than the figures: whether they are taken away is drawn by itself, so that all that is drawn
#: besides stays what it was.
YOUNGER = frozenset({"quiet_rails"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Benign:
    """A harmless change that moves ``signals`` for a quarter of the requests."""

    kind: str
    layer: int
    knobs: Mapping[str, float]
    signals: frozenset[str]


BENIGN = (
    Benign(kind="prompts", layer=3, knobs={"wordy": 0.25}, signals=frozenset({"length", "cost"})),
    Benign(kind="corpora", layer=2, knobs={"dim": 0.25}, signals=frozenset({"top_score"})),
    Benign(
        kind="prompts", layer=3, knobs={"padded": 0.25}, signals=frozenset({"prompt_length", "cost", "cached_share"}),
    ),
    Benign(kind="corpora", layer=2, knobs={"aged": 30.0}, signals=frozenset({"age"})),
    Benign(kind="guards", layer=4, knobs={"scannerfail": 0.25}, signals=frozenset({"guard_sound"})),
    Benign(kind="prompts", layer=3, knobs={"uncited": 0.25}, signals=frozenset({"cites"})),
)  # fmt: skip


@dataclass(kw_only=True)
class Surroundings:
    """What was drawn for one run."""

    benign: Benign | None = None
    benign_at: int = 0
    removed: frozenset[str] = frozenset()
    benign_pins: set[tuple[str, str]] = field(default_factory=set)


def drawn(faults: tuple[Fault, ...], onset: int, rng: random.Random, *, hard: bool) -> Surroundings:
    """Choose the benign change and the signals that nobody watches."""
    if not hard:
        return Surroundings()
    telltale = {signal for fault in faults for signal in fault.telltale}
    layers, carriers = {f.layer for f in faults}, {f.carrier for f in faults}
    fitting = [b for b in BENIGN if b.layer not in layers and b.kind not in carriers and not b.signals & telltale]
    fitting = fitting or [b for b in BENIGN if b.kind not in carriers]
    layered = [name for name, signal in SIGNALS.items() if signal.layer is not None and name not in SERVICE | ABSENT]
    removed = frozenset(name for name in layered if name not in YOUNGER and rng.random() < REMOVED)
    # The number of the onset is drawn too.
    apart = random.Random(f"removed/{onset}")
    removed |= {name for name in sorted(YOUNGER) if apart.random() < REMOVED}
    return Surroundings(
        benign=rng.choice(fitting) if fitting else None,
        benign_at=max(120, onset + rng.choice((-1, 1)) * rng.randint(60, 600)),
        removed=removed,
    )


def plan(
    run: Stage, around: Surroundings, faults: tuple[Fault, ...], onset: int, rng: random.Random, staged: bool
) -> None:
    """Put the harmless changes on the run's schedule."""
    if around.benign is not None:
        _release(run, around, around.benign.kind, around.benign_at, dict(around.benign.knobs), staged)
    carriers = {f.carrier for f in faults} | ({around.benign.kind} if around.benign else set())
    free = [kind for kind in OWN if kind not in carriers]
    for kind in rng.sample(free, min(2, len(free))):
        _release(run, around, kind, max(60, onset + rng.randint(-50, 50)), {}, staged)
    # Changes of the faulty asset itself come before the fault: a later version would be its child.
    spread = [rng.randint(50, onset + 900) for _ in range(DECOYS - 2)]
    for at in spread:
        draw = rng.random()
        if draw < 0.2:
            kind = rng.choice([k for k in OWN if k not in carriers or at < onset - 150])
            _release(run, around, kind, at, {}, staged and kind not in carriers)
        elif draw < 0.75:
            place = rng.choice(OTHERS)
            run.at(at, partial(_quietly, run.world.elsewhere, *place))
        else:
            name, after = rng.choice(("web-app", "mobile-app", "worker")), f"build-{rng.randrange(10**6)}"
            run.at(at, partial(_quietly, run.world.deployed, name, after))


def _release(run: Stage, around: Surroundings, kind: str, at: int, knobs: Mapping[str, float], staged: bool) -> None:
    async def release() -> None:
        effects = [Effect(knobs=knobs, since=at)] if knobs else []
        with suppress(TrimtabError):
            made = await run.world.release(kind, effects, staged=staged, actor="team", note="routine")
            if run.world.pinned[kind, made.change.after]:
                # It, or the version that it was made from, moves a signal: to prove that is no mistake.
                around.benign_pins.add((kind, made.change.after))
            for step, later in stages():
                if staged:
                    run.at(at + later, partial(made.advance, run.world.registry, step))

    run.at(at, release)


async def _quietly(step: Callable[..., Awaitable[object]], *args: str) -> None:
    with suppress(TrimtabError):
        await step(*args)
