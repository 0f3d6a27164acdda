"""The limits that one request meets, in the order they are checked, and what is said when one of them is reached.

Pure. First what a key allows, then its team, then the route: requests a minute, tokens a minute, money. Places for
requests that run at once come last, because they are the one thing that is waited for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from trimtab.store import Demand, Kind, Level

from .budgets import NANO, Period, dollars, period_of, shown
from .estimate import Size
from .keys import Key
from .limitset import LimitSet
from .refusals import BudgetSpent, OverLimit, Step, after

What = Literal["rpm", "tpm", "budget_usd", "max_parallel"]

ORDER: tuple[What, ...] = ("rpm", "tpm", "budget_usd", "max_parallel")
_UNITS = {"rpm": "requests a minute", "tpm": "tokens a minute"}
#: Of which every request takes one.
_KINDS: Mapping[What, Kind] = {"rpm": "rate", "max_parallel": "lease"}
_NAMES: Mapping[What, bytes] = {"rpm": b"requests", "tpm": b"tokens"}


class Heading(NamedTuple):
    """The headers that tell of a limit: one that is always the same, and the names of two that are not."""

    limit: tuple[bytes, bytes]
    remains: bytes
    resets: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One limit of one key, team or route. ``title`` is what people call it.

    ``counter`` is what it is counted in, but for money, whose counter is its period's. ``always`` is what any request
    takes of it, where that depends on nothing.
    """

    scope: str
    who: str
    title: str
    what: What
    limit: int
    rules: LimitSet
    counter: str = ""
    heading: Heading | None = None
    always: Demand | None = None

    def demand(self, size: Size, money: int, now_ns: int) -> Demand:
        """What a request of this size takes of it."""
        if self.always is not None:
            return self.always
        if self.what == "budget_usd":
            period = self.period(now_ns)
            name = purse_name(self.scope, self.who, period)
            # Even a request without a price needs a budget that is not spent.
            return Demand(name=name, kind="money", limit=self.limit, amount=max(1, money), ends_ns=period.end_ns)
        return self.tokens(size.total)

    def tokens(self, expected: int) -> Demand:
        """What a request of so many tokens takes of a limit of tokens."""
        return Demand(name=self.counter, kind="rate", limit=self.limit, amount=expected if expected > 1 else 1)

    def period(self, now_ns: int) -> Period:
        """The period that a budget is counted in now."""
        return period_of(self.rules.period, now_ns)

    def step(self, level: Level, *, refused: bool, now_ns: int) -> Step:
        """This check as one step of a request's way."""
        money = self.what == "budget_usd"
        return Step(
            check=self.what,
            scope=self.scope,
            who=self.who,
            used=dollars(level.used) if money else level.used,
            limit=dollars(self.limit) if money else self.limit,
            reserved=dollars(level.reserved) if money else None,
            verdict="refused" if refused else "passed",
            said=self.period(now_ns).name if money else "",
        )


class Plan(NamedTuple):
    """Every check of a key on a route. The limits that it was made from tell whether it still holds."""

    of_key: Key | None
    of_team: LimitSet
    of_route: LimitSet
    checks: tuple[Check, ...]
    money: bool
    sized: bool


def plan_of(scopes: Iterable[tuple[str, str, str, LimitSet]]) -> tuple[Check, ...]:
    """The checks of (scope, who, title, limits), in order."""
    checks: list[Check] = []
    for scope, who, title, rules in scopes:
        limits: dict[What, int] = {
            "rpm": rules.rpm, "tpm": rules.tpm, "budget_usd": rules.budget, "max_parallel": rules.max_parallel
        }  # fmt: skip
        for what in ORDER:
            if limit := limits[what]:
                kind = _KINDS.get(what)
                counter = f"{scope}:{who}:{what}"
                always = None if kind is None else Demand(name=counter, kind=kind, limit=limit)
                checks.append(
                    Check(
                        scope=scope,
                        who=who,
                        title=title,
                        what=what,
                        limit=limit,
                        rules=rules,
                        counter=counter,
                        heading=_heading(what, limit),
                        always=always,
                    )
                )
    return tuple(sorted(checks, key=lambda check: check.what == "max_parallel"))


def _heading(what: What, limit: int) -> Heading | None:
    name = _NAMES.get(what)
    if name is None:
        return None
    said = (b"x-ratelimit-limit-" + name, b"%d" % limit)
    return Heading(said, b"x-ratelimit-remaining-" + name, b"x-ratelimit-reset-" + name)


def tightest(checks: Sequence[Check], levels: Sequence[Level], now_ns: int) -> Mapping[str, float]:
    """Of the budgets that a request met, the one that lasts the shortest: ``left``, the share of its money that is
    neither spent nor reserved, and ``time``, the share of its period that is still to come. Empty where no counter
    told its level."""
    found = []
    for check, level in zip(checks, levels, strict=False):
        if check.what == "budget_usd":
            period = check.period(now_ns)
            left = max(0.0, 1.0 - (level.used + level.reserved) / check.limit)
            found.append((left, (period.end_ns - now_ns) / (period.end_ns - period.start_ns)))
    if not found:
        return {}
    left, time = min(found, key=lambda each: each[0] / max(each[1], 1e-9))
    return {"left": round(left, 4), "time": round(time, 4)}


def purse_name(scope: str, who: str, period: Period) -> str:
    """The counter of a budget."""
    return f"{scope}:{who}:usd:{period.name}"


def waited_for(checks: Sequence[Check]) -> tuple[Level, ...]:
    """What is known of counters that others wait for already: the last of them has no room."""
    last = checks[-1]
    return (*(Level() for _ in checks[:-1]), Level(used=last.limit if last.what == "max_parallel" else 0, wait_s=1.0))


def steps_of(checks: Sequence[Check], levels: Sequence[Level], denied: int, now_ns: int) -> list[Step]:
    """The way of a request up to the check that refused it."""
    return [
        check.step(level, refused=position == denied, now_ns=now_ns)
        for position, (check, level) in enumerate(zip(checks, levels, strict=False))
    ]


def refuse(check: Check, level: Level, steps: Sequence[Step], now_ns: int, waited: str = "") -> OverLimit:
    """The error for a check that was not passed: which limit, what was used, when to come back."""
    who = f"The {check.scope} {check.title!r}"
    if check.what == "budget_usd":
        return _refuse_money(check, level, steps, now_ns, waited)
    if check.what == "max_parallel":
        what = f"{who} has {level.used} requests running, max_parallel is {check.limit}{waited}."
        return OverLimit(what, field=check.what, mend="Wait for one to finish.", retry_after=1.0, steps=steps)
    return OverLimit(
        f"{who} has used its {check.what} of {check.limit} {_UNITS[check.what]}.",
        field=check.what,
        mend=f"Ask again in {after(level.wait_s)}, ask less often, or have the limit raised.",
        retry_after=math.ceil(level.wait_s * 1000) / 1000,
        steps=steps,
    )


def _refuse_money(check: Check, level: Level, steps: Sequence[Step], now_ns: int, waited: str) -> OverLimit:
    period = check.period(now_ns)
    budget = f"its budget of {shown(check.limit)} US dollars for {period.name}"
    who = f"The {check.scope} {check.title!r}"
    if level.used < check.limit:
        return OverLimit(
            f"{who} has spent {shown(level.used)} of {budget}, and running requests have reserved"
            f" {shown(level.reserved)}{waited}.",
            field=check.what,
            mend="Wait for some of them to finish, or have the budget raised.",
            retry_after=1.0,
            steps=steps,
        )
    wait = (period.end_ns - now_ns) / NANO
    return BudgetSpent(
        f"{who} has spent {shown(level.used)} of {budget}.",
        field=check.what,
        mend=f"It starts anew at {period.ends}, in {after(wait)}; or have the budget raised.",
        retry_after=math.ceil(wait),
        steps=steps,
    )


def headers_of(
    checks: Sequence[Check], used: Sequence[int], demands: Sequence[Demand], denied: int
) -> list[tuple[bytes, bytes]]:
    """``x-ratelimit-*`` in OpenAI's names, of the tightest limit of requests and of tokens; ``used`` is what was used
    of each counter before."""
    tightest: dict[What, tuple[int, int, Heading]] = {}
    for check, before, demand in zip(checks, used, demands, strict=False):
        heading = check.heading
        if heading is not None:
            limit = check.limit
            left = limit - before
            if denied < 0:
                left -= demand.amount if demand.amount < limit else limit
            found = (left if left > 0 else 0, limit, heading)
            known = tightest.get(check.what)
            if known is None or found < known:
                tightest[check.what] = found
    headers: list[tuple[bytes, bytes]] = []
    for left, limit, heading in tightest.values():
        resets = duration((limit - left) * 60 / limit)
        headers += (heading.limit, (heading.remains, str(left).encode()), (heading.resets, resets.encode()))
    return headers


def duration(seconds: float) -> str:
    """A length of time as OpenAI writes it: ``120ms``, ``8.64s``, ``6m0s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    return f"{int(seconds // 60)}m{math.ceil(seconds % 60)}s"
