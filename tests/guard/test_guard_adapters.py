"""Guardrails AI validators and LLM Guard scanners in a policy, by stand-ins with the shapes of their calls today."""

from __future__ import annotations

import json
import sys
import threading
import types
from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.guard import Context, compile_policy


class Result:
    """What ``Validator.validate`` gives: outcome ``pass`` or ``fail``, and perhaps ``error_spans``."""

    def __init__(self, outcome: str, spans: Any = None) -> None:
        self.outcome = outcome
        self.error_spans = spans


class NoFoo:
    """A validator: ``validate(value, metadata)``."""

    seen: dict[str, Any] = {}  # noqa: RUF012  # what the last call was told

    def __init__(self, word: str = "foo", on_fail: str = "noop") -> None:
        self.word = word

    def validate(self, value: Any, metadata: dict[str, Any]) -> Any:
        NoFoo.seen = metadata
        at = value.find(self.word)
        if at < 0:
            return Result("pass")
        span = types.SimpleNamespace(start=at, end=at + len(self.word), reason="a word")
        return Result("fail", [span]) if metadata.get("spans", True) else {"outcome": "fail"}


class BanSubstrings:
    """An input scanner: ``scan(prompt)`` gives the sanitised text, whether it is valid, and a risk from -1 to 1."""

    def __init__(self, substrings: list[str], *, redact: bool = False) -> None:
        self.substrings, self.redact = substrings, redact
        self.threads: list[str] = []

    def scan(self, prompt: str) -> tuple[str, bool, float]:
        self.threads.append(threading.current_thread().name)
        hits = [each for each in self.substrings if each in prompt]
        text = prompt
        for each in hits if self.redact else ():
            text = text.replace(each, "[REDACTED]")
        return text, not hits, 1.0 if hits else -1.0


class NoRefusal:
    """An output scanner: ``scan(prompt, output)``."""

    def scan(self, prompt: str, output: str) -> tuple[str, bool, float]:
        return output, not (prompt.endswith("?") and "cannot" in output), 0.2


class Broken:
    def scan(self, prompt: str) -> tuple[str, bool, float]:
        raise RuntimeError("the model is not there")


class Picky:
    def __init__(self) -> None:
        raise ValueError("no configuration was found")

    def scan(self, prompt: str) -> tuple[str, bool, float]:
        return prompt, True, 0.0


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    members = {
        "guardrails": {}, "guardrails.hub": {"NoFoo": NoFoo},
        "llm_guard": {}, "llm_guard.input_scanners": {"BanSubstrings": BanSubstrings, "Broken": Broken, "Picky": Picky},
        "llm_guard.output_scanners": {"NoRefusal": NoRefusal},
        "my_rules": {}, "my_rules.words": {"NoFoo": NoFoo, "number": 3},
    }  # fmt: skip
    for name, classes in members.items():
        module = types.ModuleType(name)
        module.__dict__.update(classes)
        monkeypatch.setitem(sys.modules, name, module)


def policy(stage: str = "input", **entry: Any) -> Any:
    return compile_policy({"stages": {stage: [{"action": "redact", **entry}]}})


@pytest.mark.parametrize(
    ("scanner", "options"),
    [
        ("guardrails:NoFoo", {}), ("guardrails:guardrails.hub.NoFoo", {}), ("guardrails:my_rules.words:NoFoo", {}),
        ("guardrails-ai", {"use": "NoFoo"}), ("guardrails-ai", {"use": "my_rules.words.NoFoo"}),
    ],
)  # fmt: skip
async def test_a_validator_is_found_by_its_name_or_path(scanner: str, options: dict[str, Any]) -> None:
    made = policy(scanner=scanner, options=options)
    verdict = await made.examine("input", "some foo here")
    (finding,) = verdict.findings
    assert (finding.kind, finding.start, finding.end) == ("NoFoo", 5, 8)
    assert verdict.text == f"some [redacted:{finding.rule}] here"
    assert finding.rule == ("NoFoo" if ":" in scanner else "guardrails-ai")
    assert (await made.examine("input", "nothing")).action == "allow"


async def test_a_validator_gets_its_arguments_and_metadata_and_may_tell_no_spans() -> None:
    options = {"arguments": {"word": "bar", "on_fail": "noop"}, "metadata": {"spans": False, "team": "x"}}
    verdict = await policy(scanner="guardrails:NoFoo", options=options).examine("input", "some bar")
    assert [(f.start, f.end) for f in verdict.findings] == [(0, 8)]
    assert NoFoo.seen == {"spans": False, "team": "x"}


async def test_an_input_scanner_of_llm_guard_redacts_what_it_changed_and_runs_in_a_thread() -> None:
    entry = {"scanner": "llm_guard:BanSubstrings", "options": {"arguments": {"substrings": ["secret"], "redact": True}}}
    made = policy(**entry)
    verdict = await made.examine("input", "my secret word")
    (finding,) = verdict.findings
    assert (verdict.text, finding.score) == ("my [redacted:BanSubstrings] word", 1.0)
    assert (await made.examine("input", "my word")).action == "allow"
    plain = {"arguments": {"substrings": ["secret"]}}
    whole = await policy(scanner="llm_guard:BanSubstrings", options=plain).examine("input", "my secret word")
    assert whole.text == "[redacted:BanSubstrings]"
    scanner = made.stages["input"].entries[0]
    assert (scanner.scanner.cost, scanner.name) == ("large", "BanSubstrings")


async def test_an_output_scanner_of_llm_guard_knows_what_was_asked() -> None:
    made = policy("output", scanner="llm_guard:llm_guard.output_scanners.NoRefusal", action="flag")
    context = Context(source="assistant", asked="Can you?")
    verdict = await made.examine("output", "I cannot.", context=context)
    assert [(f.kind, f.score) for f in verdict.findings] == [("NoRefusal", 0.5)]
    assert (await made.examine("output", "I can.", context=context)).action == "allow"


async def test_one_that_crashes_follows_its_rule() -> None:
    entry = {"scanner": "llm_guard:Broken", "action": "block"}
    shut = await policy(**entry, fail="closed").examine("input", "hello")
    assert (shut.action, shut.failures[0].why) == ("block", "it crashed (RuntimeError)")
    opened = await policy(**entry, fail="open").examine("input", "hello")
    assert (opened.action, len(opened.failures)) == ("allow", 1)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"scanner": "guardrails:Nothing"}, "no such class"),
        ({"scanner": "guardrails:my_rules.words.number"}, "no such class"),
        ({"scanner": "guardrails:subprocess.Popen"}, "no such class"),  # it has no such method, so it is never made
        ({"scanner": "llm_guard:NoFoo"}, "no such class"),
        ({"scanner": "guardrails:not there"}, "name or path"),
        ({"scanner": "guardrails:nowhere.at.All"}, "cannot be loaded"),
        ({"scanner": "guardrails:NoFoo", "options": {"use": "NoFoo"}}, "twice"),
        ({"scanner": "guardrails:NoFoo", "options": {"arguments": {"colour": 1}}}, "cannot be made"),
        ({"scanner": "guardrails:NoFoo", "options": {"metadata": 1}}, "object"),
        ({"scanner": "llm_guard:Picky"}, "no configuration was found"),
        ({"scanner": "llm_guard:BanSubstrings", "options": {"where": "middle"}}, "not known"),
        ({"scanner": "other:Thing"}, "not a scanner"),
    ],
)
def test_what_cannot_be_used_is_said(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        policy(**entry)


RAIL = """
<rail version="0.1">
<output>
  <string name="city" description="Where." validators="length: 2 20"/>
  <integer name="nights" validators="guardrails/valid_range: 1 30"/>
  <string name="class" required="false" validators="valid-choices: {['first', 'second']}"/>
  <list name="guests" validators="length: 1 4"><object><string name="name" format="regex: ^[A-Z]"/></object></list>
</output>
</rail>
"""
TRIP = {"city": "Oslo", "nights": 3, "guests": [{"name": "Ada"}]}


def told(answer: Any, rail: str = RAIL) -> list[str]:
    made = policy("output", scanner="json", action="block", reask=True, options={"rail": rail})
    return [
        finding.note
        for finding in made.scan("output", json.dumps(answer), context=Context(source="assistant")).findings
    ]


def test_an_answer_is_held_to_a_rail_specification() -> None:
    assert told(TRIP) == []
    assert told({**TRIP, "class": "first"}) == []
    for wrong, place in (
        ({**TRIP, "nights": 99}, "nights"), ({**TRIP, "city": "O"}, "city"), ({**TRIP, "class": "third"}, "class"),
        ({**TRIP, "guests": []}, "guests"), ({**TRIP, "guests": [{"name": "ada"}]}, "guests/0/name"),
        ({"city": "Oslo", "nights": 3}, "required"),
    ):  # fmt: skip
        (note,) = told(wrong)
        assert place in note
    assert told([1, 2], '<output type="list"><integer/></output>') == []
    assert told(["x"], '<output type="list"><integer/></output>') != []
    assert told("anything", '<rail><output type="string"/></rail>') == []


@pytest.mark.parametrize(
    ("rail", "said"),
    [
        ("<rail>", "no XML"),
        ("<rail/>", "no output"),
        ("<rail><output><string/></output></rail>", "no name"),
        ("<rail><output><poem name='x'/></output></rail>", "<poem> is not known"),
        ("<rail><output><string name='x' validators='two-words'/></output></rail>", "two-words cannot be said"),
        ("<rail><output><string name='x' validators='length: a b'/></output></rail>", "not understood"),
        ("<rail><output><string name='x' colour='red'/></output></rail>", "colour of <string>"),
        ("<rail><output><list name='x'><string/><string/></list></output></rail>", "more than one"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><rail><output/></rail>", "document type"),
        (f"<output type='list'>{'<list>' * 60}{'</list>' * 60}</output>", "deeply"),
    ],
)
def test_what_a_schema_cannot_say_is_refused_by_name(rail: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        told({}, rail)
