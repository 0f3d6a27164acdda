"""The limits of a key, a team or a route, read and checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from trimtab.core import BadInput

from .budgets import PERIODS, nano

#: Everything that limits; a key has ``routes`` besides.
LIMITS = ("rpm", "tpm", "max_parallel", "max_queue", "queue_timeout", "budget_usd", "period")
#: Requests that may wait for a place, seconds they wait, and the largest values that mean anything.
QUEUE_TIMEOUT_S, LONGEST_QUEUE_S, LONGEST_QUEUE = 10.0, 600.0, 10_000
_MOST, _MOST_USD = 10**9, 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSet:
    """0 is no limit. ``budget`` is billionths of a dollar in each ``period`` (day or month, UTC)."""

    rpm: int = 0
    tpm: int = 0
    max_parallel: int = 0
    max_queue: int = 0
    queue_timeout: float = QUEUE_TIMEOUT_S
    budget: int = 0
    period: str = "month"

    @property
    def empty(self) -> bool:
        """Whether nothing is limited."""
        return not (self.rpm or self.tpm or self.max_parallel or self.budget)


NO_LIMITS = LimitSet()


def read_limits(limits: Mapping[str, Any], where: str = "limits") -> LimitSet:
    """The limits in a mapping; what is absent or None does not limit. Raises BadInput naming the field."""
    if not limits:
        return NO_LIMITS
    if not isinstance(limits, Mapping):
        raise BadInput("must be an object.", field=where, mend='Write {"rpm": 600}.')
    for name in limits:
        if name not in LIMITS:
            # A limit that nobody enforces would be a promise broken in silence.
            raise BadInput("is not a limit.", field=f"{where}.{name}", mend=f"Known are {', '.join(LIMITS)}.")
    given = {name: value for name, value in limits.items() if value is not None}
    for name in ("rpm", "tpm", "max_parallel"):
        if name in given:
            _whole(given[name], 1, _MOST, f"{where}.{name}")
    if "max_queue" in given:
        _whole(given["max_queue"], 0, LONGEST_QUEUE, f"{where}.max_queue")
    if "queue_timeout" in given:
        _number(given["queue_timeout"], LONGEST_QUEUE_S, f"{where}.queue_timeout", "seconds")
    if "budget_usd" in given:
        _number(given["budget_usd"], _MOST_USD, f"{where}.budget_usd", "US dollars")
    if given.get("period", "month") not in PERIODS:
        raise BadInput("is not a period.", field=f"{where}.period", mend=f"Use one of {', '.join(PERIODS)}.")
    if "max_queue" in given and "max_parallel" not in given:
        raise BadInput("has nothing to wait for.", field=f"{where}.max_queue", mend="Set max_parallel as well.")
    budget = given.pop("budget_usd", 0)
    return _made(tuple(sorted({**given, "budget": nano(budget) if budget else 0}.items())))


@lru_cache(maxsize=4096)
def _made(items: tuple[tuple[str, Any], ...]) -> LimitSet:
    """Equal limits are one object, however many keys have them."""
    return LimitSet(**dict(items))


def _whole(value: object, least: int, most: int, field: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"must be a whole number from {least} to {most}.", field=field)


def _number(value: object, most: float, field: str, unit: str) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1e-6 <= value <= most:
        raise BadInput(f"must be {unit}, above 0 and at most {most:g}.", field=field)
