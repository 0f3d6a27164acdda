"""The whole chain survives ``kill -9`` at every step, and acts once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_chain_survives_being_killed_after_every_commit_and_acts_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed_chain.py")), str(tmp_path)],
        capture_output=True, text=True, timeout=300, check=False, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) >= 10, "a kill for every commit of the chain"
    for run in runs:
        where = f"killed after commit {run['after']}: {run}"
        assert run["state"] == "closed", where
        assert run["moves"] == ["rollback", "label", "label"], where
        assert run["live"] == 1, where
        assert run["deeds"] == [["rollback", "done", 1]], where
        once = {kind: run["events"][kind] for kind in ("alarm", "replay", "action", "cases", "resolved", "closed")}
        assert set(once.values()) == {1}, where
        assert run["cases"] == run["kept"] == run["questions"] > 5, where
