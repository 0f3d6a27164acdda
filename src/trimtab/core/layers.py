"""The five layers in which a failure of an LLM application starts."""

from __future__ import annotations

from enum import IntEnum


class Layer(IntEnum):
    """Where a request's behaviour comes from, and so where a failure can start."""

    MODEL = 1
    KNOWLEDGE = 2
    PROMPT = 3
    SAFETY = 4
    OPERATIONS = 5

    @property
    def title(self) -> str:
        """The layer's name as people read it."""
        return self.name.capitalize()


#: The registry's kinds and the layer that each of them pins.
LAYER_OF_KIND: dict[str, Layer] = {
    "models": Layer.MODEL,
    "corpora": Layer.KNOWLEDGE,
    "prompts": Layer.PROMPT,
    "guards": Layer.SAFETY,
    "routes": Layer.OPERATIONS,
    "judges": Layer.OPERATIONS,
    "datasets": Layer.OPERATIONS,
    "monitors": Layer.OPERATIONS,
    "scorers": Layer.OPERATIONS,
}

#: Kinds that measure and watch: no version of theirs serves a request, so none stands in a stamp.
UNSERVED = frozenset({"judges", "datasets", "monitors", "scorers"})

#: What may change outside the registry and is only written down: no asset, so it has no versions and no labels.
LAYER_OF_EVENT: dict[str, Layer] = {"application": Layer.OPERATIONS, "data": Layer.OPERATIONS}
