"""Replay for the incident desk: ask a recorded question again with some pins put back, and score the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from trimtab.core import Span
from trimtab.evals import Online, Output
from trimtab.gateway import Gateway
from trimtab.incidents import Again
from trimtab.registry import Registry
from trimtab.watch import MEASURES, Traffic


def make_replay(
    gateway: Gateway, online: Online, registry: Registry
) -> Callable[[Span, Mapping[str, str]], Awaitable[Mapping[str, float]]]:
    """A callable for the desk. What it asks is never recorded as traffic and calls no tool."""

    async def replay(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        spans = await gateway.replay(root, {kind: pin for kind, pin in pins.items() if kind != "judges"})
        output = Output.from_trace(spans)
        if output is None:
            return {}
        values = Again(await online.check(output), output.text)
        values["allowed"] = 0.0 if output.status == "refused" else 1.0
        values.update(_measured(spans))
        if "judges" in pins:
            name, _, number = pins["judges"].rpartition("/")
            values.update(await online.judged(output, registry.version("judges", name, int(number))))
        elif online.judge:
            values.update(await online.judged(output, registry.resolve(online.judge, key=root.trace_id).version))
        return values

    return replay


def _measured(spans: Sequence[Span]) -> dict[str, float]:
    """What is measured of every request, of the answer to this one. No tool is called again, so what is measured of
    tools says as little in every arm."""
    root = next((span for span in spans if not span.parent_id), None)
    if root is None:
        return {}
    seen = Traffic(root, spans)
    found = {name: measure.of(seen) for name, measure in MEASURES.items()}
    return {name: value for name, value in found.items() if value is not None}
