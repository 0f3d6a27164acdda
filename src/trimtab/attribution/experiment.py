"""The natural experiment: exposed against unexposed answers, like with like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.stats import Estimate, Stratum, TwoArmTest, difference_interval

from .evidence import Observed, Suspect
from .likelihood import Tally
from .report import SliceEffect


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """``randomised``: chance decided who was exposed, in the same minutes; otherwise only before and after differ."""

    randomised: bool
    effect: Estimate | None
    e_value: float
    slices: tuple[SliceEffect, ...]


def contrast(suspect: Suspect, observations: Sequence[Observed], baselines: Mapping[str, float]) -> Contrast:
    """Compare the suspect's arms. ``observations`` are in the order of time.

    While a stage splits the traffic by chance, only answers of such stages count, each stage and slice apart (a share
    that grows while everything falls would otherwise look guilty), and the e-value of the two arms is proof. Without
    such a stage the contrast is before against after: reported, never proof.
    """
    staged: dict[tuple[str, int], Tally] = {}
    n_stages = len(suspect.stages)
    test = TwoArmTest({(name, stage): mean for name, mean in baselines.items() for stage in range(n_stages)})
    for seen in observations:
        stage = suspect.stage(seen.time_ns)
        exposed = suspect.exposed(seen)
        if stage is None or not (exposed or suspect.unexposed(seen)):
            continue
        stratum = (seen.slice, stage)
        _count(staged.setdefault(stratum, Tally()), exposed, seen.value)
        test.update(exposed, seen.value, stratum)
    if any(t.n1 and t.n0 for t in staged.values()):
        return Contrast(randomised=True, effect=_effect(staged.values()), e_value=test.value, slices=_by_slice(staged))
    whole: dict[tuple[str, int], Tally] = {}
    for seen in observations:
        exposed = suspect.exposed(seen)
        if exposed or suspect.unexposed(seen):
            _count(whole.setdefault((seen.slice, 0), Tally()), exposed, seen.value)
    return Contrast(randomised=False, effect=_effect(whole.values()), e_value=1.0, slices=_by_slice(whole))


def before_and_after(observations: Sequence[Observed], onset_ns: int) -> Contrast:
    """The contrast of a fall that no change explains: everything since the onset against everything before."""
    whole: dict[tuple[str, int], Tally] = {}
    for seen in observations:
        _count(whole.setdefault((seen.slice, 0), Tally()), seen.time_ns >= onset_ns, seen.value)
    return Contrast(randomised=False, effect=_effect(whole.values()), e_value=1.0, slices=_by_slice(whole))


def _count(part: Tally, exposed: bool, value: float) -> None:
    if exposed:
        part.n1 += 1
        part.sum1 += value
    else:
        part.n0 += 1
        part.sum0 += value


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
