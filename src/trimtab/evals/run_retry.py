"""Trying again: what failed for a reason that may pass is asked again, within bounds, and all wait when one must."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from trimtab.core import LimitReached, ModelTimeout, TrimtabError

T = TypeVar("T")

#: Seconds: the pause before the first further try, and the longest one. Each bound is twice the one before, and the
#: pause is drawn evenly from zero to it (full jitter).
FIRST_S, LONGEST_S = 0.5, 30.0


@dataclass
class Retries:
    """Shared by all calls of a run. ``counts`` says how many further tries there were, by the error's code.

    A rate limit holds back every call until it has passed, not only the one that met it.
    """

    attempts: int = 4
    timeout_s: float = 120.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    draw: Callable[[], float] = random.random
    counts: Counter[str] = field(default_factory=Counter)
    _held_until: float = 0.0

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> tuple[T, int]:
        """What ``call`` answers, and the number of tries. Raises what the last try raised."""
        tries = 1
        while True:
            if self._held_until:
                await self._wait()
            try:
                async with asyncio.timeout(self.timeout_s):
                    return await call(), tries
            except TimeoutError:
                error: TrimtabError = ModelTimeout(f"there was no answer within {self.timeout_s:g} s.")
            except TrimtabError as raised:
                error = raised
            if not error.retryable or tries >= self.attempts:
                error.tries = tries  # type: ignore[attr-defined]  # how often it was tried goes into the log
                raise error
            self.counts[error.code] += 1
            await self._pause(error, tries)
            tries += 1

    async def _pause(self, error: TrimtabError, tries: int) -> None:
        if error.retry_after is not None and (isinstance(error, LimitReached) or _limited(error)):
            self._held_until = max(self._held_until, self.clock() + min(error.retry_after, LONGEST_S))
            return
        bound = min(LONGEST_S, FIRST_S * 2 ** (tries - 1))
        await self.sleep(max(self.draw() * bound, min(error.retry_after or 0.0, LONGEST_S)))

    async def _wait(self) -> None:
        while (left := self._held_until - self.clock()) > 0:
            # Not all at one moment: a tenth of the pause apart at most.
            await self.sleep(left * (1 + 0.1 * self.draw()))


def _limited(error: TrimtabError) -> bool:
    return getattr(error, "vendor_status", 0) == 429
