"""The routes' figures as Prometheus text. Only registered routes, so that clients cannot make new series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from .health import RouteHealth, TargetHealth
from .moving import BOUNDS, Times

_STATES = ("closed", "half-open", "open")
#: Name, kind, help, value (None: no series).
_OF_ROUTE: tuple[tuple[str, str, str, Callable[[RouteHealth], float | None]], ...] = (
    ("requests_total", "counter", "Requests that came to a model or to the cache.", lambda r: r.requests),
    ("prompt_hit_rate", "gauge", "Share of prompt tokens expected in a target's cache.", lambda r: r.hit_rate),
    ("prompt_tokens_saved_total", "counter", "Prompt tokens expected in a target's cache.", lambda r: r.saved_tokens),
    ("cached_rate", "gauge", "Share of input tokens reported as cached.", lambda r: r.cached_rate),
    ("retries_left", "gauge", "Further attempts that may fail before none is made.", lambda r: r.retries_left),
    ("cache_hits_total", "counter", "Answers given from the cache.", lambda r: r.cache_hits),
    ("cache_misses_total", "counter", "Answers looked for in the cache, not found.", lambda r: r.cache_misses),
)
_OF_TARGET: tuple[tuple[str, str, str, Callable[[TargetHealth], float]], ...] = (
    ("attempts_total", "counter", "Attempts at a target.", lambda t: t.asked),
    ("answered_total", "counter", "Attempts that were answered to the end.", lambda t: t.answered),
    ("hedges_total", "counter", "Attempts made beside a silent one.", lambda t: t.hedges),
    ("input_tokens_total", "counter", "Tokens of prompts, all attempts.", lambda t: t.prompt_tokens),
    (
        "cached_tokens_total",
        "counter",
        "Tokens of prompts reported as cached.",
        lambda t: t.cached_tokens,
    ),
    ("output_tokens_total", "counter", "Tokens of answers, all attempts.", lambda t: t.answer_tokens),
    ("cost_usd_total", "counter", "US dollars, all attempts of a model with a price.", lambda t: t.cost_usd),
    ("unpriced_total", "counter", "Attempts at a model without a price.", lambda t: t.unpriced),
    ("in_flight", "gauge", "Attempts under way.", lambda t: t.in_flight),
    ("first_token_seconds", "gauge", "Peak moving average of the time to the first token.", lambda t: t.ttft),
    ("breaker", "gauge", "0 closed, 1 half-open, 2 open.", lambda t: _STATES.index(t.state)),
)


#: Name, help, value of what is counted as a histogram of seconds.
_TIMES: tuple[tuple[str, str, Callable[[RouteHealth], Times]], ...] = (
    ("first_token_seconds", "Time to the first token of attempts that answered.", lambda r: r.first_tokens),
    ("answer_seconds", "Time to the end of attempts that answered.", lambda r: r.whole_answers),
)


def health_lines(routes: Iterable[RouteHealth]) -> list[str]:
    """Lines of the text format, one series a route and target."""
    shown = [route for route in routes if route.pin]
    return [*_of_routes(shown), *_times(shown), *_of_targets(shown), *_failures(shown)]


def _of_routes(routes: list[RouteHealth]) -> Iterator[str]:
    for name, kind, said, value in _OF_ROUTE:
        yield from _head(f"route_{name}", kind, said)
        for route in routes:
            if (found := value(route)) is not None:
                yield f'trimtab_route_{name}{{route="{_label(route.name)}"}} {found:.10g}'


def _times(routes: list[RouteHealth]) -> Iterator[str]:
    for name, said, times in _TIMES:
        yield from _head(f"route_{name}", "histogram", said)
        for route in routes:
            label, (counts, seconds) = _label(route.name), times(route)
            for bound, so_far in zip((*BOUNDS, "+Inf"), accumulate(counts), strict=True):
                yield f'trimtab_route_{name}_bucket{{route="{label}",le="{bound}"}} {so_far}'
            yield f'trimtab_route_{name}_sum{{route="{label}"}} {seconds:.6f}'
            yield f'trimtab_route_{name}_count{{route="{label}"}} {sum(counts)}'


def _of_targets(routes: list[RouteHealth]) -> Iterator[str]:
    for name, kind, said, value in _OF_TARGET:
        yield from _head(f"target_{name}", kind, said)
        for route in routes:
            for target in route.targets:
                yield f"trimtab_target_{name}{{{_labels(route, target)}}} {value(target):.10g}"


def _failures(routes: list[RouteHealth]) -> Iterator[str]:
    yield from _head("target_failures_total", "counter", "Attempts that failed, by cause.")
    for route in routes:
        for target in route.targets:
            for cause, count in sorted(target.failures.items()):
                yield f'trimtab_target_failures_total{{{_labels(route, target)},cause="{cause}"}} {count}'


def _head(name: str, kind: str, said: str) -> Iterator[str]:
    yield f"# HELP trimtab_{name} {said}"
    yield f"# TYPE trimtab_{name} {kind}"


def _labels(route: RouteHealth, target: TargetHealth) -> str:
    return f'route="{_label(route.name)}",target="{_label(target.ref)}"'


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
