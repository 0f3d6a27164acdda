"""A small application whose truth is known: real store, registry, watch and desk; requests whose answers obey pins."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trimtab.core import Layer, Score, Span, Stamp
from trimtab.incidents import Desk, Incident, Replay
from trimtab.registry import Registry
from trimtab.store import Metadata, SpanStore
from trimtab.watch import Watch, default_monitors

REQUEST_NS = 100_000_000
PROMPTS = ("cite your sources", "be brief", "be very brief")
ROUTE = {
    "targets": [{"model": "scripted/steady", "weight": 1}],
    "fallback": ["scripted/reserve"],
    "strategy": "ordered",
}


@dataclass
class Clock:
    """Simulated nanoseconds."""

    ns: int = 1_800_000_000 * 10**9

    def __call__(self) -> int:
        return self.ns


@dataclass(frozen=True)
class Truth:
    """How often an answer passes: by default, and with certain pins (the worst of those that served it counts)."""

    usual: float = 0.97
    bad: Mapping[str, float] = field(default_factory=dict)

    def passes(self, pins: Mapping[str, str], draw: float) -> float:
        return float(draw < min((self.bad[pin] for pin in pins.values() if pin in self.bad), default=self.usual))


class World:
    """Serves requests one after another, 100 ms apart, scores them and lets the watch see the scores."""

    def __init__(self, metadata: Metadata, store: SpanStore, registry: Registry, clock: Clock) -> None:
        self.metadata, self.store, self.registry, self.clock = metadata, store, registry, clock
        self.truth = Truth()
        self.model = "scripted/steady=simulated-steady-1@sim_a1"
        self.signals: tuple[str, ...] = ("cites",)
        self.asked = 0
        self.cost_usd: float | None = None
        self.replays: list[Mapping[str, str]] = []
        self.watch = self.new_watch("rollback")
        self.draw = random.Random(11)

    def new_watch(self, action: str) -> Watch:
        monitors = default_monitors(lambda layer: f"owner-{layer.name.lower() if isinstance(layer, Layer) else 'app'}")
        return Watch([replace(monitor, action=action) for monitor in monitors], reference=60)

    def desk(self, replay: Replay | None = None) -> Desk:
        return Desk(
            metadata=self.metadata,
            registry=self.registry,
            store=self.store,
            watch=self.watch,
            replay=replay,
            clock=self.clock,
        )

    async def replay(self, root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        """Ask again: the answer obeys the pins, as the traffic does."""
        self.replays.append(pins)
        served = {"models": self.model, **pins}
        return {signal: self.truth.passes(served, self.draw.random()) for signal in self.signals}

    def stamp(self, key: str) -> Stamp:
        pins = {
            kind: self.registry.resolve(f"{kind}:/{name}@production", key=key).version.pin
            for kind, name in (("prompts", "support-answer"), ("routes", "support"))
        }
        route = self.registry.resolve("routes:/support@production", key=key).version
        target = route.content["targets"][0]["model"]
        model = self.model if target == "scripted/steady" else f"{target}=simulated-reserve-1@sim_r1"
        return Stamp(model=model, prompt=pins["prompts"], route=pins["routes"])

    async def serve(self, desk: Desk, requests: int, *, until_alarm: bool = False) -> list[Incident]:
        """Serve, score, watch, and let the desk answer each alarm."""
        found: list[Incident] = []
        for _ in range(requests):
            self.asked += 1
            self.clock.ns += REQUEST_NS
            trace_id, stamp = f"{self.asked:032x}", self.stamp(f"session-{self.asked}")
            pins = {"prompts": stamp.prompt, "models": stamp.model, "routes": stamp.route}
            value = self.truth.passes(pins, self.draw.random())
            root = Span(
                trace_id=trace_id, span_id=f"{self.asked:016x}", name="support", kind="chain",
                start_ns=self.clock.ns, end_ns=self.clock.ns + 1, stamp=stamp, tags={"topic": "billing"},
                input=f"What is refund {self.asked}?", output="It is paid.", attributes={"gateway": True},
                cost_usd=self.cost_usd,
            )  # fmt: skip
            scores = [
                Score(
                    id=f"{trace_id}:{signal}",
                    trace_id=trace_id,
                    name=signal,
                    value=value,
                    by=f"check:{signal}",
                    time_ns=self.clock.ns,
                    slice="billing",
                    stamp=stamp,
                )
                for signal in self.signals
            ]
            assert self.store.offer([root], scores)
            for alarm in self.watch.observe(scores):
                await self.store.flush()
                found.append(await desk.handle(alarm))
            if found and until_alarm:
                break
        return found

    async def new_prompt(self, text: str) -> int:
        version = await self.registry.register("prompts", "support-answer", {"text": text}, author="mara")
        return version.number

    async def swap_model(self, *, seen: bool = True) -> None:
        """What a vendor does; when it is seen, the chores write it down."""
        before, self.model = self.model, "scripted/steady=simulated-steady-2@sim_b7"
        self.truth = Truth(bad={self.model: 0.2})
        if seen:
            await self.registry.record_external(
                "models", "scripted/steady", before=before, after=self.model, note="another model answered"
            )
