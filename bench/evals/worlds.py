"""Worlds with a known truth, to draw labels, verdicts and runs from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab.evals import Scored

Draws = NDArray[np.float64]
#: The spread of a case's difficulty on the logit scale: a suite in which most cases always end the same way, and one in
#: which most are coins of some kind. The mean of p (1 - p) over cases is .05 and .10.
STABLE, NOISY = 5.4, 2.1


def kappa_cells(kappa: float, people: float, judge: float | None = None) -> Draws:
    """P(fail fail), P(fail pass), P(pass fail), P(pass pass) with this kappa and these shares of failures."""
    judge = people if judge is None else judge
    differ = people + judge - 2.0 * people * judge
    both = (people + judge - differ * (1.0 - kappa)) / 2.0
    return np.array([both, people - both, judge - both, 1.0 - people - judge + both])


def judged(rng: np.random.Generator, truth: NDArray[np.bool_], tpr: float, tnr: float) -> NDArray[np.bool_]:
    """What a judge with these error rates says."""
    chance = rng.random(truth.shape)
    return np.where(truth, chance < tpr, chance >= tnr)


def logistic(x: Draws) -> Draws:
    return 1.0 / (1.0 + np.exp(-x))


def centre(rate: float, spread: float) -> float:
    """The mean logit at which cases of this spread pass at this rate, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(201)
    weights = weights / weights.sum()
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2.0
        mean = float((weights * logistic(middle + spread * nodes)).sum())
        low, high = (middle, high) if mean < rate else (low, middle)
    return (low + high) / 2.0


class Suite:
    """Cases of one difficulty each; a drop makes every case a little harder."""

    def __init__(self, spread: float, rate: float = 0.8, drop: float = 0.0) -> None:
        self.spread = spread
        self.old, self.new = centre(rate, spread), centre(rate - drop, spread)

    def draw(self, rng: np.random.Generator, cases: int, repeats: int) -> tuple[Draws, Draws]:
        """Passes of the new and of the old side: one row a case, one column a repeat."""
        hardness = self.spread * rng.standard_normal(cases)
        shape = (cases, repeats)
        new = rng.random(shape) < logistic(self.new + hardness)[:, None]
        old = rng.random(shape) < logistic(self.old + hardness)[:, None]
        return new.astype(float), old.astype(float)


def scored(values: Draws, judge: str = "") -> list[Scored]:
    """Scores from one row a case, one column a repeat."""
    return [
        Scored(case=f"c{i}", repeat=r, value=float(x), judge=judge)
        for i, row in enumerate(values)
        for r, x in enumerate(row)
    ]


def share(hits: Sequence[bool] | float, n: int = 0) -> dict[str, float]:
    """A share (of ``n`` where ``hits`` is a count) with its standard error: what a simulated figure is good for.

    Two hits and two misses are added to the error (Agresti and Coull 1998): a few draws that all hit prove little.
    """
    count = int(np.sum(hits))
    size = n or int(np.size(hits))
    eased = (count + 2.0) / (size + 4.0)
    error = math.sqrt(eased * (1.0 - eased) / (size + 4.0))
    return {"share": round(count / size, 4), "error": round(error, 4), "runs": size}
