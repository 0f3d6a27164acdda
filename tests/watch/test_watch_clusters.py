"""Failures in clusters where nothing names a session: how much is learnt, what bets become, what stays as it was."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput, Score, Stamp
from trimtab.watch import Watch, default_monitors
from trimtab.watch.clusters import SPANS, Clustering, Losses

STAMP = Stamp(model="a/b=c@d", prompt="support/14")
USUAL = 0.93


def failures(seed: int, n: int, *, shared: float, opened: int = 10, length: int = 8) -> list[bool]:
    """Values of sessions that take turns; ``shared`` is the correlation of two values of one."""
    rng = random.Random(seed)
    weight = 1.0 / shared - 1.0 if shared else 0.0

    def rate() -> float:
        return rng.betavariate(USUAL * weight, (1.0 - USUAL) * weight) if shared else USUAL

    sessions = [rate() for _ in range(opened)]
    found = []
    for _ in range(n):
        at = rng.randrange(opened)
        found.append(rng.random() >= sessions[at])
        if rng.random() < 1.0 / length:
            sessions[at] = rate()
    return found


def learnt(lost: list[bool], period: int = 500) -> Clustering:
    clustering, losses = Clustering(), Losses()
    losses.begin(0, 1.0)
    for position, failed in enumerate(lost, start=1):
        if failed:
            losses.lose(position, 1.0)
        if position % period == 0:
            losses.tell(position, clustering)
            losses.begin(position, 1.0)
    clustering.learn()
    return clustering


@pytest.mark.parametrize("seed", range(3))
def test_independent_failures_show_no_clusters(seed: int) -> None:
    assert learnt(failures(seed, 20_000, shared=0.0)).share == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_sessions_nobody_names_show_as_clusters(seed: int) -> None:
    found = learnt(failures(seed, 20_000, shared=0.2))
    # Sums of such values vary 1 + 0.2 x 14 = 3.8 times as much as those of independent ones, for which half of an
    # excess must go on: 1 - 1 / sqrt(3.8). One memory shows most of it.
    assert 0.2 < found.slope < 0.6
    assert found.slope < found.share < 0.9


def test_a_slice_that_became_worse_for_good_is_no_cluster() -> None:
    lost = [*failures(1, 10_000, shared=0.0), *[random.Random(at).random() < 0.2 for at in range(10_000)]]
    assert learnt(lost).share == 0.0


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=30), st.floats(0.05, 1.0), st.integers(0, len(SPANS) - 1),
)  # fmt: skip
def test_what_ones_owe_is_what_each_of_them_would(gaps: list[int], part: float, at: int) -> None:
    clustering, losses, usual = Clustering(), Losses(), 0.05
    clustering.at, clustering.share = at, 0.5
    losses.begin(0, part)
    position = 0
    for gap in gaps:
        rates = [losses.rate(at, position + step) for step in range(1, gap)]
        owed = losses.cool(position + gap - 1, clustering, usual)
        assert owed == pytest.approx(sum(max(0.0, 0.5 * (rate - usual)) for rate in rates), abs=1e-9)
        position += gap
        losses.hot = True
        losses.lose(position, 1.0)


def test_the_rate_is_the_average_of_the_newest_values() -> None:
    losses = Losses()
    losses.begin(0, 1.0)
    for position in range(1, 5_000):
        if position % 10 == 0:
            losses.lose(position, 1.0)
    assert [losses.rate(at, 5_000) for at in range(len(SPANS))] == pytest.approx([0.1] * len(SPANS), rel=0.2)
    assert losses.rate(0, 6_000) < 1e-6


def test_a_bound_is_lower_after_failures_only() -> None:
    clustering = Clustering()
    clustering.share = 0.5
    assert clustering.lowered(0.9, 0.1) == 0.9
    assert clustering.lowered(0.9, 0.05) == 0.9
    assert clustering.lowered(0.9, 0.3) == pytest.approx(0.8)
    assert clustering.lowered(0.1, 1.0) >= 0.0


def test_a_signal_that_seldom_fails_is_told_by_the_others() -> None:
    pooled = Clustering()
    often, seldom = Clustering(pooled), Clustering(pooled)
    often.add(1, 400.0, 160.0)
    seldom.learn()
    assert seldom.slope == pytest.approx(0.4)
    seldom.add(1, 900.0, 0.0)
    seldom.learn()
    assert 0.0 < seldom.slope < 0.1


def scores(seed: int, n: int, *, shared: float, fallen_after: int = 0) -> list[Score]:
    lost = failures(seed, n, shared=shared)
    rng = random.Random(seed)
    return [
        Score(
            id=f"{i}", trace_id=f"{i}", name="cites", by="check", time_ns=i * 10**8, slice="billing", stamp=STAMP,
            value=float(not failed and not (fallen_after and i >= fallen_after and rng.random() < 0.4)),
        )
        for i, failed in enumerate(lost)
    ]  # fmt: skip


def watched(items: list[Score], size: int) -> tuple[Watch, list[int]]:
    watch = Watch([monitor for monitor in default_monitors(lambda _: "mara") if monitor.signal == "cites"])
    alarms = []
    for first in range(0, len(items), size):
        for alarm in watch.observe(items[first : first + size], more=size > 1):
            alarms.append(first)
            watch.rearm(alarm.signal)
    return watch, alarms


@pytest.mark.parametrize("size", [1, 50])
def test_healthy_clusters_do_not_alarm_and_a_real_fall_does(size: int) -> None:
    watch, alarms = watched(scores(5, 12_000, shared=0.25), size)
    assert alarms == []
    assert watch.state()["clusters"]["cites"][0][1] > 0.0
    _, alarms = watched(scores(5, 12_000, shared=0.25, fallen_after=9_000), size)
    assert alarms
    assert 9_000 <= alarms[0] < 10_500


def test_what_was_learnt_survives_a_restart() -> None:
    watch, _ = watched(scores(5, 12_000, shared=0.25), 50)
    state = json.loads(json.dumps(watch.state()))
    other = Watch(watch.monitors)
    other.restore(state)
    other.restore(state)  # twice is once
    for ours, kept in zip(other.state()["clusters"]["cites"], state["clusters"]["cites"], strict=True):
        assert ours == pytest.approx(kept)
    del state["clusters"]  # what a release before kept
    Watch(watch.monitors).restore(state)


@pytest.mark.parametrize("broken", [[], [[1.0]], [["x"] * 3] * 2, 7, [[-1.0, 0.0, 0.0], [0.0] * 3]])
def test_a_broken_state_says_so(broken: object) -> None:
    watch, _ = watched(scores(5, 100, shared=0.0), 50)
    with pytest.raises(BadInput, match="cites"):
        watch.restore({**watch.state(), "clusters": {"cites": broken}})


def test_who_looks_in_the_middle_of_a_batch_asks_for_nothing_twice() -> None:
    clustering, losses = Clustering(), Losses()
    clustering.share = 0.5
    losses.begin(0, 0.01)  # the shortest memory: a rate so many values back would leave the floats
    losses.lose(4_000, 1.0)
    losses.hot = True
    before = losses.rate(0, 4_001)
    assert losses.cool(1, clustering, 0.05) == 0.0
    assert losses.hot
    owed = losses.cool(4_010, clustering, 0.05)
    assert 0.0 < owed <= 10 * 0.5 * before


def test_slices_are_followed_again_after_a_restart() -> None:
    watch, _ = watched(scores(5, 12_000, shared=0.25), 50)
    other = Watch(watch.monitors)
    other.restore(json.loads(json.dumps(watch.state())))
    (part,) = other._streams["cites"]._bets.armed
    part.losses.lose(1, 1.0)
    assert part.losses.rate(0, 2) > 0.0


def test_a_hot_slice_stands_in_the_list_once_and_not_after_a_new_reference() -> None:
    watch, _ = watched(scores(5, 12_000, shared=0.25), 1)
    stream = watch._streams["cites"]
    bets, (part,) = stream._bets, stream._bets.armed
    for _ in range(5):
        part.losses.hot = False
        bets.lose(part, part.taken, 0.0)
    assert len(bets._hot) == 1
    watch.refreeze("cites")
    assert not bets._hot
    assert stream._room == 0
