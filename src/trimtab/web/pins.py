"""Where the pins of a stamp lead: the page of the version that served."""

from __future__ import annotations

from urllib.parse import quote

from trimtab.core import Layer, Stamp
from trimtab.registry import Registry

#: The kind of asset that each layer pins; what answered as the model is the vendor's, and no page of ours.
PIN_KIND = {Layer.KNOWLEDGE: "corpora", Layer.PROMPT: "prompts", Layer.SAFETY: "guards", Layer.OPERATIONS: "routes"}


def pin_links(registry: Registry, stamp: Stamp) -> dict[Layer, str]:
    """The address of each pinned version that the registry has."""
    found = {}
    for layer, kind in PIN_KIND.items():
        name, _, number = stamp.pin(layer).rpartition("/")
        known = name in registry.names(kind) and number.isascii() and number.isdigit() and len(number) < 9
        if known and 1 <= int(number) <= registry.count(kind, name):
            tail = f"?v={number}" if kind == "prompts" else f"?tab=versions&v={number}"
            found[layer] = f"{'/prompts' if kind == 'prompts' else f'/assets/{kind}'}/{quote(name, safe='')}{tail}"
    return found
