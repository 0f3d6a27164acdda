"""Tests for what a judge should not look at: the order, the length and the style of answers."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trimtab.core import BadInput

from .bounds import binomial_tail, wilson
from .distributions import binomial_two_sided, normal_cdf
from .intervals import Interval, newcombe_difference, rate_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """One suspicion, measured. ``effect`` is 0 for a judge without it; ``p`` is two-sided; ``what`` says the effect."""

    name: str
    effect: float
    low: float
    high: float
    p: float
    n: int
    what: str


class BothOrders(NamedTuple):
    """One pair of answers judged in both orders: whom the judge chose when A came first, and when B came first.

    Each is "a", "b" or "tie" and names the answer, not its place.
    """

    a_first: str
    b_first: str


def flip_rate(pairs: Sequence[BothOrders]) -> Interval:
    """The share of pairs on which the judge changed its mind with the order. Raises BadInput without pairs."""
    return rate_interval([float(pair.a_first != pair.b_first) for pair in pairs])


def position_bias(pairs: Sequence[BothOrders]) -> Bias:
    """Whether the judge leans to the place: among decisions that the order turned round, first or second?

    The exact sign test, as a judge that is merely unsure turns both ways. ``effect`` is the share of all pairs pulled
    to the first place minus the share pulled to the second.
    """
    first = sum(_place(p.a_first, "a") + _place(p.b_first, "b") > 0 for p in pairs)
    second = sum(_place(p.a_first, "a") + _place(p.b_first, "b") < 0 for p in pairs)
    n = len(pairs)
    if n == 0:
        raise BadInput("there are no pairs", field="pairs", mend="Judge pairs in both orders.")
    effect = (first - second) / n
    error = math.sqrt(first + second + 2.0 - (n + 2.0) * ((first - second) / (n + 2.0)) ** 2) / (n + 2.0)
    return Bias(
        name="position",
        effect=effect,
        low=max(-1.0, min(effect, (first - second) / (n + 2.0) - 1.96 * error)),
        high=min(1.0, max(effect, (first - second) / (n + 2.0) + 1.96 * error)),
        p=binomial_two_sided(first, first + second),
        n=n,
        what="pairs pulled to the first place, less those pulled to the second",
    )


def _place(chosen: str, first: str) -> int:
    """1 when the answer in the first place was chosen, -1 for the second, 0 for a tie."""
    if chosen == "tie":
        return 0
    return 1 if chosen == first else -1


def lean_bias(name: str, right_with: int, n_with: int, right_against: int, n_against: int) -> Bias:
    """Whether a judge of pairs follows a feature, such as length.

    ``with``: pairs whose better answer (by people) has more of the feature; ``against``: less. A judge that does not
    look at it is right as often on both (Fisher's exact test, Newcombe's interval), and where it knows nothing it is
    right half the time, so being wrong more often than a coin on either side shows a pull as well (exact binomial,
    Wilson's interval). The stronger evidence is reported, its p-value times the three looks.
    """
    if n_with + n_against == 0:
        raise BadInput("there are no pairs", field="pairs", mend="Give pairs that differ in the feature.")
    wrong_against, wrong_with = n_against - right_against, n_with - right_with
    compared = fisher_exact(right_with, wrong_with, right_against, wrong_against)
    pulled = binomial_tail(wrong_against, n_against, 0.5) if n_against else 1.0
    pushed = binomial_tail(wrong_with, n_with, 0.5) if n_with else 1.0
    p = min(1.0, 3.0 * min(compared, pulled, pushed))
    if n_with and n_against and compared <= min(pulled, pushed):
        seen = newcombe_difference(right_with, n_with, right_against, n_against)
        what = f"right where the better answer has more {name}, less right where it has less"
        return Bias(name=name, effect=seen.value, low=seen.low, high=seen.high, p=p, n=seen.n, what=what)
    if n_against and (pulled <= pushed or not n_with):
        (low, high), n, share = wilson(wrong_against, n_against), n_against, wrong_against / n_against
        what = f"choices of the answer with more {name} where the other is better, less one half"
        return Bias(name=name, effect=share - 0.5, low=low - 0.5, high=high - 0.5, p=p, n=n, what=what)
    (low, high), n, share = wilson(wrong_with, n_with), n_with, wrong_with / n_with
    what = f"one half, less choices of the answer with less {name} where the other is better"
    return Bias(name=name, effect=0.5 - share, low=0.5 - high, high=0.5 - low, p=p, n=n, what=what)


def fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """The two-sided p-value of a 2 x 2 table by the probabilities of all tables with its margins (Fisher 1935)."""
    row, column, n = a + b, a + c, a + b + c + d
    if row in (0, n) or column in (0, n):
        return 1.0
    base = _log_choose(n, column)

    def log_p(x: int) -> float:
        return _log_choose(row, x) + _log_choose(n - row, column - x) - base

    seen = log_p(a) + 1e-7
    every = (log_p(x) for x in range(max(0, row + column - n), min(row, column) + 1))
    return min(1.0, math.fsum(math.exp(p) for p in every if p <= seen))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


class FeatureVerdict(NamedTuple):
    """A single output: how much of the feature it has, whether the judge passed it, and what people said."""

    feature: float
    judge: bool
    people: bool


def feature_bias(name: str, verdicts: Sequence[FeatureVerdict]) -> Bias | None:
    """Whether the judge of single outputs follows a feature that people's verdicts do not explain.

    Among outputs that people judged alike, does the judge pass those with more of the feature? The stratified
    Mann-Whitney test (van Elteren 1960) with ties corrected. ``effect`` is P(a passed output has more) minus
    P(it has less), in [-1, 1]. None when judge and people leave nothing to compare.
    """
    total = weight_sum = variance = effect = 0.0
    n = 0
    for people in (True, False):
        passed = [v.feature for v in verdicts if v.people is people and v.judge]
        failed = [v.feature for v in verdicts if v.people is people and not v.judge]
        if not passed or not failed:
            continue
        a, b = len(passed), len(failed)
        weight = a * b / (a + b + 1.0)
        u = _more(passed, failed)
        total += weight * u
        effect += weight * u
        weight_sum += weight
        variance += weight * weight * _variance_of_u(passed, failed)
        n += a + b
    if weight_sum == 0.0 or variance == 0.0:
        return None
    effect /= weight_sum
    error = math.sqrt(variance) / weight_sum
    z = total / math.sqrt(variance)
    return Bias(
        name=name,
        effect=effect,
        low=max(-1.0, effect - 1.96 * error),
        high=min(1.0, effect + 1.96 * error),
        p=2.0 * normal_cdf(-abs(z)),
        n=n,
        what=f"a passed output has more {name} than a failed one that people judged alike",
    )


def _more(passed: Sequence[float], failed: Sequence[float]) -> float:
    """P(passed > failed) - P(passed < failed)."""
    order = sorted(failed)
    wins = sum(bisect_left(order, x) - (len(order) - bisect_right(order, x)) for x in passed)
    return wins / (len(passed) * len(failed))


def _variance_of_u(passed: Sequence[float], failed: Sequence[float]) -> float:
    """The variance of ``_more`` where both come from one distribution, ties corrected."""
    a, b = len(passed), len(failed)
    n = a + b
    order = sorted([*passed, *failed])
    ties = start = 0
    for i in range(1, n + 1):
        if i == n or order[i] != order[start]:
            ties += (i - start) ** 3 - (i - start)
            start = i
    return 4.0 / (a * b) * ((n + 1.0) - ties / (n * (n - 1.0))) / 12.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for looking at all of them (Holm 1979), in their order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, p_values[i] * (len(order) - rank)))
        adjusted[i] = worst
    return adjusted
