"""``trimtab monitor``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import click

from .listing import json_option, moment, show_fields, show_json, show_table
from .remote import Remote, server_options

F = TypeVar("F", bound=Callable[..., Any])
#: The fields of a monitor that options give.
_GIVEN = ("signal", "slice", "detector", "threshold", "owner", "action", "severity", "runbook", "objective", "project")


def monitor_options(function: F) -> F:
    """What a monitor is made of, each an option."""
    options = (
        click.option("--signal", help="What is watched: cites, quality, answered, cost, ... (trimtab monitor list)."),
        click.option("--slice", help="Watch this slice only, such as a topic; without it all of them."),
        click.option("--detector", type=click.Choice(["fall", "floor"]),
                     help="fall: below its own past. floor: below --threshold."),
        click.option("--threshold", type=click.FloatRange(0, 1),
                     help="For fall: points (0.05 is 5) that it must fall at least. For floor: the value."),
        click.option("--owner", help="Who gets the alarm."),
        click.option("--action", help="note, page, rollback, pause_rollout, switch_route, pin_model, tighten_guard or "
                     "relax_guard."),
        click.option("--severity", type=click.IntRange(1, 4), help="1 is worst and wakes people, 4 is a note."),
        click.option("--runbook", help="What to do, or where that is written."),
        click.option("--objective", type=click.FloatRange(0, 1), help="Share of good values that was promised; the "
                     "severity then follows how fast the error budget burns."),
        click.option("--project", help="Whose requests; without it those of the project default."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _content(given: dict[str, Any]) -> dict[str, Any]:
    return {field: given[field] for field in _GIVEN if given.get(field) is not None}


@click.group(
    "monitor",
    epilog="\b\nExamples:\n  trimtab monitor list\n  trimtab monitor test cites --hours 48\n"
    "  trimtab monitor add billing-quality --signal quality --slice billing --owner mara --action page --by mara",
)
def command() -> None:
    """Monitors: a signal, a slice, a detector, a threshold, an owner and an action."""


@command.command("list", epilog="Example:  trimtab monitor list --json")
@json_option
@server_options
def listing(remote: Remote, as_json: bool) -> None:
    """Every monitor and how it stands; those with an alarm first."""
    found = remote.get("/api/monitors")
    rows = found["monitors"]
    if as_json:
        show_json(rows)
        return
    shown = [
        {
            **row, "evidence": _evidence(row), "alarm": moment(row["alarm_ns"]) or "never",
            "slice": row["slice"] or "all",
            "limit": "" if row["threshold"] is None else f"{row['detector']} {row['threshold']:g}",
        }
        for row in rows
    ]  # fmt: skip
    columns = {
        "name": "NAME", "state": "STATE", "signal": "SIGNAL", "slice": "SLICE", "reference": "REFERENCE",
        "evidence": "EVIDENCE", "limit": "LIMIT", "owner": "OWNER", "action": "ACTION", "alarm": "LAST ALARM",
    }  # fmt: skip
    show_table(shown, columns, empty="No monitors watch. Make one: trimtab monitor add --help")
    if found["unreachable"]:
        owners = ", ".join(found["unreachable"])
        click.echo(f"Nobody can tell {owners}: name a channel under notify in trimtab.yaml.")


@command.command("show", epilog="Example:  trimtab monitor show cites")
@click.argument("name")
@json_option
@server_options
def show(remote: Remote, name: str, as_json: bool) -> None:
    """One monitor: how it stands, and what falls it would see now."""
    found = remote.get(_path(name))
    if as_json:
        show_json(found)
        return
    show_fields({
        "monitor": found["name"], "state": found["state"], "signal": found["signal"], "slice": found["slice"] or "all",
        "detector": found["detector"], "threshold": found["threshold"], "objective": found["objective"],
        "owner": found["owner"], "action": found["action"], "severity": found["severity"], "runbook": found["runbook"],
        "comes from": found["origin"], "version": f"monitors:/{name}/{found['version']}" if found["version"] else "",
        "behind": found["behind"], "incident": found["incident"] or "", "last alarm": moment(found["alarm_ns"]),
        "evidence": _evidence(found),
    })  # fmt: skip
    click.echo()
    shown = [
        {
            "slice": part["slice"] or "(none)", "n": part["n"], "mean": part["mean"], "low": part["low"],
            "sees": ", ".join(f"{one['fall']:.0%} within {one['requests']:,}" for one in part["sees"]
                              if one["requests"] is not None) or "no fall yet: the reference is too short",
        }
        for part in found["slices"]
    ]  # fmt: skip
    columns = {"slice": "SLICE", "n": "REFERENCE", "mean": "USUAL", "low": "BET AGAINST", "sees": "WOULD SEE A FALL OF"}
    show_table(shown, columns, empty="No slice has its reference yet, so no fall would be seen.")


@command.command(
    "add",
    epilog="\b\nExamples:\n  trimtab monitor add billing-quality --signal quality --slice billing \\\n"
    "      --owner mara --action page --by mara\n"
    "  trimtab monitor add answers --signal answered --detector floor --threshold 0.98 \\\n"
    "      --objective 0.99 --owner ops --action switch_route --severity 1",
)
@click.argument("name")
@monitor_options
@click.option("--by", default="", help="Who you are.")
@click.option("--note", default="", help="Why.")
@server_options
def add(remote: Remote, name: str, by: str, note: str, **given: Any) -> None:
    """Make a monitor; it watches at once. It needs a signal, an owner and an action."""
    made = remote.post("/api/monitors", {"name": name, "actor": by, "note": note, **_content(given)})
    click.echo(f"{name}: {made['state']}, owned by {made['owner']}, action {made['action']}.")


@command.command("edit", epilog="Example:  trimtab monitor edit cites --owner jonas --action rollback --by jonas")
@click.argument("name")
@monitor_options
@click.option("--by", default="", help="Who you are.")
@click.option("--note", default="", help="Why.")
@server_options
def edit(remote: Remote, name: str, by: str, note: str, **given: Any) -> None:
    """Change a monitor: a new version, in effect at once. What is not named stays."""
    found = remote.patch(_path(name), {"actor": by, "note": note, **_content(given)})
    click.echo(f"{name}: version {found['version']} watches; back with: trimtab rollback monitors:/{name}")


@command.command("remove", epilog="Example:  trimtab monitor remove billing-quality --by mara")
@click.argument("name")
@click.option("--by", default="", help="Who you are.")
@click.option("--note", default="", help="Why.")
@server_options
def remove(remote: Remote, name: str, by: str, note: str) -> None:
    """Turn a monitor off. Its versions stay, so it can be brought back."""
    remote.delete(_path(name), actor=by, note=note)
    click.echo(f"{name}: off; back with: trimtab rollback monitors:/{name}")


@command.command(
    "test",
    epilog="\b\nExamples:\n  trimtab monitor test cites --hours 48\n"
    "  trimtab monitor test --signal quality --slice billing --detector floor --threshold 0.9",
)
@click.argument("name", default="")
@monitor_options
@click.option("--hours", type=click.FloatRange(0.1, 744), default=24.0, show_default=True, help="How far back.")
@json_option
@server_options
def test(remote: Remote, name: str, hours: float, as_json: bool, **given: Any) -> None:
    """How often a monitor would have alarmed on what was recorded; options try a change before it is made."""
    content = _content(given)
    if not name:
        content = {"owner": "somebody", "action": "note", **content}
    found = remote.post("/api/monitors/test", {"name": name, "hours": hours, "monitor": content}, timeout=120.0)
    if as_json:
        show_json(found)
        return
    times = "once" if found["alarms"] == 1 else f"{found['alarms']} times"
    slices = "1 slice" if found["slices"] == 1 else f"{found['slices']} slices"
    over = f"{found['seen']:,} values in {slices}, {found['armed']} with a reference"
    click.echo(f"It would have alarmed {times} over {over}.")
    if not found["seen"]:
        click.echo("Nothing of this signal was recorded in that time: look further back with --hours.")
        return
    rows = [
        {"at": moment(one["time_ns"]), "slice": one["slice"] or "all", "from": one["baseline"], "to": one["now"]}
        for one in found["listed"]
    ]
    if rows:
        show_table(rows, {"at": "TIME", "slice": "SLICE", "from": "FROM", "to": "TO"}, empty="")


def _evidence(row: dict[str, Any]) -> str:
    """``3 of 10^8``: evidence beside what an alarm takes; empty where nothing watches."""
    if not row["needed"]:
        return ""
    return f"{row['evidence']:.3g} of 10^{math.log10(row['needed']):.1f}"


def _path(name: str) -> str:
    return f"/api/monitors/{quote(name, safe='')}"
