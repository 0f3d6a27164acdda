"""Bounds on a mean that is seen through n observations in [0, 1]."""

from __future__ import annotations

import math

from trimtab.core import BadInput

from .distributions import incomplete_beta

#: Bounds are searched to within this; the lower end is returned, so that they hold.
_FINE = 1e-13


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(at least ``k`` of ``n`` succeed) at success rate ``p``: the incomplete beta I_p(k, n - k + 1) (DLMF 8.17.5)."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0.0:
        return 0.0
    return incomplete_beta(float(k), float(n - k + 1), p)


def lower_bound(successes: float, n: int, alpha: float, *, binary: bool | None = None) -> float:
    """A rate that the true mean is below with probability at most ``alpha``.

    ``successes`` is the sum of ``n`` independent values in [0, 1]. For 0/1 values (``binary``) it is the exact bound of
    Clopper and Pearson (1934); otherwise the relative-entropy form of Hoeffding's inequality (1963, theorem 1), which
    holds for any values in [0, 1] and is never looser than his exp(-2nt^2). Without ``binary``, a whole ``successes``
    counts as 0/1 values. No observations: 0. Raises BadInput for impossible arguments.
    """
    if n < 0 or not 0.0 <= successes <= n + 1e-9:
        raise BadInput(f"{successes} of {n} is no count of successes", field="successes", mend="Give 0 to n.")
    if not 0.0 < alpha < 1.0:
        raise BadInput(f"{alpha} is no error rate", field="alpha", mend="Give more than 0 and less than 1.")
    successes = min(successes, float(n))
    if n == 0 or successes == 0.0:
        return 0.0
    if successes == n:
        return float(alpha ** (1.0 / n))
    if binary is None:
        binary = float(successes).is_integer()
    low, high = 0.0, successes / n
    while high - low > _FINE:
        middle = (low + high) / 2.0
        if _too_good(successes, n, middle, binary) < alpha:
            low = middle
        else:
            high = middle
    return low


def _too_good(successes: float, n: int, p: float, binary: bool) -> float:
    """How likely a sum of at least ``successes`` is when the true mean is ``p`` (an upper bound for graded values)."""
    if binary:
        return binomial_tail(math.ceil(successes - 1e-9), n, p)
    return math.exp(-n * _relative_entropy(successes / n, p))


def _relative_entropy(x: float, p: float) -> float:
    """KL(Bernoulli(x) || Bernoulli(p)) for 0 < x < 1."""
    if p <= 0.0 or p >= 1.0:
        return math.inf
    return x * math.log(x / p) + (1.0 - x) * math.log((1.0 - x) / (1.0 - p))


def wilson(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval (1927) for a rate; the whole [0, 1] when nothing was seen."""
    if n <= 0:
        return 0.0, 1.0
    rate = successes / n
    spread = z * z / n
    centre = (rate + spread / 2.0) / (1.0 + spread)
    half = z / (1.0 + spread) * math.sqrt(max(0.0, rate * (1.0 - rate)) / n + spread / (4.0 * n))
    return max(0.0, centre - half), min(1.0, centre + half)
