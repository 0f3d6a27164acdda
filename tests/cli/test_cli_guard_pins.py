"""``trimtab guard pins`` and the proxy with ``--scope``, against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from trimtab.cli import group

SERVER = Path(__file__).parents[1] / "guard" / "data" / "mcp_server.py"


def session(server: Any) -> list[str]:
    """The names of the tools that a client gets, in a session of its own, of a tool server behind the proxy."""
    command = [
        sys.executable, "-m", "trimtab", "guard", "mcp", "--scope", "mail", "--server", server.url, "--key", server.key,
        "--", sys.executable, str(SERVER),
    ]  # fmt: skip
    lines = [json.dumps({"jsonrpc": "2.0", "id": n, "method": "tools/list", "params": {}}) for n in (1, 2)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in lines:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
        process.communicate(timeout=30)
    return [tool["name"] for tool in answer["result"]["tools"]]


def test_pins_are_listed_shown_and_accepted(start_server: Callable[..., Any]) -> None:
    server = start_server()

    def run(*arguments: str) -> Result:
        options = ("--server", server.url, "--key", server.key)
        return CliRunner().invoke(group, ["guard", "pins", *arguments, *options])

    assert "No tool is pinned." in run("list").output
    assert session(server) == ["read_mail", "send_mail"]  # the second list describes ``news`` in another way
    rows = json.loads(run("list", "--json").stdout)
    assert [(row["scope"], row["tool"], row["changed"]) for row in rows] == [
        ("mail", "news", True), ("mail", "read_mail", False), ("mail", "send_mail", False),
    ]  # fmt: skip
    assert [row["tool"] for row in json.loads(run("list", "--changed", "--json").stdout)] == ["news"]
    shown = run("show", "mail", "news").output
    assert "News 1." in shown
    assert "News 2." in shown
    assert run("accept", "mail", "news").exit_code == 0
    assert "changed" not in run("list").output.split("SINCE")[1]
    assert session(server) == ["read_mail", "send_mail", "news"]  # News 2., as it was accepted
    missing = run("show", "mail", "nothing")
    assert "not pinned" in str(missing.exception)
