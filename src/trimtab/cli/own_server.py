"""A server for the time of one command, where none runs: ``--data`` names the folder that it works on."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import click

from trimtab.core import ConfigError

from .remote import Remote

F = TypeVar("F", bound=Callable[..., Any])

#: Seconds for the start and for the end of the server.
START_S, END_S = 30.0, 15.0


def eval_options(function: F) -> F:
    """Where the server is, or the folder on which to start one; the command gets one ``remote``."""

    @click.option("--server", envvar="TRIMTAB_URL", default="http://127.0.0.1:4100", show_default=True,
                  help="Where the server is.")  # fmt: skip
    @click.option("--key", envvar="TRIMTAB_API_KEY", default="", help="An admin key; not needed on this machine.")
    @click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=None,
                  help="Work on this data folder without a server; none may have it open.")  # fmt: skip
    @click.option("--config", "settings", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None,
                  help="The trimtab.yaml that goes with --data.")  # fmt: skip
    def wrapped(*args: Any, server: str, key: str, data: Path | None, settings: Path | None, **kwargs: Any) -> Any:
        with own_server(data, settings) if data is not None else nullcontext(server) as url:
            return function(*args, remote=Remote(url, key), **kwargs)

    wrapped.__name__ = function.__name__
    wrapped.__doc__ = function.__doc__
    # Carry over the options that were declared under this decorator.
    wrapped.__click_params__ = wrapped.__click_params__ + getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]


@contextmanager
def own_server(data: Path, settings: Path | None) -> Iterator[str]:
    """The address of a server on a folder; it ends with the block. Raises ConfigError with what it said if it does not
    start."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "trimtab", "up", "--host", "127.0.0.1", "--port", str(port), "--data", str(data)]
    command += ["--config", str(settings)] if settings is not None else []
    with TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(process, url, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Any) -> None:
    deadline = time.monotonic() + START_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(f"{url}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines()
    raise ConfigError(
        f"no server could be started on the folder: {said[-1] if said else 'it said nothing'}",
        field="--data",
        mend="Stop the server that has it open, or name its address with --server.",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
