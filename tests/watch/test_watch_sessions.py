"""Sessions that share their luck: how much is learnt, and neither do they alarm nor do they hide a fall."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput, Score, Span, Stamp
from trimtab.watch import Watch, default_monitors
from trimtab.watch.sessions import WAITS, Sessions

OPEN, LENGTH, USUAL = 40, 8, 0.95
STAMP = Stamp(model="scripted/steady=simulated@sim_a", prompt="support/14")


def luck(rng: random.Random, shared: float) -> float:
    weight = 1.0 / shared - 1.0 if shared else 0.0
    return rng.betavariate(USUAL * weight, (1.0 - USUAL) * weight) if shared else USUAL


def requests(rng: random.Random, shared: float, n: int) -> Iterator[tuple[str, float]]:
    """(session, its own rate) of one request after another."""
    opened = OPEN
    sessions = [(f"s{at}", luck(rng, shared)) for at in range(OPEN)]
    for _ in range(n):
        at = rng.randrange(OPEN)
        yield sessions[at]
        if rng.random() < 1.0 / LENGTH:
            opened += 1
            sessions[at] = f"s{opened}", luck(rng, shared)


def learnt(shared: float) -> Sessions:
    rng, sessions = random.Random(3), Sessions()
    for name, rate in requests(rng, shared, 20_000):
        sessions.take(name, float(rng.random() >= rate), 1.0 - USUAL)
    sessions.learn()
    return sessions


@pytest.mark.parametrize("shared", [0.0, 0.1, 0.3])
def test_the_correlation_of_a_session_is_learnt_and_tells_what_a_sum_varies_by(shared: float) -> None:
    sessions = learnt(shared)
    assert sessions.correlation == pytest.approx(shared, abs=0.05)
    # Geometric lengths of 8 on average: a value has 14 others in its session.
    assert sessions.inflated == pytest.approx(1.0 + 14.0 * shared, rel=0.3)


def test_what_was_seen_during_a_fall_is_forgotten() -> None:
    sessions = learnt(0.0)
    known = sessions.correlation
    for i in range(5_000):
        sessions.take(f"late {i % 100}", 1.0, 0.05)
    sessions.forget()
    sessions.learn()
    assert sessions.correlation == known


def test_what_a_value_is_bet_against_follows_what_is_learnt() -> None:
    cases = [(low, n, lost) for low in (0.9, 0.97) for n in (1, 3, 31) for lost in (0.0, 0.4, 1.0)]
    asked, found = Sessions(), []
    for shared in (None, 0.3, 0.0):
        if shared is not None:
            asked.restore(learnt(shared).state())
        fresh = Sessions()
        fresh.restore(asked.state())
        found.append([asked.against(*case) for case in cases])
        assert found[-1] == [fresh.against(*case) for case in cases]
    assert found[0] != found[1] != found[2]


def test_a_name_that_everything_bears_is_no_single_observation() -> None:
    sessions = Sessions()
    for i in range(10_000):
        sessions.take("default", float(i % 10 == 0), 0.1)
    sessions.learn()
    assert sessions.inflated < 1.5


@given(
    low=st.floats(0.0, 1.0), n=st.integers(0, 32), part=st.floats(0.0, 1.0),
    waiting=st.lists(st.integers(0, 50), min_size=WAITS, max_size=WAITS),
)  # fmt: skip
def test_expected_values_lie_between_the_sessions_own_and_that_of_all(
    low: float, n: int, part: float, waiting: list[int]
) -> None:
    sessions = Sessions()
    found = sessions.expected(low, n, part * n)
    assert 0.0 <= found <= 1.0
    assert found <= max(low, 1.0 - part) + 1e-9
    if n == 0:
        assert found == low
    runs = sessions.runs(waiting, low)
    assert sum(count for count, _ in runs) == sum(waiting)
    assert [bound for _, bound in runs] == sorted((bound for _, bound in runs), reverse=True)


def feed(watch: Watch, rng: random.Random, shared: float, drop: float, start: int, n: int) -> int:
    """Serve ``n`` requests; the number of the first that raised an alarm, 0 for none."""
    for i, (session, rate) in enumerate(requests(rng, shared, n), start=start + 1):
        root = Span(
            trace_id=str(i), span_id=str(i), name="support", kind="chain", session=f"{start}/{session}", start_ns=i,
            end_ns=i, stamp=STAMP, attributes={"gateway": True},
        )  # fmt: skip
        watch.measure([root])
        value = float(rng.random() < rate * (1.0 - drop))
        score = Score(id=str(i), trace_id=str(i), name="cites", value=value, by="check", time_ns=i, stamp=STAMP)
        if watch.observe([score]):
            return i - start
    return 0


def test_unlucky_sessions_raise_nothing_and_hide_no_fall() -> None:
    monitors = [m for m in default_monitors(lambda _: "mara") if m.signal == "cites"]
    for seed in range(4):
        rng, watch = random.Random(seed), Watch(monitors)
        assert feed(watch, rng, 0.2, 0.0, 0, 6_000) == 0
        assert 0 < feed(watch, rng, 0.2, 0.25, 6_000, 1_500) < 800


def test_sessions_that_share_nothing_cost_little() -> None:
    monitors = [m for m in default_monitors(lambda _: "mara") if m.signal == "cites"]
    for seed in range(4):
        rng, watch = random.Random(seed), Watch(monitors)
        assert feed(watch, rng, 0.0, 0.0, 0, 4_000) == 0
        assert 0 < feed(watch, rng, 0.0, 0.2, 4_000, 1_500) < 300


def test_as_much_of_a_fall_is_said_to_show_as_moves_what_is_expected() -> None:
    for rho in (0.004, 0.05, 0.25, 0.9, 1.0):
        sessions = Sessions()
        sessions.correlation = rho
        for n in (1, 2, 7, 31):
            moved = sessions.expected(0.98, n, 1.0) - sessions.expected(0.88, n, 1.0)
            assert sessions.shows(n) == pytest.approx(moved / 0.1)


def seldom(rng: random.Random, fails: float, repeats: float, n: int) -> Iterator[tuple[str, float]]:
    """(session, value) of requests that seldom fail; after a failure its session fails again that often."""
    failed: set[str] = set()
    for session, _ in requests(rng, 0.0, n):
        value = float(rng.random() >= (repeats if session in failed else fails))
        if not value:
            failed.add(session)
        yield session, value


@pytest.mark.parametrize("size", [1, 50])
def test_what_seldom_fails_is_told_although_a_session_that_failed_once_may_fail_again(size: int) -> None:
    monitors = [m for m in default_monitors(lambda _: "mara") if m.signal == "answered"]

    def told(watch: Watch, found: Iterator[tuple[str, float]], start: int) -> int:
        scores: list[Score] = []
        for i, (session, value) in enumerate(found, start=start + 1):
            watch.measure([Span(
                trace_id=str(i), span_id=str(i), name="support", kind="chain", session=f"{start}/{session}", start_ns=i,
                end_ns=i, stamp=STAMP, attributes={"gateway": True},
            )])  # fmt: skip
            scores.append(Score(
                id=str(i), trace_id=str(i), name="answered", value=value, by="check", time_ns=i, stamp=STAMP,
            ))  # fmt: skip
            if len(scores) == size:
                if watch.observe(scores):
                    return i - start
                scores = []
        return 0

    for seed in range(3):
        rng, watch = random.Random(seed), Watch(monitors)
        assert told(watch, seldom(rng, 0.0005, 0.1, 8_000), 0) == 0
        assert 0 < told(watch, seldom(rng, 0.04, 0.04, 2_000), 8_000) < 600


def test_a_session_that_was_long_silent_is_bet_on_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def evidence(remembered: int) -> float:
        monkeypatch.setattr("trimtab.watch.sessions._MOST", remembered)
        watch = Watch([m for m in default_monitors(lambda _: "mara") if m.signal == "cites"])
        sessions = ["", *("again" if i % 2 else f"other {i}" for i in range(1, 201))]
        scores = []
        for i, session in enumerate(sessions):
            watch.measure([Span(
                trace_id=str(i), span_id=str(i), name="support", kind="chain", session=session, start_ns=i, end_ns=i,
                stamp=STAMP, attributes={"gateway": True},
            )])  # fmt: skip
            scores.append(Score(
                id=str(i), trace_id=str(i), name="cites", value=float(i % 10 != 0), by="check", time_ns=i, stamp=STAMP,
            ))  # fmt: skip
        watch.observe(scores[:100], more=True)
        watch.observe(scores[100:], more=True)
        watch.due()
        return watch.standing("cites").e_value

    assert evidence(4) == evidence(4096) > 0.0


def test_what_was_learnt_outlives_a_restart() -> None:
    sessions, again = learnt(0.3), Sessions()
    again.restore(json.loads(json.dumps(sessions.state())))
    assert again.correlation == sessions.correlation
    assert again.inflated == sessions.inflated


@pytest.mark.parametrize("broken", [{}, {"shared": "x", "after": 1.0, "values": 1, "squares": 1},
                                    {"shared": 1.0, "after": -1.0, "values": 1, "squares": 1},
                                    {"shared": 1.0, "after": 1.0, "values": 5, "squares": 1}])  # fmt: skip
def test_sessions_that_are_broken_name_their_signal(broken: dict[str, float]) -> None:
    watch = Watch(default_monitors(lambda _: "ilse"))
    state = watch.state()
    state["sessions"] = {"cites": broken}
    with pytest.raises(BadInput) as refused:
        watch.restore(state)
    assert refused.value.field == "cites"
