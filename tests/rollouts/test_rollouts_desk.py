"""The controller and the incident desk look at the same scores: whoever is first acts, and the other sees it done."""

from __future__ import annotations

from dataclasses import replace

from rollout_world import World, plan

from trimtab.incidents import Desk, Incident
from trimtab.rollouts import MACHINE, Guard
from trimtab.watch import Watch, default_monitors


def desk_of(world: World) -> tuple[Desk, Watch]:
    monitors = [replace(monitor, action="rollback") for monitor in default_monitors(lambda _: "mara")]
    watch = Watch(monitors, reference=60)
    desk = Desk(
        metadata=world.metadata, registry=world.registry, store=world.store, watch=watch, replay=None,
        clock=world.clock,
    )  # fmt: skip
    return desk, watch


async def answered(world: World, desk: Desk, watch: Watch) -> list[Incident]:
    """What the desk makes of every score there is."""
    batch = await world.store.tail("", 10_000)
    return [await desk.handle(alarm) for alarm in watch.observe(batch.scores)]


async def test_the_desk_comes_late_to_what_the_controller_took_back(world: World) -> None:
    world.metrics, world.usual = ("cites",), 0.98
    world.truth = {"answer/2": 0.1}
    await world.serve(120)
    controller = await world.controller()
    guards = (Guard(metric="cites"),)
    change = await controller.begin("prompts", "answer", 2, plan(guards=guards, stages=(0.5, 1.0)), actor="mara")
    # The chore reads seldom here, so that enough of the fall is in the store for the desk's detectors as well.
    await world.serve(160)
    await world.turn(controller)
    assert world.registry.rollout(change.rollout).state == "aborted"
    incidents = await answered(world, *desk_of(world))
    assert incidents
    incident = incidents[0]
    assert incident.cause is not None
    assert incident.cause.after == "answer/2"
    assert any("not live any more; nothing had to be moved" in event.text for event in incident.events)
    moves = [(c.action, c.actor) for c in world.registry.changes() if c.rollout == change.rollout]
    assert moves == [("abort", MACHINE), ("rollout", "mara")]
    assert world.registry.labels("prompts", "answer") == {"production": 1}


async def test_the_controller_comes_late_to_what_the_desk_took_back(world: World) -> None:
    world.metrics, world.usual = ("cites",), 0.98
    world.truth = {"answer/2": 0.1}
    await world.serve(120)
    controller = await world.controller()
    guards = (Guard(metric="cites"),)
    change = await controller.begin("prompts", "answer", 2, plan(guards=guards, stages=(0.5, 1.0)), actor="mara")
    await world.serve(160)
    await world.store.flush()
    incidents = await answered(world, *desk_of(world))
    assert {(incident.id, incident.state) for incident in incidents} == {(1, "mitigated")}
    assert world.registry.rollout(change.rollout).state == "aborted"
    await world.turn(controller)
    view = await controller.view(change.rollout)
    assert [event.action for event in view.events] == ["rollback", "start"]
    assert view.events[0].text.startswith("incident 1: ")
    assert len([c for c in world.registry.changes() if c.rollout == change.rollout]) == 2
