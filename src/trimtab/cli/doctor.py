"""``trimtab doctor``."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from trimtab.config import Config, environment, load
from trimtab.core import TrimtabError
from trimtab.store import ENGINE_VERSION, DataFolder
from trimtab.web import listen

from .listing import json_option, show_json

FREE_BYTES = 1 << 30
SYNC_TRIES, SLOW_SYNC_MS = 20, 50.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: ``state`` is ok, warn or bad; ``mend`` says what to do about it."""

    check: str
    state: str
    found: str
    mend: str = ""


@click.command("doctor", epilog="\b\nExamples:\n  trimtab doctor\n  trimtab doctor --config trimtab.yaml --json")
@click.option("--config", "path", type=click.Path(dir_okay=False, path_type=Path), help="The trimtab.yaml to check.")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=Path("trimtab-data"), show_default=True
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=4100, show_default=True)
@json_option
def command(path: Path | None, data: Path, host: str, port: int, as_json: bool) -> None:
    """Check this machine, the configuration and the store, and say how to mend what is wrong."""
    findings = list(examine(path, data, host, port, environment()))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            glyph = {"ok": "✓", "warn": "?", "bad": "✕"}[finding.state]
            click.echo(f"{glyph} {finding.check:<14} {finding.found}")
            if finding.mend:
                click.echo(f"  {'':<14} {finding.mend}")
    if any(finding.state == "bad" for finding in findings):
        sys.exit(1)


def examine(path: Path | None, data: Path, host: str, port: int, env: Mapping[str, str]) -> Iterator[Finding]:
    """Every check, in the order in which a start would meet it."""
    yield Finding(check="python", state="ok", found=f"{platform.python_version()} on {platform.system()}")
    yield Finding(check="sqlite", state="ok", found=ENGINE_VERSION)
    found = path or (Path("trimtab.yaml") if Path("trimtab.yaml").exists() else None)
    yield _try("config", lambda: _config(load(found, env, host=host, port=port, data=data), found))
    yield _try("data folder", lambda: _folder(data))
    yield _space(data)
    yield _sync(data)
    yield _try("port", lambda: _port(host, port))


def _try(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check=check, state="ok", found=look())
    except TrimtabError as error:
        return Finding(check=check, state="bad", found=error.message, mend=error.mend)
    except OSError as error:
        return Finding(check=check, state="bad", found=str(error), mend="Check the path and its permissions.")


def _config(config: Config, path: Path | None) -> str:
    where = str(path) if path else "defaults (no trimtab.yaml here)"
    return f"{where}: {len(config.providers)} providers, {len(config.routes)} routes"


def _folder(data: Path) -> str:
    if not data.exists():
        return f"{data} will be made"
    DataFolder.open(data).close()
    return f"{data} is free to use"


def _port(host: str, port: int) -> str:
    listen(host, port).close()
    return f"{port} on {host} is free"


def _space(data: Path) -> Finding:
    free = shutil.disk_usage(_existing(data)).free
    low = free < FREE_BYTES
    return Finding(
        check="disk",
        state="warn" if low else "ok",
        found=f"{free / 1e9:.1f} GB free",
        mend="A million spans take about 0.7 GB." if low else "",
    )


def _sync(data: Path) -> Finding:
    """The median time of a small durable write: what every acknowledged batch waits for."""
    times = []
    with tempfile.NamedTemporaryFile(dir=_existing(data)) as file:
        for _ in range(SYNC_TRIES):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - started) * 1e3)
    median = statistics.median(times)
    slow = median > SLOW_SYNC_MS
    return Finding(
        check="durable write",
        state="warn" if slow else "ok",
        found=f"{median:.1f} ms (median of {SYNC_TRIES})",
        mend="Spans are acknowledged after such a write; a faster disk makes ingestion faster." if slow else "",
    )


def _existing(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
