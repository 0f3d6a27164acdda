"""E-values and the e-detector: the guarantees by enumeration and simulation, and the power that is left."""

from __future__ import annotations

import itertools
import math
import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.stats import EDetector, TwoArmTest, lower_bound, paired_e_value


@pytest.mark.parametrize("n", [1, 2, 5, 30, 200])
def test_paired_e_value_averages_one_under_a_fair_coin(n: int) -> None:
    mean = sum(math.comb(n, wins) * paired_e_value(wins, n - wins) for wins in range(n + 1)) / 2**n
    assert mean == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("n", [14])
def test_paired_e_value_by_looking_after_each_pair(n: int) -> None:
    # Ville: over every path of a fair coin, at most 1/20 of the paths ever reach 20.
    reached = 0
    for path in itertools.product((0, 1), repeat=n):
        wins = 0
        for i, step in enumerate(path, start=1):
            wins += step
            if paired_e_value(wins, i - wins) >= 20:
                reached += 1
                break
    assert 0 < reached / 2**n <= 1 / 20


def test_paired_e_value_edges() -> None:
    assert paired_e_value(0, 0) == 1.0
    assert paired_e_value(12, 0) > 350
    assert paired_e_value(16, 1) > 500
    assert math.isfinite(paired_e_value(10**7, 0))
    assert paired_e_value(0, 10**7) == 0.0
    with pytest.raises(BadInput):
        paired_e_value(-1, 3)


@given(m0=st.floats(0.0, 1.0), center=st.floats(0.0, 1.0), values=st.lists(st.floats(0.0, 1.0), max_size=60))
def test_detector_never_leaves_its_range(m0: float, center: float, values: list[float]) -> None:
    detector = EDetector(1e6, center)
    for i, x in enumerate(values, start=1):
        value = detector.update(x, m0)
        assert 0.0 < value < math.inf
        assert 0 <= detector.n_since <= i


@pytest.mark.parametrize("m0", [0.5, 0.9])
def test_detector_gains_one_an_observation_at_the_edge_of_the_null(m0: float) -> None:
    # M_n - n is a martingale when the mean is m0: by enumeration over all outcomes of 10 coins.
    n, mean = 10, 0.0
    for path in itertools.product((0.0, 1.0), repeat=n):
        detector = EDetector(1e9, m0)
        for x in path:
            detector.update(x, m0)
        mean += detector.value * math.prod(m0 if x else 1 - m0 for x in path)
    assert mean == pytest.approx(n, rel=1e-9)


@pytest.mark.parametrize("m0", [0.5, 0.75])
def test_a_bound_of_its_own_is_bet_on_as_is_best_there(m0: float) -> None:
    # Bets for a mean near 1 are so large that they stake all they may on a bound as low as this.
    usual, own = EDetector(1e9, 0.999), EDetector(1e9, 0.999)
    for detector in (usual, own):
        for _ in range(3):
            detector.update(0.0, 0.999)
    held = usual.value
    assert usual.update(1.0, m0) < 0.06 * held
    assert own.update(1.0, m0, 0.5) > 0.5 * held
    # Exactly: at the edge of the null nothing is gained but the one stake.
    gains = [EDetector(1e9, 0.999).update(x, m0, 0.5) for x in (0.0, 1.0)]
    assert m0 * gains[1] + (1.0 - m0) * gains[0] == pytest.approx(1.0)
    with pytest.raises(BadInput):
        own.update(1.5, m0, 0.5)


@pytest.mark.parametrize("rates", [(0.9,), (0.5, 0.7, 0.99)])
def test_expected_run_length_is_at_least_the_threshold(rates: tuple[float, ...]) -> None:
    # At the very edge of the null; bounds may differ from one observation to the next (slices).
    rng = random.Random(3)
    lengths = []
    for _ in range(200):
        detector, n = EDetector(300.0, 0.9), 0
        while not detector.fired:
            rate = rng.choice(rates)
            detector.update(float(rng.random() < rate), rate)
            n += 1
        lengths.append(n)
    assert sum(lengths) / len(lengths) >= 300


@pytest.mark.parametrize(("drop", "published"), [(0.05, 896), (0.10, 230), (0.20, 74)])
def test_delay_is_near_the_published_figures(drop: float, published: int) -> None:
    rng = random.Random(17)
    delays = []
    for _ in range(25):
        reference = sum(rng.random() < 0.92 for _ in range(5000))
        m0 = lower_bound(reference, 5000, 0.01)
        detector, n = EDetector(1e6, m0), 0
        for _ in range(500):
            detector.update(float(rng.random() < 0.92), m0)
        while not detector.fired:
            detector.update(float(rng.random() < 0.92 - drop), m0)
            n += 1
        delays.append(n)
    assert published / 2 <= median(delays) <= published * 2


def test_onset_estimate_is_close() -> None:
    rng = random.Random(23)
    errors = []
    for _ in range(40):
        detector, n = EDetector(1e6, 0.9), 0
        for _ in range(1000):
            detector.update(float(rng.random() < 0.95), 0.9)
        while not detector.fired:
            detector.update(float(rng.random() < 0.6), 0.9)
            n += 1
        errors.append(abs(detector.n_since - n))
    assert median(errors) <= 10


def test_endless_evidence_stays_finite_and_reset_forgets() -> None:
    detector = EDetector(1e6, 0.9)
    for _ in range(20_000):
        detector.update(0.0, 0.95)
    assert math.isfinite(detector.value)
    assert detector.fired
    detector.reset()
    assert (detector.value, detector.fired, detector.n_since) == (0.0, False, 0)


def test_detector_refuses_nonsense() -> None:
    with pytest.raises(BadInput):
        EDetector(1.0, 0.9)
    detector = EDetector(100.0, 0.9)
    for x, m0 in ((math.nan, 0.5), (1.1, 0.5), (0.5, -0.1), (0.5, math.nan)):
        with pytest.raises(BadInput):
            detector.update(x, m0)


@pytest.mark.parametrize(("rates", "exposures"), [((0.8, 0.8), "UUE"), ((0.6, 0.9), "EEUUE"), ((0.5, 0.5), "UEUEE")])
def test_two_arms_average_at_most_one_under_the_null(rates: tuple[float, float], exposures: str) -> None:
    # By enumeration: exposed mean (second) at least the unexposed mean (first).
    mean = 0.0
    for path in itertools.product((0.0, 1.0), repeat=len(exposures)):
        test, chance = TwoArmTest(), 1.0
        for arm, x in zip(exposures, path, strict=True):
            rate = rates[arm == "E"]
            chance *= rate if x else 1 - rate
            test.update(arm == "E", x)
        mean += chance * test.value
    assert mean <= 1.0 + 1e-9


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_two_arms_rarely_fire_on_equals_however_often_one_looks(share: float) -> None:
    rng = random.Random(29)
    fired = 0
    for _ in range(150):
        test = TwoArmTest()
        for _ in range(600):
            name = rng.choice(("easy", "hard"))
            x = float(rng.random() < (0.95 if name == "easy" else 0.6))
            if test.update(rng.random() < share, x, name) >= 50:
                fired += 1
                break
    assert fired / 150 <= 0.05


@pytest.mark.parametrize(("share", "published"), [(0.1, 1278), (0.5, 684)])
def test_two_arms_find_a_ten_point_fall(share: float, published: int) -> None:
    rng = random.Random(31)
    needed = []
    for _ in range(40):
        test, n = TwoArmTest(), 0
        while test.value < 100:
            exposed = rng.random() < share
            test.update(exposed, float(rng.random() < (0.82 if exposed else 0.92)))
            n += 1
        needed.append(n)
    assert median(needed) <= published * 1.5


def test_two_arms_take_graded_values_and_refuse_others() -> None:
    test = TwoArmTest({"a": 0.9})
    for _ in range(200):
        test.update(True, 0.4, "a")
        test.update(False, 0.9, "a")
    assert 1e6 < test.value < math.inf
    assert (test.n_exposed, test.n_unexposed) == (200, 200)
    with pytest.raises(BadInput):
        test.update(True, 1.5)
