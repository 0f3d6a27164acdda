"""Responses that are made in the background and streamed: left, taken up again, and screened."""

from __future__ import annotations

import json

import pytest
from gateway_house import VENDOR_KEY, House, http_reply
from resuming_house import SECRET, WORDS, ident_of, read, resume, show, start, text_of, told
from tenant_house import Tenant
from test_gateway_kept import PERSONAL, guarded
from test_gateway_late import MODEL, TOOLS, budget, office, stands

__all__ = ["office"]

#: Texts in whose middle something is to be hidden, over the borders of events and far behind the window's tail.
LEAKS = (
    "It is about ", "proj", "ect os", "prey", ". ", *[f"Sentence {n} says nothing of it. " for n in range(9)],
    "", "And ", *[f"sentence {n} says nothing of it. " for n in range(9)], "Nor of project osprey",
)  # fmt: skip


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.gateway.gates.DEFAULT_ADDRESS", "")


# The stream.


async def test_the_vendors_events_come_as_they_are_but_for_their_ids(house: House, unguarded: None) -> None:
    made = told(house)
    events = read(await start(house))
    assert [event["sequence_number"] for event in events] == list(range(len(made.events)))
    assert house.vendor.asked[-1][1] | {"stream": True, "background": True} == house.vendor.asked[-1][1]
    ident = ident_of(events)
    for event, vendors in zip(events, made.events, strict=True):
        response = event.get("response")
        if response is not None:
            assert response.pop("id") == ident != "resp_v1"
            response.pop("trimtab", None)
            vendors = {**vendors, "response": {k: v for k, v in vendors["response"].items() if k != "id"}}
        assert event == vendors
    assert b"resp_v1" not in json.dumps(events).encode()


@pytest.mark.parametrize("stream", ["auto", "hold"])
async def test_its_first_event_comes_before_anything_is_said(house: House, stream: str) -> None:
    """Whoever hangs up a moment later must know what to ask for."""
    await house.publish("guards", "waits", {"stages": {"output": [WORDS]}, "stream": stream})
    await house.publish("routes", "waits", {"targets": [{"model": MODEL}], "guard": "guards:/waits@production"})
    made = told(house, shown=1)
    events = read(await start(house, model="waits", hang_up=1))
    assert [event["type"] for event in events] == ["response.created"]
    show(house, made, len(made.events))
    assert text_of(read(await resume(house, ident_of(events), 0))) == made.whole


@pytest.mark.parametrize("policy", ["none", "open", "redacts", "held"])
async def test_a_stream_is_taken_up_where_it_was_left(
    house: House, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODEL
    if policy == "none":
        monkeypatch.setattr("trimtab.gateway.gates.DEFAULT_ADDRESS", "")
    else:
        model = policy
        stages = {} if policy == "open" else {"output": [SECRET]}
        content = {"stages": stages, **({"stream": "hold"} if policy == "held" else {})}
        await house.publish("guards", policy, content)
        await house.publish("routes", policy, {"targets": [{"model": MODEL}], "guard": f"guards:/{policy}@production"})
    made = told(house, *LEAKS)
    whole = read(await start(house, model=model))
    ident = ident_of(whole)
    hides = policy in ("redacts", "held")
    assert text_of(whole) == (made.whole.replace("project osprey", "[redacted:osprey]") if hides else made.whole)
    numbers = [event["sequence_number"] for event in whole]
    assert numbers == sorted(numbers)
    assert [event["type"] for event in whole].count("response.output_text.done") == 2
    whole[-1]["response"].pop("trimtab")
    for after in (None, *range(len(made.events))):
        again = read(await resume(house, ident, after))
        for event in again:
            event.get("response", {}).pop("trimtab", None)
        assert again == [event for event in whole if after is None or event["sequence_number"] > after]
        sent = house.vendor.asked[-1][0][":request"].split(" ")[1]
        assert sent.startswith("/v1/responses/resp_v1?stream=true")
        assert ("starting_after" in sent) is (policy == "none" and after is not None)
    for event in whole:
        if policy in ("redacts", "held"):
            assert "osprey." not in json.dumps(event)


async def test_a_placeholder_is_cut_nowhere(house: House) -> None:
    """Whoever left in the middle of what stands for an address gets the rest of it whole, and unread by anybody."""
    await guarded(house, "private", input=[PERSONAL])
    made = told(house, "Write ", "to [em", "ail", "-1", "] now", ", or ", "[never", "].")
    whole = read(await start(house, model="private", input="Ada is ada@lovelace.example"))
    assert text_of(whole) == "Write to ada@lovelace.example now, or [never]."
    for left in range(len(made.events)):
        seen = [event for event in whole if event["sequence_number"] <= left]
        more = read(await resume(house, ident_of(whole), left))
        text = text_of(seen) + text_of(more)
        assert text in (text_of(whole), made.whole), left


async def test_what_a_guard_stops_is_stopped_again(house: House) -> None:
    await guarded(house, "strict", output=[WORDS])
    made = told(house, "Take ", "a bo", "mb ", "and ", *["more words to fill the window " for _ in range(12)])
    answer = await start(house, model="strict")
    events = read(answer)
    assert events[-1]["type"] == "error"
    assert events[-1]["code"] == "guard_refused"
    ident = ident_of(events)
    for after in (None, 3, 5, 7, 12, len(made.events) - 2):
        again = await resume(house, ident, after)
        assert "mb" not in text_of(read(again)), after
        assert read(again)[-1]["code"] == "guard_refused"
    plain = await house.call("GET", f"/v1/responses/{ident}")
    assert (plain.status, plain.error["code"]) == (403, "guard_refused")


async def test_a_stream_that_was_changed_ends_with_what_was_let_through(house: House) -> None:
    await guarded(house, "private", output=[SECRET])
    made = told(house, "About ", "project ", "osprey")
    events = read(await start(house, model="private"))
    assert 'osprey"' not in json.dumps(events)
    done = next(event for event in events if event["type"] == "response.output_text.done")
    assert done["text"] == text_of(events) == events[-1]["response"]["output"][0]["content"][0]["text"]
    assert [event["sequence_number"] for event in events] == sorted(event["sequence_number"] for event in events)
    assert made.whole != done["text"]


async def test_a_snapshot_in_an_event_is_not_a_way_around_the_guard(house: House) -> None:
    await guarded(house, "private", output=[SECRET])
    made = told(house, "About ", "project ", "osprey")
    queued = read(await start(house, model="private"))
    snapshot = made.response("completed")["output"]
    made.events[2]["response"]["output"] = snapshot
    made.events[3]["item"] = snapshot[0]
    made.events[4]["part"] = snapshot[0]["content"][0]
    for after in (None, 1, 2, 3):
        assert "project osprey" not in (await resume(house, ident_of(queued), after)).body.decode()


async def test_a_stream_that_ends_too_early_tells_its_rest_in_its_own_words(house: House) -> None:
    """What a guard still held back then is no new response, neither in the background nor without."""
    await guarded(house, "private", output=[SECRET])
    made = told(house, "Once ", "upon a time")
    made.events = made.events[:7]
    house.vendor.reply = lambda headers, body: [*made(headers, body)[:8], b"0\r\n\r\n"]
    body = {"model": "private", "input": "A story", "stream": True}
    events = read(await house.call("POST", "/v1/responses", json.dumps(body).encode()))
    kinds = [event["type"] for event in events]
    assert kinds == [event["type"] for event in made.events[:5]] + ["response.output_text.delta"]
    assert text_of(events) == "Once upon a time"
    events = read(await start(house, model="private"))  # that one goes on, and so does its text
    assert [event["type"] for event in events] == kinds[:5]


async def test_a_failed_response_is_told_as_its_vendor_tells_it(office: Tenant) -> None:
    house = office.house
    made = told(house, status="failed", usage=None, error={"code": "server_error", "message": "It broke."})
    await budget(office, 1.0)
    answer = await start(house)
    events = read(answer)
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == made.end["error"]
    assert await stands(office) == (0, 0)
    root = (await house.trace(answer))[0][0]
    assert (root.status, root.attributes["gateway"]) == ("error", True)
    assert "server_error" in root.error
    again = read(await resume(house, ident_of(events), 6))
    assert again[-1]["type"] == "response.failed"


async def test_an_error_in_a_stream_is_passed_on_before_the_end(office: Tenant) -> None:
    """OpenAI tells of a failure in an event of its own first. The end behind it must still be heard, and paid."""
    house = office.house
    made = told(house, status="failed", usage=None, error={"code": "rate_limit_exceeded", "message": "Too large."})
    wrong = {"code": "rate_limit_exceeded", "message": f"Too large for {VENDOR_KEY}."}
    made.events[-1:] = [
        {"type": "error", "error": wrong, **wrong, "sequence_number": 9},
        {**made.events[-1], "sequence_number": 10},
    ]
    made.shown = len(made.events)
    await budget(office, 1.0)
    events = read(await start(house))
    assert [event["type"] for event in events[-3:]] == ["error", "response.output_text.delta", "response.failed"]
    assert VENDOR_KEY not in json.dumps(events)
    assert events[-3]["error"]["message"].startswith("Too large for ")
    assert await stands(office) == (0, 0)
    assert events[-1]["response"].pop("trimtab") == {"cost_usd": 0}
    assert read(await resume(house, ident_of(events), 8)) == events[-3:]
    made.events = made.events[-2:]  # before anything has begun it is a refusal like any other
    made.shown = 2
    refused = await start(house)
    assert (refused.status, refused.error["code"]) == (502, "model_error")


async def test_who_left_right_before_an_error_hears_the_end_behind_it(office: Tenant, unguarded: None) -> None:
    """The provider begins behind the number then: the error is the first that is heard."""
    house = office.house
    made = told(house, status="failed", usage=None, error={"code": "server_error", "message": "It broke."})
    wrong = {"code": "server_error", "message": f"It broke with {VENDOR_KEY}."}
    made.events[-1:] = [
        {"type": "error", "error": wrong, **wrong, "sequence_number": 9},
        {**made.events[-1], "sequence_number": 10},
    ]
    show(house, made, 9)
    await budget(office, 1.0)
    ident = ident_of(read(await start(house, hang_up=9)))
    show(house, made, len(made.events))
    answer = await resume(house, ident, 8)
    assert answer.status == 200
    assert [event["type"] for event in read(answer)] == ["error", "response.failed"]
    assert VENDOR_KEY not in answer.body.decode()
    assert await stands(office) == (0, 0)  # its end was heard


# Refusals.


async def test_what_cannot_be_streamed_is_refused_by_name(house: House) -> None:
    made = told(house)
    ident = ident_of(read(await start(house)))
    asked = len(house.vendor.asked)
    for wrong in ("x", "-1", "1.5", "%D9%A3", "9" * 40):
        refused = await house.call("GET", f"/v1/responses/{ident}?stream=true&starting_after={wrong}")
        assert (refused.status, refused.error["param"]) == (400, "starting_after")
    refused = await house.call("GET", f"/v1/responses/{ident}?stream=maybe")
    assert (refused.status, refused.error["param"]) == (400, "stream")
    refused = await house.call("GET", f"/v1/responses/{ident}/input_items?stream=true")
    assert (refused.status, refused.error["param"]) == (400, "stream")
    assert (await resume(house, ident, key=house.admin)).status == 404
    assert len(house.vendor.asked) == asked
    made.streams = False
    refused = await resume(house, ident, 3)
    assert refused.status == 400
    assert f"{ident} was not made with stream" in refused.error["message"]
    house.vendor.reply = lambda headers, body: http_reply(200, made.response("completed"))
    refused = await resume(house, ident, 3)
    assert (refused.status, refused.error["param"]) == (400, "stream")
    house.vendor.reply = lambda headers, body: http_reply(404, {"error": {"message": "No response resp_v1."}})
    refused = await resume(house, ident, 3)
    assert refused.status == 404
    assert "resp_v1" not in refused.error["message"]


async def test_calls_that_the_guard_judges_are_not_streamed_behind_its_back(house: House) -> None:
    await house.publish("guards", "acting", {"stages": {}})
    await house.publish("routes", "agent", {"targets": [{"model": MODEL}], "guard": "guards:/acting@production"})
    made = told(house)
    call = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "send", "arguments": "{}"}
    at = made.events[3]["sequence_number"]
    made.events[3] = {"type": "response.output_item.added", "sequence_number": at, "output_index": 0, "item": call}
    events = read(await start(house, model="agent", tools=TOOLS))
    assert events[-1]["type"] == "response.completed"
    await house.publish("guards", "acting", {"stages": {"action": {"tools": {"send": {"effect": "write"}}}}})
    refused = await start(house, model="agent", tools=TOOLS)
    assert (refused.status, refused.error["param"]) == (400, "background")
    for after in (None, 7):
        again = await resume(house, ident_of(events), after)
        assert b"send" not in again.body
        assert b"guard_refused" in again.body
    made = told(house)
    made.events[-1]["response"]["output"].append(call)  # a server that tells of it at the end alone
    again = await resume(house, ident_of(events), 5)
    assert b"send" not in again.body
    assert read(again)[-1]["code"] == "guard_refused"


async def test_a_provider_without_responses_streams_nothing_in_the_background(house: House) -> None:
    refused = await start(house, model="scripted/steady")
    assert (refused.status, refused.error["param"]) == (400, "background")
