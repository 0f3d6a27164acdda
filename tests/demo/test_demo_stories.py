"""Every story of the demo, told by the command that a user types: the loop must get each of them right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LAYERS = {"prompt": 3, "model": 1, "knowledge": 2, "guard": 4, "operations": 5}
CHANGES = {
    "prompt": "prompts:/support-answer/2",
    "model": "models:/scripted/steady=simulated-steady-2@sim_b7",
    "knowledge": "corpora:/docs/2",
    "guard": "guards:/default/2",
    "operations": "judges:/quality/2",
}
FIELDS = {
    "fault", "ok", "incident", "layer", "change", "seconds_to_alarm", "seconds_to_verdict", "seconds_to_rollback",
    "requests_to_alarm", "bad_responses_after_rollback", "cases_added", "false_alarms",
}  # fmt: skip


def tell(fault: str, folder: Path) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "-m", "trimtab", "demo", "--once", "--json", "--fault", fault]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=folder, check=False)
    assert done.stdout.strip(), done.stderr
    return done.returncode, json.loads(done.stdout.strip().splitlines()[-1]), done.stderr


@pytest.mark.parametrize("fault", list(LAYERS))
def test_the_loop_finds_the_fault_and_takes_it_back(fault: str, tmp_path: Path) -> None:
    status, outcome, told = tell(fault, tmp_path)
    assert set(outcome) >= FIELDS
    assert status == 0, told
    assert outcome["ok"]
    assert outcome["layer"] == LAYERS[fault]
    assert outcome["change"] == CHANGES[fault]
    assert outcome["certainty"] == "proven"
    assert outcome["bad_responses_after_rollback"] == 0
    assert outcome["cases_added"] > 0
    assert outcome["false_alarms"] == 0
    assert 0 < outcome["seconds_to_alarm"] <= outcome["seconds_to_verdict"] <= outcome["seconds_to_rollback"] < 60


def test_nothing_is_wrong_and_no_incident_opens(tmp_path: Path) -> None:
    status, outcome, told = tell("none", tmp_path)
    assert status == 0, told
    assert outcome["ok"]
    assert outcome["incident"] is None
    assert outcome["false_alarms"] == 0
    assert outcome["requests"] >= 600
