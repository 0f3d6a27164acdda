"""Hedging: a second attempt beside a silent first one, within attempts and budget, and never after the first byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from chains import CALL, DOWN, PLAIN, Chain, hangs, in_turn, says, text_of
from gateway_house import House, user
from virtual_time import virtual

from trimtab.core import Call, Chunk, ModelError, Usage

SOON = {"hedge": {"after": 0.5}, "timeout": {"first_byte": 4.0}}


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_a_silent_first_is_overtaken_cancelled_and_accounted_for() -> None:
    closed: list[str] = []
    chain = Chain(hangs(closed=closed, name="first"), says("second", after=0.2), **SOON)
    attempts = chain.attempts()
    assert await text_of(attempts) == "second"
    assert (now(), closed) == (0.7, ["first"])
    lost, won = attempts.log
    assert (lost.ref, lost.hedge, lost.error) == ("p/0", "lost", None)
    assert (lost.usage, lost.estimated) == (Usage(input_tokens=2), True)  # its prompt was read
    assert (won.ref, won.hedge, won.estimated) == ("p/1", "won", False)
    assert [(t.in_flight, t.queue) for t in chain.state.targets.values()] == [(0, 0.0), (0, 0.0)]
    assert chain.state.targets["p/1"].hedges == 1


@virtual
async def test_the_first_may_still_win_and_is_the_last_of_the_log_then() -> None:
    attempts = Chain(says("first", after=0.8), says("second", after=1.0), **SOON).attempts()
    assert await text_of(attempts) == "first"
    assert [(one.ref, one.hedge) for one in attempts.log] == [("p/1", "lost"), ("p/0", "won")]
    assert now() == 0.8


@virtual
async def test_a_quick_answer_is_not_hedged() -> None:
    attempts = Chain(says("first", after=0.4), says("second"), **SOON).attempts()
    assert await text_of(attempts) == "first"
    assert [(one.ref, one.hedge) for one in attempts.log] == [("p/0", "")]


@virtual
async def test_nothing_is_hedged_once_something_was_passed_on() -> None:
    seen: list[Call] = []
    attempts = Chain(says("a", "b", between=1.0), says("x", seen=seen), **SOON).attempts()
    assert await text_of(attempts) == "ab"
    assert (len(attempts.log), seen) == (1, [])


@virtual
async def test_when_both_fail_the_turns_go_on_within_one_budget_of_attempts() -> None:
    chain = Chain(says(then=DOWN, after=1.0), says(then=DOWN, after=1.0), says("third"), **SOON, attempts=3)
    attempts = chain.attempts()
    assert await text_of(attempts) == "third"
    assert [one.ref for one in attempts.log] == ["p/0", "p/1", "p/2"]
    short = Chain(says(then=DOWN, after=1.0), says(then=DOWN, after=1.0), says("third"), **SOON, attempts=2)
    with pytest.raises(ModelError, match="down"):
        await text_of(short.attempts())


@virtual
async def test_one_that_fails_during_the_race_leaves_it_to_the_other() -> None:
    attempts = Chain(says(then=DOWN, after=0.6), says("second", after=1.0), **SOON).attempts()
    assert await text_of(attempts) == "second"
    assert now() == 1.5
    assert [one.error for one in attempts.log] == [DOWN, None]


@virtual
async def test_a_single_target_is_not_asked_twice_at_once() -> None:
    attempts = Chain(says("slow", after=3.0), **SOON).attempts()
    assert await text_of(attempts) == "slow"
    assert len(attempts.log) == 1


@virtual
async def test_no_more_than_the_share_of_the_traffic_is_hedged() -> None:
    """Every first attempt is slow: without a budget each would be hedged, and the load would double."""
    chain = Chain(says("slow", after=1.0), says("quick"), **SOON | {"hedge": {"after": 0.5, "share": 0.1}})
    hedged = 0
    for _ in range(400):
        attempts = chain.attempts()
        await text_of(attempts)
        hedged += len(attempts.log) > 1
        await asyncio.sleep(0.001)
    assert 40 <= hedged <= 40 + 5 + 40  # the share, the start, and what time gives back to a quiet route


@virtual
async def test_a_quantile_is_learnt_from_the_routes_own_answers() -> None:
    waits = [0.05 + 0.001 * (n % 50) for n in range(100)]

    async def model(call: Call) -> AsyncIterator[Chunk]:
        await asyncio.sleep(waits.pop() if waits else 9.0)
        yield Chunk(text="x", finish="stop")

    chain = Chain(model, says("second"), hedge={"after": "p90", "share": 0.5}, timeout={"first_byte": 30.0})
    assert chain.state.hedge_after(chain.route, stream=True) is None
    while waits:
        await text_of(chain.attempts())
    after = chain.state.hedge_after(chain.route, stream=True)
    assert after == pytest.approx(0.095, abs=0.005)
    assert chain.state.hedge_after(chain.route, stream=False) is None
    since = now()
    assert await text_of(chain.attempts()) == "second"
    assert now() - since == pytest.approx(after)


@virtual
async def test_a_client_that_goes_away_ends_both() -> None:
    closed: list[str] = []
    chain = Chain(hangs(closed=closed, name="a"), hangs(closed=closed, name="b"), **SOON)
    attempts = chain.attempts()
    task = asyncio.ensure_future(text_of(attempts))
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(closed) == ["a", "b"]
    assert all(one.estimated and one.end_ns for one in attempts.log)
    assert [t.in_flight for t in chain.state.targets.values()] == [0, 0]


@virtual
async def test_plain_replies_are_hedged_too() -> None:
    attempts = Chain(in_turn(hangs(), says("x")), says("second"), **SOON).attempts()
    assert await text_of(attempts, PLAIN) == "second"
    assert (now(), CALL.stream, len(attempts.log)) == (0.5, True, 2)


async def test_the_trace_shows_who_lost(house: House) -> None:
    async def slow(call: Call) -> AsyncIterator[Chunk]:
        await asyncio.sleep(30)
        yield Chunk()

    real = house.gateway.providers.model
    house.gateway.providers.model = lambda ref: slow if ref == "scripted/slow" else real(ref)  # type: ignore[method-assign]
    targets = [{"model": "scripted/slow"}, {"model": "scripted/echo"}]
    await house.publish("routes", "hedged", {"targets": targets, "hedge": {"after": 0.02}})
    answer = await house.ask({"model": "hedged", "messages": user("hello"), "stream": True})
    assert answer.text == "hello"
    root, *rest = (await house.trace(answer))[0]
    calls = {span.name: span for span in rest if span.kind == "llm"}
    assert (root.model, root.status, root.attributes["hedge"]) == ("echo", "ok", "won")
    lost = calls["scripted/slow"]
    assert (lost.attributes["hedge"], lost.attributes["estimated"], lost.status) == ("lost", True, "ok")
    assert (lost.output, lost.input_tokens, calls["scripted/echo"].output) == ("", 3, "hello")
