"""What the answers say about a candidate so far: one sequential test a guard. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from trimtab.stats import PER_ARM, Blocks, ConfidenceSequence, DifferenceBet, Stratum, difference_interval

from .plan import Guard, Plan, width

State = Literal["harm", "no_worse", "undecided", "not_measured"]
#: Points of the drawn sequence; beyond it every other one is dropped.
MAX_POINTS = 160
#: A difference this wide is no demand.
_ANYTHING = 0.95
_MOST_MORE = 1_000_000
#: Strata beyond this many share one.
MAX_STRATA = 255
_REST = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The difference after ``n`` answers of the candidate, with its confidence sequence."""

    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Where one guard stands. Means and differences are of values in [0, 1] of which more is better.

    ``low`` to ``high`` is the confidence sequence of candidate minus base: ``low`` errs with at most the plan's beta,
    ``high`` with at most this guard's part of its alpha. ``harm`` is the evidence against "not worse", ``calm`` that
    against "worse by ``width``", which is what the next step needs. ``more`` is about how many more answers of the
    candidate settle it at the difference seen so far (None: none would). ``harm_at`` is after how many harm was shown.
    ``pairs`` are requests that both versions answered; ``base_n`` is 0 where nothing but pairs was seen.
    """

    metric: str
    margin: float
    width: float
    state: State
    named: bool
    base_n: int
    base_mean: float
    candidate_n: int
    candidate_mean: float
    pairs: int
    difference: float
    low: float
    high: float
    harm: float
    harm_needed: float
    calm: float
    calm_needed: float
    more: int | None
    harm_at: int
    points: tuple[Point, ...] = ()


class MetricTest:
    """One guard's evidence: the bets, the sums by stratum, the drawn sequence."""

    def __init__(self, guard: Guard, plan: Plan) -> None:
        self.guard = guard
        self._harm_needed, self._calm_needed = 1.0 / plan.error_of(guard), 1.0 / plan.beta
        self._harm = DifferenceBet(0.0, better=False)
        widths = {width(guard, share) for share in (*plan.stages, 1.0)}
        self._calm = {w: DifferenceBet(-w, better=True) for w in widths if w < _ANYTHING}
        self._sequence = ConfidenceSequence(alpha_low=plan.beta, alpha_high=plan.error_of(guard))
        self._blocks = Blocks()
        self._sums: dict[Hashable, list[float]] = {}
        self._pairs = [0, 0.0, 0, 0]  # how many, their differences, candidate alone better, candidate alone worse
        self._points: list[Point] = []
        self._harm_at = 0

    def add(self, candidate: bool, value: float, stratum: Hashable) -> None:
        """One answer's value; 1 is best."""
        value = self._better(value)
        if stratum not in self._sums and len(self._sums) >= MAX_STRATA:
            stratum = _REST
        sums = self._sums.setdefault(stratum, [0, 0.0, 0, 0.0])
        at = 0 if candidate else 2
        sums[at] += 1
        sums[at + 1] += value
        block = self._blocks.add(candidate, value, stratum)
        if block is not None:
            for bet in (self._harm, *self._calm.values()):
                bet.block(block)
            self._sequence.block(block)
            self._note()

    def pair(self, base: float, candidate: float) -> None:
        """The values of one request that both versions answered."""
        difference = self._better(candidate) - self._better(base)
        self._pairs[0] += 1
        self._pairs[1] += difference
        self._pairs[2] += difference > 0.0
        self._pairs[3] += difference < 0.0
        for bet in (self._harm, *self._calm.values()):
            bet.pair(difference)
        self._sequence.pair(difference)
        self._note()

    def judgement(self, share: float, next_share: float) -> Judgement:
        """Where it stands, with ``share`` on the candidate and ``next_share`` to come."""
        n1, s1, n0, s0 = self._totals()
        demanded = width(self.guard, next_share)
        calm = self._calm.get(demanded)
        points = (*self._points, self._point()) if self._points else ()
        return Judgement(
            metric=self.guard.metric,
            margin=self.guard.margin,
            width=demanded,
            state=self._state(demanded),
            named=self.guard.named,
            base_n=int(n0),
            base_mean=s0 / n0 if n0 else 0.0,
            candidate_n=int(n1),
            candidate_mean=s1 / n1 if n1 else 0.0,
            pairs=int(self._pairs[0]),
            difference=self._difference(),
            low=self._sequence.low,
            high=self._sequence.high,
            harm=self._harm.peak,
            harm_needed=self._harm_needed,
            calm=calm.peak if calm else self._calm_needed,
            calm_needed=self._calm_needed,
            more=self._more(calm, share) if calm else 0,
            harm_at=self._harm_at,
            points=points,
        )

    def _totals(self) -> tuple[float, float, float, float]:
        """How many answers of the candidate and their sum, then the same of the base version."""
        n1, s1, n0, s0 = (sum(sums[i] for sums in self._sums.values()) for i in range(4))
        return n1, s1, n0, s0

    @property
    def _candidates(self) -> int:
        return int(sum(sums[0] for sums in self._sums.values()) + self._pairs[0])

    def _better(self, value: float) -> float:
        value = min(1.0, max(0.0, value))
        return value if self.guard.better == "higher" else 1.0 - value

    def _state(self, demanded: float) -> State:
        if not self._sums and not self._pairs[0]:
            return "not_measured"
        # A fall that is real but proven to be smaller than what matters is no harm.
        if self._harm.peak >= self._harm_needed and not self._is_calm(self.guard.margin):
            return "harm"
        return "no_worse" if self._is_calm(demanded) else "undecided"

    def _is_calm(self, demanded: float) -> bool:
        calm = self._calm.get(demanded)
        return calm is None or calm.peak >= self._calm_needed

    def _difference(self) -> float:
        if self._pairs[0] and not self._sums:
            return float(self._pairs[1] / self._pairs[0])
        strata = (Stratum(n_exposed=int(n1), sum_exposed=s1, n_unexposed=int(n0), sum_unexposed=s0)
                  for n1, s1, n0, s0 in self._sums.values())  # fmt: skip
        estimate = difference_interval(strata)
        return estimate.value if estimate else 0.0

    def _point(self) -> Point:
        return Point(n=self._candidates, value=self._difference(), low=self._sequence.low, high=self._sequence.high)

    def _note(self) -> None:
        """Keep a point of the drawing where the count has grown enough, and when harm was shown."""
        n = self._candidates
        if not self._harm_at and self._harm.value >= self._harm_needed:
            self._harm_at = n
        if not self._points or n >= self._points[-1].n * 1.03:
            self._points.append(self._point())
            if len(self._points) > MAX_POINTS:
                del self._points[1::2]

    def _more(self, calm: DifferenceBet, share: float) -> int | None:
        """About how many more answers of the candidate until ``calm`` has what it needs."""
        missing = math.log(self._calm_needed) - math.log(max(calm.value, 1e-300))
        if calm.peak >= self._calm_needed or missing <= 0.0:
            return 0
        if self._pairs[0] and not self._sums:
            n = self._pairs[0] + 20.0
            growth, answers = calm.growth_of_pairs((self._pairs[2] + 0.5) / n, (self._pairs[3] + 0.5) / n), 1
        else:
            growth, answers = self._growth(calm, share)
        if growth <= 0.0:
            return None
        return min(_MOST_MORE, math.ceil(missing / growth) * answers)

    def _growth(self, calm: DifferenceBet, share: float) -> tuple[float, int]:
        n1, _, n0, s0 = self._totals()
        base = (s0 + 3.6) / (n0 + 4.0)
        # A few answers say little: the difference is drawn towards none.
        candidate = min(1.0, max(0.0, base + self._difference() * n1 / (n1 + 10.0)))
        rest = min(0.99, max(0.01, share))
        larger = round(PER_ARM * max(rest, 1.0 - rest) / min(rest, 1.0 - rest))
        sizes = (larger, PER_ARM) if rest < 0.5 else (PER_ARM, larger)
        return calm.growth(min(0.99, max(0.01, base)), candidate, *sizes), sizes[1]


class RolloutTest:
    """All guards of one rollout."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._metrics = {guard.metric: MetricTest(guard, plan) for guard in plan.guards}

    def guards(self, metric: str) -> bool:
        """Whether a metric is guarded."""
        return metric in self._metrics

    def add(self, metric: str, candidate: bool, value: float, stratum: Hashable) -> None:
        """One value of a guarded metric."""
        self._metrics[metric].add(candidate, value, stratum)

    def pair(self, metric: str, base: float, candidate: float) -> None:
        """One value of a guarded metric from each version on the same request."""
        self._metrics[metric].pair(base, candidate)

    def judgements(self, share: float) -> tuple[Judgement, ...]:
        """Where every guard stands while the candidate has ``share``."""
        following = self.plan.next_share(share)
        return tuple(metric.judgement(share, following) for metric in self._metrics.values())
