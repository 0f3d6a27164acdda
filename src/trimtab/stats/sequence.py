"""How far two arms differ, at any moment looked at: bets on the difference, and the interval that they leave."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.core import BadInput

from .blocks import Block

#: How far beyond the hypothesis the difference is bet to lie, and the part of a stake that is risked on one pair.
_AWAY = (0.01, 0.03, 0.06, 0.12, 0.26, 0.6)
_RISKED = (0.05, 0.15, 0.35, 0.55, 0.75, 0.9)
#: How much is staked on each. Harm worth stopping for is 5 to 20 points; "no worse" has to be told by a few points.
_ON_WORSE = (0.2, 0.6, 3.0, 4.0, 2.0, 0.4)
_ON_BETTER = (1.0, 3.0, 3.0, 2.0, 1.0, 0.5)
#: No block may take more than this part of what a bet holds.
_RISK = 0.95
#: Means of a hypothesis are kept this far from 0 and 1, those that are bet on a little further.
_EDGE, _BET_EDGE = 0.004, 0.01
_LOG_CAP = math.log(1e280)
#: Observations that a confidence sequence remembers to try further hypotheses on.
_REMEMBERED = 20_000


class DifferenceBet:
    """Anytime-valid e-value against "candidate minus base is at most ``edge``" (``better``), else "at least".

    A block of n0 base values x with mean m0 and n1 candidate values y with mean m1 multiplies a bet by the product of
    1 - (l / n0) (x - r0) over the base and 1 + (l / n1) (y - r1) over the candidate, with r1 = r0 + edge and l > 0 when
    better is bet on. Values that are independent given the past make its mean at most
    exp(l ((m1 - m0) - edge)), by 1 + z <= exp(z), which is at most 1 wherever the hypothesis holds: for any r0 and l
    that only the past sets, and for values in [0, 1] of any shape. With r0 and l near the likelihood ratio's it is the
    two-sample e-variable of Turner, Ly and Gruenwald (2021, arXiv 2106.02693), here for any difference, as Turner and
    Gruenwald (2022, arXiv 2203.09785) need it for confidence sequences. A pair (one request answered twice) multiplies
    by 1 + l ((y - x) - edge), which needs no independence. The evidence is the mean over bets on a few differences;
    Ville's inequality (1939) bounds the chance that it ever reaches 1 / alpha by alpha.

    Needs exposure that does not look at the answers. Requests of one session that share their luck count as many
    observations, which overstates the evidence.
    """

    __slots__ = ("_better", "_logs", "edge", "peak", "value")

    def __init__(self, edge: float, *, better: bool) -> None:
        if not -1.0 < edge < 1.0:
            raise BadInput(f"{edge} is no difference of means", field="edge", mend="Give more than -1, less than 1.")
        self.edge = edge
        self._better = better
        stakes = _ON_BETTER if better else _ON_WORSE
        self._logs = [math.log(stake / sum(stakes)) for stake in stakes]
        self.value = self.peak = 1.0

    def block(self, block: Block) -> None:
        """Take one block."""
        n0 = sum(count for _, count in block.base)
        n1 = sum(count for _, count in block.candidate)
        for j, away in enumerate(_AWAY):
            r0, bet = self._bet(block.guess, n0, n1, away)
            if bet:
                down, up, r1 = -bet / n0, bet / n1, r0 + self.edge
                gain = 0.0
                for x, count in block.base:
                    gain += count * math.log1p(down * (x - r0))
                for y, count in block.candidate:
                    gain += count * math.log1p(up * (y - r1))
                self._logs[j] += gain
        self._settle()

    def pair(self, difference: float) -> None:
        """Take candidate minus base of one request that both answered."""
        for j, risked in enumerate(_RISKED):
            room = risked / (1.0 + self.edge) if self._better else -risked / (1.0 - self.edge)
            self._logs[j] += math.log1p(room * (difference - self.edge))
        self._settle()

    def growth(self, p0: float, p1: float, n0: int, n1: int) -> float:
        """What one block of these sizes adds to the logarithm of the best bet, on average, at these two means."""
        best = -math.inf
        for away in _AWAY:
            r0, bet = self._bet(min(1.0 - _BET_EDGE, max(_BET_EDGE, p0)), n0, n1, away)
            down, up, r1 = -bet / n0, bet / n1, r0 + self.edge
            base = p0 * math.log1p(down * (1.0 - r0)) + (1.0 - p0) * math.log1p(-down * r0)
            candidate = p1 * math.log1p(up * (1.0 - r1)) + (1.0 - p1) * math.log1p(-up * r1)
            best = max(best, n0 * base + n1 * candidate)
        return best

    def growth_of_pairs(self, better: float, worse: float) -> float:
        """The same for a pair, at these shares of pairs in which the candidate alone passes or alone fails."""
        best = -math.inf
        for risked in _RISKED:
            room = risked / (1.0 + self.edge) if self._better else -risked / (1.0 - self.edge)
            gain = (1.0 - better - worse) * math.log1p(-room * self.edge)
            gain += better * math.log1p(room * (1.0 - self.edge)) + worse * math.log1p(room * (-1.0 - self.edge))
            best = max(best, gain)
        return best

    def _bet(self, p0: float, n0: int, n1: int, away: float) -> tuple[float, float]:
        """The base mean r0 of the hypothesis and the bet l against it; 0 where there is no room to bet."""
        edge = self.edge
        p1 = min(1.0 - _BET_EDGE, max(_BET_EDGE, p0 + edge + (away if self._better else -away)))
        r0 = (n0 * p0 + n1 * (p1 - edge)) / (n0 + n1)
        r0 = min(1.0 - _EDGE, 1.0 - _EDGE - edge, max(_EDGE, _EDGE - edge, r0))
        r1 = r0 + edge
        of_base = n0 * (r0 - p0) / (r0 * (1.0 - r0))
        of_candidate = n1 * (p1 - r1) / (r1 * (1.0 - r1))
        # Both are the likelihood ratio's own where edge is 0; elsewhere their geometric mean loses next to nothing.
        if self._better:
            if of_base <= 0.0 or of_candidate <= 0.0:
                return r0, 0.0
            return r0, min(math.sqrt(of_base * of_candidate), _RISK * n0 / (1.0 - r0), _RISK * n1 / r1)
        if of_base >= 0.0 or of_candidate >= 0.0:
            return r0, 0.0
        return r0, -min(math.sqrt(of_base * of_candidate), _RISK * n0 / r0, _RISK * n1 / (1.0 - r1))

    def _settle(self) -> None:
        top = max(self._logs)
        mixed = top + math.log(sum(math.exp(log - top) for log in self._logs))
        self.value = math.exp(min(mixed, _LOG_CAP))
        self.peak = max(self.peak, self.value)


def _grid() -> tuple[float, ...]:
    fine = [0.0, 0.0025, 0.005, 0.0075]
    steps = [i / 100 for i in range(1, 16)] + [i / 40 for i in range(7, 17)] + [i / 20 for i in range(9, 20)]
    return tuple(sorted({sign * step + 0.0 for step in (*fine, *steps) for sign in (-1.0, 1.0)}))


class ConfidenceSequence:
    """An interval for candidate minus base that holds at all times at once.

    ``low`` is ever above the true difference with a chance of at most ``alpha_low``, ``high`` ever below it with at
    most ``alpha_high``. Each end moves inwards over a grid of differences, to the next one as soon as a DifferenceBet
    rejects it; the end can only be wrong once the first grid point beyond the truth is rejected, which is one event.
    """

    def __init__(self, *, alpha_low: float, alpha_high: float) -> None:
        self.low, self.high = -1.0, 1.0
        self._need_low, self._need_high = 1.0 / alpha_low, 1.0 / alpha_high
        self._past: list[Block | float] = []
        grid = _grid()
        self._up: Sequence[float] = grid
        self._down: Sequence[float] = grid[::-1]
        self._low = DifferenceBet(self._up[0], better=True)
        self._high = DifferenceBet(self._down[0], better=False)

    def block(self, block: Block) -> None:
        """Take one block."""
        self._take(block)

    def pair(self, difference: float) -> None:
        """Take candidate minus base of one request that both answered."""
        self._take(difference)

    def _take(self, seen: Block | float) -> None:
        if len(self._past) < _REMEMBERED:
            self._past.append(seen)
        _show(self._low, seen)
        _show(self._high, seen)
        # Every further hypothesis is tried on what was seen so far: rejected at any time is rejected.
        while self._low.peak >= self._need_low and len(self._up) > 1:
            self.low, self._up = self._low.edge, self._up[1:]
            self._low = self._tried(self._up[0], better=True)
        while self._high.peak >= self._need_high and len(self._down) > 1:
            self.high, self._down = self._high.edge, self._down[1:]
            self._high = self._tried(self._down[0], better=False)

    def _tried(self, edge: float, *, better: bool) -> DifferenceBet:
        bet = DifferenceBet(edge, better=better)
        for seen in self._past:
            _show(bet, seen)
        return bet


def _show(bet: DifferenceBet, seen: Block | float) -> None:
    if isinstance(seen, Block):
        bet.block(seen)
    else:
        bet.pair(seen)
