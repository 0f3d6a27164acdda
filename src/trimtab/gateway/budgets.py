"""Money and the periods it is counted in. Pure: the time is passed in.

Amounts are whole billionths of a US dollar, so that sums are exact in any order; the dearest model of today costs some
ten thousand of them for a token, the cheapest ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

NANO = 1_000_000_000
DAY_NS = 86_400 * 1_000_000_000
PERIODS = ("day", "month")


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One day or month of UTC. ``name`` is ``2026-11-25`` or ``2026-11``; ``end_ns`` is not part of it.

    ``first_day`` and ``last_day`` are days since 1970, both part of it.
    """

    name: str
    start_ns: int
    end_ns: int

    @property
    def first_day(self) -> int:
        return self.start_ns // DAY_NS

    @property
    def last_day(self) -> int:
        return self.end_ns // DAY_NS - 1

    @property
    def ends(self) -> str:
        """The end as people read it."""
        return datetime.fromtimestamp(self.end_ns // NANO, UTC).strftime("%Y-%m-%d %H:%M UTC")


def period_of(kind: str, time_ns: int) -> Period:
    """The day or month (UTC) that a time lies in."""
    return _period(kind, time_ns // DAY_NS)


@lru_cache(maxsize=1024)
def _period(kind: str, day: int) -> Period:
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    if kind == "day":
        start, end = date, date + timedelta(days=1)
        name = date.strftime("%Y-%m-%d")
    else:
        start = date.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
        name = date.strftime("%Y-%m")
    return Period(name=name, start_ns=round(start.timestamp()) * NANO, end_ns=round(end.timestamp()) * NANO)


def nano(usd: float) -> int:
    """US dollars as whole billionths."""
    return round(usd * NANO)


def dollars(amount: int) -> float:
    """Billionths as US dollars."""
    return amount / NANO


def shown(amount: int) -> str:
    """Billionths as people read them: cents where they are enough, more digits where they are not."""
    usd = amount / NANO
    return f"{usd:.2f}" if usd == 0 or usd >= 1 else f"{usd:.6f}".rstrip("0").ljust(4, "0")
