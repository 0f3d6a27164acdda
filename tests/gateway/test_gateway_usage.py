"""The usage ledger: rows and sums are one, nothing is written twice, nothing that was answered for is lost."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_house import House
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tenant_house import START, Clock, Tenant, answered, ask, entered, key, request, route, tenant

from trimtab.core import BadInput, LimitReached, NotFound, Overloaded, Usage
from trimtab.gateway import Ledger, UsageRow, records, routes
from trimtab.gateway.budgets import DAY_NS
from trimtab.gateway.refusals import Refusal
from trimtab.gateway.usagerow import KEEP_NS, KEEP_REFUSALS_NS
from trimtab.store import Metadata, tables

USED = Usage(input_tokens=1000, output_tokens=500)
TODAY = START // DAY_NS


@pytest.fixture
async def tenancy(house: House) -> AsyncIterator[Tenant]:
    made = await tenant(house, Clock())
    yield made
    await made.close()


def row(n: int = 1, **fields: Any) -> UsageRow:
    plain: dict[str, Any] = {"id": f"r{n}", "time_ns": START, "key": "k", "route": "r", "model": "m", "cost_nano": 10}
    return UsageRow(**plain | fields)


ROWS = st.lists(
    st.builds(
        UsageRow,
        id=st.sampled_from([f"r{n}" for n in range(12)]),
        time_ns=st.sampled_from([START - DAY_NS, START, START + 1]),
        key=st.sampled_from(["a", "b", ""]),
        team=st.just("t"),
        route=st.sampled_from(["r", "s"]),
        model=st.just("m"),
        state=st.sampled_from(["reserved", "settled", "released"]),
        requests=st.integers(0, 1),
        input_tokens=st.integers(0, 9),
        cost_nano=st.one_of(st.none(), st.integers(0, 1000)),
    ),
    max_size=30,
)


@given(batches=st.lists(ROWS, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sums_by_day_are_the_sums_of_the_rows(tmp_path: Path, batches: list[list[UsageRow]]) -> None:
    check_sums(Metadata.open(tmp_path / f"{next(_numbers)}.db"), batches)


_numbers = itertools.count()


def test_the_sums_are_right_on_postgresql_too(postgres_url: str) -> None:
    rows = [row(n, state=s, key=k) for n, (s, k) in enumerate([("reserved", "a"), ("settled", "a"), ("settled", "b")])]
    again = [replace(rows[0], state="settled", cost_nano=7), replace(rows[1], cost_nano=999)]
    check_sums(Metadata.open(postgres_url), [rows, again, rows, [row(9, state="reserved", node="n")]])


async def both(metadata: Metadata, scope: str, who: str) -> set[int]:
    """What was spent, by the sums and by the rows."""
    since, until = (TODAY - 1) * DAY_NS, (TODAY + 1) * DAY_NS
    return {
        await metadata.read(lambda c: records.spent(c, scope, who, (TODAY - 1, TODAY))),
        await metadata.read(lambda c: records.spent_by_rows(c, scope, who, since, until)),
    }


def check_sums(metadata: Metadata, batches: list[list[UsageRow]]) -> None:
    async def play() -> None:
        ends: dict[str, UsageRow] = {}
        for batch in batches:
            for one in batch:
                if one.id not in ends or ends[one.id].state == "reserved":
                    ends[one.id] = one if one.id not in ends or one.state != "reserved" else ends[one.id]
            await metadata.write(lambda c, batch=batch: records.write_usage(c, batch))
        await metadata.write(lambda c: records.write_usage(c, [x for batch in batches for x in batch]))
        for scope in ("key", "team", "route"):
            for who in {getattr(one, scope) for one in ends.values()}:
                mine = [x for x in ends.values() if getattr(x, scope) == who and x.state != "reserved"]
                assert await both(metadata, scope, who) == {sum(x.cost_nano or 0 for x in mine)}
        table = await metadata.read(lambda c: records.usage_by(c, ["key"], {}, (TODAY - 1, TODAY), 100))
        ended = [x for x in ends.values() if x.state != "reserved"]
        assert sum(line["requests"] for line in table) == sum(x.requests for x in ended)
        assert sum(line["unpriced"] for line in table) == sum(x.cost_nano is None for x in ended)
        left = await metadata.write(lambda c: records.interrupt(c, node="n"))
        assert {x.id for x in left} == {x.id for x in ends.values() if x.state == "reserved" and x.node == "n"}

    try:
        asyncio.run(play())
    finally:
        metadata.close()


async def test_requests_that_wait_at_one_time_share_a_commit(house: House) -> None:
    ledger = Ledger(house.metadata, clock=Clock())
    commits = 0
    real = house.metadata.write

    async def counting(work: Callable[[Any], Any]) -> Any:
        nonlocal commits
        commits += 1
        return await real(work)

    house.metadata.write = counting  # type: ignore[method-assign]
    await asyncio.gather(*(ledger.reserve(row(n, state="reserved")) for n in range(500)))
    assert commits < 20
    found = await house.metadata.read(lambda c: c.execute(select(tables.usage.c.id)).all())
    assert len(found) == 500
    await ledger.close()


async def test_a_flush_waits_for_a_commit_that_is_under_way(house: House) -> None:
    ledger = Ledger(house.metadata, clock=Clock())
    began, go_on = threading.Event(), threading.Event()

    def slow(connection: object) -> None:
        began.set()
        assert go_on.wait(10)

    first = asyncio.create_task(house.metadata.write(slow))
    await asyncio.to_thread(began.wait, 10)
    ledger.note([row(1)])
    async with asyncio.timeout(10):
        while not ledger._committing:  # noqa: ASYNC110 - the row has left the queue and is not on disk
            await asyncio.sleep(0.01)
    asking = asyncio.create_task(ledger.spent("key", "k", TODAY, TODAY))
    await asyncio.sleep(0)
    assert not asking.done()
    go_on.set()
    assert await asking == 10
    await first
    await ledger.close()


async def test_rows_that_nobody_waits_for_are_on_disk_soon_and_after_a_close(house: House) -> None:
    ledger = Ledger(house.metadata, clock=Clock())
    ledger.note([row(1)])
    async with asyncio.timeout(10):
        while not await house.metadata.read(lambda c: c.execute(select(tables.usage.c.id)).all()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    ledger.note([row(2)])
    await ledger.close()
    assert len(await house.metadata.read(lambda c: c.execute(select(tables.usage.c.id)).all())) == 2


async def test_while_the_database_fails_requests_go_on_and_rows_wait(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.gateway.usage.JOURNAL_S", 0.05)
    monkeypatch.setattr("trimtab.gateway.usage.AGAIN_S", 0.01)
    ledger = Ledger(house.metadata, clock=Clock())
    real = house.metadata.write

    async def failing(work: Callable[[Any], Any]) -> Any:
        raise OSError("no disk")

    house.metadata.write = failing  # type: ignore[method-assign]
    await ledger.reserve(row(1, state="reserved"))
    assert ledger.unjournalled == 1
    await ledger.settle([row(1)])
    with pytest.raises(Overloaded):
        await ledger.spent("key", "k", TODAY, TODAY)
    house.metadata.write = real  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        while ledger.failing:  # noqa: ASYNC110 - it tries again by itself
            await asyncio.sleep(0.01)
    assert await ledger.spent("key", "k", TODAY, TODAY) == 10
    await ledger.close()


async def test_what_does_not_fit_is_counted_and_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.gateway.usage.WAITING", 3)
    monkeypatch.setattr("trimtab.gateway.usage.REFUSALS_WAITING", 2)
    ledger = Ledger(house.metadata, clock=Clock())
    for n in range(5):
        ledger.note([row(n)])
        ledger.refuse(refusal(n))
    assert ledger.lost == 2 + 3
    await ledger.close()


def refusal(n: int, **fields: Any) -> Refusal:
    plain: dict[str, Any] = {
        "id": f"t{n}", "time_ns": START, "key": "k", "team": "", "route": "r", "code": "limit_reached", "status": 429,
        "message": "no",
    }  # fmt: skip
    return Refusal(**plain | fields)


async def test_old_rows_and_refusals_are_swept_and_sums_stay(house: House) -> None:
    now = START + KEEP_NS + DAY_NS
    old, new = row(1), row(2, time_ns=now)
    open_ = row(3, state="reserved")
    await house.metadata.write(
        lambda c: records.write_usage(
            c, [old, new, open_], [refusal(1), refusal(2, time_ns=now - KEEP_REFUSALS_NS + 1)]
        )
    )
    await house.metadata.write(lambda c: records.sweep(c, now))
    ids = await house.metadata.read(lambda c: [x.id for x in c.execute(select(tables.usage.c.id))])
    assert sorted(ids) == ["r2", "r3"]
    kept = await house.metadata.read(lambda c: records.read_refusals(c, {}, 1 << 62, 10))
    assert [x["id"] for x in kept] == ["t2"]
    assert await house.metadata.read(lambda c: records.spent(c, "key", "k", (TODAY, TODAY + 100))) == 20


async def test_a_request_that_paid_for_two_attempts_has_two_rows_and_counts_once(tenancy: Tenant) -> None:
    live = request(key("app", team="web"), tenancy.clock)
    async with entered(tenancy.limits, route(), live):
        answered(live, Usage(input_tokens=100, output_tokens=1), ref="scripted/reserve")
        answered(live, None, ref="scripted/broken")
        live.attempts[-1].error = LimitReached("no")
        answered(live, USED)
    rows = await tenancy.reports.usage(["model"], {"team": "web"}, 1)
    assert sorted((r["model"], r["requests"], r["input_tokens"]) for r in rows) == [
        ("scripted/reserve", 0, 100),
        ("scripted/steady", 1, 1000),
    ]


async def test_usage_over_http(tenancy: Tenant) -> None:
    house = tenancy.house
    made, _ = await house.keys.create("bot", team="web", limits={"rpm": 1, "budget_usd": 5})
    await ask(tenancy.limits, request(made, tenancy.clock), USED)
    live = request(made, tenancy.clock)
    with pytest.raises(LimitReached) as caught:
        await ask(tenancy.limits, live, USED)
    tenancy.limits.turned_away(live, caught.value)
    await tenancy.ledger.flush()
    app = Starlette(routes=routes(house.keys, tenancy.teams, tenancy.reports))
    # The test client runs the application in a loop of its own; by then everything is written.
    with TestClient(app) as client:
        usage = client.get(f"/api/keys/{made.id}/usage").json()
        assert usage["totals"]["requests"] == 1
        assert usage["budget"]["spent_usd"] == pytest.approx(0.00045)
        assert (usage["refused"], usage["by_model"][0]["model"]) == (1, "scripted/steady")
        team = client.put("/api/teams/web", json={"budget_usd": 9, "period": "day"}).json()
        assert team == {"name": "web", "limits": {"budget_usd": 9, "period": "day"}}
        assert client.get("/api/teams").json()["teams"] == [team]
        with pytest.raises(BadInput, match="does not fit"):  # a body that got lost must not take the limits away
            client.put("/api/teams/web")
        assert client.get("/api/teams").json()["teams"] == [team]
        assert client.get("/api/teams/web/usage").json()["totals"]["requests"] == 1
        by = client.get("/api/usage?by=team,model&days=1").json()["usage"]
        assert [(x["team"], x["model"], x["requests"]) for x in by] == [("web", "scripted/steady", 1)]
        why = client.get(f"/api/refusals/{live.trace_id}").json()
        assert why["checks"][-1] == {
            "check": "rpm", "scope": "key", "who": made.id, "used": 1.0, "limit": 1.0, "reserved": None,
            "verdict": "refused", "said": "",
        }  # fmt: skip
        assert len(client.get(f"/api/refusals?key={made.id}").json()["refusals"]) == 1
        assert client.delete("/api/teams/web").status_code == 204
        for path in ("/api/refusals/none", "/api/keys/none/usage"):
            with pytest.raises(NotFound):
                client.get(path)
        for path in ("/api/usage?by=smiles", "/api/usage?days=0", "/api/usage?by=", "/api/refusals?limit=x"):
            with pytest.raises(BadInput) as wrong:
                client.get(path)
            assert wrong.value.field


async def test_once_the_database_let_one_wait_in_vain_nobody_waits_until_it_answers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.gateway.usage.JOURNAL_S", 0.05)
    monkeypatch.setattr("trimtab.gateway.usage.ANSWER_S", 0.05)
    ledger = Ledger(house.metadata, clock=Clock())
    real, thaw = house.metadata.write, asyncio.Event()

    async def frozen(work: Callable[[Any], Any]) -> Any:
        await thaw.wait()
        return await real(work)

    house.metadata.write = frozen  # type: ignore[method-assign]
    await ledger.reserve(row(1, state="reserved"))
    assert (ledger.unjournalled, ledger.failing) == (1, "TimeoutError")
    monkeypatch.setattr("trimtab.gateway.usage.JOURNAL_S", 3600.0)
    monkeypatch.setattr("trimtab.gateway.usage.ANSWER_S", 3600.0)
    async with asyncio.timeout(60):
        await ledger.reserve(row(2, state="reserved"))
        await ledger.settle([row(2)])
        with pytest.raises(Overloaded, match="does not answer"):
            await ledger.spent("key", "k", TODAY, TODAY)
        thaw.set()
        while ledger.failing:  # noqa: ASYNC110 - what hung is done now
            await asyncio.sleep(0.01)
        await ledger.reserve(row(3, state="reserved"))
    assert ledger.unjournalled == 2, "and now its reservations are on disk again"
    await ledger.close()


async def away(*_: Any) -> int:
    raise Overloaded("The metadata database does not answer.")


async def test_a_budget_that_nobody_counted_yet_stops_nobody_while_the_ledger_is_away(
    tenancy: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = key("fresh", budget_usd=1.0)
    await tenancy.ledger.settle([row(1, key=asking.id, cost_nano=400_000_000)])
    real = tenancy.ledger.spent

    monkeypatch.setattr(tenancy.ledger, "spent", away)
    await ask(tenancy.limits, request(asking, tenancy.clock), USED)
    monkeypatch.setattr(tenancy.ledger, "spent", real)
    assert list((await tenancy.limits.audit()).values()) == [-400_000_000]
    assert await tenancy.limits.audit() == {}


async def test_a_ledger_that_nobody_writes_to_hears_that_the_database_answers_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.gateway.usage.ANSWER_S", 0.05)
    ledger = Ledger(house.metadata, clock=Clock())
    real = house.metadata.read

    async def frozen(work: Callable[[Any], Any]) -> Any:
        await asyncio.Event().wait()

    house.metadata.read = frozen  # type: ignore[method-assign]
    with pytest.raises(Overloaded):
        await ledger.spent("key", "k", TODAY, TODAY)
    assert ledger.failing
    house.metadata.read = real  # type: ignore[method-assign]
    async with asyncio.timeout(60):
        while ledger.failing:  # noqa: ASYNC110 - without any request
            await asyncio.sleep(0.01)
    await ledger.close()


async def test_a_budget_that_is_never_idle_is_told_what_was_spent_once_the_ledger_is_back(
    tenancy: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = key("busy", budget_usd=1.0)
    await tenancy.ledger.settle([row(1, key=asking.id, cost_nano=400_000_000)])
    real = tenancy.ledger.spent

    monkeypatch.setattr(tenancy.ledger, "spent", away)
    live = request(asking, tenancy.clock)
    async with entered(tenancy.limits, route(), live):
        (name,) = tenancy.limits._purses._purses
        held = (await tenancy.limits.shared.look(name, now_ns=tenancy.clock())).reserved
        assert held > 0
        with pytest.raises(Overloaded):
            await tenancy.limits.audit()
        monkeypatch.setattr(tenancy.ledger, "spent", real)
        assert await tenancy.limits.audit() == {name: held - 400_000_000}
        assert await tenancy.limits.audit() == {}, "once"
        counted = await tenancy.limits.shared.look(name, now_ns=tenancy.clock())
        assert (counted.spent, counted.reserved) == (400_000_000 - held, held)
        answered(live, USED)
    assert await tenancy.limits.audit() == {name: -held}, "the rest, now that nothing is held"
