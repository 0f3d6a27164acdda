"""Verdicts are bet against what is usual, and long runs must say more: sooner, and no falser on average."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import pytest

from trimtab.stats import EDetector
from trimtab.watch import Alarm, Observation, Served, allowance, default_monitors
from trimtab.watch.allowance import Stretch
from trimtab.watch.monitors import Monitor
from trimtab.watch.parts import Group, Part
from trimtab.watch.reference import Reference
from trimtab.watch.roster import Watchers
from trimtab.watch.stream import Stream

#: What passes in each slice, and how much of the traffic it is.
RATES, SHARES = {"billing": 0.97, "setup": 0.93, "legal": 0.85}, (0.5, 0.3, 0.2)
THRESHOLD = 4e6


def the_monitor(signal: str) -> Monitor:
    return next(m for m in default_monitors(lambda _: "mara") if m.signal == signal)


def stream(signal: str = "quality", threshold: float = THRESHOLD, **changes: object) -> Stream:
    monitor = replace(the_monitor(signal), **changes)  # type: ignore[arg-type]
    return Stream(Watchers(signal=signal, general=monitor), 60, threshold)


def values(rng: random.Random, n: int, fall: float = 0.0) -> list[Observation]:
    names = rng.choices(list(RATES), SHARES, k=n)
    served = Served(time_ns=0, trace_id="t", pins={})
    return [Observation(served, name, float(rng.random() < RATES[name] - fall)) for name in names]


def fed(seen: Stream, found: Sequence[Observation], at_once: int = 10) -> tuple[int, list[Alarm]]:
    """How many values it took until it alarmed, 0 for never."""
    for start in range(0, len(found), at_once):
        if alarms := seen.take(found[start : start + at_once]):
            return start + at_once, alarms
    return 0, []


def test_a_small_fall_of_verdicts_is_seen_sooner_than_that_of_a_signal_bet_against_bounds() -> None:
    soon = late = 0
    for seed in range(4):
        rng = random.Random(seed)
        past, falling = values(rng, 12_000), values(rng, 4_000, 0.05)
        near, far = stream(), stream("grounded")
        assert fed(near, past) == (0, [])
        assert fed(far, past) == (0, [])
        found = fed(near, falling)[0]
        assert found
        soon += found
        late += fed(far, falling)[0] or len(falling)
    assert soon < 0.8 * late


def test_false_alarms_stay_within_the_budget_on_average_over_references() -> None:
    threshold, alarms, taken = 2_000.0, 0, 0
    for seed in range(12):
        rng = random.Random(f"healthy/{seed}")
        seen = stream(threshold=threshold)
        fed(seen, values(rng, 1_500))
        seen.rearm()
        for _ in range(500):
            found = seen.take(values(rng, 10))
            taken += 10
            if found:
                alarms += len(found)
                seen.rearm()
    # Each value is a bet of two detectors.
    assert 0 < alarms < 2.0 * taken / threshold


@pytest.mark.parametrize("at_once", [1, 50])
def test_an_unlucky_mean_alone_raises_nothing(at_once: int) -> None:
    """A reference a little above the truth: what would alarm by a mean taken for certain."""
    rng = random.Random(5)
    seen = stream()
    fed(seen, values(rng, 3_000, -0.006))
    seen.rearm()
    assert fed(seen, values(rng, 20_000), at_once) == (0, [])


def test_an_alarm_tells_a_run_with_the_evidence_that_its_length_asks_for() -> None:
    rng = random.Random(7)
    seen = stream()
    fed(seen, values(rng, 12_000))
    _, (alarm, *_) = fed(seen, values(rng, 12_000, 0.05))
    assert alarm.e_value >= THRESHOLD
    assert alarm.now < alarm.baseline
    assert seen.standing().fired
    seen.rearm()
    standing = seen.standing()
    assert (standing.fired, standing.threshold) == (False, THRESHOLD)
    assert not seen._bets.every.fired
    assert seen._bets.every.threshold == THRESHOLD


def test_a_threshold_that_somebody_set_is_bet_against_as_it_stands() -> None:
    rng = random.Random(9)
    floor = stream()
    monitor = replace(the_monitor("quality"), detector="floor", threshold=0.8)
    floor.adopt(Watchers(signal="quality", general=monitor))
    fed(floor, values(rng, 3_000))
    assert {part.low for part in floor._bets.armed} == {0.8}
    assert {part.above for part in floor._bets.armed} == {0.0}


def test_what_people_read_is_the_bound_that_surely_holds_and_the_evidence_against_it() -> None:
    rng = random.Random(11)
    seen = stream()
    fed(seen, values(rng, 12_000))
    for name, baseline in seen.baselines.items():
        assert baseline.low < RATES[name]
        assert baseline.low < baseline.mean
    seen.take(values(rng, 500, 0.03))
    every = seen._bets.every
    assert seen.standing().e_value <= max(every.value, *(part.detector.value for part in seen._bets.armed))  # type: ignore[union-attr]
    assert seen.suspicion < every.value


def a_part(n: int, mean: float, above: float) -> Part:
    part = Part("billing", 60)
    part.reference = Reference.known(n, mean, mean - above)
    part.group, part.above = Group(mean), above
    return part


def fired(threshold: float) -> EDetector:
    detector = EDetector(threshold, 0.9)
    while not detector.fired:
        detector.update(0.0, 0.9)
    return detector


def a_run(n: int, reference: int, above: float) -> list[Stretch]:
    part = a_part(reference, 0.9, above)
    return [Stretch(n, part.reference, part.above)]


def test_a_run_needs_the_more_the_longer_it_is_beside_its_reference() -> None:
    assert allowance.enough(fired(1e6), 1e6, a_run(10, 100_000, 0.01))
    detector = fired(1e6)
    assert not allowance.enough(detector, 1e6, a_run(600, 600, 0.05))
    assert not detector.fired
    assert detector.threshold > 1e6
    assert math.log(detector.threshold) <= math.log(detector.value) + math.log(2.0)


def test_it_never_needs_more_than_betting_against_bounds_would() -> None:
    assert not allowance.enough(fired(1e6), 1e6, a_run(600, 600, 0.05))
    assert allowance.enough(fired(1e6), 1e6, a_run(600, 600, 1e-9))


def test_a_slice_that_lost_little_is_bet_against_its_bound() -> None:
    assert allowance.usual(a_part(600, 0.99, 0.02), 0.97) == 0.97
    assert allowance.usual(a_part(6_000, 0.99, 0.02), 0.97) == 0.99
    assert allowance.usual(a_part(6_000, 0.98, 0.02), 0.985) == 0.985, "what sinks slowly is bet against its height"


def test_evidence_against_bounds_is_less() -> None:
    detector = fired(1e6)
    assert allowance.against_bounds(detector, 0.01) == detector.value, "it was told"
    detector.fired = False
    assert 1.0 <= allowance.against_bounds(detector, 0.05) < detector.value
    assert allowance.against_bounds(detector, 0.0) == detector.value


def test_a_run_is_counted_by_slice() -> None:
    served = Served(time_ns=0, trace_id="t", pins={})
    evidence = deque(Observation(served, name, 1.0) for name in ("billing", "setup", "billing", "billing", "unknown"))
    billing, detector = a_part(600, 0.9, 0.01), fired(1e6)
    detector.reset()
    for _ in range(4):
        detector.update(0.0, 0.9)
    (run,) = allowance.shared_run(detector, evidence, [billing, Part("legal", 60)])
    assert (run.n, run.reference, run.above) == (2, billing.reference, 0.01)
    for _ in range(6):
        detector.update(0.0, 0.9)
    (run,) = allowance.shared_run(detector, evidence, [billing])
    assert run.n == 6.0, "only half of the run is kept"


def test_a_slice_without_a_reference_weighs_what_it_brings() -> None:
    """One value in fifty is of a slice that has its reference late: until then, and after, it is about a fiftieth."""
    seen = stream("thumb")
    rng = random.Random(1)
    served = Served(time_ns=0, trace_id="t", pins={})
    shares = []
    for _ in range(8_000):
        name = "legal" if rng.random() < 0.02 else "billing"
        seen.take([Observation(served, name, float(rng.random() < 0.9))])
        weights = {name: part.recent for name, part in seen._slices.items()}
        shares.append(weights.get("legal", 0.0) / sum(weights.values()))
    assert {part.name for part in seen._bets.armed} == {"billing", "legal"}
    assert max(shares[600:]) < 0.06
