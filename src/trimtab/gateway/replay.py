"""Replay: a recorded request asked again, with the versions that served it except those that are put back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from trimtab.core import BadInput, Span, Stamp, TrimtabError
from trimtab.guard.provenance import Provenance

from .ask import Ask
from .live import LiveTrace, fraction

if TYPE_CHECKING:
    from .gateway import Gateway

#: The registry's kind for each pin of a stamp that stands for a registered version.
_KINDS = {"prompts": "prompt", "corpora": "knowledge", "guards": "guard", "routes": "route"}


async def replay(gateway: Gateway, root: Span, pins: Mapping[str, str]) -> list[Span]:
    """See ``Gateway.replay``.

    The model is not pinned but drawn again by the same route with the same draw, so that a route put back may choose
    another one; ``pins["models"]`` overrules it. A request that went on from an earlier response gives nothing:
    what was said before is not here.
    """
    if root.attributes.get("previous_response_id"):
        return []
    kept = root.attributes.get("ask")
    if root.parent_id or not root.attributes.get("gateway") or not isinstance(kept, Mapping):
        mend = "Give the root span of a request that the gateway served."
        raise BadInput("cannot be asked again: it is no request.", field="root", mend=mend)
    ask = Ask(
        model=kept["model"],
        messages=tuple(kept["messages"]),
        params=kept["params"],
        stream=kept["stream"],
        prompt=kept["prompt"],
        variables=kept["variables"],
        session=root.session,
        tags=root.tags,
        project=root.project,
        pins={**_partials(root), **served(root.stamp), **pins},
        record=False,
        sources=tuple(Provenance(**each) for each in kept.get("sources") or ()),
    )
    live = LiveTrace(gateway.clock)
    live.draw = fraction(root.trace_id)
    try:
        async with aclosing(gateway.serve(ask, live)) as chunks:
            async for _ in chunks:
                pass
    except TrimtabError:
        pass  # the spans tell it
    return live.finish()[0]


def served(stamp: Stamp) -> dict[str, str]:
    """The versions that served a request, as pins. A layer took no part, and shall take none, only if the model was
    reached: in a request that ended before, an empty pin says nothing."""
    pins = {kind: str(getattr(stamp, name)) for kind, name in _KINDS.items()}
    return pins if stamp.model else {kind: pin for kind, pin in pins.items() if pin}


def _partials(root: Span) -> dict[str, str]:
    """The versions of the prompts that the prompt put in, as pins of their own."""
    kept = root.attributes.get("partials")
    return {f"prompts:{address}": str(pin) for address, pin in kept.items()} if isinstance(kept, Mapping) else {}
