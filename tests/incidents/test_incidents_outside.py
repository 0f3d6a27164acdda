"""What a probe sees: a new incident, one that it joins, one that it opens again, one that it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from incident_world import World

from trimtab.attribution import Report
from trimtab.core import Conflict, Layer
from trimtab.incidents import Desk, Incident, Sign
from trimtab.incidents.outside import placed

NOW = 1_800_000_000 * 10**9
MINUTE = 60 * 10**9
SIGN = Sign(
    signal="probe:gpt", layer=Layer.MODEL, title="Another model answers as openai/m at the vendor openai",
    text="0.9 from the reference.", owner="mara", severity=2, runbook="Divert the route.", since_ns=NOW - 60 * MINUTE,
)  # fmt: skip
UNKNOWN = Report(
    signal="quality", slice="", onset_low_ns=NOW, onset_high_ns=NOW, baseline=0.9, now=0.6, n=100, affected=40,
    cause=None, certainty="unknown", candidates=(), slices=(), arms=(), not_tested=(),
)  # fmt: skip


def fallen(**changed: object) -> Incident:
    """An incident of the traffic that nothing explains."""
    made = Incident(
        id=7, opened_ns=NOW - 20 * MINUTE, signal="quality", owner="app", title="Fewer answers pass the judge",
        signals=("quality",), onset_ns=NOW - 30 * MINUTE, report=UNKNOWN,
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def test_a_sign_of_its_own_opens_an_incident_with_its_layer() -> None:
    before, after = placed([], SIGN, NOW)
    assert before is None
    assert (after.layer, after.owner, after.severity, after.signals) == (1, "mara", 2, ("probe:gpt",))
    assert after.onset_ns == SIGN.since_ns
    assert [event.kind for event in after.events] == ["alarm"]


def test_it_joins_an_incident_that_nothing_explains_and_points_to_its_layer() -> None:
    before, after = placed([fallen()], SIGN, NOW)
    assert before is not None
    assert (after.id, after.layer, after.signals) == (7, 1, ("quality", "probe:gpt"))
    assert "points to layer 1 model" in after.events[-1].text


@pytest.mark.parametrize(
    "other",
    [
        fallen(onset_ns=NOW - 300 * MINUTE),
        fallen(mitigated_ns=NOW - MINUTE),
        fallen(signals=("quality", "probe:other")),
        fallen(report=None),
        fallen(state="closed", closed_ns=NOW - MINUTE),
    ],
)
def test_it_joins_no_incident_that_began_before_is_explained_or_is_over(other: Incident) -> None:
    assert placed([other], SIGN, NOW).before is None


def test_the_same_sign_twice_changes_nothing_the_second_time() -> None:
    once = replace(placed([], SIGN, NOW).after, id=3)
    before, after = placed([once], SIGN, NOW + 1)
    assert before == after == once
    _, more = placed([once], replace(SIGN, text="0.95 from the reference."), NOW + 1)
    assert [event.kind for event in more.events] == ["alarm", "joined"]


def test_what_was_over_and_comes_back_is_open_again() -> None:
    closed = replace(placed([], SIGN, NOW).after, id=3, state="closed", closed_ns=NOW + 1, acknowledged_by="jonas")
    _, after = placed([closed], SIGN, NOW + MINUTE)
    assert (after.id, after.state, after.closed_ns, after.acknowledged_by) == (3, "open", 0, "")
    assert after.events[-1].kind == "reopened"
    later = NOW + 60 * 86_400 * 10**9
    assert placed([closed], replace(SIGN, since_ns=later), later).before is None, "after two months it is a new one"


async def test_the_desk_opens_resolves_and_closes_it(world: World) -> None:
    desk: Desk = world.desk()
    told: list[str] = []
    desk.on_event.append(lambda incident, event: told.append(event.kind))
    opened = await desk.external(SIGN)
    assert opened is not None
    assert (await desk.external(SIGN)) == opened
    await desk.acknowledge(opened.id, "jonas")
    assert await desk.external(replace(SIGN, signal="probe:other", over=True)) is None
    done = await desk.external(replace(SIGN, over=True, text="as usual again"))
    assert done is not None
    assert done.state == "resolved"
    assert await desk.external(replace(SIGN, over=True)) is None, "it is over already"
    with pytest.raises(Conflict, match="regression case"):
        await desk.close(opened.id, "jonas", "Pin the model.")
    closed = await desk.close(opened.id, "jonas", "Pin the model.", "a probe asks no requests of users")
    assert closed.state == "closed"
    assert told == ["alarm", "acknowledged", "resolved", "closed"]
