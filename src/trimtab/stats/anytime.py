"""A paired gate that may be looked at after every case."""

from __future__ import annotations

from trimtab.core import BadInput

from .sequence import ConfidenceSequence, DifferenceBet

WORSE, NO_WORSE, OPEN = "worse", "no worse", "open"


class AnytimeGate:
    """Two bets on the differences of paired cases: that new is worse at all, and that it is not worse by ``max_drop``.

    Each bet is a test martingale (DifferenceBet), so by Ville's inequality (1939) the chance that it ever reaches
    1 / ``alpha`` where its hypothesis holds is at most ``alpha``, however often one looks and whenever one stops. The
    first bet that gets there decides, and the answer stays. Feed cases in an order that does not look at the answers.
    """

    def __init__(self, *, max_drop: float, alpha: float = 0.05) -> None:
        if not 0.0 < max_drop < 1.0:
            raise BadInput(f"{max_drop} is no drop", field="max_drop", mend="Give one such as 0.05.")
        if not 0.0 < alpha < 1.0:
            raise BadInput(f"{alpha} is no error rate", field="alpha", mend="Give one such as 0.05.")
        self.answer = OPEN
        self.n = 0
        self.decided_at = 0
        self._need = 1.0 / alpha
        self._worse = DifferenceBet(0.0, better=False)
        self._no_worse = DifferenceBet(-max_drop, better=True)
        self._alpha = alpha
        self._seen: list[float] = []

    @property
    def evidence(self) -> tuple[float, float]:
        """The e-values of "worse" and of "no worse by max_drop"; 1 says nothing."""
        return self._worse.value, self._no_worse.value

    def interval(self) -> tuple[float, float]:
        """An interval for the difference that holds at all looks at once with probability 1 - alpha.

        Its ends may cross where the difference moved with the order of cases: then no one difference fits.
        """
        sequence = ConfidenceSequence(alpha_low=self._alpha / 2.0, alpha_high=self._alpha / 2.0)
        for difference in self._seen:
            sequence.pair(difference)
        return sequence.low, sequence.high

    def pair(self, difference: float) -> str:
        """Take new minus old of the next case, in [-1, 1]; return WORSE, NO_WORSE or OPEN."""
        if not -1.0 <= difference <= 1.0:
            raise BadInput(f"{difference} is outside -1 to 1", field="difference", mend="Scale scores to 0 to 1.")
        self.n += 1
        self._worse.pair(difference)
        self._no_worse.pair(difference)
        self._seen.append(difference)
        if self.answer == OPEN:
            if self._worse.value >= self._need:
                self.answer, self.decided_at = WORSE, self.n
            elif self._no_worse.value >= self._need:
                self.answer, self.decided_at = NO_WORSE, self.n
        return self.answer
