"""What a call would cost on each target of a route, before it is made."""

from __future__ import annotations

from trimtab.core import Call, Usage
from trimtab.traces import price

from .budgets import nano
from .estimate import Size
from .prefix import BYTES_PER_TOKEN, render
from .route import Route

#: Tokens of an answer that are expected where the call sets no limit, and at most of the limit that it sets.
ANSWER = 400


def prices_of(route: Route, call: Call) -> dict[str, float | None]:
    """US dollars by model; None for one without a price. Empty where the route does not choose by cost."""
    if route.strategy != "cost":
        return {}
    limit = call.params.get("max_completion_tokens") or call.params.get("max_tokens")
    usage = Usage(
        input_tokens=int(sum(map(len, render(call))) / BYTES_PER_TOKEN),
        output_tokens=min(limit, ANSWER) if isinstance(limit, int) and limit > 0 else ANSWER,
    )
    return {ref: price(ref, usage) for ref in route.refs}


def dearest(route: Route, size: Size) -> int:
    """Billionths of a dollar that a request costs at most, should the dearest model of the route answer; 0 when none
    has a price."""
    costs = [cost for ref in route.refs if (cost := price(ref, size.high)) is not None]
    return nano(max(costs)) if costs else 0
