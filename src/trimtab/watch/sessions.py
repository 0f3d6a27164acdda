"""How far requests of one session share their luck, and what that is worth. Pure.

A session has a failure rate of its own: somebody who asks for what the documents lack fails again and again. The model
is the beta-binomial one (Skellam 1948): two values of a session correlate by rho, and after n values of it of which f
were lost the next one averages (p W + n - f) / (W + n), with W = 1 / rho - 1 and p the mean of all sessions.
"""

from __future__ import annotations

from collections.abc import Sequence

from .pooled import rounded

#: The correlation before anything is known, and how many pairs of a failure and a later value it weighs.
_RHO, _WEIGHS = 0.25, 30.0
#: Below this much correlation nothing is done about it.
_LEAST = 0.005
#: A session's values counted together; after these it counts as another one, so that an application that calls
#: everything one session is not taken for a single observation.
_LONGEST = 32
#: Sessions remembered.
_MOST = 4096
#: How ones wait for the detectors: by how many values their session had before, none of them lost: 0, 1, 2 to 3, 4 to
#: 7, 8 to 15, 16 to 31.
WAITS = 6


class Sessions:
    """The newest sessions of a signal, and their shared luck as learnt from it."""

    __slots__ = ("_after", "_known", "_new_after", "_new_shared", "_shared", "_squares", "_values", "correlation")

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float]] = {}
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

    def take(self, session: str, lost: float, usual: float | None) -> tuple[int, float]:
        """Take a value 1 - ``lost``; return how many the session had before and how much of them was lost.

        ``usual`` is what values of this slice lose on average, None while that is unknown.
        """
        known = self._known
        n, before = known.get(session, (0, 0.0))
        if n == _LONGEST:
            n, before = 0, 0.0
        if n == 0:
            known.pop(session, None)
            if len(known) >= _MOST:
                del known[next(iter(known))]
        known[session] = n + 1, before + lost
        self._values += 1
        self._squares += 2 * n + 1
        if before > 0.0 and usual is not None:
            # Of values that share nothing the first sum is 0 on average; of those that share their luck it is rho times
            # the second.
            self._new_shared += before * (lost - usual)
            self._new_after += before * (1.0 - usual)
        return n, before

    def learn(self) -> None:
        """Nothing seems to have fallen: what was seen since the last time counts."""
        self._shared += self._new_shared
        self._after += self._new_after
        self.forget()
        self.correlation = min(1.0, max(0.0, (_RHO * _WEIGHS + self._shared) / (_WEIGHS + self._after)))

    def forget(self) -> None:
        """What was seen since the last time was not healthy."""
        self._new_shared = self._new_after = 0.0

    def expected(self, low: float, n: int, lost: float) -> float:
        """What the next value of a session averages at least that had ``n`` values, ``lost`` of them lost, where all
        sessions' average is at least ``low``. Rounded down, so that detectors can remember what they did with it."""
        rho = self.correlation
        if not n or rho < _LEAST:
            return low
        weight = 1.0 / rho - 1.0
        found = rounded((low * weight + n - lost) / (weight + n))
        return found if lost else max(low, found)

    def runs(self, waiting: Sequence[int], low: float) -> list[tuple[int, float]]:
        """Ones that wait, as (how many, their bound), the highest bound first."""
        return [
            (waiting[at], self.expected(low, 1 << (at - 1) if at else 0, 0.0))
            for at in range(WAITS - 1, -1, -1)
            if waiting[at]
        ]
