"""``trimtab incident``."""

from __future__ import annotations

from urllib.parse import quote

import click

from .listing import json_option, moment, show_fields, show_json, show_table
from .remote import Remote, server_options


@click.group("incident", epilog="\b\nExamples:\n  trimtab incident list\n  trimtab incident rollback 3 --by jonas")
def command() -> None:
    """Read, acknowledge, roll back and close incidents."""


@command.command("list", epilog="Example:  trimtab incident list --state open --json")
@click.option("--state", default="", help="open, acknowledged, mitigated, resolved or closed.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@json_option
@server_options
def listing(remote: Remote, state: str, limit: int, as_json: bool) -> None:
    """Incidents, open ones first."""
    rows = remote.get("/api/incidents", state=state, limit=limit)["incidents"]
    if as_json:
        show_json(rows)
        return
    shown = [{**row, "opened": moment(row["opened_ns"])} for row in rows]
    columns = {"id": "ID", "state": "STATE", "layer": "LAYER", "title": "WHAT", "owner": "OWNER", "opened": "OPENED"}
    show_table(shown, columns, empty="No incidents. Nothing has fallen out of its usual range.")


@command.command("show", epilog="Example:  trimtab incident show 3")
@click.argument("incident_id", type=int)
@json_option
@server_options
def show(remote: Remote, incident_id: int, as_json: bool) -> None:
    """One incident: cause, evidence, timeline."""
    found = remote.get(f"/api/incidents/{incident_id}")
    if as_json:
        show_json(found)
        return
    report = found.get("report") or {}
    cause = report.get("cause") or {}
    show_fields({
        "incident": found["id"], "what": found["title"], "state": found["state"], "owner": found["owner"],
        "layer": found["layer"], "cause": cause.get("title"), "certainty": report.get("certainty"),
        "cases": f"{found['cases']} in datasets:/{found['dataset']}" if found["cases"] else "",
    })  # fmt: skip
    click.echo()
    events = [{**event, "at": moment(event["time_ns"])} for event in found["events"]]
    show_table(events, {"at": "TIME", "actor": "WHO", "text": "WHAT"}, empty="")


@command.command("acknowledge", epilog="Example:  trimtab incident acknowledge 3 --by jonas")
@click.argument("incident_id", type=int)
@click.option("--by", required=True, help="Who you are.")
@server_options
def acknowledge(remote: Remote, incident_id: int, by: str) -> None:
    """Say that you are on it."""
    remote.post(f"/api/incidents/{incident_id}/acknowledge", {"actor": by})
    click.echo(f"Incident {incident_id}: acknowledged by {by}.")


@command.command("rollback", epilog="Example:  trimtab incident rollback 3 --by jonas")
@click.argument("incident_id", type=int)
@click.option("--by", required=True, help="Who you are.")
@server_options
def rollback(remote: Remote, incident_id: int, by: str) -> None:
    """Take the blamed change back."""
    remote.post(f"/api/incidents/{incident_id}/rollback", {"actor": by})
    click.echo(f"Incident {incident_id}: rolled back.")


@command.command("close", epilog="Example:  trimtab incident close 3 --by jonas --lesson 'Keep the citation rule.'")
@click.argument("incident_id", type=int)
@click.option("--by", required=True, help="Who you are.")
@click.option("--lesson", required=True, help="What was learnt.")
@click.option("--reason", default="", help="Why it may close without regression cases, if it has none.")
@server_options
def close(remote: Remote, incident_id: int, by: str, lesson: str, reason: str) -> None:
    """Close it; its failing cases must be in a dataset, or a reason given."""
    remote.post(f"/api/incidents/{incident_id}/close", {"actor": by, "lesson": lesson, "reason": reason})
    click.echo(f"Incident {incident_id}: closed.")


@command.command(
    "channels", epilog="\b\nExamples:\n  trimtab incident channels\n  trimtab incident channels --test night"
)
@click.option("--test", default="", metavar="NAME", help="Send a test by this channel.")
@json_option
@server_options
def channels(remote: Remote, test: str, as_json: bool) -> None:
    """How people are told of incidents: channels, people, who is told next."""
    if test:
        said = remote.post(f"/api/channels/{quote(test, safe='')}/test", {})["said"]
        click.echo(f"{test}: {said}.")
        return
    found = remote.get("/api/channels")
    if as_json:
        show_json(found)
        return
    shown = [{**row, "to": ", ".join(row["to"])} for row in found["channels"]]
    show_table(
        shown,
        {"name": "NAME", "kind": "KIND", "host": "HOST", "to": "TO"},
        empty="No channels. Name one under notify.channels in trimtab.yaml, or nobody hears of incidents at night.",
    )
    if found["people"]:
        click.echo()
        people = [{**row, "by": ", ".join(row["channels"])} for row in found["people"]]
        show_table(people, {"name": "WHO", "by": "CHANNELS", "quiet": "QUIET HOURS", "next": "THEN"}, empty="")


@command.command("notices", epilog="Example:  trimtab incident notices --json")
@json_option
@server_options
def notices(remote: Remote, as_json: bool) -> None:
    """The newest notices, and whether they arrived."""
    rows = remote.get("/api/notices")["notices"]
    if as_json:
        show_json(rows)
        return
    shown = [
        {**row, "due": moment(row["due_ns"]), "is": row["error"] or ("sent" if row["done_ns"] else "waits")}
        for row in rows
    ]
    columns = {
        "incident": "INCIDENT", "phase": "PHASE", "channel": "CHANNEL", "owner": "WHO", "due": "DUE", "is": "STATE",
    }  # fmt: skip
    show_table(shown, columns, empty="No notices yet.")
