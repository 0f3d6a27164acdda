"""``kill -9`` at any moment loses nothing that was acknowledged, and the next start repairs nothing."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from trimtab.core import SpanQuery
from trimtab.store import Metadata, SpanStore
from trimtab.store.tables import settings

ROUNDS = 20
CHILD = Path(__file__).with_name("kill_me.py")


def write_until_killed(folder: Path, round_: int, rng: random.Random) -> list[str]:
    """What the child acknowledged before it was killed after a random number of lines."""
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), str(round_)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(rng.choice((1, 30, 300, 1500)))]
        child.kill()
        lines += child.stdout.readlines()
    return [line.rstrip("\n") for line in lines if line.endswith("\n")]


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    rng = random.Random(2026)
    traces: dict[str, str] = {}
    names: set[str] = set()
    for round_ in range(ROUNDS):
        acknowledged = [line.split(" ") for line in write_until_killed(tmp_path, round_, rng)]
        new_traces = {words[1]: words[2] for words in acknowledged if words[0] == "trace"}
        traces |= new_traces
        names |= {words[1] for words in acknowledged if words[0] == "setting"}
        assert acknowledged

        start = time.perf_counter()
        store = SpanStore.open(tmp_path / "spans")
        try:
            await store.query(SpanQuery(limit=1))
            assert time.perf_counter() - start < 2
            for trace_id, score_id in new_traces.items():
                trace = await store.trace(trace_id)
                assert trace is not None
                assert len(trace.spans) == 5
                assert [score.id for score in trace.scores] == [score_id]
        finally:
            store.close()
        metadata = Metadata.open(tmp_path / "metadata.db")
        try:
            found = await metadata.read(lambda c: set(c.scalars(sa.select(settings.c.name))))
        finally:
            metadata.close()
        assert names <= found

    await everything_is_sound(tmp_path, traces)


async def everything_is_sound(folder: Path, traces: dict[str, str]) -> None:
    """Over all rounds: each row once, the rollup counts them all, and SQLite finds no fault in any file."""
    store = SpanStore.open(folder / "spans")
    try:
        position, spans, judged = "", [], []
        while (batch := await store.tail(position)).spans or batch.scores:
            position = batch.position
            spans += [(span.trace_id, span.span_id, span.parent_id) for span in batch.spans]
            judged += [(score.trace_id, score.id) for score in batch.scores]
        assert len(set(spans)) == len(spans)
        assert traces.keys() <= {trace_id for trace_id, _, _ in spans}
        assert len(set(judged)) == len(judged)
        assert traces.items() <= set(judged)
        roots = sum(not parent for _, _, parent in spans)
        assert sum(bucket.n for bucket in await store.span_series(since_ns=0, until_ns=0, bucket_s=10)) == roots
        assert sum(bucket.n for bucket in await store.score_series(since_ns=0, until_ns=0, bucket_s=10)) == len(judged)
    finally:
        store.close()
    assert (folder / "spans" / "dictionary-1.zdict").exists()
    for path in [*(folder / "spans").glob("*.db"), folder / "metadata.db"]:
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
