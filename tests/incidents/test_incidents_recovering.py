"""What an incident shows of its replays, how it sees that its signal is back, and what an erasure takes from it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from incident_world import Truth, World
from test_incidents_desk import break_prompt

from trimtab.core import Span
from trimtab.incidents import Again, Incident
from trimtab.incidents.incident import Pair
from trimtab.incidents.joining import GRACE_NS
from trimtab.incidents.postmortem import postmortem
from trimtab.incidents.records import Records, Written
from trimtab.incidents.replay import _differing
from trimtab.store import Metadata

pytestmark = pytest.mark.asyncio


def telling(world: World) -> object:
    """Replays that also say what was answered."""

    async def replay(root: Span, pins: Mapping[str, str]) -> Mapping[str, float]:
        values = await world.replay(root, pins)
        return Again(values, f"{'right' if values['cites'] else 'wrong'} with {pins['prompts']}")

    return replay


async def test_requests_that_a_replay_mended_are_kept_with_both_answers(world: World) -> None:
    incident = await break_prompt(world, world.desk(telling(world)), share=1.0)  # type: ignore[arg-type]
    assert 1 <= len(incident.pairs) <= 5
    pair = incident.pairs[0]
    assert (pair.before, pair.after) == ("wrong with support-answer/2", "right with support-answer/1")
    assert (pair.restored, pair.layer) == ("prompts support-answer/1", 3)
    assert pair.trace_id in await traces(world, incident)
    assert (await Records(world.metadata).get(incident.id)).pairs == incident.pairs, "a restart keeps them"
    text = postmortem(incident)
    assert "- Replayed with nothing changed: " in text
    assert "- Replayed with prompts support-answer/1 put back: " in text
    assert "wrong with support-answer/2" in text


async def test_replays_that_say_no_words_show_no_pairs(world: World) -> None:
    assert (await break_prompt(world, world.desk(world.replay), share=1.0)).pairs == ()


async def test_an_erasure_takes_the_answers_of_its_traces(world: World) -> None:
    desk = world.desk(telling(world))  # type: ignore[arg-type]
    incident = await break_prompt(world, desk, share=1.0)
    gone, *kept = incident.pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Records, "listed", None)  # however many incidents there are, it asks for those that tell of it
        await desk.forget(frozenset({gone.trace_id, "f" * 32}))
    await desk.forget(frozenset({gone.trace_id}))
    assert (await desk.get(incident.id)).pairs == tuple(kept)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_the_incidents_that_tell_of_a_request_are_found(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    where = tmp_path / "metadata.db" if database == "sqlite" else request.getfixturevalue("postgres_url")
    with closing(Metadata.open(where)) as metadata:
        records = Records(metadata)
        for traces_of in ((), ("a", "b", "c", "d", "e"), ("e",), ("f",)):
            pairs = tuple(Pair(trace_id=one, restored="", layer=None, before="x", after="y") for one in traces_of)
            made = Incident(id=0, opened_ns=1, signal="cites", owner="jonas", title="t", traces=("z",), pairs=pairs)
            made = replace(made, models=("alpha/large",))
            written = await records.place(lambda _, made=made: Written(None, made))  # type: ignore[misc]
            assert (await records.get(written.after.id)).models == ("alpha/large",)
        assert await records.telling_of({"e"}) == [2, 3]
        assert await records.telling_of({"f", "a"}) == [2, 4]
        assert await records.telling_of({"z", "x", ""}) == []
        assert await records.telling_of(()) == []


async def test_a_signal_that_is_back_by_itself_is_said_once_and_left_to_people(world: World) -> None:
    desk = world.desk(None)
    incident = await break_prompt(world, desk, share=1.0)
    assert incident.state == "open"
    await world.serve(desk, 200)
    world.clock.ns += 2 * GRACE_NS
    await world.serve(desk, 200)
    await world.store.flush()
    await desk.review()
    assert not told(await desk.get(incident.id)), "it still fails"
    world.truth = Truth()
    # Only what came after the last alarm counts, and a minute later.
    world.clock.ns += 2 * GRACE_NS
    await world.serve(desk, 400)
    await world.store.flush()
    for _ in range(2):
        await desk.review()
    after = await desk.get(incident.id)
    assert (after.state, len(told(after))) == ("open", 1)
    assert "although nothing was done" in told(after)[0]


async def test_a_measured_signal_is_seen_to_be_back_too(world: World) -> None:
    """No score of it is stored: the watch is asked."""
    desk = world.desk(None)
    incident = await break_prompt(world, desk, share=1.0)
    assert incident.report is not None
    report = incident.report.evolve(signal="cost", baseline=0.95, now=0.4)
    measured = replace(incident, signal="cost", report=report, mitigated_ns=world.clock.ns, state="mitigated")
    assert await desk.recovery(measured) is None
    world.clock.ns += GRACE_NS
    for usd in (0.01,) * 300:
        world.asked += 1
        world.clock.ns += GRACE_NS // 100
        world.watch.measure([priced(world, usd)])
    found = await desk.recovery(measured)
    assert found is not None
    assert (found.n >= 50, found.back) == (True, True)
    assert await desk.recovery(replace(measured, signal="probe:gpt")) is None


def priced(world: World, usd: float) -> Span:
    return Span(
        trace_id=f"{world.asked:032x}", span_id=f"{world.asked:016x}", name="support", kind="chain",
        start_ns=world.clock.ns, end_ns=world.clock.ns + 1, tags={"topic": "billing"}, cost_usd=usd, output="Yes.",
        attributes={"gateway": True},
    )  # fmt: skip


def told(incident: Incident) -> list[str]:
    return [event.text for event in incident.events if event.kind == "recovered"]


async def traces(world: World, incident: Incident) -> set[str]:
    found = [await world.store.trace(pair.trace_id) for pair in incident.pairs]
    return {trace.spans[0].trace_id for trace in found if trace is not None}


async def test_long_answers_are_shown_where_they_differ() -> None:
    same = "word " * 200
    before, after = _differing(f"{same}old {same}", f"{same}new {same}")
    assert before.startswith("… word")
    assert len(before) <= 602
    assert ("old" in before, "new" in after, "old" in after) == (True, True, False)
    assert _differing("short old", "short new") == ("short old", "short new")
    assert _differing(same, same)[0] == same[:600]
