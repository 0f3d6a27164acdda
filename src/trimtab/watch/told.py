"""A value that no single request tells."""

from __future__ import annotations

from typing import NamedTuple

from .observation import Observation


class Told(NamedTuple):
    """A value of a signal, and the project that it is of. ``level`` is the value of a level; ``one`` then says 1."""

    signal: str
    project: str
    one: Observation
    level: float | None = None


def valued(one: Observation, value: float) -> Observation:
    """An observation of the same request that says ``value``; ``one`` itself says 1."""
    return one if value == 1.0 else Observation(one.served, one.slice, value)
