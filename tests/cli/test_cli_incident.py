"""``trimtab incident show`` tells the whole story, however long its sentences are."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from trimtab.cli import group
from trimtab.cli.remote import Remote

LONG = "word " * 60 + "end of it"
EFFECT = {"value": -0.66, "low": -0.75, "high": -0.57}
INCIDENT: dict[str, Any] = {
    "id": 7, "title": f"Title {LONG}", "state": "mitigated", "severity": 2, "owner": "mara", "acknowledged_by": "",
    "layer": 3, "action": "rollback", "cases": 4, "dataset": "regressions", "runbook": f"Runbook {LONG}", "lesson": "",
    "onset_ns": 1_800_000_000 * 10**9, "mitigated_ns": 1_800_000_060 * 10**9, "closed_ns": 0,
    "replay": {"calls": 26, "allowed": 1000, "usd": 0.5, "wanted": 0},
    "events": [{"time_ns": 1_800_000_001 * 10**9, "actor": "trimtab", "kind": "alarm", "text": f"Event {LONG}"}],
    "deeds": [{"id": "act_1", "action": "rollback", "state": "done", "actor": "trimtab", "text": f"Deed {LONG}"}],
    "pairs": [
        {"trace_id": "a" * 32, "restored": "prompts answer/1", "layer": 3, "before": "No.\x1b[31m", "after": "Yes [1]."}
    ],
    "report": {
        "signal": "cites", "signals": ["cites", "quality"], "slice": "billing", "baseline": 0.97, "now": 0.31, "n": 84,
        "affected": 30, "onset_low_ns": 1_799_999_990 * 10**9, "onset_high_ns": 1_800_000_002 * 10**9,
        "certainty": "proven", "cause": {"title": f"Cause {LONG}"}, "together": "", "also": [],
        "slices": [{"slice": "billing", "exposed": 0.3, "unexposed": 0.97, "effect": EFFECT}],
        "arms": [
            {"restored": "", "passed": 1, "n": 13, "sound": 5, "spoilt": 0, "e_value": 1.0},
            {"restored": "prompts answer/1", "passed": 13, "n": 13, "sound": 5, "spoilt": 1, "e_value": 763.0},
        ],
        "candidates": [{"title": f"Other {LONG}", "cleared": "went out before"}], "apart": ["cost moved too"],
        "not_tested": [],
    },
}  # fmt: skip


def shown(monkeypatch: pytest.MonkeyPatch, incident: dict[str, Any]) -> str:
    monkeypatch.setattr(Remote, "get", lambda self, path, **query: incident)
    done = CliRunner().invoke(group, ["incident", "show", "7"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def test_nothing_of_the_story_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, INCIDENT)
    assert text.count("end of it") == 6, "title, cause, runbook, event, deed and what was cleared"
    assert max(map(len, text.splitlines())) <= 120
    said = " ".join(text.split())
    for part in (
        "cites from 0.97 to 0.31 over 84 answers; also quality", "onset between", "billing, 30 bad answers seen",
        "before you close see its signal back, write the lesson", "13 of 13 1 of 5 763", "fails: No.",
        "passes: Yes [1]. (with prompts answer/1 put back)", "apart: cost moved too", "Everything was testable.",
    ):  # fmt: skip
        assert part in said, part
    assert "\x1b" not in text, "what a model wrote does not steer the terminal"


def test_it_says_whose_answers_showed_the_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    said = " ".join(shown(monkeypatch, {**INCIDENT, "models": ["alpha/large"]}).split())
    assert "billing, 30 bad answers seen; the alarm: answers of model alpha/large" in said
    said = " ".join(shown(monkeypatch, {**INCIDENT, "report": None, "models": ["alpha/large", "beta/small"]}).split())
    assert "for whom the alarm: answers of models alpha/large and beta/small" in said


def test_an_incident_without_a_report_is_shown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = {**INCIDENT, "report": None, "pairs": [], "onset_ns": 0, "state": "open", "mitigated_ns": 0, "deeds": []}
    said = " ".join(shown(monkeypatch, bare).split())
    assert "mitigate it, see its signal back, write the lesson" in said
    assert "for whom" not in said
    assert "Everything was testable" not in said


def test_a_closed_incident_has_nothing_left_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {**INCIDENT, "state": "closed", "closed_ns": 1_800_000_900 * 10**9, "lesson": "Ask twice."}
    said = shown(monkeypatch, closed)
    assert "before you close" not in said
    assert "Ask twice." in said
