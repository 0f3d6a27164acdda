"""The evaluation bench: what it says of recorded votes is checked against scipy, scikit-learn and statsmodels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "evals"


def test_figures_on_recorded_votes_equal_the_references_and_known_biases_are_found(tmp_path: Path) -> None:
    out = tmp_path / "evals.json"
    done = subprocess.run(
        [sys.executable, str(BENCH), "--only", "votes", "--out", str(out)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())["votes"]
    assert found["reference"]["figures"] > 1_000
    assert found["reference"]["largest"] <= 1e-9
    assert {"kappa", "flips", "Fleiss' kappa", "p of length in pairs"} <= set(found["reference"]["by figure"])
    judges = {(row["set"], row["judge"], row["strategy"]): row["biases found"] for row in found["judges"]}
    assert {"position", "length"} <= set(judges["LLMBar/Adversarial/Neighbor", "ChatGPT", "Vanilla"])
    assert "position" not in judges["LLMBar/Adversarial/Neighbor", "GPT-4", "Vanilla"]
