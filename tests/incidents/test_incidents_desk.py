"""From an alarm to a lesson, with every room real but the model behind the replay."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import pytest
from incident_world import PROMPTS, Truth, World

from trimtab.core import BadInput, Conflict, ModelError, NotFound, Span
from trimtab.incidents import DATASET, Desk, Incident, IncidentEvent, states
from trimtab.incidents.desk import MAX_ALARMS
from trimtab.incidents.records import Written
from trimtab.registry import Registry
from trimtab.store import Metadata
from trimtab.watch import Silence


async def break_prompt(world: World, desk: Desk, *, share: float = 0.5) -> Incident:
    """Roll out a prompt that forgets to cite, and serve until the alarm is answered."""
    await world.serve(desk, 120)
    number = await world.new_prompt(PROMPTS[1])
    world.truth = Truth(bad={f"support-answer/{number}": 0.1})
    if share < 1:
        await world.registry.start_rollout("prompts", "support-answer", number, share=share, actor="mara")
    else:
        await world.registry.move_label("prompts", "support-answer", "production", number, actor="mara")
    found = await world.serve(desk, 400, until_alarm=True)
    assert found, "the fault must be seen"
    return found[0]


async def test_a_bad_rollout_is_named_proven_and_taken_back(world: World) -> None:
    desk = world.desk(world.replay)
    told: list[tuple[int, str]] = []
    desk.on_event.append(lambda incident, event: told.append((incident.id, event.kind)))
    incident = await break_prompt(world, desk)

    assert (incident.state, incident.layer, incident.signal) == ("mitigated", 3, "cites")
    assert incident.report is not None
    assert incident.report.cause is not None
    assert incident.report.cause.after == "support-answer/2"
    assert incident.report.certainty == "proven"
    assert incident.owner == "owner-prompt"
    # What is shown is the mean of the reference, not the bound that is bet against.
    shown = world.watch.baselines("cites")["billing"].mean
    assert shown == pytest.approx(world.truth.usual, abs=0.08)
    assert incident.report.baseline == pytest.approx(shown)
    assert incident.title.startswith(f"Answers stopped citing their sources: cites fell from {shown:.2f} to 0.")
    assert incident.title.endswith(" with prompts support-answer/2")
    assert world.registry.running("prompts", "support-answer") is None
    assert world.registry.labels("prompts", "support-answer")["production"] == 1
    assert [event.kind for event in incident.events] == ["alarm", "verdict", "action", "cases"]
    assert {event.actor for event in incident.events} == {"trimtab"}
    whole = await desk.get(incident.id)
    assert told == [(incident.id, event.kind) for event in whole.events], "each is told once, when it is in the record"
    assert [event.kind for event in whole.events[4:]] == ["joined"], "the slice's own detector says the same"
    assert 0 < incident.onset_ns <= incident.alarm_ns <= incident.verdict_ns <= incident.mitigated_ns
    assert world.replays == [], "chance has proven it; asking again would only cost"


async def test_its_failing_requests_become_cases(world: World) -> None:
    incident = await break_prompt(world, world.desk())
    number = world.registry.labels("datasets", DATASET)["production"]
    cases = world.registry.version("datasets", DATASET, number).content["cases"]
    assert len(cases) == incident.cases > 5
    traces = [await world.store.trace(case["source_trace"]) for case in cases]
    for case, trace in zip(cases, traces, strict=True):
        assert trace is not None
        assert case["input"] == trace.spans[0].input
        assert trace.spans[0].stamp.prompt == "support-answer/2"
        assert trace.scores[0].value == 0.0
        assert case["tags"] == {"topic": "billing", "signal": "cites"}
        assert "prompts support-answer/2" in case["note"]


async def test_after_the_rollback_answers_recover_and_nothing_else_opens(world: World) -> None:
    desk = world.desk()
    incident = await break_prompt(world, desk)
    later = await world.serve(desk, 400)
    assert [i.id for i in later if i.id != incident.id] == []
    assert len(await desk.list()) == 1


async def test_signals_that_fall_together_are_one_incident(world: World) -> None:
    world.signals = ("cites", "grounded", "quality")
    desk = world.desk()
    incident = await break_prompt(world, desk)
    await world.serve(desk, 60)
    found = await desk.list()
    assert [i.id for i in found] == [incident.id]
    # Verdicts have most of the budget and alarm first; what fell with them and has not alarmed yet is in the report.
    assert found[0].signal == "quality"
    assert found[0].report is not None
    assert {*found[0].signals, *found[0].report.signals} == {"cites", "grounded", "quality"}
    assert [e.kind for e in found[0].events].count("action") == 1


async def test_a_change_for_everybody_is_proven_by_asking_again(world: World) -> None:
    desk = world.desk(world.replay)
    incident = await break_prompt(world, desk, share=1.0)
    assert incident.report is not None
    assert incident.report.certainty == "proven"
    assert incident.state == "mitigated"
    assert world.registry.labels("prompts", "support-answer")["production"] == 1
    arms = {arm.layer: arm for arm in incident.report.arms}
    assert arms[3].e_value >= 500
    assert arms[3].passed > arms[None].passed
    assert arms[3].n < 40, "it stops when it is decided"
    assert {pins["prompts"] for pins in world.replays} == {"support-answer/1", "support-answer/2"}
    assert [e.kind for e in incident.events] == ["alarm", "verdict", "replay", "verdict", "action", "cases"]


async def test_without_proof_it_waits_for_its_owner_who_rolls_back(world: World) -> None:
    desk = world.desk(None)
    incident = await break_prompt(world, desk, share=1.0)
    assert incident.report is not None
    assert (incident.state, incident.report.certainty) == ("open", "likely")
    assert world.registry.labels("prompts", "support-answer")["production"] == 2
    assert incident.events[-2].text.startswith("waits for owner-prompt: the cause is likely, not proven")
    await desk.acknowledge(incident.id, "jonas")
    done = await desk.rollback(incident.id, "jonas")
    assert (done.state, done.acknowledged_by) == ("mitigated", "jonas")
    assert world.registry.labels("prompts", "support-answer")["production"] == 1
    assert next(change for change in world.registry.changes() if change.action == "rollback").actor == "jonas"
    with pytest.raises(Conflict, match="ago by jonas"):
        await desk.rollback(incident.id, "kim")
    assert world.registry.labels("prompts", "support-answer")["production"] == 1


async def test_a_monitor_that_pages_never_acts(world: World) -> None:
    world.watch = world.new_watch("page")
    incident = await break_prompt(world, world.desk(world.replay))
    assert incident.report is not None
    assert (incident.state, incident.report.certainty) == ("open", "proven")
    assert world.registry.running("prompts", "support-answer") is not None
    assert incident.events[-2].text == "waits for owner-prompt: its monitor pages only"


async def test_a_vendors_swap_is_diverted_and_the_routes_rollback_undoes_it(world: World) -> None:
    desk = world.desk(world.replay)
    await world.serve(desk, 120)
    await world.swap_model()
    incident = (await world.serve(desk, 400, until_alarm=True))[0]
    assert (incident.layer, incident.state) == (1, "mitigated")
    assert incident.cause is not None
    assert incident.cause.after == "scripted/steady=simulated-steady-2@sim_b7"
    route = world.registry.resolve("routes:/support@production").version
    assert route.content["targets"] == [{"model": "scripted/reserve", "weight": 1}]
    assert route.content["fallback"] == ["scripted/steady"]
    assert route.author == "trimtab"
    assert {pins.get("models", "") for pins in world.replays} == {"", "scripted/reserve"}
    assert await world.serve(desk, 200) == []
    await world.registry.rollback("routes", "support", actor="kim")
    assert world.registry.resolve("routes:/support@production").version.number == 1


async def test_a_fall_without_a_change_names_nobody(world: World) -> None:
    desk = world.desk(world.replay)
    await world.serve(desk, 120)
    world.truth = Truth(usual=0.3)
    incident = (await world.serve(desk, 400, until_alarm=True))[0]
    assert (incident.state, incident.layer, incident.cause) == ("open", None, None)
    assert incident.title.endswith(", cause not known")
    assert "no cause is known" in incident.events[-2].text
    assert incident.cases > 0
    with pytest.raises(Conflict, match="No cause is known"):
        await desk.rollback(incident.id, "jonas")
    with pytest.raises(Conflict, match="nothing has mitigated it"):
        await desk.close(incident.id, "jonas", "Look at the vendor.")
    closed = await desk.close(incident.id, "jonas", "Look at the vendor.", reason="The vendor mended it.")
    assert closed.state == "closed"


async def test_a_version_that_no_change_records_is_named_all_the_same(world: World) -> None:
    desk = world.desk(world.replay)
    await world.serve(desk, 120)
    before = world.model
    await world.swap_model(seen=False)
    first = (await world.serve(desk, 400, until_alarm=True))[0]
    assert (first.layer, first.state) == (1, "mitigated")
    assert first.cause is not None
    assert (first.cause.before, first.cause.after) == (before, world.model)
    assert first.cause.title.endswith("which no change records")
    await world.registry.record_external(
        "models", "scripted/steady", before=before, after=world.model, note="another model answered"
    )
    await world.serve(desk, 200)
    assert [incident.id for incident in await desk.list()] == [first.id]


async def test_an_alarm_is_not_lost_when_somebody_closes_an_incident_that_is_asked_again(world: World) -> None:
    async def closes(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        with suppress(Conflict):
            await desk.close(1, "jonas", "It was the prompt.", reason="a test")
        return await world.replay(root, pins)

    desk = world.desk(closes)
    await world.serve(desk, 120)
    number = await world.new_prompt(PROMPTS[1])
    world.truth = Truth(bad={f"support-answer/{number}": 0.1})
    await world.registry.move_label("prompts", "support-answer", "production", number, actor="mara")
    monitor = next(monitor for monitor in world.watch.monitors if monitor.signal == "cites")
    await desk.place(lambda _: Written(None, states.burnt(monitor, "the budget burns", 2, world.clock())))
    incident, *_ = await world.serve(desk, 400, until_alarm=True)
    assert world.replays, "the one that burnt had no cause, and was asked again"
    assert (incident.id, incident.state) == (1, "closed")
    assert [event.kind for event in incident.events].count("joined") == 1


async def test_replays_that_fail_prove_nothing(world: World) -> None:
    async def broken(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        raise ModelError("the vendor is away")

    incident = await break_prompt(world, world.desk(broken), share=1.0)
    assert incident.report is not None
    assert (incident.state, incident.report.certainty, incident.report.arms) == ("open", "likely", ())


async def test_an_unmitigated_incident_listens_to_a_bounded_number_of_alarms(world: World) -> None:
    desk = world.desk(None)
    incident = await break_prompt(world, desk, share=1.0)
    await world.serve(desk, 1500)
    events = [event.kind for event in (await desk.get(incident.id)).events]
    assert 2 < events.count("joined") <= MAX_ALARMS + 1
    assert events.count("page") == 1


async def test_what_somebody_took_back_already_is_not_taken_back_again(world: World) -> None:
    world.watch = world.new_watch("page")
    desk = world.desk()
    incident = await break_prompt(world, desk, share=0.5)
    await world.registry.rollback("prompts", "support-answer", actor="kim")
    ledger = len(world.registry.changes())
    done = await desk.rollback(incident.id, "jonas")
    assert done.state == "mitigated"
    assert "is not live any more" in done.events[-1].text
    assert len(world.registry.changes()) == ledger
    assert world.registry.labels("prompts", "support-answer")["production"] == 1


async def test_two_people_who_roll_back_at_once_move_it_once(world: World) -> None:
    desk = world.desk(None)
    incident = await break_prompt(world, desk, share=1.0)
    outcomes = await asyncio.gather(
        desk.rollback(incident.id, "jonas"), desk.rollback(incident.id, "kim"), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Incident"]
    assert [c.action for c in world.registry.changes() if c.kind == "prompts"].count("rollback") == 1


async def test_closing_needs_a_lesson_and_ends_it(world: World) -> None:
    desk = world.desk()
    incident = await break_prompt(world, desk)
    with pytest.raises(BadInput) as caught:
        await desk.close(incident.id, "jonas", "  ")
    assert caught.value.field == "lesson"
    closed = await desk.close(incident.id, "jonas", "Keep the rule to cite.")
    assert (closed.state, closed.lesson) == ("closed", "Keep the rule to cite.")
    for step in (
        desk.acknowledge(incident.id, "kim"),
        desk.rollback(incident.id, "kim"),
        desk.close(incident.id, "k", "x"),
    ):
        with pytest.raises(Conflict, match="is closed"):
            await step
    assert (await desk.list(state="closed"))[0] == await desk.get(incident.id)
    assert await desk.list(state="open") == []


async def test_what_is_not_there_is_said(world: World) -> None:
    desk = world.desk()
    with pytest.raises(NotFound):
        await desk.get(99)
    with pytest.raises(BadInput) as caught:
        await desk.list(state="sad")
    assert caught.value.field == "state"


@pytest.mark.parametrize("when", ["replaying", "after the rollback"])
async def test_a_crash_half_way_is_taken_up_again(world: World, when: str) -> None:
    """The process dies while the desk works; another one opens the same folder."""
    crashed = asyncio.Event()

    async def dies(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        crashed.set()
        await asyncio.Event().wait()
        raise AssertionError("never reached")

    def dies_too(incident: Incident, event: IncidentEvent) -> None:
        if event.kind == "action":
            raise KeyboardInterrupt

    if when == "replaying":
        task = asyncio.create_task(break_prompt(world, world.desk(dies), share=1.0))
        await crashed.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        desk = world.desk(world.replay)
        desk.on_event.append(dies_too)
        with pytest.raises(KeyboardInterrupt):
            await break_prompt(world, desk)

    path = world.metadata.place
    world.metadata.close()
    world.metadata = Metadata.open(path)
    try:
        world.registry = await Registry.load(world.metadata, clock=world.clock)
        world.watch = world.new_watch("rollback")
        half = await world.desk().get(1)
        assert half.pending
        assert half.cases == 0
        live = await world.desk(world.replay).load()
        assert [i.id for i in live] == [1]
        assert (live[0].state, live[0].pending) == ("mitigated", False)
        assert live[0].cases > 0
        assert [e.kind for e in live[0].events].count("action") == 1
        assert world.registry.labels("prompts", "support-answer")["production"] == 1
        assert await world.desk(world.replay).load() == live, "there is nothing left to do"
    finally:
        world.metadata.close()


async def test_it_resolves_itself_when_the_signal_is_back_and_reopens_when_it_falls_again(world: World) -> None:
    desk = world.desk(world.replay)
    incident = await break_prompt(world, desk)
    assert incident.mitigated_ns
    assert await desk.review() == [], "nothing is known yet"
    await world.serve(desk, 700)
    await world.store.flush()
    (back,) = await desk.review()
    assert (back.id, back.state) == (incident.id, "resolved")
    assert "Cites is back at 0.9" in back.events[-1].text
    assert await desk.review() == []
    await desk.close(incident.id, "jonas", "Keep the rule to cite.")
    await world.registry.move_label("prompts", "support-answer", "production", 2, actor="mara")
    found = await world.serve(desk, 400, until_alarm=True)
    again = next(i for i in found if i.id == incident.id)
    assert [e.kind for e in again.events].count("reopened") == 1
    assert (again.state, again.lesson) == ("mitigated", "Keep the rule to cite.")
    assert again.closed_ns == 0
    assert world.registry.labels("prompts", "support-answer")["production"] == 1


async def test_a_person_resolves_and_writes_notes(world: World) -> None:
    desk = world.desk(None)
    incident = await break_prompt(world, desk, share=1.0)
    await desk.note(incident.id, "note", "jonas", "Called the vendor.")
    with pytest.raises(BadInput, match="needs words"):
        await desk.note(incident.id, "note", "jonas", " ")
    over = await desk.resolve(incident.id, "jonas", "The prompt's author put it back by hand.")
    assert (over.state, over.events[-1].actor) == ("resolved", "jonas")
    assert over.cases > 0
    with pytest.raises(NotFound):
        await desk.resolve(999, "jonas", "x")


async def test_a_monitor_that_stopped_receiving_is_an_incident_until_it_receives_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = world.desk()
    quiet = [Silence(signal="quality", last_ns=world.clock.ns - 10**9, requests=420, share=0.18)]
    monkeypatch.setattr(world.watch, "silent", lambda: quiet)
    await desk.review()
    await desk.review()
    (opened,) = await desk.list()
    assert opened.title == "Quality has stopped coming: nothing in 420 requests, where at least 18% bring a value"
    assert (opened.layer, opened.state, opened.severity, opened.owner) == (5, "open", 2, "owner-app")
    quiet.clear()
    await desk.review()
    assert (await desk.get(opened.id)).state == "resolved"
