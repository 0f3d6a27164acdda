"""The few distributions that the tests and intervals need, without numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from trimtab.core import BadInput

_TINY = 1e-300
_CLOSE = 1e-15
_NORMAL = NormalDist()


def normal_cdf(x: float) -> float:
    """P(Z <= x) of a standard normal, exact in both tails."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """The x with P(Z <= x) = p. Raises BadInput unless 0 < p < 1."""
    _check(p)
    return _NORMAL.inv_cdf(p)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    DLMF 8.17.22 for the continued fraction (Lentz's method), about 1e-12 relative.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(front) * _fraction(a, b, x) / a
    return 1.0 - math.exp(front) * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta, which converges fast for x < (a + 1) / (a + b + 2)."""
    c = 1.0
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    result = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            result *= d * c
        if abs(d * c - 1.0) < _CLOSE:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def t_cdf(x: float, df: float) -> float:
    """P(T <= x) of Student's t with ``df`` degrees of freedom (DLMF 8.17 with x = df / (df + t^2))."""
    if df <= 0.0:
        raise BadInput(f"{df} degrees of freedom", field="df", mend="Give more than 0.")
    square = x * x
    if square < df:  # from the middle, where 1 - tail would lose digits
        return 0.5 + math.copysign(0.5 * incomplete_beta(0.5, df / 2.0, square / (df + square)), x)
    tail = 0.5 * incomplete_beta(df / 2.0, 0.5, df / (df + square))
    return 1.0 - tail if x > 0.0 else tail


def t_quantile(p: float, df: float) -> float:
    """The x with P(T <= x) = p. Raises BadInput unless 0 < p < 1 and df > 0."""
    _check(p)
    if p == 0.5:
        return 0.0
    if p < 0.5:
        return -t_quantile(1.0 - p, df)
    high = 2.0
    while t_cdf(high, df) < p:
        high *= 2.0
    return bisect(lambda x: t_cdf(x, df) - p, 0.0, high)


def binomial_two_sided(k: int, n: int) -> float:
    """The exact two-sided p-value of ``k`` of ``n`` at rate 1/2 (sign test); 1 when n is 0."""
    if n <= 0:
        return 1.0
    least = min(k, n - k)
    return min(1.0, 2.0 * incomplete_beta(float(n - least), least + 1.0, 0.5))


def bisect(f: Callable[[float], float], low: float, high: float, *, steps: int = 80) -> float:
    """A zero of ``f``, which is negative at ``low`` or positive at ``high`` and crosses upwards between them."""
    for _ in range(steps):
        middle = (low + high) / 2.0
        if f(middle) < 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _check(p: float) -> None:
    if not 0.0 < p < 1.0:
        raise BadInput(f"{p} is no probability", field="p", mend="Give more than 0 and less than 1.")
