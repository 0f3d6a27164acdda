"""Error budgets: how fast they burn, how severe that makes an incident, and when somebody is woken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from incident_world import Clock

from trimtab.core import BadInput, Score
from trimtab.incidents import Burner, Desk, Incident, Person, Quiet, Rota
from trimtab.incidents.incident import IncidentEvent
from trimtab.incidents.paging import WINDOWS, burning, due_ns, escalated_to, planned
from trimtab.incidents.paging.burn import most
from trimtab.incidents.records import Written
from trimtab.registry import Registry
from trimtab.store import Metadata, SpanStore
from trimtab.watch import Monitor, Watch

NS = 10**9
MONITOR = Monitor(
    name="answered", signal="answered", owner="mara", action="page", severity=3, runbook="Look.", objective=0.99
)


def counted(hour: float, five: float, six: float, half: float, n: int = 10_000) -> object:
    shares = {3600: hour, 300: five, 6 * 3600: six, 1800: half}
    return lambda seconds: (n, n * shares[seconds])


@pytest.mark.parametrize(
    ("shares", "severity"),
    [
        ((0.20, 0.20, 0.20, 0.20), 1),
        ((0.145, 0.145, 0.0, 0.0), 1),
        ((0.143, 0.20, 0.0, 0.0), None),
        ((0.20, 0.0, 0.20, 0.0), None),
        ((0.0, 0.0, 0.07, 0.07), 2),
        ((0.20, 0.0, 0.07, 0.07), 2),
        ((0.0, 0.0, 0.07, 0.0), None),
        ((0.01, 0.01, 0.01, 0.01), None),
    ],
)
def test_both_windows_have_to_burn(shares: tuple[float, float, float, float], severity: int | None) -> None:
    found = burning(0.99, counted(*shares))  # type: ignore[arg-type]
    assert (found.window.severity if found else None) == severity


def test_few_bad_values_are_no_pattern_and_a_loose_objective_cannot_burn_fast() -> None:
    assert burning(0.99, lambda seconds: (20, 9.0)) is None
    assert burning(0.99, lambda seconds: (20, 10.0)) is not None
    assert burning(0.99, lambda seconds: (0, 0.0)) is None
    assert most(0.92) == pytest.approx(12.5)
    everything_bad = burning(0.92, lambda seconds: (1000, 1000.0))
    assert everything_bad is not None
    assert everything_bad.window == WINDOWS[1], "14.4 times is more than all of it"
    assert "12.5 times too fast over 6 h and 12.5 times over 30 min" in everything_bad.text


def test_an_objective_is_for_scores() -> None:
    MONITOR.validate()
    with pytest.raises(BadInput) as caught:
        replace(MONITOR, signal="cost").validate()
    assert caught.value.field == "objective"


@dataclass
class Room:
    store: SpanStore
    desk: Desk
    clock: Clock
    burner: Burner
    sent: int = 0
    monitors: list[Monitor] = field(default_factory=list)

    async def traffic(self, minutes: int, bad: float, per_minute: int = 30) -> None:
        """So many minutes in which this share of the answers is bad, evenly."""
        scores = []
        for _ in range(minutes * per_minute):
            self.sent += 1
            self.clock.ns += 60 * NS // per_minute
            value = float(int(self.sent * (1 - bad)) > int((self.sent - 1) * (1 - bad)))
            scores.append(
                Score(
                    id=f"s{self.sent}", trace_id=f"{self.sent:032x}", name="answered", value=value, by="check:answered",
                    time_ns=self.clock.ns, slice="billing",
                )
            )  # fmt: skip
        await self.store.write(scores=scores, patient=True)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    clock = Clock()
    metadata = Metadata.open(tmp_path / "metadata.db")
    store = SpanStore.open(tmp_path / "spans", clock=clock)
    registry = await Registry.load(metadata, clock=clock)
    desk = Desk(
        metadata=metadata, registry=registry, store=store, watch=Watch([MONITOR]), replay=None, clock=clock
    )  # fmt: skip
    monitors = [MONITOR]
    burner = Burner(store=store, desk=desk, monitors=lambda: monitors, clock=clock)
    yield Room(store=store, desk=desk, clock=clock, burner=burner, monitors=monitors)
    store.close()
    metadata.close()


async def test_a_fast_burn_opens_an_incident_that_wakes_somebody_once(room: Room) -> None:
    await room.traffic(30, bad=0.0)
    await room.burner.turn()
    assert await room.desk.list() == []
    await room.traffic(70, bad=0.2)
    await room.burner.turn()
    (found,) = await room.desk.list()
    assert (found.severity, found.owner, found.signal, found.state) == (1, "mara", "answered", "open")
    assert "times too fast over 1 h" in found.title
    for _ in range(3):
        await room.traffic(2, bad=0.2)
        await room.burner.turn()
    assert len((await room.desk.list())[0].events) == 1, "said once"


async def test_a_burn_makes_the_open_incident_more_severe_and_never_milder(room: Room) -> None:
    await room.traffic(100, bad=0.2)
    from_detector = replace(states_open(room.clock()), severity=3)
    await room.desk.place(lambda known: Written(None, from_detector))
    await room.burner.turn()
    (found,) = await room.desk.list()
    assert (found.severity, found.events[-1].kind) == (1, "burning")
    await room.traffic(400, bad=0.07)
    await room.burner.turn()
    assert (await room.desk.get(found.id)).severity == 1


async def test_what_was_mitigated_a_moment_ago_opens_nothing_new(room: Room) -> None:
    await room.traffic(100, bad=0.2)
    await room.burner.turn()
    (found,) = await room.desk.list()
    await room.desk.resolve(found.id, "mara", "The vendor is back.")
    await room.traffic(10, bad=0.2)
    await room.burner.turn()
    assert len(await room.desk.list()) == 1
    await room.traffic(70, bad=0.2)
    await room.burner.turn()
    assert len(await room.desk.list()) == 2, "an hour later it is another failure"


async def test_a_slice_has_its_own_budget(room: Room) -> None:
    room.monitors[0] = replace(MONITOR, slice="refunds")
    await room.traffic(100, bad=0.3)
    await room.burner.turn()
    assert await room.desk.list() == []


def states_open(now: int) -> Incident:
    event = IncidentEvent(time_ns=now, kind="alarm", actor="trimtab", text="answered fell")
    return Incident(
        id=0, opened_ns=now, signal="answered", owner="mara", title="Requests fail", signals=("answered",),
        events=(event,), onset_ns=now, alarm_ns=now,
    )  # fmt: skip


# Who is woken


NIGHT = Quiet(start=time(22), end=time(7), zone=ZoneInfo("Europe/Berlin"))
ROTA = Rota(
    people={
        "mara": Person(name="mara", channels=("pd",), quiet=NIGHT, next="jonas"),
        "jonas": Person(name="jonas", channels=("pd",)),
    },
    usual=("pd",),
)
MIDNIGHT = int(datetime(2026, 11, 25, 23, 30, tzinfo=UTC).timestamp()) * NS


def test_a_burn_wakes_whom_the_mild_incident_let_sleep() -> None:
    mild = replace(states_open(MIDNIGHT), id=7, severity=3)
    assert due_ns("mara", mild.severity, "opened", ROTA, MIDNIGHT) > MIDNIGHT
    burns = IncidentEvent(time_ns=MIDNIGHT, kind="burning", actor="trimtab", text="severity 1: the budget burns")
    severe = replace(mild, severity=1, events=(*mild.events, burns))
    rota = replace(ROTA, channels={"pd": None})  # type: ignore[dict-item]
    (told,) = planned(9, burns, severe, rota, MIDNIGHT)
    assert (told.phase, told.due_ns, told.owner) == ("opened", MIDNIGHT, "mara")


def test_nobody_is_late_with_what_has_just_become_severe_or_has_just_come_back() -> None:
    opened = replace(states_open(MIDNIGHT), id=7, severity=1)
    quarter = 900 * NS
    assert escalated_to(opened, ROTA, MIDNIGHT + quarter - 1) == ""
    assert escalated_to(opened, ROTA, MIDNIGHT + quarter) == "jonas"
    later = IncidentEvent(time_ns=MIDNIGHT + 2 * quarter, kind="burning", actor="trimtab", text="severity 1: burns")
    severe = replace(opened, events=(*opened.events, later))
    assert escalated_to(severe, ROTA, MIDNIGHT + 2 * quarter + 1) == ""
    assert escalated_to(severe, ROTA, MIDNIGHT + 3 * quarter) == "jonas"
    told = IncidentEvent(time_ns=MIDNIGHT + quarter, kind="escalated", actor="trimtab", text="jonas is told")
    again = IncidentEvent(time_ns=MIDNIGHT + 90 * quarter, kind="reopened", actor="trimtab", text="the same again")
    back = replace(opened, events=(*opened.events, told, again))
    assert escalated_to(back, ROTA, MIDNIGHT + 90 * quarter + 1) == ""
    assert escalated_to(back, ROTA, MIDNIGHT + 91 * quarter) == "jonas"
    rota = replace(ROTA, channels={"pd": None})  # type: ignore[dict-item]
    assert [n.owner for n in planned(9, again, back, rota, MIDNIGHT)] == ["mara"], "the chain begins anew"
