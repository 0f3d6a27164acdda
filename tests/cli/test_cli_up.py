"""``trimtab up``: what it does with its signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trimtab.cli.up import Reloading, Run
from trimtab.config import Config, load


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
