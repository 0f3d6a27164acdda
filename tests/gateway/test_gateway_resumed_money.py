"""What a streamed response in the background costs: paid once, by whoever sees its end, over restarts as well."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from gateway_house import Answer, http_reply
from resuming_house import Told, ident_of, read, resume, roots, show, start, text_of, told
from tenant_house import Tenant, tenant
from test_gateway_late import COST, MODEL, budget, office, row_of, stands

from trimtab.core import Overloaded
from trimtab.gateway import Key, Ledger, UsageRow, records
from trimtab.gateway.handles import Handle
from trimtab.gateway.usagerow import GONE_NS
from trimtab.store import Metadata

__all__ = ["office"]


async def test_a_stream_to_its_end_is_paid_like_any_other(office: Tenant) -> None:
    house = office.house
    told(house)
    await budget(office, 1.0)
    answer = await start(house)
    events = read(answer)
    assert events[-1]["response"]["trimtab"] == {"cost_usd": COST / 1e9}
    assert await stands(office) == (COST / 1e9, 0)
    row = await row_of(office, answer.headers["x-trimtab-trace-id"])
    assert (row["state"], row["cost_nano"], row["output_tokens"]) == ("settled", COST, 500)
    got = await house.call("GET", f"/v1/responses/{ident_of(events)}")
    assert (got.json["status"], "x-trimtab-cost-usd" in got.headers) == ("completed", False)
    assert "trimtab" not in read(await resume(house, ident_of(events), 5))[-1]["response"]
    assert await stands(office) == (COST / 1e9, 0)
    assert await office.limits.audit() == {}
    spans = {span.trace_id: span for span in await roots(house)}
    asked, resumed = spans.pop(answer.headers["x-trimtab-trace-id"]), list(spans.values())
    assert (asked.cost_usd, asked.output, asked.attributes["gateway"]) == (COST / 1e9, "Once upon a time.", True)
    assert [(span.cost_usd, span.attributes["gateway"]) for span in resumed] == [(None, False)]
    assert resumed[0].attributes["background_of"] == asked.trace_id
    scores = [list(found.scores) for span in (asked, *resumed) if (found := await house.spans.trace(span.trace_id))]
    assert [len(each) for each in scores] == [1, 0]  # the guard's, of what it has read for the first time


@pytest.mark.parametrize("by", ["stream", "poll", "cancel"])
async def test_who_hangs_up_pays_when_the_end_is_seen(office: Tenant, by: str) -> None:
    house = office.house
    made = told(house, shown=6)
    await budget(office, 1.0)
    answer = await start(house, hang_up=2)
    events = read(answer)
    ident, trace = ident_of(events), answer.headers["x-trimtab-trace-id"]
    spent, reserved = await stands(office)
    assert (spent, reserved > COST / 1e9) == (0, True)
    left = read(await resume(house, ident, 1, hang_up=1))
    assert left[0]["sequence_number"] == 2
    assert await stands(office) == (0, reserved)
    assert (await row_of(office, trace))["state"] == "reserved"
    if by == "cancel":
        assert (await house.call("POST", f"/v1/responses/{ident}/cancel")).json["status"] == "cancelled"
        assert made.cancelled
        assert await stands(office) == (pytest.approx(reserved), 0)  # nobody said what it used
    show(house, made, len(made.events))
    for _ in range(2):
        if by == "poll":
            assert (await house.call("GET", f"/v1/responses/{ident}")).json["status"] == "completed"
        else:
            assert text_of(read(await resume(house, ident, 0))) == made.whole
        assert await stands(office) == (COST / 1e9, 0)
    assert (await row_of(office, trace))["state"] == "settled"
    assert await office.limits.audit() == {}
    spans = {span.trace_id: span for span in await roots(house)}
    assert (spans[trace].cost_usd, spans[trace].attributes["gateway"]) == (None, False)
    assert {span.status for span in spans.values()} == {"ok"}
    assert sum(span.cost_usd or 0 for span in spans.values()) == COST / 1e9
    assert {span.attributes.get("background_of") for name, span in spans.items() if name != trace} == {trace}


async def test_two_streams_that_see_the_end_at_once_pay_once(office: Tenant) -> None:
    house = office.house
    made = told(house, shown=6)
    await budget(office, 1.0)
    ident = ident_of(read(await start(house, hang_up=1)))
    show(house, made, len(made.events))
    for answer in await asyncio.gather(*(resume(house, ident, after) for after in (None, 2, 5))):
        assert read(answer)[-1]["type"] == "response.completed"
    assert await stands(office) == (COST / 1e9, 0)
    assert await office.limits.audit() == {}
    assert [span.cost_usd for span in await roots(house) if span.cost_usd] == [COST / 1e9]


async def test_the_first_stream_does_not_pay_what_another_has_paid(
    office: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that broke unnoticed is still read when its client has come back and seen the end."""
    house = office.house
    told(house)
    await budget(office, 1.0)
    end, write, idents = office.ledger.end, house.gateway.handles.write, list[str]()
    resumed: list[Answer] = []

    def written(key: Key, handle: Handle) -> str:
        idents.append(write(key, handle))
        return idents[-1]

    async def overtaken(row: UsageRow) -> UsageRow | None:
        monkeypatch.undo()
        resumed.append(await resume(house, idents[-1], 2))
        return await end(row)

    monkeypatch.setattr(house.gateway.handles, "write", written)
    monkeypatch.setattr(office.ledger, "end", overtaken)
    answer = await start(house)
    for each, cost in ((resumed[0], COST / 1e9), (answer, 0.0)):
        assert read(each)[-1]["response"]["trimtab"] == {"cost_usd": cost}
    spans = {span.trace_id: span.cost_usd for span in await roots(house)}
    assert spans.pop(answer.headers["x-trimtab-trace-id"]) == 0
    assert list(spans.values()) == [COST / 1e9]
    assert await stands(office) == (COST / 1e9, 0)
    assert await office.limits.audit() == {}


async def test_a_ledger_that_does_not_answer_leaves_it_to_who_comes_next(
    office: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = office.house
    made = told(house)
    await budget(office, 1.0)

    async def away(row: UsageRow) -> UsageRow | None:
        raise Overloaded("away")

    with monkeypatch.context() as patch:
        patch.setattr(office.ledger, "end", away)
        events = read(await start(house))
        assert text_of(events) == made.whole
        assert "trimtab" not in events[-1]["response"]  # who pays it tells the cost
    assert (await stands(office))[0] == 0
    assert read(await resume(house, ident_of(events), 3))[-1]["response"]["trimtab"] == {"cost_usd": COST / 1e9}
    assert await stands(office) == (COST / 1e9, 0)


async def open_stream(office: Tenant, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Task[Answer], str]:
    """A stream that stays open behind its first event, and the id that its client knows by then."""
    house, write, idents = office.house, office.house.gateway.handles.write, list[str]()

    def written(key: Key, handle: Handle) -> str:
        idents.append(write(key, handle))
        return idents[-1]

    monkeypatch.setattr(house.gateway.handles, "write", written)
    told(house, shown=1)
    stream = asyncio.create_task(start(house))
    while not idents:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return stream, idents[0]


async def test_what_was_ended_beside_its_stream_is_under_way_no_more(
    office: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place among the responses in the background is free, also when the stream is left afterwards."""
    monkeypatch.setattr("trimtab.gateway.late.MOST", 1)
    stream, ident = await open_stream(office, monkeypatch)
    with pytest.raises(Overloaded):
        office.limits.late.check()
    assert (await office.house.call("POST", f"/v1/responses/{ident}/cancel")).json["status"] == "cancelled"
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    await office.limits.close()
    office.limits.late.check()


async def test_a_server_that_stops_says_that_nothing_is_lost(office: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again would have a second response made, and pay for both."""
    stream, ident = await open_stream(office, monkeypatch)
    resumed = asyncio.create_task(resume(office.house, ident))
    while len(office.house.vendor.asked) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    for task in (stream, resumed):
        task.cancel("Task cancelled, timeout graceful shutdown exceeded")
        answer = await task
        error = read(answer)[-1] if answer.status == 200 else answer.error
        assert error["code"] == "overloaded"
        assert f"fetch {ident}" in error["message"]


async def test_a_stream_has_the_time_of_its_route_and_no_more(office: Tenant) -> None:
    house = office.house
    timeout = {"first_byte": 1.5, "total": 1.5}
    await house.publish("routes", "hasty", {"targets": [{"model": MODEL}], "timeout": timeout, "attempts": 3})
    told(house, shown=2)
    events = read(await start(house, model="hasty"))
    assert [event["type"] for event in events] == ["response.created", "response.queued", "error"]
    assert events[-1]["code"] == "model_timeout"
    assert f"fetch {ident_of(events)}" in events[-1]["message"]
    assert len(house.vendor.asked) == 1  # it is made: nobody else is asked


async def test_a_connection_that_breaks_loses_nothing(office: Tenant) -> None:
    house = office.house
    await house.publish("routes", "twice", {"targets": [{"model": MODEL}], "attempts": 3})
    made = told(house)
    await budget(office, 1.0)
    house.vendor.reply = lambda headers, body: [*made(headers, body)[:3], b"40\r\ndata: {"]
    events = read(await start(house, model="twice"))
    assert [event["type"] for event in events] == ["response.created", "response.queued", "error"]
    assert f"fetch {ident_of(events)}" in events[-1]["message"]
    assert len(house.vendor.asked) == 1
    again = read(await resume(house, ident_of(events), 0))
    assert [event["type"] for event in again] == ["response.queued", "error"]
    assert again[-1]["sequence_number"] == 1  # of what its client has seen, whoever broke off
    assert (await stands(office))[1] > 0
    house.vendor.reply = made
    assert text_of(read(await resume(house, ident_of(events), 1))) == made.whole
    assert await stands(office) == (COST / 1e9, 0)


async def test_a_model_that_fails_before_it_begins_is_followed_by_another(office: Tenant) -> None:
    house = office.house
    made = Told()
    await budget(office, 1.0)

    def reply(headers: Mapping[str, str], body: Any) -> list[bytes]:
        return http_reply(500, {"error": {}}) if len(house.vendor.asked) == 1 else made(headers, body)

    house.vendor.reply = reply
    route = {"targets": [{"model": MODEL}], "fallback": ["vendor/gpt-4o-mini"], "attempts": 2}
    await house.publish("routes", "twice", route)
    assert read(await start(house, model="twice"))[-1]["type"] == "response.completed"
    assert await stands(office) == (COST / 1e9, 0)


# A restart, and the hour.


async def test_a_restart_charges_what_was_reserved_until_the_end_is_seen(office: Tenant) -> None:
    house = office.house
    made = told(house, shown=6)
    await budget(office, 1.0)
    answer = await start(house, hang_up=1)
    trace, ident = answer.headers["x-trimtab-trace-id"], ident_of(read(answer))
    _, reserved = await stands(office)
    await office.close()
    again = await tenant(house, office.clock)
    for row in await again.ledger.recover():
        await again.limits.charge(row)
    assert await stands(again) == (pytest.approx(reserved), 0)
    assert (await row_of(again, trace))["state"] == "interrupted"
    show(house, made, len(made.events))
    assert read(await resume(house, ident, 3))[-1]["response"]["trimtab"] == {"cost_usd": COST / 1e9}
    for _ in range(2):
        assert await stands(again) == (COST / 1e9, 0)
        assert await again.limits.audit() == {}
        assert (await row_of(again, trace))["state"] == "settled"
        await house.call("GET", f"/v1/responses/{ident}")
    days = await again.reports.usage(["model"], {}, 1)
    assert [(day["requests"], day["interrupted"], day["cost_usd"]) for day in days] == [(1, 0, COST / 1e9)]
    await again.close()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_a_charge_is_put_right_once_and_within_the_hour(
    database: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgres" else ""
    metadata = Metadata.open(url or tmp_path / "metadata.db")
    now, name = 5 * GONE_NS, f"r{tmp_path.name}"
    ledger = Ledger(metadata, node=name, clock=lambda: now)
    row = UsageRow(id=name, time_ns=now - 1, key=name, model="a/b", state="reserved", cost_nano=100, node=name)
    old = msgspec.structs.replace(row, id=f"{name}o", time_ns=now - GONE_NS, cost_nano=7)
    await ledger.reserve(row)
    await ledger.reserve(old)
    assert {each.cost_nano for each in await ledger.recover() if each.key == name} == {100, 7}
    done = [UsageRow(id=each, time_ns=1, key="x", model="a/c", cost_nano=30) for each in (row.id, row.id, old.id)]
    changed = await asyncio.gather(*map(ledger.end, done))
    assert sorted(each.cost_nano or 0 for each in changed if each is not None) == [-70]
    day = now // (24 * GONE_NS)
    assert await ledger.spent("key", name, day, day) == 37
    assert await metadata.read(lambda c: records.spent_by_rows(c, "key", name, 0, 1 << 62)) == 37
    await ledger.close()
    metadata.close()
