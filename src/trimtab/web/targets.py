"""Routes and their targets as rows: who answers, how well, and who is left alone and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trimtab.gateway import RouteHealth, TargetHealth

from . import words

MOST_ROUTES = 40
#: From which share of failed attempts a target is marked, and after how many attempts.
MANY_ERRORS, ENOUGH = 0.05, 20
#: Breaker: word and class of its verdict.
STATES = {"closed": ("closed", "pass"), "half-open": ("half open", "unsure"), "open": ("open", "fail")}
CAUSES = {
    "rate_limit": "too many requests for it", "server": "server errors", "connection": "no connection",
    "timeout": "no answer in time", "first_byte": "no first byte in time", "request": "by the request itself",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    """One target. ``errors`` leaves out what the request itself was at fault for."""

    model: str
    provider: str
    share: str
    percent: float
    attempts: str
    errors: str
    causes: str
    bad: bool
    first_token: str
    in_flight: str
    word: str
    css: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRow:
    """One route. ``facts`` are (name, value) of what its caches saved."""

    name: str
    version: str
    strategy: str
    requests: str
    facts: tuple[tuple[str, str], ...]
    targets: tuple[TargetRow, ...]
    trouble: int


def route_rows(routes: Iterable[RouteHealth]) -> tuple[tuple[RouteRow, ...], int]:
    """The routes that need a look first, then the busiest; and how many are not shown."""
    ordered = sorted(routes, key=lambda r: (-_trouble(r), -r.requests, r.name))
    return tuple(_route_row(route) for route in ordered[:MOST_ROUTES]), max(0, len(ordered) - MOST_ROUTES)


def _trouble(route: RouteHealth) -> int:
    return sum(target.state != "closed" for target in route.targets)


def _route_row(route: RouteHealth) -> RouteRow:
    facts = []
    if route.hit_rate is not None:
        facts += [("prefix hits", words.percent(route.hit_rate)), ("tokens saved", words.count(route.saved_tokens))]
    if route.cached_rate is not None:
        facts.append(("reported as cached", words.percent(route.cached_rate)))
    if looked := route.cache_hits + route.cache_misses:
        facts.append(("answers from the cache", f"{words.count(route.cache_hits)} of {words.count(looked)}"))
    return RouteRow(
        name=route.name,
        version=words.version(route.pin) if route.pin else "",
        strategy=route.strategy.replace("_", " "),
        requests=words.plural(route.requests, "request"),
        facts=tuple(facts),
        targets=tuple(_target_row(target) for target in route.targets),
        trouble=_trouble(route),
    )


def _target_row(target: TargetHealth) -> TargetRow:
    provider, _, model = target.ref.partition("/")
    failed = sum(n for cause, n in target.failures.items() if cause != "request")
    word, css = STATES[target.state]
    return TargetRow(
        model=model or target.ref,
        provider=provider if model else "",
        share=words.percent(target.share) if target.asked else "reserve",
        percent=round(target.share * 100, 1),
        attempts=words.count(target.asked),
        errors=words.percent(failed / target.asked) if target.asked else "none",
        causes=_causes(target.failures),
        bad=target.asked >= ENOUGH and failed / target.asked >= MANY_ERRORS,
        first_token=words.duration(target.ttft) if target.ttft else "not measured",
        in_flight=words.count(target.in_flight),
        word=word,
        css=css,
        why=_why(target),
    )


def _why(target: TargetHealth) -> str:
    cause = CAUSES.get(target.opened_by, target.opened_by)
    if target.state == "open":
        return f"{cause}; tried again in {words.duration(max(target.seconds_left, 1.0))}"
    return f"one request tries it; {cause}" if target.state == "half-open" and cause else ""


def _causes(failures: Mapping[str, int]) -> str:
    ordered = sorted(failures.items(), key=lambda item: -item[1])
    return ", ".join(f"{words.count(n)} {CAUSES.get(cause, cause)}" for cause, n in ordered if n)
