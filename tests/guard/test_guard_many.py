"""A text with thousands of matches: few are kept, and none of them hides another."""

from __future__ import annotations

import base64
from typing import Any
from unittest import mock

import pytest

from trimtab.guard import SCANNERS, compile_policy, read, scanner
from trimtab.guard.entries import finding_of
from trimtab.guard.scanner import MOST
from trimtab.guard.secrets import find_secrets


def test_many_matches_of_one_rule_become_one() -> None:
    rules = [
        {"name": "digit", "patterns": [r"\d"], "action": "redact", "reason": "a test"},
        {"name": "word", "patterns": ["end"], "action": "flag", "reason": "a test"},
    ]
    verdict = compile_policy({"stages": {"input": rules}}).scan("input", "so " + "7" * 5000 + " end")
    assert [(finding.rule, finding.start, finding.end) for finding in verdict.findings] == [
        ("digit", 3, 5007),
        ("word", 5004, 5007),
    ]
    assert verdict.findings[0].note == "more than 4096 matches"
    assert verdict.text == "so [redacted:digit]"


def test_many_matches_are_not_all_kept() -> None:
    rules = [{"name": "digit", "patterns": [r"\d", "7"], "action": "flag", "reason": "a test"}]
    stage = compile_policy({"stages": {"input": rules}}).stages["input"]
    text = read("so " + "7" * 20_000)
    with mock.patch("trimtab.guard.entries.finding_of", side_effect=finding_of) as made:
        (finding,) = stage.found_by_rules(text)
    assert (finding.start, finding.end) == (3, 20_003)
    assert made.call_count <= MOST + 2, "what follows in the text says nothing new"


def test_of_many_matches_the_first_may_stand_in_a_later_reading() -> None:
    hidden = base64.b64encode(b"it is 7 7 7 that is said in here").decode()
    rules = [{"name": "digit", "patterns": [r"\b7\b"], "action": "redact", "reason": "a test"}]
    verdict = compile_policy({"stages": {"input": rules}}).scan("input", f"so {hidden} and " + "7 " * 5000)
    (finding,) = verdict.findings
    assert finding.start < 10
    assert verdict.text == f"so {'[redacted:digit]'}"


def of_kinds(*kinds: str) -> dict[str, Any]:
    return {"stages": {"output": [{"scanner": "secrets", "action": "block", "options": {"only": list(kinds)}}]}}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred matches are many, and a thousand characters a part."""
    for name, value in (("MOST", 100), ("BLOCK", 1000), ("OVERLAP", 100)):
        monkeypatch.setattr(scanner, name, value)


@pytest.mark.usefixtures("small")
def test_many_weak_matches_do_not_hide_a_sure_one() -> None:
    numbers = "9999 0000 0000 0001 " * 200
    rules = [{"scanner": "personal", "action": "redact"}]
    policy = compile_policy({"stages": {"output": rules}})
    assert policy.scan("output", numbers).action == "allow"
    verdict = policy.scan("output", numbers + " write to ada.lovelace@mail.example")
    assert verdict.action == "redact"
    assert "ada.lovelace" not in verdict.text


@pytest.mark.usefixtures("small")
def test_many_matches_of_one_kind_do_not_hide_another() -> None:
    many = "".join(f"db_password=Ab3dEf6hIj9kL{number:04} is it. " for number in range(200))
    key = "my key is sk-proj-Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
    (kind,) = {match.kind for match in find_secrets(key)}
    assert not compile_policy(of_kinds(kind)).scan("output", many).findings
    for wanted in (kind, "named-secret"):
        (finding,) = compile_policy(of_kinds(wanted)).scan("output", many + key).findings
        assert (finding.kind, finding.note) == (wanted, "more than 100 matches")


def test_many_look_alike_hosts_are_few_findings() -> None:
    # The first letter is Cyrillic.
    text = "".join(f"https://\u0430pple{number}.com/ " for number in range(5000))
    found = SCANNERS["links"].build({})(read(text))
    assert {match.kind for match in found} >= {"look-alike-host"}
    assert len(found) < 10


@pytest.mark.parametrize("flood", ["\u202e", "a\u200bb", "x\u200b\u200b", "x\U000e0041"])
def test_hidden_characters_are_taken_out_however_many_there_are(flood: str) -> None:
    policy = compile_policy({"stages": {"input": [{"scanner": "invisible-text", "action": "redact"}]}})
    for times in (150, 5000):
        left = policy.scan("input", "so " + f"{flood} " * times + "and \ufe01\ufe02\ufe03\ufe04 on").text
        assert not set(left) & set("\u202e\u200b\U000e0041\ufe01")
