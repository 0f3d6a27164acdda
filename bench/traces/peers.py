"""The servers that take traces in: how each is started, where it listens, and how it says what it has."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class NotHere(Exception):
    """A server that cannot be measured here, and why."""


class Server:
    """A server in a folder of its own, with all its processes."""

    name = ""
    #: Headers that its receiver demands.
    headers: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def healthy(self) -> bool:
        raise NotImplementedError

    def count(self) -> int:
        """How many spans it says it has."""
        raise NotImplementedError

    def has(self, trace_id: str) -> bool:
        """Whether it shows this trace, with all its spans."""
        raise NotImplementedError

    def start(self, limit_s: float = 180) -> Self:
        """Run it until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self.environment()}, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + limit_s
        while not self._quietly(self.healthy):
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise NotHere(f"{self.name} did not start; see {self.folder / 'log'}")
            time.sleep(0.1)
        return self

    def kill(self) -> None:
        """``kill -9`` for all of it, at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it as an operator would."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                return
        self._process = None

    def _tree(self) -> list[int]:
        found, waiting = [], [self._process.pid] if self._process else []
        while waiting:
            pid = waiting.pop()
            try:
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                continue
            found.append(pid)
        return found

    def cpu_s(self) -> float:
        """User and system time of its processes so far."""
        total = 0
        for pid in self._tree():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def rss_mb(self) -> float:
        """Resident memory of its processes together; shared pages count for each of them."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._tree()) * PAGE / 1e6

    def disk_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file() and path.name != "log")

    def ask(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(self.url + path, data=None if body is None else json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    @staticmethod
    def _quietly(fn: Any) -> Any:
        try:
            return fn()
        except (OSError, ValueError, KeyError, http.client.HTTPException, urllib.error.URLError):
            return None


class Trimtab(Server):
    name = "trimtab"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "trimtab", "up", "--port", str(self.port), "--data", str(self.folder / "data")]

    def healthy(self) -> bool:
        with urllib.request.urlopen(self.url + "/readyz", timeout=5) as answer:
            return answer.status == 200

    def count(self) -> int:
        """Counted in its day files, by another process than its own: what is there is on disk."""
        total = 0
        for path in (self.folder / "data" / "spans").glob("spans-*.db"):
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
            total += connection.execute("SELECT count(*) FROM spans").fetchone()[0]
            connection.close()
        return total

    def has(self, trace_id: str) -> bool:
        try:
            return len(self.ask(f"/api/traces/{trace_id}")["spans"]) >= 6
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise


class MLflow(Server):
    """``mlflow server`` as it starts by itself: its own SQLite database."""

    name = "mlflow"

    def __init__(self, folder: Path, venv: Path) -> None:
        super().__init__(folder)
        self._venv, self._experiment = venv, ""

    def command(self) -> list[str]:
        return [str(self._venv / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        return {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{self._venv / 'bin'}:{os.environ.get('PATH', '')}"}

    def healthy(self) -> bool:
        with urllib.request.urlopen(self.url + "/health", timeout=5) as answer:
            return answer.status == 200

    def start(self, limit_s: float = 180) -> Self:
        super().start(limit_s)
        made = self.ask("/api/2.0/mlflow/experiments/create", {"name": f"bench-{time.time_ns()}"})
        self._experiment = made["experiment_id"]
        self.headers = {"x-mlflow-experiment-id": self._experiment}
        return self

    def count(self) -> int:
        points = self.ask(
            "/api/3.0/mlflow/traces/metrics",
            {"experiment_ids": [self._experiment], "view_type": "SPANS", "metric_name": "span_count",
             "aggregations": [{"aggregation_type": "COUNT"}], "max_results": 10},
        ).get("data_points", [])  # fmt: skip
        return int(next(iter(points[0]["values"].values()))) if points else 0

    def has(self, trace_id: str) -> bool:
        found = self._quietly(lambda: self.ask(f"/api/3.0/mlflow/traces/get?trace_id=tr-{trace_id}"))
        return bool(found and "trace" in found)


class Phoenix(Server):
    """``phoenix serve`` as it starts by itself: its own SQLite database."""

    name = "phoenix"

    def __init__(self, folder: Path, venv: Path) -> None:
        super().__init__(folder)
        self._venv, self._grpc = venv, _free_port()

    def command(self) -> list[str]:
        return [str(self._venv / "bin" / "phoenix"), "serve"]

    def environment(self) -> dict[str, str]:
        return {
            "PHOENIX_PORT": str(self.port), "PHOENIX_GRPC_PORT": str(self._grpc), "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_WORKING_DIR": str(self.folder), "PHOENIX_TELEMETRY_ENABLED": "false",
        }  # fmt: skip

    def healthy(self) -> bool:
        with urllib.request.urlopen(self.url + "/healthz", timeout=5) as answer:
            return answer.status == 200

    def count(self) -> int:
        projects = self.ask("/graphql", {"query": "{projects{edges{node{name recordCount}}}}"})["data"]["projects"]
        return sum(edge["node"]["recordCount"] for edge in projects["edges"])

    def has(self, trace_id: str) -> bool:
        query = "query($t:String!){getTraceByOtelId(traceId:$t){numSpans}}"
        found = self.ask("/graphql", {"query": query, "variables": {"t": trace_id}})["data"]["getTraceByOtelId"]
        return bool(found and found["numSpans"] >= 6)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
