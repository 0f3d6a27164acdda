"""What a detector allows for the error of the means that it bets against. Pure.

A detector that bets against a mean, and not against a bound that the true one is surely above, sees a small fall much
sooner. But the mean was taken from a sample, and a run of values below it may be the sample's luck. How likely that is
depends on how long the run is beside the sample. Of the values since an onset let w be the variance of their sum, and v
that of the sum of their means' errors. For normal values of which only differences from the sample count, the
likelihood ratio of a fall is then not L but L to the power of w / (w + v): the test martingale of the group of shifts
(Perez-Ortiz, Lardy, de Heide and Grunwald, "E-statistics, group invariance and anytime-valid testing", 2024). So the
logarithm of a run's evidence must be that of the threshold times 1 + v / w. For short runs that is next to nothing; a
run as long as its reference needs twice as much.

It holds on average over references. A slice whose reference lost little, so that its mean does not err as a normal
variable does, is still bet against its bound. And where the distance to the bounds, times the bet, would cost a run
less, as in a long one for a small fall, that is enough: it is what betting against the bounds would cost.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from trimtab.stats import EDetector

from .observation import Observation
from .parts import Part
from .reference import Reference

#: The error counts for so many times as much, for values are no normal variables: most of what they vary is failures,
#: which make more of a bet than as many values above the mean take back.
_CAREFUL = 1.25
#: No variance counts as less.
_LEAST = 1e-9
#: No detector is asked for more evidence than e to this; the logarithm of what a doubling adds.
_MOST, _DOUBLED = 600.0, math.log(2.0)


def usual(part: Part, low: float) -> float:
    """What a slice averages, where that is known well enough to bet against it; else ``low``, its bound."""
    return max(low, part.reference.mean) if part.reference.normal else low


def against_bounds(detector: EDetector, above: float) -> float:
    """The evidence that a detector would hold had it bet against bounds that lie so far below what it bets against."""
    value = detector.value
    if value <= 1.0 or detector.fired or not above:
        return value
    return max(1.0, value * math.exp(-detector.bet * detector.n_since * above))


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a run took of one slice: ``n`` values with this reference, bet against what lies so far ``above`` what is
    surely so."""

    n: float
    reference: Reference
    above: float


def enough(detector: EDetector, threshold: float, run: Sequence[Stretch]) -> bool:
    """Whether a detector that fired has as much evidence as its run since the likeliest onset must have; if not, it
    goes on, and fires again when it has that or twice what it has."""
    base, log = math.log(threshold), math.log(detector.value)
    must = base + min(*_costs(detector, base, run))
    if log >= must:
        return True
    detector.fired = False
    detector.threshold = math.exp(min(must, log + _DOUBLED, _MOST))
    return False


def shared_run(detector: EDetector, evidence: deque[Observation], armed: Sequence[Part]) -> list[Stretch]:
    """The run of the detector of all slices. ``evidence`` are the newest values; of a longer run they are a sample."""
    n = detector.n_since
    found = Counter(one.slice for one in islice(reversed(evidence), n))
    times = max(1.0, n / max(1, len(evidence)))
    return [Stretch(times * found[part.name], part.reference, part.above) for part in armed if part.name in found]


def _costs(detector: EDetector, base: float, run: Sequence[Stretch]) -> tuple[float, float]:
    """By how much the logarithm of a run's evidence must be larger for the errors of the means, and by how much it
    would be smaller had it bet against the bounds."""
    error = spread = room = 0.0
    for part in run:
        mean = part.reference.mean
        spread += part.n * max(_LEAST, mean * (1.0 - mean))
        room += part.n * part.above
        if part.above:
            error += part.n * part.n * part.reference.variance
    return (base * _CAREFUL * error / spread if spread else 0.0), detector.bet * room
