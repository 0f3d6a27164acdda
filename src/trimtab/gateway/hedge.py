"""Two attempts at once: the first that begins to answer wins, the other is cancelled and accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trimtab.core import Chunk, TrimtabError

from .attempt import Asking


async def race(
    first: Asking, after: float, second: Callable[[], Asking | None], failed: Callable[[Asking, TrimtabError], None]
) -> tuple[Asking, list[Chunk]]:
    """The attempt that answers, and the beginning of its answer.

    ``second`` is asked for another attempt when the first has been silent for ``after`` seconds; it may decline.
    ``failed`` hears of an attempt that failed, which is closed by then. Raises the last error when all have failed.
    """
    running = {asyncio.create_task(first.open()): first}
    hedged = False
    last: TrimtabError | None = None
    try:
        await asyncio.wait(running, timeout=after)
        if not any(task.done() for task in running) and (other := second()) is not None:
            hedged = True
            running[asyncio.create_task(other.open())] = other
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: task.exception() is not None):
                asking = running.pop(task)
                try:
                    opening = task.result()
                except TrimtabError as error:
                    last = error
                    await asking.close(error)
                    failed(asking, error)
                    continue
                asking.attempt.hedge = "won" if hedged else ""
                return asking, opening
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for asking in running.values():
            asking.attempt.hedge = "lost" if hedged else ""
            await asking.close()
    if last is None:
        raise RuntimeError("a race without an end")  # cannot be: the loop ends with an answer or an error
    raise last
