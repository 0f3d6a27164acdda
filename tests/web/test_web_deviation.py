"""What a heat cell says: a fall in any slice shows, a shift of the mix does not, missing is never usual."""

from __future__ import annotations

import random

from trimtab.watch import Baseline
from trimtab.web.charts import level
from trimtab.web.deviation import Tally, expected, rate_z, stratified_z, value_z

BASELINES = {
    "easy": Baseline(slice="easy", n=200, mean=0.98, low=0.9),
    "hard": Baseline(slice="hard", n=200, mean=0.60, low=0.5),
}


def cell(**passed: tuple[int, float]) -> list[Tally]:
    return [Tally(slice=name, n=n, total=total) for name, (n, total) in passed.items()]


def test_a_shift_of_the_mix_alone_moves_nothing() -> None:
    mostly_easy, mostly_hard = cell(easy=(95, 93), hard=(5, 3)), cell(easy=(5, 5), hard=(95, 57))
    for z in (stratified_z(mostly_easy, BASELINES), stratified_z(mostly_hard, BASELINES)):
        assert z is not None
        assert abs(z) < 1


def test_a_fall_in_one_slice_shows_and_a_rise_does_not() -> None:
    fallen = stratified_z(cell(easy=(50, 20), hard=(50, 30)), BASELINES)
    risen = stratified_z(cell(easy=(50, 50), hard=(50, 50)), BASELINES)
    assert fallen is not None
    assert fallen >= 6
    assert level(risen) == "q0"


def test_without_a_measurement_or_a_baseline_there_is_no_deviation() -> None:
    assert stratified_z([], BASELINES) is None
    assert stratified_z(cell(new=(50, 0)), BASELINES) is None
    assert expected(cell(new=(50, 0)), BASELINES) is None
    assert expected(cell(easy=(10, 0), hard=(30, 0)), BASELINES) == (10 * 0.98 + 30 * 0.6) / 40


def test_a_perfect_baseline_does_not_make_one_failure_an_alarm() -> None:
    perfect = {"": Baseline(slice="", n=60, mean=1.0, low=0.9)}
    one = stratified_z([Tally(slice="", n=40, total=39)], perfect)
    many = stratified_z([Tally(slice="", n=40, total=30)], perfect)
    assert one is not None
    assert one < 3
    assert level(many) == "q5"


def test_healthy_cells_rarely_leave_the_usual_range() -> None:
    draw = random.Random(3)
    unusual = 0
    for _ in range(2000):
        reference = sum(draw.random() < 0.9 for _ in range(60)) / 60
        usual = {"": Baseline(slice="", n=60, mean=reference, low=0.7)}
        z = stratified_z([Tally(slice="", n=30, total=sum(draw.random() < 0.9 for _ in range(30)))], usual)
        unusual += z is not None and z >= 3
    assert unusual < 2000 * 0.02


def test_rates_and_values_are_compared_with_the_windows_own_middle() -> None:
    rates = rate_z([(0, 50)] * 9 + [(20, 50), None])
    assert rates[0] is not None
    assert abs(rates[0]) < 1
    assert level(rates[9]) in ("q4", "q5")
    assert rates[10] is None
    assert rate_z([(1, 10), None]) == [None, None]
    values = value_z([1.0, 1.05, 0.98, 1.02, 3.0, None])
    assert level(values[4]) == "q5"
    assert level(values[3]) == "q0"
    assert values[5] is None
    assert value_z([1.0, None]) == [None, None]


def test_one_error_among_ten_requests_is_no_alarm() -> None:
    zs = rate_z([(0, 10)] * 10 + [(1, 10)])
    assert zs[10] is not None
    assert zs[10] < 2
