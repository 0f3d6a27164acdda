"""``trimtab change``."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from trimtab.core import parse_address

from .listing import json_option, moment, show_json, show_table
from .remote import Remote, server_options

LAYERS = ("model", "knowledge", "prompt", "safety", "operations")


@click.group(
    "change",
    epilog="\b\nExamples:\n  trimtab change list --asset prompts:/answer\n"
    "  trimtab change log 'deployed api 1.4.2' --layer operations\n  trimtab change undo chg_3f9c0a12be --by mara",
)
def command() -> None:
    """Read the change ledger, add to it, undo a change."""


@command.command("list", epilog="Example:  trimtab change list --asset prompts:/answer --json")
@click.option("--asset", default="", help="Only this asset: KIND:/NAME, or KIND:/NAME@LABEL.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@server_options
def listing(remote: Remote, asset: str, limit: int, as_json: bool) -> None:
    """Every move of every asset, newest first."""
    only: dict[str, Any] = {}
    if asset:
        where = parse_address(asset)
        only = {"kind": where.kind, "name": where.name, "label": where.label if "@" in asset else ""}
    rows = remote.get("/api/changes", limit=limit, **only)["changes"]
    if as_json:
        show_json(rows)
        return
    columns = {"id": "ID", "at": "TIME", "action": "ACTION", "what": "WHAT", "move": "MOVE", "share": "SHARE",
               "actor": "WHO", "why": "WHY"}  # fmt: skip
    show_table([_row(row) for row in rows], columns, empty="Nothing has changed yet.")


@command.command("log", epilog="Example:  trimtab change log 'deployed api 1.4.2' --name api --layer operations")
@click.argument("text")
@click.option("--name", default="application", show_default=True, help="What changed.")
@click.option("--layer", type=click.Choice(LAYERS), default="operations", show_default=True)
@click.option("--before", default="", help="What it was before, e.g. 1.4.1.")
@click.option("--after", default="", help="What it is now, e.g. 1.4.2.")
@click.option("--by", default="cli", help="Who you are.")
@server_options
def log(remote: Remote, text: str, name: str, layer: str, before: str, after: str, by: str) -> None:
    """Write down what happened outside of Trimtab, such as a deployment of the application."""
    change = remote.post("/api/changes", {
        "kind": "application", "name": name, "note": text, "layer": layer, "before": before, "after": after,
        "actor": by,
    })  # fmt: skip
    click.echo(change["id"])


@command.command("undo", epilog="Example:  trimtab change undo chg_3f9c0a12be --by mara --note 'answers got longer'")
@click.argument("change_id")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--note", default="", help="Why.")
@server_options
def undo(remote: Remote, change_id: str, by: str, note: str) -> None:
    """Take one change back, or all changes of a group, as long as nothing came after it."""
    done = remote.post(f"/api/changes/{quote(change_id, safe='')}/undo", {"actor": by, "note": note})
    for change in done["changes"]:
        click.echo(move_of(change))
    for text in done["left"]:
        click.echo(text, err=True)


def move_of(change: dict[str, Any]) -> str:
    """A change in one line."""
    what = f"{change['asset']}@{change['label']}" if change["label"] else str(change["asset"])
    share = f" ({change['share'] * 100:g} %)" if change["share"] < 1 else ""
    return f"{what}: {change['before'] or 'new'} -> {change['after']}{share}"


def _row(change: dict[str, Any]) -> dict[str, Any]:
    what = f"{change['asset']}@{change['label']}" if change["label"] else change["asset"]
    move = f"{change['before']} -> {change['after']}" if change["before"] or change["after"] else ""
    override = f" [gate passed over: {change['override']}]" if change["override"] else ""
    return {**change, "at": moment(change["time_ns"]), "what": what, "move": move,
            "share": f"{change['share'] * 100:g} %", "why": change["note"] + override}  # fmt: skip
