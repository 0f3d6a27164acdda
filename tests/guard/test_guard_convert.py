"""Configurations of NeMo Guardrails as policies: real examples, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trimtab.cli import group
from trimtab.core import BadInput
from trimtab.guard import Policy, compile_policy
from trimtab.guard.dialogue import Flows, Outcome, Turn
from trimtab.guard.dialogue.nemo import Conversion, convert

EXAMPLES = Path(__file__).parent / "data" / "nemo"


def flows_of(made: Conversion) -> Flows:
    flows = compile_policy(made.policy).flows
    assert flows is not None
    return flows


def talk(flows: Flows, *texts: str) -> list[Outcome]:
    turns: list[Turn] = []
    out = []
    for text in texts:
        turns.append(flows.turn(text, flows.by_words(text).intent))
        out.append(flows.follow(turns, "seed"))
    return out


def notes(made: Conversion, state: str) -> dict[str, str]:
    return {note.what: note.how for note in made.notes if note.state == state}


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_example_becomes_a_policy_that_compiles(example: str) -> None:
    made = convert(EXAMPLES / example)
    assert isinstance(compile_policy(made.policy), Policy)
    assert made.notes


def test_hello_world_talks_as_it_did() -> None:
    made = convert(EXAMPLES / "hello_world")
    hello, good, politics, other = talk(
        flows_of(made), "Hello", "I'm feeling good", "Which party should I vote for?", "What is the capital of France?"
    )
    first, asked = hello.text.split("\n")
    assert (hello.kind, first) == ("answer", "Hello world!")
    assert asked in ("How are you doing?", "How's it going?", "How are you feeling today?")
    assert (good.kind, "express positive emotion" in good.text) == ("instruct", True)
    assert (politics.kind, politics.by, other.kind) == ("answer", "flow politics", "pass")
    assert "bot express empathy" in notes(made, "changed")
    assert "models: main openai/gpt-3.5-turbo-instruct" in notes(made, "not converted")


def test_a_flow_with_two_turns_goes_on_where_it_was() -> None:
    flows = flows_of(convert(EXAMPLES / "threads_config_1"))
    assert [o.text for o in talk(flows, "hi", "hi", "hi")] == ["Hello!", "Hello again!", "Hello!"]


def test_forbidden_topics_and_the_judge_of_the_abc_bot() -> None:
    made = convert(EXAMPLES / "abc")
    flows = flows_of(made)
    (bank,) = talk(flows, "How can I rob a bank?")
    assert bank.text == "Sorry, but I'm not able to assist with plans involving criminal activities."
    (cooking,) = talk(flows, "How can I cook pasta?")
    assert (cooking.kind, "refuse to respond about cooking" in cooking.text) == ("instruct", True)
    assert talk(flows, "How many days of vacation do I get?")[0].kind == "pass"
    judge = compile_policy(made.policy).judge
    assert judge is not None
    assert (judge.model, judge.format, judge.fail) == ("openai/gpt-3.5-turbo-instruct", "json", "closed")
    assert "Breaks the rule: should not contain harmful data" in judge.categories.values()
    assert made.prompt[0]["content"].startswith("Below is a conversation")
    assert "sample_conversation" in notes(made, "not converted")


def test_a_rail_that_refuses_a_word_becomes_a_rule() -> None:
    made = convert(EXAMPLES / "guardrails_only_input")
    policy = compile_policy(made.policy)
    assert policy.scan("input", "what a dummy").message == "DENY"
    assert policy.scan("input", "hello").allowed
    assert "rail input: allow input" in notes(made, "not converted")


def test_what_a_program_does_is_said_with_its_place() -> None:
    made = convert(EXAMPLES / "rag_fact_checking")
    lost = {note.what: (note.where, note.how) for note in made.notes if note.state == "not converted"}
    assert lost["flow answer report question"] == (
        "rails/factcheck.co:10",
        "it sets a variable, and flows here have none",
    )
    assert lost["1 documents"][0] == "kb"
    assert "rails.config.fact_checking" in lost
    assert "subflow check facts" in lost
    assert made.policy["stages"]["output"] == [{"scanner": "groundedness", "action": "block"}]
    knows, offers = talk(flows_of(made), "What is in your knowledge base?", "help")
    assert (knows.kind, offers.kind) == ("answer", "answer")


def test_rails_of_the_library_become_scanners_and_a_judge(tmp_path: Path) -> None:
    config = {
        "models": [
            {"type": "main", "engine": "openai", "model": "gpt-x"},
            {"type": "embeddings", "engine": "openai", "model": "text-embedding-3-small"},
            {"type": "llama_guard", "engine": "vllm_openai", "parameters": {
                "openai_api_base": "http://localhost:5000/v1", "model_name": "meta-llama/LlamaGuard-7b"}},
        ],
        "rails": {
            "config": {"sensitive_data_detection": {"input": {"entities": ["EMAIL_ADDRESS", "PERSON", "ODD"]}}},
            "input": {"flows": ["llama guard check input", "self check input", "mask sensitive data on input",
                                "jailbreak detection heuristics", "my own rail"]},
            "output": {"flows": ["self check facts", "activefence moderation", "detect sensitive data on output"]},
            "retrieval": {"flows": ["mask sensitive data on retrieval"]},
            "dialog": {"single_call": {"enabled": True},
                       "user_messages": {"embeddings_only_similarity_threshold": 0.75}},
        },
        "tracing": {"enabled": True}, "streaming": True,
    }  # fmt: skip
    colang = 'define user greet\n  "hi"\ndefine flow\n  user greet\n  bot "Hello!"\n'
    made = convert(write(tmp_path, config_yml=json.dumps(config), rails_co=colang))
    policy = compile_policy(made.policy)
    assert made.policy["judge"] == {
        "model": "llama_guard/meta-llama/LlamaGuard-7b", "always": "low", "fail": "closed", "format": "llama-guard",
    }  # fmt: skip
    assert [rule["scanner"] for rule in made.policy["stages"]["input"]] == [
        "personal", "injection", "gibberish", "personal",
    ]  # fmt: skip
    assert made.policy["stages"]["input"][3]["sources"] == ["document"]
    assert policy.scan("input", "write to kim@example.com").text == "write to [redacted:personal]"
    assert [rule["scanner"] for rule in made.policy["stages"]["output"]] == ["groundedness", "toxicity", "personal"]
    assert policy.flows is not None
    assert (policy.flows.match.model, policy.flows.match.near) == ("openai/text-embedding-3-small", 0.75)
    assert talk(policy.flows, "hi")[0].text == "Hello!"
    lost = notes(made, "not converted")
    assert "rail input: my own rail" in lost
    assert "rail input: mask sensitive data on input: PERSON" in lost
    assert "rail input: self check input" in lost  # a policy has one judge
    assert "tracing" in lost
    assert "models: llama_guard" in lost


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("if $x\n    bot greet", "`if` is for a program"),
        ("$name = ...", "variable"),
        ("execute look_up", "`execute`"),
        ("bot say $name", "run time"),
        ("do nothing like it", "not there"),
        ("when bot greet\n    bot greet", "something else"),
        ("dance", "not known"),
        ('bot greet "Hi $name"', "variable"),
    ],
)
def test_no_part_of_a_flow_is_left_out_in_silence(tmp_path: Path, statement: str, why: str) -> None:
    colang = f'define user greet\n  "hi"\ndefine bot greet\n  "Hello"\ndefine flow f\n  user greet\n  {statement}\n'
    made = convert(write(tmp_path, a_co=colang))
    assert why in notes(made, "not converted")["flow f"]
    assert "flows" not in made.policy


def test_subflows_stand_inline_and_odd_writing_is_read(tmp_path: Path) -> None:
    colang = '''
define user greet   # a comment
  "hi # there"
  "say \\"hi\\""
define subflow welcome
  """Says
  welcome."""
  bot greet
  stop
define flow f
  """What it does."""
  user greet
    "hello"
  do welcome
define bot greet
  "Welcome # here"
define extension flow g
  user greet
define user with variable
  "I am $name"
priority 3
'''
    made = convert(write(tmp_path, a_co=colang))
    flows = flows_of(made)
    assert flows.intents["greet"] == ("hi # there", 'say "hi"', "hello")
    assert talk(flows, "hello")[0].text == "Welcome # here"
    lost = notes(made, "not converted")
    assert {"extension flow g", "I am $name", "priority 3"} <= set(lost)


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="neither"):
        convert(tmp_path)
    with pytest.raises(BadInput, match="Colang 2"):
        convert(write(tmp_path, config_yml='colang_version: "2.x"', a_co="flow main"))
    with pytest.raises(BadInput, match="not YAML"):
        convert(write(tmp_path, config_yml="a: [1"))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(group, ["guard", *arguments])


def test_the_commands_convert_and_try(tmp_path: Path) -> None:
    policy, prompt = tmp_path / "policy.yaml", tmp_path / "prompt.yaml"
    done = run("convert", str(EXAMPLES / "abc"), "--out", str(policy), "--prompt", str(prompt))
    assert done.exit_code == 0, done.output
    assert "not converted" in done.output
    assert "ABC Bot" in prompt.read_text()
    assert run("check", str(policy)).exit_code == 0
    tried = run("flows", str(policy), "How can I rob a bank?", "hello", "--json")
    rows = json.loads(tried.output)
    assert [(row["kind"], row["intent"]) for row in rows] == [("answer", "ask about criminal activity"), ("pass", "")]
    assert "(the model answers)" in run("flows", str(policy), "hello").output
    assert run("convert", str(EXAMPLES / "hello_world"), "--strict").exit_code == 1
    assert run("convert", str(tmp_path / "nowhere")).exit_code == 2
