"""An answer that no model gave."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from trimtab.core import Call, Chunk, Usage


class Canned:
    """An answer that no model gave, in the place of the models of a route."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def __call__(self, call: Call) -> AsyncGenerator[Chunk]:
        """The answer as a stream of two pieces, like a model's: what it says, and that it is over."""
        yield Chunk(text=self._text)
        yield Chunk(finish="stop", usage=Usage())

    async def whole(self, call: Call) -> Chunk:
        """The answer as one piece."""
        return Chunk(text=self._text, finish="stop", usage=Usage())
