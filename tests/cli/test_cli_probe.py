"""``trimtab probe`` against a running server, and what the file says of probes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from trimtab.cli import group

CONFIG = """
owners: {safety: kim}
routes:
  support: {targets: [{model: scripted/steady}]}
probes:
  guard-benign: {kind: guard_benign, every: 6h, action: note, severity: 4}
  steady: {kind: vendor, target: scripted/steady, budget: {calls: 200}, options: {candidates: 4, inputs: 3, samples: 5}}
  retrieval: {kind: retrieval, enabled: false}
  open: {kind: guard_attacks, target: "guards:/open@production"}
"""


def test_probes_are_listed_shown_run_and_accepted(start_server: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "trimtab.yaml"
    path.write_text(CONFIG)
    server = start_server(config=path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(group, ["probe", *arguments, "--server", server.url, "--key", server.key])

    listed = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert set(listed) == {"guard-attacks", "guard-benign", "corpus", "retrieval", "steady", "open"}
    assert (listed["guard-benign"]["every_s"], listed["guard-benign"]["severity"]) == (21_600.0, 4)
    assert listed["guard-attacks"]["owner"] == "kim"
    assert listed["retrieval"]["state"] == "asleep"
    assert "of 200 calls" in run("list").stdout

    done = run("run", "guard-attacks", "--by", "mara")
    assert done.exit_code == 0, done.output + str(done.exception)
    assert "stops 24 of 24 attacks" in done.stdout
    shown = run("show", "guard-attacks").stdout
    assert "SHARE OF ATTACKS STOPPED" in shown
    assert "kim" in shown
    one = json.loads(run("show", "guard-attacks", "--json").stdout)
    assert ("mara", "ok") in [(r["actor"], r["verdict"]) for r in one["runs"]]

    vendor = json.loads(run("run", "steady", "--json").stdout)
    assert (vendor["verdict"], vendor["state"]) == ("ok", "done")
    assert vendor["calls"] > 10

    failed = run("run", "open", "--by", "mara")
    assert failed.exit_code == 2
    assert "failed" in failed.stdout
    body: dict[str, Any] = {"content": {"stages": {"input": []}}, "label": "production"}
    assert server.ask("POST", "/api/versions/guards/open", body)[0] == 201
    alarm = run("run", "open", "--by", "mara")
    assert alarm.exit_code == 1
    assert "alarm" in alarm.stdout
    _, _, incidents = server.ask("GET", "/api/incidents")
    assert [i["signals"] for i in incidents["incidents"]] == [["probe:open"]]
    assert "new reference" in run("accept", "open", "--by", "mara").stdout
    _, _, incidents = server.ask("GET", "/api/incidents")
    assert [i["state"] for i in incidents["incidents"]] == ["resolved"]
    assert "There is no probe" in str(run("show", "nothing").exception)

    before = json.loads(run("show", "guard-attacks", "--json").stdout)["runs"]
    server.kill()
    server.start()
    again = json.loads(run("show", "guard-attacks", "--json").stdout)
    assert again["runs"] == before, "a restart runs nothing that is not due"
    assert again["next_ns"] == again["runs"][0]["started_ns"] + 3600 * 10**9
