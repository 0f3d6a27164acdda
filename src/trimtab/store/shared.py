"""Counters that all processes of one installation share: what limits and budgets are counted in.

One interface, ``SharedState``, and its form for a single process, ``Shared``; ``shared_valkey.py`` has the form for
many. A request names every counter that it needs as a ``Demand`` and gets all of them or none, so that no sequence of
refusals and crashes leaves half of a request counted.

Three kinds of counters:

* ``rate``: a bucket that holds one minute's amount and drains evenly. Settling corrects an estimate; a bucket that was
  filled too lightly overflows and is waited for. What is in it stays when the limit changes, so raising a limit helps
  at once.
* ``lease``: places that are taken and given back. A place that is never given back falls free at its time.
* ``money``: what was spent in a period, and what is reserved on top of it. A request passes when everything spent and
  reserved and its own reservation fit the budget, or when nothing is reserved and the budget is not yet spent: so a
  careful estimate never locks the rest of a budget away, and one request at most goes over the end. Amounts are whole
  numbers (billionths of a US dollar), so that sums are exact in any order. A counter of money is *seeded* with what a
  ledger says was spent; until then nobody passes.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

Kind = Literal["rate", "lease", "money"]

_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
#: A thousand-millionth is a rounding error of the draining, not a reason to refuse.
_ROUNDING = 1e-6
_NOBODY: dict[str, int] = {}
#: Counters that one process remembers. The one that was used longest ago is forgotten first, unless it is in use.
REMEMBERED = 100_000
#: Seconds from which a hold counts as one of long life.
LASTING_S = 1800.0


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a request needs of one counter.

    ``limit``: rate, the amount a minute; lease, the places; money, the budget of the period. ``amount`` is what is
    taken or reserved. ``ends_ns`` (UTC) is when the counter may be forgotten: the end of a budget's period.
    """

    name: str
    kind: Kind
    limit: int
    amount: int = 1
    ends_ns: int = 0


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A counter as a request found it, before taking anything.

    ``used``: rate, what is in the bucket, rounded up; lease, the places taken; money, what is spent.
    ``reserved`` is for money. ``wait_s`` is when asking again may succeed; 0 when this counter lets the request pass.
    """

    used: int = 0
    reserved: int = 0
    wait_s: float = 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request for counters. ``denied`` is the position of the demand that was refused, -1 for none.

    ``levels`` has one entry for each demand up to that one. ``unseeded`` says that the refused counter of money has no
    amount yet: seed it and ask again. ``local`` says that this process answered from its own share alone.
    """

    denied: int = -1
    levels: tuple[Level, ...] = ()
    unseeded: bool = False
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """A counter of money: ``version`` moves whenever it does. ``spent`` None says that it is not seeded."""

    spent: int | None = None
    reserved: int = 0
    version: int = 0


class SharedState(Protocol):
    """The door to shared counters. No method raises because a server is away: the answers say what they rest on."""

    @property
    def poll_s(self) -> float:
        """How often a waiting request should ask again because places may fall free elsewhere; 0: never."""
        ...

    @property
    def degraded(self) -> str:
        """Empty while the counters are shared as they should be, else why they are not."""
        ...

    async def acquire(self, hold: str, demands: Sequence[Demand], *, now_ns: int, ttl_s: float) -> Answer:
        """Take all demands for the request ``hold``, or none. What is never settled falls free after ``ttl_s``."""
        ...

    async def settle(self, hold: str, demands: Sequence[Demand], amounts: Sequence[int], *, now_ns: int) -> None:
        """End a hold: places are given back, reservations become ``amounts`` spent, rates are corrected to them.

        A hold that is not known (it ran out) still spends its money; nothing else of it is counted twice.
        """
        ...

    async def seed(self, name: str, spent: int, ends_ns: int) -> None:
        """Say what was spent already; a counter that is seeded stays as it is."""
        ...

    async def look(self, name: str, *, now_ns: int) -> Purse:
        """One counter of money."""
        ...

    async def recount(self, name: str, spent: int, *, version: int) -> bool:
        """Put a counter of money right, unless it moved since ``version`` or something is reserved in it."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(slots=True)
class _Bucket:
    used: float
    at_ns: int


@dataclass(slots=True)
class _Purse:
    spent: int | None = None
    ends_ns: int = 0
    version: int = 0
    reserved: int = 0
    held: dict[str, tuple[int, int]] = field(default_factory=dict)  # hold -> amount, when it falls free


class Shared:
    """The counters of one process, in memory. Nothing in it waits, so each call is one step for everybody else."""

    poll_s = 0.0
    degraded = ""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._places: dict[str, dict[str, int]] = {}  # by name: hold -> when it falls free
        self._purses: OrderedDict[str, _Purse] = OrderedDict()
        self._expiring: deque[tuple[int, str, str]] = deque()  # when, what, hold: in order of arrival
        self._lasting: deque[tuple[int, str, str]] = deque()  # the same for holds of long life, so that they delay none

    async def acquire(self, hold: str, demands: Sequence[Demand], *, now_ns: int, ttl_s: float) -> Answer:
        levels: list[Level] = []
        if (self._expiring and self._expiring[0][0] <= now_ns) or self._lasting:
            self._expire(now_ns)
        for position, demand in enumerate(demands):
            level = self._level(demand, now_ns)
            levels.append(level if level is not None else Level())
            if level is None or level.wait_s:
                return Answer(denied=position, levels=tuple(levels), unseeded=level is None)
        marks = self._lasting if ttl_s > LASTING_S else self._expiring
        self._take(hold, demands, now_ns + int(ttl_s * _SECOND_NS), marks)
        return Answer(levels=tuple(levels))

    def take(self, hold: str, demands: Sequence[Demand], *, now_ns: int, ttl_s: float) -> list[int] | None:
        """``acquire`` without money and without waiting for anything: what was found used of each counter, or None
        where one of them refuses. Every request comes by here, so it is one loop over what it needs."""
        if self._expiring and self._expiring[0][0] <= now_ns:
            self._expire(now_ns)
        used: list[int] = []
        filled: list[tuple[_Bucket, int]] = []
        held: list[str] = []
        for demand in demands:
            name, limit = demand.name, demand.limit
            if demand.kind == "lease":
                there = len(self._places.get(name, _NOBODY))
                if there >= limit:
                    return None
                used.append(there)
                held.append(name)
                continue
            bucket = self._buckets.get(name)
            if bucket is None:
                bucket = self._buckets[name] = _Bucket(0.0, now_ns)
            self._buckets.move_to_end(name)
            _drain(bucket, limit, now_ns)
            amount = demand.amount if demand.amount < limit else limit
            if bucket.used + amount - limit > _ROUNDING:
                return None
            used.append(math.ceil(bucket.used - _ROUNDING))
            filled.append((bucket, amount))
        for bucket, amount in filled:
            bucket.used += amount
        until_ns = now_ns + int(ttl_s * _SECOND_NS)
        for name in held:
            self._places.setdefault(name, {})[hold] = until_ns
            self._expiring.append((until_ns, name, hold))
        return used

    async def settle(self, hold: str, demands: Sequence[Demand], amounts: Sequence[int], *, now_ns: int) -> None:
        self.give(hold, demands, amounts, now_ns=now_ns)

    def give(self, hold: str, demands: Sequence[Demand], amounts: Sequence[int], *, now_ns: int) -> None:
        """``settle``, at once."""
        for demand, amount in zip(demands, amounts, strict=True):
            kind = demand.kind
            if kind == "lease":
                places = self._places.get(demand.name)
                if places is not None:
                    places.pop(hold, None)
                    if not places:
                        del self._places[demand.name]
            elif kind == "rate":
                correction = amount - (demand.amount if demand.amount < demand.limit else demand.limit)
                if correction and (bucket := self._buckets.get(demand.name)) is not None:
                    _drain(bucket, demand.limit, now_ns)
                    bucket.used = max(0.0, bucket.used + correction)
            else:
                purse = self._purse(demand.name)
                self._unreserve(purse, hold)
                purse.version += 1
                if purse.spent is not None:
                    purse.spent += amount
        if self._expiring or self._lasting:
            self._tidy()
        if len(self._buckets) > REMEMBERED or len(self._purses) > REMEMBERED:
            self._trim()

    async def seed(self, name: str, spent: int, ends_ns: int) -> None:
        purse = self._purse(name)
        if purse.spent is None:
            purse.spent, purse.ends_ns = spent, ends_ns
            purse.version += 1

    async def look(self, name: str, *, now_ns: int) -> Purse:
        self._expire(now_ns)
        purse = self._purses.get(name) or _Purse()
        return Purse(spent=purse.spent, reserved=purse.reserved, version=purse.version)

    async def recount(self, name: str, spent: int, *, version: int) -> bool:
        purse = self._purses.get(name)
        if purse is None or purse.version != version or purse.held:
            return False
        purse.spent = spent
        return True

    async def close(self) -> None:
        return

    def _level(self, demand: Demand, now_ns: int) -> Level | None:
        if demand.kind == "rate":
            bucket = self._buckets.get(demand.name)
            if bucket is None:
                bucket = self._buckets[demand.name] = _Bucket(0.0, now_ns)
            self._buckets.move_to_end(demand.name)
            _drain(bucket, demand.limit, now_ns)
            return _rate_level(demand, bucket.used)
        if demand.kind == "lease":
            places = self._places.get(demand.name)
            used = len(places) if places else 0
            return Level(used=used, wait_s=1.0 if used >= demand.limit else 0.0)
        purse = self._purse(demand.name)
        if purse.spent is None:
            return None
        return _money_level(demand, purse.spent, purse.reserved, now_ns)

    def _take(self, hold: str, demands: Sequence[Demand], until_ns: int, marks: deque[tuple[int, str, str]]) -> None:
        for demand in demands:
            kind = demand.kind
            if kind == "rate":
                self._buckets[demand.name].used += taken(demand)
                continue
            if kind == "lease":
                self._places.setdefault(demand.name, {})[hold] = until_ns
            else:
                purse = self._purse(demand.name)
                purse.held[hold] = (demand.amount, until_ns)
                purse.reserved += demand.amount
                purse.version += 1
            marks.append((until_ns, demand.name, hold))

    def _unreserve(self, purse: _Purse, hold: str) -> None:
        amount, _ = purse.held.pop(hold, (0, 0))
        purse.reserved -= amount

    def _purse(self, name: str) -> _Purse:
        purse = self._purses.get(name)
        if purse is None:
            purse = self._purses[name] = _Purse()
        self._purses.move_to_end(name)
        return purse

    def _expire(self, now_ns: int) -> None:
        """Let holds that were never settled fall free. Most have been settled; their marks are just dropped."""
        # Marks lie in order of arrival, not of time: one that lives long keeps shorter ones behind it a little longer.
        for marks in (self._expiring, self._lasting):
            while marks and marks[0][0] <= now_ns:
                until_ns, name, hold = marks.popleft()
                places = self._places.get(name)
                if places is not None and places.get(hold) == until_ns:
                    del places[hold]
                    if not places:
                        del self._places[name]
                purse = self._purses.get(name)
                if purse is not None and purse.held.get(hold, (0, 0))[1] == until_ns:
                    self._unreserve(purse, hold)
                    purse.version += 1

    def _tidy(self) -> None:
        """Drop the oldest marks whose holds are settled, or a minute of traffic would lie here at any time."""
        for marks in (self._expiring, self._lasting):
            while marks:
                _, name, hold = marks[0]
                places, purse = self._places.get(name), self._purses.get(name)
                if (places is not None and hold in places) or (purse is not None and hold in purse.held):
                    break
                marks.popleft()

    def _trim(self) -> None:
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if len(self._purses) > REMEMBERED:
            name, purse = self._purses.popitem(last=False)
            if purse.held:  # in use: it is kept, as the newest
                self._purses[name] = purse


def _drain(bucket: _Bucket, limit: int, now_ns: int) -> None:
    """Let out what has flowed since the bucket was last looked at. A clock that steps back lets nothing out."""
    if now_ns > bucket.at_ns:
        left = bucket.used - (now_ns - bucket.at_ns) * limit / _MINUTE_NS
        bucket.used = left if left > 0.0 else 0.0
        bucket.at_ns = now_ns


def taken(demand: Demand) -> int:
    """What a demand puts into a bucket: more than a whole bucket passes as a whole bucket, else it never would."""
    return demand.amount if demand.amount < demand.limit else demand.limit


def _rate_level(demand: Demand, used: float) -> Level:
    """How a bucket with so much in it meets a demand."""
    over = used + taken(demand) - demand.limit
    wait = over * 60.0 / demand.limit if over > _ROUNDING else 0.0
    return Level(used=math.ceil(used - _ROUNDING), wait_s=wait)


def _money_level(demand: Demand, spent: int, reserved: int, now_ns: int) -> Level:
    """How a purse meets a demand; the wait of a spent budget is until its period ends."""
    fits = spent + reserved + demand.amount <= demand.limit
    if fits or (reserved == 0 and spent < demand.limit):
        return Level(used=spent, reserved=reserved)
    wait = 1.0 if spent < demand.limit else max(1.0, (demand.ends_ns - now_ns) / _SECOND_NS)
    return Level(used=spent, reserved=reserved, wait_s=wait)
