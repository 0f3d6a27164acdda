"""Monitors that people make: versions in the registry, in effect at once, tried on what was recorded."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from trimtab.config import Monitor as FileMonitor
from trimtab.core import BadInput, Conflict, NotFound, Score, Span, Stamp, now_ns
from trimtab.registry import Registry
from trimtab.store import Metadata, SpanStore
from trimtab.watch import (
    ACTIONS,
    DETECTORS,
    Entry,
    Monitor,
    MonitorBook,
    Watch,
    check_content,
    content_of,
    default_monitors,
    monitor_of,
    power,
    roster,
    trial,
    working,
)

MONITOR = Monitor(name="cites", signal="cites", owner="mara", action="page", severity=2, runbook="Read the diff.")
STAMP = Stamp(model="m", prompt="p/1", route="r/1")


def scores(values: list[float], slice_name: str = "billing", start_ns: int = 1_800_000_000 * 10**9) -> list[Score]:
    return [
        Score(
            id=f"{slice_name}:{n}", trace_id=f"{n:032x}", name="cites", value=value, by="check:cites",
            time_ns=start_ns + n * 10**8, slice=slice_name, stamp=STAMP,
        )
        for n, value in enumerate(values)
    ]  # fmt: skip


def drawn(rate: float, n: int, seed: int = 5) -> list[float]:
    draw = random.Random(seed)
    return [float(draw.random() < rate) for _ in range(n)]


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[tuple[Registry, Watch, MonitorBook, SpanStore]]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    store = SpanStore.open(tmp_path / "spans")
    registry = await Registry.load(metadata, checks={"monitors": check_content})
    watch = Watch([], reference=60)
    defaults = default_monitors(lambda layer: "on-call")
    file = [replace(MONITOR, name="ours", signal="grounded", owner="kim")]
    yield registry, watch, MonitorBook(registry=registry, watch=watch, store=store, defaults=defaults, file=file), store
    store.close()
    metadata.close()


def test_a_monitor_and_its_content_are_the_same() -> None:
    whole = replace(
        MONITOR, slice="billing", detector="floor", threshold=0.9, objective=0.99, project="shop", action="pin_model"
    )
    for monitor in (MONITOR, whole):
        assert monitor_of(monitor.name, content_of(monitor)) == monitor
    assert "slice" not in content_of(MONITOR)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"owner": ""}, "owner"),
        ({"action": "explode"}, "action"),
        ({"action": None}, "action"),
        ({"signal": "sadness"}, "signal"),
        ({"severity": 9}, "severity"),
        ({"severity": True}, "severity"),
        ({"detector": "crystal ball"}, "detector"),
        ({"detector": "floor"}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "much"}, "threshold"),
        ({"objective": 1.0}, "objective"),
        ({"objective": float("nan")}, "objective"),
        ({"runbook": 7}, "runbook"),
        ({"colour": "red"}, "colour"),
        ({"off": "yes"}, "off"),
    ],
)
def test_content_that_cannot_be_names_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_content({**content_of(MONITOR), **change})
    assert caught.value.field == field


def test_every_action_may_be_named_by_a_monitor_and_by_the_configuration() -> None:
    for action in ACTIONS:
        replace(MONITOR, action=action).validate()
    assert "pause_rollout" in ACTIONS


def test_the_later_replace_the_earlier_of_the_same_name_or_place() -> None:
    defaults = default_monitors(lambda layer: "on-call")
    file = [replace(MONITOR, name="ours", signal="grounded"), replace(MONITOR, name="fresh", signal="fresh")]
    kept = [Entry(monitor=replace(MONITOR, owner="jonas"), origin="registry", number=3)]
    found = {entry.monitor.name: entry for entry in roster(defaults, file, kept)}
    assert (found["cites"].monitor.owner, found["cites"].origin, found["cites"].number) == ("jonas", "registry", 3)
    assert (found["grounded"].off, found["grounded"].behind) == (True, "ours")
    assert found["fresh"].origin == "file"
    watching = working(found.values())
    assert len({(m.signal, m.slice) for m in watching}) == len(watching) == len(defaults)


async def test_a_monitor_made_at_run_time_watches_at_once_and_its_label_takes_it_back(rooms) -> None:  # type: ignore[no-untyped-def]
    registry, watch, book, _ = rooms
    assert book.find("cites").origin == "built in"
    made = await book.save(replace(MONITOR, action="switch_route"), actor="mara")
    assert (made.origin, made.number, made.monitor.action) == ("registry", 2, "switch_route")
    assert next(m for m in watch.monitors if m.signal == "cites").action == "switch_route"
    change = await registry.rollback("monitors", "cites", actor="kim")
    assert (change.before, change.after) == ("cites/2", "cites/1")
    assert next(m for m in watch.monitors if m.signal == "cites").action == "rollback", "as the built-in one was"
    again = MonitorBook(registry=registry, watch=Watch([]), store=rooms[3], defaults=[], file=[])
    assert [e.monitor.name for e in again.entries] == ["cites"], "what people decided is kept"


async def test_one_place_has_one_monitor_and_a_name_is_taken_once(rooms) -> None:  # type: ignore[no-untyped-def]
    _, watch, book, _ = rooms
    with pytest.raises(BadInput, match="has a monitor already"):
        await book.save(replace(MONITOR, name="mine", signal="grounded"), actor="mara", new=True)
    sliced = replace(MONITOR, name="mine", signal="grounded", slice="billing", owner="ilse")
    await book.save(sliced, actor="mara", new=True)
    with pytest.raises(Conflict, match="already"):
        await book.save(sliced, actor="mara", new=True)
    assert {m.name for m in watch.monitors if m.signal == "grounded"} == {"ours", "mine"}


async def test_a_removed_monitor_watches_nothing_and_can_be_brought_back(rooms) -> None:  # type: ignore[no-untyped-def]
    registry, watch, book, _ = rooms
    off = await book.remove("quality", actor="mara")
    assert off.off
    assert "quality" not in {m.signal for m in watch.monitors}
    with pytest.raises(Conflict, match="off already"):
        await book.remove("quality", actor="mara")
    with pytest.raises(NotFound):
        await book.remove("nothing", actor="mara")
    await registry.rollback("monitors", "quality", actor="mara")
    assert "quality" in {m.signal for m in watch.monitors}


def test_a_slice_of_its_own_gets_the_alarm_and_the_rest_stays_with_the_general_one() -> None:
    own = replace(MONITOR, name="billing", slice="billing", owner="ilse", action="rollback")
    watch = Watch([own, MONITOR], reference=60)
    alarms = watch.observe(scores(drawn(0.97, 200) + drawn(0.3, 200)))
    assert {(a.slice, a.monitor.owner, a.monitor.action) for a in alarms} == {
        ("billing", "ilse", "rollback"), ("", "mara", "page"),
    }  # fmt: skip
    alone = Watch([own], reference=60)
    assert {a.monitor.owner for a in alone.observe(scores(drawn(0.97, 200) + drawn(0.3, 200)))} == {"ilse"}
    assert alone.observe(scores(drawn(0.97, 200) + drawn(0.3, 200), "refunds")) == [], "nobody watches that slice"


def test_monitors_change_while_references_stay() -> None:
    watch = Watch([MONITOR], reference=60)
    watch.observe(scores(drawn(0.97, 300)))
    before = watch.standing("cites")
    watch.adopt([replace(MONITOR, owner="jonas"), replace(MONITOR, name="fresh", signal="fresh")])
    after = watch.standing("cites")
    assert [part.n for part in after.slices] == [part.n for part in before.slices]
    assert watch.monitors[0].owner == "jonas"
    with pytest.raises(BadInput, match="two monitors"):
        watch.adopt([MONITOR, replace(MONITOR, name="twin")])
    assert {m.signal for m in watch.monitors} == {"cites", "fresh"}, "as before"
    watch.adopt([MONITOR])
    with pytest.raises(NotFound):
        watch.standing("fresh")


def test_a_monitor_that_moves_to_another_project_reads_that_one() -> None:
    watch = Watch([MONITOR], reference=60)
    theirs = [replace(score, project="shop") for score in scores([1.0] * 20, "shop")]
    watch.observe([*scores([1.0] * 10), *theirs])
    assert {one.slice for one in watch.evidence("cites")[0]} == {"billing"}
    watch.adopt([replace(MONITOR, project="shop")])
    watch.observe([*scores([1.0] * 10), *theirs])
    assert [one.slice for one in watch.evidence("cites")[0]] == ["billing"] * 10 + ["shop"] * 20


def test_a_signal_that_nobody_watches_any_more_is_not_missed() -> None:
    watch = Watch([MONITOR], reference=60)
    watch.observe(scores([1.0] * 700))
    watch._silences.request(2000)
    watch.observe(scores([1.0]))
    watch._silences.request(2000)
    assert [silence.signal for silence in watch.silent()] == ["cites"]
    watch.adopt([replace(MONITOR, name="fresh", signal="fresh")])
    assert watch.silent() == []


def test_a_threshold_lets_small_falls_pass_and_a_floor_holds_a_value() -> None:
    fell = scores(drawn(0.97, 2000) + drawn(0.82, 600, seed=9))
    alarmed = [
        bool(Watch([replace(MONITOR, **change)], reference=60).observe(fell))
        for change in (
            {}, {"threshold": 0.3}, {"detector": "floor", "threshold": 0.9}, {"detector": "floor", "threshold": 0.7},
        )
    ]  # fmt: skip
    assert alarmed == [True, False, True, False]


def test_what_it_would_see_holds_when_it_is_tried() -> None:
    """The promised delay against falls that really happen: seen, and about when it was said."""
    late = []
    for seed in range(20):
        watch = Watch([MONITOR], reference=60)
        watch.observe(scores(drawn(0.95, 4000, seed=seed)))
        standing = watch.standing("cites")
        (part,) = standing.slices
        sees, smallest = power(part, standing.threshold)
        promised = next(one.requests for one in sees if one.fall == 0.2)
        assert promised is not None
        assert smallest is not None
        assert smallest < 0.2
        alarms = watch.observe(scores(drawn(part.mean - 0.2, 4 * promised, seed=100 + seed)))
        late.append(int((alarms[0].time_ns - 1_800_000_000 * 10**9) / 10**8) / promised)
    assert 0.4 < sorted(late)[10] < 1.1, sorted(late)


def test_a_short_reference_sees_no_small_fall() -> None:
    watch = Watch([MONITOR], reference=60)
    watch.observe(scores(drawn(0.9, 62)))
    standing = watch.standing("cites")
    sees, smallest = power(standing.slices[0], standing.threshold)
    assert next(one.requests for one in sees if one.fall == 0.02) is None
    assert smallest is None or smallest > 0.05
    gathering = Watch([MONITOR], reference=60)
    gathering.observe(scores(drawn(0.9, 20)))
    assert gathering.standing("cites").gathering == {"billing": 20}


def test_a_trial_counts_the_alarms_that_there_would_have_been() -> None:
    calm = trial(MONITOR, scores(drawn(0.97, 1500)), [], reference=60, threshold=1e7)
    assert (calm.seen, calm.slices, calm.armed, calm.alarms) == (1500, 1, 1, 0)
    fell = trial(MONITOR, scores(drawn(0.97, 500) + drawn(0.3, 300)), [], reference=60, threshold=1e7)
    assert fell.alarms >= 1
    assert fell.listed[0].now < fell.listed[0].baseline
    assert fell.listed[0].onset_ns <= fell.listed[0].time_ns
    assert trial(MONITOR, [], [], reference=60, threshold=1e7).seen == 0


async def test_a_trial_reads_what_was_recorded_scores_and_measured_requests(rooms) -> None:  # type: ignore[no-untyped-def]
    _, _, book, store = rooms
    start = now_ns() - 1200 * 10**9
    for score in scores(drawn(0.97, 400) + drawn(0.2, 200), start_ns=start):
        assert store.offer([], [score])
    spans = [
        Span(
            trace_id=f"{n:032x}", span_id=f"{n:016x}", name="support", kind="chain", start_ns=start + n * 10**8,
            end_ns=start + n * 10**8 + 10**9, stamp=STAMP, tags={"topic": "billing"}, input="x", output="y",
            attributes={"gateway": True},
        )
        for n in range(80)
    ]  # fmt: skip
    assert store.offer(spans, [])
    await store.flush()
    assert (await book.trial(MONITOR, 1.0)).alarms >= 1
    assert (await book.trial(MONITOR, 0.001)).seen == 0
    measured = await book.trial(replace(MONITOR, name="out", signal="willing"), 1.0)
    assert (measured.seen, measured.alarms) == (80, 0)
    with pytest.raises(BadInput) as caught:
        await book.trial(MONITOR, 0)
    assert caught.value.field == "hours"


def test_the_configuration_knows_the_same_actions_and_detectors() -> None:
    hints = get_type_hints(FileMonitor)
    assert get_args(hints["action"]) == ACTIONS
    assert get_args(hints["detector"]) == DETECTORS
    fields = {field.name for field in msgspec.structs.fields(FileMonitor)}
    assert fields | {"project"} == {field.name for field in dataclasses.fields(Monitor)}
