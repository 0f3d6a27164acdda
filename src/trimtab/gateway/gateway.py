"""The gateway: everything a request needs, in memory, and the ways to ask it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing, suppress
from dataclasses import replace
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trimtab.core import (
    LAYER_OF_KIND,
    BadInput,
    Call,
    Chunk,
    ConfigError,
    Forbidden,
    Layer,
    Model,
    NotFound,
    Span,
    TrimtabError,
    Version,
    now_ns,
    parse_address,
)
from trimtab.guard.pins import ToolPins
from trimtab.knowledge import Corpora
from trimtab.providers import RESPONSES, Providers
from trimtab.registry import Registry
from trimtab.traces import Recorder

from . import app, replay
from .ask import Ask
from .attempts import Attempts, Candidate, absent
from .balance import order
from .cache import Embed
from .continued import Continued, able, previous_of, refuse_unjudged, refuse_unread
from .dialogue import Vectors
from .embedded import Embedded
from .handles import Handle, Handles
from .health import Health, RouteHealth
from .keys import Keys
from .limits import Limits
from .live import LiveTrace
from .prefix import Prompt
from .prepared import Prepared, Ways
from .pricing import prices_of
from .remembered import Caches, Remembered, wished
from .route import Route, Target, direct_route, read_route
from .serve import serve

if TYPE_CHECKING:
    from trimtab.guard.approvals import Approvals
    from trimtab.guard.dialogue.conversations import Conversations

    from .gates import Asking

T = TypeVar("T")

#: Contents of versions that were read and found right, at most so many.
_READ = 1024
#: The project of Trimtab's own requests, which nobody scores.
OWN_PROJECT = "trimtab"


class Gateway:
    """Put between applications and their models. ``route_defaults`` is what a route has where it says nothing."""

    def __init__(
        self,
        *,
        registry: Registry,
        keys: Keys,
        corpora: Corpora,
        providers: Providers,
        recorder: Recorder,
        route_defaults: Mapping[str, Any] | None = None,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self.registry = registry
        self.keys = keys
        self.corpora = corpora
        self.providers = providers
        self.recorder = recorder
        self.limits = Limits(clock=clock)
        self.approvals: Approvals | None = None  # the queue of tool calls that a person must decide
        self.conversations: Conversations | None = None  # what flows know of conversations that are sent in parts
        self.vectors = Vectors()
        self.embedded = Embedded()
        self.tool_pins = ToolPins()  # wiring puts those that last in its place
        self.handles = Handles(token_bytes(32))  # wiring: those that all processes read
        self.clock = clock
        self.started_ns = clock()
        self._route_defaults = dict(route_defaults or {})
        self._read: dict[object, Any] = {}
        self._health = Health()
        self.ways = Ways()

    def serve(self, ask: Ask, live: LiveTrace | None = None) -> AsyncGenerator[Chunk]:
        """The answer to ``ask``, piece by piece; a plain one is one piece. ``live`` tells trace id and stamp.

        Raises any TrimtabError. An iteration that is not read to its end must be closed.
        """
        return serve(self, ask, live or LiveTrace(self.clock))

    def app(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> Awaitable[None]:
        """The ASGI application: the surfaces that clients speak, and ``GET /v1/models``."""
        return app.app(self, scope, receive, send)

    async def replay(self, root: Span, pins: Mapping[str, str]) -> list[Span]:
        """Ask a recorded request again, with its own versions except ``pins``. Records nothing.

        Returns the spans that it would have recorded, root first; an error of the request is in them, not raised.
        There are none for one that went on from an earlier response: what was said before is not here.
        Raises BadInput when ``root`` is not the root of a gateway's trace.
        """
        return await replay.replay(self, root, pins)

    def as_model(self, ref: str) -> Model:
        """``provider/model`` or a route as a Model for Trimtab's own use: recorded as such, and not guarded."""

        async def model(call: Call) -> AsyncIterator[Chunk]:
            ask = Ask(
                model=ref,
                messages=call.messages,
                params=call.params,
                stream=call.stream,
                project=OWN_PROJECT,
                pins={"guards": ""},
                timeout=call.timeout,
                native=call.native,
            )
            async with aclosing(self.serve(ask)) as chunks:
                async for chunk in chunks:
                    yield chunk

        return model

    def find_route(self, live: LiveTrace) -> Route:
        """The route of a request: a registered one, or the direct one to ``provider/model``.

        Raises NotFound listing what there is, Forbidden when the key may not use it.
        """
        ask = live.ask
        if ask.key is not None and not ask.key.may_use(ask.model):
            allowed = ", ".join(ask.key.limits["routes"])
            raise Forbidden(f"This key may not use {ask.model!r}.", field="model", mend=f"It may use {allowed}.")
        pinned = ask.pins.get("routes")
        if pinned or "/" not in ask.model:
            version = self._route_version(ask.model, live)
            route = self.once(version, self._read_route)
            live.pinned(route=route.pin)
        else:
            self._direct(ask.model)
            route = self._read.get(ask.model) or self._remember(
                ask.model, direct_route(ask.model, self._route_defaults)
            )
        live.route = route.name
        if ref := ask.pins.get("models", "").partition("=")[0]:
            self._direct(ref)
            # Under a name of its own: what is known of the route's targets must not be mixed with it.
            own = f"{route.name} {ref}"
            return replace(route, name=own, targets=(Target(model=ref),), fallback=(), breaker=None, cache=None)
        return route

    def candidates(self, route: Route) -> tuple[Candidate, ...]:
        """The models of a route. One that is not there counts as one that fails."""
        return tuple([Candidate(ref, self._model(ref)) for ref in route.refs])

    def choose(self, ready: Prepared, call: Call, live: LiveTrace) -> Asking:
        """The models to ask, in order, behind one budget and the route's cache.

        Raises BadInput where a response is to go on from one that none of them can know.
        """
        now = asyncio.get_running_loop().time()
        route, candidates = ready.route, ready.candidates
        previous: Handle | None = None
        responses = call.native is not None and call.native.dialect == RESPONSES
        if responses:
            previous = previous_of(self, call, live)
            refuse_unread(ready, previous, live)
            refuse_unjudged(ready, call, previous, live)
            candidates = able(self, candidates, previous, live)
        state = self._health.of(route, now)
        if live.ask.background and route.hedge is not None:
            route = replace(route, hedge=None)  # the slower one would be made, and paid, all the same
        prompt = Prompt.of(call, route.prefix.block) if route.strategy == "prefix" else None
        if len(candidates) > 1:
            sights = state.sights(route, prompt, prices_of(route, call), now)
            session = sticky_key(route.sticky, live.ask, "") if route.sticky else ""
            models = dict(candidates)
            refs = order(route, live.draw, sights, session=session)
            candidates = tuple([Candidate(ref, models[ref]) for ref in refs if ref in models])
        attempts = Attempts(
            candidates,
            route=route,
            state=state,
            draw=live.draw,
            prompt=prompt,
            clock=self.clock,
        )
        live.attempts = attempts.log
        live.call_messages = call.messages
        asked: Attempts | Remembered = attempts
        if route.cache is not None and wished(live, route, call) and previous is None and not live.ask.background:
            semantic = route.cache.semantic
            embed = self._embedder(semantic.model) if semantic is not None else None
            asked = Remembered(attempts, Caches(*state.caches(route.cache, embed)), route, live, self.clock)
        return Continued(self, asked, attempts.log, live, previous) if responses else asked

    def forget_ways(self) -> None:
        """The providers are others now: look every model up again."""
        self.ways = Ways()

    def health(self) -> list[RouteHealth]:
        """Every route that was asked of late: its targets' state, load, speed and share, and what its caches saved."""
        return self._health.seen(asyncio.get_running_loop().time())

    async def ready(self, route: Route, ask: Ask) -> None:
        """See that what is named by number is in memory, so that ``pick`` does not have to look it up."""
        if not (ask.pins or ask.prompt or route.numbered):
            return
        for kind, address in (*ask.pins.items(), ("prompts", ask.prompt or route.prompt), ("guards", route.guard)):
            if "/" in address.removeprefix(f"{kind}:/"):
                with suppress(TrimtabError):  # what is not there is said where it is picked
                    await self.registry.ready(address, kind=kind.partition(":")[0])

    def pick(self, kind: str, address: str, live: LiveTrace, *, pinned: str = "") -> Version:
        """The version of an asset that serves this request; an arm of a running rollout is noted in the trace.

        ``pinned`` is the name of the pin that overrules the address, where it is not the kind's own.
        """
        ask = live.ask
        if pin := ask.pins.get(pinned or kind):
            return self.registry.resolve(pin, kind=kind).version
        if (version := self.registry.steady(kind, address)) is not None:
            return version
        where = parse_address(address, kind)
        if where.kind != kind:
            raise BadInput(f"{address!r} is of another kind.", field=kind, mend=f"Write {kind}:/name@label.")
        rollout = self.registry.running(kind, where.name)
        key = sticky_key(rollout.sticky, ask, live.trace_id) if rollout else ""
        resolved = self.registry.resolve(where, key=key)
        if resolved.rollout:
            live.arms = {**live.arms, resolved.rollout: resolved.arm}
        return resolved.version

    def pick_named(self, kind: str, address: str, live: LiveTrace, by: str) -> Version:
        """Like ``pick``, for an address that ``by`` names: if it leads nowhere, that is not the caller's fault."""
        try:
            return self.pick(kind, address, live)
        except NotFound as error:
            if kind in live.ask.pins:
                raise
            broken = ConfigError(f"{by} names {address}: {error.message}", mend=error.mend)
            broken.layer = LAYER_OF_KIND[kind]
            raise broken from error

    def once(self, version: Version, read: Callable[[Version], T]) -> T:
        """``read(version)``, remembered: versions never change."""
        key = (version.kind, version.name, version.number)
        found = self._read.get(key)
        if found is None:
            found = self._remember(key, read(version))
        return cast("T", found)

    def model_names(self) -> list[tuple[str, str]]:
        """Every name that may be asked for as (name, owner): routes, then the models that are known by name."""
        routes = [name for name in self.registry.names("routes") if self.registry.labels("routes", name)]
        refs: set[str] = set(self.providers.refs())
        for name in routes:
            content = self.registry.resolve(name, kind="routes").version.content
            refs.update(target["model"] for target in content.get("targets", ()))
            refs.update(content.get("fallback", ()))
        return [(name, "route") for name in routes] + [(ref, ref.partition("/")[0]) for ref in sorted(refs)]

    def owner_of(self, name: str) -> str:
        """Who answers under a name: ``route``, a provider, or nobody (empty). A vendor's models are not all known."""
        if "/" in name:
            try:
                self.providers.model(name)
            except (NotFound, BadInput):
                return ""
            return name.partition("/")[0]
        return "route" if self.registry.labels("routes", name) else ""

    def _remember(self, key: object, value: T) -> T:
        if len(self._read) >= _READ:
            self._read.clear()
        self._read[key] = value
        return value

    def _route_version(self, name: str, live: LiveTrace) -> Version:
        try:
            return self.pick("routes", name, live)
        except (NotFound, BadInput):
            if live.ask.pins.get("routes"):
                raise
            raise self._unknown(name) from None

    def _read_route(self, version: Version) -> Route:
        try:
            return read_route(version.name, version.pin, version.content, self._route_defaults)
        except BadInput as error:
            mend = "Roll it back or register a right one."
            broken = ConfigError(f"{version.address} cannot be used: {error}", mend=mend)
            broken.layer = Layer.OPERATIONS
            raise broken from error

    def _direct(self, ref: str) -> Model:
        try:
            return self.providers.model(ref)
        except (NotFound, BadInput):
            raise self._unknown(ref) from None

    def _model(self, ref: str) -> Model:
        try:
            return self.providers.model(ref)
        except (NotFound, BadInput) as error:
            return absent(error)

    def _embedder(self, ref: str) -> Embed | None:
        """What makes vectors of questions; nothing, and so no hits by meaning, where its provider is not there."""
        try:
            return self.providers.embedder(ref)
        except (NotFound, BadInput):
            return None

    def _unknown(self, name: str) -> NotFound:
        names = [known for known, _ in self.model_names()]
        there = ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
        error = NotFound(
            f"There is no route or model {name[:100]!r}.", field="model", mend=f"There is {there or 'none'}."
        )
        error.code = "model_not_found"
        return error


def sticky_key(sticky: str, ask: Ask, trace_id: str) -> str:
    """What keeps a caller on one arm of a rollout: session or user as the rollout asks, else the request itself."""
    user = ask.tags.get("user", "")
    if sticky == "request":
        return trace_id
    if sticky == "user":
        return user or ask.session or trace_id
    return ask.session or user or trace_id
