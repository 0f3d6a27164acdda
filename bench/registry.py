#!/usr/bin/env python3
"""A registry with many versions: what resolving, refreshing and loading cost, and whether draws are fair.

* resolve: CPU time of one look-up by label with a running rollout, in a small registry and in one with 100,000
  versions. The limit is 20 us.
* refresh: one look for news when there is none, and after one label moved in another process.
* load: time until a process can serve, and the memory that the registry takes then.
* draws: chi-square over a million keys for the uniformity of one rollout and the independence of two, against the
  99.99 % point.

    python bench/registry.py [--versions 100000] [--keys 1000000] [--postgres URL]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trimtab.registry import Registry, bucket
from trimtab.store import Metadata, tables

RESULT = Path(__file__).parent / "results" / "registry.json"
PER_ASSET = 100
ADDRESS = "prompts:/prompt-0@production"
LIMIT_US = 20.0
CELLS, SIDE = 100, 10


def fill(target: Path | str, count: int) -> None:
    """Versions of 1 kB each, a hundred for each asset; production at the last one of each."""
    metadata = Metadata.open(target)

    def write(connection: sa.Connection) -> None:
        for start in range(0, count, 5_000):
            rows = [_version(n) for n in range(start, min(count, start + 5_000))]
            connection.execute(sa.insert(tables.versions), rows)
        labels = [
            {"kind": "prompts", "name": f"prompt-{n}", "label": "production", "number": PER_ASSET, "generation": 1}
            for n in range(count // PER_ASSET)
        ]
        connection.execute(sa.insert(tables.labels), labels)
        connection.execute(sa.insert(tables.generations), [{"name": "registry", "value": 1}])

    asyncio.run(metadata.write(write))
    metadata.close()


def _version(n: int) -> dict[str, Any]:
    content = {"messages": [{"role": "system", "content": f"Version {n}. " + "Answer from the passages. " * 38}]}
    return {
        "kind": "prompts", "name": f"prompt-{n // PER_ASSET}", "number": n % PER_ASSET + 1, "content": content,
        "digest": sha256(str(n).encode()).hexdigest(), "author": "mara", "note": f"change {n}", "generation": 1,
    }  # fmt: skip


def best_us(fn: Callable[[str], object], rounds: int = 7, calls: int = 5_000) -> float:
    """CPU microseconds of one call, the best of several rounds: the rest is what else the machine does."""
    keys = [f"session-{n}" for n in range(calls)]
    times = []
    for _ in range(rounds):
        started = time.process_time()
        for key in keys:
            fn(key)
        times.append((time.process_time() - started) / calls)
    return min(times) * 1e6


async def measure(target: Path | str) -> dict[str, float]:
    """The figures of one registry, in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    metadata = Metadata.open(target)
    started = time.perf_counter()
    registry = await Registry.load(metadata)
    loaded = time.perf_counter() - started
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    await registry.start_rollout("prompts", "prompt-0", 1, share=0.5, actor="bench")
    resolve = best_us(lambda key: registry.resolve(ADDRESS, key=key))
    other = await Registry.load(metadata)
    idle = [await _timed(other.refresh) for _ in range(50)]
    news = []
    for n in range(20):
        await registry.move_label("prompts", "prompt-1", "production", 1 + n % 50, actor="bench")
        news.append(await _timed(other.refresh))
    metadata.close()
    return {
        "load_s": loaded, "memory_mib": memory, "resolve_us": resolve,
        "refresh_idle_ms": statistics.median(idle), "refresh_news_ms": statistics.median(news),
    }  # fmt: skip


async def _timed(fn: Callable[[], Any]) -> float:
    started = time.perf_counter()
    await fn()
    return (time.perf_counter() - started) * 1e3


def chi_square(counts: list[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


def limit(cells: int) -> float:
    """The 99.99 % point of chi-square with ``cells - 1`` degrees of freedom (Wilson and Hilferty's cube)."""
    free, z = cells - 1, 3.719
    return float(free * (1 - 2 / (9 * free) + z * (2 / (9 * free)) ** 0.5) ** 3)


def draws(keys: int) -> dict[str, float]:
    """Chi-square, as a share of its limit, of one rollout over cells and of two over their joint cells."""
    uniform, joint = [0] * CELLS, [0] * (SIDE * SIDE)
    for n in range(keys):
        key = f"session-{n}"
        one, other = bucket("rol_3f9c0a12be", key), bucket("rol_77ad01c9e4", key)
        uniform[int(one * CELLS)] += 1
        joint[int(one * SIDE) * SIDE + int(other * SIDE)] += 1
    return {
        "keys": keys,
        "uniform_of_limit": chi_square(uniform) / limit(CELLS),
        "independent_of_limit": chi_square(joint) / limit(SIDE * SIDE),
    }


def in_own_process(target: Path | str) -> dict[str, float]:
    """Memory is measured in a process that holds nothing else."""
    command = [sys.executable, __file__, "--measure", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description="what a large registry costs")
    parser.add_argument("--versions", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--postgres", default="", help="URL of an empty database, to measure there as well")
    parser.add_argument("--measure", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asyncio.run(measure(options.measure))))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as folder:
        places: list[tuple[str, Path | str, int]] = [
            ("small", Path(folder) / "small.db", PER_ASSET * 2),
            ("large", Path(folder) / "large.db", options.versions),
        ]
        if options.postgres:
            places.append(("large, PostgreSQL", options.postgres, options.versions))
        for name, place, count in places:
            print(f"{name}: {count} versions ...", flush=True)
            fill(place, count)
            found[name] = {"versions": count, **in_own_process(place)}
    print(f"{options.keys} draws ...", flush=True)
    found["draws"] = draws(options.keys)
    report(found)


def report(found: dict[str, Any]) -> None:
    names = ("versions", "load_s", "memory_mib", "resolve_us", "refresh_idle_ms", "refresh_news_ms")
    print("\n" + f"{'':<18}" + "".join(f"{name:>17}" for name in names))
    for place in (place for place in found if place != "draws"):
        print(f"{place:<18}" + "".join(f"{found[place][name]:>17.6g}" for name in names))
    print("\nchi-square as a share of its limit (below 1 is fair):", found["draws"])
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    slow = [place for place in found if place != "draws" and found[place]["resolve_us"] >= LIMIT_US]
    if slow or max(found["draws"]["uniform_of_limit"], found["draws"]["independent_of_limit"]) >= 1:
        raise SystemExit(f"too slow: {slow}" if slow else "the draws are not fair")


if __name__ == "__main__":
    main()
