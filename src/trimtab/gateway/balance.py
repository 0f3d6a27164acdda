"""In which order the targets of a route are asked. Pure: what is known of them and the draw are passed in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .route import Route, Target
from .rules import PrefixRules

#: Seconds to a first token that are assumed of a target that nobody has measured.
UNMEASURED = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is known of one target at the moment of a choice.

    ``usable``: its breaker is not open and it is below its own limits. ``ttft``: seconds to the first token (peak
    EWMA), 0 for unmeasured. ``price``: US dollars for this prompt, None for unpriced. ``queue``: tokens of prompts that
    were sent there and not begun to be answered. ``uncached``: tokens of this prompt that it would have to compute.
    ``rate``: tokens of prompt it computes in a second.
    """

    usable: bool = True
    in_flight: int = 0
    ttft: float = UNMEASURED
    price: float | None = None
    queue: float = 0.0
    uncached: float = 0.0
    rate: float = 1.0


_UNKNOWN = Sight()
_NO_SIGHTS: Mapping[str, Sight] = {}


def order(route: Route, draw: float, sights: Mapping[str, Sight] = _NO_SIGHTS, *, session: str = "") -> list[str]:
    """The models to ask, best first, none twice: the targets as the strategy says, then the fallbacks.

    Those that are not usable come last, each part in its own order: they are asked only when nothing else is left and
    their breaker lets a request through by then. ``draw`` is in [0, 1); the same arguments give the same order. On a
    route with sticky sessions, ``session`` decides in place of load and draw.
    """
    targets = route.targets if route.strategy == "ordered" else [t for t in route.targets if t.weight > 0]
    if route.sticky and session and route.strategy != "ordered":
        models = _sticky(targets, session, sights, route.prefix)
    elif route.strategy == "weighted":
        models = _weighted(targets, draw, sights)
    elif route.strategy == "least_busy":
        models = _sorted(targets, lambda t, s: (s.in_flight / t.weight,), draw, sights)
    elif route.strategy == "latency":
        models = _two_choices(targets, draw, sights)
    elif route.strategy == "cost":
        models = _sorted(targets, _cost, draw, sights)
    elif route.strategy == "prefix":
        models = _prefix(targets, draw, sights, route.prefix)
    else:
        models = [target.model for target in targets]
    models = list(dict.fromkeys((*models, *route.fallback)))
    if not sights:
        return models
    return sorted(models, key=lambda model: not sights.get(model, _UNKNOWN).usable)


def weighted_draw(weights: Sequence[float], draw: float) -> tuple[int, float]:
    """A position drawn by weight, and the rest of the draw, which is uniform in [0, 1) again."""
    point = draw * sum(weights)
    last = len(weights) - 1
    for position, weight in enumerate(weights):
        if point < weight or position == last:
            return position, min(max(0.0, point / weight), 1.0 - 1e-16)
        point -= weight
    raise ValueError("weights are empty")


def overloaded(in_flight: int, least: int, rules: PrefixRules) -> bool:
    """Whether a target has so much more to do than the least busy one that affinity must not add to it."""
    return in_flight - least > rules.imbalance and in_flight > rules.ratio * least


def _weighted(targets: Sequence[Target], draw: float, sights: Mapping[str, Sight]) -> list[str]:
    """By weight without replacement. A target that cannot be used gives its share to the others."""
    left = [t for t in targets if sights.get(t.model, _UNKNOWN).usable] or list(targets)
    models: list[str] = []
    while left:
        position, draw = weighted_draw([target.weight for target in left], draw)
        models.append(left.pop(position).model)
    return models + [target.model for target in targets]


def _sorted(
    targets: Sequence[Target],
    key: Callable[[Target, Sight], tuple[float, ...]],
    draw: float,
    sights: Mapping[str, Sight],
) -> list[str]:
    """By ``key``; equal ones in turns, as the draw says."""
    start = int(draw * len(targets))
    turned = [*targets[start:], *targets[:start]]
    return [t.model for t in sorted(turned, key=lambda t: key(t, sights.get(t.model, _UNKNOWN)))]


def _cost(target: Target, sight: Sight) -> tuple[float, ...]:
    """The cheapest first; what has no price is not free but unknown, and comes last."""
    return (math.inf if sight.price is None else sight.price, sight.in_flight / target.weight)


def _two_choices(targets: Sequence[Target], draw: float, sights: Mapping[str, Sight]) -> list[str]:
    """The better of two drawn by weight, then the others by the same measure.

    Always taking the best would send everybody to one target until the news of its load is out; of two drawn ones the
    loads stay even with old news. An unmeasured target is taken first, so that it becomes measured, but one request
    at a time.
    """
    usable = [t for t in targets if sights.get(t.model, _UNKNOWN).usable] or list(targets)

    def measure(target: Target) -> float:
        sight = sights.get(target.model, _UNKNOWN)
        ttft = sight.ttft or (0.0 if not sight.in_flight else 3600.0)
        return ttft * (sight.in_flight + 1) / target.weight

    ranked = sorted(usable, key=measure)
    if len(usable) > 1:
        first, draw = weighted_draw([target.weight for target in usable], draw)
        others = [target for position, target in enumerate(usable) if position != first]
        second, _ = weighted_draw([target.weight for target in others], draw)
        best = min((usable[first], others[second]), key=measure)
        ranked.remove(best)
        ranked.insert(0, best)
    return [target.model for target in (*ranked, *targets)]


def _prefix(targets: Sequence[Target], draw: float, sights: Mapping[str, Sight], rules: PrefixRules) -> list[str]:
    """By the predicted time to the first token, those that are overloaded last whatever they have read before.

    What the target must compute itself counts ``reuse`` times: it takes that time now, and it pushes something else
    out of a cache, which takes it again later.
    """
    known = [sights.get(target.model, _UNKNOWN) for target in targets]
    least = min((sight.in_flight for sight in known if sight.usable), default=0)

    def predicted(target: Target, sight: Sight) -> tuple[float, ...]:
        full = overloaded(sight.in_flight, least, rules)
        seconds = (sight.queue + rules.reuse * sight.uncached) / (sight.rate * target.weight)
        return (full, seconds, sight.in_flight)

    return _sorted(targets, predicted, draw, sights)


def _sticky(targets: Sequence[Target], session: str, sights: Mapping[str, Sight], rules: PrefixRules) -> list[str]:
    """Weighted rendezvous hashing: each session has an order of its own over the targets, and a target that comes or
    goes moves only the sessions that it gets or had. An overloaded target gives up its turn."""
    known = [sights.get(target.model, _UNKNOWN) for target in targets]
    least = min((sight.in_flight for sight in known if sight.usable), default=0)

    def rank(pair: tuple[Target, Sight]) -> tuple[bool, float]:
        target, sight = pair
        digest = hashlib.blake2b(f"{target.model}\0{session}".encode("utf-8", "replace"), digest_size=8).digest()
        uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
        return overloaded(sight.in_flight, least, rules), math.log(uniform) / -target.weight

    return [target.model for target, _ in sorted(zip(targets, known, strict=True), key=rank)]
