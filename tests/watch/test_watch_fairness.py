"""A judge that passes over some answers is seen, and one whose sample is fair never."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from trimtab.core import Score
from trimtab.watch import SIGNALS, Alarm, Watch, default_monitors, is_score
from trimtab.watch.fairness import DOUBTFUL, FAIR_SAMPLE, Fairness

SLICES = ("billing", "orders", "setup")
DOUBT = 0.1


def score(i: int, name: str, value: float, slice: str, **more: str) -> Score:
    by = more.pop("by", f"check:{name}")
    return Score(id=f"{i}:{name}", trace_id=str(i), name=name, value=value, by=by, time_ns=i, slice=slice, **more)


def answers(seed: int, n: int, share: float, *, hidden: float = 0.0, without: str = "") -> Iterator[tuple[Score, ...]]:
    """Answers with two checks each, of which ``share`` are judged; of the doubtful ones ``hidden`` never are, and none
    of the slice ``without``."""
    rng = random.Random(seed)
    for i in range(n):
        slice, doubtful = rng.choice(SLICES), rng.random() < DOUBT
        found = [score(i, "complete", 1.0, slice), score(i, "grounded", float(not doubtful), slice)]
        drawn = rng.random() < share and slice != without and not (doubtful and rng.random() < hidden)
        if drawn:
            label = f"drawn p={share:.6g}" if share < 1.0 else ""
            found.append(score(i, "quality", float(rng.random() < 0.9), slice, by="judge:quality", label=label))
        yield tuple(found)


def watched() -> Watch:
    return Watch(default_monitors(lambda _: "ilse"))


def raised(watch: Watch, found: Iterator[tuple[Score, ...]], batch: int = 1) -> list[Alarm]:
    alarms: list[Alarm] = []
    waiting: list[Score] = []
    for n, scores in enumerate(found, 1):
        waiting += scores
        if n % batch == 0:
            alarms += [alarm for alarm in watch.observe(waiting) if alarm.signal == FAIR_SAMPLE]
            waiting = []
    return alarms


@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
def test_a_fair_sample_says_nothing_whatever_its_share(share: float) -> None:
    watch = watched()
    assert raised(watch, answers(1, 12_000, share)) == []
    if share < 1.0:
        values, _ = watch.evidence(FAIR_SAMPLE)
        mean = sum(seen.value for seen in values) / len(values)
        # Of pairs of which one was drawn at least, the first was in 1 / (2 - share).
        assert mean == pytest.approx(1.0 / (2.0 - share), abs=0.05)


@pytest.mark.parametrize(("share", "most"), [(1.0, 1500), (0.5, 8000)])
def test_a_judge_that_does_not_see_the_doubtful_ones_is_seen(share: float, most: int) -> None:
    watch = watched()
    assert raised(watch, answers(2, 12_000, share)) == []
    alarms = raised(watch, answers(3, most, share, hidden=0.9))
    assert alarms
    assert any(alarm.slice.startswith(DOUBTFUL) for alarm in alarms)
    assert all(alarm.now < alarm.baseline for alarm in alarms)


def test_a_slice_that_is_never_judged_is_named() -> None:
    watch = watched()
    assert raised(watch, answers(4, 12_000, 1.0)) == []
    alarms = raised(watch, answers(5, 4_000, 1.0, without="orders"))
    assert "orders, drawn p=1" in {alarm.slice for alarm in alarms}


def test_verdicts_that_come_in_the_next_reading_count() -> None:
    fairness = Fairness()
    checks = [score(i, "grounded", float(i != 1), "billing") for i in range(2)]
    verdicts = [score(i, "quality", 1.0, "billing", by="judge:quality") for i in range(2)]
    found = [fairness.read(scores) for scores in (checks, verdicts, [], [])]
    assert [(each[1], each[2]) for each in found[-1]] == [(f"{DOUBTFUL}, drawn p=1", 1.0)]
    assert found[:3] == [[], [], []]


def test_pairs_that_were_drawn_differently_and_answers_without_text_say_nothing() -> None:
    def read(*scores: Score) -> Sequence[tuple[Score, str, float]]:
        fairness = Fairness()
        fairness.read(scores)
        return [each for _ in range(3) for each in fairness.read([])]

    sound, doubtful = score(0, "grounded", 1.0, "a"), score(1, "grounded", 0.0, "a")
    one = score(0, "quality", 1.0, "a", by="judge:quality", label="drawn p=0.2")
    other = score(1, "quality", 1.0, "a", by="judge:quality", label="drawn p=0.6")
    assert read(sound, doubtful, one, other) == []
    assert read(sound, doubtful) == [], "neither was judged"
    assert [each[2] for each in read(sound, doubtful, one)] == [0.0]
    assert read(sound, score(1, "retrieved", 0.0, "a"), one) == [], "it has no text that a judge could read"
    assert read(sound, doubtful, score(0, "quality", 1.0, "a", by="human:mara")) == [], "people are no sample"


def test_it_is_worked_out_and_no_score() -> None:
    assert not is_score(FAIR_SAMPLE)
    assert SIGNALS[FAIR_SAMPLE].layer == 5
