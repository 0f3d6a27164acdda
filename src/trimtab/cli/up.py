"""``trimtab up``."""

from __future__ import annotations

import asyncio
import logging
import os
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
from trimtab.core import ConfigError, TrimtabError
from trimtab.web import DRAIN_S, Server, application, listen, worker_application
from trimtab.wiring import House, build, build_worker
from trimtab.wiring.loop_lag import rest_collector
from trimtab.wiring.reloading import take_over, take_over_models
from trimtab.workers import PAGES, Supervisor, socket_path

from .stopping import Stopping

log = logging.getLogger("trimtab.config")

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
@click.option(
    "--drain",
    type=click.IntRange(0, 3600),
    default=DRAIN_S,
    show_default=True,
    help="Seconds that running requests have to finish at the end.",
)
@click.option("--fd", type=int, default=-1, hidden=True)
def command(path: Path | None, workers: int, role: str, drain: int, fd: int, **where: Any) -> None:
    """Start the server: gateway, API and UI, on an embedded store in one folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    found = path or (Path("trimtab.yaml") if Path("trimtab.yaml").exists() else None)
    config = load(found, environment(), **where)
    serve = _serve_workers if role == "all" and workers > 1 else ROLES[role]
    uvloop.run(serve(Run(config=config, file=found, workers=workers, drain=drain, fd=fd)))


@dataclass(frozen=True, kw_only=True)
class Run:
    """How to run: with which file, how many gateway processes, how many seconds for what runs at the end, and the
    listening socket that was handed over."""

    config: Config
    file: Path | None
    workers: int = 1
    drain: int = DRAIN_S
    fd: int = -1


async def _serve(run: Run) -> None:
    """Everything in one process."""
    stopping = Stopping()
    reloading = Reloading(run, stopping.stopped)
    listener = listen(run.config.host, run.config.port)
    house = await _built(run, listener)
    server = Server(house, listener, drain_s=run.drain)
    stopping.hurry(server.hurry)
    try:
        await server.start()
        await house.open_grpc()
        _announce(run, house)
        reloading.start(lambda config: take_over(house, config))
        await _until(stopping.stopped)
    finally:
        await server.stop()
        await house.close()


async def _serve_control(run: Run) -> None:
    """Pages, API, telemetry and chores here; models in gateway processes that are started elsewhere."""
    stopping = Stopping()
    reloading = Reloading(run, stopping.stopped)
    listener = listen(run.config.host, run.config.port)
    house = await _built(run, listener)
    server = Server(application(house, models=False), listener, drain_s=run.drain)
    stopping.hurry(server.hurry)
    try:
        await house.open_line()
        await server.start()
        await house.open_grpc()
        _announce(run, house)
        reloading.start(lambda config: take_over(house, config))
        await _until(stopping.stopped)
    finally:
        await server.stop()
        await house.close()


async def _serve_chores(run: Run) -> None:
    """Only what reads the store afterwards: scores, monitors, incidents, rollouts."""
    stopping = Stopping()
    reloading = Reloading(run, stopping.stopped)
    house = await build(run.config)
    try:
        click.echo(f"Trimtab is up, chores only: data: {run.config.data}   config: {run.file or 'defaults'}")
        reloading.start(lambda config: take_over(house, config))
        await _until(stopping.stopped)
    finally:
        await house.close()


async def _serve_workers(run: Run) -> None:
    """Gateway processes on one listening socket, and this process behind them."""
    stopping = Stopping()
    reloading = Reloading(run, stopping.stopped)
    listener = listen(run.config.host, run.config.port)
    house = await _built(run, listener)
    pages = Server(application(house, models=False), socket_path(run.config.data, PAGES))
    supervisor = Supervisor(_command(run, listener.fileno()), fd=listener.fileno(), workers=run.workers)
    stopping.hurry(supervisor.hurry)
    stopping.hurry(pages.hurry)
    try:
        await house.open_line()
        await pages.start()
        await house.open_grpc()
        supervisor.start()
        await _come_up(house, run.workers, stopping.stopped)
        _announce(run, house, f"   workers: {run.workers}")

        async def together(config: Config) -> None:
            try:
                await take_over(house, config)
            finally:  # what went wrong came after what the workers take over, or goes wrong there as well
                supervisor.hang_up()

        reloading.start(together)
        await _until(stopping.stopped)
    finally:
        listener.close()  # as long as it is open here, who connects waits for nobody
        await supervisor.stop(run.drain + 5)
        await pages.stop()
        await house.close()


async def _serve_gateway(run: Run) -> None:
    """One gateway process: a worker of the process that started it, or one that attaches to a control process."""
    child = run.fd >= 0
    stopping = Stopping(child=child)
    reloading = Reloading(run, stopping.stopped)
    listener = socket.socket(fileno=run.fd) if child else listen(run.config.host, run.config.port)
    try:
        house = await build_worker(run.config, workers=run.workers)
    # house: except because the socket must be closed whatever stopped the build
    except BaseException:
        listener.close()
        raise
    pages = socket_path(run.config.data, PAGES) if child else None
    server = Server(worker_application(house, pages), listener, drain_s=run.drain)
    stopping.hurry(server.hurry)

    async def models(config: Config) -> None:
        take_over_models(config, house.providers, house.gateway)

    try:
        await server.start()
        reloading.start(models)
        house.ready()
        rest_collector()
        if not child:
            click.echo(f"Trimtab is up, models only: {_address(run.config)}   control: {run.config.data}")
        lost = asyncio.ensure_future(house.link.lost.wait())
        told = asyncio.ensure_future(stopping.stopped.wait())
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


async def _until(stopped: asyncio.Event) -> None:
    await stopped.wait()
    click.echo("Stopping: finishing running requests, committing what is queued ...")


class Reloading:
    """Reads the configuration again at SIGHUP. One that is wrong changes nothing.

    It listens from the moment it is made: who asks while the server starts is not killed, and served once it has.
    A terminal that is closed sends the same signal; then the server stops, as any program does.
    """

    def __init__(self, run: Run, stopped: asyncio.Event) -> None:
        self._run = run
        self._stopped = stopped
        self._on_terminal = os.isatty(0)
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hung_up)

    def start(self, take: Callable[[Config], Coroutine[Any, Any, None]]) -> None:
        """Hand what is read to ``take``."""
        self._task = asyncio.create_task(self._for_ever(take), name="trimtab-reload")

    def _hung_up(self) -> None:
        if self._on_terminal and not os.isatty(0):
            self._stopped.set()
        else:
            self._asked.set()

    async def _for_ever(self, take: Callable[[Config], Coroutine[Any, Any, None]]) -> None:
        given = self._run.config
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                config = await asyncio.to_thread(
                    load, self._run.file, environment(), host=given.host, port=given.port, data=given.data
                )
                await take(config)
            except (TrimtabError, OSError) as error:
                log.error("The configuration was not taken over, or not all of it; the last one goes on: %s", error)
            except Exception as error:  # house: except because the next SIGHUP must be heard, whatever went wrong
                log.error("The configuration was not taken over: %s.", type(error).__name__)


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
        "--workers": run.workers, "--drain": run.drain, "--fd": fd,
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
