"""The loop under load: bets may wait for the rows that follow at once, and are made when none do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from trimtab.core import Score, Span
from trimtab.incidents.loop import BUSY, Loop
from trimtab.store import Batch
from trimtab.watch import Alarm, Vendors, Watch, default_monitors


class Quiet:
    """Stands in for a store, for settings and for the scoring: nothing there, nothing to score."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = list(batches)

    async def tail(self, position: str, limit: int) -> Batch:
        return self.batches.pop(0) if self.batches else Batch(spans=(), scores=(), position=position)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - as the store's
        await asyncio.sleep(0)

    async def flush(self) -> None:
        return None

    async def score(self, spans: Sequence[Span]) -> list[Score]:
        return []

    async def get(self, key: str) -> Any:
        return None

    async def put(self, key: str, value: Any) -> None:
        return None


class Desk:
    """Writes down which alarms came."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []

    async def handle(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)

    async def review(self) -> None:
        return None


def batch(first: int, n: int, value: float, rows: int = BUSY) -> Batch:
    """So many values of the signal among so many rows."""
    scores = [
        Score(
            id=str(i), trace_id=str(i), name="cites" if i < first + n else "else", value=value, by="check:cites",
            time_ns=i * 380_000,
        )
        for i in range(first, first + rows)
    ]  # fmt: skip
    return Batch(spans=(), scores=tuple(scores), position=str(first + rows))


def looped(*batches: Batch) -> tuple[Loop, Watch, Desk]:
    watch = Watch([m for m in default_monitors(lambda _: "mara") if m.signal == "cites"])
    quiet, desk = Quiet(batches), Desk()
    loop = Loop(
        store=cast("Any", quiet), settings=cast("Any", quiet), online=cast("Any", quiet), watch=watch,
        vendors=Vendors(), registry=cast("Any", None), desk=cast("Any", desk),
    )  # fmt: skip
    return loop, watch, desk


async def test_a_busy_step_lets_bets_wait_and_the_next_one_makes_them() -> None:
    loop, watch, _ = looped()
    await loop.turn(batch(0, 100, 1.0))
    await loop.turn(batch(BUSY, 30, 0.0))
    assert [alarm.slice for alarm in watch.due()] == ["", ""], "they waited"
    loop, watch, _ = looped()
    await loop.turn(batch(0, 100, 1.0))
    await loop.turn(batch(BUSY, 30, 0.0))
    await loop.turn(batch(2 * BUSY, 0, 1.0, rows=1))
    assert watch.due() == []
    assert watch.standing("cites").fired


async def test_when_nothing_follows_what_waits_is_bet_on_and_told() -> None:
    loop, _, desk = looped(batch(0, 100, 1.0), batch(BUSY, 30, 0.0))
    await loop.start()
    try:
        await loop.settle()
    finally:
        await loop.stop()
    assert [alarm.slice for alarm in desk.alarms] == ["", ""]
