"""The application in its surroundings: registry, traffic, clock, what is broken; and the record of what truly happened.

Everything that Trimtab would see is built in the gateway's shape; what only the benchmark knows stays here.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from trimtab.core import BadInput, Change, NotFound, Score, Span, TrimtabError
from trimtab.evals import Output, Sampling
from trimtab.evals.sampling import drawn_label
from trimtab.registry import Event, Registry
from trimtab.watch import MEASURES, Traffic

from .app import Knobs, Turn, answer
from .corpus import unit_draw
from .effects import HEALTHY, Effect, knobs_under
from .record import (
    CORPUS,
    GUARD,
    JUDGE,
    PROMPT,
    REPORTED,
    ROUTE,
    VOTES,
    Pins,
    agreement_of,
    attempts,
    checks_of,
    misjudged,
    score,
    spans_of,
    verdict_of,
)
from .traffic import Ask
from .traffic import Traffic as Users

#: The assets that serve the application, by kind, and others that only change nearby.
OWN = {"prompts": PROMPT, "corpora": CORPUS, "guards": GUARD, "routes": ROUTE, "judges": JUDGE}
OTHERS = (
    ("prompts", "newsletter"), ("corpora", "intranet"), ("guards", "forum"), ("routes", "batch"), ("judges", "tone"),
    ("datasets", "golden-items"),
)  # fmt: skip
ROUTE_CONTENT = {
    "targets": [{"model": "alpha/large", "weight": 7}, {"model": "beta/large", "weight": 3}],
    "fallback": ["beta/large"], "strategy": "weighted",
}  # fmt: skip
_PROVIDER = {ref: provider for provider, (ref, _, _) in REPORTED.items()}
#: Simulated nanoseconds between requests: ten a second.
BETWEEN_NS = 100_000_000
#: Requests that the loop reads at once.
BATCH = 20
_STEPS = ((0, 0.1), (400, 0.5), (800, 1.0))


@dataclass
class Clock:
    """Simulated nanoseconds."""

    ns: int = 1_800_000_000 * 10**9

    def __call__(self) -> int:
        return self.ns


@dataclass(slots=True)
class Truth:
    """What one request really was: 1 is good for every harm, but for cost and wait, which are amounts."""

    good: float
    leak: float
    trace: float
    verdict: float
    price: float
    cost: float
    wait: float


@dataclass(slots=True)
class Hidden:
    """A version in force that the ledger does not know (yet)."""

    pin: str
    since: int


@dataclass(slots=True)
class Swap:
    """What a vendor reports to those whom an effect reaches."""

    effect: Effect
    provider: str
    reports: tuple[str, str]


@dataclass
class World:
    """Serves requests one after another. ``effects`` are in force for everybody, ``pinned`` with a version."""

    registry: Registry
    clock: Clock
    rng: random.Random
    traffic: Users
    sampling: Sampling
    effects: list[Effect] = field(default_factory=list)
    pinned: dict[tuple[str, str], list[Effect]] = field(default_factory=dict)
    hidden: dict[str, Hidden] = field(default_factory=dict)
    swaps: list[Swap] = field(default_factory=list)
    asks: dict[str, Ask] = field(default_factory=dict)
    between_ns: int = BETWEEN_NS
    number: int = 0
    _share: float = 0.0
    _routes: dict[str, tuple[list[str], list[float], list[str]]] = field(default_factory=dict)

    def serve(self) -> tuple[list[Span], list[Score], Truth]:
        """The next request: its trace, its scores, and the truth about it."""
        self.clock.ns += self.between_ns
        ask = self.traffic.next(self.attacks_with(*(e for e in self.effects if e.since <= self.number + 1)))
        self.number = ask.number
        trace_id = f"{self.rng.getrandbits(64):016x}{ask.number:016x}"
        pins = self.pins(ask, trace_id)
        turn, knobs, spans = self.turn(ask, trace_id, pins, self.providers(pins.route, ask), self.rng)
        self.asks[trace_id] = ask
        if len(self.asks) > 30_000:
            del self.asks[next(iter(self.asks))]
        if not turn.good:
            self.traffic.unhappy(ask)
        return spans, self._scores(turn, knobs, spans, pins), _truth(turn, knobs)

    def pins(self, ask: Ask, trace_id: str) -> Pins:
        """The versions in force for a request."""
        return Pins(
            prompt=self._pin("prompts", ask, ask.session),
            knowledge=self._pin("corpora", ask, ask.session),
            guard=self._pin("guards", ask, ask.session),
            route=self._pin("routes", ask, ask.session),
            judge=self._pin("judges", ask, trace_id),
        )

    def _pin(self, kind: str, ask: Ask, key: str) -> str:
        hidden = self.hidden.get(kind)
        if hidden is not None and ask.number >= hidden.since:
            return hidden.pin
        address = f"{kind}:/{OWN[kind]}@production"
        version = self.registry.steady(kind, address) or self.registry.resolve(address, key=key).version
        return version.pin

    def providers(self, route_pin: str, ask: Ask) -> tuple[str, ...]:
        """The vendors that the route asks, in order: one target by its weight, then the fallbacks."""
        known = self._routes.get(route_pin)
        if known is None:
            known = self._routes[route_pin] = self._read_route(route_pin)
        refs, weights, fallback = known
        at = unit_draw("route", ask.session) * sum(weights)
        first = refs[-1]
        for ref, weight in zip(refs, weights, strict=True):
            at -= weight
            if at < 0.0:
                first = ref
                break
        order = dict.fromkeys((first, *fallback, *refs))
        return tuple(_PROVIDER[ref] for ref in order if ref in _PROVIDER)

    def _read_route(self, pin: str) -> tuple[list[str], list[float], list[str]]:
        name, _, number = pin.rpartition("/")
        try:
            content = self.registry.version("routes", name, int(number)).content
        except NotFound:
            content = ROUTE_CONTENT
        targets = content["targets"]
        return [t["model"] for t in targets], [float(t["weight"]) for t in targets], list(content["fallback"])

    def turn(
        self,
        ask: Ask,
        trace_id: str,
        pins: Pins,
        providers: tuple[str, ...],
        rng: random.Random,
        *,
        again: bool = False,
    ) -> tuple[Turn, Knobs, list[Span]]:
        """Serve one request under given versions; one that is asked ``again`` passes no limit."""
        found = self.active(ask, pins, providers[0])
        knobs = knobs_under(found)
        if again and knobs["limited"]:
            knobs = {**knobs, "limited": 0.0}
        turn = answer(ask, knobs, providers, self.clock.ns, rng)
        swapped = {
            swap.provider: swap.reports
            for swap in self.swaps
            if swap.effect.strength(self.number, ask.session, ask.slices, swap.provider)
        }
        spans = spans_of(turn, trace_id, pins, swapped, self.clock.ns - int(turn.total_s * 1e9))
        return turn, knobs, spans

    def active(self, ask: Ask, pins: Pins, provider: str) -> list[tuple[Effect, float]]:
        """The effects that reach a request, with their strength."""
        known = self.effects
        if self.pinned:
            for key in (
                ("prompts", pins.prompt), ("corpora", pins.knowledge), ("guards", pins.guard), ("routes", pins.route),
                ("judges", pins.judge),
            ):  # fmt: skip
                if key in self.pinned:
                    known = known + self.pinned[key]
        if not known:
            return []
        slices = ask.slices
        found = [(e, e.strength(self.number, ask.session, slices, provider)) for e in known]
        return [(effect, strength) for effect, strength in found if strength > 0.0]

    def attacks_with(self, *effects: Effect) -> float:
        """The share of attacks among the requests to come, under these effects."""
        share = HEALTHY["attack"]
        for effect in effects:
            if "attack" in effect.knobs:
                share += effect.knobs["attack"] * effect.strength(max(self.number + 1, effect.since), "", (), "")
        return share

    def truth(self, ask: Ask, pins: Pins, providers: tuple[str, ...], rng: random.Random) -> Truth:
        """What a request would really be."""
        knobs = knobs_under(self.active(ask, pins, providers[0]))
        return _truth(answer(ask, knobs, providers, self.clock.ns, rng), knobs)

    def _scores(self, turn: Turn, knobs: Knobs, spans: Sequence[Span], pins: Pins) -> list[Score]:
        root, rng = spans[0], self.rng
        output = Output.from_trace(spans)
        if output is None:  # over a limit: nobody's answer
            return []
        scores = [score(root, name, value, by=f"check:{name}") for name, value in checks_of(output).items()]
        if turn.guarded and turn.status != "error":
            scores.append(score(root, "allowed", float(turn.allowed), by=f"guard:{GUARD}", by_version=pins.guard))
        if turn.ask.number % BATCH == 0 or not self._share:
            # The loop asks once a batch, and so does this.
            self._share = self.sampling.probability()
        probability = self._share
        if output.answered and (turn.drawable or turn.good) and self.sampling.draw(probability):
            by, version = f"judge:{JUDGE}", pins.judge
            verdict = score(root, "quality", verdict_of(turn, knobs, rng), by=by, by_version=version)
            scores.append(replace(verdict, label=drawn_label(probability)) if probability < 1.0 else verdict)
            if rng.random() < 0.5:
                value = agreement_of(knobs, rng)
                scores.append(score(root, "judge_agreement", value, by=by, by_version=version))
        if rng.random() < VOTES and not turn.ask.attack:
            liked = float(turn.good if rng.random() < 0.93 else not turn.good)
            scores.append(score(root, "thumb", liked, by="user"))
        return scores

    def values(self, turn: Turn, knobs: Knobs, spans: Sequence[Span], rng: random.Random) -> Mapping[str, float]:
        """What a replay of a request measures, as ``trimtab.wiring.replaying`` does."""
        output = Output.from_trace(spans)
        assert output is not None
        values = checks_of(output)
        values["allowed"] = 0.0 if output.status == "refused" else 1.0
        # A replay calls no tool, so what comes after one is not there.
        calls, asked = attempts(turn), [span for span in spans if span.kind == "llm"]
        seen = Traffic(spans[0], [s for s in spans if s.kind not in ("llm", "tool")] + asked[:calls])
        for name, measure in MEASURES.items():
            if (value := measure.of(seen)) is not None:
                values[name] = value
        if output.answered:
            values["quality"] = verdict_of(turn, knobs, rng)
            values["judge_agreement"] = agreement_of(knobs, rng)
        return values

    # Changes.

    def next_pin(self, kind: str) -> str:
        """The pin that the next version of an own asset will have."""
        return f"{OWN[kind]}/{self.registry.count(kind, OWN[kind]) + 1}"

    async def release(self, kind: str, effects: Sequence[Effect], *, staged: bool, actor: str, note: str) -> Release:
        """A new version of an own asset, for everybody at once or in stages. It inherits what its parent does."""
        name = OWN[kind]
        number = self.registry.count(kind, name) + 1
        content = {**(ROUTE_CONTENT if kind == "routes" else {}), "revision": number}
        parent = f"{name}/{self.registry.labels(kind, name)['production']}"
        version = await self.registry.register(kind, name, content, author=actor, note=note)
        self.pinned[kind, version.pin] = [*self.pinned.get((kind, parent), ()), *effects]
        if not staged:
            change = await self.registry.move_label(kind, name, "production", version.number, actor=actor, note=note)
        else:
            sticky = "request" if kind == "judges" else "session"
            change = await self.registry.start_rollout(
                kind, name, version.number, share=_STEPS[0][1], sticky=sticky, actor=actor, note=note
            )
        return Release(change=change, staged=staged)

    async def elsewhere(self, kind: str, name: str) -> None:
        """A change of an asset that does not serve the application."""
        number = self.registry.count(kind, name) + 1
        version = await self.registry.register(kind, name, {"revision": number}, author="team")
        await self.registry.move_label(kind, name, "production", version.number, actor="team")

    async def deployed(self, name: str, after: str) -> Change:
        """A deployment that is only written down."""
        event = Event(kind="application", name=name, before=f"{after}-before", after=after, share=1.0)
        return await self.registry.record_event(event, actor="deployer", note="a deployment")


@dataclass(slots=True)
class Release:
    """A change that went out; a staged one grows by ``advance``."""

    change: Change
    staged: bool

    async def advance(self, registry: Registry, step: int) -> None:
        """The next stage; nothing where the rollout has been ended by somebody."""
        if not self.staged:
            return
        with suppress(TrimtabError):
            share = _STEPS[step][1]
            if share < 1.0:
                await registry.set_share(self.change.rollout, share, actor="pipeline")
            else:
                await registry.promote(self.change.rollout, actor="pipeline")


def stages() -> tuple[tuple[int, int], ...]:
    """(step, requests after the start) of a staged release's later steps."""
    return tuple((step, after) for step, (after, _) in enumerate(_STEPS) if step)


def repinned(pins: Pins, put_back: Mapping[str, str]) -> Pins:
    """The pins of a replay. Raises BadInput for a judge that is no version."""
    judge = put_back.get("judges", pins.judge)
    if "/" not in judge:
        raise BadInput(f"{judge!r} is no version", field="judges", mend="Write name/number.")
    return replace(
        pins,
        prompt=put_back.get("prompts", pins.prompt),
        knowledge=put_back.get("corpora", pins.knowledge),
        guard=put_back.get("guards", pins.guard),
        route=put_back.get("routes", pins.route),
        judge=judge,
    )


def provider_of(ref: str) -> str:
    """The vendor behind a model as asked, "" for one that is not here."""
    return _PROVIDER.get(ref.partition("=")[0], "")


def _truth(turn: Turn, knobs: Knobs) -> Truth:
    wrongly = misjudged(turn, knobs) if turn.drawable or turn.good else 1.0
    # A bad answer that passes is what a judge is there to prevent: it weighs five times a good one that fails.
    wrongly *= 1.0 if turn.good else 5.0
    return Truth(
        good=float(turn.good), leak=float(not turn.leaked), trace=float(not turn.lost), verdict=1.0 - wrongly,
        price=float(turn.cost is not None), cost=turn.cost or 0.0, wait=turn.first_s,
    )  # fmt: skip
