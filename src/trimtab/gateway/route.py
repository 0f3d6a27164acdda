"""A route: which models answer under one name, and by which rules. Pure. ``balance`` has the order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from trimtab.core import BadInput, parse_address

from .breaker import BreakerRules
from .limitset import NO_LIMITS, LimitSet, read_limits
from .retry import RetryRules
from .rules import (
    REASONS,
    CacheRules,
    DualRules,
    HedgeRules,
    PrefixRules,
    read_breaker,
    read_cache,
    read_dual,
    read_hedge,
    read_prefix,
    read_reasons,
    read_retry,
)

STRATEGIES = ("ordered", "weighted", "least_busy", "latency", "cost", "prefix")
STICKY = ("", "session", "user")
#: What a route has where it says nothing.
DEFAULTS: Mapping[str, Any] = {
    "fallback": [],
    "strategy": "ordered",
    "attempts": 3,
    "timeout": {"first_byte": 10.0, "total": 60.0},
    "guard": "",
    "prompt": "",
    "sticky": "",
    "fallback_on": list(REASONS),
    "retry": {},
    "breaker": {},
    "hedge": None,
    "prefix": {},
    "cache": None,
    "dual": None,
    "limits": {},
}
_KNOWN = (*DEFAULTS, "targets", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One model of a route. ``weight`` is its share, or its capacity, relative to the other targets. ``max_parallel``
    requests may run there at once and ``rpm`` be sent in a minute; 0 is no limit."""

    model: str
    weight: float = 1.0
    max_parallel: int = 0
    rpm: int = 0


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route version, read. ``pin`` is empty for ``provider/model`` asked directly.

    ``attempts`` and ``total`` (seconds) are budgets of the whole request over all models; ``first_byte`` (seconds) is
    how long a model that streams may stay silent before the next is tried, and ``attempt`` how long a plain reply may
    take (0: as long as the request). ``sticky`` keeps a session or a user on one target. ``fallback_on`` says for which
    reasons another model is asked.
    """

    name: str
    targets: tuple[Target, ...]
    pin: str = ""
    fallback: tuple[str, ...] = ()
    strategy: str = "ordered"
    attempts: int = 3
    first_byte: float = 10.0
    total: float = 60.0
    attempt: float = 0.0
    guard: str = ""
    prompt: str = ""
    sticky: str = ""
    fallback_on: frozenset[str] = frozenset(REASONS)
    retry: RetryRules = field(default_factory=RetryRules)
    breaker: BreakerRules | None = field(default_factory=BreakerRules)
    hedge: HedgeRules | None = None
    prefix: PrefixRules = field(default_factory=PrefixRules)
    cache: CacheRules | None = None
    dual: DualRules | None = None
    limits: LimitSet = NO_LIMITS

    @cached_property
    def refs(self) -> tuple[str, ...]:
        """Every model of the route, none twice."""
        return tuple(dict.fromkeys((*(target.model for target in self.targets), *self.fallback)))

    @cached_property
    def limits_of(self) -> Mapping[str, Target]:
        """The targets by their model; a fallback has no limits."""
        return {target.model: target for target in reversed(self.targets)}

    @cached_property
    def numbered(self) -> bool:
        """Whether it names a version by its number, which need not be in memory."""
        return any("/" in address.rpartition(":/")[2] for address in (self.prompt, self.guard))


def read_route(name: str, pin: str, content: Mapping[str, Any], defaults: Mapping[str, Any]) -> Route:
    """A route from its version's content over the house's ``defaults``. Raises BadInput naming the field."""
    for given in content:
        if given not in _KNOWN:
            raise BadInput("is not known.", field=given, mend=f"A route has {', '.join(_KNOWN)}.")
    full = {**DEFAULTS, **defaults, **content}
    timeout = {**DEFAULTS["timeout"], **_mapping(defaults.get("timeout", {}), "timeout")}
    timeout |= _mapping(content.get("timeout", {}), "timeout")
    if full["strategy"] not in STRATEGIES:
        raise BadInput("is not a strategy.", field="strategy", mend=f"Use one of {', '.join(STRATEGIES)}.")
    if full["sticky"] not in STICKY:
        raise BadInput("must be session or user.", field="sticky", mend="Leave it out to let every request choose.")
    attempts = full["attempts"]
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise BadInput("must be a whole number from 1.", field="attempts")
    fallback = full["fallback"]
    if not isinstance(fallback, list) or not all(_is_model(model) for model in fallback):
        raise BadInput("must be a list of provider/model.", field="fallback")
    cache, dual = read_cache(full["cache"]), read_dual(full["dual"], name)
    if dual is not None and cache is not None:  # a plan names amounts and people: only the same request gets the same
        cache = replace(cache, semantic=None)
    return Route(
        name=name,
        pin=pin,
        targets=_targets(full.get("targets")),
        fallback=tuple(fallback),
        strategy=full["strategy"],
        attempts=attempts,
        first_byte=_seconds(timeout["first_byte"], "timeout.first_byte"),
        total=_seconds(timeout["total"], "timeout.total"),
        attempt=_seconds(timeout["attempt"], "timeout.attempt") if timeout.get("attempt") else 0.0,
        guard=_address(full["guard"], "guard"),
        prompt=_address(full["prompt"], "prompt"),
        sticky=full["sticky"],
        fallback_on=read_reasons(full["fallback_on"]),
        retry=read_retry(full["retry"]),
        breaker=read_breaker(full["breaker"]),
        hedge=read_hedge(full["hedge"]),
        prefix=read_prefix(full["prefix"]),
        cache=cache,
        dual=dual,
        limits=read_limits(full["limits"]),
    )


def validate_route(content: Mapping[str, Any]) -> None:
    """Raises BadInput, naming the field and the mend, when this cannot be the content of a route."""
    read_route("", "", content, {})


def direct_route(model: str, defaults: Mapping[str, Any]) -> Route:
    """The route of one model asked by its own name: no fallback, no pin, and no breaker, for who names a model wants
    that one and hears from it what is wrong."""
    own = {name: defaults[name] for name in ("attempts", "timeout", "guard", "retry") if name in defaults}
    return replace(read_route(model, "", {"targets": [{"model": model}]}, own), breaker=None)


def _targets(value: object) -> tuple[Target, ...]:
    mend = 'Write targets: [{"model": "openai/gpt-4o-mini", "weight": 1}].'
    if not isinstance(value, list) or not value:
        raise BadInput("is missing or empty.", field="targets", mend=mend)
    targets = []
    for position, item in enumerate(value):
        where = f"targets[{position}]"
        if not isinstance(item, Mapping) or not _is_model(item.get("model")):
            raise BadInput("must name a provider/model.", field=f"{where}.model", mend=mend)
        weight = item.get("weight", 1)
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight < float("inf"):
            raise BadInput("must be a number from 0.", field=f"{where}.weight", mend=mend)
        for name in item:
            if name not in ("model", "weight", "max_parallel", "rpm"):
                raise BadInput("is not known.", field=f"{where}.{name}", mend=mend)
        limits = {name: _limit(item.get(name, 0), f"{where}.{name}") for name in ("max_parallel", "rpm")}
        targets.append(Target(model=item["model"], weight=float(weight), **limits))
    if not any(target.weight for target in targets):
        raise BadInput("have no weight at all.", field="targets", mend="Give one of them a weight above 0.")
    return tuple(targets)


def _limit(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadInput("must be a whole number from 0.", field=where, mend="0 is no limit.")
    return value


def _is_model(value: object) -> bool:
    return isinstance(value, str) and 0 < value.find("/") < len(value) - 1


def _address(value: object, field: str) -> str:
    kind = f"{field}s"
    if not isinstance(value, str) or (value and parse_address(value, kind).kind != kind):
        raise BadInput(f"must be the address of one of the {kind}.", field=field, mend=f"Write {kind}:/name@label.")
    return value


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput("must be an object.", field=where, mend='Write {"first_byte": 10, "total": 60}.')
    return value


def _seconds(value: object, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise BadInput("must be seconds above 0.", field=where)
    return float(value)
