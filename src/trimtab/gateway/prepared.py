"""What is the same for every request of a key to a model, between two changes of the house: found once, then used.

A request that names no version of its own, on a route and a policy that no rollout divides, needs nothing of the
registry that the one before it did not need. So its route is read, its policy compiled, its models looked up and its
stamp put together once, and this is what is left. What depends on who asks is found anew for each request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trimtab.core import Stamp
from trimtab.guard import DEFAULT_ADDRESS, Policy

from .attempt import Candidate
from .gates import on_duty
from .keys import Key
from .live import LiveTrace
from .route import Route

if TYPE_CHECKING:
    from .gateway import Gateway

#: Pairs of key and model that are remembered between two changes.
REMEMBERED = 4096


class Prepared(NamedTuple):
    """A request's way, up to where its own words begin to matter.

    ``untouched`` says that no prompt is put before it and that the policy looks at nothing of it: what arrives goes to
    the model as it is, and what the model answers goes back as it is. ``moment`` is the state of the registry that it
    was found in.
    """

    key: Key | None
    moment: object
    route: Route
    policy: Policy | None
    candidates: tuple[Candidate, ...]
    stamp: Stamp
    untouched: bool


class Ways:
    """The ways that are known, by key and model."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Prepared] = {}
        self._moment: object = None  # of the registry; a way of another one is of no use, and keeps all of it alive

    def known(self, gateway: Gateway, live: LiveTrace) -> Prepared | None:
        """The way of a request, where one like it came before and nothing has changed since."""
        ask = live.ask
        key = ask.key
        found = self._known.get((key.id if key is not None else "", ask.model))
        if found is None or found.key is not key or found.moment is not gateway.registry.moment or ask.pins:
            return None
        live.stamp, live.route = found.stamp, found.route.name
        if found.policy is not None:
            live.allowed = 1.0
        return found

    async def find(self, gateway: Gateway, live: LiveTrace) -> Prepared:
        """The same found anew, and remembered where it holds for others too. Raises NotFound, Forbidden, and
        ConfigError for a route or a policy that cannot be used."""
        ask, moment = live.ask, gateway.registry.moment
        route = gateway.find_route(live)  # 403, 404; stamp.route
        await gateway.ready(route, ask)  # nothing to wait for unless an old version is asked for by its number
        policy = on_duty(gateway, route, live)  # stamp.guard
        found = Prepared(
            key=ask.key,
            moment=moment,
            route=route,
            policy=policy,
            candidates=gateway.candidates(route),
            stamp=live.stamp,
            untouched=route.dual is None
            and not ask.pins.get("prompts", route.prompt)
            and (policy is None or _looks_at_nothing(policy)),
        )
        if not ask.pins and gateway.registry.moment is moment and _holds_for_all(gateway, route, ask.model):
            if self._moment is not moment or len(self._known) >= REMEMBERED:
                self._known.clear()
                self._moment = moment
            self._known[ask.key.id if ask.key is not None else "", ask.model] = found
        return found


def _looks_at_nothing(policy: Policy) -> bool:
    idle = policy.idle("input") and policy.idle("output") and policy.idle("action")
    return idle and policy.actions is None and policy.flows is None and policy.judge is None


def _holds_for_all(gateway: Gateway, route: Route, name: str) -> bool:
    """Whether route and policy are the same for everybody: no rollout divides them."""
    steady = gateway.registry.steady
    if route.pin and steady("routes", name) is None:
        return False
    address = route.guard or DEFAULT_ADDRESS
    if address == DEFAULT_ADDRESS and "production" not in gateway.registry.labels("guards", "default"):
        return True
    return steady("guards", address) is not None
