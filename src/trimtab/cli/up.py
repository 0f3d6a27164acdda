"""``trimtab up``."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import click
import uvloop

from trimtab.config import Config, environment, load
from trimtab.web import Server, listen
from trimtab.wiring import build


@click.command(
    "up",
    epilog="\b\nExamples:\n  trimtab up\n  trimtab up --config trimtab.yaml --data /var/lib/trimtab\n"
    "  TRIMTAB_ADMIN_KEY=... trimtab up --host 0.0.0.0",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=4100, show_default=True)
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=Path("trimtab-data"), show_default=True
)
@click.option(
    "--config", "path", type=click.Path(dir_okay=False, path_type=Path), help="trimtab.yaml, if there is one here."
)
def command(host: str, port: int, data: Path, path: Path | None) -> None:
    """Start the server: gateway, API and UI, on an embedded store in one folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    found = path or (Path("trimtab.yaml") if Path("trimtab.yaml").exists() else None)
    config = load(found, environment(), host=host, port=port, data=data)
    uvloop.run(_serve(config, found))


async def _serve(config: Config, file: Path | None) -> None:
    listener = listen(config.host, config.port)
    try:
        house = await build(config)
    # house: except because the socket must be closed whatever stopped the build
    except BaseException:
        listener.close()
        raise
    server = Server(house, listener)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await server.start()
        shown = "127.0.0.1" if config.loopback else config.host
        click.echo(f"Trimtab is up: http://{shown}:{config.port}   data: {config.data}   config: {file or 'defaults'}")
        if house.first_key:
            click.echo(f"Admin key, shown this once: {house.first_key}")
        await stopped.wait()
        click.echo("Stopping: finishing running requests, committing what is queued ...")
    finally:
        await server.stop()
        await house.close()
