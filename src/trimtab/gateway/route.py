"""A route: which models answer under one name, in which order. Pure; the draw is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput, parse_address

STRATEGIES = ("ordered", "weighted")
#: What a route has where it says nothing.
DEFAULTS: Mapping[str, Any] = {
    "fallback": [],
    "strategy": "ordered",
    "attempts": 3,
    "timeout": {"first_byte": 10.0, "total": 60.0},
    "guard": "",
    "prompt": "",
}
_KNOWN = (*DEFAULTS, "targets", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One model of a route. ``weight`` counts relative to the other targets, for the weighted strategy."""

    model: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route version, read. ``pin`` is empty for ``provider/model`` asked directly.

    ``attempts`` and ``total`` (seconds) are budgets of the whole request over all models; ``first_byte`` (seconds) is
    how long a model that streams may stay silent before the next is tried.
    """

    name: str
    targets: tuple[Target, ...]
    pin: str = ""
    fallback: tuple[str, ...] = ()
    strategy: str = "ordered"
    attempts: int = 3
    first_byte: float = 10.0
    total: float = 60.0
    guard: str = ""
    prompt: str = ""


def read_route(name: str, pin: str, content: Mapping[str, Any], defaults: Mapping[str, Any]) -> Route:
    """A route from its version's content over the house's ``defaults``. Raises BadInput naming the field."""
    for field in content:
        if field not in _KNOWN:
            raise BadInput("is not known.", field=field, mend=f"A route has {', '.join(_KNOWN)}.")
    full = {**DEFAULTS, **defaults, **content}
    timeout = {**DEFAULTS["timeout"], **_mapping(defaults.get("timeout", {}), "timeout")}
    timeout |= _mapping(content.get("timeout", {}), "timeout")
    if full["strategy"] not in STRATEGIES:
        raise BadInput("is not a strategy.", field="strategy", mend=f"Use one of {', '.join(STRATEGIES)}.")
    attempts = full["attempts"]
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise BadInput("must be a whole number from 1.", field="attempts")
    fallback = full["fallback"]
    if not isinstance(fallback, list) or not all(_is_model(model) for model in fallback):
        raise BadInput("must be a list of provider/model.", field="fallback")
    return Route(
        name=name,
        pin=pin,
        targets=_targets(full.get("targets")),
        fallback=tuple(fallback),
        strategy=full["strategy"],
        attempts=attempts,
        first_byte=_seconds(timeout["first_byte"], "timeout.first_byte"),
        total=_seconds(timeout["total"], "timeout.total"),
        guard=_address(full["guard"], "guard"),
        prompt=_address(full["prompt"], "prompt"),
    )


def validate_route(content: Mapping[str, Any]) -> None:
    """Raises BadInput, naming the field and the mend, when this cannot be the content of a route."""
    read_route("", "", content, {})


def direct_route(model: str, defaults: Mapping[str, Any]) -> Route:
    """The route of one model asked by its own name: no fallback and no pin."""
    own = {name: defaults[name] for name in ("attempts", "timeout", "guard") if name in defaults}
    return read_route(model, "", {"targets": [{"model": model}]}, own)


def order(route: Route, draw: float) -> list[str]:
    """The models to try, best first, none twice: the targets, then the fallbacks.

    ``draw`` in [0, 1) picks by weight without replacement: after each pick the rest of the draw, scaled back to
    [0, 1), is uniform again and picks the next. The same draw gives the same order.
    """
    models = [target.model for target in route.targets]
    if route.strategy == "weighted":
        models = _weighted(route.targets, draw)
    return list(dict.fromkeys((*models, *route.fallback)))


def _weighted(targets: Sequence[Target], draw: float) -> list[str]:
    left = [target for target in targets if target.weight > 0]
    models: list[str] = []
    while left:
        point = draw * sum(target.weight for target in left)
        for target in left[:-1]:
            if point < target.weight:
                break
            point -= target.weight
        else:
            target = left[-1]
        models.append(target.model)
        left.remove(target)
        draw = min(point / target.weight, 1.0 - 1e-16)
    return models


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
        targets.append(Target(model=item["model"], weight=float(weight)))
    if not any(target.weight for target in targets):
        raise BadInput("have no weight at all.", field="targets", mend="Give one of them a weight above 0.")
    return tuple(targets)


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
