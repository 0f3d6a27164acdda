"""A gateway with a ledger, and requests that need no gateway at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway_house import House

from trimtab.core import Usage, now_ns
from trimtab.gateway import Key, Ledger, Limits, LiveTrace, Reports, Route, Teams, read_route
from trimtab.gateway.ask import Ask
from trimtab.gateway.attempts import Attempt
from trimtab.gateway.budgets import nano

SECOND = 1_000_000_000
#: 2026-09-21 14:13:20 UTC, in the middle of a day and of a month.
START = 1_790_000_000 * SECOND
MODEL = "scripted/steady"


class Clock:
    """Stands still unless a test moves it."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def key(name: str = "app", *, team: str = "", **limits: Any) -> Key:
    return Key(id=f"key_{name}", name=name, prefix="", team=team, limits=limits)


def route(name: str = "plain", **limits: Any) -> Route:
    return read_route(name, f"{name}/1", {"targets": [{"model": MODEL}], "limits": limits}, {})


def request(key: Key | None, clock: Callable[[], int], params: Mapping[str, Any] | None = None) -> LiveTrace:
    live = LiveTrace(clock)
    live.ask = Ask(model="plain", messages=({"role": "user", "content": "x" * 370},), key=key, params=params or {})
    live.route = "plain"
    return live


def answered(live: LiveTrace, usage: Usage | None, ref: str = MODEL, text: int = 0) -> None:
    """A model answered, and said (or did not) what that used."""
    attempt = Attempt(ref=ref, start_ns=live.start_ns, usage=usage, first_ns=live.start_ns + 1, relayed=text)
    live.attempts = (*live.attempts, attempt)


@asynccontextmanager
async def entered(limits: Limits, on: Route, live: LiveTrace) -> AsyncIterator[None]:
    """The way of a request in and out, as ``serve`` goes it."""
    admission = limits.let_in(on, live) or await limits.wait_in(on, live)
    try:
        yield
    finally:
        if (ending := limits.leave(admission)) is not None:
            await ending


async def ask(
    limits: Limits, live: LiveTrace, usage: Usage | None, *, on: Route | None = None, takes: asyncio.Event | None = None
) -> None:
    """One request from its admission to its end; ``takes`` is when the model answers."""
    async with entered(limits, on or route(), live):
        if takes is not None:
            await takes.wait()
        answered(live, usage)


@dataclass
class Tenant:
    """A house's gateway with a ledger behind it."""

    house: House
    ledger: Ledger
    teams: Teams
    limits: Limits
    reports: Reports
    clock: Callable[[], int] = field(default=now_ns)

    async def close(self) -> None:
        await self.limits.close()
        await self.ledger.close()


async def tenant(house: House, clock: Callable[[], int] = now_ns, **parts: Any) -> Tenant:
    ledger = Ledger(house.metadata, node="here", clock=clock)
    teams = await Teams.load(house.metadata)
    limits = Limits(ledger=ledger, teams=teams, clock=clock, node="here", **parts)
    house.gateway.limits = limits
    reports = Reports(house.metadata, ledger=ledger, limits=limits, clock=clock)
    return Tenant(house, ledger, teams, limits, reports, clock)


def cost(usage: Usage) -> int:
    """Billionths of a dollar of the simulated models: 0.15 and 0.60 dollars a million tokens."""
    return nano((usage.input_tokens * 0.15 + usage.output_tokens * 0.60) / 1e6)
