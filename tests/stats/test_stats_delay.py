"""How long a detector takes to see a fall, as it is promised and as it is."""

from __future__ import annotations

import math
import random

import pytest

from trimtab.core import BadInput
from trimtab.stats import EDetector, delay


@pytest.mark.parametrize(("usual", "low", "fall"), [(0.95, 0.94, 0.2), (0.9, 0.87, 0.2), (0.8, 0.79, 0.1)])
def test_half_of_the_falls_are_seen_a_little_sooner_than_promised(usual: float, low: float, fall: float) -> None:
    promised = delay(usual - fall, low, 1e7)
    seen = []
    for seed in range(40):
        draw, detector = random.Random(seed), EDetector(1e7, low)
        for _ in range(300):
            detector.update(float(draw.random() < usual), low)
        n = 0
        while not detector.fired and n < 10 * promised:
            detector.update(float(draw.random() < usual - fall), low)
            n += 1
        seen.append(n / promised)
    assert 0.5 < sorted(seen)[20] < 1.0
    assert sorted(seen)[37] < 2.0


def test_what_no_bet_can_win_is_never_seen() -> None:
    assert delay(0.95, 0.94, 1e7) == math.inf
    assert delay(0.94, 0.94, 1e7) == math.inf
    assert delay(0.0, 1.0, 10.0) > 0.0
    assert delay(0.5, 0.9, 1e7) < delay(0.8, 0.9, 1e7) < delay(0.8, 0.9, 1e9)


@pytest.mark.parametrize(("field", "values"), [("mean", (1.2, 0.9, 10.0)), ("m0", (0.5, -0.1, 10.0)),
                                               ("threshold", (0.5, 0.9, 1.0))])  # fmt: skip
def test_nonsense_is_named(field: str, values: tuple[float, float, float]) -> None:
    with pytest.raises(BadInput) as caught:
        delay(*values)
    assert caught.value.field == field
