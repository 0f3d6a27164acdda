"""Budgets: reserved before, settled after, never overrun by more than one request, exact afterwards."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from gateway_house import House, http_reply, piece, sse_reply, user
from hypothesis import given
from hypothesis import strategies as st
from tenant_house import SECOND, START, Clock, Tenant, answered, ask, cost, entered, key, request, route, tenant

from trimtab.core import LimitReached, Usage
from trimtab.gateway import Key, Limits, limits, records
from trimtab.gateway.budgets import DAY_NS, NANO, nano, period_of, shown
from trimtab.gateway.estimate import Estimator
from trimtab.gateway.refusals import BudgetSpent, OverLimit
from trimtab.store.shared_valkey import ValkeyShared
from trimtab.traces import price


@pytest.fixture
async def tenancy(house: House) -> AsyncIterator[Tenant]:
    made = await tenant(house, Clock())
    yield made
    await made.close()


async def counted(made: Tenant, scope: str, who: str, kind: str = "month") -> tuple[int | None, int, int]:
    """The counter, the sums by day and the rows themselves."""
    period = period_of(kind, made.clock())
    purse = await made.limits.shared.look(f"{scope}:{who}:usd:{period.name}", now_ns=made.clock())
    await made.ledger.flush()
    sums = await made.house.metadata.read(lambda c: records.spent(c, scope, who, (period.first_day, period.last_day)))
    rows = await made.house.metadata.read(
        lambda c: records.spent_by_rows(c, scope, who, period.start_ns, period.end_ns)
    )
    return purse.spent, sums, rows


async def under_way(made: Tenant, app: Key, *, waiting: int = 0) -> None:
    """A request of this key has been let in, so many wait behind it, and its reservation is on disk."""
    name = f"key:{app.id}:usd:2026-09"
    async with asyncio.timeout(20):
        while not (await made.limits.shared.look(name, now_ns=made.clock())).reserved:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        while made.limits._lines.length(name) != waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await made.ledger.flush()


USED = Usage(input_tokens=1000, output_tokens=500)
PRICE = cost(USED)  # 0.00045 dollars


async def hammer(
    limits: Limits, clock: Callable[[], int], app: Any, sizes: Callable[[], Usage], params: dict[str, Any], clients: int
) -> tuple[int, list[LimitReached]]:
    """So many clients at once, each asking until it is told that the budget is spent. Returns what was used."""
    used = 0
    refused: list[LimitReached] = []

    async def client() -> None:
        nonlocal used
        while True:
            usage = sizes()
            live = request(app, clock, params)
            live.size = usage.input_tokens * 4
            try:
                async with entered(limits, route(), live):
                    for _ in range(3):
                        await asyncio.sleep(0)
                    answered(live, usage)
                    used += cost(usage)
            except LimitReached as error:
                refused.append(error)
                return

    await asyncio.gather(*(client() for _ in range(clients)))
    return used, refused


@pytest.mark.parametrize("params", [{"max_tokens": 1000}, {}], ids=["max_tokens", "no max_tokens"])
async def test_64_clients_overspend_by_one_request_at_most_and_leave_nothing_unspent(
    tenancy: Tenant, params: dict[str, Any]
) -> None:
    rng = random.Random(5)

    def sizes() -> Usage:
        return Usage(input_tokens=rng.randint(200, 1500), output_tokens=rng.randint(20, 900))

    dearest = cost(Usage(input_tokens=1500, output_tokens=900))
    budget = 60 * PRICE
    app = key(budget_usd=budget / NANO)
    async with asyncio.timeout(60):
        used, refused = await hammer(tenancy.limits, tenancy.clock, app, sizes, params, 64)
    assert 0.95 * budget <= used <= budget + dearest
    assert all(isinstance(error, BudgetSpent) for error in refused)
    assert len(refused) == 64
    assert await counted(tenancy, "key", app.id) == (used, used, used)
    assert await tenancy.limits.audit() == {}


async def test_money_that_is_only_reserved_is_waited_for(tenancy: Tenant) -> None:
    app = key(budget_usd=2 * PRICE / NANO)
    params = {"max_tokens": 1500}  # reserves more than half of it
    go = asyncio.Event()
    running = asyncio.create_task(ask(tenancy.limits, request(app, tenancy.clock, params), USED, takes=go))
    await under_way(tenancy, app)
    waits = asyncio.create_task(ask(tenancy.limits, request(app, tenancy.clock, params), USED))
    await under_way(tenancy, app, waiting=1)
    assert not waits.done()
    go.set()
    await asyncio.gather(running, waits)
    with pytest.raises(BudgetSpent, match=r"spent 0\.0009 of its budget of 0\.0009 US dollars for 2026-09") as caught:
        await ask(tenancy.limits, request(app, tenancy.clock, params), USED)
    assert caught.value.status == 402
    ends = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
    assert caught.value.retry_after == pytest.approx(ends - START / SECOND)
    assert "2026-10-01 00:00 UTC" in caught.value.mend
    assert caught.value.steps[-1].limit == pytest.approx(0.0009)


async def test_a_budget_starts_anew_with_its_period(tenancy: Tenant) -> None:
    app = key(budget_usd=PRICE / NANO, period="day")
    await ask(tenancy.limits, request(app, tenancy.clock), USED)
    with pytest.raises(BudgetSpent):
        await ask(tenancy.limits, request(app, tenancy.clock), USED)
    assert isinstance(tenancy.clock, Clock)
    tenancy.clock.now += DAY_NS
    await ask(tenancy.limits, request(app, tenancy.clock), USED)
    assert await counted(tenancy, "key", app.id, "day") == (PRICE, PRICE, PRICE)
    assert (await counted(tenancy, "key", app.id))[1] == 2 * PRICE


async def test_a_request_counts_for_its_key_its_team_and_its_route(tenancy: Tenant) -> None:
    await tenancy.teams.put("web", {"budget_usd": 2 * PRICE / NANO})
    on = route(budget_usd=9)
    one, two = key("one", team="web", budget_usd=1), key("two", team="web")
    for app in (one, two):
        await ask(tenancy.limits, request(app, tenancy.clock), USED, on=on)
    with pytest.raises(BudgetSpent, match="team 'web'"):
        await ask(tenancy.limits, request(two, tenancy.clock), USED, on=on)
    assert await counted(tenancy, "key", one.id) == (PRICE,) * 3
    assert await counted(tenancy, "team", "web") == (2 * PRICE,) * 3
    assert await counted(tenancy, "route", "plain") == (2 * PRICE,) * 3


async def test_trimtabs_own_requests_are_for_no_budget(tenancy: Tenant) -> None:
    on = route(budget_usd=PRICE / NANO)
    await ask(tenancy.limits, request(None, tenancy.clock), USED, on=on)
    await ask(tenancy.limits, request(key(), tenancy.clock), USED, on=on)
    assert await counted(tenancy, "route", "plain") == (PRICE,) * 3
    rows = await tenancy.reports.usage(["key"], {}, 1)
    assert sorted((row["key"], row["requests"]) for row in rows) == [("", 1), ("key_app", 1)]


async def test_what_fails_or_is_cut_gives_its_reservation_back(tenancy: Tenant) -> None:
    app = key(budget_usd=1)
    with pytest.raises(ZeroDivisionError):
        async with entered(tenancy.limits, route(), request(app, tenancy.clock)):
            raise ZeroDivisionError
    for runs in (False, True):  # while it waits for its reservation to reach the disk, and while it runs
        task = asyncio.create_task(ask(tenancy.limits, request(app, tenancy.clock), USED, takes=asyncio.Event()))
        if runs:
            await under_way(tenancy, app)
        else:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await tenancy.limits.close()
    assert await counted(tenancy, "key", app.id) == (0, 0, 0)
    purse = await tenancy.limits.shared.look(f"key:{app.id}:usd:2026-09", now_ns=tenancy.clock())
    assert purse.reserved == 0
    assert await tenancy.ledger.recover() == []


async def test_a_model_without_a_price_is_unpriced_and_not_free(tenancy: Tenant) -> None:
    app = key(budget_usd=1)
    live = request(app, tenancy.clock)
    async with entered(tenancy.limits, route(), live):
        answered(live, USED, ref="local/unheard-of")
    rows = await tenancy.reports.usage(["model"], {"key": app.id}, 1)
    assert [(row["model"], row["unpriced"], row["cost_usd"], row["input_tokens"]) for row in rows] == [
        ("local/unheard-of", 1, 0, 1000)
    ]


async def test_a_budget_that_is_given_later_knows_what_was_spent_before(tenancy: Tenant) -> None:
    await ask(tenancy.limits, request(key(), tenancy.clock), USED)
    limited = key(budget_usd=1.5 * PRICE / NANO)
    await ask(tenancy.limits, request(limited, tenancy.clock), USED)
    with pytest.raises(BudgetSpent):
        await ask(tenancy.limits, request(limited, tenancy.clock), USED)


async def test_what_one_look_at_the_counters_met_ends_no_later_one(
    tenancy: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, looks = asyncio.Event(), list[int]()

    async def audit() -> dict[str, int]:
        looks.append(len(looks))
        if looks == [0]:
            raise ValueError("no error that anybody foresaw")
        again.set()
        return {}

    monkeypatch.setattr(limits, "AUDIT_S", 0.001)
    monkeypatch.setattr(tenancy.limits, "audit", audit)
    tenancy.limits.start()
    await asyncio.wait_for(again.wait(), timeout=30)


async def test_a_counter_that_is_off_is_found_and_put_right_when_it_rests(tenancy: Tenant) -> None:
    app = key(budget_usd=1)
    await ask(tenancy.limits, request(app, tenancy.clock), USED)
    name = f"key:{app.id}:usd:2026-09"
    purse = await tenancy.limits.shared.look(name, now_ns=tenancy.clock())
    assert await tenancy.limits.shared.recount(name, 7, version=purse.version)
    go = asyncio.Event()
    running = asyncio.create_task(ask(tenancy.limits, request(app, tenancy.clock), USED, takes=go))
    await under_way(tenancy, app)
    assert await tenancy.limits.audit() == {}  # not while somebody counts on it
    go.set()
    await running
    assert await tenancy.limits.audit() == {name: 7 - PRICE}
    assert await counted(tenancy, "key", app.id) == (2 * PRICE,) * 3


async def test_what_a_dead_process_reserved_is_charged_once(house: House) -> None:
    clock = Clock()
    first = await tenant(house, clock)
    app = key(budget_usd=1)
    running = asyncio.create_task(
        ask(first.limits, request(app, clock, {"max_tokens": 100}), USED, takes=asyncio.Event())
    )
    await ask(first.limits, request(app, clock), USED)
    await under_way(first, app)
    # What happened since the last commit is lost with the process: here, nothing but the end of the first request.
    second = await tenant(house, clock)
    (row,) = await second.ledger.recover()
    assert (row.state, row.key, row.node) == ("interrupted", app.id, "here")
    assert await second.ledger.recover() == []
    await ask(second.limits, request(app, clock), USED)
    total = 2 * PRICE + (row.cost_nano or 0)
    assert await counted(second, "key", app.id) == (total, total, total)
    # And should the process be alive after all: what was charged stays charged.
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await first.close()
    assert (await counted(second, "key", app.id))[1:] == (total, total)
    await second.close()


async def test_two_processes_on_one_valkey_share_a_budget(house: House, valkey_url: str) -> None:
    """Each has its own limits and its own connection; the ledger is one."""
    clock = Clock()
    one = await tenant(house, clock, shared=ValkeyShared(valkey_url, workers=2))
    two = Limits(shared=ValkeyShared(valkey_url, workers=2), ledger=one.ledger, clock=clock)
    app = key(budget_usd=40 * PRICE / NANO)
    async with asyncio.timeout(60):
        (used_one, refused), (used_two, _) = await asyncio.gather(
            hammer(one.limits, clock, app, lambda: USED, {"max_tokens": 500}, 16),
            hammer(two, clock, app, lambda: USED, {"max_tokens": 500}, 16),
        )
    used = used_one + used_two
    assert 0.95 * 40 * PRICE <= used <= 41 * PRICE
    assert isinstance(refused[0], BudgetSpent)
    assert await counted(one, "key", app.id) == (used, used, used)
    await two.close()
    await two.shared.close()
    await one.close()
    await one.limits.shared.close()


# Over the wire.


async def limited(made: Tenant, **limits: Any) -> tuple[str, str]:
    found, secret = await made.house.keys.create("bot", limits=limits)
    await made.house.publish("routes", "paid", {"targets": [{"model": "vendor/gpt-4o"}], "attempts": 1})
    return found.id, secret


@pytest.fixture
async def live_tenancy(house: House) -> AsyncIterator[Tenant]:
    made = await tenant(house)
    yield made
    await made.close()


async def test_a_stream_that_its_client_leaves_is_paid_for_as_far_as_it_came(live_tenancy: Tenant) -> None:
    house = live_tenancy.house
    who, secret = await limited(live_tenancy, budget_usd=1)
    house.vendor.hold = True
    house.vendor.reply = lambda headers, body: sse_reply(piece("word " * 40), piece("more " * 40), done=False)
    body = {"model": "paid", "messages": user("Tell me a story, and a long one."), "stream": True}
    await house.call("POST", "/v1/chat/completions", json.dumps(body).encode(), key=secret, hang_up=1)
    counter, sums, rows = await counted(live_tenancy, "key", who)
    assert counter == sums == rows
    (row,) = await live_tenancy.reports.usage(["model"], {"key": who}, 1)
    assert 40 <= row["output_tokens"] <= 110
    assert 0 < row["input_tokens"] < 100
    assert row["cost_usd"] == pytest.approx((row["input_tokens"] * 2.5 + row["output_tokens"] * 10) / 1e6)


async def test_a_spent_budget_is_a_402_that_is_not_worth_trying_again(live_tenancy: Tenant) -> None:
    house = live_tenancy.house
    who, secret = await limited(live_tenancy, budget_usd=0.001, period="day")
    usage = {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200}
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    house.vendor.reply = lambda headers, body: http_reply(200, {"model": "gpt-4o", "choices": [choice], "usage": usage})
    body = {"model": "paid", "messages": user("Is it?")}
    assert (await house.ask(body, key=secret)).status == 200
    refused = await house.ask(body, key=secret)
    assert refused.status == 402
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) <= 86_400
    assert refused.error["code"] == "budget_spent"
    assert "0.00125 of its budget of 0.001 US dollars" in refused.error["message"]
    assert len(house.vendor.asked) == 1
    found = await live_tenancy.reports.of_key(house.keys.get(who), 1)
    assert found["budget"]["spent_usd"] == pytest.approx(0.00125)
    assert (found["totals"]["requests"], found["refused"]) == (1, 1)


@given(st.lists(st.tuples(st.integers(100, 20_000), st.integers(20, 200), st.integers(1, 2000)), min_size=30))
def test_a_reservation_covers_what_a_route_is_known_for(seen: list[tuple[int, int, int]]) -> None:
    """After a while no request of the usual kind is larger than what is reserved for it."""
    estimator = Estimator()
    for size, percent, output in seen:
        estimator.learn("r", size, Usage(input_tokens=size * percent // 400, output_tokens=output), 0)
    size, percent, output = seen[-1]
    expected = estimator.size("r", size, {})
    assert expected.high_input >= size * percent // 400
    assert expected.high_output >= output
    assert estimator.size("r", size, {"max_tokens": 10}).high_output == 11
    assert estimator.size("r", size, {"max_tokens": 10, "n": 3}).high_output == 31


@pytest.mark.parametrize("hour", [0, 1000])
def test_what_is_put_into_a_vendors_cache_is_reserved_as_dear_as_it_was(hour: int) -> None:
    estimator = Estimator()
    used = Usage(input_tokens=1000, output_tokens=10, written_tokens=1000, hour_tokens=hour)
    for _ in range(60):  # so often that nothing but the surcharge is left between what was and what is expected
        estimator.learn("r", 4000, used, 0)
    actual = price("anthropic/claude-haiku-4-5", used)
    reserved = price("anthropic/claude-haiku-4-5", estimator.size("r", 4000, {}).high)
    assert actual is not None
    assert reserved is not None
    assert actual <= reserved <= actual * 1.02
    assert estimator.size("r", 4000, {}).total == 1010, "no limit of tokens minds what they cost"
    for _ in range(2000):
        estimator.learn("r", 4000, Usage(input_tokens=1000, output_tokens=10), 0)
    assert estimator.size("r", 4000, {}).high_input < 1010, "it is forgotten by and by"


def test_the_estimate_of_a_cut_answer_is_learnt_from_finished_ones_of_its_model() -> None:
    estimator, rough = Estimator(), Usage(input_tokens=100, output_tokens=50)
    assert estimator.refined("r", 400, 200, "p/m", rough) == rough, "nothing is known yet"
    for _ in range(60):  # a tokenizer with two characters a token, and a prompt that the route puts in front
        estimator.learn("r", 400, Usage(input_tokens=300, output_tokens=100), 200, "p/m")
    found = estimator.refined("r", 400, 200, "p/m", rough)
    assert (found.input_tokens, found.output_tokens) == (300, 100)
    elsewhere = estimator.refined("new", 400, 200, "p/m", rough)
    assert (elsewhere.input_tokens, elsewhere.output_tokens) == (100, 100), "the tokenizer goes with the model"
    other = estimator.refined("r", 400, 200, "q/other", rough)
    assert (other.input_tokens, other.output_tokens) == (300, 100), "of a new model the route's language is known"


@given(st.integers(0, 4_000_000_000 * SECOND))
def test_periods_are_whole_days_and_months_of_utc(now: int) -> None:
    for kind, form in (("day", "%Y-%m-%d"), ("month", "%Y-%m")):
        period = period_of(kind, now)
        assert period.start_ns <= now < period.end_ns
        assert period_of(kind, period.end_ns).start_ns == period.end_ns
        assert period.name == datetime.fromtimestamp(now // SECOND, UTC).strftime(form)
        assert period.last_day - period.first_day + 1 == (period.end_ns - period.start_ns) // DAY_NS


@given(st.integers(0, 10**15))
def test_money_is_exact_and_readable(amount: int) -> None:
    assert nano(amount / NANO) == amount
    assert float(shown(amount)) == pytest.approx(amount / NANO, rel=0.01, abs=1e-6)


async def test_a_waiting_line_for_money_is_not_endless(tenancy: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.gateway.limits.MONEY_WAIT_S", 0.02)
    app = key(budget_usd=2 * PRICE / NANO, queue_timeout=0.01)
    go = asyncio.Event()
    running = asyncio.create_task(
        ask(tenancy.limits, request(app, tenancy.clock, {"max_tokens": 1500}), USED, takes=go)
    )
    await under_way(tenancy, app)
    with pytest.raises(OverLimit, match="running requests have reserved") as caught:
        await ask(tenancy.limits, request(app, tenancy.clock, {"max_tokens": 1500}), USED)
    assert caught.value.status == 429
    go.set()
    await running
