"""Replays stop at their bound, say what they cost, and go on when somebody allows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest
from incident_world import PROMPTS, Truth, World
from test_incidents_routes import Client

from trimtab.core import BadInput, Conflict, NotFound, Span
from trimtab.incidents import Desk, Incident
from trimtab.incidents.cases import roots_of
from trimtab.incidents.spending import MAX_CALLS, MAX_USD, MOST_MORE, UNSPENT
from trimtab.store import Spans


def test_the_bound_is_of_calls_and_of_dollars() -> None:
    assert (UNSPENT.left, UNSPENT.usd_left) == (MAX_CALLS, MAX_USD)
    cheap = UNSPENT.spent(400, 0.4, 0)
    assert (cheap.left, cheap.usd_a_call) == (MAX_CALLS - 400, pytest.approx(0.001))
    assert cheap.estimate(100) == pytest.approx(0.1)
    assert UNSPENT.spent(10, MAX_USD, 0).left == 0
    assert UNSPENT.spent(MAX_CALLS, 0.0, MAX_CALLS).estimate(10) is None


def test_a_consent_adds_calls_and_what_they_cost() -> None:
    asking = UNSPENT.spent(1000, 2.0, 0).asking(300)
    allowed = asking.consented()
    assert (allowed.left, allowed.wanted, allowed.resume) == (300, 0, True)
    assert asking.consented(50).left == 50
    dear = UNSPENT.spent(10, 6.0, 0).asking(20).consented()
    assert dear.left > 0
    assert dear.usd_left == pytest.approx(12.0)


def test_an_incident_that_opens_again_has_its_bound_once_more() -> None:
    again = UNSPENT.spent(MAX_CALLS, 2 * MAX_USD, 0).asking(50).renewed()
    assert (again.left, again.usd_left, again.wanted) == (MAX_CALLS, MAX_USD, 0)


@pytest.mark.parametrize("calls", [-1, 0, MOST_MORE + 1])
def test_a_consent_that_says_nothing_is_refused(calls: int) -> None:
    with pytest.raises(BadInput) as refused:
        UNSPENT.consented(calls)
    assert refused.value.field == "calls"


async def break_it(world: World, desk: Desk, *, cost_usd: float = 1.0) -> Incident:
    """A bad prompt for everybody, which only replays can prove."""
    world.cost_usd = cost_usd
    await world.serve(desk, 120)
    number = await world.new_prompt(PROMPTS[1])
    world.truth = Truth(bad={f"support-answer/{number}": 0.1})
    await world.registry.move_label("prompts", "support-answer", "production", number, actor="mara")
    found = await world.serve(desk, 400, until_alarm=True)
    assert found
    return await desk.get(found[0].id)


async def test_it_asks_before_it_spends_over_the_bound_and_goes_on_when_allowed(world: World) -> None:
    desk = world.desk(world.replay)
    incident = await break_it(world, desk)
    spent = incident.replay
    assert MAX_USD <= spent.usd <= MAX_USD + 2.0, "one request's arms may go over it"
    assert spent.calls == len(world.replays) == round(spent.usd)
    assert spent.wanted > 0
    assert incident.report is not None
    assert incident.report.certainty != "proven"
    (asks,) = [event.text for event in incident.events if event.kind == "asks"]
    assert f"{spent.calls} calls so far (about ${spent.usd:.2f})" in asks
    assert f"{spent.wanted} more (about ${spent.wanted:.2f})" in asks

    await desk.review()
    assert len(world.replays) == spent.calls, "nobody has allowed anything"
    incident = await desk.allow_replays(incident.id, "mara")
    assert [event.kind for event in incident.events][-1] == "allowed"
    assert "mara allowed" in incident.events[-1].text
    await desk.review()
    incident = await desk.get(incident.id)
    assert incident.replay.calls > spent.calls
    assert not incident.replay.resume
    assert incident.report is not None
    assert incident.report.certainty == "proven"
    assert incident.state == "mitigated"


async def test_what_was_spent_outlives_a_restart(world: World) -> None:
    incident = await break_it(world, world.desk(world.replay))
    before = len(world.replays)
    again = world.desk(world.replay)
    await again.load()
    await world.serve(again, 60)
    found = await again.get(incident.id)
    assert found.replay.calls == incident.replay.calls
    assert len(world.replays) == before, "a new process starts with the same bound spent"

    await again.allow_replays(incident.id, "mara", 40)
    await again.review()
    found = await again.get(incident.id)
    assert len(world.replays) == found.replay.calls > before, "what was allowed goes on, though nothing is remembered"
    assert not found.replay.resume


@pytest.mark.parametrize("after", [1, 12])
async def test_what_was_spent_is_written_down_when_asking_breaks_off(world: World, after: int) -> None:
    async def breaks(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        if len(world.replays) >= after:
            raise RuntimeError("the machine is gone")
        return await world.replay(root, pins)

    with pytest.raises(RuntimeError):
        await break_it(world, world.desk(breaks), cost_usd=0.01)
    found = await world.desk().get(1)
    assert found.replay.calls >= len(world.replays) == after
    assert found.replay.usd == pytest.approx(found.replay.calls * 0.01)


async def test_nobody_is_asked_for_calls_that_no_request_is_left_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def only_one(store: Spans, traces: Sequence[str]) -> list[Span]:
        return (await roots_of(store, traces))[:1]

    monkeypatch.setattr("trimtab.incidents.asking.roots_of", only_one)
    incident = await break_it(world, world.desk(world.replay), cost_usd=3.0)
    assert incident.replay.usd >= MAX_USD, "the bound is reached"
    assert incident.replay.wanted == 0, "and the store has lost all other requests"


async def test_whoever_closes_an_incident_ends_its_replays_and_harms_no_review(world: World) -> None:
    async def closes(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        if allowed:
            with suppress(Conflict):
                await desk.close(1, "mara", "It was the prompt.", reason="a test")
        return await world.replay(root, pins)

    allowed = False
    desk = world.desk(closes)
    before = await break_it(world, desk)
    allowed = bool(await desk.allow_replays(before.id, "mara", 1000))
    await desk.review()
    after = await desk.get(before.id)
    assert after.state == "closed"
    assert before.replay.calls < after.replay.calls < before.replay.calls + 100


async def test_who_allows_it_is_named_and_a_closed_incident_stays_closed(world: World) -> None:
    desk = world.desk(world.replay)
    incident = await break_it(world, desk)
    with pytest.raises(BadInput) as refused:
        await desk.allow_replays(incident.id, " ")
    assert refused.value.field == "actor"
    with pytest.raises(NotFound):
        await desk.allow_replays(999, "mara")
    await desk.close(incident.id, "mara", "It was the prompt.", reason="a test")
    with pytest.raises(Conflict):
        await desk.allow_replays(incident.id, "mara", 10)


async def test_without_a_gateway_nothing_can_be_allowed(world: World) -> None:
    with pytest.raises(Conflict, match="asked again"):
        await world.desk().allow_replays(1, "mara", 10)


async def test_it_is_allowed_over_http(world: World) -> None:
    desk = world.desk(world.replay)
    incident = await break_it(world, desk)
    ask = Client(world, desk)
    status, body = await ask("POST", f"/api/incidents/{incident.id}/replay", {"actor": "mara", "calls": 120})
    assert (status, body["replay"]["resume"], body["events"][-1]["kind"]) == (200, True, "allowed")
    assert body["replay"]["allowed"] == MAX_CALLS + 120
    status, body = await ask("POST", f"/api/incidents/{incident.id}/replay", {"actor": "mara", "calls": 10_001})
    assert (status, body["field"]) == (400, "calls")
    status, body = await ask("POST", "/api/incidents/999/replay", {"actor": "mara", "calls": 5})
    assert status == 404
