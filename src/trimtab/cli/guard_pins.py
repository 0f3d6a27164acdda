"""``trimtab guard pins``: the tools as they are pinned, and changes that wait for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from trimtab.core import NotFound

from .listing import json_option, moment, show_fields, show_json, show_table
from .remote import Remote, server_options

_COLUMNS = {"scope": "SCOPE", "tool": "TOOL", "state": "STATE", "since": "SINCE", "by": "ACCEPTED BY"}


@click.group(
    "pins",
    epilog="\b\nExamples:\n  trimtab guard pins list --changed\n  trimtab guard pins show agent send_mail\n"
    "  trimtab guard pins accept agent send_mail",
)
def pins() -> None:
    """How each tool was described when it was first declared. A change waits until it is accepted."""


@pins.command("list", epilog="Example:  trimtab guard pins list --changed --json")
@click.option("--scope", default="", help="Only those of one route or tool server.")
@click.option("--changed", is_flag=True, help="Only those that are described in another way now.")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True, help="At most so many.")
@server_options
@json_option
def list_(remote: Remote, scope: str, changed: bool, limit: int, as_json: bool) -> None:
    """The pinned tools, the newest changes first."""
    found = remote.get("/api/guard/pins", scope=scope, changed="true" if changed else "", limit=limit)["pins"]
    if as_json:
        show_json(found)
        return
    rows = [
        {
            **pin,
            "state": "changed" if pin["changed"] else "pinned",
            "since": moment(pin["offered_ns"] or pin["time_ns"]),
            "by": pin["accepted_by"],
        }
        for pin in found
    ]
    show_table(rows, _COLUMNS, empty="No tool is pinned.")


@pins.command("show", epilog="Example:  trimtab guard pins show agent send_mail")
@click.argument("scope")
@click.argument("tool")
@server_options
@json_option
def show(remote: Remote, scope: str, tool: str, as_json: bool) -> None:
    """A tool as it was pinned, and as it is described now."""
    found = remote.get("/api/guard/pins", scope=scope, tool=tool, limit=1)["pins"]
    if not found:
        raise NotFound(f"{tool!r} is not pinned in {scope!r}", field="tool", mend="List the pins.")
    _shown(found[0], as_json)


@pins.command("accept", epilog="Example:  trimtab guard pins accept agent send_mail")
@click.argument("scope")
@click.argument("tool")
@server_options
@json_option
def accept(remote: Remote, scope: str, tool: str, as_json: bool) -> None:
    """Pin a tool as it is described now."""
    _shown(remote.post("/api/guard/pins/accept", {"scope": scope, "tool": tool}), as_json)


def _shown(pin: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(pin)
        return
    fields = {"scope": pin["scope"], "tool": pin["tool"], "pinned": moment(pin["time_ns"])}
    fields |= {f"pinned {key}": _said(value) for key, value in pin["described"].items()}
    if pin["changed"]:
        fields["changed"] = moment(pin["offered_ns"])
        fields |= {f"now {key}": _said(value) for key, value in pin["offer"].items()}
    show_fields({**fields, "accepted by": pin["accepted_by"] or "nobody"})


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
