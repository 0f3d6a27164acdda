"""One run: the world, the real watch, vendors' ledger, desk, attribution and replay, on a simulated clock."""

from __future__ import annotations

import importlib
import random
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from trimtab.config.shape import Scoring, Watching
from trimtab.core import Layer, NotFound, Score, Span
from trimtab.evals import Sampling
from trimtab.incidents import Desk, Incident, Replay
from trimtab.incidents import asking as asking_module
from trimtab.registry import Registry
from trimtab.store import Metadata, Spans, Trace
from trimtab.watch import Alarm, Monitor, Vendors, Watch, default_monitors

from .record import Pins
from .traffic import Traffic
from .world import OTHERS, OWN, ROUTE_CONTENT, Clock, Truth, World, provider_of, repinned

#: The module, where the ids of rollouts are drawn.
registry_module: Any = importlib.import_module("trimtab.registry.registry")
#: Requests between an alarm and the end of its work, as the desk would wait for more failures: 15 s.
PATIENCE = 150
_KEPT = 30_000


class Shelf:
    """The newest traces in memory: as much of a span store as the desk asks for."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, tuple[Sequence[Span], list[Score]]] = OrderedDict()

    def put(self, spans: Sequence[Span], scores: Sequence[Score]) -> None:
        """Keep a trace; the oldest goes when there are too many."""
        self._traces[spans[0].trace_id] = (spans, list(scores))
        if len(self._traces) > _KEPT:
            self._traces.popitem(last=False)

    async def trace(self, trace_id: str) -> Trace | None:
        found = self._traces.get(trace_id)
        return None if found is None else Trace(spans=tuple(found[0]), scores=tuple(found[1]))

    async def scores_of(self, trace_ids: Sequence[str]) -> dict[str, tuple[Score, ...]]:
        return {t: tuple(self._traces[t][1]) for t in trace_ids if t in self._traces}

    async def scores(self, *, since_ns: int, until_ns: int, name: str = "", limit: int = 1000) -> list[Score]:
        found: list[Score] = []
        for _, scores in reversed(self._traces.values()):
            fitting = [s for s in scores if s.time_ns >= since_ns and (not until_ns or s.time_ns < until_ns)]
            found += [s for s in fitting if not name or s.name == name]
            if len(found) >= limit or (scores and scores[0].time_ns < since_ns):
                break
        return found[:limit]

    async def flush(self) -> None:
        """Everything is here already."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What a healthy past leaves behind: references and known vendors' pins."""

    watch: Mapping[str, Any]
    vendors: Mapping[str, Any]


@dataclass
class Stage:
    """Serves requests, lets the watch see them and the desk answer its alarms. ``raised``: (request, alarm) pairs."""

    world: World
    watch: Watch
    vendors: Vendors
    desk: Desk
    shelf: Shelf
    replay_rng: random.Random
    answering: bool = True
    truths: list[Truth] = field(default_factory=list)
    raised: list[tuple[int, Alarm]] = field(default_factory=list)
    heard: int = 0
    replays: int = 0
    _due: list[tuple[int, Alarm]] = field(default_factory=list)
    _plans: list[tuple[int, int, Callable[[], Awaitable[object]]]] = field(default_factory=list)

    def at(self, number: int, step: Callable[[], Awaitable[object]]) -> None:
        """Do something right before the request of that number."""
        self._plans.append((number, len(self._plans), step))
        self._plans.sort(key=lambda plan: plan[:2])

    async def serve(self, requests: int) -> None:
        """So many requests."""
        for _ in range(requests):
            await self.one()

    async def one(self) -> None:
        """One request, and whatever is due after it."""
        while self._plans and self._plans[0][0] <= self.world.number + 1:
            await self._plans.pop(0)[2]()
        spans, scores, truth = self.world.serve()
        self.truths.append(truth)
        self.shelf.put(spans, scores)
        for seen in self.vendors.observe(spans):
            await self.world.registry.record_external(
                "models", seen.ref, before=seen.before, after=seen.after, note="another model answered at the vendor"
            )
        alarms = [*self.watch.measure(spans), *self.watch.observe(scores)]
        self.heard += len(scores)
        number = self.world.number
        for alarm in alarms:
            self.raised.append((number, alarm))
            wait = 0 if alarm.monitor.action == "note" else PATIENCE
            self._due.append((number + wait, alarm))
        if self.answering:
            while self._due and self._due[0][0] <= number:
                await self.desk.handle(self._due.pop(0)[1])
        elif alarms:
            self._due.clear()
            for alarm in alarms:
                with suppress(NotFound):
                    self.watch.rearm(alarm.signal)

    async def finish(self) -> list[Incident]:
        """Answer what is still due; returns the incidents, oldest first."""
        for _, alarm in self._due:
            await self.desk.handle(alarm)
        self._due.clear()
        return sorted(await self.desk.list(limit=200), key=lambda incident: incident.id)

    async def replay(self, root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        """Ask a recorded request again with pins put back, as the gateway does."""
        ask = self.world.asks.get(root.trace_id)
        if ask is None:
            return {}
        self.replays += 1
        stamp = root.stamp
        served = Pins(
            prompt=stamp.prompt, knowledge=stamp.knowledge, guard=stamp.guard or f"{OWN['guards']}/1",
            route=stamp.route, judge=self.world.pins(ask, root.trace_id).judge,
        )  # fmt: skip
        asked = repinned(served, pins)
        providers = self.world.providers(asked.route, ask)
        if vendor := provider_of(pins.get("models", "")):
            providers = (vendor, *(p for p in providers if p != vendor))
        turn, knobs, spans = self.world.turn(ask, root.trace_id, asked, providers, self.replay_rng, again=True)
        return self.world.values(turn, knobs, spans, self.replay_rng)


async def furnished(path: Path) -> None:
    """A metadata database with everything the application runs on, as old as two hours."""
    clock = Clock()
    metadata = Metadata.open(path)
    try:
        registry = await Registry.load(metadata, clock=clock)
        for kind, name in (*OWN.items(), *OTHERS):
            content = {**(ROUTE_CONTENT if kind == "routes" else {}), "revision": 1}
            await registry.register(kind, name, content, author="team")
            await registry.move_label(kind, name, "production", 1, actor="team")
    finally:
        metadata.close()


def scratch() -> Path:
    """A folder for databases that nobody keeps: in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="trimtab-faults-", dir=memory if memory.is_dir() else None))


@asynccontextmanager
async def stage(
    template: Path,
    seed: int,
    *,
    learnt: Learnt | None = None,
    without: frozenset[str] = frozenset(),
    judged: float = 0.0,
) -> AsyncIterator[Stage]:
    """A run of its own. ``without`` names signals that nobody watches; ``judged`` is the share that the judge sees, 0
    is the product's default."""
    folder = scratch()
    shutil.copy(template, folder / "metadata.db")
    metadata = Metadata.open(folder / "metadata.db")
    new_id = registry_module.new_id
    # Who gets a rollout's candidate is hashed from its id: the same seed is to be the same run.
    ids = random.Random(f"ids/{seed}")
    registry_module.new_id = lambda prefix: f"{prefix}_{ids.getrandbits(40):010x}"
    try:
        clock = Clock()
        clock.ns += 7200 * 10**9
        registry = await Registry.load(metadata, clock=clock)
        monitors = [_ours(m) for m in default_monitors(_owner) if m.signal not in without]
        watching, scoring = Watching(), Scoring()
        watch = Watch(monitors, reference=watching.reference, false_alarms_per=watching.false_alarms_per)
        vendors = Vendors()
        if learnt is not None:
            watch.restore(learnt.watch)
            vendors.restore(learnt.vendors)
        rng = random.Random(f"world/{seed}")
        sampling = Sampling(
            judged or scoring.sample, rng=random.Random(f"judge/{seed}").random, clock=clock,
            raised=judged or scoring.sample_raised, evidence=watch.suspicion,
        )  # fmt: skip
        world = World(
            registry=registry, clock=clock, rng=rng, traffic=Traffic(random.Random(f"traffic/{seed}")),
            sampling=sampling,
        )  # fmt: skip
        shelf = Shelf()
        made: list[Stage] = []

        async def replay(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
            return await made[0].replay(root, pins)

        desk = _impatient(metadata=metadata, registry=registry, shelf=shelf, watch=watch, replay=replay, clock=clock)
        made.append(
            Stage(
                world=world, watch=watch, vendors=vendors, desk=desk, shelf=shelf,
                replay_rng=random.Random(f"replay/{seed}"),
            )
        )  # fmt: skip
        yield made[0]
    finally:
        registry_module.new_id = new_id
        metadata.close()
        shutil.rmtree(folder, ignore_errors=True)


def _impatient(
    *, metadata: Metadata, registry: Registry, shelf: Shelf, watch: Watch, replay: Replay, clock: Clock
) -> Desk:
    """A desk that does not wait, in real seconds, for more requests to fail: it is told of an alarm that much later."""
    waits = asking_module.WAITS
    asking_module.WAITS = (0.0, 0.0, 0.0, 0.0)
    try:
        return Desk(
            metadata=metadata, registry=registry, store=cast(Spans, shelf), watch=watch, replay=replay, clock=clock
        )
    finally:
        asking_module.WAITS = waits


async def learn(template: Path, seed: int, requests: int, judged: float = 0.0) -> Learnt:
    """Serve healthy traffic and keep what it taught."""
    async with stage(template, seed, judged=judged) as run:
        run.answering = False
        await run.serve(requests)
        return Learnt(watch=run.watch.state(), vendors=run.vendors.state())


def _ours(monitor: Monitor) -> Monitor:
    """The application's owners have said that waiting longer than usual is harm; nobody says so by default."""
    return replace(monitor, action="page") if monitor.signal == "first_token" else monitor


def _owner(layer: Layer | None) -> str:
    return f"owner of {layer.title.lower()}" if layer else "owner of the application"
