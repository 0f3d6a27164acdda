"""The watch on simulated traffic: it stays silent when nothing fell, and speaks soon when something did."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count, islice
from statistics import median

import pytest

from trimtab.core import Score, Stamp
from trimtab.watch import REST, Alarm, Watch, default_monitors

SLICES = {"billing": 0.98, "setup": 0.95, "api": 0.92, "limits": 0.88, "legal": 0.75, "other": 0.60}
USUAL = (30, 25, 20, 12, 8, 5)
SHIFTED = (15, 20, 20, 15, 15, 15)
STAMP = Stamp(model="scripted/steady=simulated@sim_a", prompt="support/14", guard="default/2", route="support/1")


def watch(**settings: int) -> Watch:
    return Watch([m for m in default_monitors(lambda _: "mara") if m.signal == "quality"], **settings)


def score(i: int, slice: str, value: float, *, name: str = "quality", stamp: Stamp = STAMP) -> Score:
    return Score(
        id=str(i), trace_id=f"t{i}", name=name, value=value, by="judge:quality", by_version="quality/3",
        time_ns=1_000 * i, slice=slice, stamp=stamp,
    )  # fmt: skip


def traffic(rng: random.Random, mix: tuple[int, ...], drop: Callable[[str], float], start: int = 0) -> Iterator[Score]:
    names = list(SLICES)
    for i in count(start):
        name = rng.choices(names, mix)[0]
        yield score(i, name, float(rng.random() < SLICES[name] - drop(name)))


def healthy(_: str) -> float:
    return 0.0


def first_alarm(watch: Watch, scores: Iterator[Score], limit: int) -> tuple[int, Alarm | None]:
    for n, seen in enumerate(islice(scores, limit), start=1):
        if alarms := watch.observe([seen]):
            return n, alarms[0]
    return limit, None


def test_two_hundred_thousand_healthy_scores_through_a_mix_shift_raise_nothing() -> None:
    rng = random.Random(1)
    seen = watch(reference=300)
    assert seen.observe(list(islice(traffic(rng, USUAL, healthy), 100_000))) == []
    assert seen.observe(list(islice(traffic(rng, SHIFTED, healthy, 100_000), 100_000))) == []
    assert set(seen.baselines("quality")) == set(SLICES)


def test_a_mix_that_changes_every_thousand_values_keeps_the_budget() -> None:
    rng = random.Random(0)
    seen = watch(false_alarms_per=1_000)
    alarms = 0
    for block in range(20):
        mix = tuple(round(1_000 * rng.gammavariate(4.0, 1.0)) for _ in SLICES)
        for one in islice(traffic(rng, mix, healthy, 1_000 * block), 1_000):
            if found := seen.observe([one]):
                alarms += len(found)
                seen.rearm("quality")
    assert alarms <= 20


def test_short_references_raise_nothing_either() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        seen = watch()
        assert seen.observe(list(islice(traffic(rng, USUAL, healthy), 5_000))) == []
        assert seen.observe(list(islice(traffic(rng, SHIFTED, healthy, 5_000), 5_000))) == []


def test_a_new_slice_raises_nothing_however_bad_it_is() -> None:
    rng = random.Random(2)
    seen = watch()
    assert seen.observe(list(islice(traffic(rng, USUAL, healthy), 5_000))) == []
    newcomers = [score(5_000 + i, "new tenant", float(rng.random() < 0.3)) for i in range(2_000)]
    assert seen.observe(newcomers) == []


@pytest.mark.parametrize(("drop", "published"), [(0.10, 230), (0.20, 74)])
def test_delay_with_a_long_reference_is_near_the_published_figures(drop: float, published: int) -> None:
    delays = []
    for seed in range(15):
        rng = random.Random(seed)
        seen = watch(reference=5_000)
        seen.observe([score(i, "", float(rng.random() < 0.92)) for i in range(6_000)])
        falling = (score(i, "", float(rng.random() < 0.92 - drop)) for i in count(6_000))
        n, alarm = first_alarm(seen, falling, 5_000)
        assert alarm is not None
        delays.append(n)
    assert published / 2 <= median(delays) <= published * 2


def test_a_fall_in_one_slice_is_found_by_its_own_detector() -> None:
    rng = random.Random(4)
    seen = watch(reference=300)
    seen.observe(list(islice(traffic(rng, USUAL, healthy), 12_000)))
    falling = traffic(rng, USUAL, lambda name: 0.25 if name == "api" else 0.0, 12_000)
    n, alarm = first_alarm(seen, falling, 5_000)
    assert alarm is not None
    assert alarm.slice == "api"
    assert n < 2_000
    assert alarm.baseline == pytest.approx(0.92, abs=0.05)
    assert 0.4 < alarm.now < 0.75


def test_an_alarm_tells_what_fell_and_since_when() -> None:
    rng = random.Random(6)
    seen = watch()
    seen.observe(list(islice(traffic(rng, USUAL, healthy), 8_000)))
    n, alarm = first_alarm(seen, traffic(rng, USUAL, lambda _: 0.5, 8_000), 2_000)
    assert alarm is not None
    assert (alarm.signal, alarm.slice, alarm.monitor.owner) == ("quality", "", "mara")
    assert alarm.e_value >= alarm.threshold == 2e6
    assert alarm.time_ns == 1_000 * (8_000 + n - 1)
    assert abs(alarm.onset_ns - 8_000_000) <= 30_000
    assert abs(alarm.n_since - n) <= 30
    assert alarm.baseline - alarm.now == pytest.approx(0.5, abs=0.2)


def test_a_detector_that_alarmed_is_quiet_until_rearmed() -> None:
    seen = watch()
    seen.observe([score(i, "", 1.0) for i in range(60)])
    alarms = seen.observe([score(i, "", 0.0) for i in range(60, 200)])
    assert sorted(alarm.slice for alarm in alarms) == ["", ""]
    assert seen.observe([score(i, "", 0.0) for i in range(200, 300)]) == []
    seen.rearm("quality")
    assert seen.baselines("quality")[""].mean == 1.0
    again = seen.observe([score(i, "", 0.0) for i in range(300, 400)])
    assert len(again) == 2
    assert again[0].onset_ns == 300_000
    seen.refreeze("quality")
    assert not seen.armed("quality")
    assert seen.observe([score(i, "", 0.0) for i in range(400, 600)]) == []
    assert seen.baselines("quality")[""].mean == 0.0


def test_a_signal_that_was_always_perfect_is_found_in_a_dozen_failures() -> None:
    seen = watch()
    seen.observe([score(i, "", 1.0) for i in range(60)])
    assert seen.baselines("quality")[""].low == pytest.approx((5e-3 / 2.6124) ** (1 / 60))
    n, alarm = first_alarm(seen, (score(i, "", 0.0) for i in count(60)), 200)
    assert alarm is not None
    assert n <= 13


def test_more_slices_than_the_cap_share_one() -> None:
    seen = watch(reference=5)
    seen.observe([score(i, f"tenant-{i % 100}", 1.0) for i in range(2_000)])
    names = set(seen.baselines("quality"))
    assert len(names) == 65
    assert REST in names
    kept, baselines = seen.evidence("quality", REST)
    assert set(baselines) == {REST}
    assert len(kept) == 36 * 20


def test_evidence_is_bounded() -> None:
    seen = watch()
    seen.observe([score(i, "", 1.0) for i in range(21_000)])
    kept, _ = seen.evidence("quality")
    assert len(kept) == 20_000
    assert kept[-1].trace_id == "t20999"
