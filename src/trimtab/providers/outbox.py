"""Writes to sockets, gathered until the event loop's turn is over.

A write wakes whoever waits at the other end, and waking a process costs more than handing it the bytes. In a turn of a
busy loop many requests have something to send. Sent one by one, between the steps of the requests, each of them finds
its receiver asleep again; sent one behind the other, the first wakes it and the rest find it awake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .of_loop import OfLoop


class Outbox:
    """What is to be written at the end of one event loop's turn; ``outbox`` finds it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._call_soon = loop.call_soon
        self._waiting: list[Callable[[], object]] = []

    def post(self, write: Callable[[], object]) -> None:
        """Call ``write`` once this turn is over, after what was posted before. One that raises keeps no other from
        being written."""
        if not self._waiting:
            self._call_soon(self._flush)
        self._waiting.append(write)

    def _flush(self) -> None:
        writes, self._waiting = self._waiting, []
        for write in writes:
            try:
                write()
            except Exception as error:  # house: except because the other connections' writes must still go out
                self._loop.call_exception_handler({"message": "A write to a socket failed.", "exception": error})


#: The outbox of a loop.
outbox = OfLoop(Outbox)
