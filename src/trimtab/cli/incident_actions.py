"""What people do about an incident: ``trimtab incident acknowledge``, ``act``, ``undo``, ``close`` and the rest."""

from __future__ import annotations

import click

from .listing import json_option, show_json, show_table
from .remote import Remote, server_options

_BY = click.option("--by", required=True, help="Who you are.")
_ID = click.argument("incident_id", type=int)


@click.command("acknowledge", epilog="Example:  trimtab incident acknowledge 3 --by jonas")
@_ID
@_BY
@server_options
def acknowledge(remote: Remote, incident_id: int, by: str) -> None:
    """Say that you are on it."""
    found = remote.post(f"/api/incidents/{incident_id}/acknowledge", {"actor": by})
    click.echo(f"Incident {incident_id}: acknowledged by {found['acknowledged_by']}.")


@click.command("rollback", epilog="Example:  trimtab incident rollback 3 --by jonas")
@_ID
@_BY
@server_options
def rollback(remote: Remote, incident_id: int, by: str) -> None:
    """Take the blamed change back."""
    found = remote.post(f"/api/incidents/{incident_id}/rollback", {"actor": by})
    click.echo(f"Incident {incident_id}: {found['deeds'][-1]['text']}.")


@click.command("actions", epilog="Example:  trimtab incident actions 3")
@_ID
@json_option
@server_options
def actions(remote: Remote, incident_id: int, as_json: bool) -> None:
    """What can be done about it now, and why the rest does not apply."""
    found = remote.get(f"/api/incidents/{incident_id}/actions")["actions"]
    if as_json:
        show_json(found)
        return
    rows = [{**offer, "what": offer["text"] or f"does not apply: {offer['reason']}"} for offer in found]
    show_table(rows, {"action": "ACTION", "what": "WHAT IT WOULD DO"}, empty="")


@click.command(
    "act",
    epilog="\b\nExamples:\n  trimtab incident act 3 pause_rollout --by jonas\n"
    "  trimtab incident act 3 switch_route --target support --by jonas\n"
    "  trimtab incident act 3 tighten_guard --target default --to 4 --by jonas",
)
@_ID
@click.argument("action")
@click.option("--target", default="", help="On what, where that is not clear: a route, model, policy or rollout.")
@click.option("--to", default="", help="For a guard: a version of the policy by number, or previous.")
@_BY
@server_options
def act(remote: Remote, incident_id: int, action: str, target: str, to: str, by: str) -> None:
    """Take an action: rollback, pause_rollout, switch_route, pin_model, tighten_guard or relax_guard."""
    body = {"action": action, "actor": by, "target": target, "to": to}
    deed = remote.post(f"/api/incidents/{incident_id}/actions", body)["deeds"][-1]
    click.echo(f"Incident {incident_id}: {deed['text']}.")
    click.echo(f"Take it back with: trimtab incident undo {incident_id} {deed['id']} --by {by}")


@click.command("undo", epilog="Example:  trimtab incident undo 3 --by jonas")
@_ID
@click.argument("deed", default="")
@_BY
@server_options
def undo(remote: Remote, incident_id: int, deed: str, by: str) -> None:
    """Take an action back, exactly; without its id the last one."""
    found = remote.post(f"/api/incidents/{incident_id}/undo", {"deed": deed, "actor": by})
    click.echo(f"Incident {incident_id}: {found['events'][-1]['text']}.")


@click.command("resolve", epilog="Example:  trimtab incident resolve 3 --by jonas --text 'The vendor mended it.'")
@_ID
@_BY
@click.option("--text", required=True, help="How you know that it is over.")
@server_options
def resolve(remote: Remote, incident_id: int, by: str, text: str) -> None:
    """Say that it is over where the machine cannot see it."""
    remote.post(f"/api/incidents/{incident_id}/resolve", {"actor": by, "text": text})
    click.echo(f"Incident {incident_id}: resolved.")


@click.command("note", epilog="Example:  trimtab incident note 3 'Called the vendor.' --by jonas")
@_ID
@click.argument("text")
@_BY
@server_options
def note(remote: Remote, incident_id: int, text: str, by: str) -> None:
    """Add a line to the timeline."""
    remote.post(f"/api/incidents/{incident_id}/notes", {"actor": by, "text": text})
    click.echo(f"Incident {incident_id}: noted.")


@click.command("close", epilog="Example:  trimtab incident close 3 --by jonas --lesson 'Keep the citation rule.'")
@_ID
@_BY
@click.option("--lesson", required=True, help="What was learnt.")
@click.option("--reason", default="", help="Why it may close without regression cases, if it has none.")
@server_options
def close(remote: Remote, incident_id: int, by: str, lesson: str, reason: str) -> None:
    """Close it; its failing cases must be in a dataset, or a reason given."""
    remote.post(f"/api/incidents/{incident_id}/close", {"actor": by, "lesson": lesson, "reason": reason})
    click.echo(f"Incident {incident_id}: closed.")


@click.command(
    "replay",
    epilog="\b\nExamples:\n  trimtab incident replay 3 --by jonas\n  trimtab incident replay 3 --calls 500 --by jonas",
)
@_ID
@click.option("--calls", type=click.IntRange(1, 10_000), help="How many calls more; without it what is asked for.")
@_BY
@server_options
def replay(remote: Remote, incident_id: int, calls: int | None, by: str) -> None:
    """Allow replays to go on beyond their bound."""
    found = remote.post(f"/api/incidents/{incident_id}/replay", {"actor": by, "calls": calls or 0})
    click.echo(f"Incident {incident_id}: {found['events'][-1]['text']}.")


def add_actions(group: click.Group) -> None:
    """Put these commands into the group."""
    for command in (acknowledge, rollback, actions, act, undo, resolve, note, close, replay):
        group.add_command(command)
