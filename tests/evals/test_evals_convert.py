"""Configurations of others: what is taken over keeps its meaning, what is not is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.evals import Output, convert_promptfoo, make_scorer, plan_from, read_cases
from trimtab.evals.dataset import cases_of
from trimtab.evals.promptfoo_asserts import ASSERTS
from trimtab.evals.scorer import verdicts_of

CONFIG = """
description: support answers
prompts:
  - "Answer briefly: {{question}}"
  - file://chat.json
  - file://prompt.py
  - "{% if x %}no{% endif %}"
providers:
  - openai:gpt-4o-mini
  - id: anthropic:messages:claude-sonnet-4-5
    label: sonnet
    config: {temperature: 0.2, max_tokens: 50, apiKey: secret, region: eu}
  - python:own.py
defaultTest:
  vars: {tone: friendly}
  options: {provider: openai:gpt-4o}
  assert:
    - {type: latency, threshold: 2000}
evaluateOptions: {repeat: 2, maxConcurrency: 5}
tests:
  - description: refunds
    vars: {question: "How long?", other: [a, b]}
    metadata: {topic: refunds}
    assert:
      - {type: icontains, value: "14 DAYS"}
      - {type: contains-any, value: [days, weeks]}
      - {type: llm-rubric, value: "Is {{tone}} to the user."}
      - {type: javascript, value: "output.length < 5"}
      - {type: equals, value: "14 days", metric: same}
  - file://more.csv
nunjucksFilters: {}
"""
FILES = {
    "chat.json": '[{"role": "system", "content": "Be {{tone}}."}, {"role": "user", "content": "{{question}}"}]',
    "more.csv": 'question,__expected,__expected2,__description\nWhen?,contains: 9,"similar(0.9): at nine",nine\n'
                "Who?,mara,,\n",
}  # fmt: skip


def read(path: str) -> str:
    if path not in FILES:
        raise BadInput(f"{path} is not there", field="file")
    return FILES[path]


def test_a_configuration_becomes_a_plan_for_each_prompt_and_provider() -> None:
    done = convert_promptfoo(CONFIG, read)
    assert [(p["name"], p["target"]["model"]) for p in done.plans] == [
        ("gpt-4o-mini-prompt-1", "openai/gpt-4o-mini"), ("gpt-4o-mini-prompt-2", "openai/gpt-4o-mini"),
        ("sonnet-prompt-1", "anthropic/claude-sonnet-4-5"), ("sonnet-prompt-2", "anthropic/claude-sonnet-4-5"),
    ]  # fmt: skip
    first, chat, sonnet = done.plans[0], done.plans[1], done.plans[2]
    assert first["target"]["messages"] == [{"role": "user", "content": "Answer briefly: {{question}}"}]
    assert [m["role"] for m in chat["target"]["messages"]] == ["system", "user"]
    assert sonnet["target"]["params"] == {"temperature": 0.2, "max_tokens": 50}
    assert (first["repeats"], first["concurrency"], first["note"]) == (2, 5, "support answers")
    for plan in done.plans:
        plan_from(plan)
    named = " | ".join(done.left_out)
    for what in ("prompt.py", "Nunjucks logic", "provider python:own.py", "provider option region",
                 "assertion javascript", "nunjucksFilters"):  # fmt: skip
        assert what in named, what
    assert "secret" not in str(done)


def test_a_provider_that_is_the_gateway_keeps_its_route() -> None:
    config = """
prompts: ["{{q}}"]
providers:
  - {id: "openai:chat:support", config: {apiBaseUrl: "http://127.0.0.1:4100/v1/", apiKey: k}}
  - {id: "openai:gpt-4o", config: {apiBaseUrl: "https://elsewhere/v1"}}
tests: [{vars: {q: hello}, assert: [{type: equals, value: hello}]}]
"""
    done = convert_promptfoo(config, read, gateway="http://127.0.0.1:4100")
    assert [plan["target"]["model"] for plan in done.plans] == ["support", "openai/gpt-4o"]
    assert [p["target"]["model"] for p in convert_promptfoo(config, read).plans] == ["openai/support", "openai/gpt-4o"]


def test_tests_become_cases_with_scorers_of_their_own() -> None:
    cases = cases_of({"cases": convert_promptfoo(CONFIG, read).plans[0]["cases"]})
    assert [case.variables["question"] for case in cases] == ["How long?", "How long?", "When?", "Who?"]
    assert [case.variables.get("other") for case in cases] == ["a", "b", None, None], "a list makes a test for each"
    one = cases[0]
    assert (one.note, one.tags, one.expected, one.origin) == ("refunds", {"topic": "refunds"}, "14 days", "promptfoo")
    assert [spec["kind"] for spec in one.scorers] == ["latency", "contains", "regex", "judge", "exact"]
    judge = next(spec for spec in one.scorers if spec["kind"] == "judge")
    assert judge["model"] == "openai/gpt-4o"
    assert judge["criteria"][0]["text"] == "Is friendly to the user."
    assert one.scorers[-1]["name"] == "same"
    nine = cases[2]
    assert (nine.expected, nine.note) == ("at nine", "nine")
    assert nine.scorers[-1] == {"kind": "similarity", "model": "openai/text-embedding-3-large", "threshold": 0.9}
    assert cases[3].expected == "mara"


JSON = '{"a": 1}'


@pytest.mark.parametrize(
    ("item", "passes", "fails"),
    [
        ({"type": "equals", "value": "yes"}, "yes", "Yes"), ({"type": "contains", "value": "Ye"}, "Yes", "yes"),
        ({"type": "icontains", "value": "YE"}, "yes", "no"), ({"type": "not-contains", "value": "no"}, "yes", "no"),
        ({"type": "not-icontains", "value": "NO"}, "yes", "a no"), ({"type": "regex", "value": r"^\d+$"}, "12", "1a"),
        ({"type": "contains-all", "value": ["a", "b"]}, "ab", "a"),
        ({"type": "starts-with", "value": "a."}, "a.b", "ab"),
        ({"type": "contains-any", "value": ["a.", "b"]}, "xb", "ac"),
        ({"type": "icontains-any", "value": ["A"]}, "a", "b"), ({"type": "is-json"}, JSON, "{a}"),
        ({"type": "is-json", "value": {"required": ["a"]}}, JSON, "{}"),
        ({"type": "is-json", "value": "required: [a]"}, JSON, "{}"),
        ({"type": "not-is-refusal"}, "Sure: 12.", "I'm sorry, but I cannot help with that."),
        ({"type": "latency", "threshold": 50}, "fast", "slow"), ({"type": "cost", "threshold": 0.01}, "fast", "slow"),
    ],
)  # fmt: skip
async def test_an_assertion_keeps_its_meaning(item: dict[str, Any], passes: str, fails: str) -> None:
    tests = f"- vars: {{input: q}}\n  assert: [{json.dumps(item)}]\n"
    (case,) = read_cases(tests, "promptfoo").cases
    scorer = make_scorer(case.scorers[0], None)  # type: ignore[arg-type]  # these kinds need no means
    for text, right in ((passes, 1.0), (fails, 0.0)):
        slow = text == "slow"
        output = Output(text=text, question="q", latency_ms=99.0 if slow else 1.0, cost_usd=1.0 if slow else 0.0)
        (verdict,) = verdicts_of(scorer, await scorer(case, output))
        assert verdict.value == right, (item, text)


def test_every_judged_assertion_makes_a_scorer_that_our_plans_know() -> None:
    for kind in ASSERTS:
        made = ASSERTS[kind]("0.5", {"type": kind, "threshold": 0.5}, "openai/gpt-4o")
        assert made is None or made["kind"]


@pytest.mark.parametrize(
    "text", ["", "7", "a: [", "prompts: []", "prompts: ['x']\nproviders: ['exec:./run.sh']\ntests: []"]
)
def test_what_is_no_configuration_says_so(text: str) -> None:
    with pytest.raises(BadInput):
        convert_promptfoo(text, read)


def test_scenarios_are_tests() -> None:
    config = """
prompts: ["{{a}} {{b}}"]
scenarios:
  - config: [{vars: {a: 1}}, {vars: {a: 2}, assert: [{type: contains, value: two}]}]
    tests: [{vars: {b: x}}, {vars: {b: y}}]
"""
    cases = cases_of({"cases": convert_promptfoo(config, read).plans[0]["cases"]})
    assert [(case.variables["a"], case.variables["b"], len(case.scorers)) for case in cases] == [
        (1, "x", 0), (1, "y", 0), (2, "x", 1), (2, "y", 1),
    ]  # fmt: skip
