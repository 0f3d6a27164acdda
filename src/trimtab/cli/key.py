"""``trimtab key``."""

from __future__ import annotations

import click

from .listing import json_option, moment, show_json, show_table
from .remote import Remote, server_options


@click.group("key", epilog="\b\nExamples:\n  trimtab key create checkout-bot --owner mara\n  trimtab key list --json")
def command() -> None:
    """Create, list and disable virtual keys."""


@command.command("create", epilog="Example:  trimtab key create checkout-bot --rpm 600")
@click.argument("name")
@click.option("--owner", default="", help="Who answers for it.")
@click.option("--role", type=click.Choice(["admin", "member", "viewer"]), default="member", show_default=True)
@click.option("--rpm", type=click.IntRange(min=1), help="Requests a minute; no limit unless given.")
@click.option("--max-parallel", type=click.IntRange(min=1), help="Requests at one time; no limit unless given.")
@json_option
@server_options
def create(
    remote: Remote, name: str, owner: str, role: str, rpm: int | None, max_parallel: int | None, as_json: bool
) -> None:
    """Make a key. Its secret is shown once and stored only as a hash."""
    limits = {k: v for k, v in (("rpm", rpm), ("max_parallel", max_parallel)) if v is not None}
    made = remote.post("/api/keys", {"name": name, "owner": owner, "role": role, **limits})
    if as_json:
        show_json(made)
        return
    click.echo(made["secret"])
    click.echo("Keep it now: it is not shown again.", err=True)


@command.command("list", epilog="Example:  trimtab key list --json")
@json_option
@server_options
def listing(remote: Remote, as_json: bool) -> None:
    """The keys, without their secrets."""
    rows = remote.get("/api/keys")["keys"]
    if as_json:
        show_json(rows)
        return
    shown = [{**row, "created": moment(row["created_ns"]), "state": "off" if row["disabled"] else "on"} for row in rows]
    columns = {
        "id": "ID", "name": "NAME", "prefix": "STARTS WITH", "role": "ROLE", "owner": "OWNER", "state": "STATE",
        "created": "CREATED",
    }  # fmt: skip
    show_table(shown, columns, empty="No keys yet. Make one with `trimtab key create NAME`.")


@command.command("disable", epilog="Example:  trimtab key disable key_3f9c0a12be")
@click.argument("key_id")
@server_options
def disable(remote: Remote, key_id: str) -> None:
    """Refuse a key from the next request on."""
    remote.post(f"/api/keys/{key_id}/disable", {})
    click.echo(f"{key_id} is off.")
