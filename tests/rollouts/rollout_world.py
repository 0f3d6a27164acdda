"""A small application whose truth is known: a real store and registry, a controller that is turned by hand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab.core import Score, Span, Stamp
from trimtab.registry import Registry
from trimtab.rollouts import Controller, Guard, Plan
from trimtab.store import Metadata, SpanStore

REQUEST_NS = 100_000_000
SECOND = 1_000_000_000


@dataclass
class Clock:
    """Simulated nanoseconds."""

    ns: int = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.ns

    def on(self, seconds: float) -> None:
        self.ns += int(seconds * SECOND)


@dataclass
class World:
    """Requests one after another, 100 ms apart; each answer's values obey the pins that served it."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    #: How often an answer passes, by pin; the worst pin counts.
    truth: dict[str, float] = field(default_factory=dict)
    usual: float = 0.92
    metrics: tuple[str, ...] = ("quality",)
    took_s: dict[str, float] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    asked: int = 0
    replays: int = 0
    draw: random.Random = field(default_factory=lambda: random.Random(8))

    async def open(self) -> None:
        self.metadata = Metadata.open(self.folder / "metadata.db")
        self.store = SpanStore.open(self.folder / "spans", clock=self.clock)
        self.registry = await Registry.load(self.metadata, clock=self.clock)

    def close(self) -> None:
        self.store.close()
        self.metadata.close()

    async def new(self, kind: str = "prompts", name: str = "answer") -> None:
        """Versions 1 and 2 of an asset, the first live."""
        for number in (1, 2):
            await self.registry.register(kind, name, {"text": number}, author="mara")
        await self.registry.move_label(kind, name, "production", 1, actor="mara")

    async def controller(self, **options: Any) -> Controller:
        """A controller that has taken up what runs."""
        made = Controller(
            metadata=self.metadata, registry=self.registry, store=self.store, clock=self.clock, again=self.again,
            **options,
        )  # fmt: skip
        await made.load()
        return made

    async def again(self, root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        """The second answer of a shadow."""
        self.replays += 1
        return {name: self.value(pins) for name in self.metrics}

    def value(self, pins: Mapping[str, str]) -> float:
        rate = min((self.truth[pin] for pin in pins.values() if pin in self.truth), default=self.usual)
        return float(self.draw.random() < rate)

    async def serve(self, requests: int, controller: Controller | None = None, *, every: int = 10) -> None:
        """Serve requests; the controller is turned after every few of them."""
        for i in range(requests):
            self.one()
            if controller is not None and i % every == every - 1:
                await self.turn(controller)
        if controller is not None:
            await self.turn(controller)

    async def turn(self, controller: Controller) -> None:
        await self.store.flush()
        while await controller.turn():
            pass

    def one(self, *, topic: str = "billing", arms: bool = True, trace_id: str = "") -> str:
        """One request with its scores."""
        self.asked += 1
        self.clock.ns += REQUEST_NS
        trace_id, session = trace_id or f"{self.asked:032x}", f"session-{self.asked}"
        drawn = {
            kind: self.registry.resolve(f"{kind}:/{name}@production", key=session)
            for kind in ("prompts", "guards")
            for name in self.registry.names(kind)
        }
        pins = {kind: resolved.version.pin for kind, resolved in drawn.items()}
        stamp = Stamp(prompt=pins.get("prompts", ""), guard=pins.get("guards", ""), route="support/1", model="a/b=c@d")
        took = max((self.took_s[pin] for pin in pins.values() if pin in self.took_s), default=0.5)
        cost = max((self.cost[pin] for pin in pins.values() if pin in self.cost), default=0.001)
        end = self.clock.ns + int(took * (0.8 + 0.4 * self.draw.random()) * SECOND)
        root = Span(
            trace_id=trace_id, span_id=trace_id[16:], name="support", kind="chain", start_ns=self.clock.ns,
            end_ns=end, stamp=stamp, session=session, tags={"topic": topic}, cost_usd=cost,
            attributes={"gateway": True, "arms": {r.rollout: r.arm for r in drawn.values() if r.rollout and arms}},
        )  # fmt: skip
        scores = [
            Score(
                id=f"{trace_id}:{name}", trace_id=trace_id, name=name, value=self.value(pins), by=f"check:{name}",
                time_ns=end, slice=topic, stamp=stamp,
            )
            for name in self.metrics
        ]  # fmt: skip
        assert self.store.offer([root], scores)
        return trace_id


def plan(**changed: Any) -> Plan:
    """One guard, no waiting."""
    given: dict[str, Any] = {
        "guards": (Guard(metric="quality", margin=0.05),), "stages": (0.1, 0.5, 1.0), "least_s": 10.0,
        "least_answers": 20, "hold_s": 30.0, **changed,
    }  # fmt: skip
    return Plan(**given)
