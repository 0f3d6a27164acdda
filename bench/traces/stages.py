"""Where the CPU time of a span goes on its way in, in this process: decoding, translation, what joins it, the store.

Each stage is measured by itself with the same requests; ``all`` is the receiver with a store, four senders at a time.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from load import requests

from trimtab.core import Score, Span
from trimtab.store import SpanStore
from trimtab.traces.otlp import decode
from trimtab.traces.receiver import Receiver
from trimtab.traces.translation import translate

SENDERS = 4


class _Nowhere:
    """A store that keeps nothing."""

    async def write(self, spans: Sequence[Span] = (), scores: Sequence[Score] = ()) -> None:
        """Forget them."""


def stages(traces: int, seed: int) -> dict[str, float]:
    """CPU microseconds a span of each stage, of two runs the better. The dictionary is learnt before the clock runs."""
    now_ns = time.time_ns()
    bodies = [request.body for request in requests(seed, 0, traces, now_ns)]
    read = [decode(body, json=False) for body in bodies]
    count = sum(map(len, read))
    decoding = _least(lambda: [decode(body, json=False) for body in bodies])
    translating = _least(lambda: [translate(raw, now_ns) for raw in read])
    receiving = _least(lambda: asyncio.run(_send(Receiver(_Nowhere()), bodies)))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as folder:
        store = SpanStore.open(Path(folder))
        warm = [request.body for request in requests(seed + 1, 0, 500, now_ns)]
        asyncio.run(_send(Receiver(store), warm))
        started = time.process_time()
        asyncio.run(_send(Receiver(store), bodies))
        whole = time.process_time() - started
        store.close()
    found = {
        "decode": decoding,
        "translate": translating,
        "complete": receiving - decoding - translating,
        "store": whole - receiving,
        "all": whole,
    }
    return {name: round(seconds / count * 1e6, 1) for name, seconds in found.items()}


def _least(stage: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(2):
        started = time.process_time()
        stage()
        seconds.append(time.process_time() - started)
    return min(seconds)


async def _send(receiver: Receiver, bodies: Sequence[bytes]) -> None:
    waiting = iter(bodies)

    async def sender() -> None:
        for body in waiting:
            await receiver.spans(body, False)

    await asyncio.gather(*(sender() for _ in range(SENDERS)))
