"""Strategies: pure functions of what is known of the targets and of one draw."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from chains import CALL
from hypothesis import given
from hypothesis import strategies as st

from trimtab.gateway import order, read_route
from trimtab.gateway.balance import Sight
from trimtab.gateway.health import PeakEwma
from trimtab.gateway.moving import Quantiles
from trimtab.gateway.pricing import prices_of
from trimtab.gateway.route import STRATEGIES, Route

REFS = ["p/0", "p/1", "p/2", "p/3"]
DRAWS = [(n + 0.5) / 2000 for n in range(2000)]


def route(strategy: str, weights: tuple[float, ...] = (1, 1, 1, 1), **content: Any) -> Route:
    targets = [{"model": f"p/{n}", "weight": weight} for n, weight in enumerate(weights)]
    return read_route("r", "r/1", {"targets": targets, "strategy": strategy, **content}, {})


sights = st.builds(
    Sight,
    usable=st.booleans(),
    in_flight=st.integers(0, 200),
    ttft=st.floats(0, 60),
    price=st.none() | st.floats(0, 1),
    queue=st.floats(0, 1e6),
    uncached=st.floats(0, 1e5),
    rate=st.floats(1, 1e5),
)


@given(
    st.sampled_from(STRATEGIES),
    st.lists(sights, min_size=4, max_size=4),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["", "s1", "s2"]),
)
def test_every_strategy_names_every_model_once_usable_ones_first_and_repeats_itself(
    strategy: str, seen: list[Sight], draw: float, session: str
) -> None:
    known = dict(zip(REFS, seen, strict=True))
    asked = route(strategy, fallback=["q/9"], sticky="session")
    models = order(asked, draw, known, session=session)
    assert sorted(models) == sorted([*REFS, "q/9"])
    usable = [known[model].usable for model in models if model in known]
    assert usable == sorted(usable, reverse=True)
    assert models == order(asked, draw, known, session=session)
    if strategy == "ordered":
        assert [model for model in models if model in known and known[model].usable] == [
            model for model in REFS if known[model].usable
        ]


def test_least_busy_counts_what_runs_by_capacity_and_takes_turns_between_equals() -> None:
    known = {"p/0": Sight(in_flight=3), "p/1": Sight(in_flight=1), "p/2": Sight(in_flight=5)}
    assert order(route("least_busy", (1, 1, 1)), 0.5, known) == ["p/1", "p/0", "p/2"]
    assert order(route("least_busy", (1, 1, 10)), 0.5, known) == ["p/2", "p/1", "p/0"]
    idle = dict.fromkeys(REFS, Sight())
    first = Counter(order(route("least_busy"), draw, idle)[0] for draw in DRAWS)
    assert set(first.values()) == {500}


def test_cost_takes_the_cheapest_and_an_unpriced_one_last() -> None:
    known = {"p/0": Sight(price=None), "p/1": Sight(price=0.02), "p/2": Sight(price=0.01), "p/3": Sight(price=0.0)}
    assert order(route("cost"), 0.3, known) == ["p/3", "p/2", "p/1", "p/0"]


def test_latency_takes_the_better_of_two_so_the_slow_get_little_and_the_fast_not_all() -> None:
    known = {ref: Sight(ttft=ttft) for ref, ttft in zip(REFS, (0.1, 0.2, 0.3, 5.0), strict=True)}
    first = Counter(order(route("latency"), draw, known)[0] for draw in DRAWS)
    assert first["p/3"] == 0
    assert first["p/0"] > first["p/1"] > first["p/2"] > 0
    assert first["p/0"] == pytest.approx(1000, abs=30)
    busy = known | {"p/0": Sight(ttft=0.1, in_flight=9)}
    assert Counter(order(route("latency"), draw, busy)[0] for draw in DRAWS)["p/0"] == pytest.approx(333, abs=30)


def test_latency_asks_an_unmeasured_target_once_to_measure_it() -> None:
    known = {ref: Sight(ttft=0.1) for ref in REFS}
    fresh = Counter(order(route("latency"), draw, known | {"p/3": Sight()})[0] for draw in DRAWS)
    assert fresh["p/3"] == pytest.approx(1000, abs=30)
    asked = Counter(order(route("latency"), draw, known | {"p/3": Sight(in_flight=1)})[0] for draw in DRAWS)
    assert asked["p/3"] == 0


def test_prefix_weighs_the_queue_against_what_is_cached() -> None:
    cached = {"p/0": Sight(uncached=100, rate=1000), "p/1": Sight(uncached=8000, rate=1000)}
    asked = route("prefix", (1, 1))
    assert order(asked, 0.5, cached)[0] == "p/0"
    waits = cached | {"p/0": Sight(uncached=100, rate=1000, queue=30_000)}
    assert order(asked, 0.5, waits)[0] == "p/1"
    assert order(route("prefix", (1, 1), prefix={"reuse": 10}), 0.5, waits)[0] == "p/0"
    faster = waits | {"p/0": Sight(uncached=100, rate=4000, queue=30_000)}
    assert order(asked, 0.5, faster)[0] == "p/0"


def test_affinity_stops_at_the_guard() -> None:
    asked = route("prefix", (1, 1), prefix={"imbalance": 4, "ratio": 1.5})
    for more, first in ((4, "p/0"), (5, "p/1")):
        known = {"p/0": Sight(in_flight=2 + more, rate=1000), "p/1": Sight(in_flight=2, uncached=9000, rate=1000)}
        assert order(asked, 0.5, known)[0] == first
    # Five more than a hundred is no imbalance.
    even = {"p/0": Sight(in_flight=105, rate=1000), "p/1": Sight(in_flight=100, uncached=9000, rate=1000)}
    assert order(asked, 0.5, even)[0] == "p/0"


def test_one_hot_prompt_does_not_load_one_target_more_than_the_guard_allows() -> None:
    """Everybody shares one long beginning, which p/0 alone has read: the others must get their part all the same."""
    asked, running = route("prefix"), dict.fromkeys(REFS, 0)
    for number in range(400):
        known = {ref: Sight(in_flight=running[ref], uncached=1 if ref == "p/0" else 9000, rate=10_000) for ref in REFS}
        running[order(asked, number / 400, known)[0]] += 1
    assert max(running.values()) - min(running.values()) <= max(17, 0.5 * min(running.values()) + 1)


def test_a_session_stays_and_only_those_of_a_lost_target_move() -> None:
    asked = route("least_busy", sticky="session")
    sessions = [f"session-{n}" for n in range(2000)]
    before = {session: order(asked, 0.1, session=session)[0] for session in sessions}
    assert {session: order(asked, 0.9, session=session)[0] for session in sessions} == before
    assert all(abs(count - 500) < 80 for count in Counter(before.values()).values())
    gone = {ref: Sight(usable=ref != "p/2") for ref in REFS}
    after = {session: order(asked, 0.1, gone, session=session)[0] for session in sessions}
    moved = [session for session in sessions if before[session] != after[session]]
    assert moved == [session for session in sessions if before[session] == "p/2"]


def test_sessions_follow_the_weights() -> None:
    asked = route("weighted", (3, 1), sticky="user")
    first = Counter(order(asked, 0.5, session=f"u{n}")[0] for n in range(4000))
    assert first["p/0"] == pytest.approx(3000, abs=120)


def test_a_target_that_cannot_be_used_leaves_its_weight_to_the_others() -> None:
    known = {"p/0": Sight(usable=False), "p/1": Sight(), "p/2": Sight()}
    first = Counter(order(route("weighted", (8, 3, 1)), draw, known)[0] for draw in DRAWS)
    assert first == {"p/1": 1500, "p/2": 500}


def test_the_price_of_a_call_counts_its_prompt_and_the_answer_it_allows() -> None:
    content = {"targets": [{"model": "openai/gpt-4o-mini"}, {"model": "local/x"}], "strategy": "cost"}
    asked = read_route("r", "r/1", content, {})
    found = prices_of(asked, CALL)
    assert found["local/x"] is None
    assert found["openai/gpt-4o-mini"] == pytest.approx(400 * 0.6e-6, rel=0.01)
    assert prices_of(route("ordered"), CALL) == {}


def test_a_peak_counts_at_once_fades_with_good_news_and_with_none() -> None:
    average = PeakEwma()
    average.observe(0.1, 0.0)
    average.observe(4.0, 1.0)
    assert average.seconds(1.0) == 4.0
    average.observe(0.1, 2.0)
    assert 3.0 < average.seconds(2.0) < 4.0
    for second in range(3, 120):
        average.observe(0.1, float(second))
    assert average.seconds(120.0) == pytest.approx(0.1, abs=0.1)
    assert average.seconds(300.0) < 0.01


@given(st.lists(st.floats(0, 100), min_size=20, max_size=900))
def test_quantiles_are_those_of_the_last_values(values: list[float]) -> None:
    quantiles = Quantiles()
    for value in values:
        quantiles.observe(value)
    last = sorted(values[-512:])
    assert quantiles.quantile(0.95) == last[min(len(last) - 1, int(0.95 * len(last)))]
