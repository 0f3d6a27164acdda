"""A second look at the verdicts: of answers that no check found fault with."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

import pytest

from trimtab.core import BadInput, Score, Stamp
from trimtab.watch import Alarm, Watch, default_monitors
from trimtab.watch.sound import _since

STAMP = Stamp(model="scripted/steady=simulated@sim_a", prompt="support/14", route="support/1")
#: Of the answers one in ten fails a check, and four of five of those fail before the judge too.
DOUBTFUL, PASSES_DOUBTFUL, PASSES_SOUND = 0.10, 0.2, 0.97


def watch() -> Watch:
    return Watch([m for m in default_monitors(lambda _: "mara") if m.signal == "quality"], reference=300)


def score(i: int, name: str, value: float) -> Score:
    by, version = ("judge:quality", "quality/3") if name == "quality" else (f"check:{name}", "")
    return Score(
        id=f"{i}:{name}", trace_id=f"t{i}", name=name, value=value, by=by, by_version=version, time_ns=10**8 * i,
        slice="billing", stamp=STAMP,
    )  # fmt: skip


def answers(
    rng: random.Random, fall: float = 0.0, *, unsound: float = DOUBTFUL, start: int = 0
) -> Iterator[list[Score]]:
    """``fall`` is how many more of the sound answers fail before the judge; ``unsound`` how many fail a check."""
    for i in count(start):
        doubtful = rng.random() < unsound
        passes = PASSES_DOUBTFUL if doubtful else PASSES_SOUND - fall
        yield [score(i, "grounded", float(not doubtful)), score(i, "quality", float(rng.random() < passes))]


def told(seen: Watch, found: Iterator[list[Score]], limit: int) -> tuple[int, Alarm | None]:
    for n, scores in enumerate(islice(found, limit), start=1):
        if alarms := seen.observe(scores):
            return n, alarms[0]
    return limit, None


def fed(seen: Watch, found: Iterator[list[Score]], n: int) -> list[Alarm]:
    return [alarm for scores in islice(found, n) for alarm in seen.observe(scores)]


def test_what_no_check_sees_is_told_sooner_than_from_all_verdicts_alone() -> None:
    soon, late = [], []
    for seed in range(4):
        rng = random.Random(seed)
        both, alone = watch(), watch()
        for scores in islice(answers(rng), 6_000):
            assert both.observe(scores) == []
            assert alone.observe(scores[1:]) == []
        falling = list(islice(answers(rng, 0.05, start=6_000), 4_000))
        n, alarm = told(both, iter(falling), 4_000)
        assert alarm is not None
        assert (alarm.signal, alarm.monitor.owner) == ("quality", "mara")
        soon.append(n)
        late.append(told(alone, ([scores[1]] for scores in falling), 4_000)[0])
    assert sum(soon) < 0.75 * sum(late)


def test_an_alarm_of_the_sound_ones_says_how_far_all_verdicts_fell() -> None:
    rng = random.Random(3)
    seen = watch()
    fed(seen, answers(rng), 6_000)
    n, alarm = told(seen, answers(rng, 0.15, start=6_000), 2_000)
    assert alarm is not None
    usual = DOUBTFUL * PASSES_DOUBTFUL + (1.0 - DOUBTFUL) * PASSES_SOUND
    assert alarm.baseline == pytest.approx(usual, abs=0.02)
    assert alarm.now < usual - 0.05
    assert 0 < alarm.n_since <= n + 60


def test_more_answers_that_fail_a_check_are_no_fall_of_the_sound_ones() -> None:
    rng = random.Random(5)
    seen = watch()
    fed(seen, answers(rng), 6_000)
    n, alarm = told(seen, answers(rng, unsound=0.4, start=6_000), 1_000)
    assert alarm is not None, "all verdicts fall"
    assert n < 300
    assert seen.standing("quality").fired
    seen.rearm("quality")
    assert not seen.standing("quality").fired


def test_the_signal_shares_its_budget_once_there_are_checks() -> None:
    seen = watch()
    assert seen.threshold_of("quality") == 2e6
    seen.observe([score(0, "quality", 1.0)])
    assert seen.threshold_of("quality") == 2e6, "without checks there is nothing to look at twice"
    seen.observe([score(1, "grounded", 1.0), score(1, "quality", 1.0)])
    assert seen.threshold_of("quality") == 4e6
    assert seen.standing("quality").threshold == 4e6


def test_healthy_answers_raise_nothing() -> None:
    for seed in range(4):
        rng = random.Random(f"healthy/{seed}")
        assert fed(watch(), answers(rng), 6_000) == []


def test_references_outlive_a_restart() -> None:
    rng = random.Random(7)
    seen = watch()
    fed(seen, answers(rng), 6_000)
    kept = json.loads(json.dumps(seen.state()))
    again = watch()
    again.restore(kept)
    assert again.state() == kept
    assert again.threshold_of("quality") == 4e6
    falling = list(islice(answers(rng, 0.2, start=6_000), 1_000))
    assert told(again, iter(falling), 1_000)[1] is not None
    again.refreeze("quality")
    assert again.state()["sound"]["references"] == {}
    del kept["sound"]["sessions"]
    with pytest.raises(BadInput, match="sound answers"):
        watch().restore(kept)


def test_what_a_release_before_kept_is_taken_over() -> None:
    rng = random.Random(9)
    seen = watch()
    fed(seen, answers(rng), 1_000)
    kept = seen.state()
    del kept["sound"]
    again = watch()
    again.restore(kept)
    assert again.baselines("quality") == seen.baselines("quality")


@pytest.mark.parametrize("size", [1, 100])
def test_a_fall_is_told_once_whoever_sees_it_first(size: int) -> None:
    rng = random.Random(11)
    seen = watch()
    fed(seen, answers(rng), 6_000)
    falling = list(islice(answers(rng, 0.4, start=6_000), 1_500))
    alarms: list[Alarm] = []
    for first in range(0, len(falling), size):
        scores = [one for answer in falling[first : first + size] for one in answer]
        alarms += seen.observe(scores, more=size > 1)
    alarms += seen.due()
    assert sorted(alarm.slice for alarm in alarms) == ["", "billing"]


def test_who_looks_while_a_batch_waits_takes_no_alarm_away() -> None:
    """All verdicts and the sound ones may fire at once then, and each takes the other for having told."""
    rng = random.Random(12)
    seen = watch()
    fed(seen, answers(rng), 6_000)
    told = [one for answer in islice(answers(rng, 0.6, start=6_000), 400) for one in answer]
    falling = [replace(one, time_ns=10**12 + one.time_ns // 1_000) for one in told]
    alarms = seen.observe(falling[:400], more=True)
    assert alarms == [], "it waits for more"
    seen.state()
    assert seen.standing("quality").fired
    alarms = [*seen.observe(falling[400:], more=True), *seen.due()]
    assert sorted(alarm.slice for alarm in alarms) == ["", "billing"]


def test_an_alarm_of_the_sound_ones_tells_of_a_fall_even_where_all_verdicts_rise() -> None:
    rng = random.Random(13)
    seen = watch()
    fed(seen, answers(rng, unsound=0.3), 6_000)
    _, alarm = told(seen, answers(rng, 0.10, unsound=0.0, start=6_000), 2_000)
    assert alarm is not None
    assert alarm.now < alarm.baseline


def test_a_slice_stands_as_its_stronger_detector_does() -> None:
    rng = random.Random(17)
    seen = watch()
    fed(seen, answers(rng), 6_000)
    _, alarm = told(seen, answers(rng, 0.06, start=6_000), 4_000)
    assert alarm is not None
    standing = seen.standing("quality")
    assert standing.e_value == max(standing.e_value, *(part.e_value for part in standing.slices))
    if alarm.slice:
        assert standing.slices[0].fired
    assert standing.slices[0].e_value >= seen._sound.streams[0].standing().slices[0].e_value


def test_a_late_answer_hides_none_of_those_since_the_onset() -> None:
    rng = random.Random(19)
    seen = watch()
    fed(seen, answers(rng), 3_000)
    fed(seen, answers(rng, 0.1, start=3_000), 20)
    seen.observe([score(10, "quality", 1.0)])  # judged late
    whole = seen._streams["quality"]
    alarm = Alarm(
        monitor=whole.watchers.every[0], signal="quality", slice="", time_ns=1, e_value=1.0, threshold=1.0,
        baseline=1.0, now=0.0, n_since=1, onset_ns=3_000 * 10**8,
    )  # fmt: skip
    assert _since(whole, alarm)[0] == 20
