"""``trimtab trace copy``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trimtab.config import environment
from trimtab.core import BadInput, Conflict, now_ns

if TYPE_CHECKING:
    from trimtab.store.copying import Difference, Progress

_DAY_NS = 86_400 * 10**9
#: Differences that are printed; there may be one for every figure of every day.
_SHOWN = 20
_EXAMPLES = (
    "\b\nExamples:\n  trimtab trace copy --from sqlite:trimtab-data --to env:TRIMTAB_SPANS_URL\n"
    "  trimtab trace copy --from sqlite:trimtab-data --to clickhouse://trimtab@ch.internal:8123/trimtab --since 30d"
)


@click.command("copy", epilog=_EXAMPLES)
@click.option("--from", "source", required=True, help="sqlite:DATA_FOLDER, a URL, or env:NAME of one.")
@click.option("--to", "target", required=True, help="postgresql://, clickhouse:// or sqlite:FOLDER; env:NAME of one.")
@click.option("--since", default="", help="Only from this day (UTC) on: so long ago (30d) or 2026-11-01.")
@click.option(
    "--progress",
    "kept",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("trimtab-copy.json"),
    show_default=True,
    help="Where it is noted how far the copy came; deleted when it is complete.",
)
def copy(source: str, target: str, since: str, kept: Path) -> None:
    """Move all spans and scores into another span store, and compare the two by day.

    Stopped and started again it goes on where it was; rows that are there already are not written twice. Exit status 1
    says that the stores differ, 2 that nobody can tell, because a server was writing to the source.
    """
    came, goes, since_ns = _address(source, "--from"), _address(target, "--to"), _since(since)
    if came == goes:
        raise BadInput("is the store that is copied from.", field="--to", mend="Name another store.")
    with _held(came) as alone:
        differences, progress = asyncio.run(_copy(came, goes, since_ns, kept))
    _tell(progress, differences, alone)


async def _copy(source: str, target: str, since_ns: int, kept: Path) -> tuple[list[Difference], Progress]:
    # house: import because the other commands of this group talk to a server and need no database
    from trimtab.store import open_spans

    # house: import because of the same
    from trimtab.store.copying import ArrivalClock, Copy, ProgressFile

    clock = ArrivalClock(real=now_ns)
    file = ProgressFile(kept, source, target, since_ns)
    with (
        contextlib.closing(await asyncio.to_thread(open_spans, source, Path())) as old,
        contextlib.closing(await asyncio.to_thread(lambda: open_spans(target, Path(), clock=clock))) as new,
    ):
        work = Copy(old, new, clock, since_ns=since_ns)
        progress = file.read()
        done = sum(day.spans for day in progress.days.values())
        with click.progressbar(length=max(await work.total(), done), label="Spans", file=sys.stderr) as bar:
            bar.update(done)

            def keep(now: Progress, moved: int) -> None:
                file.write(now)
                bar.update(moved)

            await work.run(progress, keep)
        differences = await work.differences(progress)
    if not differences:
        file.forget()
    return differences, progress


@contextlib.contextmanager
def _held(source: str) -> Iterator[bool]:
    """Keep a data folder from changing meanwhile; False where a server is writing to it, or to a server's store."""
    folder = Path(source.removeprefix("sqlite:")).parent
    if not source.startswith("sqlite:") or not (folder / "lock").exists():
        yield True
        return
    # house: import because of the same
    from trimtab.store import DataFolder

    try:
        lock = DataFolder.open(folder)
    except Conflict:
        yield False
        return
    with lock:
        yield True


def _tell(progress: Progress, differences: list[Difference], alone: bool) -> None:
    spans = sum(day.spans for day in progress.days.values())
    scores = sum(day.scores for day in progress.days.values())
    cost = sum(day.cost_usd for day in progress.days.values())
    tokens = sum(day.input_tokens + day.output_tokens for day in progress.days.values())
    days = len(progress.days)
    click.echo(f"{spans:,} spans and {scores:,} scores of {days} days: {cost:,.2f} USD, {tokens:,} tokens.")
    if progress.refused:
        click.echo(f"{progress.refused:,} rows cannot be stored there; the first: {progress.why}", err=True)
    if not alone:
        click.echo("A server is writing to the source. Stop it and run this again to compare the two.", err=True)
        sys.exit(2)
    if not differences:
        click.echo("Both stores say the same of every day.")
        return
    for one in differences[:_SHOWN]:
        day = datetime.fromtimestamp(one.day_ns / 1e9, UTC).date()
        click.echo(f"{day} {one.figure}: {one.source:,} copied, {one.target:,} there", err=True)
    if len(differences) > _SHOWN:
        click.echo(f"and {len(differences) - _SHOWN:,} more differences", err=True)
    sys.exit(1)


def _address(said: str, field: str) -> str:
    """The URL, or the one in the environment; of an embedded store the folder of its spans."""
    if said.startswith("env:"):
        name = said[len("env:") :]
        said = environment().get(name, "")
        if not said:
            raise BadInput(f"the environment has no {name}.", field=field, mend=f"Set {name} first.")
    if not said.startswith("sqlite:"):
        return said
    folder = Path(said[len("sqlite:") :]).expanduser().absolute()
    if not any(folder.glob("spans-*.db")):
        folder /= "spans"
    if said == "sqlite:" or (field == "--from" and not folder.is_dir()):
        raise BadInput("names no span store.", field=field, mend="Write sqlite:FOLDER with a server's data folder.")
    return f"sqlite:{folder}"


def _since(text: str) -> int:
    if not text:
        return 0
    # house: import because of the same
    from trimtab.traces import time_of

    return time_of(text, "--since", now_ns()) // _DAY_NS * _DAY_NS
