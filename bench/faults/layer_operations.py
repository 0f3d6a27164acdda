"""Layer 5: routes, budgets, judges, telemetry. Carried by ``routes``, ``judges`` or a deployment."""

from __future__ import annotations

from functools import partial

from .fault import Fault

_route = partial(Fault, carrier="routes", layer=5)
_judge = partial(Fault, carrier="judges", layer=5)
_app = partial(Fault, carrier="application", layer=5)

FAULTS = (
    _judge(
        name="judge lenient", title="a new judge lets bad answers pass", harms="verdict", reaches=("all",),
        knobs=lambda s: {"lenient": min(0.9, 0.3 + 3.0 * s)}, telltale=("judge_agreement",), tuned=True,
    ),
    _judge(
        name="judge drifts lenient", title="the judge's own model changed and lets bad answers pass", silent=True,
        harms="verdict", reaches=("all",), knobs=lambda s: {"lenient": min(0.9, 0.3 + 3.0 * s)},
        telltale=("judge_agreement",),
    ),
    _judge(
        name="judge drifts strict", title="the judge's own model changed and fails good answers", silent=True,
        harms="verdict", reaches=("all",), knobs=lambda s: {"strict": s}, telltale=("judge_agreement",),
    ),
    _judge(
        name="judge fails open", title="the judge cannot be read and its default is a pass", silent=True,
        harms="verdict", reaches=("all",), knobs=lambda s: {"null": min(0.95, 0.3 + 3.0 * s)},
        telltale=("judge_agreement",), tuned=True,
    ),
    _route(
        name="budget spent", title="the budget is spent and a cheap model answers", silent=True,
        knobs=lambda s: {"weak": min(1.0, 8.0 * s)}, reaches=("all", "slice"), telltale=("cost", "speed"),
    ),
    _route(
        name="route to a weak model", title="a route's weights send requests to a cheap model",
        knobs=lambda s: {"weak": min(1.0, 8.0 * s)}, telltale=("cost", "speed"), tuned=True,
    ),
    _route(
        name="rate limit too low", title="good requests are refused for their rate", knobs=lambda s: {"limited": s},
        telltale=("admitted",),
    ),
    _route(
        name="prompt cache off", title="nothing is cached at the vendor any more", harms="cost", reaches=("all",),
        knobs=lambda s: {"nocache": 0.9}, telltale=("cost", "cached_share"), tuned=True,
    ),
    _app(
        name="traces lost", title="a deployment drops inner spans", harms="trace", reaches=("all", "slice"),
        knobs=lambda s: {"lost": 1.5 * s}, telltale=("whole", "steps", "filled"),
    ),
    _app(
        name="sampling bias", title="the judge no longer sees the hard answers", harms="verdict", reaches=("all",),
        knobs=lambda s: {"blindspot": 0.9}, telltale=("fair_sample",),
    ),
    _app(
        name="retry storm", title="every request of a client is sent twice", harms="cost", reaches=("all", "slice"),
        knobs=lambda s: {"retries": min(1.0, 3.0 * s)}, telltale=("steps", "cost"),
    ),
    _route(
        name="prices gone", title="a model is missing from the price table", harms="price", reaches=("all", "slice"),
        knobs=lambda s: {"unpriced": 2.0 * s}, telltale=("priced",), tuned=True,
    ),
    _route(
        name="answers from a stale cache", title="the answer cache gives another question's answer",
        knobs=lambda s: {"oldcache": s},
    ),
    _route(
        name="timeout too short", title="answers are given up before they begin", knobs=lambda s: {"timeout": s},
        telltale=("answered",),
    ),
)  # fmt: skip
