"""Prompt assertions on answers: each kind, and which assertions an answer is held against when versions change."""

from __future__ import annotations

import random
from typing import Any

import pytest

from trimtab.core import BadInput, ModelError, Score, Span, Stamp
from trimtab.evals import Ask, Online, Output, Plan, PromptTests, Unanswered, held
from trimtab.prompts import Assertion, assertions_of, validate
from trimtab.registry import Registry
from trimtab.store import Metadata
from trimtab.watch import SIGNALS, Watch, default_monitors

NOW = 1_800_000_000 * 10**9
HOUR = 3_600 * 10**9
GIVEN = ({"number": 1, "text": "a"}, {"number": 2, "text": "b"})


def verdict(kind: str, answer: str, passages: Any = GIVEN, **arguments: Any) -> bool | None:
    """What one assertion says of an answer; None when it does not apply."""
    content = {"messages": [{"role": "user", "content": "x"}], "assertions": [{"name": "a", "kind": kind, **arguments}]}
    validate(content)
    output = Output(text=answer, question="?", passages=passages, asked_corpus=bool(passages))
    found = held([("p/1", assertion) for assertion in assertions_of(content)], output)
    assert all(kept.ok or kept.reason for kept in found)
    return found[0].ok if found else None


@pytest.mark.parametrize(
    ("kind", "arguments", "text", "expected"),
    [
        ("must_cite", {}, "Yes [1].", True),
        ("must_cite", {}, "Yes.", False),
        ("must_cite", {}, "Yes [3].", False),
        ("must_cite", {"at_least": 2}, "Yes [1][2].", True),
        ("must_cite", {"at_least": 2}, "Yes [1][1].", False),
        ("must_cite", {}, "I do not know.", None),
        ("json", {}, ' {"a": 1} ', True),
        ("json", {}, 'Here: {"a": 1}', False),
        ("json", {}, '```json\n{"a": 1}\n```', False),
        ("json", {"fenced": True}, '```json\n{"a": 1}\n```', True),
        ("json", {}, "[" * 100_000, False),
        ("json_schema", {"schema": {"required": ["a"], "type": "object"}}, '{"a": 1}', True),
        ("json_schema", {"schema": {"required": ["a"], "type": "object"}}, '{"b": 1}', False),
        ("json_schema", {"schema": {}}, "no", False),
        ("max_words", {"words": 3}, "It's all well-known.", True),
        ("max_words", {"words": 3}, "one two three four", False),
        ("max_words", {"words": 3}, "三つの字です", False),
        ("min_words", {"words": 2}, "Yes!", False),
        ("min_words", {"words": 2}, "Yes, indeed.", True),
        ("language", {"language": "de"}, "Das ist nicht der Schlüssel, den Sie suchen.", True),
        ("language", {"language": "de"}, "This is not the key that you are looking for.", False),
        ("language", {"language": "de"}, "42", None),
        ("contains", {"text": "REFUND"}, "Your refund is on its way.", True),
        ("contains", {"text": "REFUND", "ignore_case": False}, "Your refund is on its way.", False),
        ("contains", {"text": ["refund", "days"]}, "Your refund is on its way.", False),
        ("not_contains", {"text": ["$", "price"]}, "It is free.", True),
        ("not_contains", {"text": ["$", "price"]}, "It is $5.", False),
        ("regex", {"pattern": r"\bID-\d{4}\b"}, "See ID-1234.", True),
        ("regex", {"pattern": r"^ID-\d{4}$"}, "See ID-1234.", False),
        ("no_refusal", {}, "I'm sorry, but I can't help with that.", False),
        ("no_refusal", {}, "As an AI language model, I am unable to say.", False),
        ("no_refusal", {}, "Leider kann ich dabei nicht helfen.", False),
        ("no_refusal", {}, "Sorry for the delay! You cannot return it after 30 days.", True),
    ],
)
def test_each_kind(kind: str, arguments: dict[str, Any], text: str, expected: bool | None) -> None:
    assert verdict(kind, text, **arguments) is expected


def test_citing_without_passages() -> None:
    assert verdict("must_cite", "Yes [7].", passages=()) is True
    assert verdict("must_cite", "Yes.", passages=()) is False
    nothing_found = Output(text="Yes.", question="?", asked_corpus=True)
    assert held([("p/1", Assertion(name="a", kind="must_cite"))], nothing_found) == []


def test_an_answer_that_is_none_is_not_judged() -> None:
    for output in (Output(text="", question="?"), Output(text="half", question="?", status="error")):
        assert held([("p/1", Assertion(name="a", kind="json"))], output) == []


# Which versions count.


def content(*assertions: dict[str, Any]) -> dict[str, Any]:
    text = " ".join(assertion["name"] for assertion in assertions)
    return {"messages": [{"role": "system", "content": text or "none"}], "assertions": list(assertions)}


CITES = {"name": "cites", "kind": "must_cite"}
SHORT = {"name": "short", "kind": "max_words", "words": 3}
LOOSE = {"name": "short", "kind": "max_words", "words": 50}
LONG_ANSWER = "This answer cites nothing and is not short at all."


class Clock:
    def __init__(self) -> None:
        self.ns = NOW

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
async def house(tmp_path: Any) -> Any:
    clock = Clock()
    metadata = Metadata.open(tmp_path / "metadata.db")
    registry = await Registry.load(metadata, clock=clock)
    online = Online(registry=registry, model_of=None, rng=random.random, clock=clock)  # type: ignore[arg-type]
    yield registry, online, clock
    metadata.close()


def root(prompt: str, clock: Clock, text: str = LONG_ANSWER, number: int = 1) -> Span:
    return Span(
        trace_id=f"{number:032x}", span_id=f"{number:016x}", name="support", kind="chain", start_ns=clock.ns - 5,
        end_ns=clock.ns, stamp=Stamp(prompt=prompt), input="?", output=text, tags={"topic": "keys"},
        attributes={"gateway": True, "finish": "stop", "attempts": 1,
                    "passages": [{"number": 1, "title": "t", "text": "x"}]},
    )  # fmt: skip


async def asserted(online: Online, span: Span) -> dict[str, Score]:
    scores = await online.score([span])
    return {s.name: s for s in scores if s.name == "assertions" or s.name.startswith("assert:")}


async def test_scores_name_the_prompt_its_version_and_what_is_wrong(house: Any) -> None:
    registry, online, clock = house
    await registry.register("prompts", "support", content(CITES, SHORT))
    found = await asserted(online, root("support/1", clock, "All of this is cited [1]."))
    assert {name: s.value for name, s in found.items()} == {"assertions": 0.0, "assert:cites": 1.0, "assert:short": 0.0}
    short = found["assert:short"]
    assert (short.by, short.by_version, short.slice) == ("assert:support", "support/1", "keys")
    assert short.reason == "has 6 words, more than 3"
    assert found["assertions"].reason == "not kept: short"
    assert short.stamp == Stamp(prompt="support/1")
    again = await asserted(online, root("support/1", clock, "All of this is cited [1]."))
    assert [s.id for s in again.values()] == [s.id for s in found.values()]
    replayed = await online.check(Output(text="No.", question="?", stamp=Stamp(prompt="support/1")))
    assert replayed["assertions"] == 0.0


async def test_no_prompt_or_an_unknown_one_has_no_assertions(house: Any) -> None:
    registry, online, clock = house
    await registry.register("prompts", "plain", content())
    for pin in ("", "gone/4", "plain/1", "odd"):
        assert await asserted(online, root(pin, clock)) == {}


async def test_a_dropped_assertion_counts_on_for_an_hour_after_a_move(house: Any) -> None:
    registry, online, clock = house
    for version in (content(CITES, SHORT), content(SHORT), content()):
        await registry.register("prompts", "support", version)
    await registry.move_label("prompts", "support", "production", 1, actor="mara")
    clock.ns += HOUR
    await registry.move_label("prompts", "support", "production", 2, actor="mara")
    clock.ns += HOUR // 2
    found = await asserted(online, root("support/2", clock))
    assert {name: (s.value, s.by_version) for name, s in found.items()} == {
        "assertions": (0.0, "support/2"), "assert:short": (0.0, "support/2"), "assert:cites": (0.0, "support/1"),
    }  # fmt: skip
    # The version before is held against its own assertions only, and so is every other version.
    assert set(await asserted(online, root("support/1", clock))) == {"assertions", "assert:cites", "assert:short"}
    assert await asserted(online, root("support/3", clock)) == {}
    clock.ns += HOUR // 2 + 1
    assert set(await asserted(online, root("support/2", clock))) == {"assertions", "assert:short"}


async def test_a_loosened_assertion_is_no_way_out_either(house: Any) -> None:
    registry, online, clock = house
    for version in (content(SHORT), content(LOOSE)):
        await registry.register("prompts", "support", version)
    await registry.move_label("prompts", "support", "production", 1, actor="mara")
    await registry.move_label("prompts", "support", "production", 2, actor="mara")
    found = await asserted(online, root("support/2", clock))
    assert (found["assert:short"].value, found["assert:short"].by_version) == (0.0, "support/1")
    clock.ns += HOUR + 1
    assert (await asserted(online, root("support/2", clock)))["assert:short"].value == 1.0


async def test_both_arms_of_a_rollout_are_held_against_the_same_however_long_it_runs(house: Any) -> None:
    registry, online, clock = house
    for version in (content(CITES), content()):
        await registry.register("prompts", "support", version)
    await registry.move_label("prompts", "support", "production", 1, actor="mara")
    change = await registry.start_rollout("prompts", "support", 2, share=0.1, actor="mara")
    clock.ns += 30 * HOUR
    for pin in ("support/1", "support/2"):
        found = await asserted(online, root(pin, clock))
        assert {name: s.value for name, s in found.items()} == {"assertions": 0.0, "assert:cites": 0.0}
    # Answers of the candidate that are scored after it was taken back still are.
    await registry.abort(change.rollout, actor="mara")
    assert set(await asserted(online, root("support/2", clock))) == {"assertions", "assert:cites"}


async def test_going_back_does_not_bring_the_worse_versions_assertions_along(house: Any) -> None:
    registry, online, clock = house
    for version in (content(), content(CITES)):
        await registry.register("prompts", "support", version)
    await registry.move_label("prompts", "support", "production", 1, actor="mara")
    await registry.move_label("prompts", "support", "production", 2, actor="mara")
    await registry.rollback("prompts", "support", actor="mara")
    assert await asserted(online, root("support/1", clock)) == {}


async def test_the_aggregate_is_watched_as_a_signal_of_the_prompt_layer(house: Any) -> None:
    registry, online, clock = house
    await registry.register("prompts", "support", content(CITES))
    assert SIGNALS["assertions"].layer is not None
    assert SIGNALS["assertions"].layer.title == "Prompt"
    watch = Watch(default_monitors(lambda layer: "mara"), reference=60)
    alarms = []
    for number in range(400):
        span = root("support/1", clock, "Yes [1]." if number < 250 else LONG_ANSWER, number + 1)
        kept = [s for s in await online.score([span]) if s.name.startswith("assert")]
        alarms += watch.observe(kept)
    assert [alarm.signal for alarm in alarms if not alarm.slice] == ["assertions"]


# Tests of a prompt.


class Scripted:
    """Answers with what the question says; a question that begins with ! fails."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    async def __call__(self, *, model: str, prompt: str | None, messages: Any, variables: Any, params: Any) -> Output:
        self.asked.append((model, prompt or "", dict(variables)))
        question = messages[0]["content"] if messages else ""
        if question.startswith("!"):
            raise Unanswered(ModelError("the model is away"), "t")
        return Output(text=question, question=question, trace_id="t", cost_usd=0.001)


CASES = {
    **content(SHORT),
    "messages": [{"role": "system", "content": "For {{product}}."}],
    "model": "scripted/steady",
    "cases": [
        {"id": "brief", "input": "Yes, indeed.", "variables": {"product": "lamps"}},
        {"input": "This one is too long.", "variables": {"product": "lamps"}},
        {"input": "!", "variables": {"product": "lamps"}},
        {"input": "Yes.", "variables": {"product": "x"},
         "assertions": [{"name": "no", "kind": "contains", "text": "no"}]},
    ],
}  # fmt: skip


async def test_a_test_asks_every_case_and_says_what_failed(house: Any) -> None:
    registry, _, _ = house
    await registry.register("prompts", "support", CASES)
    ask: Ask = Scripted()
    found = await PromptTests(registry, ask).run(Plan(name="support"))
    assert (found["prompt"], found["model"], found["passed"], found["failed"]) == ("support/1", "scripted/steady", 1, 3)
    assert found["cost_usd"] == pytest.approx(0.003)
    results = {result["case"]: result for result in found["results"]}
    assert results["brief"]["ok"]
    assert results["case 2"]["assertions"] == [{"name": "short", "ok": False, "reason": "has 5 words, more than 3"}]
    assert results["case 3"]["error"] == "the model is away"
    assert [a["name"] for a in results["case 4"]["assertions"]] == ["short", "no"]
    page = await PromptTests(registry, ask).run(Plan(name="support", number=1, offset=1, limit=2, model="other"))
    assert [result["case"] for result in page["results"]] == ["case 2", "case 3"]
    assert page["model"] == "other"


async def test_cases_may_come_from_a_dataset(house: Any) -> None:
    registry, _, _ = house
    await registry.register("prompts", "support", {**CASES, "cases": "datasets:/support/1"})
    await registry.register("datasets", "support", {"cases": [{"input": "Hi", "variables": {"product": "lamps"}}]})
    ask = Scripted()
    found = await PromptTests(registry, ask).run(Plan(name="support"))
    assert [result["input"] for result in found["results"]] == ["Hi"]
    assert ask.asked == [("scripted/steady", "support/1", {"product": "lamps"})]


async def test_an_estimate_asks_nothing_and_unknown_prices_are_not_zero(house: Any) -> None:
    registry, _, _ = house
    await registry.register("prompts", "support", {**CASES, "params": {"max_tokens": 100}})
    ask = Scripted()
    found = await PromptTests(registry, ask).estimate(Plan(name="support"))
    assert (found["cases"], found["output_tokens"], ask.asked) == (4, 400, [])
    assert found["input_tokens"] > 0
    assert found["cost_usd"] > 0
    assert (await PromptTests(registry, ask).estimate(Plan(name="support", model="a-route")))["cost_usd"] is None


async def test_a_test_that_cannot_be_run_says_what_is_missing(house: Any) -> None:
    registry, _, _ = house
    await registry.register("prompts", "bare", content(SHORT))
    tests = PromptTests(registry, Scripted())
    for plan, field in (
        (Plan(name="bare"), "model"), (Plan(name="bare", model="m"), "cases"), (Plan(name="bare", limit=201), "limit"),
        (Plan(name="none"), "name"), (Plan(name="bare", number=9), "number"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as caught:
            await tests.run(plan)
        assert caught.value.field == field
        assert caught.value.mend
