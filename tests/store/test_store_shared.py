"""Shared counters: all or nothing, never over, and the same answers from memory and from Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trimtab.core import ConfigError
from trimtab.store import Answer, Demand, Shared, SharedState, open_shared
from trimtab.store.shared_valkey import ValkeyShared

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
ENDS = START + 86_400 * SECOND
TTL_S = 30.0


def rate(limit: int, amount: int = 1, name: str = "rate") -> Demand:
    return Demand(name=name, kind="rate", limit=limit, amount=amount)


def lease(limit: int, name: str = "lease") -> Demand:
    return Demand(name=name, kind="lease", limit=limit)


def money(limit: int, amount: int, name: str = "money") -> Demand:
    return Demand(name=name, kind="money", limit=limit, amount=amount, ends_ns=ENDS)


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The counters in memory never wait: their coroutines end at the first step."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


class Counters(RuleBasedStateMachine):
    """Any order of requests, ends and waiting: what is counted is the sum of what happened, and never too much."""

    PLACES, BUDGET, MOST = 3, 100, 20

    def __init__(self) -> None:
        super().__init__()
        self.shared = Shared()
        self.now = START
        self.running: dict[str, tuple[list[Demand], int]] = {}
        self.spent = 0
        self.n = 0
        at_once(self.shared.seed("money", 0, ENDS))

    @rule(reserve=st.integers(1, MOST), wants_place=st.booleans())
    def ask(self, reserve: int, wants_place: bool) -> None:
        self.n += 1
        hold = f"h{self.n}"
        demands = [money(self.BUDGET, reserve), *([lease(self.PLACES)] if wants_place else [])]
        before = self.reserved(), self.places()
        answer: Answer = at_once(self.shared.acquire(hold, demands, now_ns=self.now, ttl_s=TTL_S))
        fits = self.spent + before[0] + reserve <= self.BUDGET or (before[0] == 0 and self.spent < self.BUDGET)
        free = before[1] < self.PLACES or not wants_place
        assert (answer.denied < 0) == (fits and free)
        if answer.denied < 0:
            self.running[hold] = demands, self.now + int(TTL_S * SECOND)

    @rule(data=st.data(), share=st.floats(0, 1))
    def end(self, data: st.DataObject, share: float) -> None:
        if not self.running:
            return
        hold = data.draw(st.sampled_from(sorted(self.running)))
        demands, _ = self.running.pop(hold)
        used = int(demands[0].amount * share)
        at_once(self.shared.settle(hold, demands, [used, 1][: len(demands)], now_ns=self.now))
        self.spent += used

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.running = {hold: held for hold, held in self.running.items() if held[1] > self.now}

    @invariant()
    def counted_is_what_happened(self) -> None:
        purse = at_once(self.shared.look("money", now_ns=self.now))
        assert purse.spent == self.spent
        assert purse.reserved == self.reserved()
        assert self.places() <= self.PLACES
        # Reservations bound what is spent, so the end is passed by one request at most.
        assert self.spent < self.BUDGET + self.MOST

    def reserved(self) -> int:
        return sum(demands[0].amount for demands, _ in self.running.values())

    def places(self) -> int:
        return sum(len(demands) == 2 for demands, _ in self.running.values())


TestCounters = Counters.TestCase
TestCounters.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 30), st.integers(1, 12)),
        st.tuples(st.just("end"), st.integers(0, 9), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("recount"), st.integers(0, 60), st.just(0)),
    ),
    max_size=25,
)


async def played(shared: SharedState, steps: list[tuple[str, int, int]]) -> list[Any]:
    """What counters answer to a story."""
    said: list[Any] = []
    now, running = START, []
    await shared.seed("money", 5, ENDS)
    for number, (what, a, b) in enumerate(steps):
        if what == "ask":
            demands = [rate(10, b), money(60, a), lease(2)]
            answer = await shared.acquire(f"h{number}", demands, now_ns=now, ttl_s=TTL_S)
            said.append((answer.denied, [(x.used, x.reserved, round(x.wait_s, 3)) for x in answer.levels]))
            if answer.denied < 0:
                running.append((f"h{number}", demands))
        elif what == "end" and running:
            hold, demands = running.pop(a % len(running))
            await shared.settle(hold, demands, [b, b, 1], now_ns=now)
        elif what == "wait":
            now += a * SECOND
        elif what == "recount":
            purse = await shared.look("money", now_ns=now)
            said.append(await shared.recount("money", a, version=purse.version))
        said.append(await shared.look("money", now_ns=now))
    return said


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_valkey_counts_as_memory_does(valkey_url: str, steps: list[tuple[str, int, int]]) -> None:
    async def both() -> tuple[list[Any], list[Any]]:
        shared = ValkeyShared(valkey_url)
        await shared._client.flushall()
        try:
            return await played(shared, steps), await played(Shared(), steps)
        finally:
            await shared.close()

    theirs, ours = asyncio.run(both())
    assert theirs == ours


async def test_what_one_check_refuses_takes_nothing_from_the_others() -> None:
    shared = Shared()
    demands = [rate(1), lease(1, "other")]
    assert (await shared.acquire("a", [lease(1, "other")], now_ns=START, ttl_s=TTL_S)).denied == -1
    answer = await shared.acquire("b", demands, now_ns=START, ttl_s=TTL_S)
    assert answer.denied == 1
    await shared.settle("a", [lease(1, "other")], [1], now_ns=START)
    assert (await shared.acquire("b", demands, now_ns=START, ttl_s=TTL_S)).denied == -1


async def test_an_unseeded_budget_lets_nobody_pass_and_is_seeded_once() -> None:
    shared = Shared()
    asked = await shared.acquire("a", [money(10, 1)], now_ns=START, ttl_s=TTL_S)
    assert (asked.denied, asked.unseeded) == (0, True)
    await shared.seed("money", 7, ENDS)
    await shared.seed("money", 0, ENDS)
    assert (await shared.look("money", now_ns=START)).spent == 7


async def test_a_wrong_estimate_of_tokens_is_corrected() -> None:
    shared = Shared()
    await shared.acquire("a", [rate(100, 10)], now_ns=START, ttl_s=TTL_S)
    await shared.settle("a", [rate(100, 10)], [160], now_ns=START)
    answer = await shared.acquire("b", [rate(100, 10)], now_ns=START, ttl_s=TTL_S)
    assert answer.levels[0].wait_s == pytest.approx((60 + 10) * 60 / 100)
    await shared.settle("c", [rate(100, 200)], [0], now_ns=START)
    assert (await shared.acquire("b", [rate(100, 40)], now_ns=START, ttl_s=TTL_S)).denied == -1


async def test_settled_holds_leave_nothing_behind() -> None:
    shared = Shared()
    await shared.seed("money", 0, ENDS)
    demands = [lease(100), money(1000, 1)]
    await shared.acquire("slow", demands, now_ns=START, ttl_s=TTL_S)
    for number in range(50):
        await shared.acquire(f"h{number}", demands, now_ns=START, ttl_s=TTL_S)
        await shared.settle(f"h{number}", demands, [1, 1], now_ns=START)
    await shared.settle("slow", demands, [1, 1], now_ns=START)
    assert not shared._expiring  # a minute of busy traffic would fill tens of megabytes
    await shared.acquire("lost", demands, now_ns=START, ttl_s=TTL_S)
    assert (await shared.look("money", now_ns=START + SECOND)).reserved == 1
    assert (await shared.look("money", now_ns=START + 31 * SECOND)).reserved == 0


async def test_a_request_larger_than_the_bucket_passes_when_the_bucket_is_full() -> None:
    shared = Shared()
    assert (await shared.acquire("a", [rate(100, 5000)], now_ns=START, ttl_s=TTL_S)).denied == -1
    later = await shared.acquire("b", [rate(100, 5000)], now_ns=START + 59 * SECOND, ttl_s=TTL_S)
    assert later.levels[0].wait_s == pytest.approx(1.0)
    assert (await shared.acquire("b", [rate(100, 5000)], now_ns=START + 60 * SECOND, ttl_s=TTL_S)).denied == -1


async def test_a_budget_that_is_used_is_not_put_right_behind_anybodys_back(valkey_url: str) -> None:
    shared = ValkeyShared(valkey_url)
    for counters in (Shared(), shared):
        await counters.seed("money", 0, ENDS)
        before = await counters.look("money", now_ns=START)
        await counters.acquire("a", [money(10, 1)], now_ns=START, ttl_s=TTL_S)
        held = await counters.look("money", now_ns=START)
        assert not await counters.recount("money", 3, version=held.version)
        await counters.settle("a", [money(10, 1)], [1], now_ns=START)
        assert not await counters.recount("money", 3, version=before.version)
        quiet = await counters.look("money", now_ns=START)
        assert await counters.recount("money", 3, version=quiet.version)
        assert (await counters.look("money", now_ns=START)).spent == 3
    await shared.close()


def test_addresses_of_shared_state(valkey_url: str) -> None:
    assert isinstance(open_shared("memory:"), Shared)
    assert isinstance(open_shared(valkey_url), ValkeyShared)
    with pytest.raises(ConfigError, match="no address") as caught:
        open_shared("http://example")
    assert caught.value.field == "storage.shared"


async def test_a_hold_of_long_life_delays_no_other() -> None:
    shared = Shared()
    await shared.seed("money", 0, ENDS)
    await shared.acquire("long", [money(100, 10)], now_ns=START, ttl_s=4000)
    for n in range(50):  # the marks of requests that have ended do not pile up behind it
        await shared.acquire(f"short {n}", [money(100, 1), lease(99)], now_ns=START, ttl_s=TTL_S)
        await shared.settle(f"short {n}", [money(100, 1), lease(99)], [1, 1], now_ns=START)
    assert len(shared._expiring) <= 2
    await shared.acquire("lost", [money(100, 5), lease(1)], now_ns=START, ttl_s=TTL_S)
    later = START + 31 * SECOND
    assert (await shared.acquire("next", [lease(1)], now_ns=later, ttl_s=TTL_S)).denied == -1
    found = await shared.look("money", now_ns=later)
    assert (found.spent, found.reserved) == (50, 10)
    assert (await shared.look("money", now_ns=START + 4001 * SECOND)).reserved == 0
