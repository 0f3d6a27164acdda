"""What it would bring to draw labels by the judge's verdict, which is known before anybody labels.

Where failures are rare, more labels are drawn among the outputs that the judge fails, and each kind of verdict weighs
what it weighs among all outputs (two-phase sampling). The deviance is that of both phases: a kappa is inside when the
best judge and world that have it lose little. Trimtab draws labels at random, because its corrected pass rates rest on
that; this is the price.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from worlds import kappa_cells, share

from trimtab.stats import look_alpha, normal_quantile

BAR, POOL = 0.8, 1_000
_ADDED = 0.25
_INNER, _OUTER, _SPAN = 40, 28, 6.0
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


class Labels(NamedTuple):
    """Labels by verdict (``fail_pass``: people fail, the judge passes), and how many of the pool the judge fails."""

    fail_fail: float
    pass_fail: float
    fail_pass: float
    pass_pass: float
    failed: int

    @property
    def kappa(self) -> float:
        q = self.failed / POOL
        failing = self.fail_fail / (self.fail_fail + self.pass_fail)
        missed = self.fail_pass / (self.fail_pass + self.pass_pass)
        people = q * failing + (1.0 - q) * missed
        return 1.0 - (q * (1.0 - failing) + (1.0 - q) * missed) / (q + people - 2.0 * q * people)


def rows(rng: np.random.Generator, runs: int) -> list[dict[str, Any]]:
    """Coverage of the 95 % interval and how often a judge is certified at the first look, of 300 labels."""
    z, bound = normal_quantile(0.975) ** 2, normal_quantile(1.0 - look_alpha(1)) ** 2
    found = []
    for people in (0.5, 0.2, 0.1):
        for kappa in (0.8, 0.9):
            cells = kappa_cells(kappa, people)
            q = cells[0] + cells[2]
            held = certified = 0
            for _ in range(runs):
                seen = draw(rng, q, cells[0] / q, cells[1] / (1.0 - q), 300)
                held += deviance(seen, kappa) <= z
                certified += seen.kappa > BAR and deviance(seen, BAR) > bound
            found.append({"labels": 300, "pool": POOL, "failures": people, "kappa": kappa, "covers": share(held, runs),
                          "certified": share(certified, runs)})  # fmt: skip
    return found


def draw(rng: np.random.Generator, q: float, failing: float, missed: float, n: int) -> Labels:
    """Half way between blindly and half and half, which needs no guess of the judge's quality."""
    failed = int(rng.binomial(POOL, q))
    among = min(failed, round(n * (failed / POOL + 0.5) / 2.0))
    hits, misses = int(rng.binomial(among, failing)), int(rng.binomial(n - among, missed))
    return Labels(hits, among - hits, misses, n - among - misses, failed)


def deviance(seen: Labels, kappa: float) -> float:
    """Twice the log-likelihood that the best judge and world with this kappa lose."""
    a, b, c, d = (count + _ADDED for count in seen[:4])
    failed, passed = float(seen.failed), float(POOL - seen.failed)
    q = failed / POOL
    free = sum(x * math.log(x / n) for x, n in ((a, a + b), (b, a + b), (c, c + d), (d, c + d)))
    free += failed * math.log(q) + passed * math.log(1.0 - q)

    def best(q: float) -> float:
        return failed * math.log(q) + passed * math.log(1.0 - q) + _best((a, b, c, d), q, kappa)

    spread = _SPAN * math.sqrt(q * (1.0 - q) / POOL)
    low, high = max(1e-9, q - spread), min(1.0 - 1e-9, q + spread)
    x, y = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_x, at_y = best(x), best(y)
    for _ in range(_OUTER):
        if at_x >= at_y:
            high, y, at_y = y, x, at_x
            x = high - _GOLDEN * (high - low)
            at_x = best(x)
        else:
            low, x, at_x = x, y, at_y
            y = low + _GOLDEN * (high - low)
            at_y = best(y)
    return max(0.0, 2.0 * (free - max(at_x, at_y)))


def _best(labels: tuple[float, float, float, float], q: float, kappa: float) -> float:
    """The highest log-likelihood of the labels at these shares. At a share ``q`` of failing verdicts and a kappa, the
    share of failures among passing verdicts is a line in that among failing ones, and the likelihood concave on it."""
    a, b, c, d = labels
    bend = kappa + 2.0 * q * (1.0 - kappa)
    slope, start = q * (2.0 / bend - 1.0) / (1.0 - q), q * kappa / bend / (1.0 - q)
    low, high = max(0.0, start / slope), min(1.0, (1.0 + start) / slope)
    for _ in range(_INNER):
        p = (low + high) / 2.0
        missed = slope * p - start
        if a / p - b / (1.0 - p) + slope * (c / missed - d / (1.0 - missed)) > 0.0:
            low = p
        else:
            high = p
    p = (low + high) / 2.0
    missed = slope * p - start
    return a * math.log(p) + b * math.log1p(-p) + c * math.log(missed) + d * math.log1p(-missed)
