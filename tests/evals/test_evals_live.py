"""Lists of scorers for live traffic: what they cover, see and spend, and the scores that they write."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import run_me_scorers

from trimtab.core import (
    BadInput,
    Call,
    Chunk,
    ConfigError,
    Model,
    ModelError,
    Overloaded,
    Score,
    Span,
    Stamp,
    Usage,
    Version,
)
from trimtab.evals import (
    WARNING,
    Case,
    Local,
    Means,
    Online,
    Output,
    Spending,
    live_scoring,
    load_scorers,
    no_other,
    validate_scorers,
    weight_of,
)
from trimtab.evals.patience import MOST_TIMEOUTS, REST_S, Patience
from trimtab.registry import Registry
from trimtab.store import Metadata, Settings
from trimtab.watch import Monitor, Watch, signal_of

DAY = 86_400 * 10**9
NOW = 20_000 * DAY + 10**9
ANSWER = "Access keys expire after ninety days. [1]"
PASSAGE = {"number": 1, "title": "Keys", "text": "Access keys expire after ninety days."}
STAMP = Stamp(model="m", prompt="support/2", route="support/1")


def root(number: int, **changes: Any) -> Span:
    fields: dict[str, Any] = {
        "trace_id": f"{number:032x}", "span_id": f"{number:016x}", "name": "support", "kind": "chain",
        "start_ns": NOW - 10, "end_ns": NOW, "stamp": STAMP, "tags": {"topic": "keys"}, "project": "shop",
        "input": "When do access keys expire?", "output": ANSWER,
        "attributes": {"gateway": True, "finish": "stop", "attempts": 1, "passages": [PASSAGE]},
    }  # fmt: skip
    return Span(**{**fields, **changes})


def saying(text: str, tokens: int = 0) -> Model:
    async def model(_: Call) -> AsyncIterator[Chunk]:
        usage = Usage(input_tokens=tokens, output_tokens=0) if tokens else None
        yield Chunk(text=text, finish="stop", usage=usage, model="gpt-4o-mini-2024-07-18")

    return model


PASSES = saying('{"pass": true, "reason": "fine"}')
#: A judge whose every verdict costs 15 cents at the list price of gpt-4o-mini.
COSTLY = saying('{"pass": true, "reason": "fine"}', tokens=1_000_000)
COST = 0.15


async def vectors(texts: Sequence[str]) -> list[list[float]]:
    return [[1.0, 0.0] if "ninety" in text else [0.6, 0.8] for text in texts]


class House:
    """Scoring with a registry, and a clock that can be set."""

    def __init__(self, registry: Registry, settings: Settings | None = None) -> None:
        self.registry, self.settings = registry, settings
        self.now = NOW
        self.models: dict[str, Model] = {"openai/gpt-4o-mini": PASSES}
        self.traces: dict[str, list[Span]] = {}
        self.python: Mapping[str, Any] = {}

    async def online(self, **more: Any) -> Online:
        def judge_of(address: str) -> Version:
            return self.registry.resolve(address, kind="judges").version

        async def trace_of(trace_id: str) -> Sequence[Span]:
            return self.traces.get(trace_id, ())

        made = Online(
            registry=self.registry, model_of=lambda ref: self.models[ref], rng=random.Random(5).random,
            clock=lambda: self.now, trace_of=trace_of, spending=Spending(self.settings, lambda: self.now),
            means=Means(
                model_of=lambda ref: self.models[ref], judge_of=judge_of, embedder=lambda ref: vectors,
                output_of=no_other, python=self.python,
            ), **{"sample": 0.2, "raised": 0.6, **more},
        )  # fmt: skip
        await made.load()
        return made

    async def publish(self, kind: str, name: str, content: Mapping[str, Any]) -> Version:
        version = await self.registry.register(kind, name, content)
        await self.registry.move_label(kind, name, "production", version.number, actor="test")
        return version


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    registry = await Registry.load(metadata, checks={"scorers": validate_scorers})
    yield House(registry, Settings(metadata))
    metadata.close()


def named(scores: Sequence[Score], name: str) -> list[Score]:
    return [score for score in scores if score.name == name]


JUDGED = {"kind": "judge", "name": "tone", "model": "openai/gpt-4o-mini", "rubric": "Is it kind?"}


async def test_a_list_scores_traffic_under_its_own_names(house: House) -> None:
    await house.publish("scorers", "support", {"scorers": [{"kind": "max_words", "words": 3}, {**JUDGED, "sample": 1}]})
    scores = await (await house.online()).score([root(1)])
    words, tone = named(scores, "support.max_words")[0], named(scores, "support.tone")[0]
    assert (words.value, words.by, words.by_version) == (0.0, "scorers:support", "support/1")
    assert (tone.value, tone.by, tone.reason) == (1.0, "scorers:support", "fine")
    assert {(s.slice, s.project, s.stamp, s.time_ns) for s in (words, tone)} == {("keys", "shop", STAMP, NOW)}
    assert "answered" in {score.name for score in scores}


async def test_a_registered_judge_gives_its_pin_and_its_criteria_as_scores_of_their_own(house: House) -> None:
    criteria = [{"name": "kind", "text": "It is kind."}, {"name": "short", "text": "It is short."}]
    content = {"model": "openai/gpt-4o-mini", "rubric": "Judge.", "criteria": criteria, "each": True}
    await house.publish("judges", "tone", content)
    await house.publish("scorers", "support", {"scorers": [{"kind": "judge", "judge": "judges:/tone", "sample": 1}]})
    house.models["openai/gpt-4o-mini"] = saying('{"criteria": {"kind": true, "short": false}, "pass": false}')
    online = await house.online(judge="judges:/tone", sample=1.0)
    scores = await online.score([root(1)])
    values = {score.name: (score.value, score.by, score.by_version) for score in scores}
    for head in ("support.tone", "quality"):
        assert values[head] == (0.0, "judge:tone", "tone/1")
        assert values[f"{head}.kind"] == (1.0, "judge:tone", "tone/1")
        assert values[f"{head}.short"] == (0.0, "judge:tone", "tone/1")
    assert len({score.id for score in scores}) == len(scores)
    wanted = ["quality.kind", "quality.short", "support.tone", "support.tone.kind", "support.tone.short"]
    assert await online.score_names() == wanted
    judged = await online.judged(Output(text="yes", question="?"), house.registry.version("judges", "tone", 1))
    assert judged == {"quality": 0.0, "quality.kind": 1.0, "quality.short": 0.0}


async def test_what_a_list_covers(house: House) -> None:
    words = [{"kind": "max_words", "words": 30}]
    for name, covers in (
        ("all", {}), ("routes", {"routes": ["support", "sales"]}), ("prompts", {"prompts": ["other"]}),
        ("projects", {"projects": ["shop"], "routes": ["support"]}), ("elsewhere", {"projects": ["bank"]}),
    ):  # fmt: skip
        await house.publish("scorers", name, {"scorers": words, "covers": covers})
    scores = await (await house.online()).score([root(1)])
    assert {s.name for s in scores if "." in s.name} == {"all.max_words", "routes.max_words", "projects.max_words"}


async def test_cheap_scorers_see_all_and_a_model_a_share_that_stands_in_the_score(house: House) -> None:
    specs = [{"kind": "max_words", "words": 30}, JUDGED, {**JUDGED, "name": "rare", "sample": 0.05}]
    await house.publish("scorers", "s", {"scorers": specs})
    online = await house.online()
    scores = await online.score([root(n) for n in range(600)])
    assert len(named(scores, "s.max_words")) == 600
    assert 85 < len(named(scores, "s.tone")) < 160
    assert 12 < len(named(scores, "s.rare")) < 55
    assert {weight_of(s) for s in named(scores, "s.tone")} == {5.0}
    assert {weight_of(s) for s in named(scores, "s.max_words")} == {1.0}
    online.sampling.evidence = lambda: 2 * WARNING
    scores = await online.score([root(n) for n in range(600)])
    assert 310 < len(named(scores, "s.tone")) < 410  # the usual raised share
    assert 50 < len(named(scores, "s.rare")) < 135  # three times its own
    assert {round(weight_of(s), 3) for s in named(scores, "s.rare")} == {6.667}
    assert any("s.tone sees 60% of the answers and not 20%" in note for note in online.notes)


async def test_a_budget_ends_a_scorer_for_the_day_and_a_restart_does_not_give_it_twice(house: House) -> None:
    house.models["openai/gpt-4o-mini"] = COSTLY
    await house.publish("judges", "quality", {"model": "openai/gpt-4o-mini", "rubric": "Judge."})
    await house.publish("scorers", "s", {"scorers": [{**JUDGED, "sample": 1, "budget_usd": 1.0}]})
    settings: dict[str, Any] = {"judge": "judges:/quality", "sample": 1.0, "budget_usd": 2.0}
    online = await house.online(**settings)
    first = await online.score([root(n) for n in range(100)])
    # What was under way when the money ended still ended: at most as many as are asked at once.
    tone, quality = len(named(first, "s.tone")), len(named(first, "quality"))
    assert 7 <= tone <= 7 + 8
    assert 14 <= quality <= 14 + 8
    assert sorted(online.notes) == [
        "The judge rests until midnight UTC: today's budget of $2 is spent.",
        "s.tone rests until midnight UTC: today's budget of $1 is spent.",
    ]
    again = await house.online(**settings)
    assert again.sampling.spent_usd == pytest.approx(quality * COST)
    second = await again.score([root(n) for n in range(100, 200)])
    assert not named(second, "s.tone")
    assert not named(second, "quality")
    line = (await again.live.standing())[0] if again.live else None
    assert line is not None
    assert (line.score, line.resting, line.budget_usd) == ("s.tone", True, 1.0)
    assert line.spent_usd == pytest.approx(tone * COST)
    house.now += DAY
    tomorrow = await (await house.online(**settings)).score([root(300)])
    assert len(named(tomorrow, "s.tone")) == len(named(tomorrow, "quality")) == 1


async def test_an_answer_that_a_registered_judge_was_drawn_for_says_so_when_it_gets_no_verdict(house: House) -> None:
    wrong: list[Exception] = [ModelError("the vendor is down")]

    async def judge(call: Call) -> AsyncIterator[Chunk]:
        for error in wrong:
            raise error
        async for chunk in COSTLY(call):
            yield chunk

    house.models |= {"openai/gpt-4o-mini": judge, "openai/other": judge}
    await house.publish("judges", "tone", {"model": "openai/gpt-4o-mini", "rubric": "Judge."})
    registered = {"kind": "judge", "judge": "judges:/tone", "name": "tone", "sample": 1, "budget_usd": 0.2}
    spelled = {**JUDGED, "name": "spelled", "model": "openai/other", "sample": 1}
    await house.publish("scorers", "s", {"scorers": [registered, spelled, {"kind": "max_words", "words": 3}]})
    online = await house.online(sample=0.0)
    missed = named(await online.score([root(1)]), "judged")
    assert [(s.value, s.by, s.by_version, s.slice) for s in missed] == [(0.0, "judge:tone", "tone/1", "keys")]
    assert missed[0].id == f"{missed[0].trace_id}:judged:s.tone"
    assert "the vendor is down" in missed[0].reason
    wrong.clear()
    assert [s.name for s in await online.score([root(2), root(3)]) if "judge" in s.by] == ["s.tone", "s.tone"]
    resting = await online.score([root(n) for n in range(4, 7)])  # thirty cents were spent of twenty
    assert not named(resting, "s.tone")
    assert [s.reason for s in named(resting, "judged")] == ["Today's budget is spent."] * 3
    house.now += DAY
    assert named(await online.score([root(7)]), "s.tone")
    wrong.append(RuntimeError("a mistake of ours"))
    assert [s.reason for s in named(await online.score([root(8)]), "judged")] == ["internal error (RuntimeError)"]


async def test_a_restart_after_half_the_budget_leaves_the_other_half(house: House) -> None:
    house.models["openai/gpt-4o-mini"] = COSTLY
    await house.publish("scorers", "s", {"scorers": [{**JUDGED, "sample": 1, "budget_usd": 0.5}]})
    got = 0
    for n in range(6):  # every answer by a process of its own
        got += len(named(await (await house.online()).score([root(n)]), "s.tone"))
    assert got == 4


async def test_references_give_what_is_expected(house: House) -> None:
    cases = [
        {"input": "when do access keys  EXPIRE?", "expected": "They expire after ninety days."},
        {"input": "Who are you?", "expected": "A lamp."},
    ]
    await house.publish("datasets", "faq", {"cases": cases})
    specs = [{"kind": "similarity", "model": "openai/e", "sample": 1}, "exact"]
    await house.publish("scorers", "s", {"scorers": specs, "references": "datasets:/faq"})
    online = await house.online()
    spans = [root(1), root(2, input="Who are you?"), root(3, input="Something else?")]
    scores = await online.score(spans)
    assert [round(s.value, 3) for s in named(scores, "s.similarity")] == [1.0, 0.6]
    assert [s.value for s in named(scores, "s.exact")] == [0.0, 0.0]
    await house.publish("datasets", "faq", {"cases": [{"input": "Something else?", "expected": ANSWER}]})
    assert [s.value for s in named(await online.score(spans), "s.exact")] == [1.0]


async def test_an_agents_run_is_scored_whole_with_its_steps(house: House) -> None:
    trace = "a" * 32

    def span(n: int, kind: str, name: str, **more: Any) -> Span:
        fields = {"trace_id": trace, "span_id": f"{n:016x}", "parent_id": "0" * 15 + "1", "project": "shop"}
        return Span(**{**fields, "kind": kind, "name": name, "start_ns": NOW + n, "end_ns": NOW + n + 1, **more})

    agent = span(1, "agent", "plan", parent_id="", input="Refund order 7", output="Done.", end_ns=NOW + 100)
    house.traces[trace] = [
        span(4, "tool", "refund", input='{"order": 7}', output="ok"), agent,
        span(2, "tool", "lookup", input='{"order": 7}', output="paid"),
        span(3, "llm", "gpt", input="everything", output="I will refund it.", cost_usd=0.01),
        span(5, "tool", "mail", status="error", input="{}"),
        span(6, "retriever", "kb", output='[{"content": "Refunds take a week."}]'),
    ]  # fmt: skip
    seen: list[Call] = []

    async def steps(call: Call) -> AsyncIterator[Chunk]:
        seen.append(call)
        yield Chunk(text='{"first_wrong_step": 3, "reason": "twice"}', finish="stop")

    house.models["openai/steps"] = steps
    case = {"input": "Refund order 7", "expects": {"trajectory": ["lookup", "refund"]}}
    await house.publish("datasets", "paths", {"cases": [case]})
    specs = [{"kind": "steps", "model": "openai/steps", "sample": 1}, "trajectory", {"kind": "max_words", "words": 1}]
    await house.publish(
        "scorers", "agents", {"scorers": specs, "covers": {"projects": ["shop"]}, "references": "datasets:/paths"}
    )
    house.now = NOW + 50
    scores = await (await house.online()).score([agent])
    values = {score.name: score for score in scores}
    assert set(values) == {"agents.steps", "agents.trajectory", "agents.max_words"}
    assert (values["agents.steps"].value, values["agents.steps"].reason) == (
        0.0, "step 3 is the first wrong one: twice",
    )  # fmt: skip
    assert values["agents.trajectory"].value == 1.0
    assert {score.time_ns for score in scores} == {NOW + 50}
    shown = str(seen[0].messages)
    places = [shown.index(text) for text in ("lookup", "I will refund it.", "refund {", "kb")]
    assert places == sorted(places)
    assert "mail" not in shown


async def test_runs_that_no_list_covers_are_not_read(house: House) -> None:
    async def never(trace_id: str) -> Sequence[Span]:
        raise AssertionError("nobody asked for it")

    await house.publish("scorers", "s", {"scorers": ["exact"], "covers": {"projects": ["bank"]}})
    online = await house.online()
    assert online.live is not None
    online.live._trace_of = never
    agent = root(1, kind="agent", attributes={})
    assert await online.score([agent, root(2, kind="agent", project="trimtab", attributes={})]) == []


async def test_only_listed_python_scorers_run_and_plain_ones_in_a_thread(house: House) -> None:
    house.python = load_scorers(["run_me_scorers:polite", "run_me_scorers:slow"])
    specs = [{"kind": "python", "path": f"run_me_scorers:{name}"} for name in ("polite", "slow")]
    await house.publish("scorers", "own", {"scorers": [*specs, {"kind": "python", "path": "run_me_scorers:polite",
                                                                "name": "again"}]})  # fmt: skip
    await house.publish("scorers", "foreign", {"scorers": [{"kind": "python", "path": "os:system"}]})
    online = await house.online()
    scores = await online.score([root(1, output="Yes, please.")])
    assert {s.name: s.value for s in scores if "." in s.name} == {"own.polite": 1.0, "own.slow": 1.0, "own.again": 1.0}
    lines = await online.live.standing() if online.live else []
    assert "'os:system' is not listed" in lines[0].problem


@pytest.mark.parametrize("path", ["json", "no_such_module:x", "json:nothing", "json:JSONDecoder", "math:pi"])
def test_a_path_that_is_no_scorer_stops_the_start(path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_scorers([path])
    assert refused.value.field == "scoring.python[0]"


async def test_one_scorers_mistake_is_counted_and_costs_nobody_elses_score(house: House) -> None:
    async def fails(_: Call) -> AsyncIterator[Chunk]:
        raise ModelError("the vendor is down")
        yield Chunk()

    house.models["openai/down"] = fails
    specs = [{**JUDGED, "model": "openai/down", "sample": 1}, {"kind": "max_words", "words": 3}]
    await house.publish("scorers", "s", {"scorers": specs})
    await house.publish("scorers", "lost", {"scorers": [{"kind": "judge", "judge": "judges:/nobody"}]})
    online = await house.online()
    scores = await online.score([root(1), root(2)])
    assert len(named(scores, "s.max_words")) == 2
    assert online.live is not None
    assert online.live.errors["s.tone"] == {"model_error": 2}
    assert online.live.errors["lost"] == {"not_found": 2}
    lines = {line.score: line for line in await online.live.standing()}
    assert lines["s.tone"].errors == 2
    assert "nobody" in lines["lost.*"].problem


UNREADABLE = saying("Well, that depends.", tokens=1_000_000)
PAIRED = {"input": "When do access keys expire?", "expected": "They expire."}


@pytest.mark.parametrize(
    ("spec", "cost"),
    [
        (JUDGED, COST),
        ({"kind": "groundedness", "name": "tone", "model": "openai/gpt-4o-mini"}, COST),
        ({"kind": "pairwise", "name": "tone", "model": "openai/gpt-4o-mini"}, COST),
        ({"kind": "jury", "name": "tone", "judges": ["judges:/quality", "judges:/other"]}, 2 * COST),
    ],
)
async def test_a_reply_that_cannot_be_read_was_paid_and_ends_the_budget(
    house: House, spec: dict[str, Any], cost: float
) -> None:
    house.models["openai/gpt-4o-mini"] = UNREADABLE
    for name in ("quality", "other"):
        await house.publish("judges", name, {"model": "openai/gpt-4o-mini", "rubric": "Judge."})
    await house.publish("datasets", "faq", {"cases": [PAIRED]})
    specs = {"scorers": [{**spec, "sample": 1, "budget_usd": 1.0}], "references": "datasets:/faq"}
    await house.publish("scorers", "s", specs)
    online = await house.online(judge="judges:/quality", sample=1.0, budget_usd=0.5)
    assert online.live is not None
    await online.score([root(1)])
    (line,) = await online.live.standing()
    assert line.spent_usd == pytest.approx(cost)
    assert online.sampling.spent_usd == pytest.approx(COST)
    assert line.errors == online.errors == 1
    await online.score([root(n) for n in range(2, 40)])
    assert online.sampling.resting
    assert (await online.live.standing())[0].resting


async def test_half_a_comparison_costs_both_of_its_calls(house: House) -> None:
    said = iter(['{"better": "first"}', "Well, that depends."])

    async def model(_: Call) -> AsyncIterator[Chunk]:
        usage = Usage(input_tokens=1_000_000, output_tokens=0)
        yield Chunk(text=next(said), finish="stop", usage=usage, model="gpt-4o-mini-2024-07-18")

    house.models["openai/gpt-4o-mini"] = model
    await house.publish("datasets", "faq", {"cases": [PAIRED]})
    spec = {"kind": "pairwise", "name": "tone", "model": "openai/gpt-4o-mini", "sample": 1}
    await house.publish("scorers", "s", {"scorers": [spec], "references": "datasets:/faq"})
    online = await house.online()
    assert online.live is not None
    await online.score([root(1)])
    assert (await online.live.standing())[0].spent_usd == pytest.approx(2 * COST)


def busy_about(busy: str) -> Any:
    """A registry's ``ready`` that cannot read one kind now."""

    async def ready(_: str, *, kind: str) -> None:
        if kind == busy:
            raise Overloaded("the store is busy.")

    return ready


async def test_a_store_that_is_busy_costs_no_scores_and_no_money_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.models["openai/gpt-4o-mini"] = COSTLY
    await house.publish("datasets", "faq", {"cases": [{"input": "When do access keys expire?", "expected": ANSWER}]})
    specs = [{**JUDGED, "sample": 1}, "exact"]
    await house.publish("scorers", "s", {"scorers": specs, "references": "datasets:/faq"})
    online = await house.online()
    assert online.live is not None

    async def busy(_: str) -> Sequence[Span]:
        raise Overloaded("the store is busy.")

    online.live._trace_of = busy
    with monkeypatch.context() as patch:
        patch.setattr(house.registry, "ready", busy_about("datasets"))
        scores = await online.score([root(1), root(2, kind="agent", attributes={})])
    assert [s.value for s in named(scores, "s.tone")] == [1.0]
    assert online.live.errors["runs"] == online.live.errors["s"] == {"overloaded": 1}
    # It was kept, and what was busy is read again.
    again = await house.online()
    assert again.live is not None
    assert (await again.live.standing())[0].spent_usd == pytest.approx(COST)
    assert [s.value for s in named(await online.score([root(3)]), "s.exact")] == [1.0]


async def test_the_trace_of_a_run_that_is_not_drawn_is_not_read(house: House) -> None:
    house.models["openai/gpt-4o-mini"] = COSTLY
    await house.publish("scorers", "s", {"scorers": [{**JUDGED, "sample": 0}]})
    online = await house.online()
    assert online.live is not None
    read: list[str] = []

    async def trace_of(trace_id: str) -> Sequence[Span]:
        read.append(trace_id)
        return ()

    online.live._trace_of = trace_of
    await online.score([root(2, kind="agent", attributes={})])
    assert read == []
    await house.publish("scorers", "s", {"scorers": [{**JUDGED, "sample": 1}]})
    await online.score([root(2, kind="agent", attributes={})])
    assert len(read) == 1


async def test_what_was_paid_is_kept_even_where_scoring_breaks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.models["openai/gpt-4o-mini"] = COSTLY
    await house.publish("scorers", "s", {"scorers": [{**JUDGED, "sample": 1}]})
    online = await house.online()
    assert online.live is not None

    async def broken(*_: Any) -> list[Score]:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(online.live, "runs", broken)
    with pytest.raises(RuntimeError):
        await online.score([root(1)])
    again = await house.online()
    assert again.live is not None
    assert (await again.live.standing())[0].spent_usd == pytest.approx(COST)


async def test_a_judge_that_cannot_be_read_now_is_looked_for_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.publish("judges", "tone", {"model": "openai/gpt-4o-mini", "rubric": "Judge."})
    await house.publish("scorers", "s", {"scorers": [{"kind": "judge", "judge": "judges:/tone", "sample": 1}]})
    online = await house.online()

    with monkeypatch.context() as patch:
        patch.setattr(house.registry, "ready", busy_about("judges"))
        assert not named(await online.score([root(1)]), "s.tone")
    assert named(await online.score([root(1)]), "s.tone")


async def test_references_that_were_read_before_a_change_are_not_kept_after_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.publish("datasets", "faq", {"cases": [{"input": "When do access keys expire?", "expected": "old"}]})
    await house.publish("scorers", "s", {"scorers": ["exact"], "references": "datasets:/faq"})
    online = await house.online()
    read = live_scoring._by_question
    begun, go_on = threading.Event(), threading.Event()

    def slowly(content: Mapping[str, Any]) -> dict[str, Case]:
        begun.set()
        assert go_on.wait(60)
        return read(content)

    monkeypatch.setattr(live_scoring, "_by_question", slowly)
    under_way = asyncio.create_task(online.score([root(1)]))
    assert await asyncio.to_thread(begun.wait, 60)
    await house.publish("datasets", "faq", {"cases": [{"input": "When do access keys expire?", "expected": ANSWER}]})
    go_on.set()
    assert [s.value for s in named(await under_way, "s.exact")] == [0.0]
    assert [s.value for s in named(await online.score([root(2)]), "s.exact")] == [1.0]


async def test_a_scorer_that_hangs_rests_and_keeps_no_thread_that_requests_need(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_scoring, "TIMEOUT", 0.05)
    house.python = load_scorers(["run_me_scorers:hangs"])
    await house.publish("scorers", "own", {"scorers": [{"kind": "python", "path": "run_me_scorers:hangs"}]})
    online = await house.online()
    assert online.live is not None
    usual = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(usual)
    try:
        await online.score([root(n) for n in range(3)])
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(len, "abc") == 3, "the only thread of the loop is free"
        assert online.live.errors["own.hangs"] == {"TimeoutError": 3}
        (note,) = online.notes
        assert note == "own.hangs rests until it is tried again in 10 minutes: it ran out of time 3 times in a row."
        assert (await online.live.standing())[0].resting
        await online.score([root(n) for n in range(3, 40)])
        assert online.live.errors["own.hangs"] == {"TimeoutError": 3}, "it is not asked while it rests"
        await house.publish("scorers", "own", {"scorers": ["citations"]})
        assert online.notes == []
    finally:
        run_me_scorers.RELEASE.set()


def test_a_scorer_is_tried_again_after_its_rest_and_begins_anew_with_a_verdict() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])
    for _ in range(MOST_TIMEOUTS):
        assert not patience.rests("a")
        patience.ran_out("a")
    assert patience.rests("a")
    assert not patience.rests("b")
    now[0] += REST_S
    assert not patience.rests("a")
    assert patience.notes() == []
    patience.ran_out("a")
    assert patience.rests("a"), "once is enough after a rest"
    now[0] += REST_S
    patience.answered("a")
    patience.ran_out("a")
    assert not patience.rests("a")


async def test_no_run_of_a_large_batch_is_left_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_scoring, "_MOST_RUNS", 2)
    await house.publish("scorers", "s", {"scorers": [{"kind": "max_words", "words": 30}]})
    agents = [root(n, kind="agent", attributes={}) for n in range(1, 6)]
    house.traces = {agent.trace_id: [agent] for agent in agents}
    scores = await (await house.online()).score(agents)
    assert sorted(s.trace_id for s in named(scores, "s.max_words")) == sorted(house.traces)


async def test_a_list_takes_effect_when_its_label_moves_and_its_judges_too(house: House) -> None:
    online = await house.online()
    assert not [s for s in await online.score([root(1)]) if "." in s.name]
    await house.publish("scorers", "s", {"scorers": [{"kind": "max_words", "words": 3}]})
    assert [s.value for s in named(await online.score([root(1)]), "s.max_words")] == [0.0]
    await house.publish("scorers", "s", {"scorers": [{"kind": "max_words", "words": 30}]})
    again = named(await online.score([root(1)]), "s.max_words")
    assert [(s.value, s.by_version) for s in again] == [(1.0, "s/2")]


async def test_a_rollout_of_a_list_splits_by_trace(house: House) -> None:
    await house.publish("scorers", "s", {"scorers": [{"kind": "max_words", "words": 3}]})
    new = await house.registry.register("scorers", "s", {"scorers": [{"kind": "max_words", "words": 30}]})
    await house.registry.start_rollout("scorers", "s", new.number, share=0.5, sticky="request", actor="kim")
    scores = await (await house.online()).score([root(n) for n in range(100)])
    pins = [score.by_version for score in named(scores, "s.max_words")]
    assert 25 < pins.count("s/2") < 75
    assert {s.by_version: s.value for s in named(scores, "s.max_words")} == {"s/1": 0.0, "s/2": 1.0}


async def test_a_replay_gets_the_scores_that_ask_no_model(house: House) -> None:
    await house.publish("scorers", "s", {"scorers": [{"kind": "max_words", "words": 3}, {**JUDGED, "sample": 1}]})
    output = Output.from_trace([root(1)])
    assert output is not None
    values = await (await house.online()).check(output)
    assert values["s.max_words"] == 0.0
    assert "s.tone" not in values


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "scorers"),
        ({"scorers": []}, "scorers"),
        ({"scorers": ["nothing"]}, "scorers[0].kind"),
        ({"scorers": [3]}, "scorers[0]"),
        ({"scorers": ["exact", "exact"]}, "scorers[1].name"),
        ({"scorers": [{"kind": "exact", "name": "a.b"}]}, "scorers[0].name"),
        ({"scorers": [{"kind": "exact", "sample": 2}]}, "scorers[0].sample"),
        ({"scorers": [{"kind": "exact", "sample": True}]}, "scorers[0].sample"),
        ({"scorers": [{"kind": "exact", "budget_usd": 0}]}, "scorers[0].budget_usd"),
        ({"scorers": [{"kind": "judge", "judge": "prompts:/x"}]}, "scorers[0]"),
        ({"scorers": [{"kind": "pairwise", "model": "a/b", "against": "run_1"}]}, "scorers[0].against"),
        ({"scorers": ["exact"], "covers": []}, "covers"),
        ({"scorers": ["exact"], "covers": {"teams": ["a"]}}, "covers.teams"),
        ({"scorers": ["exact"], "covers": {"routes": []}}, "covers.routes"),
        ({"scorers": ["exact"], "references": 3}, "references"),
        ({"scorers": ["exact"], "references": "judges:/x"}, "references"),
        ({"scorers": ["exact"], "extra": 1}, "extra"),
    ],
)
def test_a_list_that_cannot_be_meant_names_the_field(content: Mapping[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        validate_scorers(content)
    assert refused.value.field.startswith(field)


def test_monitors_watch_live_scores_and_criteria_and_no_misspelt_signal() -> None:
    def monitor(signal: str) -> Monitor:
        return Monitor(name="m", signal=signal, owner="mara", action="page", severity=2, runbook="", project="shop")

    for name in ("support.tone", "quality.grounded", "support.tone.is kind"):
        monitor(name).validate()
        known = signal_of(name)
        assert known is not None
        assert known.layer is None
    for name in ("qualiti", ".tone", "support.", "a..b", "a.b.c.d.e"):
        with pytest.raises(BadInput):
            monitor(name).validate()
    watch = Watch([monitor("support.tone")], reference=30, false_alarms_per=1_000)
    values = [1.0] * 60 + [0.0] * 60
    rows = [
        Score(id=str(n), trace_id=str(n), name="support.tone", value=value, by="scorers:support", time_ns=n,
              project="shop", slice="keys")
        for n, value in enumerate(values)
    ]  # fmt: skip
    alarms = [alarm for row in rows for alarm in watch.observe([row])]
    assert alarms
    assert alarms[0].signal == "support.tone"


async def test_the_same_scorer_says_the_same_on_the_laptop_and_live(house: House, tmp_path: Path) -> None:
    specs = ["citations", "overlap", {"kind": "regex", "pattern": "ninety"}, "toxicity", "must_cite"]
    await house.publish("scorers", "s", {"scorers": specs})
    online = await house.online()
    scores = {s.name: s.value for s in await online.score([root(1)]) if "." in s.name}
    output = Output.from_trace([root(1)])
    assert output is not None
    with Local.open(tmp_path / "laptop") as local:

        async def answer(case: Case) -> Output:
            assert output is not None
            return output

        done = await local.run("same", [Case(id="a", input=output.question)], answer, specs)
        rows = await done.log.summary(done.run.id)
    assert scores == {f"s.{row['name']}": row["mean"] for row in rows}
    assert {"s.citations", "s.regex", "s.toxicity", "s.must_cite"} < set(scores)
