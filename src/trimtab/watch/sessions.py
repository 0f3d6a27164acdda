"""How far requests of one session share their luck, and what that is worth. Pure.

A session has a failure rate of its own: somebody who asks for what the documents lack fails again and again. The model
is the beta-binomial one (Skellam 1948): two values of a session correlate by rho, and after n values of it of which f
were lost the next one averages (p W + n - f) / (W + n), with W = 1 / rho - 1 and p the mean of all sessions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .pooled import rounded

#: The correlation before anything is known, and how many pairs of a failure and a later value it weighs.
_RHO, _WEIGHS = 0.25, 30.0
#: Below this much correlation nothing is done about it.
_LEAST = 0.005
#: A session's values counted together; after these it counts as another one, so that an application that calls
#: everything one session is not taken for a single observation.
LONGEST = 32
#: Sessions remembered.
_MOST = 4096
#: How ones wait for the detectors: by how many values their session had before, none of them lost: 0, 1, 2 to 3, 4 to
#: 7, 8 to 15, 16 to 31.
WAITS = 6
#: Answers about bounds that are remembered until the correlation is learnt anew.
_REMEMBERED = 4096


#: A session that lost something: how many values it had, and how much of them was lost.
Past = tuple[int, float]
#: What a value is bet against: what it averages at least, and how much of a fall shows in it where that is not all.
Against = tuple[float] | tuple[float, float]


def before_of(at: int) -> int:
    """How many values a session had at least before a one that waits in this place (see ``WAITS``)."""
    return 1 << (at - 1) if at else 0


class Sessions:
    """The newest sessions of a signal, and their shared luck as learnt from it."""

    __slots__ = (
        "_after", "_against", "_expected", "_new_after", "_new_shared", "_shared", "_squares", "_values", "correlation",
        "half", "known", "older",
    )  # fmt: skip

    def __init__(self) -> None:
        #: The newer half of the sessions, and the older one. Of those that lost nothing only the number of their values
        #: is kept: most did not.
        self.known: dict[str, int | Past] = {}
        self.older: dict[str, int | Past] = {}
        self.half = _MOST // 2
        self._expected: dict[tuple[float, int, float], float] = {}
        self._against: dict[tuple[float, int, float], Against] = {}
        self._values = self._squares = 0
        self._shared = self._after = self._new_shared = self._new_after = 0.0
        #: rho: of two values of a session.
        self.correlation = _RHO

    @property
    def inflated(self) -> float:
        """How much more the sum of many values varies than that of independent ones (the design effect, Kish 1965)."""
        if not self._values or self.correlation < _LEAST:
            return 1.0
        return 1.0 + self.correlation * (self._squares / self._values - 1.0)

    def state(self) -> dict[str, float]:
        """What was learnt, JSON-able; the sessions themselves are not kept."""
        return {
            "shared": self._shared, "after": self._after, "values": self._values, "squares": self._squares,
        }  # fmt: skip

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned. Raises KeyError, TypeError or ValueError for anything else."""
        shared, after = float(kept["shared"]), float(kept["after"])
        values, squares = int(kept["values"]), int(kept["squares"])
        if not (math.isfinite(shared) and 0.0 <= after < math.inf and 0 <= values <= squares):
            raise ValueError("sessions")
        self._shared, self._after, self._values, self._squares = shared, after, values, squares
        self.learn()

    def take(self, session: str, lost: float, usual: float | None) -> tuple[int, float]:
        """Take a value 1 - ``lost``; return how many the session had before and how much of them was lost.

        ``usual`` is what values of this slice lose on average, None while that is unknown.
        """
        known = self.known
        past = known.get(session)
        if past is None and (past := self.older.get(session)) is not None:
            known[session] = past
        if isinstance(past, tuple):
            n, before = past
            if n < LONGEST:
                known[session] = n + 1, before + lost
                self._values += 1
                self._squares += 2 * n + 1
                if usual is not None:
                    # Of values that share nothing the first sum is 0 on average; of those that share their luck it is
                    # rho times the second.
                    self._new_shared += before * (lost - usual)
                    self._new_after += before * (1.0 - usual)
                return n, before
        elif past is not None and past < LONGEST:
            known[session] = (past + 1, lost) if lost else past + 1
            self._values += 1
            self._squares += 2 * past + 1
            return past, 0.0
        if len(known) >= self.half:
            self.older, self.known = known, {}
        self.known[session] = (1, lost) if lost else 1
        self._values += 1
        self._squares += 1
        return 0, 0.0

    def count(self, values: int, squares: int) -> None:
        """So many values were taken; ``squares`` sums 2 n + 1 over them, n being how many their session had before."""
        self._values += values
        self._squares += squares

    def learn(self) -> None:
        """Nothing seems to have fallen: what was seen since the last time counts."""
        self._shared += self._new_shared
        self._after += self._new_after
        self.forget()
        self._expected.clear()
        self._against.clear()
        self.correlation = min(1.0, max(0.0, (_RHO * _WEIGHS + self._shared) / (_WEIGHS + self._after)))

    def forget(self) -> None:
        """What was seen since the last time was not healthy."""
        self._new_shared = self._new_after = 0.0

    def expected(self, low: float, n: int, lost: float) -> float:
        """What the next value of a session averages at least that had ``n`` values, ``lost`` of them lost, where all
        sessions' average is at least ``low``."""
        rho = self.correlation
        if not n or rho < _LEAST:
            return low
        known = self._expected.get((low, n, lost))
        if known is None:
            weight = 1.0 / rho - 1.0
            known = (low * weight + n - lost) / (weight + n)
            # Of values between 0 and 1 there are too many sums to remember what was done with each.
            known = known if lost.is_integer() else rounded(known)
            if len(self._expected) < _REMEMBERED:
                self._expected[low, n, lost] = known
        return known

    def against(self, low: float, n: int, lost: float) -> Against:
        """The same; and of a session that lost more than usual also how much of a fall shows in it."""
        known = self._against.get((low, n, lost))
        if known is None:
            expected = self.expected(low, n, lost)
            known = (expected, self.shows(n)) if lost and expected < low else (expected,)
            if len(self._against) < _REMEMBERED:
                self._against[low, n, lost] = known
        return known

    def shows(self, n: int) -> float:
        """How much of a fall of all sessions' average shows in what is expected of one that had ``n`` values."""
        rho = self.correlation
        return (1.0 - rho) / (1.0 - rho + rho * n) if rho >= _LEAST else 1.0

    def runs(self, waiting: Sequence[int], low: float) -> list[tuple[int, float]]:
        """Ones that wait, as (how many, their bound), the highest bound first."""
        return [(waiting[at], self.expected(low, before_of(at), 0.0)) for at in range(WAITS - 1, -1, -1) if waiting[at]]
