"""``trimtab up``: what it does with its signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from trimtab.cli.stopping import TOGETHER_S, Stopping
from trimtab.cli.up import Reloading, Run
from trimtab.config import Config, load
from trimtab.workers import AT_ONCE


@pytest.fixture
async def reloading(tmp_path: Path) -> AsyncIterator[Reloading]:
    made = Reloading(Run(config=load(None, {}, data=tmp_path), file=None), asyncio.Event())
    yield made
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    if made._task is not None:
        made._task.cancel()
        await asyncio.gather(made._task, return_exceptions=True)


async def test_who_asks_for_a_reload_while_the_server_starts_is_heard_once_it_has(reloading: Reloading) -> None:
    signal.raise_signal(signal.SIGHUP)
    taken: asyncio.Queue[Config] = asyncio.Queue()
    reloading.start(taken.put)
    async with asyncio.timeout(60):
        assert (await taken.get()).data


async def test_whatever_goes_wrong_in_a_reload_the_next_one_is_heard(
    reloading: Reloading, caplog: pytest.LogCaptureFixture
) -> None:
    failed, taken = asyncio.Event(), asyncio.Event()

    async def take(config: Config) -> None:
        if failed.is_set():
            taken.set()
        else:
            failed.set()
            raise RuntimeError("postgresql://me:canary@host does not answer")

    reloading.start(take)
    async with asyncio.timeout(60):
        signal.raise_signal(signal.SIGHUP)
        await failed.wait()
        signal.raise_signal(signal.SIGHUP)
        await taken.wait()
    assert "was not taken over: RuntimeError" in caplog.text
    assert "canary" not in caplog.text


@pytest.fixture
async def raised() -> AsyncIterator[Callable[[signal.Signals], Awaitable[None]]]:
    """Sends this process a signal, and returns once whoever listens has heard it."""
    loop = asyncio.get_running_loop()

    async def send(number: signal.Signals) -> None:
        signal.raise_signal(number)
        heard = asyncio.Event()
        # The loop reads of signals from a socket: what is sent after them by the same way is read after them.
        loop.add_signal_handler(signal.SIGUSR2, heard.set)
        signal.raise_signal(signal.SIGUSR2)
        async with asyncio.timeout(60):
            await heard.wait()

    yield send
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, AT_ONCE):
        loop.remove_signal_handler(number)


async def test_the_second_signal_hurries_unless_it_came_with_the_first(
    raised: Callable[[signal.Signals], Awaitable[None]], capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    stopping = Stopping(time=lambda: now[0])
    hurried: list[str] = []
    stopping.hurry(lambda: hurried.append("server"))
    await raised(signal.SIGTERM)
    assert stopping.stopped.is_set()
    now[0] += TOGETHER_S / 2
    await raised(signal.SIGTERM)
    await raised(signal.SIGINT)
    assert hurried == []
    now[0] += TOGETHER_S
    await raised(signal.SIGINT)
    await raised(signal.SIGINT)
    assert hurried == ["server"]
    assert capsys.readouterr().out.count("Stopping at once") == 1
    stopping.hurry(lambda: hurried.append("late"))
    assert hurried == ["server", "late"]


async def test_a_worker_hears_its_control_process_alone(
    raised: Callable[[signal.Signals], Awaitable[None]], capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    stopping = Stopping(child=True, time=lambda: now[0])
    hurried: list[str] = []
    stopping.hurry(lambda: hurried.append("server"))
    await raised(signal.SIGINT)
    assert not stopping.stopped.is_set()
    for _ in range(3):  # the group is asked, and the control process asks
        await raised(signal.SIGTERM)
        now[0] += 10 * TOGETHER_S
    assert stopping.stopped.is_set()
    assert hurried == []
    await raised(AT_ONCE)
    assert hurried == ["server"]
    assert capsys.readouterr().out == ""
