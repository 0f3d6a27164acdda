"""The fault benchmark keeps its word: faults break what they say, healthy traffic raises nothing, types plug in."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import plans, surroundings
from faults.catalogue import BY_NAME, FAULTS, PAIRS
from faults.cost import gateway_us
from faults.delays import NEVER, Delay, delay_figures, delay_of, never_played, places, plans_for, set_to
from faults.driver import Options, delay_plans_of, faults_of
from faults.effects import KNOBS, Effect
from faults.fault import IMPACT, Fault, load
from faults.healthy import SCENES, healthy
from faults.impact import Impact, impact_of
from faults.report import bars
from faults.scoring import marks
from faults.stage import Learnt, furnished, learn, scratch, stage
from faults.trial import Plan, effect_of, play
from trimtab.evals import Output
from trimtab.watch import SIGNALS, traffic_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A furnished database."""
    folder = scratch()
    asyncio.run(furnished(folder / "template.db"))
    yield folder / "template.db"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def learnt(template: Path) -> Learnt:
    """What 2,000 healthy requests teach."""
    return asyncio.run(learn(template, 3, 2000, 1.0))


async def impact(template: Path, fault: Fault) -> Impact:
    severity = 0.2 if "all" in fault.reaches else 0.45
    share = 0.16 if fault.reaches == ("sticky",) else 1.0
    effect = Effect(
        knobs=fault.knobs(severity), since=10, slice=fault.slice if "all" not in fault.reaches else "", share=share,
        provider=fault.provider, salt="test",
    )  # fmt: skip
    return await impact_of(template, fault, effect, seed=5, requests=200)


def test_the_catalogue_is_as_large_as_promised() -> None:
    assert len(FAULTS) >= 45
    assert {fault.layer for fault in FAULTS} == {1, 2, 3, 4, 5}
    assert len(PAIRS) >= 40
    assert all(pair.first.layer != pair.second.layer for pair in PAIRS)
    assert len(SCENES) >= 10
    assert 0.35 <= sum(fault.tuned for fault in FAULTS) / len(FAULTS) <= 0.45
    for layer in (1, 2, 3, 4, 5):
        kept = [fault for fault in FAULTS if fault.layer == layer]
        assert 0 < sum(fault.tuned for fault in kept) < len(kept)
    assert {signal for fault in FAULTS for signal in fault.telltale} <= set(SIGNALS)
    assert {signal for benign in surroundings.BENIGN for signal in benign.signals} <= set(SIGNALS)


@pytest.mark.parametrize("layer", [1, 2, 3, 4, 5])
async def test_every_fault_breaks_what_it_says(template: Path, layer: int) -> None:
    harms = {fault.name: await impact(template, fault) for fault in FAULTS if fault.layer == layer}
    assert {name: found.harm for name, found in harms.items() if not found.counts} == {}


async def test_severity_is_the_share_of_the_touched_answers_that_break(template: Path) -> None:
    fault = BY_NAME["quantised model"]
    for severity in plans.SEVERITIES:
        effect = Effect(knobs=fault.knobs(severity), provider="alpha")
        found = await impact_of(template, fault, effect, seed=6, requests=700)
        assert found.points == pytest.approx(severity, abs=0.04)
        assert 0.5 < found.touched < 0.9


async def test_nothing_is_broken_without_an_effect(template: Path) -> None:
    found = await impact_of(template, BY_NAME["quantised model"], Effect(knobs={}), seed=7, requests=200)
    assert (found.points, found.harm, found.counts) == (0.0, 0.0, False)


async def test_a_slice_and_some_sessions_are_all_that_a_narrow_fault_touches(template: Path) -> None:
    fault = BY_NAME["over-blocking rule"]
    sliced = await impact_of(template, fault, Effect(knobs=fault.knobs(0.5), slice="language=de"), seed=8, requests=200)
    sticky = await impact_of(template, fault, Effect(knobs=fault.knobs(0.5), share=0.1, salt="x"), seed=8, requests=150)
    assert 0.2 < sliced.touched < 0.4
    assert 0.03 < sticky.touched < 0.2


async def test_requests_come_in_the_gateways_shape(template: Path) -> None:
    async with stage(template, 4, judged=1.0) as run:
        names: set[str] = set()
        for _ in range(400):
            spans, scores, truth = run.world.serve()
            (seen,) = traffic_of(spans)
            output = Output.from_trace(spans)
            assert output is not None
            assert output.slice == seen.root.tags["topic"]
            assert all(score.trace_id == seen.root.trace_id and score.stamp == seen.root.stamp for score in scores)
            assert truth.good in (0.0, 1.0)
            assert not any("stated" in passage for passage in seen.passages)
            names |= {score.name for score in scores}
    assert {"answered", "cites", "grounded", "allowed", "quality", "judge_agreement", "thumb"} <= names


@pytest.mark.parametrize("name", ["steady", "traffic mix shift", "people ask again"])
async def test_healthy_traffic_raises_no_alarm(template: Path, learnt: Learnt, name: str) -> None:
    found = await healthy(name, template, learnt, 41, 900, 1.0)
    assert found.alarms == ()
    assert found.observations > 20 * 900


def a_plan(fault: Fault, *, hard: bool = False) -> Plan:
    return Plan(
        faults=(fault,), severity=0.4, reach="all", share=1.0, slice="", onset="step", staged=False, seed=11, hard=hard
    )


async def test_a_plain_fault_is_found_and_named(template: Path, learnt: Learnt) -> None:
    trial = await play(a_plan(BY_NAME["over-blocking rule"]), template, learnt, limit=400)
    found = marks(trial)
    assert found.counts
    assert found.points == pytest.approx(0.4, abs=0.08)
    assert found.detected
    assert found.early == 0
    assert (found.said, found.top1, found.exact, found.proven_wrong) == (4, True, True, 0)
    assert 0 < found.requests < 300


async def test_a_trial_of_the_delay_ends_at_its_alarm_and_sees_it_where_the_whole_one_does(
    template: Path, learnt: Learnt
) -> None:
    plan = a_plan(BY_NAME["over-blocking rule"])
    whole = marks(await play(plan, template, learnt, limit=400))
    trial = await play(plan, template, learnt, limit=400, explained=False)
    found = delay_of(trial, 0.2)
    assert (found.fall, found.detected, found.requests, found.scored) == (0.2, True, whole.requests, whole.scored)
    assert trial.served == trial.alarm_at < whole.served
    assert trial.incidents == []


def test_every_type_that_reaches_everybody_and_has_points_is_tried_at_each_fall() -> None:
    found = plans_for(FAULTS, (0.2, 0.05), 2, 1, hard=True)
    whole = [fault for fault in FAULTS if "all" in fault.reaches and fault.harms not in ("cost", "wait")]
    assert len(found) == 2 * 2 * len(whole)
    assert {plan.reach for plan in found} == {"all"}
    assert not any(plan.staged and not plan.faults[0].silent for plan in found)
    assert len({(plan.faults[0].name, plan.severity, plan.seed) for plan in found}) == len(found)
    assert not any(plan.faults[0].tuned for plan in delay_plans_of(Options()))
    assert len([plan for plan in delay_plans_of(Options()) if plan.severity == 0.05]) >= 20


async def test_a_fall_is_one_of_what_the_fault_harms(template: Path) -> None:
    for name, fall in (("quiet poison", 0.1), ("embedding mismatch", 0.05)):
        plan = a_plan(BY_NAME[name])
        found = await set_to(template, plan, fall)
        assert found is not None
        assert found.severity > 1.2 * fall, "asked as hard as it was to fall, it would fall less"
        effect = effect_of(found, 0, 1)
        impact = await impact_of(template, BY_NAME[name], effect, seed=plan.seed, requests=2_000)
        assert impact.harm == pytest.approx(fall, rel=0.25)
    lax = a_plan(BY_NAME["threshold too lax"])
    assert await set_to(template, lax, 0.2) is None, "fewer are attacks"
    line = never_played(lax, 0.2)
    assert (line.counts, line.fall) == (False, 0.2)


def a_delay(scored: int, *, counts: bool = True, fault: str = "a") -> Delay:
    return Delay(
        fault=fault, tuned=False, fall=0.05, severity=0.06, staged=False, seed=1, counts=counts, points=0.04, early=0,
        detected=scored > 0, requests=scored, scored=scored, signal="quality", slice="",
    )  # fmt: skip


def test_a_quantile_comes_with_its_interval_and_a_missed_fault_counts_as_never() -> None:
    found = [a_delay(n) for n in range(1, 100)] + [a_delay(0), a_delay(7, counts=False, fault="idle")]
    figures = delay_figures(found)
    assert (figures["delay_5_n"], figures["delay_5_missed"]) == (100, 0.01)
    assert (figures["delay_5_median"], figures["delay_5_p95"]) == (50, 95)
    # The textbook's interval of a median of 100: the 40th to the 61st value.
    assert (figures["delay_5_median_from"], figures["delay_5_median_to"]) == (40, 61)
    assert figures["delay_5_p95_to"] == NEVER
    assert figures["delay_5_cannot"] == ["idle"]
    few = delay_figures([a_delay(n) for n in (10, 20, 30)])
    assert (few["delay_5_p95"], few["delay_5_p95_to"]) == (30, None), "three trials bound no such quantile"
    assert places(1, 0.5) == (-1, 0, 1)


def test_a_wait_that_only_missed_faults_could_give_holds_no_bar() -> None:
    found = delay_figures([a_delay(10)] * 9 + [a_delay(0)])
    rows = {row["figure"]: row for row in bars({}, {}, {}, found)}
    assert (rows["delay_5_p95"]["value"], rows["delay_5_p95"]["held"]) == (NEVER, False)
    assert rows["delay_5_median"]["held"]
    assert rows["delay_10_p95"]["held"] is None, "it was not measured"


def test_the_cost_is_a_share_of_what_the_gateway_took_when_it_was_measured_last() -> None:
    assert 50.0 < gateway_us() < 1_000.0


async def test_hard_mode_surrounds_the_fault(template: Path, learnt: Learnt) -> None:
    trial = await play(a_plan(BY_NAME["over-blocking rule"], hard=True), template, learnt, limit=200)
    around = trial.around
    assert around.benign is not None
    assert around.benign.layer != 4
    assert abs(around.benign_at - trial.onset) <= 600
    assert 0 < len(around.removed) < len(SIGNALS) / 2
    assert all(SIGNALS[name].layer is not None for name in around.removed)


def test_types_from_outside_plug_in_as_the_docs_say(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "fault-bench.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.+?)```", text, re.DOTALL)
    assert code is not None
    path = tmp_path / "my_faults.py"
    path.write_text(code[1], encoding="utf-8")
    (mine,) = load(str(path))
    assert faults_of(Options(module=str(path)))[-1].name == mine.name
    assert set(mine.knobs(0.2)) <= set(KNOBS)


async def test_a_type_from_outside_breaks_the_application(template: Path) -> None:
    fault = Fault(name="mine", layer=1, title="t", knobs=lambda s: {"garble": s}, carrier="models", silent=True)
    assert (await impact(template, fault)).harm > IMPACT["good"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("FAULTS = 3", "FAULTS"),
        ("FAULTS = [Fault(name='x', layer=9, title='', knobs=lambda s: {}, carrier='prompts')]", "layer"),
        ("FAULTS = [Fault(name='x', layer=1, title='', knobs=lambda s: {'no': s}, carrier='prompts')]", "knobs"),
        ("FAULTS = [Fault(name='x', layer=1, title='', knobs=lambda s: {}, carrier='moon')]", "carrier"),
        ("FAULTS = [Fault(name='x', layer=1, title='', knobs=lambda s: {}, carrier='prompts', slice='a=b')]", "slice"),
    ],
)
def test_a_module_that_does_not_fit_is_refused_by_the_field(tmp_path: Path, line: str, named: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(f"from faults.fault import Fault\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=named):
        load(str(path))
