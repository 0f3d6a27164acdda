"""Bounds on a mean that is seen through n observations in [0, 1]."""

from __future__ import annotations

import math
from statistics import NormalDist

from trimtab.core import BadInput

from .distributions import incomplete_beta

#: Bounds are searched to within this; the lower end is returned, so that they hold.
_FINE = 1e-13
#: More steps than any search takes: halvings alone would need 43.
_STEPS = 100
_NORMAL = NormalDist()


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
    return _root(successes, n, alpha, binary)


def _root(successes: float, n: int, alpha: float, binary: bool) -> float:
    """Where a sum of at least ``successes`` has the chance ``alpha``, from below.

    By Newton's method on the logarithm of that chance: it is concave in the mean (a beta distribution function with
    parameters of at least 1 is log-concave; relative entropy is convex), so every step from the left ends on the left,
    and so does the first one from the right. Some six steps instead of 43 halvings.
    """
    low, high, target = 0.0, successes / n, math.log(alpha)
    at = min(high, max(wilson(successes, n, -_NORMAL.inv_cdf(alpha))[0], high * 1e-3))
    for _ in range(_STEPS):
        chance, slope = _too_good(successes, n, at, binary)
        if chance < target:
            low = max(low, at)
        else:
            high = min(high, at)
        found = at + (target - chance) / slope if slope > 0.0 and chance > -math.inf else high
        if not low < found < high:
            found = (low + high) / 2.0
        if abs(found - at) < _FINE or high - low < _FINE:
            break
        at = found
    below = min(at, high) - _FINE
    return below if below > low and _too_good(successes, n, below, binary)[0] < target else low


def _too_good(successes: float, n: int, p: float, binary: bool) -> tuple[float, float]:
    """The logarithm of how likely a sum of at least ``successes`` is when the true mean is ``p`` (of an upper bound for
    graded values), and its slope in ``p``."""
    if not binary:
        x = successes / n
        return -n * _relative_entropy(x, p), n * (x - p) / (p * (1.0 - p))
    k = math.ceil(successes - 1e-9)
    tail = binomial_tail(k, n, p)
    if tail <= 0.0:
        return -math.inf, 0.0
    front = math.lgamma(n + 1.0) - math.lgamma(k) - math.lgamma(n - k + 1.0)
    return math.log(tail), math.exp(front + (k - 1) * math.log(p) + (n - k) * math.log1p(-p)) / tail


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
