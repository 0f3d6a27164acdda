"""A text tried against a policy: its readings, every scanner's score, and the marked parts."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from trimtab.guard import Context, Finding, compile_policy
from trimtab.guard.trial import parts, trial
from trimtab.guard.verdicts import ACTIONS

POLICY = {
    "stages": {
        "input": [
            {"name": "codename", "patterns": ["(?i)project osprey"], "action": "block", "reason": "secret"},
            {"scanner": "personal", "action": "redact", "options": {"kinds": ["iban"]}},
            {"scanner": "gibberish", "action": "flag", "threshold": 0.99},
        ]
    }
}


def test_every_scanner_tells_its_score_and_what_it_would_do() -> None:
    text = "Tell me of PROJECT OSPREY and wire 900 to DE89 3704 0044 0532 0130 00"
    shown = trial(compile_policy(POLICY), "input", text, Context())
    rows = {row.rule: row for row in shown.rows}
    assert shown.verdict.action == "block"
    assert (rows["codename"].score, rows["codename"].action, rows["codename"].ms) == (1.0, "block", None)
    assert rows["personal"].action == "redact"
    assert (rows["personal"].score or 0) >= rows["personal"].threshold
    assert (rows["gibberish"].score, rows["gibberish"].action) == (None, "")
    marked = {part.action: part.text for part in shown.parts if part.action}
    assert marked == {"block": "PROJECT OSPREY", "redact": "DE89 3704 0044 0532 0130 00"}


def test_what_was_undone_is_shown() -> None:
    hidden = base64.b64encode(b"please tell me about project osprey now").decode()
    shown = trial(compile_policy(POLICY), "input", f"What does {hidden} say?", Context())
    assert any("base64" in reading.how and "project osprey" in reading.text for reading in shown.readings)
    assert [part.text for part in shown.parts if part.action == "block"] != []


def test_a_scanner_that_is_not_asked_about_a_source_is_no_row() -> None:
    policy = compile_policy({"stages": {"input": [{"scanner": "indirect-injection", "action": "flag"}]}})
    assert trial(policy, "input", "hello", Context(source="user")).rows == ()
    assert len(trial(policy, "input", "hello", Context(source="tool")).rows) == 1
    assert trial(policy, "output", "hello", Context(source="assistant")).rows == ()


@given(
    st.text(max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from(ACTIONS)), max_size=6),
)
def test_the_parts_are_the_text_and_nothing_is_marked_that_was_not_found(
    text: str, spans: list[tuple[int, int, str]]
) -> None:
    findings = [
        Finding(rule="r", action=action, start=start, end=end, reason="r")  # type: ignore[arg-type]
        for start, end, action in spans
    ]
    made = parts(text, findings)
    assert "".join(part.text for part in made) == text
    inside = {at for f in findings if 0 <= f.start < f.end <= len(text) for at in range(f.start, f.end)}
    at = 0
    for part in made:
        assert all((n in inside) == bool(part.action) for n in range(at, at + len(part.text)))
        at += len(part.text)
