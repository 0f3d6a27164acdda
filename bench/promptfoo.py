#!/usr/bin/env python3
"""A real promptfoo run against the gateway, and the same configuration as a run of Trimtab.

Starts a server with the simulated provider, lets promptfoo (from npm) evaluate a configuration through the gateway, as
its users do: the provider ``openai:chat:ROUTE`` with an ``apiBaseUrl``. Then the same file goes through ``trimtab eval
convert`` and ``trimtab eval run``, and both must pass and fail the same tests.

    python bench/promptfoo.py [--version 0.119.0] [--folder FOLDER] [--out FILE]

Needs node and npx, and the npm registry unless FOLDER holds ``node_modules/.bin/promptfoo``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "promptfoo.json"
#: The newest release that runs on the Node.js 20 of many systems.
VERSION = "0.119.0"
#: Seconds for the download and the run of promptfoo, and for the start of the server.
RUN_S, START_S = 540.0, 60.0
CONFIG = """\
description: support answers through the gateway
prompts:
  - "{{{{question}}}}"
providers:
  - id: openai:chat:support
    config: {{apiBaseUrl: "{url}/v1", apiKey: "{key}", temperature: 0}}
evaluateOptions: {{maxConcurrency: 4}}
tests:
  - description: keeps a number
    vars: {{question: "Refunds take 14 days."}}
    assert: [{{type: contains, value: "14 days"}}, {{type: regex, value: "[0-9]+"}}]
  - description: any of two
    vars: {{question: "The lamp is blue."}}
    assert: [{{type: icontains-any, value: [BLUE, RED]}}, {{type: not-contains, value: green}}]
  - description: all of them, in the right place
    vars: {{question: "One lamp and two shades."}}
    assert: [{{type: contains-all, value: [lamp, shades]}}, {{type: starts-with, value: One}}]
  - description: fast enough
    vars: {{question: "Hello."}}
    assert: [{{type: latency, threshold: 60000}}]
  - description: must fail, the answer is another one
    vars: {{question: "Hello."}}
    assert: [{{type: equals, value: "Goodbye."}}]
  - description: must fail, it is no JSON
    vars: {{question: "Not JSON."}}
    assert: [{{type: is-json}}]
"""
FAILS = ("must fail, the answer is another one", "must fail, it is no JSON")
ROUTES = "routes:\n  support: {targets: [{model: scripted/echo}]}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default=VERSION, help=f"promptfoo's version (default {VERSION})")
    parser.add_argument("--folder", type=Path, help="where promptfoo is installed already")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    options = parser.parse_args()
    command = promptfoo(options.version, options.folder)
    with tempfile.TemporaryDirectory(prefix="trimtab-promptfoo-") as name:
        folder = Path(name)
        (folder / "trimtab.yaml").write_text(ROUTES)
        with Server(folder) as server:
            config = folder / "promptfooconfig.yaml"
            config.write_text(CONFIG.format(url=server.url, key=server.key()))
            started = time.perf_counter()
            theirs = run_promptfoo(command, config, folder)
            seconds = time.perf_counter() - started
            requests = server.requests()
            ours = run_trimtab(config, folder, server)
    wanted = {test: test not in FAILS for test in theirs}
    result = {
        "command": "python bench/promptfoo.py" + " --folder FOLDER" * (options.folder is not None),
        "promptfoo": options.version, "tests": len(theirs),
        "requests through the gateway": requests, "seconds": round(seconds, 1), "promptfoo passes": theirs,
        "trimtab passes": ours, "same": theirs == ours, "as expected": theirs == wanted,
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0 if theirs and theirs == ours == wanted and requests >= len(theirs) else 1


def promptfoo(version: str, folder: Path | None) -> list[str]:
    """The command that runs promptfoo. Ends with clear words where there is none."""
    if folder is not None:
        found = folder.resolve() / "node_modules" / ".bin" / "promptfoo"
        if not found.exists():
            raise SystemExit(f"{found} is not there. Run: npm install --prefix {folder} promptfoo@{version}")
        return [str(found)]
    if shutil.which("npx") is None or shutil.which("node") is None:
        raise SystemExit("node and npx are not there. Install Node.js 20 or newer, or name --folder.")
    return ["npx", "--yes", f"promptfoo@{version}"]


def run_promptfoo(command: list[str], config: Path, folder: Path) -> dict[str, bool]:
    """Whether each test passed, by its description."""
    out = folder / "promptfoo.json"
    print("promptfoo ...", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(
            [*command, "eval", "-c", str(config), "-o", str(out), "--no-cache", "--no-progress-bar", "--no-table"],
            cwd=folder, capture_output=True, text=True, timeout=RUN_S,
            env={**os.environ, "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1",
                 "PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo"), "PROMPTFOO_FAILED_TEST_EXIT_CODE": "0"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SystemExit(f"promptfoo did not end within {RUN_S:g} s. Is the npm registry reachable?") from None
    if not out.exists():
        said = (done.stdout + done.stderr)[-2000:]
        hint = "The npm registry could not be reached, or this Node.js is too old for it; see --version and --folder."
        raise SystemExit(f"promptfoo wrote no result (exit status {done.returncode}). {hint}\n{said}")
    rows = json.loads(out.read_text())["results"]["results"]
    if errors := [row["error"] for row in rows if row.get("error") and row.get("failureReason") == 2]:
        raise SystemExit(f"promptfoo could not ask the gateway: {errors[0][:500]}")
    return {row["testCase"]["description"]: bool(row["success"]) for row in rows}


def run_trimtab(config: Path, folder: Path, server: Server) -> dict[str, bool]:
    """The same after ``trimtab eval convert``: whether every score of each case is 1."""
    plan = folder / "converted.yaml"
    trimtab("eval", "convert", str(config), "-o", str(plan), "--gateway", server.url)
    access = ("--server", server.url, "--key", server.key())
    run = json.loads(trimtab("eval", "run", str(plan), "--yes", "--json", *access))[0]
    found = json.loads(trimtab("eval", "show", run["id"], "--limit", "100", "--json", *access))["results"]
    return {row["asked"]["note"]: all(score["value"] == 1.0 for score in row["scores"]) for row in found}


def trimtab(*arguments: str) -> str:
    """What a command prints. Ends where it fails."""
    done = subprocess.run([sys.executable, "-m", "trimtab", *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise SystemExit(f"trimtab {arguments[0]} {arguments[1]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


class Server:
    """``trimtab up`` as a process of its own, in a folder that goes when it ends."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        self._folder = folder

    def __enter__(self) -> Server:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", "up", "--port", str(self.port), "--data", "data"],
                cwd=self._folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while "Trimtab is up" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start:\n{self._log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def key(self) -> str:
        """The admin key, which the start shows once."""
        return self._log.read_text().split("shown this once: ")[1].split()[0]

    def requests(self) -> int:
        """How many requests the gateway has recorded."""
        request = urllib.request.Request(
            f"{self.url}/api/traces?limit=100", headers={"authorization": f"Bearer {self.key()}"}
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    found: Any = json.loads(answer.read())
            except urllib.error.URLError as error:
                raise SystemExit(f"the server does not say what it recorded: {error}") from None
            count = len(found["traces"])
            if count or time.monotonic() > deadline:
                return count
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
