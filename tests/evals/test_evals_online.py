from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from trimtab.core import Call, Chunk, Model, ModelError, Score, Span, Stamp
from trimtab.evals import CHECKS, DEFAULT_JUDGE, Online, Output
from trimtab.evals.online import CONCURRENCY
from trimtab.providers import Scripted, Skill
from trimtab.registry import Registry

NOW = 1_800_000_000_000_000_000
PASSAGE = {"number": 1, "title": "Keys", "text": "Access keys expire after ninety days.", "updated_ns": NOW - 10**9}
GOOD, BAD = "Access keys expire after ninety days. [1]", "Rest assured that unicorns renew everything overnight. [1]"
STAMP = Stamp(model="m", knowledge="docs/1", prompt="support/2", route="support/1")
GOLDEN = {
    "cases": [
        {"input": "When do access keys expire?", "answer": GOOD, "passages": [PASSAGE], "expected": "pass"},
        {"input": "When do access keys expire?", "answer": BAD, "passages": [PASSAGE], "expected": "fail"},
    ]
}
LENIENT = {"model": "scripted/judge", "rubric": "Pass every answer that is polite.", "criteria": []}


async def nap(_: float) -> None:
    """Time is of no interest here."""


def root(number: int, text: str = GOOD, **changes: Any) -> Span:
    fields: dict[str, Any] = {
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "name": "support",
        "kind": "chain",
        "start_ns": NOW - 10,
        "end_ns": NOW,
        "stamp": STAMP,
        "tags": {"topic": "keys"},
        "project": "shop",
        "input": "When do access keys expire?",
        "output": text,
        "attributes": {"gateway": True, "finish": "stop", "attempts": 1, "passages": [PASSAGE]},
    }
    return Span(**{**fields, **changes})


def sure() -> Model:
    there = Scripted(sleep=nap)
    there.swap("judge", Skill(follow=1.0, slip=0.0), "simulated-judge-1", "sim_d1")
    return there.model("judge")


Make = Callable[..., Online]


@pytest.fixture
def online(registry: Registry) -> Make:
    def make(model: Model | None = None, **settings: Any) -> Online:
        wanted: dict[str, Any] = {
            "registry": registry,
            "model_of": lambda ref: model or sure(),
            "judge": "judges:/quality@production",
            "sample": 1.0,
            "golden": "datasets:/judge-golden@production",
            "golden_rate": 0.0,
            "rng": random.Random(1).random,
            "clock": lambda: NOW + 5,
        }
        return Online(**{**wanted, **settings})

    return make


@pytest.fixture(autouse=True)
async def assets(registry: Registry) -> None:
    for kind, name, content in (("judges", "quality", DEFAULT_JUDGE), ("datasets", "judge-golden", GOLDEN)):
        version = await registry.register(kind, name, content)
        await registry.move_label(kind, name, "production", version.number, actor="test")


def by_name(scores: list[Score], name: str) -> list[Score]:
    return [score for score in scores if score.name == name]


async def test_a_trace_gets_its_checks_and_its_verdict(online: Make) -> None:
    made = online()
    scores = await made.score([root(1), root(2, BAD)])
    assert {s.name for s in scores} == {*CHECKS, "quality"}
    assert [s.value for s in by_name(scores, "quality")] == [1.0, 0.0]
    assert [s.value for s in by_name(scores, "grounded")] == [1.0, 0.0]
    verdict = by_name(scores, "quality")[1]
    assert (verdict.by, verdict.by_version) == ("judge:quality", "quality/1")
    assert verdict.reason.startswith("It fails: 2. grounded")
    assert by_name(scores, "cites")[0].by == "check:cites"
    for score in scores:
        assert (score.stamp, score.slice, score.project) == (STAMP, "keys", "shop")
        assert score.time_ns == NOW
        assert score.span_id == score.trace_id[16:]
    assert made.errors == 0


async def test_scoring_twice_makes_the_same_ids_and_no_two_scores_share_one(online: Make) -> None:
    made = online(golden_rate=1.0)
    spans = [root(1), root(2, BAD)]
    first, second = await made.score(spans), await made.score(spans)
    assert [s.id for s in first] == [s.id for s in second]
    assert len({s.id for s in first}) == len(first)


async def test_a_score_is_never_in_the_future(online: Make) -> None:
    scores = await online().score([root(1, end_ns=NOW + 10**12)])
    assert {s.time_ns for s in scores} == {NOW + 5}


async def test_only_complete_gateway_traces_of_others_are_scored(online: Make) -> None:
    spans = [
        root(1, attributes={}),
        root(2, parent_id="f" * 16),
        root(3, project="trimtab"),
        root(4, project="trimtab-probe"),
    ]
    assert await online().score(spans) == []


async def test_refused_and_failed_requests_are_not_judged(online: Make) -> None:
    scores = await online().score([root(1, "", status="refused", layer=4), root(2, "", status="error", layer=1)])
    assert by_name(scores, "quality") == []
    assert [s.value for s in by_name(scores, "answered")] == [0.0]


async def test_the_sample_is_a_share(online: Make) -> None:
    scores = await online(sample=0.3).score([root(i) for i in range(400)])
    assert 75 < len(by_name(scores, "quality")) < 165
    assert len(by_name(scores, "cites")) == 400
    assert by_name(await online(judge="").score([root(1)]), "quality") == []


async def test_golden_items_tell_a_good_judge_from_a_lenient_one(online: Make, registry: Registry) -> None:
    spans = [root(i) for i in range(40)]
    agreement = by_name(await online(golden_rate=1.0).score(spans), "judge_agreement")
    assert [s.value for s in agreement] == [1.0] * 40
    assert {(s.by, s.by_version, s.slice) for s in agreement} == {("judge:quality", "quality/1", "keys")}
    assert {s.reason.partition(";")[0] for s in agreement} == {"expert: pass", "expert: fail"}
    lenient = await registry.register("judges", "quality", LENIENT)
    await registry.move_label("judges", "quality", "production", lenient.number, actor="kim")
    after = by_name(await online(golden_rate=1.0).score(spans), "judge_agreement")
    assert sum(s.value for s in after) == 20  # it passes the good half rightly and the bad half wrongly
    assert {s.by_version for s in after} == {"quality/2"}


async def test_a_rollout_of_judges_splits_by_trace_and_golden_follows_the_live_judge(
    online: Make, registry: Registry
) -> None:
    lenient = await registry.register("judges", "quality", LENIENT)
    await registry.start_rollout("judges", "quality", lenient.number, share=0.5, sticky="request", actor="kim")
    scores = await online(golden_rate=1.0).score([root(i) for i in range(200)])
    live = {s.trace_id: s.by_version for s in by_name(scores, "quality")}
    assert live == {s.trace_id: s.by_version for s in by_name(scores, "judge_agreement")}
    assert 60 < sum(pin == "quality/2" for pin in live.values()) < 140
    right = {
        pin: [s.value for s in by_name(scores, "judge_agreement") if s.by_version == pin] for pin in set(live.values())
    }
    assert set(right["quality/1"]) == {1.0}
    assert 0.0 in right["quality/2"]


def saying(text: str) -> Model:
    async def model(_: Call) -> AsyncIterator[Chunk]:
        yield Chunk(text=text, finish="stop")

    return model


async def _fails(_: Call) -> AsyncIterator[Chunk]:
    raise ModelError("the vendor is down")
    yield Chunk()


async def _breaks(_: Call) -> AsyncIterator[Chunk]:
    raise ZeroDivisionError
    yield Chunk()


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (saying("It is good."), "verdict_unreadable"),
        (_fails, "model_error"),
        (_breaks, "ZeroDivisionError"),
    ],
)
async def test_a_verdict_that_cannot_be_had_is_counted_and_is_no_score(online: Make, model: Model, reason: str) -> None:
    made = online(model)
    scores = await made.score([root(1), root(2)])
    assert by_name(scores, "quality") == []
    assert len(by_name(scores, "cites")) == 2
    assert (made.errors, made.reasons) == (2, {reason: 2})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"judge": "judges:/nobody@production"}, "not_found"),
        ({"golden": "datasets:/nothing@production", "golden_rate": 1.0}, "not_found"),
    ],
)
async def test_missing_assets_are_counted(online: Make, settings: dict[str, Any], reason: str) -> None:
    made = online(**settings)
    scores = await made.score([root(1)])
    assert made.reasons == {reason: 1}
    assert len(by_name(scores, "quality")) == ("golden" in settings)


async def test_a_judge_without_a_model_and_a_golden_set_without_items_are_counted(
    online: Make, registry: Registry
) -> None:
    broken = await registry.register("judges", "broken", {"rubric": "x"})
    await registry.move_label("judges", "broken", "production", broken.number, actor="kim")
    empty = await registry.register("datasets", "empty", {"cases": []})
    await registry.move_label("datasets", "empty", "production", empty.number, actor="kim")
    made = online(judge="judges:/broken@production")
    await made.score([root(1)])
    assert made.reasons == {"bad_input": 1}
    made = online(golden="datasets:/empty@production", golden_rate=1.0)
    await made.score([root(1)])
    assert made.reasons == {"not_found": 1}


async def test_only_so_many_verdicts_are_asked_for_at_once(online: Make) -> None:
    under_way = most = 0

    async def model(_: Call) -> AsyncIterator[Chunk]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        yield Chunk(text='{"pass": true}')

    scores = await online(model).score([root(i) for i in range(50)])
    assert len(by_name(scores, "quality")) == 50
    assert most == CONCURRENCY


async def test_one_output_can_be_judged_by_any_version(online: Make, registry: Registry) -> None:
    made = online()
    good, strict = Output.from_trace([root(1)]), registry.version("judges", "quality", 1)
    lenient = await registry.register("judges", "quality", LENIENT)
    assert good is not None
    assert await made.judged(good, strict) == {"quality": 1.0, "judge_agreement": 1.0}
    bad = Output.from_trace([root(2, BAD, input="Tell me about keys")])
    assert bad is not None
    assert (await made.judged(bad, strict))["quality"] == 0.0
    assert (await made.judged(bad, lenient))["quality"] == 1.0
    refused = Output.from_trace([root(3, "", status="refused")])
    assert refused is not None
    assert await made.judged(refused, strict) == {}
    assert "judge_agreement" not in await online(golden="").judged(good, strict)
    with pytest.raises(ModelError):
        await online(_fails).judged(good, strict)


async def test_a_drawn_answer_without_a_verdict_says_why(online: Make) -> None:
    async def broken(call: Call) -> AsyncIterator[Chunk]:
        raise ModelError("the vendor is overloaded.", vendor_status=503)
        yield Chunk()

    scores = await online(broken).score([root(1), root(2, "", status="error", layer=1)])
    assert by_name(scores, "quality") == []
    (missed,) = by_name(scores, "judged")
    assert (missed.value, missed.by, missed.by_version) == (0.0, "judge:quality", "")
    assert (missed.trace_id, missed.slice, missed.project, missed.time_ns) == (f"{1:032x}", "keys", "shop", NOW)
    assert "overloaded" in missed.reason


async def test_a_verdict_needs_no_such_word(online: Make) -> None:
    assert by_name(await online().score([root(1)]), "judged") == []


async def test_what_a_spent_budget_keeps_from_the_judge_is_said_too(online: Make) -> None:
    made = online(sample=0.5, raised=1.0, budget_usd=0.01)
    made.sampling.evidence = lambda: 1e9
    made.sampling.spend.pay(NOW // (86_400 * 10**9), 0.02)
    assert (made.sampling.probability(), made.sampling.wanted()) == (0.0, 0.5)
    scores = await made.score([root(n) for n in range(40)])
    assert by_name(scores, "quality") == []
    missed = by_name(scores, "judged")
    assert 10 <= len(missed) <= 30, "as many as would be drawn in quiet times"
    assert all("budget" in one.reason for one in missed)
