"""Continuous scoring: what it may ask through the gateway, and what it has spent today."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence

from trimtab.config import Config
from trimtab.core import BadInput, Span, Version, now_ns
from trimtab.evals import Means, Online, Scorer, Spending, no_other
from trimtab.gateway import Gateway
from trimtab.providers import embed
from trimtab.registry import Registry
from trimtab.store import Settings, Spans


async def make_online(
    config: Config, gateway: Gateway, spans: Spans, settings: Settings, python: Mapping[str, Scorer]
) -> Online:
    """The scoring of live traffic, with what it has spent today."""
    scoring, registry = config.scoring, gateway.registry

    async def trace_of(trace_id: str) -> Sequence[Span]:
        found = await spans.trace(trace_id)
        return found.spans if found is not None else ()

    online = Online(
        registry=registry,
        model_of=gateway.as_model,
        judge=scoring.judge,
        sample=scoring.sample,
        golden=scoring.golden,
        golden_rate=scoring.golden_rate,
        raised=scoring.sample_raised,
        budget_usd=scoring.judge_budget_usd,
        rng=random.Random().random,
        clock=now_ns,
        means=Means(
            model_of=gateway.as_model,
            judge_of=functools.partial(_judge, registry),
            embedder=lambda ref: functools.partial(embed, gateway.as_model(ref)),
            output_of=no_other,
            python=python,
        ),
        trace_of=trace_of,
        spending=Spending(settings, now_ns),
    )
    await online.load()
    return online


def _judge(registry: Registry, address: str) -> Version:
    version = registry.resolve(address, kind="judges").version
    if not isinstance(version.content.get("model"), str):
        raise BadInput("names no model.", field="judge", mend=f"Mend {version.address}.")
    return version
