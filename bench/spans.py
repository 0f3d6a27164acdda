#!/usr/bin/env python3
"""Durable spans per CPU-second, beside what compressing the same payloads alone costs, in one run.

Writes spans of about 1.7 kB (a question, passages, an answer, attributes) through the span store's own door, in batches
of 150 with eight writers waiting for their commits, and reads the CPU time of this process. The limit beside it is
zstd level 3 over the same payload text with one reused compressor: no store can be cheaper and still compress.

    python bench/spans.py [--spans 40000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

import zstandard

from trimtab.core import Span, Stamp, new_span_id, new_trace_id, now_ns
from trimtab.store import SpanStore

RESULT = Path(__file__).parent / "results" / "spans.json"
BATCH, WRITERS = 150, 8
TEXT = (
    "the a of to gateway route budget answer passage refund order customer policy version prompt stamp trace span score"
    " judge incident owner rollback window limit token stream retry fallback latency cost region tenant session cache"
)
WORDS = TEXT.split()


def make(count: int, rng: random.Random) -> list[Span]:
    def text(words: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(words))

    spans = []
    for _ in range(count):
        start = now_ns()
        spans.append(
            Span(
                trace_id=new_trace_id(), span_id=new_span_id(), name="support", kind="chain", start_ns=start,
                end_ns=start + rng.randrange(10**8, 10**9), session=f"s-{rng.randrange(4000)}", model="bench-1",
                provider="up", stamp=Stamp(model="up/bench-1", prompt=f"answer/{rng.randrange(1, 5)}"),
                input_tokens=rng.randrange(50, 900), output_tokens=rng.randrange(20, 300), cost_usd=0.001,
                tags={"topic": rng.choice(WORDS)}, input=text(20), output=text(60),
                attributes={"passages": [text(45) for _ in range(3)], "finish": "stop"},
            )
        )  # fmt: skip
    return spans


async def write(store: SpanStore, spans: list[Span]) -> None:
    batches = iter([spans[i : i + BATCH] for i in range(0, len(spans), BATCH)])

    async def writer() -> None:
        for batch in batches:
            await store.write(batch)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))


def payload(span: Span) -> bytes:
    return json.dumps([span.input, span.output, dict(span.attributes)]).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description="durable spans per CPU-second")
    parser.add_argument("--spans", type=int, default=40_000)
    options = parser.parse_args()
    print(f"making {options.spans} spans ...", flush=True)
    spans = make(options.spans, random.Random(5))
    payloads = [payload(span) for span in spans]
    compressor = zstandard.ZstdCompressor(level=3)
    started = time.process_time()
    for data in payloads:
        compressor.compress(data)
    limit = len(spans) / (time.process_time() - started)
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as folder:
        store = SpanStore.open(Path(folder))
        print("writing them, each batch acknowledged after its commit ...", flush=True)
        cpu, wall = time.process_time(), time.perf_counter()
        asyncio.run(write(store, spans))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        store.close()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    result = {
        "spans": len(spans),
        "payload_bytes_per_span": round(sum(map(len, payloads)) / len(spans)),
        "durable_spans_per_cpu_second": round(len(spans) / cpu),
        "durable_spans_per_second": round(len(spans) / wall),
        "zstd_only_per_cpu_second": round(limit),
        "share_of_limit": round(len(spans) / cpu / limit, 3),
        "disk_bytes_per_span": round(size / len(spans)),
    }
    for name, value in result.items():
        print(f"{name:<32}{value:>12}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
