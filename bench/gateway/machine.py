"""Processes on this machine: started, pinned, measured from /proc, stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
CORES = sorted(os.sched_getaffinity(0))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command on one core: 0 for what is measured, 1 for the load and the upstreams. One core alone is shared."""
    return ["taskset", "-c", str(CORES[core % len(CORES)]), *command]


class Process:
    """A server and its children."""

    def __init__(self, command: Sequence[str], *, core: int, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.started = time.monotonic()
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                pinned(command, core),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def tree(self) -> list[int]:
        """Its process ids (nginx has a master and a worker)."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            try:
                queue += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                continue
            found.append(pid)
        return found

    def cpu_seconds(self) -> float:
        """User and system time so far: it holds on a busy machine, where requests per second do not."""
        total = 0
        for pid in self.tree():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory_mib(self) -> float:
        """Resident memory."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.tree())
        return pages * PAGE / 2**20

    def settle(self, most: float = 60.0) -> None:
        """Wait until it rests: what it does after an answer (records, scores, watches) belongs to the request."""
        until = time.monotonic() + most
        before = self.cpu_seconds()
        while time.monotonic() < until:
            time.sleep(0.5)
            now = self.cpu_seconds()
            if now - before <= 0.02:
                return
            before = now

    def wait_for(self, port: int, seconds: float) -> None:
        """Until it listens. Raises SystemExit with the end of its log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.01)
        tail = self.log.read_text(errors="replace")[-2000:]
        raise SystemExit(f"nothing listens on port {port}; the log ends:\n{tail}")

    def stop(self) -> None:
        """End it; kill it if it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)


class Stage:
    """A scratch folder and the processes of one run; leaving it ends and deletes all of them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trimtab-bench-"))
        self._running: list[Process] = []

    def start(self, name: str, command: Sequence[str], *, core: int, env: Mapping[str, str] | None = None) -> Process:
        process = Process(command, core=core, log=self.folder / f"{name}.log", env=env)
        self._running.append(process)
        return process

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for process in reversed(self._running):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float = 30.0) -> bytes:
    """The answer to one request. Raises SystemExit with what a refusal says."""
    request = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url} answered {error.code}: {error.read()[:500]!r}") from error
