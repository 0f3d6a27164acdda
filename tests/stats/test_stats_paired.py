"""Paired differences, the gate that may be looked at any time, and power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from trimtab.core import BadInput
from trimtab.stats import NO_WORSE, OPEN, WORSE, AnytimeGate, Design, cases_needed, paired_difference


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=8, max_size=80))
def test_equals_the_paired_t_test(differences: list[float]) -> None:
    found = paired_difference(differences)
    if found.few or found.error == 0.0:
        return
    test = stats.ttest_1samp(differences, 0.0, alternative="less")
    assert found.p_worse() == pytest.approx(float(test.pvalue), abs=1e-9)
    both = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    interval = found.interval(0.95)
    assert interval.low == pytest.approx(max(-1.0, both.low), abs=1e-9)
    assert interval.high == pytest.approx(min(1.0, both.high), abs=1e-9)
    shifted = stats.ttest_1samp(differences, -0.05, alternative="greater")
    assert found.p_drop(0.05) == pytest.approx(float(shifted.pvalue), abs=1e-9)


def test_a_few_cases_without_a_change_prove_nothing() -> None:
    few, many = paired_difference([0.0] * 30), paired_difference([0.0] * 100)
    assert few.p_drop(0.05) == pytest.approx(0.95**30)
    assert few.lower(0.05) == pytest.approx(-(1 - 0.05 ** (1 / 30)), abs=1e-9)
    assert many.p_drop(0.05) < 0.05
    assert few.p_worse() == 1.0


def test_few_changes_are_counted_exactly() -> None:
    found = paired_difference([-1.0] * 4 + [0.0] * 296)
    assert found.few
    assert found.p_worse() == pytest.approx(1 / 16)
    assert found.p_drop(0.05) == pytest.approx(float(stats.binom.cdf(4, 300, 0.05)), abs=1e-9)
    assert found.interval().low <= found.value <= found.interval().high


def test_all_alike_beyond_doubt() -> None:
    assert paired_difference([-1.0] * 10).p_worse() == 0.0
    assert paired_difference([1.0] * 10).p_worse() == 1.0
    with pytest.raises(BadInput, match="outside"):
        paired_difference([1.5])


def test_clusters_count_as_drawn() -> None:
    """Ten copies of thirty cases: the error is that of thirty."""
    rng = np.random.default_rng(4)
    once = rng.choice([-1.0, 0.0, 0.0, 1.0], 30).tolist()
    copies, groups = [d for d in once for _ in range(10)], [i for i in range(30) for _ in range(10)]
    assert paired_difference(copies, groups).error == pytest.approx(paired_difference(once).error, rel=1e-9)
    assert paired_difference(copies).error < 0.4 * paired_difference(once).error


def answers(rng: np.random.Generator, worse: float, better: float, runs: int, cases: int) -> list[AnytimeGate]:
    done = []
    for _ in range(runs):
        gate = AnytimeGate(max_drop=0.05)
        for difference in rng.choice([-1.0, 1.0, 0.0], cases, p=[worse, better, 1.0 - worse - better]).tolist():
            if gate.pair(difference) != OPEN:
                break
        done.append(gate)
    return done


def test_looking_after_every_case_keeps_the_error_rate() -> None:
    done = answers(np.random.default_rng(6), 0.055, 0.055, 400, 1000)
    assert sum(gate.answer == WORSE for gate in done) / 400 <= 0.05 + 0.02
    # At the edge, a drop of exactly max_drop, passing is the mistake.
    edge = answers(np.random.default_rng(8), 0.08, 0.03, 400, 1000)
    assert sum(gate.answer == NO_WORSE for gate in edge) / 400 <= 0.05 + 0.02


def test_a_drop_of_five_points_is_found_in_time() -> None:
    done = answers(np.random.default_rng(7), 0.082, 0.032, 300, 2000)
    stops = sorted(gate.decided_at if gate.answer == WORSE else 2000 for gate in done)
    assert stops[150] <= 300


def test_once_decided_it_stays() -> None:
    gate = AnytimeGate(max_drop=0.05)
    for _ in range(40):
        gate.pair(-1.0)
    at = gate.decided_at
    low, high = gate.interval()
    assert gate.answer == WORSE
    assert -1.0 <= low <= high <= -0.5
    for _ in range(400):
        gate.pair(1.0)
    assert (gate.answer, gate.decided_at) == (WORSE, at)
    for wrong in (0.0, 1.0):
        with pytest.raises(BadInput):
            AnytimeGate(max_drop=wrong)
    with pytest.raises(BadInput):
        gate.pair(2.0)


def test_power_says_what_simulation_finds() -> None:
    design = Design(cases=300)
    assert design.power(0.05) == pytest.approx(0.83, abs=0.01)
    rng = np.random.default_rng(1)
    # Every case has a difficulty of its own and gets a little harder: the mean falls from .80 to .75.
    many = 5.4 * rng.standard_normal(200_000)
    old, new = (special.expit(many + shift) for shift in (4.789, 3.838))
    assert (old.mean(), new.mean()) == (pytest.approx(0.80, abs=0.005), pytest.approx(0.75, abs=0.005))
    promised = Design(cases=300, steadiness=1.0 - float((old * (1.0 - old)).mean()) / 0.16).power(
        old.mean() - new.mean()
    )
    found = 0
    for _ in range(600):
        luck = 5.4 * rng.standard_normal(300)
        before, after = (rng.random(300) < special.expit(luck + shift) for shift in (4.789, 3.838))
        found += paired_difference((after.astype(float) - before).tolist()).p_worse() < 0.05
    assert found / 600 == pytest.approx(promised, abs=0.06)


@given(st.integers(20, 2000), st.integers(1, 10), st.floats(0.02, 0.3), st.floats(0, 1))
def test_power_grows(cases: int, repeats: int, drop: float, steadiness: float) -> None:
    design = Design(cases=cases, repeats=repeats, steadiness=steadiness)
    more = Design(cases=cases * 2, repeats=repeats, steadiness=steadiness)
    again = Design(cases=cases, repeats=repeats + 1, steadiness=steadiness)
    assert 0.0 <= design.power(drop) <= more.power(drop) <= 1.0
    assert design.power(drop) <= again.power(drop) + 1e-12
    detectable = design.detectable()
    assert detectable == design.rate or design.power(detectable) == pytest.approx(0.8, abs=1e-6)
    needed = cases_needed(design, drop)
    if needed is not None and needed > 2:
        assert Design(cases=needed, repeats=repeats, steadiness=steadiness).power(drop) >= 0.8 - 1e-9


def test_impossible_plans_are_refused() -> None:
    for wrong in ({"cases": 1}, {"cases": 10, "repeats": 0}, {"cases": 10, "rate": 1.0}, {"cases": 10, "alpha": 0.6}):
        with pytest.raises(BadInput):
            Design(**wrong)  # type: ignore[arg-type]
