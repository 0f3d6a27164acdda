"""``trimtab rollback``."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from trimtab.core import BadInput, parse_address

from .change import move_of
from .listing import json_option, show_json
from .remote import Remote, server_options


@click.command(
    "rollback",
    epilog="\b\nExamples:\n  trimtab rollback prompts:/answer --by mara\n  trimtab rollback --at 14:05 --dry-run\n"
    "  trimtab rollback --at 2026-11-25T14:05:00Z --by mara --note 'answers got worse'",
)
@click.argument("asset", default="")
@click.option("--at", default="", help="Everything as it was then: 14:05 (the last one, local) or ISO 8601.")
@click.option("--dry-run", is_flag=True, help="With --at: only say what would be done.")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--note", default="", help="Why.")
@json_option
@server_options
def command(remote: Remote, asset: str, at: str, dry_run: bool, by: str, note: str, as_json: bool) -> None:
    """Take back the last change of an ASSET (KIND:/NAME or KIND:/NAME@LABEL), or everything to a moment in time."""
    if bool(asset) == bool(at):
        raise BadInput("either an asset or a moment is needed.", field="--at", mend="Name KIND:/NAME, or --at 14:05.")
    if asset:
        if dry_run:
            raise BadInput("goes with --at only.", field="--dry-run", mend="Leave it out.")
        where = parse_address(asset)
        if where.number:
            raise BadInput("a number cannot be rolled back.", field="asset", mend="Name the asset or a label of it.")
        change = remote.post(
            "/api/rollback",
            {"kind": where.kind, "name": where.name, "label": where.label, "actor": by, "note": note},
        )
        show_json(change) if as_json else click.echo(move_of(change))
        return
    moment = moment_of(at, datetime.now().astimezone())
    done = remote.post("/api/rollback", {"at": moment.isoformat(), "dry_run": dry_run, "actor": by, "note": note})
    if as_json:
        show_json(done)
        return
    for change in done["changes"]:
        click.echo(("would move " if dry_run else "") + move_of(change))
    for text in done["left"]:
        click.echo(text, err=True)
    if not dry_run:
        click.echo(f"{done['group']}: undo it with `trimtab change undo {done['group']}`", err=True)


def moment_of(text: str, now: datetime) -> datetime:
    """``14:05`` is the last one that has passed; anything else ISO 8601, local where it names no zone."""
    try:
        moment = datetime.fromisoformat(text if "-" in text else f"{now:%Y-%m-%d}T{text}")
    except ValueError:
        raise BadInput(f"{text!r} is no moment.", field="--at", mend="Write 14:05 or 2026-11-25T14:05:00Z.") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
    return moment - timedelta(days=1) if "-" not in text and moment > now else moment
