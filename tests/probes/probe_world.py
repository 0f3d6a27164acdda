"""A house of real rooms with a clock of its own, and a vendor whose model may be swapped, fail, or tell its doubts."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab.core import Call, Chunk, Layer, Model, ModelError, Usage
from trimtab.gateway import Gateway, Keys
from trimtab.guard import DEFAULT_POLICY
from trimtab.incidents import Desk
from trimtab.knowledge import Corpora, Document
from trimtab.probes import Declaration, Door, Probes, Run, checked
from trimtab.providers import HttpClient, Providers, Scripted
from trimtab.registry import Registry
from trimtab.store import Blobs, Metadata, SpanStore
from trimtab.traces import Recorder
from trimtab.watch import Watch, default_monitors
from trimtab.wiring.probing import tell_desk

HOUR_NS = 3600 * 10**9
OWNERS = {layer: f"owner-{layer.name.lower()}" for layer in Layer}
#: A model with a list price, so that what it costs is known.
REF = "openai/gpt-4o-mini"


@dataclass
class Clock:
    """Simulated nanoseconds: noon of a day, so that an hour on is the same day."""

    ns: int = 1_795_003_200 * 10**9

    def __call__(self) -> int:
        return self.ns

    def forward(self, hours: float = 1.0) -> None:
        self.ns += int(hours * HOUR_NS)


@dataclass
class Vendor:
    """Answers one token, by a model's own mind about each input: one input in ``border`` is a tie between two tokens.

    ``wobble`` is the noise of serving: the share of answers that any input gives another token than usual.
    """

    name: str = "mini-1"
    fingerprint: str = "fp_1"
    border: int = 4
    wobble: float = 0.0
    logprobs: bool = False
    shift: float = 0.0
    down: bool = False
    usage: Usage | None = field(default_factory=lambda: Usage(input_tokens=9, output_tokens=1))
    rng: random.Random = field(default_factory=lambda: random.Random(3))
    asked: list[Call] = field(default_factory=list)

    def swap(self, name: str = "other-2") -> None:
        self.name, self.fingerprint = name, f"fp_{name}"

    def door(self, ref: str, probe: str) -> Model:
        return self.model

    async def model(self, call: Call) -> AsyncIterator[Chunk]:
        self.asked.append(call)
        if self.down:
            raise ModelError("the vendor is overloaded.", vendor_status=503)
        if not self.logprobs and call.params.get("logprobs"):
            raise ModelError("logprobs is not supported.", vendor_status=400, retryable=False)
        asked = str(call.messages[-1]["content"])
        digest = hashlib.sha256(f"{self.name}|{asked}".encode()).digest()
        first, second = f"t{digest[0] % 40}", f"u{digest[1] % 40}"
        tie = digest[2] % self.border == 0 if self.border else False
        drawn = self.rng.random()
        text = second if tie and drawn < 0.5 else "stray" if drawn > 1.0 - self.wobble else first
        if call.params.get("max_tokens", 1) > 1:
            text = f"The answer of {self.name} is {first}."
        body: dict[str, Any] = {"choices": [{"message": {"content": text}}]}
        if self.logprobs:
            body["choices"][0]["logprobs"] = {"content": [{"top_logprobs": self._tops(digest)}]}
        yield Chunk(
            text=text, finish="stop", usage=self.usage, model=self.name, fingerprint=self.fingerprint, body=body
        )

    def _tops(self, digest: bytes) -> list[dict[str, Any]]:
        shares = [0.6, 0.2, 0.1, 0.05]
        return [
            {"token": f"k{digest[at] % 9}{at}", "logprob": math.log(s) + self.shift * at + self.rng.gauss(0, 0.01)}
            for at, s in enumerate(shares)
        ]


@dataclass
class World:
    """Real rooms. ``probes`` are what the test declares."""

    metadata: Metadata
    spans: SpanStore
    registry: Registry
    corpora: Corpora
    gateway: Gateway
    scripted: Scripted
    watch: Watch
    desk: Desk
    clock: Clock
    vendor: Vendor

    def probes(self, *declared: Declaration, door: Door | None = None, told: bool = True) -> Probes:
        made = Probes(
            [checked(one, OWNERS) for one in declared], metadata=self.metadata, registry=self.registry,
            corpora=self.corpora, door=door or self.vendor.door, tell=tell_desk(self.desk) if told else None,
            clock=self.clock, spans=self.spans,
        )  # fmt: skip
        made.rng = random.Random(5)
        return made

    async def run(self, probes: Probes, name: str) -> Run:
        """One run by hand, an hour after the last one."""
        self.clock.forward()
        await probes.run(name, "mara")
        await probes.settle()
        return (await probes.recent(name, 1))[0]

    async def publish(self, kind: str, name: str, content: Mapping[str, Any]) -> str:
        version = await self.registry.register(kind, name, content, author="test")
        await self.registry.move_label(kind, name, "production", version.number, actor="test")
        return version.pin

    async def corpus(self, documents: Mapping[str, str]) -> None:
        made = [
            Document(id=i, title=i, source=f"{i}.md", text=t, updated_ns=self.clock.ns) for i, t in documents.items()
        ]
        version = await self.corpora.build("help", made, author="test")
        await self.registry.move_label("corpora", "help", "production", version.number, actor="test")


async def build(folder: Path, clock: Clock) -> tuple[World, Callable[[], None]]:
    """Build the rooms; returns them and what closes them."""
    metadata, spans = Metadata.open(folder / "metadata.db"), SpanStore.open(folder / "spans")
    registry = await Registry.load(metadata)
    scripted = Scripted(sleep=_no_wait)
    corpora = Corpora(registry, Blobs(metadata))
    gateway = Gateway(
        registry=registry, keys=await Keys.load(metadata), corpora=corpora,
        providers=Providers({}, http=HttpClient(), scripted=scripted), recorder=Recorder(spans),
    )  # fmt: skip
    watch = Watch(default_monitors(lambda layer: "on-call"))
    desk = Desk(metadata=metadata, registry=registry, store=spans, watch=watch, replay=None, clock=clock)
    world = World(
        metadata=metadata, spans=spans, registry=registry, corpora=corpora, gateway=gateway, scripted=scripted,
        watch=watch, desk=desk, clock=clock, vendor=Vendor(),
    )  # fmt: skip
    await world.publish("guards", "default", DEFAULT_POLICY)

    def close() -> None:
        spans.close()
        metadata.close()

    return world, close


async def _no_wait(_: float) -> None:
    return None
