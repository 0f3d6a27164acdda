#!/usr/bin/env python3
"""How fast a full span store answers: lists, traces, filters, dashboards and text search, alone and beside a writer.

Fills a SQLite span store with traces of five spans of about 1.7 kB over two days, opens it again, has the words of the
spans written down as the store does by itself after a while, and asks each question several times with the files in the
page cache. Then a writer and five readers work at once for some seconds.

    python bench/storage [--spans 200000] [--folder DIR] [--keep]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from world import DAY_NS, RARE_MODEL, RARE_PROMPT, Batch, World

from trimtab.core import Breakdown, Filter, SpanQuery, now_ns
from trimtab.store import SpanStore

RESULT = Path(__file__).parent.parent / "results" / "storage.json"
DAYS = 2
TRACES_EACH = 200
BESIDE_S = 10.0
#: Milliseconds within which each question must be answered at a million spans.
GOALS = {
    "latest 50": 20, "one trace": 5, "prompt version": 50, "rare prompt version": 50, "model": 50, "rare model": 50,
    "score": 50, "rare score": 50,
    "day by hour": 50, "day by model": 50, "day by prompt": 50, "day by hour and model": 50,
    "text in roots": 1500, "text in all spans": 1500,
    "rare word": 1500, "part of a word": 1500, "two words": 1500, "rare text and a filter": 1500,
    "text that folds": 1500,
    "common text": 1500, "absent phrase of common words": 1500,
    "absent phrase of three common words": 1500, "absent phrase of two common words": 1500,
}  # fmt: skip
Question = Callable[[SpanStore, int], Awaitable[Any]]


def only(column: str, op: Any, value: Any, **more: Any) -> SpanQuery:
    return SpanQuery(filters=(Filter(column=column, op=op, value=value),), **more)


def questions(world: World, end_ns: int) -> dict[str, Question]:
    day = SpanQuery(since_ns=end_ns - DAY_NS, until_ns=end_ns)
    numbers = (
        "count",
        "errors",
        "sum:cost_usd",
        "sum:input_tokens",
        "sum:output_tokens",
        "p50:duration_ms",
        "p95:duration_ms",
    )

    def listed(query: SpanQuery) -> Question:
        return lambda store, _: store.query(query)

    def grouped(*by: str) -> Question:
        return lambda store, _: store.groups(Breakdown(query=day, by=by, measures=numbers, limit=1000))

    return {
        "latest 50": listed(SpanQuery()),
        "one trace": lambda store, n: store.trace(f"{n * 7919 % world.traces + (1 << 100):032x}"),
        "prompt version": listed(only("stamp.prompt", "=", "support/2")),
        "rare prompt version": listed(only("stamp.prompt", "=", RARE_PROMPT)),
        "model": listed(only("model", "=", "gpt-4o", roots=False)),
        "rare model": listed(only("model", "=", RARE_MODEL)),
        "score": listed(only("score:quality", "<", 0.5)),
        "rare score": listed(only("score:quality", "<", 0.1)),
        "day by hour": grouped("time:3600"),
        "day by model": grouped("model"),
        "day by prompt": grouped("stamp.prompt"),
        "day by hour and model": grouped("time:3600", "model"),
        "text in roots": listed(SpanQuery(text="no such words anywhere")),
        "text in all spans": listed(SpanQuery(text="no such words anywhere", roots=False)),
        "rare word": listed(SpanQuery(text="heliotrope", roots=False)),
        "part of a word": listed(SpanQuery(text="nywher", roots=False)),
        "two words": listed(SpanQuery(text="such words", roots=False)),
        "rare text and a filter": listed(only("status", "=", "error", text="such words", roots=False)),
        "text that folds": listed(SpanQuery(text="GROSSE STRASSE", roots=False)),
        "common text": listed(SpanQuery(text="Return the", roots=False)),
        "absent phrase of common words": listed(SpanQuery(text="return the object class if", roots=False)),
        "absent phrase of three common words": listed(SpanQuery(text="the if class", roots=False)),
        "absent phrase of two common words": listed(SpanQuery(text="class if", roots=False)),
    }


def rss_mb() -> float:
    """Resident memory of this process, which makes the spans too."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


async def fill(store: SpanStore, world: World, clock: list[int]) -> tuple[int, list[float]]:
    """How many spans were written, and the resident memory after each tenth of them."""
    written = 0
    memory: list[float] = []
    pending: list[asyncio.Task[None]] = []
    for batch in world.batches(TRACES_EACH):
        clock[0] = batch.now_ns
        pending.append(asyncio.create_task(store.write(batch.spans, batch.scores)))
        written += len(batch.spans)
        if len(pending) == 4:
            await asyncio.gather(*pending)
            pending.clear()
        if written * 10 // (world.traces * 5) > len(memory):
            memory.append(rss_mb())
        if written % 50_000 < TRACES_EACH * 5:
            print(f"\r{written} spans", end="", file=sys.stderr, flush=True)
    await asyncio.gather(*pending)
    print(file=sys.stderr)
    return written, memory


async def timed(store: SpanStore, ask: Question, times: int) -> dict[str, float]:
    wall: list[float] = []
    cpu = time.process_time()
    for number in range(times):
        began = time.perf_counter()
        await ask(store, number)
        wall.append((time.perf_counter() - began) * 1000)
        if sum(wall) > 10_000:
            break
    cpu = (time.process_time() - cpu) * 1000 / len(wall)
    return {
        "median_ms": round(statistics.median(wall), 2),
        "worst_ms": round(max(wall), 2),
        "cpu_ms": round(cpu, 2),
        "times": len(wall),
    }


async def beside(store: SpanStore, asked: dict[str, Question], more: World) -> dict[str, Any]:
    """One writer without a pause and five readers, each with its own question."""
    ends = time.monotonic() + BESIDE_S
    written = 0
    waits: dict[str, list[float]] = {}

    async def write() -> None:
        nonlocal written
        batches = more.batches(TRACES_EACH)
        while time.monotonic() < ends:
            batch: Batch = next(batches)
            await store.write(batch.spans, batch.scores)
            written += len(batch.spans)

    async def read(name: str) -> None:
        number = 0
        while time.monotonic() < ends:
            began = time.perf_counter()
            await asked[name](store, number)
            waits.setdefault(name, []).append((time.perf_counter() - began) * 1000)
            number += 1
            await asyncio.sleep(0.1)

    # A reader is a page that looks again ten times a second, not a loop without a pause.
    names = ("latest 50", "one trace", "rare prompt version", "rare score", "day by hour")
    await asyncio.gather(write(), *(read(name) for name in names))
    return {
        "spans_written_per_second": round(written / BESIDE_S),
        "reads": {
            name: {
                "times": len(ms),
                "median_ms": round(statistics.median(ms), 2),
                "p95_ms": round(sorted(ms)[int(len(ms) * 0.95)], 2),
            }
            for name, ms in waits.items()
        },
    }


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    end_ns = now_ns()
    world = World(traces=options.spans // 5, days=DAYS, end_ns=end_ns)
    clock = [world.start_ns]
    store = SpanStore.open(folder, clock=lambda: clock[0])
    cpu, wall = time.process_time(), time.perf_counter()
    written, memory = await fill(store, world, clock)
    fill_cpu, fill_wall = time.process_time() - cpu, time.perf_counter() - wall
    store.close()
    plain = await asyncio.to_thread(size_of, folder)
    store = SpanStore.open(folder, clock=lambda: clock[0])
    cpu = time.process_time()
    await store.index()
    index_cpu = time.process_time() - cpu
    store.close()
    size = await asyncio.to_thread(size_of, folder)
    store = SpanStore.open(folder, clock=lambda: clock[0])
    asked = questions(world, end_ns)
    answers = {}
    for name, ask in asked.items():
        await ask(store, 1)  # Once without a clock: what is measured is not the disk.
        answers[name] = await timed(store, ask, options.times)
        print(f"{name:<24}{answers[name]}", file=sys.stderr, flush=True)
    both = await beside(store, asked, World(traces=10**6, days=0.1, end_ns=end_ns + DAY_NS // 10, seed=8))
    store.close()
    return {
        "command": f"python bench/storage --spans {options.spans} --times {options.times}",
        "spans": written,
        "disk_bytes_per_span": round(size / written),
        "disk_bytes_per_span_before_the_last_words": round(plain / written),
        "rss_mb_by_tenth_with_making_them": memory,
        "words_cpu_s_after_filling": round(index_cpu, 1),
        "fill_spans_per_second_with_making_them": round(written / fill_wall),
        "fill_spans_per_cpu_second_with_making_them": round(written / fill_cpu),
        "questions": answers,
        "goals_ms_at_a_million": GOALS,
        "missed": [name for name, goal in GOALS.items() if answers[name]["median_ms"] > goal],
        "missed_in_cpu_time": [name for name, goal in GOALS.items() if answers[name]["cpu_ms"] > goal],
        "load_average": os.getloadavg(),
        "writer_and_five_readers": both,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=15, help="how often each question is asked")
    parser.add_argument("--folder", type=Path, help="where to put the store; a temporary folder by default")
    parser.add_argument("--keep", action="store_true", help="leave the store there")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="trimtab-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        result = asyncio.run(measure(folder, options))
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=2))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
