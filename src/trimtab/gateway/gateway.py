"""The gateway: everything a request needs, in memory, and the ways to ask it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar, cast

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
    Version,
    now_ns,
    parse_address,
)
from trimtab.knowledge import Corpora
from trimtab.providers import Providers
from trimtab.registry import Registry
from trimtab.traces import Recorder

from . import app, replay
from .ask import Ask
from .attempts import Attempts, Candidate, absent
from .keys import Keys
from .limits import Limits
from .live import LiveTrace
from .route import Route, Target, direct_route, order, read_route
from .serve import serve

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
        self.limits = Limits()
        self.clock = clock
        self.started_ns = clock()
        self._route_defaults = dict(route_defaults or {})
        self._read: dict[str, Any] = {}

    def serve(self, ask: Ask, live: LiveTrace | None = None) -> AsyncGenerator[Chunk]:
        """The answer to ``ask``, piece by piece; a plain one is one piece. ``live`` tells trace id and stamp.

        Raises any TrimtabError. An iteration that is not read to its end must be closed.
        """
        return serve(self, ask, live or LiveTrace(self.clock))

    async def app(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """The ASGI application: ``POST /v1/chat/completions``, ``GET /v1/models``."""
        await app.app(self, scope, receive, send)

    async def replay(self, root: Span, pins: Mapping[str, str]) -> list[Span]:
        """Ask a recorded request again, with its own versions except ``pins``. Records nothing.

        Returns the spans that it would have recorded, root first; an error of the request is in them, not raised.
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
            live.stamp = replace(live.stamp, route=version.pin)
        else:
            self._direct(ask.model)
            route = direct_route(ask.model, self._route_defaults)
        live.route = route.name
        if ref := ask.pins.get("models", "").partition("=")[0]:
            self._direct(ref)
            return replace(route, targets=(Target(model=ref),), fallback=())
        return route

    def choose(self, route: Route, call: Call, live: LiveTrace) -> Attempts:
        """The models to ask, in order, behind one budget. A model that is not there counts as one that fails."""
        attempts = Attempts(
            [Candidate(ref, self._model(ref)) for ref in order(route, live.draw)],
            limit=route.attempts,
            first_byte=route.first_byte,
            spread=live.draw,
            clock=self.clock,
        )
        live.attempts = attempts.log
        live.call_messages = call.messages
        return attempts

    def pick(self, kind: str, address: str, live: LiveTrace) -> Version:
        """The version of an asset that serves this request; an arm of a running rollout is noted in the trace."""
        ask = live.ask
        if pin := ask.pins.get(kind):
            return self.registry.resolve(pin, kind=kind).version
        where = parse_address(address, kind)
        if where.kind != kind:
            raise BadInput(f"{address!r} is of another kind.", field=kind, mend=f"Write {kind}:/name@label.")
        rollout = self.registry.running(kind, where.name)
        key = sticky_key(rollout.sticky, ask, live.trace_id) if rollout else ""
        resolved = self.registry.resolve(where, key=key)
        if resolved.rollout:
            live.arms[resolved.rollout] = resolved.arm
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
        found = self._read.get(version.address)
        if found is None:
            if len(self._read) >= _READ:
                self._read.clear()
            found = self._read[version.address] = read(version)
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
