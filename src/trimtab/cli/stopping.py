"""What the signals that ask the server to stop lead to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import click

from trimtab.workers import AT_ONCE

#: A signal that comes within so many seconds of the first is the same wish: terminals, supervisors and ``timeout`` may
#: send one to a process and once more to its group.
TOGETHER_S = 0.5


class Stopping:
    """The first SIGTERM or SIGINT sets ``stopped``; a later one is for those who cannot wait, and calls what
    ``hurry`` was given. A ``child`` hears only its control process. ``time`` are seconds of a clock that does not
    jump."""

    def __init__(self, *, child: bool = False, time: Callable[[], float] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.stopped = asyncio.Event()
        self._time = time or loop.time
        self._first: float | None = None
        self._child = child
        self._hurried = False
        self._hurry: list[Callable[[], None]] = []
        loop.add_signal_handler(signal.SIGTERM, self.stopped.set if child else self._asked)
        loop.add_signal_handler(signal.SIGINT, (lambda: None) if child else self._asked)
        if child:
            loop.add_signal_handler(AT_ONCE, self._at_once)

    def hurry(self, end: Callable[[], None]) -> None:
        """Call ``end`` when somebody cannot wait; at once if somebody could not."""
        self._hurry.append(end)
        if self._hurried:
            end()

    def _asked(self) -> None:
        if self._first is None or not self.stopped.is_set():
            self._first = self._time()
            self.stopped.set()
        elif self._time() - self._first >= TOGETHER_S:
            self._at_once()

    def _at_once(self) -> None:
        self.stopped.set()
        if self._hurried:
            return
        self._hurried = True
        if self._hurry and not self._child:
            click.echo("Stopping at once: cutting running requests off, committing what was accepted ...")
        for end in self._hurry:
            end()
