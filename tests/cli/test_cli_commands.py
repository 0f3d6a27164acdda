"""The commands as a user meets them: help with examples, clear errors, exit statuses, and the docs that name them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from trimtab.cli import COMMANDS, group

DOCS = Path(__file__).parents[2] / "docs"


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, (*path, name))


EVERY = [(path, command) for path, command in walk(group) if path]


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[" ".join(path) for path, _ in EVERY])
def test_every_command_has_help_examples_and_a_place_in_the_docs(path: tuple[str, ...], command: click.Command) -> None:
    shown = CliRunner().invoke(group, [*path, "--help"])
    assert shown.exit_code == 0
    assert command.help
    assert "Example" in shown.output
    assert f"trimtab {' '.join(path)}" in (DOCS / "cli.md").read_text()


def test_every_listing_can_print_json() -> None:
    for path, command in EVERY:
        if path[-1] in ("list", "show", "doctor"):
            assert "--json" in [option for parameter in command.params for option in parameter.opts], path


def test_a_server_that_is_away_is_one_clear_line() -> None:
    done = CliRunner().invoke(group, ["key", "list", "--server", "http://127.0.0.1:9"])
    assert "no Trimtab server answers at http://127.0.0.1:9" in str(done.exception)
    assert "trimtab up" in str(done.exception)


def test_init_writes_a_file_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "trimtab.yaml"
    runner = CliRunner()
    assert runner.invoke(group, ["init", "--path", str(path)]).exit_code == 0
    before = path.read_text()
    again = runner.invoke(group, ["init", "--path", str(path)])
    assert "exists already" in str(again.exception)
    assert path.read_text() == before
    report = runner.invoke(
        group, ["doctor", "--config", str(path), "--data", str(tmp_path / "d"), "--port", "4197", "--json"]
    )
    findings = {f["check"]: f for f in json.loads(report.output)}
    assert findings["config"]["state"] == "ok"
    assert "1 routes" in findings["config"]["found"]


def test_doctor_names_a_broken_file_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "trimtab.yaml"
    path.write_text("routes:\n  a: {targts: []}\n")
    done = CliRunner().invoke(group, ["doctor", "--config", str(path), "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert f"{path}:2" in done.output
    assert "targts" in done.output


def test_the_daily_round_through_the_command_line(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server()
    runner = CliRunner()

    def run(*arguments: str) -> str:
        done = runner.invoke(group, [*arguments, "--server", server.url, "--key", server.key])
        assert done.exit_code == 0, done.output + str(done.exception)
        return done.stdout

    assert set(COMMANDS) >= {"up", "demo", "init", "prompt", "trace", "incident", "key", "doctor"}
    secret = run("key", "create", "bot", "--owner", "mara").splitlines()[0]
    assert secret.startswith("tt-")
    listed = json.loads(run("key", "list", "--json"))
    assert secret not in json.dumps(listed)
    bot = next(key for key in listed if key["name"] == "bot")
    run("key", "disable", bot["id"])
    assert server.ask("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})[0] == 401

    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_text(json.dumps({"messages": [{"role": "system", "content": "Be exact."}]}))
    second.write_text(json.dumps({"messages": [{"role": "system", "content": "Be brief."}]}))
    assert run("prompt", "push", "answer", str(first), "--live").startswith("answer/1")
    assert run("prompt", "push", "answer", str(first)).startswith("answer/1"), "same content, same number"
    assert run("prompt", "push", "answer", str(second)).startswith("answer/2")
    assert "-Be exact." in run("prompt", "diff", "answer", "1", "2")
    run("prompt", "rollout", "answer", "2", "--share", "10")
    assert json.loads(run("prompt", "list", "--json"))[0]["rollout"] == "v2 10 %"
    run("prompt", "rollback", "answer", "--by", "mara")
    assert json.loads(run("prompt", "list", "--json"))[0]["live"] == 1
    assert "Be exact." in run("prompt", "show", "answer")

    assert "No traces yet" in run("trace", "list")
    body = {"model": "scripted/echo", "messages": [{"role": "user", "content": "hello there"}]}
    status, headers, _ = server.ask("POST", "/v1/chat/completions", body)
    assert status == 200
    trace = headers["x-trimtab-trace-id"]
    found: list[Any] = []
    for _ in range(200):
        found = json.loads(run("trace", "list", "hello", "--json"))["traces"]
        if found:
            break
    assert [span["trace_id"] for span in found] == [trace]
    assert "hello there" in run("trace", "show", trace)
    assert "No trace matches" in run("trace", "stats", "model=nobody | by model | count")
    table = run("trace", "stats", "hello | by kind, time:1d | count, p95 duration")
    assert "chain" in table
    counted = json.loads(run("trace", "stats", "hello | by kind", "--json"))
    assert counted == {"by": ["kind"], "measures": ["count"], "groups": [{"keys": ["chain"], "values": [1.0]}]}
    assert "0 -> 1" in run("trace", "stats", "hello | count | compare model=nobody with has:model")
    assert "No incidents" in run("incident", "list")
