"""Refusals: which check a request failed, after which others, and what to do. Values that are kept and explained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from trimtab.core import Forbidden, GuardRefused, LimitReached, TrimtabError

if TYPE_CHECKING:
    from .live import LiveTrace

Verdict = Literal["passed", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One check on a request's way. ``used`` and ``limit`` are in the check's own unit; None where it counts nothing.

    ``reserved`` is money that running requests may still spend.
    """

    check: str
    scope: str = ""
    who: str = ""
    used: float | None = None
    limit: float | None = None
    reserved: float | None = None
    verdict: Verdict = "passed"
    said: str = ""


class OverLimit(LimitReached):
    """A request over a limit, with the steps that led there."""

    def __init__(
        self, message: str, *, field: str, mend: str, retry_after: float | None, steps: Sequence[Step] = ()
    ) -> None:
        super().__init__(message, field=field, mend=mend, retry_after=retry_after)
        self.steps = tuple(steps)


class BudgetSpent(OverLimit):
    """The money of the period is spent: asking again before it ends is of no use."""

    status = 402
    code = "budget_spent"
    retryable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that was not let through. ``id`` is its trace's; ``retry_after`` is seconds, None: it is no use."""

    id: str
    time_ns: int
    key: str
    team: str
    route: str
    code: str
    status: int
    message: str
    mend: str = ""
    retry_after: float | None = None
    checks: tuple[Step, ...] = ()

    def shown(self) -> dict[str, Any]:
        """As the control API shows it."""
        return {**asdict(self), "checks": [asdict(step) for step in self.checks]}


def refusal_of(live: LiveTrace, error: TrimtabError) -> Refusal | None:
    """What to keep of an error that turned a request away; None for one that did not (a model that failed)."""
    if not isinstance(error, LimitReached | Forbidden | GuardRefused):
        return None
    key = live.ask.key
    steps = [*_before(live)]
    if isinstance(error, OverLimit):
        steps += [Step(check="routes"), *error.steps]
    elif isinstance(error, GuardRefused):
        steps += [
            Step(check="routes"),
            Step(check="limits"),
            Step(check="guard", verdict="refused", said=error.message),
        ]
    else:
        steps.append(Step(check="routes", verdict="refused", said=error.message))
    return Refusal(
        id=live.trace_id,
        time_ns=live.start_ns,
        key=key.id if key else "",
        team=key.team if key else "",
        route=live.route or live.ask.model[:200],
        code=error.code,
        status=error.status,
        message=error.message,
        mend=error.mend,
        retry_after=error.retry_after,
        checks=tuple(steps),
    )


def _before(live: LiveTrace) -> tuple[Step, ...]:
    """What a request with a key has behind it: the key is known, may be used, and its role may ask."""
    key = live.ask.key
    if key is None:
        return ()
    said = f"the key {key.name!r} is known, not disabled and not expired"
    return Step(check="key", scope="key", who=key.id, said=said), Step(check="role", said=f"{key.role} may ask models")


def after(seconds: float) -> str:
    """A wait as people read it."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{math.ceil(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{math.ceil(seconds / 3600)} h"
    return f"{math.ceil(seconds / 86_400)} days"
