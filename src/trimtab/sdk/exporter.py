"""The background thread that sends what the application records. It holds up nothing and raises nothing there."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from trimtab.core import TrimtabError

from .connection import Unreachable

_LOG = logging.getLogger("trimtab")

T = TypeVar("T")


class Lost(NamedTuple):
    """How many items of a batch the server did not want, and why not."""

    items: int
    reason: str


class Exporter(Generic[T]):
    """A bounded queue and one daemon thread, started by the first item.

    ``send`` delivers a batch and says what of it was lost; it raises Unreachable when it is worth another try and any
    other TrimtabError when it is not, and before that may take out of the batch what was dealt with. ``limit`` items
    wait at most, ``batch`` go at once, or fewer after ``interval`` seconds. A batch is tried ``tries`` times with
    growing pauses. What is given up is counted in ``dropped`` and said once until a batch arrives; ``gave_up`` gets
    what was never delivered.
    """

    def __init__(
        self,
        send: Callable[[list[T]], Lost | None],
        *,
        limit: int = 8192,
        batch: int = 512,
        interval: float = 1.0,
        tries: int = 6,
        first_pause: float = 0.5,
        gave_up: Callable[[Sequence[T]], None] | None = None,
    ) -> None:
        self._send, self._gave_up = send, gave_up
        self._limit, self._batch, self._interval = limit, batch, interval
        self._tries, self._first_pause = tries, first_pause
        self.dropped = 0
        self.reset()

    def reset(self) -> None:
        """Start empty and without a thread: for the child of a fork, whose parent sends what the parent recorded."""
        self._changed = threading.Condition()
        self._queue: deque[T] = deque()
        self._thread: threading.Thread | None = None
        self._under_way: list[T] = []
        self._busy = self._hurry = self._closing = self._said = self._ending = False
        #: What was dropped of which nothing was said, and why.
        self._unsaid, self._reason = 0, ""

    def offer(self, item: T) -> bool:
        """Queue one item. False when it was dropped."""
        with self._changed:
            if len(self._queue) >= self._limit:
                self._drop(1, "the queue is full")
                self._lose([item])
                return False
            self._queue.append(item)
            if self._thread is None:
                return self._start()
            if len(self._queue) in (1, self._batch):
                self._changed.notify_all()
        return True

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything offered so far was sent or given up. False when ``timeout`` seconds went by."""
        with self._changed:
            self._hurry = bool(self._queue)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Send what is left, trying once, for at most ``timeout`` seconds. A later item starts over."""
        with self._changed:
            thread = self._thread
            self._closing = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout)
        with self._changed:
            self._closing = self._thread is not None

    def end(self, timeout: float = 2.0) -> None:
        """Close because the process ends, and say in one line what was lost of which nothing was said yet."""
        with self._changed:
            self._ending = True
        self.close(timeout)
        with self._changed:
            left = len(self._queue) + len(self._under_way)
            count = self._unsaid + left
            if left:
                self._reason = f"no answer within {timeout:g} seconds"
            # The thread may get further yet, and what comes later is told of by itself.
            self._unsaid, self._ending, self._said = 0, False, left > 0
        if count:
            _LOG.warning(
                "trimtab: the process ends, and %d more spans or scores were not delivered: %s.",
                count,
                self._reason.rstrip("."),
            )

    def _start(self) -> bool:
        self._thread = threading.Thread(target=self._run, name="trimtab-export", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # The interpreter is shutting down.
            self._thread = None
            self._lose(list(self._queue))
            self._queue.clear()
            self._drop(1, "the process is ending")
            return False
        return True

    def _run(self) -> None:
        while items := self._next():
            self._deliver(items)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> list[T]:
        """The next batch; an empty one when the exporter closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            self._changed.wait_for(
                lambda: len(self._queue) >= self._batch or self._hurry or self._closing, self._interval
            )
            items = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            self._busy = bool(items)
            self._under_way = items
            if not self._queue:
                self._hurry = False
            if not items:
                self._thread = None
            return items

    def _deliver(self, items: list[T]) -> None:
        for attempt in range(self._tries):
            try:
                lost = self._send(items)
            except Unreachable as error:
                reason = str(error)
                if not self._pause(error.retry_after or self._first_pause * 2**attempt):
                    break
            except TrimtabError as error:
                reason = str(error)
                break
            except Exception as error:  # house: except because this thread must outlive whatever it is given
                reason = f"{type(error).__name__}: {error}"
                break
            else:
                self._settle(lost)
                return
        self._lose(items)
        self._settle(Lost(len(items), reason))

    def _lose(self, items: Sequence[T]) -> None:
        if self._gave_up is not None:
            self._gave_up(items)

    def count(self, lost: Lost) -> None:
        """What was lost of a batch of which the rest is tried again."""
        with self._changed:
            self._drop(*lost)

    def _settle(self, lost: Lost | None) -> None:
        """The batch is dealt with, all at once: whoever ends the exporter must not count it twice."""
        with self._changed:
            self._under_way = []
            if lost is not None:
                self._drop(*lost)
            else:
                self._said = False

    def _pause(self, seconds: float) -> bool:
        """Wait before the next try. False when the exporter is closing and there is none."""
        end = time.monotonic() + min(seconds, 30.0)
        with self._changed:
            self._changed.wait_for(lambda: self._closing, max(0.0, end - time.monotonic()))
            return not self._closing

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        if self._said or self._ending:
            self._unsaid, self._reason = self._unsaid + count, reason
        else:
            self._said = True
            _LOG.warning(
                "trimtab: %d spans or scores were not sent (%d so far): %s. The application goes on; further losses "
                "are counted and not said until sending works again.",
                count,
                self.dropped,
                reason.rstrip("."),
            )
