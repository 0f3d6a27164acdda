"""Limits and budgets on a request's way: counted before it is let in, settled when it has ended.

``let_in`` is on the path of every request, so it costs next to nothing where nothing is limited. Where something is,
the request takes all that it needs of every counter in one step, waits in line for a place or for reserved money if it
may, or is refused with the check that it failed. When it ends, by whatever way, places are given back, and tokens and
money are settled on what the provider says was used; on what was sent and relayed where it does not say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from trimtab.core import TrimtabError, Unauthorized, now_ns
from trimtab.store import Answer, Demand, Level, Shared, SharedState, taken

from .accounting import Account, account, sent_bytes
from .budgets import PERIODS, period_of
from .checks import Check, Plan, headers_of, plan_of, purse_name, refuse, steps_of, tightest, waited_for
from .estimate import Estimator, Size
from .keys import Key
from .late import LATE_S, Late
from .limitset import NO_LIMITS, LimitSet, read_limits
from .lines import Lines, Place
from .live import LiveTrace
from .pricing import dearest
from .purses import Purses
from .refusals import refusal_of
from .route import Route
from .strangers import Strangers
from .teams import Teams
from .usage import UsageLedger
from .usagerow import UsageRow

log = logging.getLogger("trimtab.limits")

#: Requests that may wait for reserved money, and seconds they do at least: running requests end soon.
MONEY_LINE, MONEY_WAIT_S = 1000, 30.0
#: Seconds beyond a request's own time after which what it holds falls free, should nobody settle it.
SPARE_S = 15.0
#: Seconds between two comparisons of the counters with the ledger; plans that are kept.
AUDIT_S, PLANS = 60.0, 10_000
_NO_SIZE = Size(0, 0, 0, 0)
_NOTHING = Plan(None, NO_LIMITS, NO_LIMITS, (), False, False)


class Admission:
    """One request that was let in: what it holds until ``Limits.leave``, which must be called however it ends."""

    __slots__ = ("demands", "live", "plan", "route", "size")

    def __init__(self, plan: Plan, route: Route, live: LiveTrace) -> None:
        self.plan = plan
        self.route = route
        self.live = live
        self.demands: tuple[Demand, ...] = ()
        self.size = _NO_SIZE


class Limits:
    """Every limit of this process's requests. ``node`` names the process in the ledger."""

    def __init__(
        self,
        *,
        shared: SharedState | None = None,
        ledger: UsageLedger | None = None,
        teams: Teams | None = None,
        clock: Callable[[], int] = now_ns,
        node: str = "",
    ) -> None:
        self.shared: SharedState = shared or Shared()
        self.teams = teams or Teams()
        self.estimator = Estimator()
        self.refused_total = self.waits = 0
        self.waited_s = 0.0
        self._ledger = ledger
        self._clock = clock
        self._node = node
        self._lines = Lines()
        self._strangers = Strangers()
        self._plans: dict[tuple[str, str], Plan] = {}
        self._purses = Purses(self.shared, ledger, clock)
        self.late = Late(ledger, clock, self.charge)
        self._ending: set[asyncio.Task[None]] = set()
        self._auditor: asyncio.Task[None] | None = None

    def let_in(self, route: Route, live: LiveTrace) -> Admission | None:
        """The way in for a request that is let in at once; None for one that may have to wait, or be refused: nothing
        has been taken then, and ``wait_in`` decides. Trimtab's own requests (no key) are counted and not limited."""
        admission = self._asking(route, live)
        plan = admission.plan
        if not plan.checks and not live.ask.background:
            return admission
        if plan.money or live.ask.background or self._lines:
            return None
        if self.shared.poll_s or not isinstance(self.shared, Shared):
            return None
        tokens = self.estimator.expected(route.name, sent_bytes(live), live.ask.params) if plan.sized else 0
        demands = tuple([check.always or check.tokens(tokens) for check in plan.checks])
        used = self.shared.take(live.trace_id, demands, now_ns=self._clock(), ttl_s=route.total + SPARE_S)
        if used is None:
            return None
        live.limit_headers = headers_of(plan.checks, used, demands, -1)
        admission.demands = demands
        return admission

    async def wait_in(self, route: Route, live: LiveTrace) -> Admission:
        """The way in for a request that may have to wait. Raises OverLimit (429) or BudgetSpent (402), naming the
        limit, what was used and when to come back."""
        admission = self._asking(route, live)
        if admission.plan.checks or live.ask.background:
            await self._enter(admission)
        return admission

    def _asking(self, route: Route, live: LiveTrace) -> Admission:
        key = live.ask.key
        plan = _NOTHING if key is None else self._plan(key, route)
        if live.ask.stored is not None:  # what was paid for may be read when the budget is spent
            checks = tuple([check for check in plan.checks if check.what in ("rpm", "max_parallel")])
            plan = plan._replace(checks=checks, money=False, sized=False)
        return Admission(plan, route, live)

    async def _enter(self, admission: Admission) -> None:
        """Take what the request needs, or raise. Waiting requests are served in their order."""
        plan, live, late = admission.plan, admission.live, admission.live.ask.background
        if late:
            self.late.check()
        now = live.start_ns  # the ledger puts the request into the period of its start, and so do the counters
        money = 0
        if plan.sized or late:
            admission.size = self.estimator.size(admission.route.name, sent_bytes(live), live.ask.params)
            money = dearest(admission.route, admission.size) if plan.money or late else 0
        demands = tuple([check.always or check.demand(admission.size, money, now) for check in plan.checks])
        ttl = admission.route.total + SPARE_S + (LATE_S if late else 0.0)
        if plan.money:
            for check, demand in zip(plan.checks, demands, strict=True):
                if check.what == "budget_usd" and demand.name not in self._purses:
                    await self._purses.meet(demand.name, check.scope, check.who, check.period(now))
        try:
            answer = await self._acquire(plan, demands, live, ttl) if demands else Answer()
        except asyncio.CancelledError:  # what was asked for may have been given by now
            held = tuple(demand for demand in demands if demand.kind != "rate")
            self._finish(self._give(live, held, Account()))
            raise
        live.limit_headers = headers_of(plan.checks, [level.used for level in answer.levels], demands, -1)
        if plan.money:
            live.notes = {**live.notes, "budget": tightest(plan.checks, answer.levels, now)}
        admission.demands = demands
        if (plan.money or late) and self._ledger is not None:
            try:
                await self._ledger.reserve(self._reservation(admission, money))
            except (asyncio.CancelledError, TrimtabError):  # what fails to be entered is not left either
                self._finish(self._end(admission, account(live, admission.route.name, self.estimator, reserved=True)))
                raise

    def leave(self, admission: Admission) -> Awaitable[None] | None:
        """Settle on what was used; where that takes a while, it must be waited for. Never raises, and is not undone by
        a second cancellation."""
        live, route = admission.live, admission.route
        cut = live.ask.background and live.attempts and live.attempts[-1].estimated
        if live.pending or live.paid or cut:
            if not (live.pending or live.paid):  # the provider may make it all the same
                self.late.keep(live.trace_id)
            return asyncio.shield(self._finish(self._defer(admission)))
        found = account(live, route.name, self.estimator, reserved=admission.plan.money or live.ask.background)
        if admission.demands and (admission.plan.money or not isinstance(self.shared, Shared)):
            return asyncio.shield(self._finish(self._end(admission, found)))
        if found.rows and self._ledger is not None:
            self._ledger.note(found.rows)
        if admission.demands and isinstance(self.shared, Shared):  # all of it is in memory: nothing waits
            amounts = _amounts(admission.demands, found)
            self.shared.give(live.trace_id, admission.demands, amounts, now_ns=self._clock())
            if self._lines:
                self._wake(admission.demands)
        return None

    def turned_away(self, live: LiveTrace, error: TrimtabError) -> None:
        """Keep a refusal, so that it can be explained afterwards."""
        if live.ask.key is not None and self._ledger is not None and (refusal := refusal_of(live, error)) is not None:
            self.refused_total += 1
            self._ledger.refuse(refusal)

    def stranger(self, live: LiveTrace, header: str, error: Unauthorized, keys: Iterable[Key]) -> bool:
        """Count a request whose key opened nothing; whether it is kept, to be explained by its id or its key."""
        refusal = self._strangers.refusal(live, header, error, keys)
        if refusal is None or self._ledger is None:
            return False
        self._ledger.refuse(refusal)
        return True

    async def audit(self) -> dict[str, int]:
        """Compare the counters of money that were used lately with the ledger, and put right those that differ and
        that nobody uses at this moment. Returns by how much each of them was off."""
        return await self._purses.audit()

    async def levels(self, scope: str, who: str, rules: LimitSet) -> dict[str, float | str]:
        """What a budget of somebody stands at: used, reserved, limit, and when it starts anew."""
        return await self._purses.levels(scope, who, rules)

    async def charge(self, row: UsageRow) -> None:
        """Settle the reservation of a process that is gone, in every counter that may hold it."""
        demands = []
        for scope, who in (("key", row.key), ("team", row.team), ("route", row.route)):
            for kind in PERIODS if who else ():
                period = period_of(kind, row.time_ns)
                name = purse_name(scope, who, period)
                demands.append(Demand(name=name, kind="money", limit=0, ends_ns=period.end_ns))
        amounts = [row.cost_nano or 0] * len(demands)
        await self.shared.settle(row.id, demands, amounts, now_ns=self._clock())

    def figures(self) -> dict[str, float]:
        """What was refused and what had to wait since the start, for /metrics."""
        return {
            "refused": float(self.refused_total),
            "unauthorized": float(self._strangers.total),
            "queue_waits": float(self.waits),
            "queue_wait_seconds": self.waited_s,
            "queue_waiting": float(self._lines.waiting),
        }

    def start(self) -> None:
        """Compare counters and ledger from now on, now and then."""
        self._auditor = asyncio.get_running_loop().create_task(self._audit_for_ever(), name="trimtab-limits-audit")

    async def close(self) -> None:
        """Let what is ending end."""
        if self._auditor is not None:
            self._auditor.cancel()
            await asyncio.gather(self._auditor, return_exceptions=True)
            self._auditor = None
        await self.late.close()
        while self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)

    def _plan(self, key: Key, route: Route) -> Plan:
        of_team = self.teams.limits(key.team) if key.team else NO_LIMITS
        if not key.limits and of_team is NO_LIMITS and route.limits is NO_LIMITS:
            return _NOTHING
        plan = self._plans.get((key.id, route.name))
        if plan is None or plan.of_key is not key or plan.of_team is not of_team or plan.of_route is not route.limits:
            of_key = read_limits({name: value for name, value in key.limits.items() if name != "routes"})
            scopes = (
                ("key", key.id, key.name, of_key),
                ("team", key.team, key.team, of_team),
                ("route", route.name, route.name, route.limits),
            )
            checks = plan_of(scopes)
            money = any(check.what == "budget_usd" for check in checks)
            sized = money or any(check.what == "tpm" for check in checks)
            if len(self._plans) >= PLANS:
                self._plans.clear()
            plan = self._plans[key.id, route.name] = Plan(key, of_team, route.limits, checks, money, sized)
        return plan

    async def _acquire(self, plan: Plan, demands: Sequence[Demand], live: LiveTrace, ttl: float) -> Answer:
        answer: Answer | None = None
        if not self._lines:  # nobody overtakes those who wait
            answer = await self.shared.acquire(live.trace_id, demands, now_ns=self._clock(), ttl_s=ttl)
            if answer.denied < 0:
                return answer
        return await self._in_line(plan, demands, live, ttl, answer)

    async def _in_line(
        self, plan: Plan, demands: Sequence[Demand], live: LiveTrace, ttl: float, answer: Answer | None
    ) -> Answer:
        """The same for a request that did not get what it needs at once, or that others wait before."""
        place: Place | None = None
        until = began = 0.0
        try:
            while True:
                answer = answer or await self._try(plan, demands, live, ttl, overtaking=place is not None)
                if answer.denied < 0:
                    return answer
                check, demand = plan.checks[answer.denied], demands[answer.denied]
                if answer.unseeded:
                    await self._purses.seed(check, demand, live.start_ns)
                    answer = None
                    continue
                level, name = answer.levels[answer.denied], demand.name
                if place is not None and place.name != name:
                    self._lines.leave(place)
                    place = None
                room, patience = _patience(check, level)
                if not room or (place is None and self._lines.length(name) >= room):
                    raise self._refusal(plan, answer, demands, live, f" and {room} wait" if room else "")
                if place is None:
                    place = self._lines.join(name)
                    began = began or asyncio.get_running_loop().time()
                    until = until or asyncio.get_running_loop().time() + patience
                if not await self._lines.wait(place, until, self.shared.poll_s):
                    raise self._refusal(plan, answer, demands, live, "; this request waited its time")
                answer = None
        finally:
            if place is not None:
                self._lines.leave(place)
            if began:
                self.waits += 1
                self.waited_s += asyncio.get_running_loop().time() - began

    async def _try(
        self, plan: Plan, demands: Sequence[Demand], live: LiveTrace, ttl: float, *, overtaking: bool
    ) -> Answer:
        denied = -1 if overtaking else self._lines.before(demand.name for demand in demands)
        if denied >= 0:
            return Answer(denied=denied, levels=waited_for(plan.checks[: denied + 1]))
        return await self.shared.acquire(live.trace_id, demands, now_ns=self._clock(), ttl_s=ttl)

    def _refusal(
        self, plan: Plan, answer: Answer, demands: Sequence[Demand], live: LiveTrace, waited: str
    ) -> TrimtabError:
        now = self._clock()
        live.limit_headers = headers_of(plan.checks, [level.used for level in answer.levels], demands, answer.denied)
        steps = steps_of(plan.checks, answer.levels, answer.denied, now)
        return refuse(plan.checks[answer.denied], answer.levels[answer.denied], steps, now, waited)

    def _finish(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it to its end, whatever becomes of the request."""
        ending = asyncio.get_running_loop().create_task(work)
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending

    async def _end(self, admission: Admission, found: Account) -> None:
        try:
            if found.rows and self._ledger is not None:
                if admission.plan.money:
                    await self._ledger.settle(found.rows)  # before the counter: no counter may be ahead of the ledger
                else:
                    self._ledger.note(found.rows)
            await self._give(admission.live, admission.demands, found)
        except TrimtabError as error:  # the answer is there; the next comparison puts the counter right
            log.warning("The request %s could not be settled: %s", admission.live.trace_id, error)

    async def _defer(self, admission: Admission) -> None:
        """The answer is still to come: its places are free again, and its money stays reserved."""
        live, demands = admission.live, tuple([each for each in admission.demands if each.kind != "money"])
        if not demands:
            return
        amounts = [taken(demand) for demand in demands]
        try:
            await self.shared.settle(live.trace_id, demands, amounts, now_ns=self._clock())
        except TrimtabError as error:  # its places fall free by themselves
            log.warning("The request %s could not be settled: %s", live.trace_id, error)
        self._wake(demands)

    async def _give(self, live: LiveTrace, demands: Sequence[Demand], found: Account) -> None:
        await self.shared.settle(live.trace_id, demands, _amounts(demands, found), now_ns=self._clock())
        self._wake(demands)

    def _wake(self, demands: Sequence[Demand]) -> None:
        """Let those who wait for what was given back have a try."""
        for demand in demands:
            if demand.kind != "rate":
                self._lines.wake(demand.name)

    def _reservation(self, admission: Admission, money: int) -> UsageRow:
        live, size, key = admission.live, admission.size, admission.live.ask.key
        return UsageRow(
            id=live.trace_id,
            time_ns=live.start_ns,
            key=key.id if key else "",
            team=key.team if key else "",
            route=admission.route.name,
            model=admission.route.targets[0].model,
            state="reserved",
            input_tokens=size.high_input,
            output_tokens=size.high_output,
            cost_nano=money,
            node=self._node,
        )

    async def _audit_for_ever(self) -> None:
        while True:
            await asyncio.sleep(AUDIT_S)
            try:
                await self.late.expire()
                await self.audit()
            except Exception as error:  # house: except because the next look must come, whatever this one met
                log.warning("The counters could not be compared with the ledger: %s", error)


def _amounts(demands: Sequence[Demand], found: Account) -> list[int]:
    """What a request used of each counter."""
    return [
        found.money if demand.kind == "money" else found.tokens if demand.name.endswith(":tpm") else 1
        for demand in demands
    ]


def _patience(check: Check, level: Level) -> tuple[int, float]:
    """How many may wait for a check that was not passed, and for how many seconds; none for what time alone brings."""
    if check.what == "max_parallel":
        return check.rules.max_queue, check.rules.queue_timeout
    if check.what == "budget_usd" and level.used < check.limit:
        return MONEY_LINE, max(MONEY_WAIT_S, check.rules.queue_timeout)
    return 0, 0.0
