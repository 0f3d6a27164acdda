"""The stamp: one version per layer that served a request."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

from .layers import Layer
from .swift import swift

_FIELD_OF_LAYER = {
    Layer.MODEL: "model",
    Layer.KNOWLEDGE: "knowledge",
    Layer.PROMPT: "prompt",
    Layer.SAFETY: "guard",
    Layer.OPERATIONS: "route",
}


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Which version of each layer served one request.

    Every pin is text: ``name/number`` for a registered version, and for the model
    ``provider/model`` as asked, then ``=reported`` and ``@fingerprint`` as the vendor answered
    (``scripted/steady=simulated-steady-1@sim_a1``). Empty text says that the layer took no part.
    """

    model: str = ""
    knowledge: str = ""
    prompt: str = ""
    guard: str = ""
    route: str = ""

    def pin(self, layer: Layer) -> str:
        """The pin of one layer."""
        return str(getattr(self, _FIELD_OF_LAYER[layer]))

    def with_pin(self, layer: Layer, pin: str) -> Self:
        """A copy with one pin changed."""
        return replace(self, **{_FIELD_OF_LAYER[layer]: pin})

    def header(self) -> str:
        """The stamp as the value of ``x-trimtab-stamp``: ``model=...; prompt=...``, empty pins left out."""
        return "; ".join(f"{f.name}={v}" for f in fields(self) if (v := getattr(self, f.name)))
