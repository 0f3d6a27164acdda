"""The process that starts gateway workers, as it ends them."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import Iterator

import pytest

from trimtab.workers import Supervisor, supervisor

#: A worker that hears no signal but the last one, and says when it is there.
_DEAF = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
os.write(int(sys.argv[1]), b"here")
time.sleep(600)
"""
_PATIENCE_S = 30.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


async def test_whoever_cannot_wait_does_not_wait_for_a_worker_that_hangs(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "LAST_S", 0.05)
    read, write = pipe
    found = Supervisor((sys.executable, "-S", "-c", _DEAF, str(write)), fd=write, workers=1)
    found.start()
    assert (await asyncio.to_thread(select.select, [read], [], [], _PATIENCE_S))[0]
    stopping = asyncio.ensure_future(found.stop(3600))
    await asyncio.sleep(0)
    assert not stopping.done()
    found.hurry()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await stopping
    finally:
        for process in found._processes:
            process.kill()
    assert "did not end in time and is killed" in caplog.text


async def test_a_worker_that_was_being_started_is_asked_to_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    create = asyncio.create_subprocess_exec
    made: list[asyncio.subprocess.Process] = []

    async def slowly(*command: str, **options: object) -> asyncio.subprocess.Process:
        begun.set()
        await go_on.wait()
        made.append(await create(*command, **options))  # type: ignore[arg-type]
        return made[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    found = Supervisor(("/bin/sleep", "600"), fd=2, workers=1)
    found.start()
    await begun.wait()
    stopping = asyncio.ensure_future(found.stop(3600))
    await asyncio.sleep(0)
    go_on.set()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await stopping
    finally:
        for process in made if not stopping.done() or stopping.cancelled() else ():
            process.kill()
    assert made[0].returncode is not None
