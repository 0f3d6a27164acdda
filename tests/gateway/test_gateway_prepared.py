"""What is found once for all requests of a key to a model: used while nothing changes, and not one request longer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gateway_house import Answer, House, user

from trimtab.gateway import prepared
from trimtab.gateway.prepared import REMEMBERED

ASK = {"model": "bare", "messages": user("How do I reset the pump?")}
OPEN: dict[str, object] = {"stages": {}}
SHUT = {"stages": {"input": [{"name": "pumps", "patterns": ["pump"], "action": "block", "reason": "No pumps."}]}}


async def bare(house: House) -> None:
    await house.publish("guards", "open", OPEN)
    await house.publish("routes", "bare", {"targets": [{"model": "scripted/echo"}], "guard": "guards:/open@production"})


def ways(house: House) -> dict[tuple[str, str], object]:
    return dict(house.gateway.ways._known)


async def test_the_second_request_takes_the_way_of_the_first(house: House) -> None:
    await bare(house)
    first = await house.ask(ASK)
    known = ways(house)
    second = await house.ask(ASK)
    assert list(known) == [(house.key.id, "bare")]
    assert ways(house)[house.key.id, "bare"] is known[house.key.id, "bare"]
    assert first.headers["x-trimtab-stamp"] == second.headers["x-trimtab-stamp"]
    spans, scores = await house.trace(second)
    assert spans[0].stamp.guard == "open/1"
    assert [score.value for score in scores] == [1.0]


async def test_a_new_policy_holds_from_the_next_request_on(house: House) -> None:
    await bare(house)
    assert (await house.ask(ASK)).status == 200
    await house.publish("guards", "open", SHUT)
    assert (await house.ask(ASK)).status == 403


async def test_a_new_route_holds_from_the_next_request_on(house: House) -> None:
    await bare(house)
    assert (await house.ask(ASK)).status == 200
    moved = {"targets": [{"model": "scripted/reserve"}], "guard": "guards:/open@production"}
    pin = await house.publish("routes", "bare", moved)
    assert f"route={pin}" in (await house.ask(ASK)).headers["x-trimtab-stamp"]


async def test_a_key_that_may_no_longer_ask_is_refused_at_once(house: House) -> None:
    await bare(house)
    assert (await house.ask(ASK)).status == 200
    await house.keys.change(house.key.id, limits={"routes": ["support"]})
    assert (await house.ask(ASK)).status == 403
    await house.keys.change(house.key.id, limits={"rpm": 1})
    answers = [await house.ask(ASK) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]


async def test_a_rollout_divides_requests_whose_way_was_known(house: House) -> None:
    await bare(house)
    assert (await house.ask(ASK)).status == 200
    shut = await house.registry.register("guards", "open", SHUT)
    await house.registry.start_rollout("guards", "open", shut.number, share=0.5, sticky="request", actor="test")
    statuses = [(await house.ask(ASK)).status for _ in range(60)]
    assert {200, 403} == set(statuses)


async def test_pins_neither_use_a_way_nor_leave_one(house: House) -> None:
    await bare(house)
    shut = await house.registry.register("guards", "open", SHUT)
    assert (await house.ask(ASK)).status == 200
    known = ways(house)
    pinned = {**ASK, "trimtab": {"pins": {"guards": f"open/{shut.number}"}}}
    assert (await house.ask(pinned, key=house.admin)).status == 403
    assert ways(house) == known
    assert (await house.ask(ASK)).status == 200


async def test_what_can_not_be_found_is_not_remembered(house: House) -> None:
    await bare(house)
    for number in range(3):
        assert (await house.ask({**ASK, "model": f"nothing-{number}"})).status == 404
    assert ways(house) == {}


async def test_they_do_not_grow_without_end(house: House) -> None:
    await bare(house)
    assert (await house.ask(ASK)).status == 200
    house.gateway.ways._known.update({("other", str(number)): object() for number in range(REMEMBERED)})  # type: ignore[misc]
    assert (await house.ask({**ASK, "model": "scripted/echo"})).status == 200
    assert list(ways(house)) == [(house.key.id, "scripted/echo")]


async def test_what_was_found_before_a_change_is_let_go(house: House) -> None:
    await bare(house)
    assert (await house.ask(ASK)).status == 200
    assert (await house.ask({**ASK, "model": "scripted/echo"})).status == 200
    assert len(ways(house)) == 2
    await house.publish("guards", "other", OPEN)
    assert (await house.ask(ASK)).status == 200
    assert list(ways(house)) == [(house.key.id, "bare")]


async def test_who_is_over_a_limit_has_no_word_of_the_guard(house: House) -> None:
    await bare(house)
    await house.keys.change(house.key.id, limits={"rpm": 1})
    answers = [await house.ask(ASK) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    scores = [(await house.trace(answer))[1] for answer in answers]
    assert [[score.name for score in found] for found in scores] == [["allowed"], []]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_nothing_looks_at_is_asked_and_recorded_as_on_the_long_way(
    house: House, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """``question`` leaves out filling, grounding and the guard where they have nothing to do."""
    await bare(house)
    body = {**ASK, "stream": stream, "temperature": 0.5, "max_tokens": 40}
    short = await house.ask(body)
    assert house.gateway.ways._known[house.key.id, "bare"].untouched
    house.gateway.ways._known.clear()
    monkeypatch.setattr(prepared, "_looks_at_nothing", lambda policy: False)
    long = await house.ask(body)
    assert not house.gateway.ways._known[house.key.id, "bare"].untouched
    assert (short.status, said(short)) == (long.status, said(long))
    assert await recorded(house, short) == await recorded(house, long)


def said(answer: Answer) -> list[Any]:
    """The body without its id and its time."""
    bodies = answer.events if b"data: " in answer.body else [answer.json]
    assert bodies
    return [{k: v for k, v in b.items() if k not in ("id", "created")} if isinstance(b, dict) else b for b in bodies]


async def recorded(house: House, answer: Answer) -> list[dict[str, Any]]:
    """Spans and scores without their ids and times."""
    spans, scores = await house.trace(answer)
    assert len(spans) == 2
    return [
        {k: v for k, v in msgspec.to_builtins(each).items() if not k.endswith(("_ns", "_id")) and k != "id"}
        for each in (*spans, *scores)
    ]
