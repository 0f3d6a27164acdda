"""Many deadlines, one timer: none is met early, none is forgotten, and one that is cancelled is not met."""

from __future__ import annotations

import asyncio
import functools
import random

from trimtab.providers.deadlines import Deadlines, deadlines


async def test_each_is_met_in_time_and_none_early() -> None:
    loop = asyncio.get_running_loop()
    behind, start = Deadlines(loop), loop.time()
    met: dict[int, float] = {}
    wanted = {number: start + random.Random(number).uniform(0.0, 0.3) for number in range(200)}
    done = asyncio.Event()

    def meet(number: int) -> None:
        met[number] = loop.time()
        if len(met) == len(wanted):
            done.set()

    for number, when in wanted.items():
        behind.at(when, functools.partial(meet, number))
    await asyncio.wait_for(done.wait(), 30)
    assert all(met[number] >= when for number, when in wanted.items())


async def test_a_cancelled_one_is_not_met_and_a_sooner_one_does_not_wait_for_a_later_one() -> None:
    loop = asyncio.get_running_loop()
    behind = Deadlines(loop)
    met: list[str] = []
    done = asyncio.Event()
    behind.at(loop.time() + 600, lambda: met.append("late"))
    cancelled = behind.at(loop.time() + 0.05, lambda: met.append("cancelled"))
    behind.at(loop.time() + 0.1, done.set)
    cancelled.cancel()
    cancelled.cancel()  # twice is as good as once
    await asyncio.wait_for(done.wait(), 30)
    assert met == []


async def test_one_that_is_cancelled_when_its_time_was_seen_is_not_met() -> None:
    loop = asyncio.get_running_loop()
    behind = Deadlines(loop)
    met: list[str] = []
    cancelled = behind.at(loop.time() - 1, lambda: met.append("cancelled"))
    behind.at(loop.time() - 1, lambda: met.append("met"))
    behind._look()
    cancelled.cancel()
    await asyncio.sleep(0)
    assert met == ["met"]


async def test_one_that_is_set_while_another_is_met_is_met_too() -> None:
    loop = asyncio.get_running_loop()
    behind = Deadlines(loop)
    done = asyncio.Event()
    behind.at(loop.time() + 0.02, lambda: behind.at(loop.time() + 0.02, done.set))
    await asyncio.wait_for(done.wait(), 30)


async def test_slots_that_nobody_waits_in_are_let_go() -> None:
    loop = asyncio.get_running_loop()
    behind = Deadlines(loop)
    done = asyncio.Event()
    for number in range(1000):
        behind.at(loop.time() + number, lambda: None).cancel()
    behind.at(loop.time() + 0.01, done.set)
    await asyncio.wait_for(done.wait(), 30)
    assert len(behind._slots) <= 1


async def test_a_loop_has_one_set_of_them() -> None:
    loop = asyncio.get_running_loop()
    assert deadlines(loop) is deadlines(loop)


def test_those_of_a_loop_that_is_closed_are_let_go() -> None:
    loops = [asyncio.new_event_loop() for _ in range(2)]
    try:
        kept = deadlines(loops[0])
        kept.at(loops[0].time() + 600, lambda: None)
        loops[0].close()
        deadlines(loops[1])
        assert loops[0] not in deadlines._known
        assert loops[1] in deadlines._known
    finally:
        for loop in loops:
            loop.close()
