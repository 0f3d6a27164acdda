"""A pass rate seen through an imperfect judge, corrected with the labels of people."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput

from .intervals import clustered_variance, wilson_effective, z_of

#: A judge with TPR + TNR - 1 below this knows too little for its rate to be corrected.
LEAST_YOUDEN = 0.3
#: Labels of each kind of disagreement that are added where the spread of the judge's errors is measured: a handful of
#: labels without an error does not show that there are none. An eighth keeps coverage at 94 to 96 % from 100 labels.
_ADDED = 0.125


class JudgeTooWeak(BadInput):
    """The judge tells passes from failures too badly to correct its rate."""

    code = "judge_too_weak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A corrected rate with its two-sided interval. ``trust`` is how much of the judge was used (lambda), 0 to 1."""

    value: float
    low: float
    high: float
    labels: int
    unlabelled: int
    trust: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Values of people and of the judge on the same outputs, in the same order, with the cluster of each if any."""

    people: Sequence[float]
    judge: Sequence[float]
    clusters: Sequence[Hashable] | None = None


def ppi_rate(
    labelled: Labelled,
    unlabelled: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Corrected:
    """The mean of people's values by prediction-powered inference with power tuning (PPI++).

    Angelopoulos, Duchi and Zrnic (2023, arXiv 2311.01453): lambda * mean(judge, unlabelled) + mean(people - lambda *
    judge, labelled), lambda chosen for the least variance and kept in [0, 1], so that a useless judge costs nothing.
    ``labelled`` must be drawn at random from the same traffic as ``unlabelled`` (the judge's values elsewhere in it);
    ``clusters`` are those of ``unlabelled``. Values are in [0, 1]. The interval is Wilson's on the effective number of
    observations, which keeps its level near 0 and 1 where the normal one does not.
    """
    y, f, u = labelled.people, labelled.judge, unlabelled
    n, m = len(y), len(u)
    if n != len(f):
        raise BadInput(f"{n} labels, {len(f)} verdicts", field="labelled", mend="Give one verdict a label.")
    if n < 2 or m < 2:
        raise BadInput(f"{n} labels and {m} other outputs", field="labelled", mend="Give at least two of each.")
    if any(not 0.0 <= x <= 1.0 for part in (y, f, u) for x in part):
        raise BadInput("a value is outside 0 to 1", field="values", mend="Scale them to 0 to 1.")
    mean_y, mean_f, mean_u = math.fsum(y) / n, math.fsum(f) / n, math.fsum(u) / m
    covariance = math.fsum((a - mean_y) * (b - mean_f) for a, b in zip(y, f, strict=True)) / (n - 1)
    pooled = (math.fsum(f) + math.fsum(u)) / (n + m)
    spread = (math.fsum((b - pooled) ** 2 for b in f) + math.fsum((b - pooled) ** 2 for b in u)) / (n + m - 1)
    trust = min(1.0, max(0.0, covariance / spread / (1.0 + n / m))) if spread > 0.0 else 0.0
    value = min(1.0, max(0.0, trust * mean_u + mean_y - trust * mean_f))
    variance = _rectifier_variance(labelled, trust)
    if trust > 0.0:
        variance += trust * trust * clustered_variance(u, clusters)[0]
    if not math.isfinite(variance):
        return Corrected(value=value, low=0.0, high=1.0, labels=n, unlabelled=m, trust=trust)
    low, high = wilson_effective(value, variance, n, z_of(level))
    return Corrected(value=value, low=low, high=high, labels=n, unlabelled=m, trust=trust)


def _rectifier_variance(labelled: Labelled, trust: float) -> float:
    """The variance of mean(people - lambda * judge), an eighth of a disagreement of each kind added."""
    errors = [a - trust * b for a, b in zip(labelled.people, labelled.judge, strict=True)]
    n = len(errors)
    variance, groups = clustered_variance(errors, labelled.clusters)
    if not math.isfinite(variance):
        return math.inf
    mean = math.fsum(errors) / n
    added = _ADDED * ((1.0 - mean) ** 2 + (-trust - mean) ** 2)
    squares = variance * n * (groups - 1) / groups * n + added
    return squares / ((n + 2.0 * _ADDED) * n) * groups / (groups - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRates:
    """A judge against labels: how many passing and failing outputs it was shown, and how many of each it got right.

    Of labels that were drawn by strata these are as many as blindly drawn ones would be worth, and so not whole.
    """

    passing: float
    passed: float
    failing: float
    failed: float

    @property
    def tpr(self) -> float:
        """The share of passing outputs that the judge passes; 0 without any."""
        return self.passed / self.passing if self.passing else 0.0

    @property
    def tnr(self) -> float:
        """The share of failing outputs that the judge fails; 0 without any."""
        return self.failed / self.failing if self.failing else 0.0

    @property
    def youden(self) -> float:
        """TPR + TNR - 1: 1 is perfect, 0 is a coin."""
        return self.tpr + self.tnr - 1.0


def rogan_gladen(rates: ErrorRates, passes: int, n: int, *, design: float = 1.0, level: float = 0.95) -> Corrected:
    """The true pass rate when the judge passes ``passes`` of ``n`` and its error rates come from other labels.

    Rogan and Gladen (1978): (seen + TNR - 1) / (TPR + TNR - 1). The interval is that of Lang and Reiczigel (2014,
    Preventive Veterinary Medicine 113), which counts that TPR and TNR are themselves measured. ``design`` is the
    design effect of clustered cases. Raises JudgeTooWeak when TPR + TNR - 1 is below LEAST_YOUDEN.
    """
    if min(rates.passing, rates.failing, n) < 1 or not 0 <= passes <= n:
        raise BadInput(
            f"{rates.passing:g} passing and {rates.failing:g} failing labels, {passes} of {n} cases.",
            field="labels",
            mend="Label outputs of both kinds.",
        )
    if rates.youden < LEAST_YOUDEN:
        raise JudgeTooWeak(
            f"TPR {rates.tpr:.2f} + TNR {rates.tnr:.2f} - 1 = {rates.youden:.2f} is below {LEAST_YOUDEN}.",
            field="judge",
            mend="Refine the judge, or use the labels alone.",
        )
    z = z_of(level)
    value = min(1.0, max(0.0, (passes / n + rates.tnr - 1.0) / rates.youden))
    cases = n / design
    many = cases + z * z
    seen = (passes / design + z * z / 2.0) / many
    tpr, tnr = (rates.passed + 1.0) / (rates.passing + 2.0), (rates.failed + 1.0) / (rates.failing + 2.0)
    youden = tpr + tnr - 1.0
    rate = (seen + tnr - 1.0) / youden
    of_tpr, of_tnr = tpr * (1.0 - tpr) / (rates.passing + 2.0), tnr * (1.0 - tnr) / (rates.failing + 2.0)
    shift = 2.0 * z * z * (rate * of_tpr - (1.0 - rate) * of_tnr)
    variance = seen * (1.0 - seen) / many + rate * rate * of_tpr + (1.0 - rate) ** 2 * of_tnr
    half = z * math.sqrt(variance) / youden
    low, high = max(0.0, rate + shift - half), min(1.0, rate + shift + half)
    return Corrected(
        value=value,
        low=min(low, value),
        high=max(high, value),
        labels=round(rates.passing + rates.failing),
        unlabelled=n,
        trust=1.0,
    )
