#!/usr/bin/env python3
"""Replay a recorded hour over simulated replicas, once for each way of choosing one. See README.md.

    python bench/router/replay.py [--first N]

Exits 1 when Trimtab's strategy misses a bar: hit rate at least 0.29 and P95 of the time to the first token at most 0.9
of the best of the others, with 8 replicas; and with 16 no fewer hits and no worse ratio than that.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from policies import BoundedHash, LeastLoad, LeastTokens, Prefix, Radix, Random
from recording import Request, read
from replicas import CACHE_BLOCKS, Policy, Served, replay

RESULT = Path(__file__).parent.parent / "results" / "router.json"
HIT_RATE, P95_RATIO = 0.29, 0.9
#: Replicas and tokens of prompt a second: the same computing power, cut into 8 and into 16, and twice of it.
HOUSES = ((8, 9000.0), (16, 4500.0), (16, 9000.0))
OURS = "prefix"
POLICIES: dict[str, Callable[[int], Policy]] = {
    OURS: Prefix,
    "prefix, half memory": lambda n: Prefix(n, memory=CACHE_BLOCKS // 2),
    "prefix, double memory": lambda n: Prefix(n, memory=CACHE_BLOCKS * 2),
    "radix": Radix,
    "radix, smallest tree": lambda n: Radix(n, smallest_tree=True),
    "bounded hash": BoundedHash,
    "least load": LeastLoad,
    "least tokens": LeastTokens,
    "random": Random,
}
#: What the bar is measured against: the stronger of both variants, where there are two.
RIVALS = ("radix", "radix, smallest tree", "bounded hash", "least load", "least tokens")


def figures(served: Sequence[Served], replicas: int) -> dict[str, float]:
    """Hit rate over blocks, time to the first token, and how uneven the computed blocks lie."""
    waits = sorted(one.ttft for one in served)
    computed: Counter[int] = Counter()
    for one in served:
        computed[one.replica] += one.blocks - one.hit
    return {
        "hit_rate": round(sum(one.hit for one in served) / sum(one.blocks for one in served), 4),
        "ttft_mean_s": round(sum(waits) / len(waits), 3),
        "ttft_p50_s": round(waits[len(waits) // 2], 3),
        "ttft_p95_s": round(waits[int(0.95 * len(waits))], 3),
        "ttft_p99_s": round(waits[int(0.99 * len(waits))], 3),
        "imbalance": round(max(computed.values()) * replicas / computed.total(), 3),
    }


def measure(
    requests: Sequence[Request], make: Callable[[int], Policy], replicas: int, rate: float
) -> dict[str, object]:
    """One row: the whole replay, and its halves, of which the first was used for tuning."""
    half = requests[-1].at / 2
    start = time.process_time()
    served = replay(requests, make(replicas), replicas, rate)
    spent = time.process_time() - start
    return {
        **figures(served, replicas),
        "first_half": figures([one for one in served if one.at < half], replicas),
        "second_half": figures([one for one in served if one.at >= half], replicas),
        "cpu_us_per_request": round(spent / len(requests) * 1e6),
    }


def verdicts(rows: dict[str, dict[str, object]], part: str = "") -> dict[str, object]:
    """The bars for one house: hit rate, and P95 against the best of the rivals."""

    def p95(name: str) -> float:
        row = rows[name]
        found = row[part] if part else row
        assert isinstance(found, dict)
        return float(found["ttft_p95_s"])

    ours = rows[OURS][part] if part else rows[OURS]
    assert isinstance(ours, dict)
    best = min(RIVALS, key=p95)
    ratio = p95(OURS) / p95(best)
    held = ours["hit_rate"] >= HIT_RATE and ratio <= P95_RATIO
    return {"hit_rate": ours["hit_rate"], "best_rival": best, "p95_ratio": round(ratio, 3), "held": held}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="only so many requests; writes no result")
    asked = parser.parse_args()
    requests = read()[: asked.first or None]
    result: dict[str, object] = {"requests": len(requests), "bars": {"hit_rate": HIT_RATE, "p95_ratio": P95_RATIO}}
    held = True
    for replicas, rate in HOUSES:
        print(f"\n{replicas} replicas, {rate:.0f} tokens of prompt a second each")
        print(f"  {'':22}{'hits':>7}{'mean':>8}{'p50':>8}{'p95':>8}{'p99':>8}  imbalance")
        rows: dict[str, dict[str, object]] = {}
        for name, make in POLICIES.items():
            row = rows[name] = measure(requests, make, replicas, rate)
            columns = "".join(f"{row[f'ttft_{part}_s']:8.2f}" for part in ("mean", "p50", "p95", "p99"))
            print(f"  {name:22}{row['hit_rate']:7.3f}{columns}  {row['imbalance']:.2f}", flush=True)
        bars = {part or "whole": verdicts(rows, part) for part in ("", "first_half", "second_half")}
        for part, verdict in bars.items():
            print(f"  {part}: p95 {verdict['p95_ratio']} of {verdict['best_rival']}, hits {verdict['hit_rate']}")
        held = held and bool(bars["whole"]["held"])
        result[f"{replicas} replicas at {rate:.0f} tokens/s"] = {"bars": bars, "policies": rows}
    if not asked.first:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("\nThe bars hold." if held else "\nA bar is missed.")
    return 0 if held or asked.first else 1


if __name__ == "__main__":
    raise SystemExit(main())
