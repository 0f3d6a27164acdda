"""One criterion's test labels beside a judge's verdicts: the table, kappa with its bounds, and the shares.

Labels that say how their outputs were drawn are weighed by it, so that every figure is one of the pool that they were
drawn from and not of the labels. Where most labels do not say so, they are taken for a random sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from trimtab.core import BadInput
from trimtab.stats import (
    Interval,
    LabelStratum,
    cohen_kappa,
    confusion,
    design_effect,
    kappa_interval,
    kappa_lower,
    kappa_upper,
    pooled,
    rate_interval,
    strata_kappa,
    strata_kappa_bounds,
    strata_rate,
)

from .labels import Consensus, Draw, Label, consensus, side_of
from .results import PASS, Scored

#: The answers to a pair, in the order of a table of preferences.
SIDES = (0.0, 0.5, 1.0)


class Kappa(NamedTuple):
    """Kappa with its 95 % interval and the one-sided bounds of a look; ``table`` has people down and the judge across,
    as of the pool."""

    table: list[list[float]]
    interval: Interval
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Agreement, and of a judge of single outputs TPR and TNR with the labels drawn blindly that they are worth."""

    agreement: Interval | None = None
    tpr: Interval | None = None
    tnr: Interval | None = None
    worth: tuple[float, float] | None = None


def strata_of(drawn: Mapping[str, Collection[Draw]]) -> dict[str, list[str]]:
    """The cases of every stratum, by its name; empty where most cases do not say how they were drawn.

    A stratum holds all of its drawn cases, or it is no random sample of its outputs. So of two pools in which a case
    was drawn twice, such as one run by the verdicts of two judges, only that with more cases counts.
    """
    if 2 * sum(map(bool, drawn.values())) <= len(drawn):
        return {}
    pools: dict[str, dict[str, str]] = defaultdict(dict)
    for case, draws in drawn.items():
        for draw in draws:
            pools[draw.pool].setdefault(case, draw.stratum)
    found: dict[str, list[str]] = defaultdict(list)
    taken: set[str] = set()
    for pool in sorted(pools, key=lambda name: (-len(pools[name]), name)):
        if taken.isdisjoint(pools[pool]):
            taken |= pools[pool].keys()
            for case, stratum in pools[pool].items():
                found[stratum].append(case)
    return dict(found)


def sizes_of(draws: Collection[Draw], strata: Collection[str]) -> dict[str, int]:
    """How many outputs every stratum holds of the pools that these strata are from."""
    pools = {draw.pool for draw in draws if draw.stratum in strata}
    return {draw.stratum: draw.size for draw in draws if draw.pool in pools}


def told(strata: Mapping[str, Collection[str]], sizes: Mapping[str, int]) -> str:
    """How labels were drawn, in words."""
    return ", ".join(f"{len(cases)} of {sizes[name]} ({name})" for name, cases in sorted(strata.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One criterion's test cases: people and judge where both spoke. ``compares``: of pairs, with ties.

    ``strata`` hold the cases by the stratum from which they were drawn, empty where they are taken for a random sample;
    ``sizes`` is how much of the pool each of them is. ``aside`` are cases of the other kind, which are left out, and
    ``unseen`` strata from which no test case is.
    """

    name: str
    people: Mapping[str, Consensus]
    pairs: Mapping[str, tuple[float, float]]  # (judge, people) by case
    again: Mapping[str, Sequence[float]]
    errors: int
    compares: bool = False
    strata: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    aside: int = 0
    unseen: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, name: str, test: Sequence[Label], scores: Sequence[Scored], *, every: Sequence[Label] = (),
        compares: bool = False,
    ) -> Self:  # fmt: skip
        """The ``test`` labels beside the scores; ``every`` label, of either side, tells the strata of the pool."""
        people = consensus(test, name, pairs=compares)
        said: dict[str, list[float]] = {}
        failed: set[str] = set()
        for score in sorted(scores, key=lambda s: s.repeat):
            if score.case in people:
                if score.value is None:
                    failed.add(score.case)
                else:
                    said.setdefault(score.case, []).append(side_of(score.value) if compares else score.value)
        pairs = {
            case: (said[case][0], agreed.value)
            for case, agreed in people.items()
            if case in said and agreed.value is not None
        }
        strata = strata_of({case: people[case].draws for case in pairs})
        kept = {case for cases in strata.values() for case in cases} or {c for c in pairs if not people[c].draws}
        drawn = [Draw.of(label.drawn) for label in (*every, *test) if label.drawn and label.criterion == name]
        sizes = sizes_of(drawn, strata)
        return cls(
            name=name, people=people, pairs={case: both for case, both in pairs.items() if case in kept}, again=said,
            errors=len(failed - said.keys()), compares=compares, strata=strata, sizes=sizes,
            aside=len(pairs) - len(kept), unseen=tuple(sorted(sizes.keys() - strata.keys())),
        )  # fmt: skip

    def kind(self, value: float) -> int:
        """The category of a verdict: fail and pass, or answer B, tie and answer A."""
        return SIDES.index(side_of(value)) if self.compares else int(value >= PASS)

    @property
    def kinds(self) -> list[int]:
        """All categories."""
        return [0, 1, 2] if self.compares else [0, 1]

    @property
    def table(self) -> list[list[float]]:
        """Counts of labels, people down and judge across, in the order of the categories."""
        return confusion([self._cell(case) for case in self.pairs], self.kinds)

    @property
    def drawn(self) -> str:
        """How the labels were drawn, a sentence; "" where nobody said."""
        left = f"; {self.aside} other labels are left out" if self.aside else ""
        if self.strata:
            of = told(self.strata, self.sizes)
            return f"Drawn by strata of known size, test labels {of}: every figure is one of the whole pool{left}."
        if self.aside:
            return f"Taken for a random sample{left}."
        return ""

    def kappa(self, alpha: float) -> Kappa | None:
        """None where it does not exist."""
        cells = {case: self._cell(case) for case in self.pairs}
        if not cells or self.unseen:
            return None
        # A kind that nobody ever chose is no category.
        kinds = sorted({kind for cell in cells.values() for kind in cell}) if self.compares else [0, 1]
        layers = self._layers(kinds)
        table = pooled(layers) if layers else confusion(list(cells.values()), kinds)
        try:
            cohen_kappa(table)
        except BadInput:
            return None
        places = [(kinds.index(people), kinds.index(judge)) for people, judge in cells.values()]
        groups = [self.people[case].group for case in cells]
        design = design_effect(places, groups, len(kinds), self._weights())
        if layers:
            bounds = strata_kappa_bounds(layers, alpha=alpha, design=design)
            return Kappa(table, strata_kappa(layers, design=design), *bounds)
        lower, upper = (bound(table, alpha=alpha, design=design) for bound in (kappa_lower, kappa_upper))
        return Kappa(table, kappa_interval(table, design=design), lower, upper)

    def rates(self) -> Rates:
        """The shares of the pool, or of the labels where they are taken for a random sample."""
        if self.strata:
            return Rates() if self.unseen else self._pool_rates()
        rows = [(case, *self._cell(case)) for case in self.pairs]
        agreement = self._rate([(case, float(judge == people)) for case, people, judge in rows])
        if self.compares:
            return Rates(agreement=agreement)
        return Rates(
            agreement=agreement,
            tpr=self._rate([(case, float(judge)) for case, people, judge in rows if people]),
            tnr=self._rate([(case, float(not judge)) for case, people, judge in rows if not people]),
        )

    def _pool_rates(self) -> Rates:
        layers, kinds = self._layers(self.kinds), self.kinds
        groups = [self.people[case].group for case in self.pairs]
        design = 1.0
        if len(set(groups)) < len(groups):
            try:
                design = design_effect([self._cell(c) for c in self.pairs], groups, len(kinds), self._weights())
            except BadInput:  # one category only
                design = len(groups) / len(set(groups))
        every = [(i, j) for i in kinds for j in kinds]
        agreement = strata_rate(layers, [(i, i) for i in kinds], every, design=design)
        if self.compares:
            return Rates(agreement=agreement[0] if agreement else None)
        tpr = strata_rate(layers, [(1, 1)], [(1, 0), (1, 1)], design=design)
        tnr = strata_rate(layers, [(0, 0)], [(0, 0), (0, 1)], design=design)
        return Rates(
            agreement=agreement[0] if agreement else None, tpr=tpr[0] if tpr else None, tnr=tnr[0] if tnr else None,
            worth=(tpr[1], tnr[1]) if tpr and tnr else None,
        )  # fmt: skip

    def _cell(self, case: str) -> tuple[int, int]:
        judge, people = self.pairs[case]
        return self.kind(people), self.kind(judge)

    def _layers(self, kinds: Sequence[int]) -> list[LabelStratum]:
        return [
            LabelStratum(
                size=max(self.sizes[name], len(cases)), table=confusion([self._cell(case) for case in cases], kinds)
            )
            for name, cases in self.strata.items()
        ]

    def _weights(self) -> list[float] | None:
        """For how many outputs of the pool each test case stands."""
        by = {case: self.sizes[name] / len(cases) for name, cases in self.strata.items() for case in cases}
        return [by[case] for case in self.pairs] if by else None

    def _rate(self, of: Sequence[tuple[str, float]]) -> Interval | None:
        if not of:
            return None
        groups = [self.people[case].group for case, _ in of]
        own = len(set(groups)) == len(groups)
        return rate_interval([value for _, value in of], None if own else groups)
