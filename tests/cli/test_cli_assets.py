"""Assets, the ledger and taking back, through the command line against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trimtab.cli import group
from trimtab.cli.rollback import moment_of
from trimtab.core import BadInput


def test_the_round_of_an_asset(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server()

    def ask(*arguments: str) -> Result:
        return CliRunner().invoke(group, [*arguments, "--server", server.url, "--key", server.key])

    def run(*arguments: str) -> str:
        done = ask(*arguments)
        assert done.exit_code == 0, done.output + str(done.exception)
        return done.stdout

    first = json.loads(run("asset", "show", "guards:/default", "--json"))
    content = first["content"]
    assert first["address"] == "guards:/default/1"
    rule = {"name": "rude", "patterns": ["(?i)stupid"], "action": "block", "reason": "It is rude."}
    content["stages"]["input"] = [*content["stages"]["input"][1:], rule]
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(content))
    made = run("asset", "push", "guards:/default", str(path), "--parent", "1", "--needs", "models=scripted/echo",
               "--author", "mara", "--note", "stricter")  # fmt: skip
    assert made == "guards:/default/2\n"
    told = run("asset", "diff", "guards:/default", "1", "2")
    assert "input rule prompt-injection: removed" in told
    assert "input rule rude: added" in told
    shown = run("asset", "show", "guards:/default/2")
    assert "edited from   default/1" in shown
    assert "needs models  scripted/echo" in shown
    in_yaml = tmp_path / "policy.yaml"
    in_yaml.write_text("stages:\n  input:\n    - {scanner: secrets, action: flag}\nnote: 2026-11-26\n")
    assert run("asset", "push", "guards:/written", str(in_yaml)) == "guards:/written/1\n"
    written = json.loads(run("asset", "show", "guards:/written/1", "--json"))["content"]
    assert written == {"stages": {"input": [{"scanner": "secrets", "action": "flag"}]}, "note": "2026-11-26"}
    in_yaml.write_text("stages: [\n")
    assert "is not YAML" in str(ask("asset", "push", "guards:/written", str(in_yaml)).exception)
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    for odd, why in (("a: &a [*a]", "Circular"), ("a: .nan", "not JSON compliant"), ("[" * 5000, "is not YAML"),
                     ("? 2026-11-26\n: x", "keys must be"), (bomb, "is longer than 16 MB")):  # fmt: skip
        in_yaml.write_text(odd)
        error = ask("asset", "push", "guards:/written", str(in_yaml)).exception
        assert isinstance(error, BadInput)
        assert why in str(error)
    refused = ask("asset", "push", "guards:/default", str(path), "--needs", "models")
    assert "KIND=ADDRESS" in str(refused.exception)

    run("asset", "protect", "guards:/default", "production", "--role", "admin", "--gate", "eval", "--by", "mara")
    refused = ask("asset", "label", "guards:/default", "production", "2", "--by", "mara")
    assert "there is no result of it for default/2" in str(refused.exception)
    assert run("asset", "gate", "guards:/default/2", "eval", "--passed") == "guards:/default/2: eval passed\n"
    moved = run("asset", "label", "guards:/default", "production", "2", "--expect", "1", "--by", "mara")
    assert moved == "guards:/default@production: default/1 -> default/2\n"
    assert json.loads(run("asset", "list", "guards", "--json"))[0]["labels"] == {"production": 2}

    logged = run("change", "log", "deployed api 1.4.2", "--name", "api", "--layer", "prompt").strip()
    rows = json.loads(run("change", "list", "--json"))
    assert [(row["id"], row["layer"], row["note"]) for row in rows[:1]] == [(logged, 3, "deployed api 1.4.2")]
    assert "outside of Trimtab" in str(ask("change", "undo", logged).exception)
    only = json.loads(run("change", "list", "--asset", "guards:/default@production", "--json"))
    assert [row["after"] for row in only] == ["default/2", "default/1"]
    assert "default/1 -> default/2" in run("change", "list")

    at = datetime.fromtimestamp((only[0]["time_ns"] - 1000) / 1e9, UTC).isoformat()
    assert run("rollback", "--at", at, "--dry-run") == (
        "would move guards:/default@production: default/2 -> default/1\n"
    )
    assert run("rollback", "--at", at, "--by", "mara").startswith("guards:/default@production: default/2 -> default/1")
    group_id = json.loads(run("change", "list", "--json"))[0]["group"]
    assert run("change", "undo", group_id) == "guards:/default@production: default/1 -> default/2\n"
    back = run("rollback", "guards:/default", "--by", "mara", "--note", "too strict")
    assert back == "guards:/default@production: default/2 -> default/1\n"
    for wrong in (("rollback",), ("rollback", "guards:/default", "--at", "14:05"), ("rollback", "guards:/default/1")):
        assert isinstance(ask(*wrong).exception, BadInput)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("14:05", "2026-11-25T14:05:00+00:00"),
        ("15:30:10", "2026-11-24T15:30:10+00:00"),
        ("2026-11-20", "2026-11-20T00:00:00+00:00"),
        ("2026-11-25T14:05:00+02:00", "2026-11-25T14:05:00+02:00"),
    ],
)
def test_moments_as_people_say_them(text: str, moment: str) -> None:
    now = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    assert moment_of(text, now).isoformat() == moment


@pytest.mark.parametrize("text", ["noon", "25:00", "2026-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        moment_of(text, datetime(2026, 11, 25, 15, 0, tzinfo=UTC))
