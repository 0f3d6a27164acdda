"""Counters of money and the ledger beside them: which ones were used of late, and that both say the same."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from trimtab.core import Overloaded
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
        self._blind: set[str] = set()  # counters that began at nothing because the ledger did not answer

    def __contains__(self, name: str) -> bool:
        return name in self._purses

    async def audit(self) -> dict[str, int]:
        """Compare the counters of money that were used lately with the ledger, and put right those that differ and
        that nobody uses at this moment. Returns by how much each of them was off."""
        off: dict[str, int] = {}
        for name, (scope, who, period) in list(self._purses.items()):
            if period.end_ns <= self._clock():
                del self._purses[name]
                self._blind.discard(name)
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
        """Tell a budget's counter what was spent in its period before anybody counted: the ledger knows. While it does
        not answer, the counter begins at nothing, so that a dead database stops nobody; a later comparison mends it."""
        period = check.period(time_ns)
        try:
            spent = await self._spent(check.scope, check.who, period)
        except Overloaded as error:
            log.warning("The counter %s begins at nothing for now: %s", demand.name, error)
            spent = 0
            self._blind.add(demand.name)
        await self.shared.seed(demand.name, spent, period.end_ns)

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
            self._blind.discard(self._purses.popitem(last=False)[0])
        self._purses[name] = (scope, who, period)
        if self.shared.poll_s:
            with suppress(Overloaded):  # it is compared again by and by
                await self._compare(name, scope, who, period)

    async def _compare(self, name: str, scope: str, who: str, period: Period) -> int:
        """By how much a counter was off, and was put right."""
        purse = await self.shared.look(name, now_ns=self._clock())
        if self._ledger is None or purse.spent is None:
            return 0
        if purse.reserved:
            return await self._catch_up(name, scope, who, period) if name in self._blind else 0
        spent = await self._spent(scope, who, period)
        if spent == purse.spent:
            self._blind.discard(name)
            return 0
        if not await self.shared.recount(name, spent, version=purse.version):
            return 0
        self._blind.discard(name)
        log.warning("The counter %s was off by %d billionths of a dollar; it is right now.", name, purse.spent - spent)
        return purse.spent - spent

    async def _catch_up(self, name: str, scope: str, who: str, period: Period) -> int:
        """Add what a counter that began at nothing surely misses, while requests hold something of it: a budget that
        is never idle must not count from nothing for its whole period. What they hold may be in the ledger already,
        so that much is left to a later comparison. By how much the counter was off."""
        spent = await self._spent(scope, who, period)
        purse = await self.shared.look(name, now_ns=self._clock())
        missing = spent - (purse.spent or 0) - purse.reserved
        if missing <= 0:
            return 0
        demand = Demand(name=name, kind="money", limit=0, ends_ns=period.end_ns)
        await self.shared.settle(f"missed:{name}", [demand], [missing], now_ns=self._clock())
        log.warning("The counter %s began at nothing; %d billionths of a dollar are counted now.", name, missing)
        return -missing
