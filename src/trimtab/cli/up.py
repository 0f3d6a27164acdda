"""``trimtab up``."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import uvloop

from trimtab.config import Config, environment, load
from trimtab.core import ConfigError
from trimtab.web import DRAIN_S, Server, application, listen, worker_application
from trimtab.wiring import House, build, build_worker
from trimtab.wiring.loop_lag import rest_collector
from trimtab.workers import PAGES, Supervisor, socket_path

#: Seconds within which gateway processes must have come up.
START_S = 30


@click.command(
    "up",
    epilog="\b\nExamples:\n  trimtab up\n  trimtab up --config trimtab.yaml --data /var/lib/trimtab\n"
    "  trimtab up --workers 4\n  TRIMTAB_ADMIN_KEY=... trimtab up --host 0.0.0.0",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=4100, show_default=True)
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=Path("trimtab-data"), show_default=True
)
@click.option(
    "--config", "path", type=click.Path(dir_okay=False, path_type=Path), help="trimtab.yaml, if there is one here."
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Gateway processes.")
@click.option(
    "--role",
    type=click.Choice(["all", "gateway", "control", "chores"]),
    default="all",
    show_default=True,
    help="What this process does; gateway attaches to a control process on the same data folder.",
)
@click.option("--fd", type=int, default=-1, hidden=True)
def command(host: str, port: int, data: Path, path: Path | None, workers: int, role: str, fd: int) -> None:
    """Start the server: gateway, API and UI, on an embedded store in one folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    found = path or (Path("trimtab.yaml") if Path("trimtab.yaml").exists() else None)
    config = load(found, environment(), host=host, port=port, data=data)
    serve = _serve_workers if role == "all" and workers > 1 else ROLES[role]
    uvloop.run(serve(Run(config=config, file=found, workers=workers, fd=fd)))


@dataclass(frozen=True, kw_only=True)
class Run:
    """How to run: with which file, how many gateway processes, and the listening socket that was handed over."""

    config: Config
    file: Path | None
    workers: int = 1
    fd: int = -1


async def _serve(run: Run) -> None:
    """Everything in one process."""
    stopped = _signals()
    listener = listen(run.config.host, run.config.port)
    house = await _built(run, listener)
    server = Server(house, listener)
    try:
        await server.start()
        await house.open_grpc()
        _announce(run, house)
        await _until(stopped)
    finally:
        await server.stop()
        await house.close()


async def _serve_control(run: Run) -> None:
    """Pages, API, telemetry and chores here; models in gateway processes that are started elsewhere."""
    stopped = _signals()
    listener = listen(run.config.host, run.config.port)
    house = await _built(run, listener)
    server = Server(application(house, models=False), listener)
    try:
        await house.open_line()
        await server.start()
        await house.open_grpc()
        _announce(run, house)
        await _until(stopped)
    finally:
        await server.stop()
        await house.close()


async def _serve_chores(run: Run) -> None:
    """Only what reads the store afterwards: scores, monitors, incidents, rollouts."""
    stopped = _signals()
    house = await build(run.config)
    try:
        click.echo(f"Trimtab is up, chores only: data: {run.config.data}   config: {run.file or 'defaults'}")
        await _until(stopped)
    finally:
        await house.close()


async def _serve_workers(run: Run) -> None:
    """Gateway processes on one listening socket, and this process behind them."""
    stopped = _signals()
    listener = listen(run.config.host, run.config.port)
    house = await _built(run, listener)
    pages = Server(application(house, models=False), socket_path(run.config.data, PAGES))
    supervisor = Supervisor(_command(run, listener.fileno()), fd=listener.fileno(), workers=run.workers)
    try:
        await house.open_line()
        await pages.start()
        await house.open_grpc()
        supervisor.start()
        await _come_up(house, run.workers, stopped)
        _announce(run, house, f"   workers: {run.workers}")
        await _until(stopped)
    finally:
        await supervisor.stop(DRAIN_S + 5)
        await pages.stop()
        await house.close()
        listener.close()


async def _serve_gateway(run: Run) -> None:
    """One gateway process: a worker of the process that started it, or one that attaches to a control process."""
    child = run.fd >= 0
    stopped = _signals(child=child)
    listener = socket.socket(fileno=run.fd) if child else listen(run.config.host, run.config.port)
    try:
        house = await build_worker(run.config, workers=run.workers)
    # house: except because the socket must be closed whatever stopped the build
    except BaseException:
        listener.close()
        raise
    pages = socket_path(run.config.data, PAGES) if child else None
    server = Server(worker_application(house, pages), listener)
    try:
        await server.start()
        house.ready()
        rest_collector()
        if not child:
            click.echo(f"Trimtab is up, models only: {_address(run.config)}   control: {run.config.data}")
        lost = asyncio.ensure_future(house.link.lost.wait())
        told = asyncio.ensure_future(stopped.wait())
        await asyncio.wait([lost, told], return_when=asyncio.FIRST_COMPLETED)
        for waiting in (lost, told):
            waiting.cancel()
    finally:
        await server.stop()
        await house.close()


async def _built(run: Run, listener: socket.socket) -> House:
    try:
        return await build(run.config, workers=run.workers)
    # house: except because the socket must be closed whatever stopped the build
    except BaseException:
        listener.close()
        raise


async def _come_up(house: House, workers: int, stopped: asyncio.Event) -> None:
    """Until all workers accept requests, or somebody asks to stop."""
    assert house.board is not None
    ready = asyncio.ensure_future(house.board.ready(workers))
    told = asyncio.ensure_future(stopped.wait())
    done, _ = await asyncio.wait([ready, told], timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
    for waiting in (ready, told):
        waiting.cancel()
    if not done:
        raise ConfigError(
            f"{workers} gateway processes did not come up within {START_S} s.",
            field="--workers",
            mend="The lines above say why; try --workers 1.",
        )


def _signals(*, child: bool = False) -> asyncio.Event:
    """Set when a signal asks to stop. A worker hears only its control process, not the terminal."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGINT, (lambda: None) if child else stopped.set)
    return stopped


async def _until(stopped: asyncio.Event) -> None:
    await stopped.wait()
    click.echo("Stopping: finishing running requests, committing what is queued ...")


def _announce(run: Run, house: House, more: str = "") -> None:
    rest_collector()
    where = f"data: {run.config.data}   config: {run.file or 'defaults'}"
    click.echo(f"Trimtab is up: {_address(run.config)}   {where}{more}")
    if house.first_key:
        click.echo(f"Admin key, shown this once: {house.first_key}")


def _address(config: Config) -> str:
    return f"http://{'127.0.0.1' if config.loopback else config.host}:{config.port}"


def _command(run: Run, fd: int) -> list[str]:
    """How a worker is started: as this process was, in another role."""
    config = run.config
    given = {
        "--role": "gateway", "--host": config.host, "--port": config.port, "--data": config.data.absolute(),
        "--workers": run.workers, "--fd": fd,
    }  # fmt: skip
    if run.file is not None:
        given["--config"] = run.file.absolute()
    return [sys.executable, "-m", "trimtab", "up", *(str(part) for pair in given.items() for part in pair)]


ROLES: dict[str, Callable[[Run], Coroutine[Any, Any, None]]] = {
    "all": _serve,
    "gateway": _serve_gateway,
    "control": _serve_control,
    "chores": _serve_chores,
}
