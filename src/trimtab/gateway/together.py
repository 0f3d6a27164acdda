"""One picture of a route that several processes serve, each of which knows its own part. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from .health import RouteHealth, TargetHealth

_WORSE = {"closed": 0, "half-open": 1, "open": 2}


def together(seen: Iterable[Sequence[RouteHealth]]) -> list[RouteHealth]:
    """The routes of all processes, by name: counts are added, the worst breaker and the slowest first token count."""
    by_name: dict[str, list[RouteHealth]] = {}
    for routes in seen:
        for route in routes:
            by_name.setdefault(route.name, []).append(route)
    return [_route(parts) if len(parts) > 1 else parts[0] for _, parts in sorted(by_name.items())]


def _route(parts: list[RouteHealth]) -> RouteHealth:
    by_ref: dict[str, list[TargetHealth]] = {}
    for part in parts:
        for target in part.targets:
            by_ref.setdefault(target.ref, []).append(target)
    targets = [_target(ones) for ones in by_ref.values()]
    asked = sum(target.asked for target in targets)
    read = sum(target.input_tokens for target in targets)
    prompts, saved = sum(part.prompt_tokens for part in parts), sum(part.saved_tokens for part in parts)
    newest = max(parts, key=lambda part: part.requests)
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
    )
