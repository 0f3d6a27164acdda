"""Two arms served in the same minutes, cut into blocks that are compared one after another."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from typing import NamedTuple

from trimtab.core import BadInput

#: A block closes when this many values of each arm are in: one would waste half of what the larger arm knows.
PER_ARM = 3
#: An open block keeps this many of the newest values of an arm, so that the arms stay close in time.
_NEWEST = 256
#: The first guess of the base arm's mean and its weight in observations.
_GUESS, _GUESS_WEIGHT = 0.9, 4.0
#: The guess keeps away from the ends, where one surprise would cost everything that was won.
_EDGE = 0.01
#: Strata beyond this many share one.
MAX_STRATA = 256
_REST = "…"

#: Values of one arm with how often each was seen.
Values = tuple[tuple[float, int], ...]


class Block(NamedTuple):
    """Values of both arms from the same minutes and stratum; ``guess`` is the base arm's mean before them."""

    base: Values
    candidate: Values
    guess: float


class _Open:
    __slots__ = ("base", "candidate", "n", "total")

    def __init__(self, guess: float) -> None:
        self.n = _GUESS_WEIGHT
        self.total = _GUESS_WEIGHT * guess
        self.base: deque[float] = deque(maxlen=_NEWEST)
        self.candidate: deque[float] = deque(maxlen=_NEWEST)


class Blocks:
    """Collects observations in the order of time; within a stratum a block closes when both arms have PER_ARM values.

    When a block closes depends on which arm served and never on what was answered, so tests may be looked at after
    each block.
    """

    def __init__(self) -> None:
        self._open: dict[Hashable, _Open] = {}
        self._n = 0
        self._total = 0.0

    def add(self, candidate: bool, x: float, stratum: Hashable = "") -> Block | None:
        """Take one observation; the block that it completes, if any. Raises BadInput for a value outside [0, 1]."""
        if not 0.0 <= x <= 1.0:
            raise BadInput(f"value {x} is outside 0 to 1", field="x", mend="Scale the signal to 0 to 1.")
        part = self._open.get(stratum)
        if part is None:
            if len(self._open) >= MAX_STRATA:
                stratum = _REST
            part = self._open.setdefault(stratum, _Open(self._total / self._n if self._n else _GUESS))
        (part.candidate if candidate else part.base).append(x)
        if len(part.base) < PER_ARM or len(part.candidate) < PER_ARM:
            return None
        guess = min(1.0 - _EDGE, max(_EDGE, part.total / part.n))
        block = Block(_counted(part.base), _counted(part.candidate), guess)
        part.n += len(part.base)
        part.total += sum(part.base)
        self._n += len(part.base)
        self._total += sum(part.base)
        part.base.clear()
        part.candidate.clear()
        return block


def _counted(values: deque[float]) -> Values:
    return tuple(Counter(values).items())
