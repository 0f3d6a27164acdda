"""How the breakers of the targets stood over the last hours: the worst state in each cell of ten minutes.

A breaker itself knows only how it stands now. The control process looks at all of them every few seconds, those of the
gateway workers too, and keeps this for as long as it runs; a cell in which it did not look is not known, not closed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from .breaker import State
from .health import RouteHealth

#: Seconds between two looks: shorter than the shortest rest of a breaker that is meant seriously.
EVERY_S = 5.0
CELL_S, CELLS = 600, 36
#: Targets that are kept; the one seen longest ago is forgotten first.
TARGETS = 2000
_WORSE: Mapping[State, int] = {"closed": 0, "half-open": 1, "open": 2}
_NS = 1_000_000_000


class BreakerLog:
    """The worst state of every target of every route, by the start of the cell in nanoseconds."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], dict[int, State]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def note(self, routes: Iterable[RouteHealth], now_ns: int) -> None:
        """One look."""
        start = now_ns // (CELL_S * _NS) * (CELL_S * _NS)
        for route in routes:
            for target in route.targets:
                cells = self._seen.setdefault((route.name, target.ref), {})
                self._seen.move_to_end((route.name, target.ref))
                before = cells.get(start)
                if before is None or _WORSE[target.state] > _WORSE[before]:
                    cells[start] = target.state
                for old in [cell for cell in cells if cell <= start - CELLS * CELL_S * _NS]:
                    del cells[old]
        while len(self._seen) > TARGETS:
            self._seen.popitem(last=False)

    def of(self, route: str, ref: str) -> Mapping[int, State]:
        """What is known of a target."""
        return self._seen.get((route, ref), {})

    def start(self, look: Callable[[], Iterable[RouteHealth]], clock: Callable[[], int]) -> None:
        """Look from now on, every EVERY_S seconds."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(look, clock), name="trimtab-breaker-log")

    async def stop(self) -> None:
        """Look no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self, look: Callable[[], Iterable[RouteHealth]], clock: Callable[[], int]) -> None:
        while True:
            self.note(look(), clock())
            await asyncio.sleep(EVERY_S)
