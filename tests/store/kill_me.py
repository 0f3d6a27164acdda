"""Run as a process of its own by the crash test: writes without end and says what was acknowledged.

Each line is one acknowledgement, printed after the awaited write returned: ``trace ID SCORE`` for five spans and a
score, ``setting NAME`` for a row of metadata.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import sqlalchemy as sa
from moving_clock import DAY_NS, NOON, Clock

from trimtab.core import Score, Span, new_id, new_span_id, new_trace_id
from trimtab.store import Metadata, SpanStore
from trimtab.store.tables import settings

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "on", "its", "way", "home", "again")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def some_span(trace_id: str, n: int) -> Span:
    text = " ".join(WORDS[(n * k) % len(WORDS)] for k in range(1, 60))
    return Span(
        trace_id=trace_id,
        span_id=new_span_id(),
        parent_id="" if n == 0 else "root",
        name="n",
        kind="llm",
        start_ns=NOON + n,
        end_ns=NOON + n + 10,
        input=text + trace_id,
        output=text,
    )


async def write_traces(store: SpanStore, clock: Clock) -> None:
    while True:
        trace_id = new_trace_id()
        score_id = new_id("s")
        score = Score(id=score_id, trace_id=trace_id, name="q", value=1.0, by="x", time_ns=NOON)
        store.offer([some_span(new_trace_id(), 0)])
        await store.write([some_span(trace_id, n) for n in range(5)], [score])
        say(f"trace {trace_id} {score_id}")
        clock.now += DAY_NS // 100


async def write_settings(metadata: Metadata) -> None:
    while True:
        name = new_id("n")
        await metadata.write(lambda c, name=name: c.execute(sa.insert(settings).values(name=name, value=[name])))
        say(f"setting {name}")


async def main(folder: Path, days: int) -> None:
    clock = Clock(NOON + days * DAY_NS)
    metadata = Metadata.open(folder / "metadata.db")
    store = SpanStore.open(folder / "spans", clock=clock)
    await asyncio.gather(*(write_traces(store, clock) for _ in range(8)), write_settings(metadata))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
