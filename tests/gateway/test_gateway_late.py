"""Responses that are made in the background: their money is held until they end, and paid once whoever hears of it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from gateway_house import Answer, House, http_reply
from tenant_house import Clock, Tenant, key, tenant

from trimtab.core import Overloaded, Span
from trimtab.gateway import Ledger, Limits, UsageRow, records
from trimtab.gateway.budgets import period_of
from trimtab.gateway.checks import purse_name
from trimtab.gateway.late import LATE_S
from trimtab.gateway.usagerow import GONE_NS
from trimtab.store import Demand, Metadata, Shared, SharedState, open_shared
from trimtab.traces import BOOK, Price

MODEL = "vendor/gpt-4o-mini"
USED = {"input_tokens": 1000, "output_tokens": 500, "input_tokens_details": {"cached_tokens": 0}}
#: At 0.15 and 0.60 dollars a million tokens, in billionths of a dollar.
COST = 1000 * 150 + 500 * 600

TOOLS = [{"type": "function", "name": "send", "parameters": {"type": "object", "properties": {}}}]


class Made:
    """A vendor that makes one response in the background; ``status`` and ``usage`` are what it says of it now."""

    def __init__(self) -> None:
        self.status = "queued"
        self.usage: Mapping[str, Any] | None = None

    def __call__(self, headers: Mapping[str, str], body: Any) -> list[bytes]:
        if headers[":request"].startswith("DELETE"):
            return http_reply(200, {"id": "resp_v1", "object": "response", "deleted": True})
        part = {"type": "output_text", "text": "There.", "annotations": []}
        said = [{"type": "message", "role": "assistant", "content": [part]}] if self.status == "completed" else []
        return http_reply(
            200,
            {"id": "resp_v1", "object": "response", "status": self.status, "background": True, "usage": self.usage,
             "model": "gpt-4o-mini", "output": said},
        )  # fmt: skip


@pytest.fixture
async def office(house: House) -> Any:
    BOOK.configure({MODEL: Price(input=0.15, output=0.60)}, {})
    house.gateway.clock = clock = Clock()
    made = await tenant(house, clock)
    yield made
    await made.close()
    BOOK.configure({}, {})


async def asked(house: House, **body: Any) -> Answer:
    data = {"model": MODEL, "input": "A long question", "background": True, "max_output_tokens": 1000, **body}
    return await house.call("POST", "/v1/responses", json.dumps(data).encode())


async def budget(office: Tenant, usd: float) -> str:
    changed = await office.house.keys.change(office.house.key.id, limits={"budget_usd": usd, "period": "day"})
    return changed.id


async def stands(office: Tenant) -> tuple[float, float]:
    """Dollars spent and reserved of the key's budget."""
    found = (await office.reports.of_key(office.house.keys.get(office.house.key.id), 1))["budget"]
    return found["spent_usd"], found["reserved_usd"]


async def row_of(office: Tenant, trace: str) -> dict[str, Any]:
    await office.ledger.flush()
    rows = await office.house.metadata.read(
        lambda c: list(c.exec_driver_sql("SELECT * FROM usage WHERE id = ?", (trace,)).mappings())
    )
    return dict(rows[0])


async def test_money_is_held_until_the_end_and_paid_once(office: Tenant) -> None:
    house, made = office.house, Made()
    house.vendor.reply = made
    await budget(office, 1.0)
    queued = await asked(house)
    assert (queued.status, queued.json["status"]) == (200, "queued"), queued.json
    trace, path = queued.headers["x-trimtab-trace-id"], f"/v1/responses/{queued.json['id']}"
    spent, reserved = await stands(office)
    assert (spent, reserved > COST / 1e9) == (0, True)
    assert (await row_of(office, trace))["state"] == "reserved"
    made.status = "in_progress"
    assert (await house.call("GET", path)).json["status"] == "in_progress"
    assert await stands(office) == (0, reserved)
    made.status, made.usage = "completed", USED
    for paid in (True, False, False):
        got = await house.call("GET", path)
        assert got.json["id"] == queued.json["id"]
        assert ("x-trimtab-cost-usd" in got.headers) is paid
        assert await stands(office) == (COST / 1e9, 0)
    row = await row_of(office, trace)
    assert (row["state"], row["cost_nano"], row["output_tokens"]) == ("settled", COST, 500)
    assert await office.limits.audit() == {}
    roots = [span for span in await house.everything() if not span.parent_id]
    assert sorted(span.cost_usd or 0.0 for span in roots) == [0.0, COST / 1e9]
    assert not any(span.attributes["gateway"] for span in roots)


async def test_what_is_held_keeps_others_out(office: Tenant) -> None:
    house, made = office.house, Made()
    house.vendor.reply = made
    await budget(office, 0.001)
    queued = await asked(house)
    assert queued.status == 200
    made.status, made.usage = "completed", {**USED, "output_tokens": 4000}
    assert (await house.call("GET", f"/v1/responses/{queued.json['id']}")).status == 200
    assert (await stands(office))[0] > 0.001
    assert (await asked(house)).status == 402
    again = await house.call("GET", f"/v1/responses/{queued.json['id']}")  # what was paid for may still be read
    assert again.json["status"] == "completed"


@pytest.mark.parametrize(
    ("status", "act", "free"), [("failed", "GET", True), ("cancelled", "POST", False), ("queued", "DELETE", False)]
)
async def test_an_end_without_usage(office: Tenant, status: str, act: str, free: bool) -> None:
    house, made = office.house, Made()
    house.vendor.reply = made
    await budget(office, 1.0)
    queued = await asked(house)
    _, reserved = await stands(office)
    made.status = status
    path = f"/v1/responses/{queued.json['id']}" + ("/cancel" if act == "POST" else "")
    for _ in range(2):
        assert (await house.call(act, path)).status == 200
        assert await stands(office) == (0 if free else pytest.approx(reserved), 0)
    assert await office.limits.audit() == {}


async def test_nobody_asks_for_an_hour(office: Tenant) -> None:
    house, made = office.house, Made()
    house.vendor.reply = made
    await budget(office, 1.0)
    queued = await asked(house)
    _, reserved = await stands(office)
    await office.limits.late.expire()
    assert await stands(office) == (0, reserved)
    office.clock.now += GONE_NS + 1  # type: ignore[attr-defined]  # a Clock
    assert LATE_S * 1e9 > GONE_NS + 60e9  # the counters hold it until the next round has come
    await office.limits.late.expire()
    assert await stands(office) == (pytest.approx(reserved), 0)
    made.status, made.usage = "completed", USED
    got = await house.call("GET", f"/v1/responses/{queued.json['id']}")
    assert (got.json["status"], "x-trimtab-cost-usd" in got.headers) == ("completed", False)
    assert await stands(office) == (pytest.approx(reserved), 0)
    assert (await row_of(office, queued.headers["x-trimtab-trace-id"]))["state"] == "interrupted"


async def test_a_client_that_never_got_the_id_has_paid_for_it(office: Tenant) -> None:
    house = office.house
    await budget(office, 1.0)
    house.vendor.reply = lambda headers, body: []  # it says nothing, and works
    house.vendor.hold = True
    asking = asyncio.create_task(asked(house))
    while not house.vendor.asked:  # noqa: ASYNC110
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    _, reserved = await stands(office)
    assert reserved > 0
    office.clock.now += GONE_NS + 1  # type: ignore[attr-defined]  # a Clock
    await office.limits.late.expire()
    assert await stands(office) == (pytest.approx(reserved), 0)


async def test_without_a_budget_it_is_in_the_ledger_all_the_same(office: Tenant) -> None:
    house, made = office.house, Made()
    house.vendor.reply = made
    queued = await asked(house)
    trace = queued.headers["x-trimtab-trace-id"]
    assert (await row_of(office, trace))["state"] == "reserved"
    made.status, made.usage = "completed", USED
    await house.call("GET", f"/v1/responses/{queued.json['id']}")
    assert (await row_of(office, trace))["cost_nano"] == COST
    house.vendor.reply = lambda headers, body: http_reply(400, {"error": {"message": "no"}})
    refused = await asked(house)
    assert refused.status == 400
    row = await row_of(office, refused.headers["x-trimtab-trace-id"])
    assert (row["state"], row["cost_nano"]) == ("released", 0)


async def test_a_place_is_free_while_the_vendor_works(office: Tenant) -> None:
    house = office.house
    house.vendor.reply = Made()
    await house.keys.change(house.key.id, limits={"max_parallel": 1, "tpm": 100_000, "rpm": 100})
    for _ in range(3):
        assert (await asked(house)).status == 200


async def test_only_so_many_at_once(office: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.gateway.late.MOST", 1)
    office.house.vendor.reply = Made()
    assert (await asked(office.house)).status == 200
    refused = await asked(office.house)
    assert refused.status == 503
    assert "made in the background" in refused.error["message"]


async def test_a_ledger_that_does_not_answer_is_asked_again(office: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    house, made = office.house, Made()
    house.vendor.reply = made
    await budget(office, 1.0)
    queued = await asked(house)
    made.status, made.usage = "completed", USED

    async def away(row: UsageRow) -> UsageRow | None:
        raise Overloaded("away")

    with monkeypatch.context() as patch:
        patch.setattr(office.ledger, "end", away)
        got = await house.call("GET", f"/v1/responses/{queued.json['id']}")
        assert (got.status, "x-trimtab-cost-usd" in got.headers) == (200, False)
    assert (await stands(office))[0] == 0
    assert "x-trimtab-cost-usd" in (await house.call("GET", f"/v1/responses/{queued.json['id']}")).headers
    assert (await stands(office))[0] == COST / 1e9


async def test_a_request_that_goes_on_is_not_asked_again(house: House) -> None:
    house.vendor.reply = lambda headers, body: http_reply(
        200, {"id": "resp_v1", "object": "response", "status": "completed", "output": [], "usage": USED}
    )
    first = await house.call("POST", "/v1/responses", json.dumps({"model": MODEL, "input": "One"}).encode())
    body = {"model": MODEL, "input": "Two", "previous_response_id": first.json["id"]}
    second = await house.call("POST", "/v1/responses", json.dumps(body).encode())
    assert second.status == 200, second.json

    async def root(answer: Answer) -> Span:
        return (await house.trace(answer))[0][0]

    assert len(await house.gateway.replay(await root(first), {})) == 2
    assert await house.gateway.replay(await root(second), {}) == []


@pytest.mark.parametrize("seed", range(6))
async def test_counters_and_ledger_agree_whatever_happens(seed: int, tmp_path: Path) -> None:
    await agree(seed, tmp_path, Shared())


@pytest.mark.parametrize("seed", range(2))
async def test_so_they_do_on_a_server(seed: int, tmp_path: Path, valkey_url: str) -> None:
    shared = open_shared(valkey_url)
    await agree(seed, tmp_path, shared, f"{tmp_path.name}{seed}")
    await shared.close()


async def agree(seed: int, tmp_path: Path, shared: SharedState, name: str = "app") -> None:
    """Two processes on one ledger and one set of counters: ends that are heard of twice, in any process, after an hour
    and after a process was killed are each paid once."""
    draw, clock = random.Random(seed), Clock()
    metadata = Metadata.open(tmp_path / "metadata.db")
    ledgers = [Ledger(metadata, node=name, clock=clock) for name in ("one", "two")]
    nodes = [Limits(shared=shared, ledger=ledger, clock=clock) for ledger in ledgers]
    app = key(name)
    period = period_of("day", clock())
    demand = Demand(name=purse_name("key", app.id, period), kind="money", limit=1 << 60, ends_ns=period.end_ns)
    await shared.seed(demand.name, 0, period.end_ns)
    for n in range(20):
        at = draw.randrange(2)
        row = UsageRow(
            id=f"r{n}", time_ns=clock(), key=app.id, state="reserved", cost_nano=100 + n, node=["one", "two"][at]
        )
        await shared.acquire(row.id, [demand], now_ns=clock(), ttl_s=LATE_S)
        await ledgers[at].reserve(row)
        nodes[at].late.keep(row.id)
        for _ in range(draw.randrange(4)):
            who, at = f"r{draw.randrange(n + 1)}", draw.randrange(2)
            done = UsageRow(id=who, time_ns=clock(), key=app.id, cost_nano=draw.randrange(100))
            if draw.random() < 0.3:
                done = UsageRow(id=who, time_ns=clock(), state="interrupted")
            await nodes[at].late.end(done)
        if draw.random() < 0.1:  # killed, and started anew
            at = draw.randrange(2)
            nodes[at] = Limits(shared=shared, ledger=ledgers[at], clock=clock)
            for lost in await ledgers[at].recover():
                await nodes[at].charge(lost)
        clock.now += GONE_NS // 15
        for node in nodes:
            await node.late.expire()
    clock.now += GONE_NS
    for node in nodes:
        await node.late.expire()
    day = period.first_day
    by_rows = await metadata.read(lambda c: records.spent_by_rows(c, "key", app.id, 0, 1 << 62))
    assert await ledgers[0].spent("key", app.id, day, day) == by_rows
    purse = await shared.look(demand.name, now_ns=clock())
    assert (purse.spent, purse.reserved) == (by_rows, 0)
    for ledger in ledgers:
        await ledger.close()
    metadata.close()


@pytest.mark.parametrize("field", ["previous_response_id", "background"])
async def test_models_that_plan_know_nothing_of_earlier_turns(house: House, field: str) -> None:
    await house.publish("routes", "agent", {"targets": [{"model": MODEL}], "dual": {"reader": MODEL}})
    body = {"model": "agent", "input": "Two", field: "resp_1" if field != "background" else True}
    refused = await house.call("POST", "/v1/responses", json.dumps(body).encode())
    assert (refused.status, refused.error["param"]) == (400, field), refused.json
    assert not house.vendor.asked


async def test_calls_that_the_guard_judges_are_not_made_behind_its_back(house: House) -> None:
    """Rules for tools look at what was read before a call. What a provider keeps of it, they cannot see."""
    call = {"type": "function_call", "call_id": "c", "name": "send", "arguments": "{}"}
    kept = {"id": "resp_v1", "object": "response", "status": "completed", "output": [call], "usage": USED}
    house.vendor.reply = lambda headers, body: http_reply(200, kept)
    await house.publish("guards", "idle", {"stages": {}})
    await house.publish("routes", "agent", {"targets": [{"model": MODEL}], "guard": "guards:/idle@production"})

    async def post(**body: Any) -> Answer:
        return await house.call("POST", "/v1/responses", json.dumps({"model": "agent", "input": "Do", **body}).encode())

    first = await post(tools=TOOLS)
    path = f"/v1/responses/{first.json['id']}"
    assert (await house.call("GET", path)).json["output"] == [call]
    await house.publish("guards", "idle", {"stages": {"action": {"tools": {"send": {"effect": "write"}}}}})
    for field, value in (("previous_response_id", first.json["id"]), ("background", True)):
        refused = await post(tools=TOOLS, **{field: value})
        assert (refused.status, refused.error["param"]) == (400, field), refused.json
        assert (await post(**{field: value})).status == 200
    refused = await house.call("GET", path)
    assert (refused.status, refused.error["code"]) == (403, "guard_refused")
    assert (await house.call("GET", f"{path}/input_items")).status == 200
