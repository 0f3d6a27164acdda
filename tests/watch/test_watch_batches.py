"""Values that are taken together: the same references, the same alarms as one at a time, and bets that stay fair."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core import Score, Span, Stamp
from trimtab.stats import EDetector, Seen
from trimtab.watch import Alarm, Watch, default_monitors
from trimtab.watch.bets import TOGETHER

SECOND = 10**9
STAMP = Stamp(model="a/b=c@d", prompt="support/14", route="support/1", guard="house/1")
RATES = {"cites": 0.95, "grounded": 0.9, "quality": 0.85}
SLICES = {"billing": 1.0, "setup": 0.97, "legal": 0.9}
Request = tuple[list[Span], list[Score]]


def traffic(seed: int, n: int, *, sessions: bool, rate: float, fallen: float = 0.0, after: int = 0) -> list[Request]:
    """``n`` requests at ``rate`` a second; from ``after`` on the slice setup cites less, and first tokens come late."""
    rng = random.Random(seed)
    found: list[Request] = []
    for i in range(n):
        trace, at, name = f"{seed}/{i}", SECOND + int(i * SECOND / rate), rng.choice(list(SLICES))
        late = i >= after and fallen > 0.0
        root = Span(
            trace_id=trace, span_id=trace, name="support", kind="chain", start_ns=at - SECOND, end_ns=at, stamp=STAMP,
            session=f"s{rng.randrange(max(1, i // 4 - 5), i // 4 + 5)}" if sessions else "", tags={"topic": name},
            ttft_ns=int(3e8 * rng.lognormvariate(0.0, 0.3) * (4.0 if late else 1.0)), attributes={"gateway": True},
        )  # fmt: skip
        scores = []
        for signal, usual in RATES.items():
            if signal == "quality" and rng.random() < 0.5:
                continue
            level = usual * SLICES[name] - (fallen if late and signal == "cites" and name == "setup" else 0.0)
            value = float(rng.random() < level) if rng.random() < 0.95 else round(rng.random(), 1)
            by, version = ("judge:quality", "quality/3") if signal == "quality" else (f"check:{signal}", "")
            score = Score(
                id=f"{trace}:{signal}", trace_id=trace, name=signal, value=value, by=by, by_version=version,
                time_ns=at, slice=name, stamp=STAMP,
            )  # fmt: skip
            scores.append(score)
        found.append(([root], scores))
    return found


def fed(requests: Sequence[Request], size: int, *, more: bool = False) -> tuple[Watch, list[Alarm]]:
    """A watch that read so many requests at a time."""
    monitors = [m for m in default_monitors(lambda _: "mara") if m.signal in (*RATES, "first_token", "guarded")]
    watch, alarms = Watch(monitors, measured_a_second=10**6), []
    for start in range(0, len(requests), size):
        batch = requests[start : start + size]
        alarms += watch.measure([span for spans, _ in batch for span in spans], more=more)
        alarms += watch.observe([score for _, scores in batch for score in scores], more=more)
    return watch, [*alarms, *watch.due()]


def told(alarms: Sequence[Alarm]) -> set[tuple[str, str]]:
    return {(alarm.signal, alarm.slice) for alarm in alarms}


@pytest.mark.parametrize("sessions", [False, True])
@pytest.mark.parametrize("rate", [10.0, 2600.0])
def test_whatever_comes_together_references_are_the_same_and_healthy_traffic_raises_nothing(
    sessions: bool, rate: float
) -> None:
    requests = traffic(1, 3000, sessions=sessions, rate=rate)
    alone, none = fed(requests, 1)
    together, neither = fed(requests, 180, more=True)
    assert none == neither == []
    assert together.state()["signals"] == alone.state()["signals"]
    for signal in (*RATES, "first_token"):
        assert together.baselines(signal) == alone.baselines(signal)
        kept, known = together.evidence(signal)[0], alone.evidence(signal)[0]
        assert Counter((seen.trace_id, seen.slice, seen.value) for seen in kept) == Counter(
            (seen.trace_id, seen.slice, seen.value) for seen in known
        )


@pytest.mark.parametrize("sessions", [False, True])
def test_a_fall_is_told_as_it_is_one_value_at_a_time_and_hardly_later(sessions: bool) -> None:
    after = 4000
    for seed in range(2):
        requests = traffic(seed, 6500, sessions=sessions, rate=1000.0, fallen=0.4, after=after)
        (_, alone), (_, together) = fed(requests, 1), fed(requests, 100, more=True)
        assert told(alone) == told(together) >= {("cites", "setup"), ("cites", ""), ("first_token", "")}
        known = {(alarm.signal, alarm.slice): alarm for alarm in alone}
        for alarm in together:
            other = known[alarm.signal, alarm.slice]
            # Two steps at most: what one value would have shown may be gone again at the end of its step.
            assert alarm.time_ns - other.time_ns <= 1.2 * SECOND
            assert alarm.onset_ns == pytest.approx(other.onset_ns, abs=SECOND)
            assert alarm.time_ns >= SECOND + after * SECOND / 1000.0


def test_slow_traffic_is_bet_on_at_once_whatever_is_said_to_come() -> None:
    requests = traffic(3, 2500, sessions=False, rate=10.0, fallen=0.5, after=1800)
    (_, alone), (_, together) = fed(requests, 1), fed(requests, 50, more=True)
    first = {signal: min(a.time_ns for a in alone if a.signal == signal) for signal in ("cites", "first_token")}
    for signal, time_ns in first.items():
        assert min(a.time_ns for a in together if a.signal == signal) - time_ns <= SECOND


def test_what_waits_for_more_is_told_by_due_and_bet_on_once() -> None:
    watch = Watch([m for m in default_monitors(lambda _: "mara") if m.signal == "cites"])
    watch.observe([plain(i, 1.0) for i in range(60)])
    assert watch.observe([plain(i, 0.0) for i in range(60, 80)], more=True) == []
    assert [alarm.slice for alarm in watch.due()] == ["", ""]
    assert watch.due() == []
    watch.rearm("cites")
    assert watch.observe([plain(i, 0.0) for i in range(80, 100)], more=True) == []
    watch.rearm("cites")  # nobody knows any more what the values before it were
    assert watch.due() == []
    assert watch.standing("cites").e_value == 0.0


def test_who_looks_at_the_evidence_holds_no_alarm_back() -> None:
    monitors = [m for m in default_monitors(lambda _: "mara") if m.signal == "cites"]
    looks: list[Callable[[Watch], object]] = [lambda watch: watch.suspicion(), lambda watch: watch.standing("cites")]
    for look in looks:
        watch = Watch(monitors)
        watch.observe([plain(i, 1.0) for i in range(60)])
        assert watch.observe([plain(i, 0.0) for i in range(60, 80)], more=True) == []
        look(watch)
        told_of = watch.observe([plain(i, 1.0) for i in range(80, 100)], more=True) + watch.due()
        assert [alarm.slice for alarm in told_of] == ["", ""]
        assert all(alarm.now < 0.5 for alarm in told_of)


def test_looking_at_the_evidence_cuts_no_batch_short() -> None:
    watch = Watch([m for m in default_monitors(lambda _: "mara") if m.signal == "cites"])
    watch.observe([plain(i, 1.0) for i in range(60)])
    watch.observe([plain(i, 0.0) for i in range(60, 80)], more=True)
    assert watch.suspicion() == 0.0, "as old as the batch under way"
    watch.due()
    assert watch.suspicion() > 1.0


def test_no_more_wait_than_are_bet_on_together() -> None:
    watch = Watch([m for m in default_monitors(lambda _: "mara") if m.signal == "cites"])
    watch.observe([plain(i, 1.0) for i in range(100)])
    assert watch.observe([plain(i, 0.0) for i in range(100, 100 + TOGETHER)], more=True) != []


def plain(i: int, value: float) -> Score:
    return Score(id=str(i), trace_id=str(i), name="cites", value=value, by="check:cites", time_ns=i, stamp=STAMP)


values = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=0, max_size=30)


@given(past=values, x=st.floats(0.0, 1.0), m0=st.floats(0.0, 1.0), shows=st.sampled_from([(), (0.25,)]))
def test_a_batch_of_one_is_one_step(
    past: list[tuple[float, float]], x: float, m0: float, shows: tuple[()] | tuple[float]
) -> None:
    one, other = EDetector(1e9, 0.9), EDetector(1e9, 0.9)
    for value, bound in past:
        one.update(value, bound, *shows)
        other.batch({(value, bound, *shows): 1})
    assert one.update(x, m0) == other.batch({(x, m0): 1}) == other.value
    assert (one.n_since, one.fired) == (other.n_since, other.fired)


@given(past=values, n=st.integers(1, 12), m0=st.floats(0.01, 1.0), worse=st.floats(0.0, 1.0))
@settings(max_examples=60)
def test_healthy_batches_win_no_more_than_their_stakes(
    past: list[tuple[float, float]], n: int, m0: float, worse: float
) -> None:
    """Exactly: over all outcomes of n coins whose mean is at least the bound, M + n is not exceeded on average."""
    mean = m0 + worse * (1.0 - m0)
    expected = 0.0
    for ones in range(n + 1):
        detector = EDetector(1e300, 0.9)
        for value, bound in past:
            detector.update(value, bound)
        before = detector.value
        counts: dict[Seen, int] = {(value, m0): times for value, times in ((1.0, ones), (0.0, n - ones)) if times}
        chance = math.comb(n, ones) * mean**ones * (1.0 - mean) ** (n - ones)
        expected += chance * detector.batch(counts)
    assert expected <= (before + n) * (1.0 + 1e-9)


def test_a_batch_of_thousands_leaves_the_floats_to_nobody() -> None:
    detector = EDetector(1e9, 0.999)
    assert detector.batch({(0.0, 1.0): 5000}) >= 1e9
    assert math.isfinite(detector.value)
    assert detector.batch({(1.0, 0.5): 5000}) < 1e9


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.integers(1, 40)), min_size=1, max_size=30))
def test_aiming_where_a_detector_aims_already_changes_nothing(batches: list[tuple[float, int]]) -> None:
    again, once, elsewhere = (EDetector(1e6, 0.9) for _ in range(3))
    for value, n in batches:
        again.aim(0.9)
        elsewhere.aim(0.8)
        counts: dict[Seen, int] = {(value, 0.9): n, (value, 0.7, 0.5): 1, (1.0, 0.95): n}
        assert again.batch(counts) == once.batch(counts) != elsewhere.batch(counts)
