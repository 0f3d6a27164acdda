#!/usr/bin/env python3
"""Requests through a route whose targets fail, in virtual time: how many are answered, and what that costs.

    python bench/outages.py [--requests 20000]

Two scripted targets behind the gateway's own attempts. One of them answers 10 % of its requests with an error, leaves
5 % hanging and resets 5 % before the first byte; the other is sound. And an outage of both, to see how much a route
adds to it. The clock is virtual, so nothing is waited for and every run is the same. Exits 1 when a bar is missed:
99.9 % of requests answered within their deadline, attempts within their budget, nothing tried again after the first
byte.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "gateway"))

from virtual_time import run

from trimtab.core import Call, Chunk, Model, ModelError, TrimtabError, Usage
from trimtab.gateway import Attempts, Candidate, order, read_route
from trimtab.gateway.health import RouteState

RESULT = Path(__file__).parent / "results" / "outages.json"
ANSWERED = 0.999
PER_SECOND = 50.0
TIMEOUT = {"first_byte": 2.0, "attempt": 3.0, "total": 10.0}
#: What a route adds to an outage at most: its share of retries, and what its breakers let through as probes.
AMPLIFIED = 1.1


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Shares of a target's requests. ``breaks`` lets a stream break after its first piece."""

    errors: float = 0.0
    hangs: float = 0.0
    resets: float = 0.0
    breaks: float = 0.0
    down: tuple[float, float] = (0.0, 0.0)  # from when until when everything fails


@dataclass
class Tally:
    """What happened in one run."""

    requests: int = 0
    answered: int = 0
    attempts: int = 0
    most_attempts: int = 0
    late: int = 0
    broken: int = 0
    again_after_first_byte: int = 0
    waits: list[float] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        waits = sorted(self.waits) or [0.0]
        return {
            "requests": self.requests,
            "answered": round(self.answered / self.requests, 5),
            "attempts_per_request": round(self.attempts / self.requests, 4),
            "most_attempts": self.most_attempts,
            "late": self.late,
            "broken_streams": self.broken,
            "again_after_first_byte": self.again_after_first_byte,
            "p50_s": round(waits[len(waits) // 2], 3),
            "p99_s": round(waits[int(0.99 * len(waits))], 3),
        }


def target(faults: Faults, rng: random.Random) -> Model:
    """A scripted model with these faults: it begins after 50 to 400 ms and says three pieces."""

    async def model(call: Call) -> AsyncIterator[Chunk]:
        now = asyncio.get_running_loop().time()
        draw = rng.random()
        await asyncio.sleep(rng.uniform(0.05, 0.4))
        if faults.down[0] <= now < faults.down[1]:
            raise ModelError("down", vendor_status=503)
        if draw < faults.errors:
            raise ModelError("overloaded", vendor_status=503)
        if draw < faults.errors + faults.hangs:
            await asyncio.Event().wait()
        if draw < faults.errors + faults.hangs + faults.resets:
            raise ModelError("connection reset")
        yield Chunk(text="a")
        if rng.random() < faults.breaks:
            raise ModelError("connection reset")
        await asyncio.sleep(0.05)
        yield Chunk(text="b", finish="stop", usage=Usage(input_tokens=10, output_tokens=2))

    return model


async def measure(requests: int, one: Faults, other: Faults, **content: Any) -> Tally:
    """Requests at random times, half of them streams, over two targets."""
    rng, loop, tally = random.Random(7), asyncio.get_running_loop(), Tally()
    models = {"p/0": target(one, random.Random(8)), "p/1": target(other, random.Random(9))}
    targets = [{"model": ref} for ref in models]
    route = read_route("r", "r/1", {"targets": targets, "timeout": TIMEOUT, **content}, {})
    state = RouteState(route, loop.time())

    async def ask(stream: bool, draw: float) -> None:
        call = Call(model="r", messages=({"role": "user", "content": "hi"},), stream=stream, timeout=route.total)
        since = loop.time()
        refs = order(route, draw, state.sights(route, None, {}, since))
        attempts = Attempts(
            [Candidate(ref, models[ref]) for ref in refs],
            route=route,
            state=state,
            draw=draw,
            clock=lambda: int(loop.time() * 1e9) + 1,
        )
        text = ""
        begun = 0
        try:
            async for chunk in attempts(call):
                begun = begun or len(attempts.log)
                text += chunk.text
        except TrimtabError:
            tally.failed_at.append(since)
            tally.broken += bool(text)
        tally.requests += 1
        tally.attempts += len(attempts.log)
        tally.most_attempts = max(tally.most_attempts, len(attempts.log))
        tally.again_after_first_byte += bool(begun) and len(attempts.log) > begun
        tally.late += loop.time() - since > route.total + 1e-6
        if text == "ab":
            tally.answered += 1
            tally.waits.append(loop.time() - since)

    async with asyncio.TaskGroup() as group:
        for number in range(requests):
            group.create_task(ask(number % 2 == 0, rng.random()))
            await asyncio.sleep(rng.expovariate(PER_SECOND))
    assert all(known.in_flight == 0 for known in state.targets.values())
    return tally


FAULTY = Faults(errors=0.10, hangs=0.05, resets=0.05)
SOUND = Faults()
HEDGED = {"hedge": {"after": "p95", "share": 0.1}}


def scenarios() -> dict[str, tuple[Faults, Faults, dict[str, Any]]]:
    """Name to faults of both targets and the route's settings."""
    plain = {strategy: (FAULTY, SOUND, {"strategy": strategy}) for strategy in ("ordered", "weighted", "latency")}
    outage = Faults(down=(20.0, 80.0))
    return {
        **plain,
        "ordered, hedged": (FAULTY, SOUND, {"strategy": "ordered", **HEDGED}),
        "weighted, streams break too": (Faults(errors=0.1, hangs=0.05, breaks=0.05), SOUND, {"strategy": "weighted"}),
        "outage of one for 60 s": (outage, SOUND, {"strategy": "ordered"}),
        "outage of both for 60 s": (outage, outage, {"strategy": "ordered"}),
        "outage of both, no breaker": (outage, outage, {"breaker": {"failures": dict.fromkeys(KINDS, 0)}}),
    }


KINDS = ("rate_limit", "server", "connection", "timeout", "first_byte")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    asked = parser.parse_args()
    result: dict[str, Any] = {"requests_per_second": PER_SECOND, "timeout": TIMEOUT, "bar": {"answered": ANSWERED}}
    held = True
    for name, (one, other, content) in scenarios().items():
        tally = run(measure(asked.requests, one, other, **content))
        figures = result[name] = tally.figures()
        ok = tally.most_attempts <= 3 and not tally.late and not tally.again_after_first_byte
        if one == FAULTY or (other == SOUND and not one.breaks):
            ok = ok and figures["answered"] >= ANSWERED
        if one == other:
            during = [at for at in tally.failed_at if 20.0 <= at < 80.0]
            after = [at for at in tally.failed_at if at >= 80.0]
            figures["failed_during_outage"] = len(during)
            figures["last_failure_after_outage_s"] = round(max(after, default=80.0) - 80.0, 1)
            ok = ok and figures["attempts_per_request"] <= AMPLIFIED
        held = held and ok
        print(f"{name:30} {'ok ' if ok else 'BAD'} {figures}", flush=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("The bars hold." if held else "A bar is missed.")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
