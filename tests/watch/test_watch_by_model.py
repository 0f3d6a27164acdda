"""Verdicts by model: a fault of one of two is told sooner, and traffic that moves between them raises nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

import pytest

from trimtab.core import BadInput, Score, Stamp
from trimtab.watch import Alarm, Watch, default_monitors

PASSES = {"alpha/large": 0.95, "beta/small": 0.88}


def watch() -> Watch:
    return Watch([m for m in default_monitors(lambda _: "mara") if m.signal == "quality"], reference=300)


def answer(i: int, model: str, passes: float, rng: random.Random) -> list[Score]:
    """The scores of one answer that no check found fault with; ``model`` is empty where it is not known."""
    stamp = Stamp(model=model, prompt="support/14", route="support/1")
    told = (("grounded", 1.0, "check:grounded", ""), ("quality", float(rng.random() < passes), "judge:q", "quality/3"))
    return [
        Score(
            id=f"{i}:{name}", trace_id=f"t{i}", name=name, value=value, by=by, by_version=version, time_ns=10**8 * i,
            slice=("billing", "setup")[i % 2], stamp=stamp,
        )
        for name, value, by, version in told
    ]  # fmt: skip


def answers(
    rng: random.Random, fall: float = 0.0, *, beta: float = 0.4, build: str = "1", start: int = 0
) -> Iterator[list[Score]]:
    """``fall`` is how many more of alpha's answers fail, and ``beta`` how many beta gives."""
    for i in count(start):
        model = "beta/small" if rng.random() < beta else "alpha/large"
        passes = PASSES[model] - (fall if model == "alpha/large" else 0.0)
        yield answer(i, f"{model}=reported-{build}@fp", passes, rng)


def nameless(found: Iterator[list[Score]]) -> Iterator[list[Score]]:
    """The same answers where nobody says which model gave them."""
    for scores in found:
        yield [replace(one, stamp=replace(one.stamp, model="")) for one in scores]


def fed(seen: Watch, found: Iterator[list[Score]], n: int) -> list[Alarm]:
    return [alarm for scores in islice(found, n) for alarm in seen.observe(scores)]


def told(seen: Watch, found: Iterator[list[Score]], limit: int) -> tuple[int, Alarm | None]:
    for n, scores in enumerate(islice(found, limit), start=1):
        if alarms := seen.observe(scores):
            return n, alarms[0]
    return limit, None


def test_a_fault_of_one_of_two_models_is_told_sooner_than_where_models_are_not_known() -> None:
    soon, late = [], []
    for seed in range(3):
        rng = random.Random(seed)
        past, falling = list(islice(answers(rng), 8_000)), list(islice(answers(rng, 0.06, start=8_000), 4_000))
        apart, together = watch(), watch()
        assert fed(apart, iter(past), 8_000) == fed(together, nameless(iter(past)), 8_000) == []
        n, alarm = told(apart, iter(falling), 4_000)
        assert alarm is not None
        assert (alarm.signal, alarm.slice, alarm.monitor.owner) == ("quality", "", "mara")
        assert alarm.now < alarm.baseline
        assert alarm.model == "alpha/large"
        soon.append(n)
        n, alarm = told(together, nameless(iter(falling)), 4_000)
        assert alarm is not None
        assert alarm.model == ""
        late.append(n)
    assert sum(soon) < 0.85 * sum(late)


def test_traffic_that_moves_to_a_model_that_always_was_worse_is_no_fall_of_that_model() -> None:
    rng = random.Random(3)
    seen = watch()
    fed(seen, answers(rng), 6_000)
    fed(seen, answers(rng, beta=0.9, start=6_000), 3_000)
    _, *models = seen._sound.streams
    assert [model.suspicion < 1_000.0 for model in models] == [True, True]


def test_another_build_of_a_model_is_compared_with_the_one_before() -> None:
    rng = random.Random(5)
    seen = watch()
    fed(seen, answers(rng), 6_000)
    assert told(seen, answers(rng, 0.15, build="2", start=6_000), 1_000)[1] is not None
    assert len(seen._sound.streams) == 3, "all, alpha and beta"


def test_a_fall_that_a_model_told_is_told_once_and_forgotten_when_it_is_mended() -> None:
    rng = random.Random(7)
    seen = watch()
    fed(seen, answers(rng), 8_000)
    raised = fed(seen, answers(rng, 0.25, start=8_000), 3_000)
    assert [alarm.slice for alarm in raised].count("") == 1
    assert seen.standing("quality").fired
    seen.rearm("quality")
    assert not seen.standing("quality").fired
    assert fed(seen, answers(rng, start=11_000), 1_000) == []


def test_only_so_many_models_are_told_apart_and_a_nameless_one_never_is() -> None:
    rng = random.Random(9)
    seen = watch()
    for i in range(60):
        seen.observe(answer(i, f"vendor/model-{i % 12}=x@y" if i % 5 else "", 1.0, rng))
    assert len(seen._sound.streams) == 1 + 8


def test_a_model_that_is_gone_makes_room_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.watch.by_model._GONE", 40)
    rng = random.Random(10)
    seen = watch()

    def asked(*models: str) -> list[str]:
        for i in range(60):
            seen.observe(answer(i, f"{models[i % len(models)]}=x@y", 1.0, rng))
        return list(seen.state()["sound"]["models"])

    first = [f"vendor/old-{i}" for i in range(8)]
    assert asked(*first) == first
    assert asked(*first, "vendor/new") == first, "all of them still answer"
    assert asked(*first[1:], "vendor/new") == [*first[1:], "vendor/new"]
    again = watch()
    again.restore(seen.state())
    seen = again
    assert asked("vendor/newest", "vendor/new") == [*first[2:], "vendor/new", "vendor/newest"]


def test_a_floor_for_all_answers_is_none_for_those_of_each_model() -> None:
    """Of all answers 92 in 100 pass, and of one model's 80; no fewer than 90 may."""
    (monitor,) = watch().monitors
    for seed in range(2):
        rng = random.Random(seed)
        seen = Watch([replace(monitor, detector="floor", threshold=0.9)], reference=300)
        healthy = (answer(i, f"m/{i % 5 == 0}", 0.8 if i % 5 == 0 else 0.95, rng) for i in count())
        assert fed(seen, healthy, 4_000) == []


def test_models_are_told_apart_only_where_nobody_set_a_threshold() -> None:
    rng = random.Random(14)
    (monitor,) = watch().monitors
    seen = watch()
    fed(seen, answers(rng), 100)
    kept = seen.state()
    for other in (replace(monitor, threshold=0.05), replace(monitor, slice="billing")):
        seen.adopt([other])
        fed(seen, answers(rng, start=100), 100)
        assert len(seen._sound.streams) == 1
        again = Watch([other], reference=300)
        again.restore(kept)
        assert again.state()["sound"]["models"] == {}
    seen.adopt([monitor])
    fed(seen, answers(rng, start=200), 100)
    assert len(seen._sound.streams) == 3


def test_references_by_model_outlive_a_restart() -> None:
    rng = random.Random(11)
    seen = watch()
    fed(seen, answers(rng), 3_000)
    kept = json.loads(json.dumps(seen.state()))
    assert sorted(kept["sound"]["models"]) == sorted(PASSES)
    again = watch()
    again.restore(kept)
    assert again.state() == kept
    assert [s.baselines for s in again._sound.streams] == [s.baselines for s in seen._sound.streams]
    assert told(again, answers(rng, 0.2, start=3_000), 1_000)[1] is not None
    del kept["sound"]["models"]["alpha/large"]["sessions"]
    for broken in (kept["sound"]["models"], ["alpha/large"], None):
        with pytest.raises(BadInput, match="sound answers"):
            watch().restore({**kept, "sound": {**kept["sound"], "models": broken}})


def test_what_a_release_before_kept_begins_models_anew() -> None:
    rng = random.Random(13)
    seen = watch()
    fed(seen, answers(rng), 2_000)
    kept = seen.state()
    del kept["sound"]["models"]
    again = watch()
    again.restore(kept)
    assert len(again._sound.streams) == 1
    fed(again, answers(rng, start=2_000), 50)
    assert len(again._sound.streams) == 3


def test_models_and_slices_share_what_tells_parts_of_the_traffic_apart() -> None:
    rng = random.Random(15)
    seen = watch()
    fed(seen, answers(rng), 3_000)
    again = watch()
    again.restore(seen.state())
    for each in (seen, again):
        whole, (sound, *models) = each._streams["quality"], each._sound.streams
        threshold = each.threshold_of("quality")
        assert threshold == 4e6
        asked = [(s._bets.every.threshold, {p.detector.threshold for p in s._bets.armed if p.detector}) for s in
                 (whole, sound, *models)]  # fmt: skip
        assert asked == [
            (threshold, {threshold}), (threshold, {2.0 * threshold}), *[(2.0 * threshold, {float("inf")})] * 2,
        ]  # fmt: skip
    whole, (sound, *models) = seen._streams["quality"], seen._sound.streams
    (stands,) = {part.e_value / d.value for part in sound.standing().slices
                 if (d := sound._slices[part.slice].detector) is not None}  # fmt: skip
    assert stands == 0.5, "they stand by what an alarm of all verdicts takes"
    closer = replace(models[0].standing(), e_value=6e6)
    assert whole.standing().joined(closer).e_value == 3e6
    # A value is a bet of each kind of detector once: together they alarm as often as four at the threshold.
    assert sum(1.0 / every + 1.0 / each for every, (each,) in ((e, tuple(o)) for e, o in asked[:3])) == 4.0 / threshold
