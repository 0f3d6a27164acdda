"""What a call costs before it is made, also where a route is asked: by the prices of the models that answer for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trimtab.core import TrimtabError, Usage
from trimtab.registry import PRODUCTION, Registry
from trimtab.traces import price

#: US dollars for a usage of ``provider/model`` or of a route; None: not known.
PriceOf = Callable[[str, Usage], float | None]


def route_prices(registry: Registry) -> PriceOf:
    """Prices that look a route's targets up. A route that shares its traffic out by weights costs their mean by weight,
    one that asks its first target whenever that answers costs what this does, and any other its dearest target's price.
    """

    def found(model: str, usage: Usage) -> float | None:
        own = price(model, usage)
        if own is not None or "/" in model:
            return own
        try:
            content = registry.resolve(f"{model}@{PRODUCTION}", kind="routes").version.content
        except TrimtabError:  # there is no such route: who asks it is told so elsewhere
            return None
        return _of_targets(content, usage)

    return found


def _of_targets(content: Mapping[str, object], usage: Usage) -> float | None:
    given = content.get("targets")
    rows = [row for row in given if isinstance(row, Mapping)] if isinstance(given, list | tuple) else []
    strategy = content.get("strategy", "ordered")
    if strategy == "ordered":
        rows = rows[:1]
    costs = [price(str(row.get("model", "")), usage) for row in rows]
    known = [cost for cost in costs if cost is not None]
    if not known or len(known) < len(costs):
        return None
    if strategy != "weighted":
        return max(known)
    weights = [float(row.get("weight", 1.0)) for row in rows]
    whole = sum(weights)
    return sum(w * cost for w, cost in zip(weights, known, strict=True)) / whole if whole > 0.0 else max(known)
