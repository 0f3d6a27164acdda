#!/usr/bin/env python3
"""What watching costs: processor time per request and per score, on one core, with many slices.

    python bench/watch.py                        # about half a minute
    python bench/watch.py --scores 200000        # shorter

Requests with four passages each, in the gateway's shape, through all default monitors; scores over 200 signal-slices;
a twentieth of the values lie below their best. Garbage collection as in ``trimtab up``. The share is of the gateway's
380 us of processor time a request. Prints a table, writes bench/results/watch.json.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.core import Score, Span, Stamp
from trimtab.watch import MEASURES, SCORED, Watch, default_monitors
from trimtab.watch.watch import MEASURED_A_SECOND

RESULTS = Path(__file__).parent / "results" / "watch.json"
GATEWAY_US = 380.0
SECOND = 10**9
START = 1_800_000_000 * SECOND
STAMP = Stamp(model="p/large=large@fp", knowledge="docs/1", prompt="support/1", guard="default/1", route="support/1")
WORDS = [
    "refund", "invoice", "plan", "upgrade", "billing", "account", "tenant", "export", "webhook", "limit", "quota",
    "region", "seat", "trial", "month", "charge", "card", "email", "domain", "token", "secret", "login", "audit",
    "policy",
]  # fmt: skip
BATCH = 500
#: Before the batches, the lazy detectors and the cheaper measures: the same traffic on the same machine.
BEFORE = {"measured_us": 144.0, "said": "a scratch timing of the first version, four passages a request"}


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def request(rng: random.Random, number: int, docs: Sequence[dict[str, Any]], slices: int, gap_ns: int) -> list[Span]:
    """A root with its passages and the call of the model."""
    trace, at = f"{number:032x}", START + number * gap_ns
    passages = [{**doc, "number": i + 1, "score": rng.uniform(2, 5)} for i, doc in enumerate(rng.sample(docs, 4))]
    root = Span(
        trace_id=trace, span_id=f"{number:016x}", name="support", kind="chain", start_ns=at, end_ns=at + SECOND,
        stamp=STAMP, input=text(rng, 12), output=text(rng, 60) + " [1]", input_tokens=rng.randint(900, 1100),
        output_tokens=rng.randint(90, 130), cost_usd=0.001 * rng.uniform(1, 1.1), ttft_ns=rng.randint(3, 4) * 10**8,
        tags={"topic": f"t{number % slices}"}, model="large", session=f"s{number // 4}",
        attributes={"gateway": True, "passages": passages},
    )  # fmt: skip
    call = Span(
        trace_id=trace, span_id=f"{number:015x}a", parent_id=root.span_id, name="llm", kind="llm", start_ns=at,
        end_ns=root.end_ns, stamp=STAMP, input=text(rng, 200), output=root.output,
    )  # fmt: skip
    return [root, call]


def measured(requests: int, rate: float, seed: int) -> float:
    """Microseconds a request of ``Watch.measure``, with so many requests a second of traffic."""
    rng = random.Random(seed)
    docs = [{"title": text(rng, 4), "text": text(rng, 80), "updated_ns": START - SECOND} for _ in range(400)]
    spans = [request(rng, n, docs, 8, int(SECOND / rate)) for n in range(requests)]
    watch = Watch(default_monitors(lambda _: "bench"))
    batches = [[span for one in spans[i : i + BATCH] for span in one] for i in range(0, requests, BATCH)]
    warm = len(batches) // 3
    for batch in batches[:warm]:
        watch.measure(batch)
    started = time.process_time()
    for batch in batches[warm:]:
        watch.measure(batch)
    return (time.process_time() - started) / sum(len(batch) // 2 for batch in batches[warm:]) * 1e6


def scored(scores: int, slices: int, seed: int) -> dict[str, float]:
    """Seconds for so many scores, in batches, over ``slices`` slices of every scored signal."""
    rng = random.Random(seed)
    names = [name for name, signal in SCORED.items() if signal.cost == "all"]
    watch = Watch(default_monitors(lambda _: "bench"))
    spent, done, number = 0.0, 0, 0
    while done < scores:
        batch = []
        for _ in range(BATCH):
            number += 1
            trace, at, where = f"{number:032x}", START + number * SECOND // 10, f"t{number % slices}"
            batch += [
                Score(
                    id=f"{trace}:{name}", trace_id=trace, name=name, value=float(rng.random() < 0.95),
                    by=f"check:{name}", time_ns=at, slice=where, stamp=STAMP,
                )
                for name in names
            ]  # fmt: skip
        started = time.process_time()
        watch.observe(batch)
        spent += time.process_time() - started
        done += len(batch)
        print(f"\r{done:,} scores", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {"scores": done, "signal_slices": len(names) * slices, "seconds": spent, "us": spent / done * 1e6,
            "a_request": len(names)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=int, default=1_000_000, help="scored values (default a million)")
    parser.add_argument("--requests", type=int, default=9_000, help="measured requests (default 9,000)")
    parser.add_argument("--seed", type=int, default=1, help="chance starts from here (default 1)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    args = parser.parse_args()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    full = 1e6 / GATEWAY_US
    quiet, loaded = measured(args.requests, 100.0, args.seed), measured(args.requests, full, args.seed)
    found = scored(args.scores, 25, args.seed)
    each = found["us"] * found["a_request"]
    result = {
        "command": "python bench/watch.py " + " ".join(sys.argv[1:]), "requests": args.requests,
        "measures": len(MEASURES), "measured_a_second": MEASURED_A_SECOND, "before": BEFORE,
        "measured_us_a_request": round(quiet, 2),
        "measured_us_a_request_at_full_load": round(loaded, 2),
        "scored": {name: round(value, 3) for name, value in found.items()},
        "scored_us_a_request": round(each, 2),
        "share_at_full_load": round((loaded + each) / GATEWAY_US, 4),
        "share_measured_only_at_full_load": round(loaded / GATEWAY_US, 4),
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"measured, at 100 requests a second    {quiet:8.1f} us a request")
    print(f"measured, at {full:,.0f} requests a second  {loaded:8.1f} us a request ({MEASURED_A_SECOND} a second are)")
    print(f"scores, {found['signal_slices']} signal-slices             {found['us']:8.2f} us a score, "
          f"{found['scores']:,} in {found['seconds']:.1f} s")  # fmt: skip
    print(f"together at full load                 {loaded + each:8.1f} us a request, "
          f"{(loaded + each) / GATEWAY_US:.1%} of the gateway's {GATEWAY_US:.0f} us")  # fmt: skip


if __name__ == "__main__":
    main()
