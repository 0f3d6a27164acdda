"""One timer for a whole stream: it ends a waiting, and only a waiting."""

from __future__ import annotations

import asyncio

import pytest

from trimtab.gateway.patience import Patience
from trimtab.providers import deadlines
from trimtab.providers.deadlines import STEP_S


async def wait(patience: Patience, event: asyncio.Event) -> str:
    """What a stream does for each of its pieces."""
    if patience.over:
        return "was over"
    patience.waiting = True
    try:
        await event.wait()
    except asyncio.CancelledError:
        if patience.ended():
            return "ended"
        raise
    finally:
        patience.waiting = False
    return "came"


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.01


async def test_it_ends_a_waiting_and_the_task_goes_on() -> None:
    patience = Patience(soon(), deadlines(asyncio.get_running_loop()))
    patience.follow()
    assert await wait(patience, asyncio.Event()) == "ended"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # no cancellation is left behind
    assert await wait(patience, asyncio.Event()) == "was over"


async def test_what_comes_in_time_is_not_touched() -> None:
    patience = Patience(soon(), deadlines(asyncio.get_running_loop()))
    patience.follow()
    event = asyncio.Event()
    event.set()
    assert await wait(patience, event) == "came"
    patience.close()
    await asyncio.sleep(0.01 + 2 * STEP_S)
    assert not patience.over


async def test_between_two_waitings_nothing_is_cancelled() -> None:
    patience = Patience(soon(), deadlines(asyncio.get_running_loop()))
    patience.follow()
    await asyncio.sleep(0.01 + 2 * STEP_S)  # the reader is busy elsewhere while the time runs out
    assert await wait(patience, asyncio.Event()) == "was over"


async def test_it_can_be_extended() -> None:
    patience = Patience(soon(), deadlines(asyncio.get_running_loop()))
    patience.extend(asyncio.get_running_loop().time() + 60)
    patience.follow()
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01 + 2 * STEP_S, event.set)
    assert await wait(patience, event) == "came"
    patience.close()


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    patience = Patience(asyncio.get_running_loop().time() + 60, deadlines(asyncio.get_running_loop()))

    async def reader() -> str:
        patience.follow()
        return await wait(patience, asyncio.Event())

    task = asyncio.create_task(reader())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    patience.close()


async def test_a_cancellation_from_elsewhere_wins_over_the_timer() -> None:
    patience = Patience(asyncio.get_running_loop().time() + 60, deadlines(asyncio.get_running_loop()))

    async def reader() -> str:
        patience.follow()
        return await wait(patience, asyncio.Event())

    task = asyncio.create_task(reader())
    await asyncio.sleep(0)
    patience._fire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
