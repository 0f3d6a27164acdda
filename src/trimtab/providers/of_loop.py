"""What each event loop has one of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class OfLoop(Generic[T]):
    """Called with a loop: its own one, which ``make`` makes when it is first asked for."""

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        self._make = make
        self._known: dict[asyncio.AbstractEventLoop, T] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop) -> T:
        """The one of this loop."""
        found = self._known.get(loop)
        if found is None:
            # Weak references would not let a loop go: what it has one of holds its timers, and those hold the loop.
            for gone in [known for known in list(self._known) if known.is_closed()]:
                self._known.pop(gone, None)
            found = self._known[loop] = self._make(loop)
        return found
