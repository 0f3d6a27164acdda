"""The line between control process and workers: what is asked is answered, what is cut off is settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from trimtab.core import Conflict, Overloaded, Score, Span, Stamp, now_ns
from trimtab.gateway import Ledger, Limits, UsageRow
from trimtab.gateway.budgets import period_of
from trimtab.gateway.health import RouteHealth, TargetHealth
from trimtab.gateway.moving import Times
from trimtab.gateway.together import together
from trimtab.store import Demand, Metadata, Shared, SpanStore, tables
from trimtab.workers import Link, LinkShared, Report, Sender, Switchboard, figures_of, socket_path

TTL_S = 60.0


@dataclass
class Office:
    """A control process's part: stores, counters, the switchboard."""

    metadata: Metadata
    spans: SpanStore
    shared: Shared
    ledger: Ledger
    board: Switchboard
    path: Path

    async def call(self) -> Link:
        return await Link.connect(self.path)


@pytest.fixture
async def office(tmp_path: Path, short_folder: Path) -> AsyncIterator[Office]:
    metadata, spans = Metadata.open(tmp_path / "metadata.db"), SpanStore.open(tmp_path / "spans")
    shared, ledger = Shared(), Ledger(metadata)
    board = Switchboard(shared=shared, ledger=ledger, limits=Limits(shared=shared, ledger=ledger), spans=spans)
    path = short_folder / "control.sock"
    await board.start(path)
    yield Office(metadata, spans, shared, ledger, board, path)
    await board.close()
    await ledger.close()
    spans.close()
    metadata.close()
    assert not path.exists()


def money(amount: int) -> Demand:
    period = period_of("month", now_ns())
    return Demand(name=f"key:k:usd:{period.name}", kind="money", limit=1000, amount=amount, ends_ns=period.end_ns)


def places(limit: int) -> Demand:
    return Demand(name="key:k:max_parallel", kind="lease", limit=limit)


def row(name: str, **fields: Any) -> UsageRow:
    plain: dict[str, Any] = {"id": name, "time_ns": now_ns(), "key": "k", "cost_nano": 10}
    return UsageRow(**plain | fields)


async def test_two_workers_count_in_one_place(office: Office) -> None:
    one, two = await office.call(), await office.call()
    first, second = LinkShared(one), LinkShared(two)
    await first.seed(money(1).name, 100, money(1).ends_ns)
    taken = await first.acquire("a", [money(600), places(1)], now_ns=now_ns(), ttl_s=TTL_S)
    assert (taken.denied, taken.levels[0].used) == (-1, 100)
    refused = await second.acquire("b", [money(500), places(1)], now_ns=now_ns(), ttl_s=TTL_S)
    assert (refused.denied, refused.levels[0].reserved) == (0, 600)
    await first.settle("a", [money(600), places(1)], [250, 1], now_ns=now_ns())
    found = await second.look(money(1).name, now_ns=now_ns())
    assert (found.spent, found.reserved) == (350, 0)
    assert await second.recount(money(1).name, 7, version=found.version)
    assert not await second.recount(money(1).name, 8, version=found.version - 1)
    await one.close()
    await two.close()


async def test_spans_scores_and_usage_arrive_whole_and_in_batches(office: Office) -> None:
    link = await office.call()
    sender = Sender(link)
    span = Span(
        trace_id="a" * 32, span_id="b" * 16, name="x", kind="llm", start_ns=now_ns(), end_ns=now_ns(), layer=1,
        stamp=Stamp(model="m"), tags={"topic": "t"}, attributes={"ask": {"messages": [{"role": "user"}]}, "n": 0.5},
    )  # fmt: skip
    score = Score(id="s", trace_id="a" * 32, name="allowed", value=1.0, by="guard:default", time_ns=now_ns())
    assert sender.offer([span], [score])
    sender.note([row("one"), row("two", cost_nano=None)])
    assert await sender.spent("key", "k", 0, 1 << 30) == 10
    await sender.reserve(row("three", state="reserved", cost_nano=5))
    await sender.settle([row("three", cost_nano=4)])
    assert await sender.spent("key", "k", 0, 1 << 30) == 14
    await sender.close()
    found = await office.spans.trace("a" * 32)
    assert found is not None
    assert found.spans == (span,)
    assert found.scores == (score,)
    await link.close()


async def test_what_does_not_fit_is_dropped_and_counted(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.workers.link.WAITING", 2)
    link = await office.call()
    sender = Sender(link)
    span = Span(trace_id="a" * 32, span_id="b" * 16, name="x", kind="llm", start_ns=1, end_ns=2)
    assert [sender.offer([span]) for _ in range(3)] == [True, True, False]
    sender.note([row(str(n)) for n in range(3)])
    assert sender.dropped == 4
    await sender.close()
    await link.close()


async def test_a_worker_that_is_cut_off_is_settled_as_it_reserved(office: Office) -> None:
    link = await office.call()
    shared, sender = LinkShared(link), Sender(link)
    await shared.seed(money(1).name, 0, money(1).ends_ns)
    for name, cost in (("ended", 30), ("running", 70), ("unjournalled", 90)):
        assert (await shared.acquire(name, [money(cost), places(9)], now_ns=now_ns(), ttl_s=TTL_S)).denied < 0
    for name, cost in (("ended", 30), ("running", 70)):
        await sender.reserve(row(name, state="reserved", cost_nano=cost))
    await sender.settle([row("ended", cost_nano=20)])
    await shared.settle("ended", [money(30), places(9)], [20, 1], now_ns=now_ns())
    await link.close()
    await sender.close()
    async with asyncio.timeout(10):
        while (await office.shared.look(money(1).name, now_ns=now_ns())).reserved:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await office.shared.look(money(1).name, now_ns=now_ns())).spent == 20 + 70
    full = await office.shared.acquire("next", [places(1)], now_ns=now_ns(), ttl_s=TTL_S)
    assert full.denied < 0  # every place is free again
    states = await office.metadata.read(
        lambda c: {found.id: found.state for found in c.execute(select(tables.usage.c.id, tables.usage.c.state))}
    )
    assert states == {"ended": "settled", "running": "interrupted"}
    assert link.lost.is_set()
    with pytest.raises(Overloaded):
        await shared.look("x", now_ns=now_ns())


async def test_what_is_made_in_the_background_is_held_and_ended_once(office: Office) -> None:
    one, two = await office.call(), await office.call()
    shared, sender, others = LinkShared(one), Sender(one), Sender(two)
    await shared.seed(money(1).name, 0, money(1).ends_ns)
    made: dict[str, UsageRow] = {}
    for name, cost in (("ended", 30), ("open", 70)):
        assert (await shared.acquire(name, [money(cost), places(9)], now_ns=now_ns(), ttl_s=TTL_S)).denied < 0
        made[name] = row(name, state="reserved", cost_nano=cost)
        await sender.reserve(made[name])
        await shared.settle(name, [places(9)], [1], now_ns=now_ns())  # the place is free, the money is not
    found = await shared.look(money(1).name, now_ns=now_ns())
    assert (found.spent, found.reserved) == (0, 100)
    ended = row("ended", cost_nano=20)
    told = await others.end(ended)  # by another worker than made it
    assert told == msgspec.structs.replace(ended, time_ns=made["ended"].time_ns)
    assert await sender.end(ended) is None
    await LinkShared(two).settle("ended", [money(30)], [20], now_ns=now_ns())
    await one.close()
    await sender.close()
    async with asyncio.timeout(10):
        while (await office.shared.look(money(1).name, now_ns=now_ns())).reserved:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await office.shared.look(money(1).name, now_ns=now_ns())).spent == 20 + 70
    assert await others.end(row("open", state="interrupted")) is None
    assert await others.spent("key", "k", 0, 1 << 30) == 20 + 70
    await others.close()
    await two.close()


async def test_a_change_is_told_and_waited_for(office: Office) -> None:
    link = await office.call()
    read = 0
    go = asyncio.Event()

    async def slow() -> None:
        nonlocal read
        await go.wait()
        read += 1

    async def broken() -> None:
        raise OSError("no database")

    link.on_change += [broken, slow]  # one that cannot read goes on with what it has
    link.say(Report(pid=7, ready=True, figures={"refused": 2.0}, notes=("well",)))
    async with asyncio.timeout(10):
        await office.board.ready(1)
    telling = asyncio.create_task(office.board.tell())
    await asyncio.sleep(0.02)
    assert not telling.done()
    go.set()
    await telling
    assert read == 1
    (report,) = office.board.reports()
    assert (report.pid, report.notes, figures_of([report, report])) == (7, ("well",), {"refused": 4.0})
    await link.close()
    async with asyncio.timeout(5):
        await office.board.tell()  # nobody is there to wait for


async def test_nonsense_on_the_line_ends_it_and_nothing_else(office: Office) -> None:
    reader, writer = await asyncio.open_unix_connection(office.path)
    writer.write(b"\x00\x00\x00\x03abc")
    assert b"Hello" in await reader.read()  # and then the end
    writer.close()
    reader, writer = await asyncio.open_unix_connection(office.path)
    writer.write(b"\xff\xff\xff\xff")
    assert b"Hello" in await reader.read()  # and then the end
    writer.close()
    link = await office.call()
    assert (await LinkShared(link).look("x", now_ns=now_ns())).spent is None
    await link.close()


async def test_nobody_at_the_other_end_is_a_conflict_with_its_mend(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="no control process") as caught:
        await Link.connect(tmp_path / "none.sock")
    assert "--role control" in caught.value.mend


def test_a_path_that_is_too_long_for_a_socket_has_a_short_one(tmp_path: Path) -> None:
    assert socket_path(Path("/var/lib/trimtab"), "control.sock") == Path("/var/lib/trimtab/control.sock")
    deep = tmp_path / ("d" * 90)
    found = socket_path(deep, "control.sock")
    assert found == socket_path(deep, "control.sock") != socket_path(deep / "e", "control.sock")
    assert len(str(found)) < 100
    assert found.parent.stat().st_mode & 0o777 == 0o700


async def test_what_a_worker_counted_is_not_taken_back_when_it_is_gone(office: Office) -> None:
    target = TargetHealth(
        ref="a/b", state="open", opened_by="server", seconds_left=9.0, in_flight=3, ttft=2.0, share=1.0, asked=7,
        answered=6, cut=0, hedges=0, failures={"server": 1}, input_tokens=70, cached_tokens=0, cost_usd=0.5,
    )  # fmt: skip
    route = RouteHealth(
        name="r", pin="r/1", strategy="weighted", requests=7, targets=(target,), hit_rate=None, saved_tokens=0,
        cached_rate=None, retries_left=2.0, first_tokens=Times((1,) * 12, 3.5),
    )  # fmt: skip
    direct = replace(route, name="a/b", pin="")
    link = await office.call()
    figures = {"refused": 2.0, "queue_waiting": 5.0}
    link.say(Report(pid=7, ready=True, figures=figures, routes=(route, direct)))
    async with asyncio.timeout(10):
        await office.board.ready(1)
        await link.close()
        while office.board.reports():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    past = office.board.past
    assert figures_of([past]) == {"refused": 2.0}
    assert together([], past=past.routes) == [], "nobody serves it now"
    fresh = replace(target, state="closed", opened_by="", seconds_left=0.0, in_flight=1, ttft=0.1, cost_usd=0.25)
    alive = replace(route, pin="r/2", requests=1, targets=(fresh,), retries_left=1.0)
    (seen,) = together([[alive]], past=past.routes)
    assert (seen.pin, seen.requests, seen.retries_left) == ("r/2", 8, 1.0)
    assert (seen.first_tokens.counts, seen.first_tokens.seconds) == ((2,) * 12, 7.0)
    (merged,) = seen.targets
    assert (merged.asked, merged.cost_usd, merged.failures) == (14, 0.75, {"server": 2})
    assert (merged.state, merged.in_flight, merged.ttft) == ("closed", 1, 0.1)
    elsewhere = replace(alive, targets=(replace(fresh, ref="c/d"),))
    assert [one.ref for one in together([[elsewhere]], past=past.routes)[0].targets] == ["c/d"]
