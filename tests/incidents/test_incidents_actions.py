"""Actions beyond a rollback: what each would do, why it does not apply, that it is done once and taken back exactly."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from incident_world import Truth, World

from trimtab.core import BadInput, Conflict, NotFound
from trimtab.guard import DEFAULT_POLICY, compile_policy
from trimtab.incidents import TITLES, Deed, Desk, Incident, Wanted
from trimtab.incidents.postmortem import postmortem
from trimtab.rollouts import Controller, Plan

BEFORE, AFTER = "scripted/steady=steady-2026-01@a", "scripted/steady=steady-2026-06@b"


def live(world: World, kind: str, name: str) -> int:
    return world.registry.labels(kind, name).get("production", 0)


async def guarded(world: World) -> None:
    world.registry._checks = {"guards": compile_policy}
    await world.registry.register("guards", "default", DEFAULT_POLICY, author="ilse")
    await world.registry.move_label("guards", "default", "production", 1, actor="ilse")


async def with_rollouts(world: World, desk: Desk) -> Controller:
    controller = Controller(metadata=world.metadata, registry=world.registry, store=world.store, clock=world.clock)
    await controller.load()
    desk.acts.rollouts = controller
    return controller


async def unexplained(world: World, desk: Desk) -> Incident:
    """An incident of which nothing is to blame."""
    await world.serve(desk, 120)
    world.truth = Truth(usual=0.3)
    return (await world.serve(desk, 400, until_alarm=True))[0]


async def bad_prompt(world: World, desk: Desk, *, share: float) -> Incident:
    await world.serve(desk, 120)
    await world.new_prompt("be brief")
    world.truth = Truth(bad={"support-answer/2": 0.2})
    if share < 1.0:
        await world.registry.start_rollout("prompts", "support-answer", 2, share=share, actor="mara")
        if desk.acts.rollouts is not None:
            await desk.acts.rollouts.turn()
    else:
        await world.registry.move_label("prompts", "support-answer", "production", 2, actor="mara")
    return (await world.serve(desk, 600, until_alarm=True))[0]


async def vendor_swap(world: World, desk: Desk) -> Incident:
    await world.serve(desk, 120)
    world.model = AFTER
    world.truth = Truth(bad={world.model: 0.2})
    await world.registry.record_external("models", "scripted/steady", before=BEFORE, after=AFTER, note="another")
    return (await world.serve(desk, 400, until_alarm=True))[0]


def deed(incident: Incident) -> Deed:
    return incident.deeds[-1]


async def test_every_action_is_offered_with_what_it_would_do_or_why_not(world: World) -> None:
    await guarded(world)
    desk = world.desk(None)
    incident = await unexplained(world, desk)
    offers = {offer.action: offer for offer in desk.acts.offers(incident)}
    assert list(offers) == list(TITLES)
    assert all(bool(offer.text) != bool(offer.reason) for offer in offers.values())
    assert offers["rollback"].reason == "no cause is known"
    assert offers["switch_route"].text == "sends support to scripted/reserve"
    assert "no change of a model" in offers["pin_model"].reason
    assert offers["pause_rollout"].reason == "no rollout is among the suspects"
    assert offers["tighten_guard"].text.startswith("lowers ")
    assert offers["relax_guard"].text.startswith("raises ")
    for action in ("rollback", "pin_model", "pause_rollout"):
        with pytest.raises(Conflict, match=offers[action].reason.split(" ")[0] if action != "rollback" else "No cause"):
            await desk.act(incident.id, Wanted(action=action), "jonas")
    assert (await desk.get(incident.id)).deeds == (), "what does not apply leaves nothing behind"


async def test_a_route_is_switched_to_its_fallback_and_back(world: World) -> None:
    desk = world.desk(None)
    incident = await unexplained(world, desk)
    done = await desk.act(incident.id, Wanted(action="switch_route"), "jonas")
    assert (done.state, deed(done).state, deed(done).actor) == ("mitigated", "done", "jonas")
    route = world.registry.resolve("routes:/support@production").version
    assert route.content["targets"] == [{"model": "scripted/reserve", "weight": 1}]
    assert route.content["fallback"] == ["scripted/steady"]
    (change,) = [c for c in world.registry.changes() if c.id in deed(done).changes]
    assert f"incident {incident.id}" in change.note
    assert change.actor == "jonas"
    back = await desk.undo(incident.id, deed(done).id, "kim")
    assert (back.state, deed(back).state, deed(back).undone_by) == ("open", "undone", "kim")
    assert live(world, "routes", "support") == 1
    assert "routes:/support stands at support/1" in back.events[-1].text
    written = postmortem(back)
    assert "## What was done" in written
    assert "sends support to scripted/reserve (undone, by jonas; taken back by kim)." in written
    with pytest.raises(Conflict, match="is undone"):
        await desk.undo(incident.id, deed(done).id, "kim")
    with pytest.raises(Conflict, match="No action"):
        await desk.undo(incident.id, "", "kim")


async def test_what_moved_on_since_is_not_taken_back_and_the_action_stays_done(world: World) -> None:
    desk = world.desk(None)
    incident = await unexplained(world, desk)
    done = await desk.act(incident.id, Wanted(action="switch_route"), "jonas")
    third = {"targets": [{"model": "scripted/third", "weight": 1}]}
    await world.registry.register("routes", "support", third, author="kim")
    await world.registry.move_label("routes", "support", "production", 3, actor="kim")
    with pytest.raises(Conflict, match="moved on"):
        await desk.undo(incident.id, deed(done).id, "jonas")
    kept = await desk.get(incident.id)
    assert (deed(kept).state, kept.state) == ("done", "mitigated")
    assert live(world, "routes", "support") == 3


async def test_a_model_is_pinned_to_the_last_version_that_answered_before(world: World) -> None:
    world.watch = world.new_watch("page")
    desk = world.desk(None)
    incident = await vendor_swap(world, desk)
    assert incident.cause is not None
    done = await desk.act(incident.id, Wanted(action="pin_model"), "jonas")
    content = world.registry.resolve("routes:/support@production").version.content
    assert content["targets"] == [{"model": "scripted/steady-2026-01", "weight": 1}]
    assert done.state == "mitigated"
    await desk.undo(incident.id, "", "jonas")
    assert live(world, "routes", "support") == 1


async def test_a_model_without_another_name_cannot_be_pinned(world: World) -> None:
    world.watch = world.new_watch("page")
    desk = world.desk(None)
    await world.serve(desk, 120)
    await world.registry.record_external(
        "models", "scripted/steady", before="scripted/steady=s@1", after="scripted/steady=s@2", note="fingerprint"
    )
    world.truth = Truth(usual=0.3)
    incident = (await world.serve(desk, 400, until_alarm=True))[0]
    with pytest.raises(Conflict, match="calls it s before and after"):
        await desk.act(incident.id, Wanted(action="pin_model", target="scripted/steady"), "jonas")
    with pytest.raises(Conflict, match="nothing was seen to change behind scripted/other"):
        await desk.act(incident.id, Wanted(action="pin_model", target="models:/scripted/other"), "jonas")


async def test_a_guard_is_tightened_by_a_step_relaxed_and_moved_to_a_named_version(world: World) -> None:
    await guarded(world)
    desk = world.desk(None)
    incident = await unexplained(world, desk)
    tighter = await desk.act(incident.id, Wanted(action="tighten_guard"), "ilse")
    before = thresholds(world, 1)
    after = thresholds(world, live(world, "guards", "default"))
    assert before.keys() == after.keys()
    assert after["input:indirect-injection-removed"] == pytest.approx(0.6)
    assert all(after[rule] <= before[rule] for rule in before)
    assert "input:injection" in after
    again = await desk.act(incident.id, Wanted(action="tighten_guard", target="guards:/default"), "ilse")
    assert live(world, "guards", "default") == 3, "a second step goes further"
    assert [d.state for d in again.deeds] == ["done", "done"]
    with pytest.raises(Conflict, match="moved on"):
        await desk.undo(incident.id, deed(tighter).id, "ilse")
    await desk.undo(incident.id, "", "ilse")
    await desk.undo(incident.id, "", "ilse")
    assert live(world, "guards", "default") == 1
    relaxed = await desk.act(incident.id, Wanted(action="relax_guard", to="3"), "ilse")
    assert live(world, "guards", "default") == 3
    assert "from version 1 to 3" in deed(relaxed).text
    for to, why in (("3", "is live already"), ("77", "has no version 77"), ("x", "has no version x")):
        with pytest.raises(Conflict, match=why):
            await desk.act(incident.id, Wanted(action="relax_guard", to=to), "ilse")
    await desk.act(incident.id, Wanted(action="relax_guard", to="previous"), "ilse")
    assert live(world, "guards", "default") == 2


def thresholds(world: World, number: int) -> dict[str, float]:
    content = world.registry.version("guards", "default", number).content
    return {
        f"{stage}:{rule.get('name', rule.get('scanner'))}": rule.get("threshold", 1.0)
        for stage, rules in content["stages"].items()
        for rule in rules
        if "scanner" in rule and rule["action"] != "flag"
    }


async def test_a_rollout_is_paused_goes_on_and_is_paused_once(world: World) -> None:
    world.watch = world.new_watch("page")
    desk = world.desk(None)
    controller = await with_rollouts(world, desk)
    incident = await bad_prompt(world, desk, share=0.5)
    done = await desk.act(incident.id, Wanted(action="pause_rollout"), "jonas")
    (running,) = world.registry.rollouts(running=True)
    assert (done.state, done.events[-1].kind) == ("open", "contained")
    assert (await controller.view(running.id)).record.paused
    assert next(iter(world.registry.changes())).action == "external", "the ledger has a line of it"
    with pytest.raises(Conflict, match="paused already"):
        await desk.act(incident.id, Wanted(action="pause_rollout"), "kim")
    back = await desk.undo(incident.id, "", "kim")
    assert not (await controller.view(running.id)).record.paused
    assert (back.state, back.events[-1].kind) == ("open", "undone")
    assert world.registry.rollout(running.id).share == 0.5, "nothing moved"


async def test_a_rollback_of_a_rollout_is_taken_back_by_starting_it_as_it_was(world: World) -> None:
    world.watch = world.new_watch("page")
    desk = world.desk(None)
    controller = await with_rollouts(world, desk)
    await world.serve(desk, 120)
    await world.new_prompt("be brief")
    world.truth = Truth(bad={"support-answer/2": 0.2})
    plan = Plan(mode="watch", stages=(0.5, 1.0))
    started = await controller.begin("prompts", "support-answer", 2, plan, share=0.5, sticky="user", actor="mara")
    incident = (await world.serve(desk, 600, until_alarm=True))[0]
    done = await desk.rollback(incident.id, "jonas")
    assert world.registry.rollouts(running=True) == []
    assert done.state == "mitigated"
    back = await desk.undo(incident.id, "", "mara")
    (again,) = world.registry.rollouts(running=True)
    assert (again.candidate, again.share, again.sticky, again.label) == (2, 0.5, "user", "production")
    assert again.id != started.rollout
    record = (await controller.view(again.id)).record
    assert (record.plan.mode, record.plan.stages) == ("watch", (0.5, 1.0))
    assert back.state == "open"


async def test_the_machine_pauses_when_its_monitor_says_so_and_waits_for_people(world: World) -> None:
    world.watch = world.new_watch("pause_rollout")
    desk = world.desk(None)
    controller = await with_rollouts(world, desk)
    incident = await bad_prompt(world, desk, share=0.5)
    assert (incident.state, deed(incident).action, deed(incident).actor) == ("open", "pause_rollout", "trimtab")
    (running,) = world.registry.rollouts(running=True)
    assert (await controller.view(running.id)).record.paused
    assert any("the rollout is paused" in event.text for event in incident.events if event.kind == "page")
    await world.serve(desk, 300)
    assert len((await desk.get(incident.id)).deeds) == 1, "it is paused once, however often the alarm comes"


async def test_the_machine_does_not_act_on_what_is_only_likely(world: World) -> None:
    world.watch = world.new_watch("switch_route")
    incident = await bad_prompt(world, world.desk(None), share=1.0)
    assert incident.report is not None
    assert (incident.report.certainty, incident.deeds) == ("likely", ())
    assert "not proven" in next(e.text for e in incident.events if e.kind == "page")


async def test_the_machine_switches_the_route_when_the_vendors_change_is_proven(world: World) -> None:
    world.watch = world.new_watch("switch_route")
    desk = world.desk(world.replay)
    incident = await vendor_swap(world, desk)
    assert (incident.state, deed(incident).action) == ("mitigated", "switch_route")
    content = world.registry.resolve("routes:/support@production").version.content
    assert content["targets"][0]["model"] == "scripted/reserve"


async def test_what_a_person_took_back_the_machine_does_not_do_again(world: World) -> None:
    desk = world.desk(world.replay)
    incident = await bad_prompt(world, desk, share=1.0)
    assert incident.state == "mitigated"
    back = await desk.undo(incident.id, "", "mara")
    assert live(world, "prompts", "support-answer") == 2
    assert back.state == "open"
    await world.serve(desk, 400)
    after = await desk.get(incident.id)
    assert live(world, "prompts", "support-answer") == 2, "a person decided"
    assert [d.state for d in after.deeds] == ["undone"]


async def test_two_people_who_act_at_once_act_once(world: World) -> None:
    desk = world.desk(None)
    incident = await unexplained(world, desk)
    outcomes = await asyncio.gather(
        *(desk.act(incident.id, Wanted(action="switch_route"), who) for who in ("jonas", "kim")), return_exceptions=True
    )
    done = [outcome for outcome in outcomes if isinstance(outcome, Incident)]
    assert done
    # The second switch finds reserve first and steady behind it: it would switch back, and may.
    assert live(world, "routes", "support") == 1 + len(done) or live(world, "routes", "support") == 1
    assert len((await desk.get(incident.id)).deeds) == len(done)


@pytest.mark.parametrize("moved", [False, True])
async def test_a_crash_around_an_action_neither_loses_nor_repeats_it(world: World, moved: bool) -> None:
    """The deed stands planned in the record; the label was not moved, or moved, when the process died."""
    desk = world.desk(None)
    incident = await unexplained(world, desk)
    if moved:
        done = await desk.act(incident.id, Wanted(action="switch_route"), "jonas")
        planned = replace(deed(done), state="planned", changes=())
        await desk._change(incident.id, lambda i, now: replace(i, deeds=(planned,), state="open", mitigated_ns=0))
    else:

        async def dies(incident: Incident, deed: Deed) -> Incident:
            raise KeyboardInterrupt

        desk.acts._carry_out = dies  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            await desk.act(incident.id, Wanted(action="switch_route"), "jonas")
    assert live(world, "routes", "support") == 1 + moved
    ledger = len(world.registry.changes())
    for _ in range(2):
        (found,) = await world.desk(None).load()
        assert (deed(found).state, found.state) == ("done", "mitigated")
        assert live(world, "routes", "support") == 2
        assert len(world.registry.changes()) == ledger + (not moved)
        assert len(deed(found).changes) == 1
    await world.desk(None).undo(incident.id, "", "jonas")
    assert live(world, "routes", "support") == 1


async def test_a_crash_is_taken_up_though_the_monitor_was_turned_off(world: World) -> None:
    desk = world.desk(None)
    incident = await bad_prompt(world, desk, share=1.0)
    await desk._change(incident.id, lambda i, now: replace(i, pending=True))
    world.watch.adopt([monitor for monitor in world.watch.monitors if monitor.signal != "cites"])
    (found,) = await world.desk(world.replay).load()
    assert (found.pending, found.state) == (False, "open")


async def test_a_crash_in_an_undo_is_finished(world: World) -> None:
    desk = world.desk(None)
    incident = await unexplained(world, desk)
    done = await desk.act(incident.id, Wanted(action="switch_route"), "jonas")
    for undone_before in (False, True):
        half = replace(deed(done), state="undoing", undone_by="kim")
        await desk._change(
            incident.id,
            lambda i, now, half=half: replace(i, deeds=(half,), state="mitigated", mitigated_ns=1),  # type: ignore[misc]
        )
        ledger = len(world.registry.changes())
        (found,) = await world.desk(None).load()
        assert (deed(found).state, found.state) == ("undone", "open")
        assert live(world, "routes", "support") == 1
        assert len(world.registry.changes()) == ledger + (not undone_before)


async def test_acting_needs_a_name_and_a_known_action(world: World) -> None:
    desk = world.desk(None)
    incident = await unexplained(world, desk)
    for action, actor, field in (("switch_route", " ", "actor"), ("pray", "kim", "action")):
        with pytest.raises(BadInput) as caught:
            await desk.act(incident.id, Wanted(action=action), actor)
        assert caught.value.field == field
    with pytest.raises(NotFound):
        await desk.act(99, Wanted(action="switch_route"), "kim")
    with pytest.raises(NotFound):
        await desk.undo(incident.id, "act_none", "kim")
    await desk.close(incident.id, "kim", "Look at the vendor.", reason="test")
    with pytest.raises(Conflict, match="is closed"):
        await desk.act(incident.id, Wanted(action="switch_route"), "kim")
    assert all(offer.reason for offer in desk.acts.offers(await desk.get(incident.id)))
