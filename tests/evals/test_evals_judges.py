"""Judges beyond one verdict: criteria of cases, examples, pairs in both orders, juries, parts and steps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from trimtab.core import BadInput, Call, Chunk, Model, ModelError, Usage, Version
from trimtab.evals import Case, Judge, Jury, Output, Pair, Steps, VerdictUnreadable, judge_digest
from trimtab.evals import Items as PartsJudge
from trimtab.evals.judge import validate_judge
from trimtab.evals.judge_items import average_precision, steps_of
from trimtab.evals.scorer import verdicts_of
from trimtab.evals.scorers import Means, make_scorer

CONTENT: dict[str, Any] = {
    "model": "openai/gpt-4o-mini",
    "rubric": "Be strict.",
    "criteria": [{"name": "polite", "text": "It is polite."}, {"name": "short", "text": "It is short."}],
}
OUTPUT = Output(
    text="Refunds take 14 days.",
    question="How long do refunds take?",
    passages=({"number": 1, "title": "Refunds", "text": "Refunds take 14 days."},),
)
CASE = Case(input=OUTPUT.question, expected="14 days", criteria=["Names the number of days."])


def version(**changes: Any) -> Version:
    return Version(kind="judges", name="quality", number=2, digest="d", content={**CONTENT, **changes})


def replies(answer: Callable[[Call], Any], asked: list[Call] | None = None) -> Model:
    """A model that answers with JSON."""

    async def model(call: Call) -> AsyncIterator[Chunk]:
        if asked is not None:
            asked.append(call)
        found = answer(call)
        if isinstance(found, Exception):
            raise found
        usage = Usage(input_tokens=1000, output_tokens=100)
        text = found if isinstance(found, str) else json.dumps(found)
        yield Chunk(text=text, finish="stop", usage=usage, model="gpt-4o-mini-2024-07-18", fingerprint="fp_1")

    return model


PASS, FAIL = {"pass": True, "reason": "yes"}, {"pass": False, "reason": "no"}


async def test_a_case_brings_criteria_and_a_reference_and_the_verdict_its_cost_and_model() -> None:
    asked: list[Call] = []
    judge = Judge(version(), replies(lambda call: PASS, asked))
    (verdict,) = await judge(CASE, OUTPUT)
    system, user = (message["content"] for message in asked[0].messages)
    assert "3. case 1: Names the number of days." in system
    assert "REFERENCE" in system
    assert "\n14 days\n<<<END REFERENCE " in user
    assert verdict.value == 1.0
    assert verdict.cost_usd == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6)
    assert verdict.detail == {"model": "gpt-4o-mini-2024-07-18", "fingerprint": "fp_1"}
    assert await judge(CASE, replace(OUTPUT, text="")) == []
    assert "REFERENCE" not in judge.ask(OUTPUT).messages[0]["content"]


async def test_each_criterion_can_have_a_score_of_its_own_and_all_must_be_met() -> None:
    met = {"polite": True, "short": False, "case 1": True}
    judge = Judge(version(each=True), replies(lambda call: {"criteria": met, "pass": True, "reason": "long"}))
    found = verdicts_of(judge, await judge(CASE, OUTPUT))
    assert {v.name: v.value for v in found} == {
        "quality": 0.0, "quality.polite": 1.0, "quality.short": 0.0, "quality.case 1": 1.0,
    }  # fmt: skip
    assert len({v.judge for v in found}) == 1
    assert sum(v.cost_usd or 0 for v in found) == found[0].cost_usd
    for reply in ({"pass": True}, {"criteria": {"polite": True}}, {"criteria": {**met, "short": "no"}}):
        with pytest.raises(VerdictUnreadable):
            await Judge(version(each=True), replies(lambda call, reply=reply: reply))(CASE, OUTPUT)  # type: ignore[misc]


async def test_examples_of_experts_reach_the_judge_and_change_its_digest() -> None:
    examples = [{"question": "Q?", "answer": "A.", "pass": False, "critique": "It invents\na rule."}]
    asked: list[Call] = []
    await Judge(version(examples=examples), replies(lambda call: PASS, asked))(CASE, OUTPUT)
    assert "Question: Q?\nAnswer: A.\nVerdict: fail\nCritique: It invents a rule." in asked[0].messages[0]["content"]
    digests = {
        judge_digest(content)
        for content in (CONTENT, {**CONTENT, "examples": examples}, {**CONTENT, "model": "openai/gpt-4o"},
                        {**CONTENT, "rubric": "Be kind."}, {**CONTENT, "params": {"temperature": 1}},
                        {**CONTENT, "each": True})
    }  # fmt: skip
    assert len(digests) == 6
    assert judge_digest({**CONTENT, "note": "n"}) == judge_digest(CONTENT) != judge_digest(CONTENT, "pair")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"each": 1}, "each"), ({"examples": {}}, "examples"),
        ({"examples": [{"question": "q"}]}, "examples[0].answer"),
        ({"examples": [{"question": "q", "answer": "a", "critique": "c", "pass": "no"}]}, "examples[0].pass"),
        ({"examples": [{"x": 1}]}, "examples[0]"), ({"examples": [{}] * 21}, "examples"),
    ],
)  # fmt: skip
def test_wrong_content_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate_judge({**CONTENT, **change})
    assert caught.value.field == field


# Pairs.

A, B = replace(OUTPUT, text="14 days."), replace(OUTPUT, text="It takes a while.")


def prefers(text: str) -> Callable[[Call], Any]:
    """A judge that knows what it wants, wherever it stands."""

    def answer(call: Call) -> Any:
        first = call.messages[1]["content"].split("<<<FIRST")[1].split("<<<END FIRST")[0]
        return {"better": "first" if text in first else "second", "reason": "clearer"}

    return answer


async def test_a_pair_is_asked_in_both_orders_and_blind() -> None:
    asked: list[Call] = []
    pair = Pair(version(), replies(prefers("14 days."), asked))
    won, lost = await pair(CASE, A, B), await pair(CASE, B, A)
    assert (won.value, lost.value) == (1.0, 0.0)
    assert won.detail["orders"] == [1.0, 1.0]
    assert len(asked) == 4
    assert won.cost_usd == pytest.approx(2 * (1000 * 0.15e-6 + 100 * 0.6e-6))
    first, second = (call.messages[1]["content"] for call in asked[:2])
    assert first.index("14 days.\n<<<END FIRST") < first.index("It takes a while.")
    assert second.index("It takes a while.\n<<<END FIRST") < second.index("14 days.\n<<<END SECOND")
    assert [call.messages[0] for call in asked] == [asked[0].messages[0]] * 4


async def test_a_judge_of_places_gives_a_tie() -> None:
    verdict = await Pair(version(), replies(lambda call: {"better": "first", "reason": "x"}))(CASE, A, B)
    assert (verdict.value, verdict.detail["orders"], verdict.detail["flipped"]) == (0.5, [1.0, 0.0], True)
    asked: list[Call] = []
    same = await Pair(version(), replies(lambda call: PASS, asked))(CASE, A, A)
    assert (same.value, asked) == (0.5, [])
    half = iter([{"better": "tie", "reason": ""}, "no JSON"])
    with pytest.raises(VerdictUnreadable):
        await Pair(version(), replies(lambda call: next(half)))(CASE, A, B)


async def test_preference_is_a_scorer_against_the_recorded_answer_or_another_run() -> None:
    async def output_of(run: str, case: str, repeat: int) -> Output | None:
        return B if (run, case, repeat) == ("run_1", "c", 2) else None

    means = Means(
        model_of=lambda ref: replies(prefers("14 days.")), judge_of=lambda address: version(),
        embedder=lambda ref: None, output_of=output_of,  # type: ignore[arg-type,return-value]
    )  # fmt: skip
    spec = {"kind": "pairwise", "judge": "judges:/quality"}
    scorer = make_scorer(spec, means)
    case = replace(CASE, id="c", answer="It takes a while.")
    assert verdicts_of(scorer, await scorer(case, A))[0].value == 1.0
    assert await scorer(replace(case, answer="", expected=""), A) is None
    other = make_scorer({**spec, "against": "run_1"}, means)
    assert verdicts_of(other, await other(case, replace(A, repeat=2)))[0].value == 1.0
    assert await other(case, A) is None
    assert scorer.digest != other.digest
    assert scorer.judge == other.judge


# Juries.


def jury(*answers: Any) -> Jury:
    judges = [
        Judge(replace(version(), name=f"j{n}", content={**CONTENT, "rubric": f"r{n}"}), replies(lambda call, a=a: a))  # type: ignore[misc]
        for n, a in enumerate(answers)
    ]
    return Jury(judges)


async def test_a_jury_goes_with_the_majority_of_those_who_answer() -> None:
    (verdict,) = await jury(PASS, PASS, FAIL)(CASE, OUTPUT)
    assert (verdict.value, verdict.reason) == (1.0, "2 of 3 pass; j2: no")
    assert verdict.detail["judges"] == {"j0/2": 1.0, "j1/2": 1.0, "j2/2": 0.0}
    (even,) = await jury(PASS, FAIL)(CASE, OUTPUT)
    assert even.value == 0.5
    (short,) = await jury(FAIL, FAIL, ModelError("away"))(CASE, OUTPUT)
    assert (short.value, short.detail["errors"]) == (0.0, ["j2/2: away"])
    with pytest.raises(ModelError, match="no majority") as caught:
        await jury(PASS, ModelError("away"), ModelError("busy"))(CASE, OUTPUT)
    assert caught.value.retryable
    with pytest.raises(ModelError) as caught:
        await jury(PASS, ModelError("away"), "not JSON")(CASE, OUTPUT)
    assert not caught.value.retryable
    assert jury(PASS, FAIL).judge == Jury(list(reversed(jury(PASS, FAIL).judges))).judge
    with pytest.raises(BadInput):
        jury(PASS)


# Parts and steps.


def items(*oks: bool) -> dict[str, Any]:
    return {"items": [{"text": f"claim {n}", "ok": ok} for n, ok in enumerate(oks)], "reason": ""}


async def test_groundedness_is_the_share_of_supported_claims() -> None:
    judge = PartsJudge(version(), replies(lambda call: items(True, False, True, True)), "groundedness", "groundedness")
    (verdict,) = await judge(CASE, OUTPUT)
    assert (verdict.value, verdict.reason) == (0.75, "3 of 4; not: claim 1")
    assert verdict.detail["items"][1] == {"text": "claim 1", "ok": False}
    assert await judge(CASE, replace(OUTPUT, passages=())) == []
    for reply in ({"items": []}, {"items": [{"text": "x"}]}, {}, "x"):
        broken = PartsJudge(version(), replies(lambda call, reply=reply: reply), "groundedness", "g")  # type: ignore[misc]
        with pytest.raises(VerdictUnreadable):
            await broken(CASE, OUTPUT)


async def test_context_recall_and_precision_need_a_reference() -> None:
    precision = PartsJudge(version(), replies(lambda call: items(True, False, True)), "context_precision", "p")
    (verdict,) = await precision(CASE, OUTPUT)
    assert verdict.value == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([False, False]) == 0.0
    asked: list[Call] = []
    recall = PartsJudge(version(), replies(lambda call: items(True), asked), "context_recall", "r")
    (verdict,) = await recall(CASE, OUTPUT)
    assert verdict.value == 1.0
    assert "<<<REFERENCE" in asked[0].messages[1]["content"]
    assert await recall(replace(CASE, expected=""), OUTPUT) == []
    assert precision.judge != recall.judge


async def test_step_scoring_reports_the_first_wrong_step() -> None:
    steps = ["2 + 2 = 4", "4 * 3 = 11", "11 - 1 = 10"]
    asked: list[Call] = []
    judge = Steps(version(), replies(lambda call: {"first_wrong_step": 2, "reason": "4 * 3 is 12"}, asked))
    (verdict,) = await judge(CASE, replace(OUTPUT, steps=steps))
    assert (verdict.value, verdict.detail) == (0.0, {"first_wrong": 2, "steps": 3})
    assert verdict.reason == "step 2 is the first wrong one: 4 * 3 is 12"
    assert "2. 4 * 3 = 11" in asked[0].messages[1]["content"]
    right = Steps(version(), replies(lambda call: {"first_wrong_step": 0, "reason": "fine"}))
    assert (await right(CASE, replace(OUTPUT, steps=steps)))[0].value == 1.0
    for wrong in (4, -1, True, "2", None):
        broken = replies(lambda call, wrong=wrong: {"first_wrong_step": wrong})  # type: ignore[misc]
        with pytest.raises(VerdictUnreadable):
            await Steps(version(), broken)(CASE, replace(OUTPUT, steps=steps))


def test_steps_are_read_from_the_record_or_from_the_text() -> None:
    recorded = replace(OUTPUT, steps=[{"name": "search", "input": "keys", "output": "none"}, "then stop"])
    assert steps_of(recorded) == ["search keys none", "then stop"]
    assert steps_of(replace(OUTPUT, text="1. add\n2. multiply\n3) done")) == ["add", "multiply", "done"]
    assert steps_of(replace(OUTPUT, text="First add.\n\nThen multiply.")) == ["First add.", "Then multiply."]
    assert steps_of(replace(OUTPUT, text=" ")) == []
