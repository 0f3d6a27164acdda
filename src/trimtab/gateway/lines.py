"""Lines of requests that wait for a place: first come, first served, within one process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable


class Place:
    """A request's place in one line. ``turn`` is set when it may be worth trying."""

    __slots__ = ("name", "turn")

    def __init__(self, name: str) -> None:
        self.name = name
        self.turn = asyncio.Event()


class Lines:
    """A line for each counter that somebody waits for."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Place]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def waiting(self) -> int:
        """How many wait, in all lines."""
        return sum(map(len, self._lines.values()))

    def length(self, name: str) -> int:
        """How many wait for this counter."""
        line = self._lines.get(name)
        return len(line) if line else 0

    def before(self, names: Iterable[str]) -> int:
        """The position of the first of these counters that others wait for already; -1 for none."""
        if self._lines:
            for position, name in enumerate(names):
                if name in self._lines:
                    return position
        return -1

    def join(self, name: str) -> Place:
        """Stand at the end of a line."""
        place = Place(name)
        self._lines.setdefault(name, deque()).append(place)
        return place

    def leave(self, place: Place) -> None:
        """Step out of a line; who is first now has a try."""
        line = self._lines[place.name]
        line.remove(place)
        if line:
            line[0].turn.set()
        else:
            del self._lines[place.name]

    def wake(self, name: str) -> None:
        """Something was given back: the first in line has a try."""
        line = self._lines.get(name)
        if line:
            line[0].turn.set()

    async def wait(self, place: Place, until: float, poll_s: float) -> bool:
        """Wait for a turn, or until a time of the loop's clock: False. The first in line also looks every ``poll_s``
        seconds, where places may be given back elsewhere."""
        while True:
            now = asyncio.get_running_loop().time()
            if now >= until:
                return False
            first = self._lines[place.name][0] is place
            polling = first and poll_s > 0
            try:
                async with asyncio.timeout_at(min(until, now + poll_s) if polling else until):
                    await place.turn.wait()
            except TimeoutError:
                if polling and now + poll_s < until:
                    return True
                continue
            place.turn.clear()
            if self._lines[place.name][0] is place:
                return True
