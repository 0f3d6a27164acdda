"""Shadow: both versions answer, one is served, and only what differs decides."""

from __future__ import annotations

from collections.abc import Mapping

from rollout_world import World, plan

from trimtab.core import ModelError, Span, SpanQuery
from trimtab.rollouts import Controller

EVERYTHING = SpanQuery(limit=1000)


async def shadow(world: World, controller: Controller, requests: int) -> None:
    for _ in range(requests // 10):
        await world.serve(10, controller)
        await controller.shadowed()
    await world.turn(controller)


async def test_a_good_candidate_leaves_its_shadow_and_is_then_served(world: World) -> None:
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(mode="shadow"), actor="mara")
    assert world.registry.rollout(change.rollout).share == 0.0
    await shadow(world, controller, 30)
    assert {span.stamp.prompt for span in (await world.store.query(EVERYTHING)).spans} == {"answer/1"}
    await shadow(world, controller, 300)
    view = await controller.view(change.rollout)
    assert [(event.action, event.share) for event in view.events][-2:] == [("advance", 0.1), ("start", 0.0)]
    asked = world.replays
    await shadow(world, controller, 200)
    assert world.replays == asked, "once it is served nobody is asked twice"
    judged = (await controller.view(change.rollout)).judgements[0]
    assert judged.pairs > 0
    assert judged.candidate_n > 0


async def test_a_bad_candidate_never_serves_anybody(world: World) -> None:
    world.truth = {"answer/2": 0.5}
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(mode="shadow"), actor="mara")
    await shadow(world, controller, 200)
    assert world.registry.rollout(change.rollout).state == "aborted"
    view = await controller.view(change.rollout)
    assert "pairs" in view.events[0].text
    assert view.judgements[0].base_n == view.judgements[0].candidate_n == 0
    spans = (await world.store.query(EVERYTHING)).spans
    assert {span.stamp.prompt for span in spans} == {"answer/1"}


async def test_second_answers_are_bounded_in_number_and_money(world: World) -> None:
    controller = await world.controller()
    await world.new("guards", "default")
    few = plan(mode="shadow", shadow_answers=15, least_answers=1000)
    change = await controller.begin("prompts", "answer", 2, few, actor="mara")
    cheap = plan(mode="shadow", shadow_usd=0.0095, least_answers=1000)
    other = await controller.begin("guards", "default", 2, cheap, actor="mara")
    await shadow(world, controller, 200)
    assert (await controller.view(change.rollout)).asked == 15
    assert (await controller.view(other.rollout)).asked == 10, "at a tenth of a cent each"
    assert world.replays == 25


async def test_a_restart_keeps_the_pairs_and_the_budget(world: World) -> None:
    controller = await world.controller()
    few = plan(mode="shadow", shadow_answers=20, least_answers=1000)
    change = await controller.begin("prompts", "answer", 2, few, actor="mara")
    await shadow(world, controller, 60)
    before = await controller.view(change.rollout)
    assert before.judgements[0].pairs == 20
    again = await world.controller()
    await shadow(world, again, 60)
    after = await again.view(change.rollout)
    assert after.asked == 20
    assert after.judgements == before.judgements
    assert world.replays == 20


async def test_served_answers_keep_only_their_own_scores(world: World) -> None:
    controller = await world.controller()
    await controller.begin("prompts", "answer", 2, plan(mode="shadow", least_answers=1000), actor="mara")
    await shadow(world, controller, 20)
    root = (await world.store.query(EVERYTHING)).spans[0]
    trace = await world.store.trace(root.trace_id)
    assert trace is not None
    assert [score.name for score in trace.scores] == ["quality"]
    seconds = await world.store.scores(since_ns=0, until_ns=0, name="shadow:quality")
    assert len(seconds) == world.replays == 20
    assert {(score.by_version, score.stamp.prompt, score.project) for score in seconds} == {
        ("answer/2", "answer/2", "trimtab")
    }


async def test_a_second_answer_that_does_not_come_is_no_verdict(world: World) -> None:
    async def away(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        world.replays += 1
        raise ModelError("the vendor is away")

    controller = Controller(
        metadata=world.metadata, registry=world.registry, store=world.store, clock=world.clock, again=away
    )
    await controller.load()
    change = await controller.begin("prompts", "answer", 2, plan(mode="shadow", shadow_answers=7), actor="mara")
    await shadow(world, controller, 60)
    view = await controller.view(change.rollout)
    assert world.replays == 7, "what failed is not tried for ever"
    assert view.judgements[0].state == "not_measured"
