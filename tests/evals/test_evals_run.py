"""The runner: bounds, errors that are counted, retries, the log, resuming without paying twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from trimtab.core import BadInput, Chunk, Conflict, LimitReached, ModelError, NotFound, Overloaded, Usage, Version
from trimtab.evals import (
    Case,
    Dataset,
    Judge,
    Making,
    MixedJudges,
    Output,
    People,
    Reports,
    Result,
    Retries,
    Run,
    RunLog,
    Runner,
    RunPlan,
    Runs,
    Scorer,
    Settings,
    Verdict,
    make_scorers,
    markdown,
    plan_from,
    run,
    scorer,
)
from trimtab.evals import runs as desk
from trimtab.evals.route_prices import route_prices
from trimtab.evals.run_record import ALL, DONE, RUNNING, STOPPED
from trimtab.registry import Registry
from trimtab.store import Metadata

RUN_ME = Path(__file__).with_name("run_me.py")


@pytest.fixture
def metadata(tmp_path: Path) -> Any:
    opened = Metadata.open(tmp_path / "metadata.db")
    yield opened
    opened.close()


@pytest.fixture
def log(metadata: Metadata) -> RunLog:
    return RunLog(metadata)


@dataclass
class Fake:
    """Answers what the case expects, counts how many ask at once, and fails as it is told."""

    fails: Callable[[Case, int, int], Exception | None] = lambda case, repeat, nth: None
    text: Callable[[Case, int], str] = lambda case, repeat: case.expected or case.input
    cost: float | None = 0.01
    digest: str = "fake"
    calls: list[tuple[str, int]] = field(default_factory=list)
    now: int = 0
    most: int = 0

    async def __call__(self, case: Case, repeat: int) -> Output:
        self.calls.append((case.id, repeat))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            error = self.fails(case, repeat, self.calls.count((case.id, repeat)))
            if error is not None:
                raise error
        finally:
            self.now -= 1
        return Output(text=self.text(case, repeat), question=case.input, cost_usd=self.cost)


def some(count: int) -> list[Case]:
    return [Case(id=f"c{n}", input=f"q {n}", expected=f"a {n}", group=f"g{n // 2}") for n in range(count)]


def exact() -> list[Scorer]:
    return make_scorers(["exact"], None)  # type: ignore[arg-type]  # these kinds need no means


class Slept:
    """A clock that jumps when somebody sleeps on it."""

    def __init__(self) -> None:
        self.at = 0.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)


def patient(attempts: int = 3) -> tuple[Retries, Slept]:
    clock = Slept()
    return Retries(attempts=attempts, sleep=clock.sleep, clock=clock, draw=lambda: 1.0), clock


async def begin(log: RunLog, cases: Sequence[Case], run_id: str = "r", scorers: Sequence[Scorer] = ()) -> Run:
    dataset = Dataset.of("d", cases)
    named = [{"name": s.name, "digest": s.digest, "judge": s.judge} for s in scorers]
    made = Run(id=run_id, name="d", state=RUNNING, digest=dataset.digest, scorers=named, time_ns=1)
    await log.add(made, dataset.cases)
    return made


# In memory.


async def test_every_case_is_asked_as_often_as_wanted_and_never_more_at_once_than_allowed() -> None:
    target = Fake()
    found = await run(some(20), target, exact(), settings=Settings(repeats=3, concurrency=4))
    assert [(r.case.id, r.repeat) for r in found] == [(f"c{n}", k) for k in range(3) for n in range(20)]
    assert sorted(target.calls) == sorted((f"c{n}", k) for k in range(3) for n in range(20))
    assert target.most == 4
    assert all(r.verdicts[0].value == 1.0 for r in found)


async def test_an_answer_that_cannot_be_had_is_a_counted_error_and_has_no_score() -> None:
    def fails(case: Case, repeat: int, nth: int) -> Exception | None:
        return {"c1": ModelError("it is away", retryable=False), "c2": ZeroDivisionError("no")}.get(case.id)

    found = {r.case.id: r for r in await run(some(4), Fake(fails=fails), exact())}
    assert (found["c1"].output, found["c1"].error, list(found["c1"].verdicts)) == (None, "it is away", [])
    assert found["c2"].error == "ZeroDivisionError: no"
    assert found["c3"].verdicts[0].value == 1.0


async def test_what_a_scorer_answers_is_a_score_or_a_counted_error() -> None:
    answers: dict[str, Any] = {
        "c0": 0.25, "c1": True, "c2": None, "c3": float("nan"), "c4": 1.5, "c5": "yes", "c6": Verdict(None),
        "c7": [Verdict(1.0, name="a"), Verdict(0.0, name="b")],
    }  # fmt: skip

    @scorer
    def odd(case: Case, output: Output) -> Any:
        if case.id == "c8":
            raise KeyError("boom")
        return answers[case.id]

    found = {r.case.id: r.verdicts for r in await run(some(9), Fake(), [odd])}
    assert [v.value for n in ("c0", "c1") for v in found[n]] == [0.25, 1.0]
    assert found["c2"] == []
    for name, said in (("c3", "nan"), ("c4", "1.5"), ("c5", "str"), ("c6", "no value"), ("c8", "KeyError")):
        (verdict,) = found[name]
        assert verdict.value is None
        assert said in verdict.error
    assert [(v.name, v.value) for v in found["c7"]] == [("a", 1.0), ("b", 0.0)]


# Trying again.


async def test_what_may_pass_is_tried_again_with_growing_pauses_and_bounded() -> None:
    retries, clock = patient(attempts=4)

    def fails(case: Case, repeat: int, nth: int) -> Exception | None:
        return ModelError("busy") if nth < 4 else None

    found = await run(some(1), Fake(fails=fails), exact(), retries=retries)
    assert found[0].verdicts[0].value == 1.0
    assert clock.naps == [0.5, 1.0, 2.0]
    assert retries.counts == {"model_error": 3}
    retries, clock = patient(attempts=2)
    found = await run(some(1), Fake(fails=fails), exact(), retries=retries)
    assert (found[0].error, clock.naps) == ("busy", [0.5])


async def test_an_error_that_will_stay_is_not_tried_again() -> None:
    retries, clock = patient()
    target = Fake(fails=lambda case, repeat, nth: BadInput("wrong"))
    assert (await run(some(1), target, exact(), retries=retries))[0].error == "wrong"
    assert (target.calls, clock.naps) == ([("c0", 0)], [])


async def test_a_rate_limit_holds_back_every_call_until_it_has_passed() -> None:
    retries, clock = patient()
    seen: list[tuple[str, float]] = []

    def fails(case: Case, repeat: int, nth: int) -> Exception | None:
        seen.append((case.id, clock.at))
        return LimitReached("slow down", retry_after=7) if case.id == "c0" and nth == 1 else None

    found = await run(some(6), Fake(fails=fails), exact(), retries=retries, settings=Settings(concurrency=1))
    assert all(r.verdicts[0].value == 1.0 for r in found)
    assert seen[0] == ("c0", 0.0)
    assert all(at >= 7 for _, at in seen[1:])
    vendor = ModelError("429", vendor_status=429, retry_after=3)
    retries, clock = patient()
    await run(some(1), Fake(fails=lambda c, r, nth: vendor if nth == 1 else None), exact(), retries=retries)
    assert clock.at == pytest.approx(3.3)


async def test_a_call_that_takes_too_long_is_a_timeout_that_is_tried_again() -> None:
    class Hanging(Fake):
        async def __call__(self, case: Case, repeat: int) -> Output:
            if not self.calls:
                self.calls.append((case.id, repeat))
                await asyncio.Event().wait()
            return await super().__call__(case, repeat)

    retries, _ = patient()
    retries.timeout_s = 0.01
    found = await run(some(1), Hanging(), exact(), retries=retries)
    assert found[0].verdicts[0].value == 1.0
    assert retries.counts == {"model_timeout": 1}


# The log.


async def test_the_log_holds_every_answer_and_score_and_says_what_they_come_to(log: RunLog) -> None:
    def fails(case: Case, repeat: int, nth: int) -> Exception | None:
        return ModelError("away", retryable=False) if case.id == "c3" else None

    target = Fake(text=lambda case, repeat: case.expected if case.id != "c1" else "wrong", fails=fails)
    record = await begin(log, some(4))
    progress = await Runner(cases=some(4), target=target, scorers=exact(), run_id="r", log=log,
                            settings=Settings(repeats=2))()  # fmt: skip
    assert (progress.total, progress.done, progress.errors, progress.scores) == (8, 8, 2, 6)
    assert progress.cost_usd == pytest.approx(0.06)
    assert await log.spent("r") == pytest.approx(0.06)
    scored = await log.scored(record, "exact")
    assert [(s.case, s.repeat, s.value, s.error, s.cluster) for s in scored if s.case in ("c1", "c3")] == [
        ("c1", 0, 0.0, "", "g0"),
        ("c1", 1, 0.0, "", "g0"),
        ("c3", 0, None, "away", "g1"),
        ("c3", 1, None, "away", "g1"),
    ]
    (row,) = await log.summary("r")
    assert (row["name"], row["n"], row["passed"], row["errors"], row["mean"]) == (
        "exact",
        6,
        4,
        0,
        pytest.approx(2 / 3),
    )
    worst = await log.results("r", failures=True)
    assert [(r["case"], r["repeat"]) for r in worst] == [("c3", 0), ("c3", 1), ("c1", 0), ("c1", 1)]
    assert worst[2]["scores"][0]["reason"] == "expected 'a 1'"
    assert worst[2]["asked"]["input"] == "q 1"
    assert len(await log.results("r")) == 8
    kept = await log.output("r", "c0", 1)
    assert kept is not None
    assert replace(kept, latency_ms=0.0) == Output(text="a 0", question="q 0", cost_usd=0.01, repeat=1)
    await log.remove("r")
    with pytest.raises(NotFound):
        await log.get("r")
    assert await log.results("r") == []


async def test_all_scores_together_pass_only_where_each_does(log: RunLog) -> None:
    scorers = make_scorers(["exact", {"kind": "max_words", "words": 1}], None)  # type: ignore[arg-type]
    record = await begin(log, some(2))
    target = Fake(text=lambda case, repeat: "a 0")
    await Runner(cases=some(2), target=target, scorers=scorers, run_id="r", log=log)()
    assert [s.value for s in await log.scored(record, ALL)] == [0.0, 0.0]
    assert [s.value for s in await log.scored(record, "exact")] == [1.0, 0.0]


async def test_resuming_asks_what_is_missing_and_what_failed_and_nothing_else(log: RunLog) -> None:
    cases = some(6)
    await begin(log, cases)
    broken = Fake(fails=lambda case, repeat, nth: ModelError("away", retryable=False) if case.id == "c2" else None)
    first = Runner(cases=cases, target=broken, scorers=exact(), run_id="r", log=log, settings=Settings(concurrency=1))
    first.on_result = lambda result: first.stop("enough") if result.case.id == "c3" else None
    progress = await first()
    assert (progress.done, first.reason) == (4, "enough")
    second = Fake()
    done = await Runner(cases=cases, target=second, scorers=exact(), run_id="r", log=log)()
    assert sorted(second.calls) == [("c2", 0), ("c4", 0), ("c5", 0)]
    assert (done.done, done.before, done.errors) == (6, 3, 0)
    assert done.cost_usd == pytest.approx(0.06)
    third = Fake()
    again = await Runner(cases=cases, target=third, scorers=exact(), run_id="r", log=log)()
    assert (third.calls, again.before) == ([], 6)
    assert (await log.summary("r"))[0]["n"] == 6


async def test_a_judge_that_failed_is_asked_again_about_the_answer_that_is_there(log: RunLog) -> None:
    cases = some(3)
    await begin(log, cases)
    asked: list[str] = []

    def judge(*, broken: bool) -> Scorer:
        async def rule(case: Case, output: Output) -> Verdict:
            asked.append(case.id)
            if broken and case.id == "c1":
                raise ModelError("no verdict", retryable=False)
            return Verdict(1.0, cost_usd=0.1)

        return replace(scorer(rule), judge="j1", digest="j1", name="judge")

    target = Fake()
    one = await Runner(cases=cases, target=target, scorers=[*exact(), judge(broken=True)], run_id="r", log=log)()
    assert (one.score_errors, one.errors) == (1, 0)
    row = {r["name"]: r for r in await log.summary("r")}["judge"]
    assert (row["n"], row["errors"], row["mean"]) == (2, 1, 1.0)
    asked.clear()
    silent = Fake()
    two = await Runner(cases=cases, target=silent, scorers=[*exact(), judge(broken=False)], run_id="r", log=log)()
    assert (asked, silent.calls, two.before) == (["c1"], [], 2)
    assert {r["name"]: (r["n"], r["errors"]) for r in await log.summary("r")} == {"exact": (3, 0), "judge": (3, 0)}


async def test_the_cache_knows_the_repeat_the_judge_and_the_judgement(log: RunLog) -> None:
    cases = some(2)
    asked: list[tuple[str, int]] = []

    def judge(digest: str) -> Scorer:
        async def rule(case: Case, output: Output) -> Verdict:
            asked.append((case.id, output.repeat))
            return Verdict(1.0, cost_usd=0.1)

        return replace(scorer(rule), judge=digest, digest=digest, name="judge")

    async def once(run_id: str, digest: str, **more: Any) -> tuple[int, int, float]:
        asked.clear()
        await begin(log, cases, run_id)
        target = Fake()
        settings = Settings(cache=True, **more)
        done = await Runner(cases=cases, target=target, scorers=[judge(digest)], run_id=run_id, log=log,
                            settings=settings)()  # fmt: skip
        return len(target.calls), len(asked), round(done.cost_usd, 6)

    assert await once("r1", "j1") == (2, 2, 0.22)
    assert await once("r2", "j1") == (0, 0, 0.0), "same target, same judge: nothing is paid"
    assert await once("r3", "j2") == (0, 2, 0.2), "another judge judges again, on the same answers"
    assert await once("r4", "j1", repeats=2) == (2, 2, 0.22), "the second answer is another draw"
    assert await once("r5", "j1", judgements=3) == (0, 4, 0.4), "the further judgements are other draws"
    assert await log.cached("r2") == 2
    fresh = Fake()
    await begin(log, cases, "r6")
    await Runner(cases=cases, target=fresh, scorers=[judge("j1")], run_id="r6", log=log)()
    assert len(fresh.calls) == 2, "without the setting nothing is taken over"


async def test_a_run_stops_at_its_limit_of_cost_and_goes_on_with_a_higher_one(log: RunLog) -> None:
    cases = some(10)
    await begin(log, cases)
    settings = Settings(concurrency=1, max_cost_usd=0.045)
    first = Runner(cases=cases, target=Fake(), scorers=exact(), run_id="r", log=log, settings=settings)
    progress = await first()
    assert (progress.done, progress.cost_usd) == (5, pytest.approx(0.05))
    assert "0.045" in first.reason
    target = Fake()
    again = Runner(cases=cases, target=target, scorers=exact(), run_id="r", log=log,
                   settings=replace(settings, max_cost_usd=0.5))  # fmt: skip
    assert (await again()).cost_usd == pytest.approx(0.1)
    assert len(target.calls) == 5


async def test_a_log_that_cannot_be_written_ends_the_run(log: RunLog) -> None:
    class Broken(RunLog):
        def __init__(self, inner: RunLog) -> None:
            super().__init__(inner._metadata)

        async def write(self, outputs: Any, scores: Any) -> None:
            raise Overloaded("disk full")

    target = Fake()
    await begin(log, some(500))
    with pytest.raises(Overloaded, match="disk full"):
        await Runner(cases=some(500), target=target, scorers=exact(), run_id="r", log=Broken(log),
                     settings=Settings(concurrency=2))()  # fmt: skip
    assert len(target.calls) < 500


# A process of its own is killed: the test waits for nothing else meanwhile.
async def test_a_run_that_is_killed_repeats_no_call_that_was_logged(tmp_path: Path) -> None:
    command = [sys.executable, str(RUN_ME), str(tmp_path), "300"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)  # noqa: ASYNC220
    calls = tmp_path / "calls"
    deadline = time.monotonic() + 30
    while not (calls.exists() and calls.read_text().count("\n") >= 150):
        assert process.poll() is None
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
    paid = calls.read_text().split("\n")[:-1]
    assert 150 <= len(paid) < 600
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: ASYNC221
    asked, before = calls.read_text().split("\n")[:-1], int(done.stdout.split()[1])
    assert done.stdout.split()[0] == "600"
    # Only what was under way when it was killed may be asked again: it had answered and was not heard.
    twice = set(paid) & set(asked[len(paid) :])
    assert len(twice) <= 8
    assert len(asked) == 600 + len(twice)
    assert 0 < before <= len(paid)
    assert not (tmp_path / "journal").exists()
    metadata = Metadata.open(tmp_path / "metadata.db")
    summary = {row["name"]: row for row in await RunLog(metadata).summary("run_killed")}
    metadata.close()
    assert [summary[name]["n"] for name in ("contains", "numeric")] == [600, 600]


async def test_the_log_is_the_same_on_postgresql(postgres_url: str) -> None:
    metadata = Metadata.open(postgres_url)
    try:
        log = RunLog(metadata)
        cases = [Case(id=f"c{n}", input=f"q {n}", expected="a") for n in range(5)]
        record = await begin(log, cases)
        target = Fake(text=lambda case, repeat: "a" if case.id != "c2" else "b")
        await Runner(cases=cases, target=target, scorers=exact(), run_id="r", log=log)()
        assert [s.value for s in await log.scored(record, "exact")] == [1.0, 1.0, 0.0, 1.0, 1.0]
        assert [r["case"] for r in await log.results("r", failures=True)] == ["c2"]
        assert (await log.summary("r"))[0]["mean"] == 0.8
        claimed = await log.claim("me", 10, 5)
        assert claimed is not None
        assert (claimed.id, claimed.state) == ("r", RUNNING)
        assert await log.claim("other", 11, 5) is None
        assert await log.beat("r", "me", 12, {"done": 1})
        assert not await log.beat("r", "other", 13, {})
    finally:
        metadata.close()


# Plans.


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"repeats": 0}, "repeats"), ({"repeats": True}, "repeats"), ({"concurrency": 5000}, "concurrency"),
        ({"max_cost_usd": -1}, "max_cost_usd"), ({"timeout_s": "x"}, "timeout_s"), ({"cache": 1}, "cache"),
        ({"target": {}}, "target"), ({"target": []}, "target"), ({"dataset": "datasets:/x"}, "cases"),
        ({"cases": []}, "cases"), ({"name": 7}, "name"), ({"tests": []}, "tests"), ({"limit": -1}, "limit"),
    ],
)  # fmt: skip
def test_a_plan_that_does_not_fit_names_its_field(change: dict[str, Any], field: str) -> None:
    good = {"cases": [{"input": "x"}], "target": {"model": "scripted/echo"}, "scorers": ["exact"]}
    plan = plan_from(good)
    assert plan_from(plan.content()) == plan
    with pytest.raises(BadInput) as caught:
        plan_from({**good, **change})
    assert caught.value.field == field


# The desk.


@dataclass
class House:
    registry: Registry
    log: RunLog
    runs: Runs
    reports: Reports
    target: Fake
    gate: asyncio.Event


@pytest.fixture
async def house(registry: Registry, metadata: Metadata) -> AsyncIterator[House]:
    log = RunLog(metadata)
    target, gate = Fake(), asyncio.Event()
    gate.set()

    async def ask(*, model: str, prompt: str | None, messages: Any, variables: Any, params: Any) -> Output:
        await gate.wait()
        text = messages[-1]["content"] if messages else ""
        return await target(Case(id=text, input=text, expected=text), 0)

    def model_of(ref: str) -> Any:
        if "/" not in ref:
            raise NotFound(f"no {ref}", field="model")
        return _verdicts

    making = Making(
        registry=registry, ask=ask, model_of=model_of, embedder=lambda ref: _embed, cases_of_run=log.cases,
        output_of=log.output,
    )  # fmt: skip
    runs = Runs(log, making)
    await runs.start()
    yield House(registry, log, runs, Reports(log, People(metadata), making), target, gate)
    gate.set()
    await runs.stop()


async def _verdicts(call: Any) -> Any:
    passes = "good" in call.messages[-1]["content"].split("<<<ANSWER")[1]
    yield Chunk(text=f'{{"pass": {str(passes).lower()}, "reason": "so"}}', finish="stop", model="judge-1",
                usage=Usage(input_tokens=10, output_tokens=5))  # fmt: skip


async def _embed(texts: Sequence[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


PLAN: dict[str, Any] = {
    "name": "support",
    "cases": [{"input": "good"}, {"input": "bad"}],
    "target": {"model": "scripted/echo"},
    "scorers": [{"kind": "judge", "model": "scripted/judge", "rubric": "Strict.", "criteria": []}],
}


async def ended(house: House, run_id: str) -> Run:
    for _ in range(2000):
        found = await house.log.get(run_id)
        if found.ended_ns:
            return found
        await asyncio.sleep(0.002)
    raise AssertionError("the run does not end")


async def under_way(house: House, run_id: str) -> None:
    for _ in range(2000):
        if (await house.log.get(run_id)).state == RUNNING:
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the run does not begin")


async def test_a_plan_becomes_a_run_that_ends_with_its_figures(house: House) -> None:
    made = await house.runs.create(plan_from(PLAN), "mara")
    assert (made.state, made.actor, made.plan["estimate"]["cost_usd"] > 0) == ("waiting", "mara", True)
    done = await ended(house, made.id)
    assert (done.state, done.progress["done"], done.progress["errors"]) == (DONE, 2, 0)
    shown = await house.reports.detail(done)
    (score,) = shown["scores"]
    assert (score["name"], score["mean"], score["status"]["state"]) == ("judge", 0.5, "uncalibrated")
    assert score["judge"] == done.scorers[0]["judge"] != ""
    points = await house.reports.points(made.id, made.id, "judge")
    assert [point["old"] == point["new"] for point in points] == [True, True]
    (listed,) = await house.reports.listed(await house.log.recent())
    assert "cases" not in listed["plan"]


async def test_addresses_become_the_versions_that_they_mean_when_the_run_is_made(house: House) -> None:
    await house.registry.register("datasets", "d", {"cases": [{"input": "good"}]})
    await house.registry.register("judges", "quality", {"model": "scripted/judge", "rubric": "Strict."})
    for kind, name in (("datasets", "d"), ("judges", "quality")):
        await house.registry.move_label(kind, name, "production", 1, actor="t")
    plan = {**PLAN, "dataset": "datasets:/d", "scorers": [{"kind": "judge", "judge": "judges:/quality"}]}
    del plan["cases"]
    made = await house.runs.create(plan_from(plan), "mara")
    assert (made.dataset, made.plan["dataset"]) == ("d/1", "datasets:/d/1")
    assert made.plan["scorers"] == [{"kind": "judge", "judge": "judges:/quality/1"}]
    assert (await ended(house, made.id)).state == DONE


async def test_answers_of_an_earlier_run_are_scored_again_without_asking(house: House) -> None:
    first = await house.runs.create(plan_from(PLAN), "mara")
    await ended(house, first.id)
    asked = len(house.target.calls)
    plan = {"name": "again", "target": {"run": first.id}, "scorers": [{"kind": "contains", "text": "good"}]}
    second = await ended(house, (await house.runs.create(plan_from(plan), "mara")).id)
    assert (second.progress["done"], second.progress["cost_usd"], len(house.target.calls)) == (2, 0.0, asked)
    with pytest.raises(MixedJudges):
        await house.reports.compare(second.id, first.id, ALL)


async def test_what_a_plan_names_and_is_not_there_is_said_before_anything_is_asked(house: House) -> None:
    for change, name in (
        ({"scorers": []}, "scorers"), ({"scorers": ["nope"]}, "scorers[0].kind"), ({"scorers": ["exact", "exact"]},
         "scorers[1].name"), ({"target": {"model": "route"}}, "model"), ({"target": {"x": 1}}, "target.x"),
        ({"target": {"prompt": "none", "model": "a/b"}}, "name"), ({"max_cost_usd": 1e-9}, "max_cost_usd"),
        ({"split": "dev"}, "split"), ({"scorers": [{"kind": "regex", "pattern": "("}]}, "scorers[0].pattern"),
        ({"scorers": [{"kind": "exact", "x": 1}]}, "scorers[0]"), ({"target": {"run": "run_none"}}, "cases"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as caught:
            await house.runs.create(plan_from({**PLAN, **change}), "mara")
        assert caught.value.field == name, change
        assert caught.value.mend or name in ("model", "name", "scorers[0].kind")
    assert house.target.calls == []


async def test_the_queue_is_bounded_and_a_run_can_be_stopped_resumed_and_removed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "MAX_WAITING", 1)
    house.gate.clear()
    first = await house.runs.create(plan_from(PLAN), "mara")
    await under_way(house, first.id)
    second = await house.runs.create(plan_from(PLAN), "mara")
    with pytest.raises(Overloaded):
        await house.runs.create(plan_from(PLAN), "mara")
    with pytest.raises(Conflict):
        await house.runs.remove(first.id)
    assert (await house.runs.cancel(second.id, "mara")).state == STOPPED
    await house.runs.cancel(first.id, "mara")
    house.gate.set()
    stopped = await ended(house, first.id)
    assert (stopped.state, stopped.reason) == (STOPPED, "stopped by mara")
    with pytest.raises(Conflict):
        await house.runs.cancel(first.id, "mara")
    await house.runs.resume(second.id)
    assert (await ended(house, second.id)).state == DONE
    await house.runs.remove(second.id)
    with pytest.raises(NotFound):
        await house.log.get(second.id)


async def test_a_run_that_the_end_of_the_server_interrupts_goes_on_at_its_start(house: House) -> None:
    house.gate.clear()
    made = await house.runs.create(plan_from({**PLAN, "concurrency": 1}), "mara")
    await under_way(house, made.id)
    stopping = asyncio.create_task(house.runs.stop())
    await asyncio.sleep(0)
    house.gate.set()
    await stopping
    left = await house.log.get(made.id)
    assert (left.state, left.ended_ns) == (RUNNING, 0)
    asked = len(house.target.calls)
    house.runs = Runs(house.log, house.runs._making)
    await house.runs.start()
    done = await ended(house, made.id)
    assert (done.state, done.progress["done"], done.progress["before"]) == (DONE, 2, asked)
    await house.runs.stop()


@pytest.mark.parametrize("by", ["the end of the server", "a person"])
async def test_a_run_that_is_stopped_between_its_claim_and_its_first_case_asks_nothing(house: House, by: str) -> None:
    claimed, go_on, making = asyncio.Event(), asyncio.Event(), house.runs._making

    async def slowly(plan: RunPlan) -> Any:
        claimed.set()
        await go_on.wait()
        return await making(plan)

    made = await house.runs.create(plan_from(PLAN), "mara")
    house.runs._making = slowly  # the claim comes in a later turn of the loop: it asks the database in a thread
    await claimed.wait()
    if by == "a person":
        await house.runs.cancel(made.id, "mara")
        go_on.set()
        other = {**PLAN, "cases": [{"input": "other"}]}
        await ended(house, (await house.runs.create(plan_from(other), "mara")).id)  # one after the other
    else:
        stopping = asyncio.create_task(house.runs.stop())
        await asyncio.sleep(0)
        go_on.set()
        await stopping
    left = await house.log.get(made.id)
    assert ("good", 0) not in house.target.calls
    assert (left.state, left.reason) == (("stopped", "stopped by mara") if by == "a person" else (RUNNING, ""))


async def test_a_gate_says_which_score_it_is_about(house: House) -> None:
    made = await house.runs.create(
        plan_from({**PLAN, "scorers": [*PLAN["scorers"], {"kind": "max_words", "words": 50}]}), "mara"
    )
    await ended(house, made.id)
    against = await house.reports.gate(made.id, made.id, score="max_words")
    above = await house.reports.gate(made.id, score="max_words", floor=0.5)
    for found in (against, above):
        assert found.score == "max_words"
        assert markdown(found).startswith("**Gate on `max_words`: ")
    assert (await house.reports.gate(made.id, made.id)).score == ALL


async def test_an_estimate_asks_nothing_and_looks_the_price_of_a_route_up(house: House) -> None:
    found = await house.runs.estimate(plan_from({**PLAN, "repeats": 3}))
    assert (found["cases"], found["calls"], found["answers"]["calls"], found["verdicts"]["calls"]) == (2, 12, 6, 6)
    assert found["cost_usd"] > 0
    assert house.target.calls == []
    other = await house.runs.estimate(plan_from({**PLAN, "target": {"model": "vendor/unknown"}}))
    assert other["cost_usd"] is None
    await house.registry.register("judges", "routed", {"model": "support", "rubric": "Strict."}, author="mara")
    routes = {"targets": [{"model": "scripted/echo"}, {"model": "vendor/unknown"}]}
    await house.registry.register("routes", "support", routes, author="mara")
    await house.registry.move_label("routes", "support", "production", 1, actor="mara", note="first")
    prices = route_prices(house.registry)
    assert prices("support", Usage(input_tokens=9, output_tokens=9)) == prices(
        "scripted/echo", Usage(input_tokens=9, output_tokens=9)
    )


async def test_scorers_of_one_case_count_for_that_case_alone(house: House) -> None:
    cases: list[dict[str, Any]] = [
        {"id": "a", "input": "good"},
        {"id": "b", "input": "bad"},
    ]
    cases[0]["scorers"] = [{"kind": "contains", "text": "good"}, {"kind": "max_words", "words": 1}]
    cases[1]["scorers"] = [{"kind": "contains", "text": "never"}, {"kind": "contains", "text": "b"}]
    made = await house.runs.create(plan_from({**PLAN, "cases": cases, "scorers": []}), "mara")
    done = await ended(house, made.id)
    names = {row["name"]: (row["n"], row["passed"]) for row in await house.log.summary(made.id)}
    assert names == {"contains": (2, 1), "contains 2": (1, 1), "max_words": (1, 1)}
    assert [(s.case, s.value) for s in await house.log.scored(done, ALL)] == [("a", 1.0), ("b", 0.0)]


def test_a_run_of_a_version_names_everything_that_decides_its_scores() -> None:
    version = Version(kind="judges", name="q", number=1, digest="d", content={"model": "a/b", "rubric": "r"})
    one = Judge(version, None)  # type: ignore[arg-type]
    noted = Judge(replace(version, content={**version.content, "note": "n"}), None)  # type: ignore[arg-type]
    other = Judge(replace(version, content={**version.content, "model": "a/c"}), None)  # type: ignore[arg-type]
    assert one.judge == noted.judge != other.judge
    plan = RunPlan(cases=[{"input": "x"}], target={"recorded": True}, scorers=["exact"])
    assert plan_from(plan.content()) == plan
    assert Result(case=Case(input="x"), repeat=0, output=None, error="e").verdicts == ()
