"""Two versions served in the same minutes: is the exposed one worse?"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping

from trimtab.core import BadInput

_DROPS = (0.02, 0.05, 0.10, 0.20, 0.40, 0.80)
#: The first guess of the unexposed mean and its weight in observations.
_GUESS = 0.9
_GUESS_WEIGHT = 4.0
#: An open block keeps this many of the newest values of an arm, so that the arms stay close in time.
_BLOCK = 64
_LOG_CAP = math.log(1e280)


class _Block:
    """What one stratum has seen of the unexposed arm, and the values of both arms that wait for their comparison."""

    __slots__ = ("exposed", "n", "total", "unexposed")

    def __init__(self, guess: float) -> None:
        self.n = _GUESS_WEIGHT
        self.total = _GUESS_WEIGHT * guess
        self.exposed: deque[float] = deque(maxlen=_BLOCK)
        self.unexposed: deque[float] = deque(maxlen=_BLOCK)


class TwoArmTest:
    """Anytime-valid e-value against H0: in every stratum the exposed mean is at least the unexposed mean.

    Feed observations in the order of time. Within a stratum (slice) they form blocks that close as soon as both arms
    are in; a closed block with n0 unexposed and n1 exposed values multiplies the evidence by the product of
    1 + (x - m) (p - m) / (m (1 - m)) with p the alternative's mean of that arm and m = (n0 p0 + n1 p1) / (n0 + n1).
    That is the two-sample e-variable of Turner, Ly and Gruenwald (2021, arXiv 2106.02693), written so that graded
    values in [0, 1] may enter. By weighted AM-GM its mean is at most 1 wherever the null holds. The evidence is the
    mean over a few drops of p1 below the running p0, which only the past sets.

    Needs exposure that does not look at the answers (randomised). It counts at the ends of blocks. A session whose
    requests share their luck counts as many observations, which overstates the evidence.
    """

    def __init__(self, expected: Mapping[Hashable, float] | None = None) -> None:
        """``expected`` may give a first guess of the unexposed mean by stratum; it costs power if wrong, not truth."""
        self._expected = dict(expected or {})
        self._blocks: dict[Hashable, _Block] = {}
        self._logs = [0.0] * len(_DROPS)
        self.n_exposed = 0
        self.n_unexposed = 0

    @property
    def value(self) -> float:
        """The e-value so far, capped at 1e280."""
        top = max(self._logs)
        mean = sum(math.exp(log - top) for log in self._logs) / len(self._logs)
        return math.exp(min(top + math.log(mean), _LOG_CAP))

    def update(self, exposed: bool, x: float, stratum: Hashable = "") -> float:
        """Take one observation; return the e-value. Raises BadInput for a value outside [0, 1]."""
        if not 0.0 <= x <= 1.0:
            raise BadInput(f"value {x} is outside 0 to 1", field="x", mend="Scale the signal to 0 to 1.")
        block = self._blocks.get(stratum)
        if block is None:
            block = self._blocks[stratum] = _Block(min(1.0, max(0.0, self._expected.get(stratum, _GUESS))))
        if exposed:
            self.n_exposed += 1
            block.exposed.append(x)
        else:
            self.n_unexposed += 1
            block.unexposed.append(x)
        if block.exposed and block.unexposed:
            self._close(block)
        return self.value

    def _close(self, block: _Block) -> None:
        n0, n1 = len(block.unexposed), len(block.exposed)
        p0 = min(0.98, max(0.02, block.total / block.n))
        for j, drop in enumerate(_DROPS):
            p1 = max(p0 - drop, 0.01)
            m = (n0 * p0 + n1 * p1) / (n0 + n1)
            tilt0 = (p0 - m) / (m * (1.0 - m))
            tilt1 = (p1 - m) / (m * (1.0 - m))
            self._logs[j] += sum(math.log1p((x - m) * tilt0) for x in block.unexposed)
            self._logs[j] += sum(math.log1p((x - m) * tilt1) for x in block.exposed)
        block.n += n0
        block.total += sum(block.unexposed)
        block.exposed.clear()
        block.unexposed.clear()
