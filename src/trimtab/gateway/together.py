"""One picture of a route that several processes serve, each of which knows its own part. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce

from .health import RouteHealth, TargetHealth
from .moving import Times

_WORSE = {"closed": 0, "half-open": 1, "open": 2}


def together(seen: Iterable[Sequence[RouteHealth]], past: Iterable[RouteHealth] = ()) -> list[RouteHealth]:
    """The routes of all processes, by name: counts are added, the worst breaker and the slowest first token count.

    ``past`` is what processes that are gone had counted: it is added where somebody serves the route now.
    """
    by_name: dict[str, list[RouteHealth]] = {}
    for routes in seen:
        for route in routes:
            by_name.setdefault(route.name, []).append(route)
    for route in past:
        if route.name in by_name:
            by_name[route.name].append(route)
    return [_route(parts) if len(parts) > 1 else parts[0] for _, parts in sorted(by_name.items())]


def left_behind(past: Sequence[RouteHealth], routes: Iterable[RouteHealth]) -> list[RouteHealth]:
    """``past`` with what one more process had counted of registered routes. Nothing is under way there any more, and
    which version is served is told by those that live."""
    return together([
        past,
        [
            replace(
                route,
                pin="",
                retries_left=0.0,
                targets=tuple(
                    replace(target, state="closed", opened_by="", seconds_left=0.0, in_flight=0, ttft=0.0)
                    for target in route.targets
                ),
            )
            for route in routes
            if route.pin
        ],
    ])  # fmt: skip


def _route(parts: list[RouteHealth]) -> RouteHealth:
    living = [part for part in parts if part.pin] or parts
    by_ref: dict[str, list[TargetHealth]] = {target.ref: [] for part in living for target in part.targets}
    for part in parts:
        for target in part.targets:
            if target.ref in by_ref:
                by_ref[target.ref].append(target)
    targets = [_target(ones) for ones in by_ref.values()]
    asked = sum(target.asked for target in targets)
    read = sum(target.input_tokens for target in targets)
    prompts, saved = sum(part.prompt_tokens for part in parts), sum(part.saved_tokens for part in parts)
    newest = max(living, key=lambda part: part.requests)
    return replace(
        newest,
        requests=sum(part.requests for part in parts),
        targets=tuple(replace(target, share=target.asked / asked if asked else 0.0) for target in targets),
        hit_rate=saved / prompts if prompts else None,
        saved_tokens=saved,
        prompt_tokens=prompts,
        cached_rate=sum(target.cached_tokens for target in targets) / read if read else None,
        retries_left=sum(part.retries_left for part in parts),
        cache_hits=sum(part.cache_hits for part in parts),
        cache_misses=sum(part.cache_misses for part in parts),
        first_tokens=reduce(Times.with_those_of, [part.first_tokens for part in parts]),
        whole_answers=reduce(Times.with_those_of, [part.whole_answers for part in parts]),
    )


def _target(ones: list[TargetHealth]) -> TargetHealth:
    worst = max(ones, key=lambda one: (_WORSE[one.state], one.seconds_left))
    failures: Counter[str] = Counter()
    for one in ones:
        failures.update(one.failures)
    return replace(
        worst,
        in_flight=sum(one.in_flight for one in ones),
        ttft=max(one.ttft for one in ones),
        asked=sum(one.asked for one in ones),
        answered=sum(one.answered for one in ones),
        cut=sum(one.cut for one in ones),
        hedges=sum(one.hedges for one in ones),
        failures=dict(failures),
        input_tokens=sum(one.input_tokens for one in ones),
        cached_tokens=sum(one.cached_tokens for one in ones),
        prompt_tokens=sum(one.prompt_tokens for one in ones),
        answer_tokens=sum(one.answer_tokens for one in ones),
        cost_usd=sum(one.cost_usd for one in ones),
        unpriced=sum(one.unpriced for one in ones),
    )
