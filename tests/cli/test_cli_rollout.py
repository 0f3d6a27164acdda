"""``trimtab rollout`` against a running server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trimtab.cli import group


def test_a_rollout_is_started_steered_and_watched(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server()
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        return runner.invoke(group, [*arguments, "--server", server.url, "--key", server.key])

    def done(*arguments: str) -> str:
        result = run(*arguments)
        assert result.exit_code == 0, result.output + str(result.exception)
        return result.stdout

    for text in ("Be exact.", "Be brief."):
        file = tmp_path / "p.json"
        file.write_text(json.dumps({"messages": [{"role": "system", "content": text}]}))
        done("prompt", "push", "answer", str(file), *(("--live",) if text == "Be exact." else ()))
    assert "No rollouts" in done("rollout", "list")

    said = done(
        "rollout", "start", "prompts:/answer/2", "--stages", "2.5, 50,100", "--guard", "answered:3", "--guard",
        "quality", "--least-time", "2m", "--hold", "1h", "--by", "mara", "--note", "shorter",
    )  # fmt: skip
    assert "prompts:/answer/2 for 2.5 % of sessions" in said
    rollout = said.partition(":")[0]
    shown = json.loads(done("rollout", "show", rollout, "--json"))
    plan = shown["plan"]
    assert (plan["stages"], plan["least_s"], plan["hold_s"]) == ([0.025, 0.5, 1.0], 120.0, 3600.0)
    assert [(g["metric"], g["margin"]) for g in plan["guards"]] == [("answered", 0.03), ("quality", 0.05)]
    assert "1 to 2" in done("rollout", "list")
    assert json.loads(done("rollout", "list", "--json"))[0]["id"] == rollout

    done("rollout", "pause", rollout, "--by", "jonas", "--reason", "lunch")
    assert "paused" in done("rollout", "list")
    text = done("rollout", "show", rollout)
    assert "Paused by jonas: lunch." in text
    assert "not measured" in text
    done("rollout", "resume", rollout, "--by", "jonas")

    still = run("rollout", "watch", rollout, "--for", "0s")
    assert still.exit_code == 2
    assert "shorter" in still.output
    refused = run("rollout", "promote", rollout, "--by", "mara")
    assert "needs a reason" in str(refused.exception)
    assert "back to answer/1" in done("rollout", "abort", rollout, "--by", "mara", "--reason", "wrong tone")
    taken_back = run("rollout", "watch", rollout)
    assert taken_back.exit_code == 1
    assert "wrong tone" in taken_back.output

    shadow = done("rollout", "start", "answer/2", "--shadow", "--by", "mara")
    assert "nobody yet, in its shadow" in shadow
    second = shadow.partition(":")[0]
    assert "answer/2 for everybody" in done("rollout", "promote", second, "--by", "mara", "--reason", "it is urgent")
    assert run("rollout", "watch", second).exit_code == 0
    assert len(json.loads(done("rollout", "list", "--all", "--json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "prompts:/answer@production"), "names no version"),
        (("start", "prompts:/answer/2", "--stages", "five"), "are no stages"),
        (("start", "prompts:/answer/2", "--guard", "quality:much"), "is no guard"),
        (("start", "prompts:/answer/2", "--least-time", "soon"), "is no length of time"),
        (("start", "prompts:/answer/2", "--shadow", "--only-watch"), "A shadow moves by itself"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(group, ["rollout", *arguments, "--server", "http://127.0.0.1:9"])
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)
