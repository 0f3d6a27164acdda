"""The short cut of a detector in steady health changes nothing: every figure is that of the plain recursion."""

from __future__ import annotations

import random

import pytest

from trimtab.stats import EDetector


class NeverStill(EDetector):
    """The same detector without the short cut."""

    __slots__ = ()

    def _stands(self, factors: tuple[float, ...]) -> bool:
        return False


@pytest.mark.parametrize("center", [0.3, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("health", [1.0, 0.999, 0.6])
def test_it_tells_what_the_plain_recursion_tells(center: float, health: float) -> None:
    rng = random.Random(3)
    quick, plain = EDetector(1e6, center), NeverStill(1e6, center)
    still = 0
    for number in range(9000):
        x = 1.0 if rng.random() < health else rng.choice([0.0, 0.5])
        bound = center if number % 4000 else 0.5
        assert quick.update(x, bound) == plain.update(x, bound)
        assert (quick.fired, quick.n_since) == (plain.fired, plain.n_since)
        still += quick._still is not None
        if number == 6000:
            quick.aim(center * 0.9)
            plain.aim(center * 0.9)
    assert quick._sums == plain._sums
    assert quick._peaks == plain._peaks
    if health == 1.0 and center == 0.9:
        assert still > 1000  # the short cut is taken, or this test compares nothing


def test_a_reset_ends_it() -> None:
    detector, fresh = EDetector(1e6, 0.9), EDetector(1e6, 0.9)
    for _ in range(6000):
        detector.update(1.0, 0.9)
    assert detector._still
    detector.reset()
    assert detector.update(1.0, 0.9) == fresh.update(1.0, 0.9)
