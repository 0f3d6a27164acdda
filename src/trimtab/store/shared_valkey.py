"""Counters in Valkey or Redis, for many processes; when it is away, each process goes on with its own share.

Needs the client ``redis`` (the extra ``trimtab[scale]``). Each call is one Lua script, so one step for everybody.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis.asyncio
from msgspec.structs import replace
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from .shared import REMEMBERED, Answer, Demand, Level, Purse, Shared, taken

log = logging.getLogger("trimtab.limits")

SCRIPT = Path(__file__).with_name("shared.lua")
#: Seconds that one question may take, and between two looks whether a server that was away is back; connections.
TIMEOUT_S, PROBE_S, CONNECTIONS = 1.0, 1.0, 16
#: Seconds between two tries of a request that waits for a place, which another process may have given back.
POLL_S = 0.02
#: Settlements that wait for the server to come back one by one; beyond, only their sums are kept.
OWED = 10_000
_KNOWN = 10_000
#: All keys in one slot, so that a cluster can run one script over several of them.
_PREFIX = "{trimtab}:"

_Settlement = tuple[str, tuple[Demand, ...], tuple[int, ...]]


class ValkeyShared:
    """Shared counters by URL: ``redis://``, ``rediss://``, ``valkey://`` or ``unix://``.

    ``workers`` is how many processes count there: while the server is away, each of them lets through its share of a
    limit, and of what was left of a budget. What is settled meanwhile is told to the server when it is back.

    ``node`` names an installation over its restarts and ``boot`` one life of it. What earlier lives still hold is let
    go when a counter is first used, so that places and money that a crash left taken are free at once.
    """

    poll_s = POLL_S

    def __init__(self, url: str, *, workers: int = 1, node: str = "", boot: str = "") -> None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url.replace("valkey://", "redis://", 1).replace("valkeys://", "rediss://", 1),
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # a script that was run and not answered must not be run again unseen
        )
        self._client = redis.asyncio.Redis.from_pool(pool)
        self._script = self._client.register_script(SCRIPT.read_text(encoding="utf-8"))
        self._workers = max(1, workers)
        self._node = f"{hashlib.sha256(node.encode()).hexdigest()[:8]}." if node else ""
        self._tag = f"{self._node}{boot}." if node else ""
        self._met: set[str] = set()  # counters in which earlier lives hold nothing any more
        self._why = ""
        self._epoch = ""
        self._local = Shared()
        self._local_holds: set[str] = set()
        self._known: OrderedDict[str, int] = OrderedDict()  # what was spent or reserved when the server was last heard
        self._owed: list[_Settlement] = []
        self._owed_sums: dict[str, tuple[Demand, int]] = {}
        self._probe: asyncio.Task[None] | None = None

    @property
    def degraded(self) -> str:
        """Empty, or why limits are counted by this process alone."""
        return self._why

    async def acquire(self, hold: str, demands: Sequence[Demand], *, now_ns: int, ttl_s: float) -> Answer:
        until_ns = now_ns + int(ttl_s * 1e9)
        await self._clean([demand.name for demand in demands if demand.kind != "rate"])
        arguments: list[Any] = ["acquire", self._tag + hold, now_ns // 1000, until_ns // 1000]
        for demand in demands:
            arguments += (demand.kind, demand.limit, demand.amount, demand.ends_ns // 1000)
        found = await self._run([demand.name for demand in demands], arguments)
        if found is None:
            return await self._acquire_locally(hold, demands, now_ns=now_ns, ttl_s=ttl_s)
        return self._read(demands, [int(value) for value in found])

    async def settle(self, hold: str, demands: Sequence[Demand], amounts: Sequence[int], *, now_ns: int) -> None:
        if hold in self._local_holds:
            self._local_holds.discard(hold)
            await self._local.settle(hold, [self._scaled(demand) for demand in demands], amounts, now_ns=now_ns)
            self._owe("", demands, amounts)  # the server never heard of this hold
        elif not await self._settle((hold, tuple(demands), tuple(amounts)), now_ns):
            self._owe(hold, demands, amounts)

    async def seed(self, name: str, spent: int, ends_ns: int) -> None:
        if await self._run([name], ["seed", "", 0, spent, ends_ns // 1000]) is None:
            self._know(name, spent)
            await self._local.seed(name, spent, ends_ns)

    async def look(self, name: str, *, now_ns: int) -> Purse:
        await self._clean([name])
        found = await self._run([name], ["look", "", now_ns // 1000])
        if found is None:
            return await self._local.look(name, now_ns=now_ns)
        spent, reserved, version = found
        return Purse(spent=int(spent) if spent else None, reserved=int(reserved), version=int(version))

    async def recount(self, name: str, spent: int, *, version: int) -> bool:
        return bool(await self._run([name], ["recount", "", 0, version, spent]))

    async def close(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
        await self._client.aclose()

    def _read(self, demands: Sequence[Demand], found: Sequence[int]) -> Answer:
        denied = found[0] - 1
        levels: list[Level] = []
        seeded = 1
        for position in range((len(found) - 1) // 4):
            used, reserved, wait_us, seeded = found[1 + 4 * position : 5 + 4 * position]
            levels.append(Level(used=used, reserved=reserved, wait_s=wait_us / 1e6))
            if demands[position].kind == "money" and seeded:
                mine = demands[position].amount if denied < 0 else 0
                self._know(demands[position].name, used + reserved + mine)
        return Answer(denied=denied, levels=tuple(levels), unseeded=denied >= 0 and not seeded)

    async def _settle(self, settlement: _Settlement, now_ns: int) -> bool:
        hold, demands, amounts = settlement
        arguments: list[Any] = ["settle", self._tag + hold, now_ns // 1000]
        for demand, amount in zip(demands, amounts, strict=True):
            spent = amount - taken(demand) if demand.kind == "rate" else amount
            arguments += (demand.kind, demand.limit, spent, demand.ends_ns // 1000)
        return await self._run([demand.name for demand in demands], arguments) is not None

    async def _clean(self, names: Sequence[str]) -> None:
        new = [name for name in names if name not in self._met]
        if not new or not self._node:
            return
        if len(self._met) > REMEMBERED:
            self._met.clear()
        if await self._run(new, ["clean", "", 0, self._node, self._tag]) is not None:
            self._met.update(new)

    async def _meet(self) -> None:
        """Learn whether the server still has what it was told: counters that it lost are seeded from the ledger, where
        everything is that is owed. Raises what the client raises."""
        name = _PREFIX + "epoch"
        await self._client.set(name, secrets.token_hex(8), nx=True)
        epoch = str(await self._client.get(name))
        if self._epoch and epoch != self._epoch:
            self._owed.clear()
            self._owed_sums.clear()
        self._epoch = epoch

    async def _run(self, names: Sequence[str], arguments: Sequence[Any]) -> Any | None:
        """What the script answers; None when the server is away."""
        if self._why:
            return None
        try:
            if not self._epoch:
                await self._meet()
            return await self._script(keys=[_PREFIX + name for name in names], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            self._lose(error)
            return None

    # While the server is away.

    def _lose(self, error: Exception) -> None:
        if self._why:
            return
        self._why = f"Valkey does not answer ({type(error).__name__})"
        log.warning(
            "%s: every limit is down to this process's share, one in %d, until it is back.", self._why, self._workers
        )
        self._local = Shared()
        self._probe = asyncio.create_task(self._until_back(), name="trimtab-valkey-probe")

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                await self._meet()
                await self._pay()
            except (RedisError, OSError, TimeoutError):
                continue
            break
        self._why = ""
        self._probe = None
        log.warning("Valkey answers again: limits are shared.")
        await self._pay_late()

    async def _pay(self) -> None:
        """Tell the server what was settled without it. Raises what the client raises; what was told is forgotten."""
        while self._owed_sums:
            _, (demand, amount) = self._owed_sums.popitem()
            self._owed.append(("", (demand,), (amount,)))
        while self._owed:
            settlement = self._owed.pop()
            try:
                await self._tell(*settlement)
            except BaseException:  # house: except because what was not told must be kept whatever stopped the telling
                self._owed.append(settlement)
                raise

    async def _pay_late(self) -> None:
        """What was settled between the last payment and the moment when everybody went back to the server."""
        try:
            await self._pay()
        except (RedisError, OSError, TimeoutError) as error:
            self._lose(error)

    async def _tell(self, hold: str, demands: Sequence[Demand], amounts: Sequence[int]) -> None:
        arguments: list[Any] = ["settle", self._tag + hold, 0]
        for demand, amount in zip(demands, amounts, strict=True):
            # A bucket has drained long since.
            arguments += (demand.kind, demand.limit, 0 if demand.kind == "rate" else amount, demand.ends_ns // 1000)
        await self._script(keys=[_PREFIX + demand.name for demand in demands], args=arguments)

    async def _acquire_locally(self, hold: str, demands: Sequence[Demand], *, now_ns: int, ttl_s: float) -> Answer:
        for demand in demands:
            if demand.kind == "money" and (spent := self._known.get(demand.name)) is not None:
                await self._local.seed(demand.name, spent, demand.ends_ns)
        scaled = [self._scaled(demand) for demand in demands]
        answer = await self._local.acquire(hold, scaled, now_ns=now_ns, ttl_s=ttl_s)
        if answer.denied < 0:
            self._local_holds.add(hold)
        return replace(answer, local=True)

    def _scaled(self, demand: Demand) -> Demand:
        """This process's share of a limit; of a budget, its share of what was left."""
        before = min(self._known.get(demand.name, 0), demand.limit) if demand.kind == "money" else 0
        share = before + max(1, (demand.limit - before) // self._workers) if before < demand.limit else before
        return replace(demand, limit=share)

    def _owe(self, hold: str, demands: Sequence[Demand], amounts: Sequence[int]) -> None:
        kinds = ("money", "lease") if hold else ("money",)
        pairs = [(demand, a) for demand, a in zip(demands, amounts, strict=True) if demand.kind in kinds]
        if not pairs:
            return
        if len(self._owed) < OWED:
            self._owed.append((hold, tuple(d for d, _ in pairs), tuple(a for _, a in pairs)))
            return
        for demand, amount in pairs:
            if demand.kind == "money":
                _, before = self._owed_sums.get(demand.name, (demand, 0))
                self._owed_sums[demand.name] = (demand, before + amount)

    def _know(self, name: str, spent: int) -> None:
        self._known[name] = spent
        self._known.move_to_end(name)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
