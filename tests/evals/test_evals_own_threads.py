"""Scorers in Python that hang: they lose their thread, and nobody else does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from trimtab.evals.own_threads import AT_ONCE, MOST_HANGING, OwnThreads, ScorerHangs


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_four_that_hang_do_not_stop_a_fifth(release: threading.Event) -> None:
    threads = OwnThreads(deadline_s=0.05)
    hung = await asyncio.gather(*(threads(f"hangs {n}", release.wait) for n in range(AT_ONCE)), return_exceptions=True)
    assert all(isinstance(error, ScorerHangs) for error in hung)
    assert str(hung[0]) == "hangs 0 gave no value within 0.05 s. Its thread is left behind; others go on."
    threads.deadline_s = 60.0
    assert await threads("well", lambda: 0.5) == 0.5
    assert threads.hanging["hangs 0"] == 1


async def test_one_that_hangs_again_and_again_is_not_asked_until_it_comes_back(release: threading.Event) -> None:
    threads = OwnThreads(deadline_s=0.02)
    for _ in range(MOST_HANGING):
        with pytest.raises(ScorerHangs, match="gave no value"):
            await threads("hangs", release.wait)
    asked: list[int] = []
    with pytest.raises(ScorerHangs, match="is not asked: 4 calls of it hang"):
        await threads("hangs", lambda: asked.append(1))
    assert asked == []
    release.set()
    for thread in threading.enumerate():
        if thread.name == "scorer":
            thread.join(60)
    assert threads.hanging["hangs"] == 0
    patient = OwnThreads()
    assert await patient("hangs", lambda: 1.0) == 1.0


async def test_those_that_wait_for_a_turn_do_not_hang_one_after_another(release: threading.Event) -> None:
    threads = OwnThreads(deadline_s=0.02)
    hung = await asyncio.gather(*(threads("hangs", release.wait) for _ in range(40)), return_exceptions=True)
    assert all(isinstance(error, ScorerHangs) for error in hung)
    assert MOST_HANGING <= threads.hanging["hangs"] < MOST_HANGING + AT_ONCE


@pytest.mark.parametrize("raised", [StopIteration, SystemExit])
async def test_what_no_future_can_hold_is_told_as_an_error(raised: type[BaseException]) -> None:
    def wrong() -> float:
        raise raised("no more")

    threads = OwnThreads()
    with pytest.raises(RuntimeError, match=f"{raised.__name__} no more"):
        await threads("wrong", wrong)
    assert threads.hanging["wrong"] == 0


async def test_what_it_raises_is_raised_and_a_call_that_is_given_up_counts_as_hanging(release: threading.Event) -> None:
    threads = OwnThreads()

    def wrong() -> float:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await threads("wrong", wrong)
    began = threading.Event()

    def slow() -> float:
        began.set()
        return float(release.wait())

    task = asyncio.create_task(threads("slow", slow))
    await asyncio.to_thread(began.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (threads.hanging["slow"], threads.hanging["wrong"]) == (1, 0)
