"""``trimtab probe``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from .listing import json_option, moment, show_fields, show_json, show_table
from .remote import Remote, server_options

#: Seconds between two looks while a run is waited for, and how long it is waited for at most.
_LOOK_S, _WAIT_S = 0.5, 330.0


@click.group("probe", epilog="\b\nExamples:\n  trimtab probe list\n  trimtab probe run guard-attacks --by mara")
def command() -> None:
    """Questions that Trimtab asks by itself: of vendors, the guard, corpora and judges."""


@command.command("list", epilog="Example:  trimtab probe list --json")
@json_option
@server_options
def listing(remote: Remote, as_json: bool) -> None:
    """The probes, those in alarm first."""
    rows = remote.get("/api/probes")["probes"]
    if as_json:
        show_json(rows)
        return
    shown = [
        {**row, "what": row["target"] or row["kind"], "spent": _spent(row), "next": moment(row["next_ns"]),
         "last": moment((row["last"] or {}).get("started_ns"))}
        for row in rows
    ]  # fmt: skip
    columns = {
        "name": "PROBE", "layer": "LAYER", "state": "STATE", "last": "LAST RUN", "next": "NEXT RUN", "spent": "TODAY",
        "owner": "OWNER", "what": "LOOKS AT",
    }  # fmt: skip
    show_table(shown, columns, empty="No probe is declared. Add one under probes: in trimtab.yaml; see docs/probes.md.")


@command.command(
    "show", epilog="\b\nExamples:\n  trimtab probe show guard-attacks\n  trimtab probe show gpt --limit 5 --json"
)
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="Runs at most.")
@json_option
@server_options
def show(remote: Remote, name: str, limit: int, as_json: bool) -> None:
    """One probe: how it stands, what it may cost, its newest runs."""
    found = remote.get(f"/api/probes/{quote(name, safe='')}", limit=limit)
    if as_json:
        show_json(found)
        return
    show_fields({
        "probe": found["name"], "kind": found["kind"], "state": found["state"], "why": found["asleep"],
        "looks at": found["target"], "cases": found["dataset"], "every": f"{found['every_s']:g} s",
        "next run": moment(found["next_ns"]), "spent today": _spent(found), "owner": found["owner"],
        "alarm": found["action"], "incident": found["incident"] or "", "runbook": found["runbook"],
    })  # fmt: skip
    click.echo()
    runs = [{**run, "at": moment(run["started_ns"]), "is": _outcome(run)} for run in found["runs"]]
    columns = {"at": "TIME", "is": "OUTCOME", "value": found["value"].upper(), "calls": "CALLS", "text": "WHAT"}
    show_table(runs, columns, empty="It has not run yet.")


@command.command(
    "run", epilog="\b\nExamples:\n  trimtab probe run guard-attacks --by mara\n  trimtab probe run gpt --no-wait --json"
)
@click.argument("name")
@click.option("--by", default="", help="Who you are.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for its end.")
@json_option
@server_options
@click.pass_context
def run(ctx: click.Context, remote: Remote, name: str, by: str, wait: bool, as_json: bool) -> None:
    """Run a probe now. Exit status 1 when it raises an alarm, 2 when it failed or could not tell."""
    path = f"/api/probes/{quote(name, safe='')}"
    begun = remote.post(f"{path}/run", {"actor": by})
    until = time.monotonic() + _WAIT_S
    while wait and begun["state"] == "running" and time.monotonic() < until:
        time.sleep(_LOOK_S)
        begun = next((one for one in remote.get(path, limit=20)["runs"] if one["id"] == begun["id"]), begun)
    if as_json:
        show_json(begun)
    else:
        click.echo(f"{name}: {_outcome(begun)}. {begun['text']}".rstrip())
    if wait and begun["verdict"] == "alarm":
        ctx.exit(1)
    if wait and (begun["state"] != "done" or begun["verdict"] == "unknown"):
        ctx.exit(2)


@command.command("accept", epilog="Example:  trimtab probe accept gpt --by mara")
@click.argument("name")
@click.option("--by", required=True, help="Who you are.")
@server_options
def accept(remote: Remote, name: str, by: str) -> None:
    """Take the present state for usual: the reference is made anew, and the probe's incident is resolved."""
    remote.post(f"/api/probes/{quote(name, safe='')}/accept", {"actor": by})
    click.echo(f"{name}: the next run makes a new reference.")


def _outcome(run: Mapping[str, Any]) -> str:
    return str(run["verdict"] or run["state"])


def _spent(row: Mapping[str, Any]) -> str:
    budget, spent = row["budget"], row["spent"]
    if budget["usd"] is None and budget["calls"] is None:
        return "no budget" if row["kind"] in ("vendor", "judge") else "free"
    parts = [f"{spent['calls']} of {budget['calls']} calls"] if budget["calls"] is not None else []
    parts += [f"${spent['usd']:.4f} of ${budget['usd']:g}"] if budget["usd"] is not None else []
    return ", ".join(parts)
