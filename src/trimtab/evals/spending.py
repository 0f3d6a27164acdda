"""What live scorers have spent today, kept in the settings so that a restart does not give the money twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.store import Settings

#: The setting that holds what was spent.
SPENT = "scoring.spent"
_DAY_NS = 86_400 * 10**9
#: Scorers whose spending is kept for a day.
_MOST = 1_000


@dataclass(slots=True)
class Spend:
    """What one scorer spent on one day (days since 1970, UTC), and how many verdicts had no known price."""

    day: int = 0
    usd: float = 0.0
    unpriced: int = 0

    def pay(self, day: int, cost_usd: float | None) -> None:
        """Count what a verdict cost; None is not known."""
        self.turn(day)
        self.unpriced += cost_usd is None
        self.usd += cost_usd or 0.0

    def turn(self, day: int) -> None:
        """Begin anew on another day."""
        if day != self.day:
            self.day, self.usd, self.unpriced = day, 0.0, 0


class Spending:
    """The day's spending of every live scorer by its name.

    ``settings`` keeps it: it is written before the scores of a batch of answers are, and read at the start. A crash
    loses the batch under way at that moment and no more. Without ``settings`` it lives in memory.
    """

    def __init__(self, settings: Settings | None, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._spends: dict[str, Spend] = {}
        self._counted = self._kept = 0

    @property
    def day(self) -> int:
        """Today, in days since 1970 UTC."""
        return self._clock() // _DAY_NS

    async def load(self) -> None:
        """Take up what was spent before a restart today; of another day nothing is left."""
        kept = await self._settings.get(SPENT) if self._settings is not None else None
        if not isinstance(kept, Mapping) or kept.get("day") != self.day:
            return
        for name, row in kept.get("spent", {}).items():
            spend = self.of(name)
            spend.turn(self.day)
            spend.usd, spend.unpriced = max(spend.usd, float(row["usd"])), max(spend.unpriced, int(row["unpriced"]))

    def of(self, name: str) -> Spend:
        """The spending of one scorer."""
        return self._spends.setdefault(name, Spend())

    def pay(self, name: str, cost_usd: float | None) -> None:
        """Count what a verdict cost."""
        self.of(name).pay(self.day, cost_usd)
        self._counted += cost_usd != 0.0

    async def keep(self) -> None:
        """Make what was counted durable: one write for many verdicts. Raises what the database raises; it counts all
        the same, and the next time is another try."""
        counted = self._counted
        if self._settings is not None and counted != self._kept:
            await self._settings.put(SPENT, self._state())
            self._kept = counted

    def _state(self) -> dict[str, Any]:
        today = self.day
        rows = [(name, spend) for name, spend in self._spends.items() if spend.day == today]
        rows.sort(key=lambda row: -row[1].usd)
        return {"day": today, "spent": {n: {"usd": s.usd, "unpriced": s.unpriced} for n, s in rows[:_MOST]}}
