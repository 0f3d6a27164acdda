"""The natural experiment: exposed against unexposed answers, like with like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.stats import Estimate, Stratum, TwoArmTest, difference_interval

from .evidence import Observed, Suspect
from .likelihood import Tally
from .report import Compared, SliceEffect

#: A difference of differences needs so many answers before and after on each side.
_LEAST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """``compared`` says how: ``chance`` decided who was exposed, in the same minutes; ``elsewhere``: everybody was, and
    answers that it could not reach say what else moved in those minutes; ``before``: nothing but before and after."""

    compared: Compared
    effect: Estimate | None
    e_value: float
    slices: tuple[SliceEffect, ...]

    @property
    def randomised(self) -> bool:
        """Whether chance decided who was exposed."""
        return self.compared == "chance"


def contrast(suspect: Suspect, observations: Sequence[Observed], baselines: Mapping[str, float]) -> Contrast:
    """Compare the suspect's arms. ``observations`` are in the order of time.

    While a stage splits the traffic by chance, only answers of such stages count, each stage and slice apart (a share
    that grows while everything falls would otherwise look guilty), and the e-value of the two arms is proof. Of what
    the draw stuck to (a session, a user) only the first answer counts: the rest shares its luck and its draw. Without
    such a stage the contrast is before against after, less what the same minutes did elsewhere: never proof.
    """
    staged: dict[tuple[str, int], Tally] = {}
    n_stages = len(suspect.stages)
    test = TwoArmTest({(name, stage): mean for name, mean in baselines.items() for stage in range(n_stages)})
    counted: set[str] = set()
    for seen in observations:
        stage = suspect.stage(seen.time_ns)
        exposed = suspect.exposed(seen)
        if stage is None or not (exposed or suspect.unexposed(seen)):
            continue
        if unit := suspect.unit(seen):
            if unit in counted:
                continue
            counted.add(unit)
        stratum = (seen.slice, stage)
        staged.setdefault(stratum, Tally()).count(exposed, seen.value)
        test.update(exposed, seen.value, stratum)
    if any(t.n1 and t.n0 for t in staged.values()):
        return Contrast(
            compared="chance", effect=_effect(staged.values()), e_value=test.value, slices=_by_slice(staged)
        )
    return _before_and_with(suspect, observations)


def _before_and_with(suspect: Suspect, observations: Sequence[Observed]) -> Contrast:
    """Everybody got it: before and with it, and where it can be had the same of answers that it could not reach."""
    whole: dict[tuple[str, int], Tally] = {}
    others: dict[tuple[str, int], Tally] = {}
    since = suspect.first.time_ns
    for seen in observations:
        exposed = suspect.exposed(seen)
        if exposed or suspect.unexposed(seen):
            whole.setdefault((seen.slice, 0), Tally()).count(exposed, seen.value)
        elif suspect.untouched(seen):
            others.setdefault((seen.slice, 0), Tally()).count(seen.time_ns >= since, seen.value)
    effect, elsewhere = _effect(whole.values()), _effect(others.values())
    slices = _by_slice(whole)
    if effect is None or elsewhere is None or min(elsewhere.n_exposed, elsewhere.n_unexposed) < _LEAST:
        return Contrast(compared="before", effect=effect, e_value=1.0, slices=slices)
    return Contrast(compared="elsewhere", effect=_less(effect, elsewhere), e_value=1.0, slices=slices)


def _less(effect: Estimate, elsewhere: Estimate) -> Estimate:
    """The difference of differences: independent answers, so their variances add."""
    value = effect.value - elsewhere.value
    half = math.hypot(effect.high - effect.low, elsewhere.high - elsewhere.low) / 2.0
    return Estimate(
        value=max(-1.0, min(1.0, value)),
        low=max(-1.0, value - half),
        high=min(1.0, value + half),
        n_exposed=effect.n_exposed,
        n_unexposed=effect.n_unexposed,
    )


def before_and_after(observations: Sequence[Observed], onset_ns: int) -> Contrast:
    """The contrast of a fall that no change explains: everything since the onset against everything before."""
    whole: dict[tuple[str, int], Tally] = {}
    for seen in observations:
        whole.setdefault((seen.slice, 0), Tally()).count(seen.time_ns >= onset_ns, seen.value)
    return Contrast(compared="before", effect=_effect(whole.values()), e_value=1.0, slices=_by_slice(whole))


def _effect(tallies: Iterable[Tally]) -> Estimate | None:
    return difference_interval(
        Stratum(n_exposed=t.n1, sum_exposed=t.sum1, n_unexposed=t.n0, sum_unexposed=t.sum0) for t in tallies
    )


def _by_slice(tallies: Mapping[tuple[str, int], Tally]) -> tuple[SliceEffect, ...]:
    effects: list[SliceEffect] = []
    for name in sorted({slice_ for slice_, _ in tallies}):
        parts = [t for (slice_, _), t in tallies.items() if slice_ == name and t.n1 and t.n0]
        effect = _effect(parts)
        if effect is not None:
            exposed = sum(t.sum1 for t in parts) / sum(t.n1 for t in parts)
            unexposed = sum(t.sum0 for t in parts) / sum(t.n0 for t in parts)
            effects.append(SliceEffect(slice=name, exposed=exposed, unexposed=unexposed, effect=effect))
    return tuple(effects)
