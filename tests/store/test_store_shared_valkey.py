"""Valkey going away and coming back, and two processes on one server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from trimtab.store import Demand
from trimtab.store.shared_valkey import ValkeyShared

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
ENDS = START + 86_400 * SECOND


def places(limit: int) -> Demand:
    return Demand(name="places", kind="lease", limit=limit)


def purse(limit: int, amount: int = 1) -> Demand:
    return Demand(name="purse", kind="money", limit=limit, amount=amount, ends_ns=ENDS)


async def let_in(shared: ValkeyShared, demand: Demand, tries: int, prefix: str) -> list[str]:
    holds = [f"{prefix}{n}" for n in range(tries)]
    answers = [await shared.acquire(hold, [demand], now_ns=START, ttl_s=60) for hold in holds]
    return [hold for hold, answer in zip(holds, answers, strict=True) if answer.denied < 0]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - nothing tells when a server is back but asking
            await asyncio.sleep(0.02)


async def test_two_clients_share_every_counter(valkey_url: str) -> None:
    one, two = ValkeyShared(valkey_url), ValkeyShared(valkey_url)
    inside = await asyncio.gather(let_in(one, places(5), 4, "a"), let_in(two, places(5), 4, "b"))
    assert sum(map(len, inside)) == 5
    await one.seed("purse", 0, ENDS)
    spent = await asyncio.gather(let_in(one, purse(10, 3), 4, "a"), let_in(two, purse(10, 3), 4, "b"))
    assert sum(map(len, spent)) == 3
    assert (await two.look("purse", now_ns=START)).reserved == 9
    await one.close()
    await two.close()


@pytest.mark.parametrize("keeps", [True, False], ids=["it kept its data", "it lost its data"])
async def test_each_process_goes_on_with_its_share_and_pays_later(
    start_valkey: Callable[..., object], caplog: pytest.LogCaptureFixture, keeps: bool
) -> None:
    caplog.set_level(logging.WARNING, "trimtab.limits")
    server = start_valkey(persist=keeps)
    shared = ValkeyShared(server.url, workers=4)  # type: ignore[attr-defined]
    await shared.seed("purse", 20, ENDS)
    assert await let_in(shared, purse(100, 10), 1, "before") == ["before0"]
    await shared.settle("before0", [purse(100, 10)], [12], now_ns=START)
    assert (await shared.look("purse", now_ns=START)).spent == 32
    assert await let_in(shared, purse(100, 5), 1, "across") == ["across0"]

    server.stop()  # type: ignore[attr-defined]
    inside = await let_in(shared, places(8), 8, "x")
    assert len(inside) == 2
    assert "Valkey does not answer" in shared.degraded
    # Of the 63 that were neither spent nor reserved when it was last heard, a quarter.
    paid = await let_in(shared, purse(100, 4), 9, "y")
    assert len(paid) == 3
    for hold in paid:
        await shared.settle(hold, [purse(100, 4)], [5], now_ns=START)
    await shared.settle("across0", [purse(100, 5)], [6], now_ns=START)
    for hold in inside:
        await shared.settle(hold, [places(8)], [1], now_ns=START)

    server.start()  # type: ignore[attr-defined]
    await until(lambda: not shared.degraded)
    found = await shared.look("purse", now_ns=START)
    if keeps:
        assert (found.spent, found.reserved) == (32 + 3 * 5 + 6, 0)
    else:  # whoever seeds it from the ledger finds there what was spent meanwhile: it must not be told twice
        assert (found.spent, found.reserved) == (None, 0)
    assert len(await let_in(shared, places(8), 9, "z")) == 8
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "one in 4" in text]) == 1
    assert len([text for text in said if "answers again" in text]) == 1
    await shared.close()


async def test_what_an_earlier_life_holds_is_let_go_and_nothing_of_anybody_else(valkey_url: str) -> None:
    dead = ValkeyShared(valkey_url, node="here", boot="1")
    other = ValkeyShared(valkey_url, node="there", boot="9")
    await dead.seed("purse", 0, ENDS)
    for shared, prefix in ((dead, "d"), (other, "o")):
        assert len(await let_in(shared, places(9), 2, prefix)) == 2
        assert len(await let_in(shared, purse(100, 10), 2, prefix)) == 2
        await shared.close()
    alive, sibling = (ValkeyShared(valkey_url, node="here", boot="2") for _ in range(2))
    for shared, prefix, places_left, reserved in ((alive, "a", 7, 20), (sibling, "s", 0, 20)):
        assert (await shared.look("purse", now_ns=START)).reserved == reserved
        assert len(await let_in(shared, places(9), 9, prefix)) == places_left
        await shared.close()


async def test_a_server_that_is_not_there_yet_refuses_nobody() -> None:
    shared = ValkeyShared("unix:///tmp/no-such-valkey.sock")
    answer = await shared.acquire("a", [places(1)], now_ns=START, ttl_s=60)
    assert (answer.denied, answer.local) == (-1, True)
    await shared.close()


async def test_a_hold_of_one_process_is_settled_by_another(valkey_url: str) -> None:
    """A response in the background is reserved in one process and heard of in any other."""
    one = ValkeyShared(valkey_url, node="one", boot="1")
    two = ValkeyShared(valkey_url, node="two", boot="1")
    demand = purse(100, 30)
    await one.seed(demand.name, 0, demand.ends_ns)
    for hold in ("0a1b", "a1b", "ffff"):  # none of which is another's end
        assert (await one.acquire(hold, [demand], now_ns=START, ttl_s=60.0)).denied < 0
    await two.settle("a1b", [demand], [7], now_ns=START)
    found = await two.look(demand.name, now_ns=START)
    assert (found.spent, found.reserved) == (7, 60)
    for hold in ("nobodys", ""):
        await two.settle(hold, [demand], [1], now_ns=START)
    assert (await two.look(demand.name, now_ns=START)).reserved == 60
    for hold in ("0a1b", "ffff"):
        await two.settle(hold, [demand], [0], now_ns=START)
    assert (await one.look(demand.name, now_ns=START)).reserved == 0
    for shared in (one, two):
        await shared.close()
