"""Rollouts on a real store and registry: stages, rollback, restart, two at once, and people who act meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rollout_world import World, plan

from trimtab.core import BadInput, Conflict, NotFound, Score, Stamp
from trimtab.rollouts import MACHINE, Controller, Guard, View


async def until_ended(world: World, controller: Controller, rollout: str, most: int = 40) -> View:
    for _ in range(most):
        await world.serve(100, controller)
        if world.registry.rollout(rollout).state != "running":
            return await controller.view(rollout)
    raise AssertionError(f"it never ended: {(await controller.view(rollout)).decision}")


async def test_a_healthy_candidate_goes_through_its_stages_and_is_promoted(world: World) -> None:
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(), actor="mara", note="shorter answers")
    view = await until_ended(world, controller, change.rollout, 80)
    steps = [(event.action, event.share, event.actor) for event in reversed(view.events)]
    assert steps == [
        ("start", 0.1, "mara"), ("advance", 0.5, MACHINE), ("advance", 0.95, MACHINE), ("promote", 1.0, MACHINE),
    ]  # fmt: skip
    assert world.registry.labels("prompts", "answer") == {"production": 2}
    times = [event.time_ns for event in view.events]
    assert times[0] - times[1] >= 30 * 10**9, "the holdback was kept for as long as the plan says"
    ledger = [c for c in world.registry.changes() if c.rollout == change.rollout]
    assert [(c.action, c.share) for c in ledger] == [
        ("promote", 1.0),
        ("share", 0.95),
        ("share", 0.5),
        ("rollout", 0.1),
    ]
    assert all("quality" in c.note for c in ledger[:3]), "the reason is in the ledger"
    judged = view.judgements[0]
    assert (judged.state, judged.candidate_n > 100, len(judged.points) > 5) == ("no_worse", True, True)
    assert view.decision is None


async def test_a_bad_candidate_is_taken_back_with_the_reason_in_the_ledger(world: World) -> None:
    world.truth = {"answer/2": 0.6}
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(), actor="mara")
    view = await until_ended(world, controller, change.rollout)
    assert (view.events[0].action, view.events[0].share) == ("rollback", 0.0)
    assert view.judgements[0].candidate_n < 80
    last = world.registry.changes(limit=1)[0]
    assert (last.action, last.before, last.after, last.actor) == ("abort", "answer/2", "answer/1", MACHINE)
    assert last.note.startswith("Quality is worse: 0.")
    assert "evidence" in last.note
    assert view.judgements[0].harm_at > 0
    assert {world.registry.resolve("prompts:/answer@production", key=str(i)).version.number for i in range(99)} == {1}


async def test_a_restart_reads_the_same_evidence_from_the_store(world: World) -> None:
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(stages=(0.3,)), actor="mara")
    await world.serve(300, controller)
    await world.serve(200)
    await world.turn(controller)
    before = await controller.view(change.rollout)
    world.store.close()
    world.metadata.close()
    await world.open()
    again = await world.controller()
    assert (await again.view(change.rollout)).judgements[0].candidate_n == 0
    await world.turn(again)
    after = await again.view(change.rollout)
    assert after.judgements == before.judgements
    assert (after.answers, after.since_ns, after.record) == (before.answers, before.since_ns, before.record)


async def test_what_happened_while_nobody_looked_is_written_down(world: World) -> None:
    controller = await world.controller()
    await world.new("guards", "default")
    ended = await controller.begin("prompts", "answer", 2, plan(), actor="mara")
    other = await world.registry.start_rollout("guards", "default", 2, share=0.5, actor="kim")
    await world.registry.abort(ended.rollout, actor="kim")
    again = await world.controller()
    view = await again.view(ended.rollout)
    assert view.events[0].text == "It ended while no controller was running."
    assert view.record.ended_ns > 0
    adopted = await again.view(other.rollout)
    assert adopted.record.plan.mode == "watch"


async def test_a_rollout_without_a_plan_is_watched_and_never_moved(world: World) -> None:
    world.truth = {"answer/2": 0.3}
    controller = await world.controller()
    change = await world.registry.start_rollout("prompts", "answer", 2, share=0.5, actor="mara")
    await world.serve(400, controller)
    view = await controller.view(change.rollout)
    assert world.registry.rollout(change.rollout).state == "running"
    assert [event.action for event in view.events] == ["harm", "start"], "told once, not at every look"
    quality = next(j for j in view.judgements if j.metric == "quality")
    assert quality.state == "harm"


async def test_two_rollouts_at_once_stay_separable(world: World) -> None:
    """The prompt is harmless, the guard is not; both are at one half, so half of each one's answers meet the other."""
    await world.new("guards", "default")
    world.truth = {"default/2": 0.7}
    controller = await world.controller()
    prompt = await controller.begin("prompts", "answer", 2, plan(stages=(0.5, 1.0)), actor="mara")
    guard = await controller.begin("guards", "default", 2, plan(stages=(0.5, 1.0)), actor="kim")
    await until_ended(world, controller, guard.rollout)
    assert world.registry.rollout(guard.rollout).state == "aborted"
    assert world.registry.rollout(prompt.rollout).state == "running"
    judged = (await controller.view(prompt.rollout)).judgements[0]
    assert judged.state != "harm"
    await until_ended(world, controller, prompt.rollout, 80)
    assert world.registry.rollout(prompt.rollout).state == "promoted"


async def test_the_arms_of_another_rollout_are_compared_like_with_like(world: World) -> None:
    """While a bad guard grows from few to all, whoever looks at sums only sees the prompt's candidate get worse."""
    await world.new("guards", "default")
    world.truth = {"default/2": 0.5}
    controller = await world.controller()
    watching = plan(mode="watch", stages=())
    prompt = await controller.begin("prompts", "answer", 2, watching, share=0.05, actor="mara")
    guard = await controller.begin("guards", "default", 2, watching, share=0.02, actor="kim")
    await world.serve(600, controller)
    # From here on both are everywhere: the candidate's answers are the new ones, and the new ones are bad.
    await controller.by_hand.share(prompt.rollout, 0.9, actor="mara")
    await world.registry.set_share(guard.rollout, 0.9, actor="kim")
    await world.serve(900, controller)
    judged = (await controller.view(prompt.rollout)).judgements[0]
    assert judged.candidate_mean < judged.base_mean - 0.2, "pooled, the candidate looks much worse"
    assert judged.state != "harm"
    assert abs(judged.difference) < 0.1
    assert (await controller.view(guard.rollout)).judgements[0].state == "harm"


async def test_whoever_is_first_acts_and_the_other_sees_it(world: World) -> None:
    world.truth = {"answer/2": 0.4}
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(), actor="mara")
    await world.serve(300)
    await world.registry.rollback("prompts", "answer", actor="incident desk", note="incident 3: cites fell")
    await world.turn(controller)
    view = await controller.view(change.rollout)
    assert [(event.action, event.actor) for event in view.events] == [("rollback", "incident desk"), ("start", "mara")]
    assert view.events[0].text == "incident 3: cites fell"
    moves = [c.action for c in world.registry.changes() if c.rollout == change.rollout]
    assert moves == ["rollback", "rollout"], "the controller did not act after it"
    assert world.registry.labels("prompts", "answer") == {"production": 1}


async def test_a_refused_promotion_is_said_once_and_tried_again(world: World) -> None:
    world.usual = 1.0
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(stages=(1.0,), holdback=0.5), actor="mara")
    await world.registry.protect(("prompts", "answer"), "production", role="", gate="expert", actor="kim")
    await world.serve(900, controller)
    view = await controller.view(change.rollout)
    notes = [event.text for event in view.events if event.action == "note"]
    assert len(notes) == 1
    assert notes[0].startswith("Could not promote")


async def test_pause_keeps_the_share_and_resume_goes_on(world: World) -> None:
    world.usual = 1.0
    controller = await world.controller()
    hands = controller.by_hand
    change = await controller.begin("prompts", "answer", 2, plan(), actor="mara")
    await hands.pause(change.rollout, actor="jonas", reason="looking at an odd answer")
    with pytest.raises(Conflict, match="paused by jonas"):
        await hands.pause(change.rollout, actor="kim")
    await world.serve(600, controller)
    assert world.registry.rollout(change.rollout).share == 0.1
    decision = controller.standing(change.rollout)
    assert decision is not None
    assert decision.text == "Paused by jonas: looking at an odd answer."
    again = await world.controller()
    paused = again.standing(change.rollout)
    assert paused is not None
    assert paused.text == decision.text, "a pause outlives the process"
    await hands.resume(change.rollout, actor="jonas")
    with pytest.raises(Conflict, match="not paused"):
        await hands.resume(change.rollout, actor="jonas")
    await world.turn(controller)
    assert world.registry.rollout(change.rollout).share == 0.5


async def test_a_hand_past_an_undecided_test_needs_a_reason(world: World) -> None:
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(), actor="mara")
    with pytest.raises(BadInput, match="Promoting it all the same needs a reason") as caught:
        await controller.by_hand.promote(change.rollout, actor="mara")
    assert caught.value.field == "reason"
    await controller.by_hand.promote(change.rollout, actor="mara", reason="the old one is unlawful")
    note = world.registry.changes(limit=1)[0].note
    assert note.startswith("Past a test that has not passed: the old one is unlawful")
    assert "(Quality was not measured)" in note
    with pytest.raises(Conflict, match="promoted already"):
        await controller.by_hand.abort(change.rollout, actor="mara")


async def test_more_exposure_to_shown_harm_needs_a_reason_and_less_does_not(world: World) -> None:
    world.truth = {"answer/2": 0.3}
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(mode="watch"), share=0.5, actor="mara")
    await world.serve(300, controller)
    hands = controller.by_hand
    with pytest.raises(BadInput, match="More of it needs a reason"):
        await hands.share(change.rollout, 0.9, actor="mara")
    await hands.share(change.rollout, 0.2, actor="mara")
    await hands.share(change.rollout, 0.3, actor="mara", reason="reproducing it")
    assert world.registry.changes(limit=1)[0].note == "reproducing it"
    with pytest.raises(BadInput, match="not a share"):
        await hands.share(change.rollout, 1.5, actor="mara", reason="reproducing it")
    await hands.abort(change.rollout, actor="mara", reason="seen enough")
    assert (await controller.view(change.rollout)).events[0].text == "seen enough"


async def test_only_drawn_requests_count(world: World) -> None:
    """A version asked for by number, or through another label, was not drawn: it says nothing about the rollout."""
    controller = await world.controller()
    change = await controller.begin("prompts", "answer", 2, plan(mode="watch"), share=0.5, actor="mara")
    for _ in range(100):
        world.one(arms=False)
    stray = Score(id="x:quality", trace_id="f" * 32, name="quality", value=0.0, by="user", time_ns=1,
                  stamp=Stamp(prompt="answer/2"))  # fmt: skip
    await world.store.write(scores=[stray])
    await world.turn(controller)
    judged = (await controller.view(change.rollout)).judgements[0]
    assert (judged.base_n, judged.candidate_n, judged.state) == (0, 0, "not_measured")


async def test_a_session_counts_once_unless_the_plan_says_otherwise(world: World) -> None:
    controller = await world.controller()
    once = await controller.begin("prompts", "answer", 2, plan(mode="watch"), share=0.5, actor="mara")
    await world.new("guards", "default")
    every = await controller.begin(
        "guards", "default", 2, plan(mode="watch", every_answer=True), share=0.5, actor="mara"
    )  # fmt: skip
    await world.serve(40, controller)
    for _ in range(3):
        world.asked -= 1  # the same session asks again
        spans, trace = world.asked, f"{1000 + world.draw.randrange(10**6):032x}"
        world.one(trace_id=trace)
        assert world.asked == spans + 1
    await world.turn(controller)
    totals = {}
    for change in (once, every):
        judged = (await controller.view(change.rollout)).judgements[0]
        totals[change.rollout] = judged.base_n + judged.candidate_n
    assert totals == {once.rollout: 40, every.rollout: 43}


async def test_slower_and_dearer_answers_are_harm(world: World) -> None:
    await world.serve(200)
    await world.store.flush()
    world.took_s, world.cost = {"answer/2": 0.9}, {"answer/2": 0.002}
    controller = await world.controller()
    guards = (Guard(metric="latency"), Guard(metric="cost"))
    change = await controller.begin("prompts", "answer", 2, plan(guards=guards), actor="mara")
    limits = (await controller.view(change.rollout)).record.limits
    assert limits["latency"].most == pytest.approx(0.6 * 1.1, rel=0.05), "the base version's 95th percentile, and room"
    assert limits["cost"].most == pytest.approx(0.001 * 1.1)
    view = await until_ended(world, controller, change.rollout)
    assert world.registry.rollout(change.rollout).state == "aborted"
    assert "limit kept is worse" in view.events[0].text


async def test_limits_are_learnt_from_the_first_answers_where_there_were_none(world: World) -> None:
    controller = await world.controller()
    change = await controller.begin(
        "prompts", "answer", 2, plan(mode="watch", guards=(Guard(metric="latency"),)), share=0.5, actor="mara"
    )  # fmt: skip
    await world.serve(100, controller)
    assert (await controller.view(change.rollout)).judgements[0].state == "not_measured"
    await world.serve(300, controller)
    record = (await controller.view(change.rollout)).record
    assert 0.5 < record.limits["latency"].most < 0.7
    counted = (await controller.view(change.rollout)).judgements[0]
    again = await world.controller()
    await world.turn(again)
    rebuilt = (await again.view(change.rollout)).judgements[0]
    assert rebuilt == replace(counted, points=rebuilt.points), "answers that set the limit are not judged by it"


async def test_lower_is_better_where_the_plan_says_so(world: World) -> None:
    world.truth = {"answer/2": 0.5}
    controller = await world.controller()
    guards = (Guard(metric="quality", better="lower"),)
    change = await controller.begin("prompts", "answer", 2, plan(mode="watch", guards=guards), share=0.5, actor="mara")
    await world.serve(200, controller)
    judged = (await controller.view(change.rollout)).judgements[0]
    assert judged.difference > 0.2
    assert judged.state == "no_worse"


async def test_what_is_not_there_is_named(world: World) -> None:
    controller = await world.controller()
    with pytest.raises(NotFound):
        await controller.view("rol_none")
    with pytest.raises(NotFound):
        await controller.by_hand.abort("rol_none", actor="mara")
    with pytest.raises(NotFound):
        await controller.begin("prompts", "nobody", 1, plan(), actor="mara")
    with pytest.raises(BadInput, match="no mode"):
        await controller.begin("prompts", "answer", 2, plan(mode="x"), actor="mara")
    assert controller.standing("rol_none") is None
    change = await controller.begin("prompts", "answer", 2, plan(), actor="mara")
    with pytest.raises(Conflict, match="running rollout"):
        await controller.begin("prompts", "answer", 2, plan(), actor="mara")
    assert world.registry.rollout(change.rollout).state == "running"


async def test_the_chore_runs_by_itself_and_stops(world: World) -> None:
    world.truth = {"answer/2": 0.2}
    controller = Controller(metadata=world.metadata, registry=world.registry, store=world.store, clock=world.clock)
    await controller.start()
    change = await controller.begin("prompts", "answer", 2, plan(), actor="mara")
    for _ in range(20):
        await world.serve(50)
        await controller.settle()
        if world.registry.rollout(change.rollout).state != "running":
            break
    assert world.registry.rollout(change.rollout).state == "aborted"
    await controller.stop()
    await controller.stop()
