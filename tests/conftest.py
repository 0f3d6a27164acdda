"""What every test gets: no way to the outside, and a real server when it asks for one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow and not wrong: no property fails for the time that its examples take. The examples follow from
# the test's own code, so that a red run speaks of the change; `pytest --hypothesis-profile=search` looks for new ones.
_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("trimtab", _CALM, derandomize=True, database=None)
settings.register_profile("search", _CALM, print_blob=True)
settings.load_profile("trimtab")

pytest_plugins = ["servers"]

_LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def _no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that would reach another machine fails instead."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
            raise AssertionError(f"a test tried to reach {address[0]}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """``trimtab up`` as a process of its own."""

    data: Path
    config: Path | None = None
    env: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    key: str = ""

    def __post_init__(self) -> None:
        self.port = free_port()
        self.log = self.data.parent / f"{self.data.name}.log"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "trimtab", "up", "--port", str(self.port), "--data", str(self.data)]
        command += ["--config", str(self.config)] if self.config else []
        said = self.log.read_text().count("Trimtab is up") if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
                cwd=self.data.parent,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while not (self._answers() and self.log.read_text().count("Trimtab is up") > said):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.03)
        if not self.key:
            words = self.log.read_text().split("shown this once: ")
            self.key = words[1].split()[0] if len(words) > 1 else self.env.get("TRIMTAB_ADMIN_KEY", "")

    def kill(self) -> None:
        """As a power cut would: no chance to write anything."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and the body (decoded when it is JSON)."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", "authorization": f"Bearer {self.key}", **(headers or {})}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, _lower(answer.headers), _body(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _lower(error.headers), _body(error.read())

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _body(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start servers; all of them end with the test."""
    started: list[Running] = []

    def start(**options: Any) -> Running:
        running = Running(data=options.pop("data", tmp_path / "data"), **options)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
