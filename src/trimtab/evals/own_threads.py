"""Threads for scorers in Python: one that hangs keeps its thread, and stops nobody else.

A thread cannot be ended from outside. So each call has a thread of its own and a deadline: past it the thread is left
behind, its place goes to the next call, and the caller gets an error that says so. A scorer that has left MOST_HANGING
threads behind is asked no more until one of them comes back.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

#: Calls at once, the seconds that one may take, and threads of one scorer that may hang.
AT_ONCE, DEADLINE_S, MOST_HANGING = 4, 50.0, 4


class ScorerHangs(TimeoutError):
    """A scorer gave no value in time, or is not asked because it hangs already."""


class OwnThreads:
    """Runs plain functions. ``hanging`` counts by name the threads that are left behind."""

    def __init__(self, *, deadline_s: float = DEADLINE_S) -> None:
        self.hanging: Counter[str] = Counter()
        self.deadline_s = deadline_s
        self._lock = threading.Lock()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def __call__(self, name: str, call: Callable[[], Any]) -> Any:
        """What ``call`` returns or raises; raises ScorerHangs."""
        loop = asyncio.get_running_loop()
        async with self._turns.setdefault(loop, asyncio.Semaphore(AT_ONCE)):
            # Looked at when its turn comes: those that waited must not hang one after another.
            if (n := self.hanging[name]) >= MOST_HANGING:
                raise ScorerHangs(f"{name} is not asked: {n} calls of it hang. Others are not affected.")
            ended: asyncio.Future[Any] = loop.create_future()
            task = _Task(partial(contextvars.copy_context().run, call), loop, ended)
            threading.Thread(target=task.run, args=(partial(self._back, name),), name="scorer", daemon=True).start()
            try:
                async with asyncio.timeout(self.deadline_s):
                    return await ended
            except TimeoutError:
                if ended.done() and not ended.cancelled():  # it raised a TimeoutError of its own
                    raise
                said = f"{name} gave no value within {self.deadline_s:g} s. Its thread is left behind; others go on."
                raise ScorerHangs(said) from None
            finally:
                with self._lock:
                    self.hanging[name] += task.leave()

    def _back(self, name: str) -> None:
        with self._lock:
            self.hanging[name] -= 1


class _Task:
    """One call; ``leave`` and its end agree on whether it was left behind."""

    def __init__(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop, ended: asyncio.Future[Any]) -> None:
        self._call, self._loop, self._ended = call, loop, ended
        self._lock = threading.Lock()
        self._over = self._left = False

    def run(self, back: Callable[[], None]) -> None:
        value: Any = None
        error: Exception | None = None
        try:
            value = self._call()
        except (StopIteration, SystemExit) as raised:  # no future holds the one, nobody hears of the other
            error = RuntimeError(f"{type(raised).__name__} {raised}".strip())
            error.__cause__ = raised
        # house: except because whatever a scorer of the user's raises is raised where it was asked
        except Exception as raised:
            error = raised
        with self._lock:
            self._over, left = True, self._left
        if left:
            back()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._tell, value, error)

    def leave(self) -> bool:
        """Whether it is still under way, and so left behind from now on."""
        with self._lock:
            self._left = not self._over
            return self._left

    def _tell(self, value: Any, error: Exception | None) -> None:
        if self._ended.done():
            return
        if error is not None:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(value)
