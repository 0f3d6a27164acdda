"""What is found once for all requests of a key to a model: used while nothing changes, and not one request longer."""

from __future__ import annotations

from gateway_house import House, user

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
    house.gateway.ways._known.update({("other", str(number)): object() for number in range(REMEMBERED)})  # type: ignore[misc]
    assert (await house.ask(ASK)).status == 200
    assert len(ways(house)) == 1
