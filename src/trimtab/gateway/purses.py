"""Counters of money and the ledger beside them: which ones were used of late, and that both say the same."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

from trimtab.store import Demand, SharedState

from .budgets import Period, period_of
from .checks import Check, purse_name
from .limitset import LimitSet
from .usage import UsageLedger

log = logging.getLogger("trimtab.limits")

#: Counters that are compared with the ledger.
AUDITED = 10_000


class Purses:
    """The counters of money that this process met."""

    def __init__(self, shared: SharedState, ledger: UsageLedger | None, clock: Callable[[], int]) -> None:
        self.shared = shared
        self._ledger = ledger
        self._clock = clock
        self._purses: OrderedDict[str, tuple[str, str, Period]] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._purses

    async def audit(self) -> dict[str, int]:
        """Compare the counters of money that were used lately with the ledger, and put right those that differ and
        that nobody uses at this moment. Returns by how much each of them was off."""
        off: dict[str, int] = {}
        for name, (scope, who, period) in list(self._purses.items()):
            if period.end_ns <= self._clock():
                del self._purses[name]
            elif difference := await self._compare(name, scope, who, period):
                off[name] = difference
        return off

    async def levels(self, scope: str, who: str, rules: LimitSet) -> dict[str, float | str]:
        """What a budget of somebody stands at: used, reserved, limit, and when it starts anew."""
        if not rules.budget:
            return {}
        now = self._clock()
        period = period_of(rules.period, now)
        name = purse_name(scope, who, period)
        await self.meet(name, scope, who, period)
        purse = await self.shared.look(name, now_ns=now)
        spent = purse.spent
        if spent is None:
            spent = await self._spent(scope, who, period)
        return {
            "period": period.name,
            "limit_usd": rules.budget / 1e9,
            "spent_usd": spent / 1e9,
            "reserved_usd": purse.reserved / 1e9,
            "resets_at": period.ends,
        }

    async def seed(self, check: Check, demand: Demand, time_ns: int) -> None:
        """Tell a budget's counter what was spent in its period before anybody counted: the ledger knows."""
        period = check.period(time_ns)
        await self.shared.seed(demand.name, await self._spent(check.scope, check.who, period), period.end_ns)

    async def _spent(self, scope: str, who: str, period: Period) -> int:
        if self._ledger is None:
            return 0
        return await self._ledger.spent(scope, who, period.first_day, period.last_day)

    async def meet(self, name: str, scope: str, who: str, period: Period) -> None:
        """Remember a counter of money, so that it is compared with the ledger now and then. One that others may have
        left behind is compared at once: a crash may have come between the ledger and the counter."""
        if name in self._purses:
            return
        if len(self._purses) >= AUDITED:
            self._purses.popitem(last=False)
        self._purses[name] = (scope, who, period)
        if self.shared.poll_s:
            await self._compare(name, scope, who, period)

    async def _compare(self, name: str, scope: str, who: str, period: Period) -> int:
        """By how much a counter was off, and was put right."""
        purse = await self.shared.look(name, now_ns=self._clock())
        if self._ledger is None or purse.spent is None or purse.reserved:
            return 0
        spent = await self._spent(scope, who, period)
        if spent == purse.spent or not await self.shared.recount(name, spent, version=purse.version):
            return 0
        log.warning("The counter %s was off by %d billionths of a dollar; it is right now.", name, purse.spent - spent)
        return purse.spent - spent
