"""Responses that a provider keeps: whose ids they are, whose turns they go on from, and whose money ends with them."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from gateway_house import Answer, House, http_reply
from tenant_house import Tenant
from test_gateway_late import COST, MODEL, USED, Made, asked, budget, office, row_of, stands

from trimtab.core import Overloaded
from trimtab.gateway import Ledger, UsageRow, records
from trimtab.gateway.budgets import period_of
from trimtab.gateway.checks import purse_name
from trimtab.gateway.surfaces.dividing import divided
from trimtab.gateway.usagerow import KEEP_NS

__all__ = ["office"]

PERSONAL = {"scanner": "personal", "action": "redact", "restore": True}
OSPREY = {"name": "osprey", "patterns": ["(?i)project osprey"], "action": "redact", "reason": "It is secret."}
WORDS = {"name": "bombs", "patterns": ["(?i)bomb"], "action": "block", "reason": "It is dangerous."}


def response(text: str = "There.", ident: str = "resp_v1") -> list[bytes]:
    part = {"type": "output_text", "text": text, "annotations": []}
    said = {"type": "message", "role": "assistant", "content": [part]}
    return http_reply(
        200, {"id": ident, "object": "response", "status": "completed", "output": [said], "usage": USED}
    )  # fmt: skip


def says(text: str, ident: str = "resp_v1") -> Any:
    return lambda headers, body: response(text, ident)


async def post(house: House, model: str = MODEL, **body: Any) -> Answer:
    return await house.call("POST", "/v1/responses", json.dumps({"model": model, "input": "Go on", **body}).encode())


async def guarded(house: House, name: str, **stages: Any) -> None:
    await house.publish("guards", name, {"stages": stages})
    await house.publish("routes", name, {"targets": [{"model": MODEL}], "guard": f"guards:/{name}@production"})


# Ids.


async def test_an_id_tells_nothing_of_what_it_opens(house: House) -> None:
    house.vendor.reply = says("Hi", "resp_of_the_account")
    await house.publish("routes", "secret-route", {"targets": [{"model": MODEL}]})
    ident = (await post(house, "secret-route", background=True)).json["id"].removeprefix("resp_")
    read = base64.urlsafe_b64decode(ident + "=" * (-len(ident) % 4))
    for word in (b"resp_of", b"account", b"vendor", b"gpt-4o", b"secret", b"default"):
        assert word not in read


async def test_an_id_of_the_provider_is_never_a_path(house: House) -> None:
    house.vendor.reply = says("Hi", "../files/f1?x=1#\r\na: b/é")
    kept = await post(house)
    assert (await house.call("GET", f"/v1/responses/{kept.json['id']}")).status == 200
    assert house.vendor.asked[-1][0][":request"] == (
        "GET /v1/responses/..%2Ffiles%2Ff1%3Fx%3D1%23%0D%0Aa%3A%20b%2F%C3%A9 HTTP/1.1"
    )
    house.vendor.reply = says("Hi", "")
    assert (await post(house)).json["id"] == ""  # there is nothing to ask for


async def test_a_server_that_forgot_a_response_still_has_the_api(house: House) -> None:
    """vLLM answers 404 then, as a server does that has no Responses API at all."""
    house.vendor.reply = says("Hi")
    first = await post(house)
    house.vendor.reply = lambda headers, body: http_reply(404, {"error": {"message": "Response 'resp_v1' not found."}})
    gone = await post(house, previous_response_id=first.json["id"])
    assert (gone.status, gone.error["code"]) == (400, "previous_response_not_found")
    house.vendor.reply = says("Hi")
    again = await post(house)
    assert house.vendor.asked[-1][0][":request"].startswith("POST /v1/responses ")
    assert (await post(house, previous_response_id=again.json["id"])).status == 200


async def test_what_is_wrong_with_an_earlier_response_is_told_under_the_clients_own_id(house: House) -> None:
    house.vendor.reply = says("Hi")
    first = await post(house)
    told = {"error": {"message": "Response 'resp_v1' is still in progress."}}
    house.vendor.reply = lambda headers, body: http_reply(400, told)
    refused = await post(house, previous_response_id=first.json["id"])
    assert (refused.status, refused.error["code"]) == (400, "model_error")
    assert f"'{first.json['id']}' is still in progress" in refused.error["message"]
    assert "resp_v1" not in refused.error["message"]


async def test_an_id_holds_for_its_key_through_rotation_and_for_nobody_beside_it(house: House) -> None:
    house.vendor.reply = says("Hi")
    keys, (mine, first) = house.keys, await house.keys.create("mine", team="one")
    _, beside = await keys.create("beside", team="one")
    kept = await house.call("POST", "/v1/responses", json.dumps({"model": MODEL, "input": "Hi"}).encode(), key=first)
    path, asked_before = f"/v1/responses/{kept.json['id']}", len(house.vendor.asked)
    for other in (beside, house.admin):
        assert (await house.call("GET", path, key=other)).status == 404
    _, second = await keys.rotate(mine.id)
    assert (await house.call("GET", path, key=first)).status == 401
    assert len(house.vendor.asked) == asked_before
    assert (await house.call("GET", path, key=second)).status == 200
    for change, status in (({"limits": {"routes": ["plain"]}}, 403), ({"limits": {}, "role": "viewer"}, 403)):
        await keys.change(mine.id, **change)
        for method, what in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
            assert (await house.call(method, path + what, key=second)).status == status
    await keys.disable(mine.id)
    assert (await house.call("GET", path, key=second)).status == 401
    assert len(house.vendor.asked) == asked_before + 1


# Earlier turns.


async def test_turns_that_no_policy_has_read_are_not_gone_on_from_under_one(house: House) -> None:
    house.vendor.reply = says("Hi")
    await guarded(house, "lax", output=[WORDS])
    await guarded(house, "strict", input=[WORDS])
    await guarded(house, "other", input=[WORDS])
    lax, strict = await post(house, "lax", input="A bomb"), await post(house, "strict")
    sent = len(house.vendor.asked)
    for earlier, model in ((lax, "strict"), (strict, "other")):
        refused = await post(house, model, previous_response_id=earlier.json["id"])
        assert (refused.status, refused.error["param"]) == (400, "previous_response_id"), refused.json
        assert f"{model}, which is on duty here, has not read" in refused.error["message"]
    assert len(house.vendor.asked) == sent
    assert (await post(house, "strict", previous_response_id=strict.json["id"])).status == 200
    on = await post(house, "lax", previous_response_id=strict.json["id"])
    assert on.status == 200
    assert (await post(house, "strict", previous_response_id=on.json["id"])).status == 400  # lax has read that turn
    house.vendor.reply = lambda headers, body: http_reply(
        200, {"id": "resp_v2", "status": "completed", "output": [], "previous_response_id": "resp_v1"}
    )
    fetched = await house.call("GET", f"/v1/responses/{on.json['id']}")  # nor is an id that is told by the provider
    assert (await post(house, "strict", previous_response_id=fetched.json["previous_response_id"])).status == 400


async def test_what_was_hidden_in_an_earlier_turn_is_not_taken_for_what_is_hidden_now(house: House) -> None:
    await guarded(house, "private", input=[PERSONAL])
    house.vendor.reply = says("Noted.")
    first = await post(house, "private", input="Ada is ada@lovelace.example")
    assert house.vendor.asked[-1][1]["input"][0]["content"] == "Ada is [email-1]"

    def echo(headers: Mapping[str, str], body: Any) -> list[bytes]:
        return response(f"Ada is [email-1]. You said: {body['input'][0]['content']}")

    house.vendor.reply = echo
    second = await post(
        house, "private", input="Bob is bob@builder.example", previous_response_id=first.json["id"]
    )  # fmt: skip
    assert "bob@" not in json.dumps(house.vendor.asked[-1][1])
    text = second.json["output"][0]["content"][0]["text"]
    assert text == "Ada is [email-1]. You said: Bob is bob@builder.example"


async def test_a_route_hedges_on_after_a_response_in_the_background(house: House) -> None:
    await house.publish("routes", "quick", {"targets": [{"model": MODEL}], "hedge": {"after": 0.5}})
    house.vendor.reply = Made()
    assert (await post(house, "quick", background=True)).status == 200
    state = house.gateway._health._routes["quick"]
    assert state.route.hedge is not None
    assert state.hedges.share == state.route.hedge.share > 0


# Money.


async def paid(office: Tenant, queued: Answer, made: Made) -> bool:
    """Whether asking for the end of a response was what paid it."""
    made.status, made.usage = "completed", USED
    got = await office.house.call("GET", f"/v1/responses/{queued.json['id']}")
    assert got.json["status"] == "completed"
    return "x-trimtab-cost-usd" in got.headers


async def started(office: Tenant) -> tuple[Answer, Made]:
    office.house.vendor.reply = made = Made()
    await budget(office, 1.0)
    return await asked(office.house), made


@pytest.mark.parametrize(("status", "told"), [(500, 502), (429, 429), (404, 404)])
async def test_a_provider_that_fails_when_it_is_asked_ends_nothing(office: Tenant, status: int, told: int) -> None:
    queued, made = await started(office)
    before = await stands(office)
    fails = {"error": {"message": "No response 'resp_v1' here."}}
    office.house.vendor.reply = lambda headers, body: http_reply(status, fails)
    for method, what in (("GET", ""), ("POST", "/cancel"), ("DELETE", "")):
        got = await office.house.call(method, f"/v1/responses/{queued.json['id']}{what}")
        assert (got.status, "resp_v1" in got.error["message"]) == (told, False)
    assert await stands(office) == before
    office.house.vendor.reply = made
    assert await paid(office, queued, made)
    assert await stands(office) == (COST / 1e9, 0)


async def test_the_day_that_it_was_asked_for_pays_it(office: Tenant) -> None:
    queued, made = await started(office)
    today = period_of("day", office.clock())
    office.clock.now = today.end_ns + 60 * 10**9  # type: ignore[attr-defined]  # a Clock
    assert await stands(office) == (0, 0)  # another day's budget
    assert await paid(office, queued, made)
    assert await stands(office) == (0, 0)
    day = today.first_day
    assert await office.ledger.spent("key", office.house.key.id, day, day) == COST
    purse = await office.limits.shared.look(purse_name("key", office.house.key.id, today), now_ns=office.clock())
    assert (purse.spent, purse.reserved) == (COST, 0)


async def test_who_it_was_reserved_for_pays_it(office: Tenant) -> None:
    keys, ident = office.house.keys, office.house.key.id
    await office.teams.put("old", {"budget_usd": 1.0, "period": "day"})
    await keys.change(ident, team="old")
    queued, made = await started(office)
    name = purse_name("team", "old", period_of("day", office.clock()))
    assert (await office.limits.shared.look(name, now_ns=office.clock())).reserved > 0
    await keys.change(ident, team="new")
    assert await paid(office, queued, made)
    row = await row_of(office, queued.headers["x-trimtab-trace-id"])
    assert (row["team"], row["cost_nano"]) == ("old", COST)
    purse = await office.limits.shared.look(name, now_ns=office.clock())
    assert (purse.spent, purse.reserved) == (COST, 0)


async def test_a_client_that_leaves_does_not_stop_the_payment(office: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    queued, made = await started(office)
    reached, go, end = asyncio.Event(), asyncio.Event(), office.ledger.end

    async def slow(row: UsageRow) -> UsageRow | None:
        reached.set()
        await go.wait()
        return await end(row)

    monkeypatch.setattr(office.ledger, "end", slow)
    polling = asyncio.create_task(paid(office, queued, made))
    await reached.wait()
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling
    go.set()
    await office.limits.late.close()
    assert await stands(office) == (COST / 1e9, 0)


async def test_an_answer_does_not_wait_for_a_ledger_that_hangs(office: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    queued, made = await started(office)
    go, end = asyncio.Event(), office.ledger.end

    async def slow(row: UsageRow) -> UsageRow | None:
        await go.wait()
        return await end(row)

    monkeypatch.setattr(office.ledger, "end", slow)
    monkeypatch.setattr("trimtab.gateway.background.ANSWER_S", 0.01)
    assert not await paid(office, queued, made)
    go.set()
    await office.limits.late.close()
    assert await stands(office) == (COST / 1e9, 0)


async def test_counters_that_do_not_answer_undo_no_payment(office: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    queued, made = await started(office)

    async def away(*_: Any, **__: Any) -> None:
        raise Overloaded("away")

    with monkeypatch.context() as patch:
        patch.setattr(office.limits.shared, "settle", away)
        assert await paid(office, queued, made)
    assert (await row_of(office, queued.headers["x-trimtab-trace-id"]))["cost_nano"] == COST


async def test_what_the_ledger_has_forgotten_is_not_paid_again(office: Tenant) -> None:
    queued, made = await started(office)
    assert await paid(office, queued, made)
    office.clock.now += KEEP_NS + 1  # type: ignore[attr-defined]  # a Clock
    await office.ledger.flush()
    await office.house.metadata.write(lambda c: records.sweep(c, office.clock()))
    assert not await paid(office, queued, made)
    rows = await office.house.metadata.read(lambda c: list(c.exec_driver_sql("SELECT id FROM usage")))
    assert not rows


async def test_what_could_not_be_reserved_is_held_by_nobody(office: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(row: UsageRow) -> None:
        raise Overloaded("away")

    monkeypatch.setattr(office.ledger, "reserve", away)
    queued, _ = await started(office)
    assert queued.status == 503
    await office.limits.close()
    assert await stands(office) == (0, 0)


async def test_a_reservation_that_is_not_on_disk_yet_is_not_taken_for_ended(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.gateway.usage.AGAIN_S", 0.01)
    ledger = Ledger(house.metadata, node="here")

    def away(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(records, "write_usage", away)
        patch.setattr("trimtab.gateway.usage.JOURNAL_S", 0.05)
        row = UsageRow(id="r1", time_ns=1, key="app", state="reserved", cost_nano=100)
        await ledger.reserve(row)
        with pytest.raises(Overloaded):
            await ledger.end(UsageRow(id="r1", time_ns=1, state="interrupted"))
    ended = await ledger.end(UsageRow(id="r1", time_ns=1, state="interrupted"))
    assert ended is not None
    assert ended.cost_nano == 100
    await ledger.close()


# Several messages in one answer.


async def test_what_is_hidden_in_one_message_moves_no_text_of_another(house: House) -> None:
    await guarded(house, "private", output=[OSPREY])
    texts = ["One.", "Of project osprey.", "", "Three.", "Four is project osprey too.", "And project osprey.", "Six."]
    shown = [text.replace("project osprey", "[redacted:osprey]") for text in texts]

    def messages(texts: list[str]) -> list[dict[str, Any]]:
        return [
            {"id": f"msg_{n}", "type": "message", "role": "assistant",
             "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]}
            for n, text in enumerate(texts)
        ]  # fmt: skip

    whole = {"id": "resp_v1", "object": "response", "status": "completed", "output": messages(texts), "usage": USED}
    house.vendor.reply = lambda headers, body: http_reply(200, whole)
    asked = await post(house, "private")
    assert asked.json["output"] == messages(shown)
    assert (await house.call("GET", f"/v1/responses/{asked.json['id']}")).json["output"] == messages(shown)


@pytest.mark.parametrize("seed", range(20))
def test_texts_are_divided_without_losing_a_letter(seed: int) -> None:
    draw = random.Random(seed)
    words = ["lake ", "osprey ", "mary ", "12 ", "[a-1] ", "and so on. "]
    texts = ["".join(draw.choices(words, k=draw.randrange(60))) for _ in range(draw.randrange(1, 7))]
    passed = "".join(texts).replace("osprey", "[x]") if seed % 2 else draw.choice(words) * draw.randrange(3)
    shown = divided(passed, texts)
    assert "".join(shown) == passed
    assert len(shown) == len(texts)
    assert divided("".join(texts), texts) == texts


# Input items.


async def test_what_several_answers_said_stays_in_each_of_them(house: House) -> None:
    await guarded(house, "private", output=[OSPREY])

    def said(text: str, *more: str) -> dict[str, Any]:
        parts = [{"type": "output_text", "text": each, "annotations": [], "x": 1} for each in (text, *more)]
        return {"id": f"msg_{text[:3]}", "type": "message", "role": "assistant", "content": parts}

    asked = {"id": "msg_u", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Project?"}]}
    call = {"id": "fc", "type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"}
    items = [said("One."), asked, said("Two is project ", "osprey."), call, said("Three.")]
    house.vendor.reply = says("Hi")
    ident = (await post(house, "private")).json["id"]
    listed = {"object": "list", "data": items, "has_more": False, "first_id": "msg_One", "last_id": "msg_Thr"}
    house.vendor.reply = lambda headers, body: http_reply(200, listed)
    answer: Answer = await house.call("GET", f"/v1/responses/{ident}/input_items")
    assert answer.status == 200, answer.json
    first, second, third, fourth, fifth = answer.json["data"]
    assert [first, second, fourth, fifth] == [items[0], items[1], items[3], items[4]]
    assert third["content"][0]["text"].startswith("Two is [")
    assert "osprey." not in json.dumps(third)
    assert third["content"][1]["text"] == ""
    assert {name: answer.json[name] for name in listed if name != "data"} == {
        name: value for name, value in listed.items() if name != "data"
    }
    listed["data"] = items[:1]
    assert (await house.call("GET", f"/v1/responses/{ident}/input_items")).json == listed
