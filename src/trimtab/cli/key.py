"""``trimtab key``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import click

from trimtab.core import BadInput

from .listing import json_option, moment, show_fields, show_json, show_table
from .remote import Remote, server_options

F = TypeVar("F", bound=Callable[..., Any])

ROLES = ["admin", "member", "viewer"]
_NONE = "none"


class Limit(click.ParamType[Any]):
    """A number, or ``none`` to take a limit away."""

    name = "NUMBER|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == _NONE or isinstance(value, int | float):
            return value
        try:
            return int(value) if value.isascii() and value.isdigit() else float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor {_NONE}.", param, ctx)


def limit_options(function: F) -> F:
    """The options for everything that limits; they arrive as keyword arguments of those names."""
    options = (
        click.option("--rpm", type=Limit(), help="Requests a minute."),
        click.option("--tpm", type=Limit(), help="Tokens a minute."),
        click.option("--max-parallel", type=Limit(), help="Requests at one time."),
        click.option("--max-queue", type=Limit(), help="Requests that may wait for a place."),
        click.option("--queue-timeout", type=Limit(), help="Seconds that they wait."),
        click.option("--budget", "budget_usd", type=Limit(), help="US dollars in each period."),
        click.option("--period", type=click.Choice(["day", "month"]), help="Of the budget; month unless given."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group(
    "key",
    epilog="\b\nExamples:\n  trimtab key create checkout-bot --owner mara --budget 50\n  trimtab key list --json\n"
    "  trimtab key why 4bf92f3577b34da6a3ce929d0e0e4736\n  trimtab key why tt-a1B2",
)
def command() -> None:
    """Create, list, change, rotate and disable virtual keys; explain refusals."""


@command.command("create", epilog="Example:  trimtab key create checkout-bot --team web --rpm 600 --budget 50")
@click.argument("name")
@click.option("--owner", default="", help="Who answers for it.")
@click.option("--team", default="", help="Whose limits it shares.")
@click.option("--role", type=click.Choice(ROLES), default="member", show_default=True)
@click.option("--route", "routes", multiple=True, help="A route or provider/model it may use; any unless given.")
@limit_options
@json_option
@server_options
def create(remote: Remote, name: str, routes: tuple[str, ...], as_json: bool, **fields: Any) -> None:
    """Make a key. Its secret is shown once and stored only as a hash."""
    allowed = {"routes": list(routes)} if routes else {}
    made = remote.post("/api/keys", {"name": name, **_said(fields), **allowed})
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
        "id": "ID", "name": "NAME", "prefix": "STARTS WITH", "role": "ROLE", "owner": "OWNER", "team": "TEAM",
        "state": "STATE", "created": "CREATED",
    }  # fmt: skip
    show_table(shown, columns, empty="No keys yet. Make one with `trimtab key create NAME`.")


@command.command("change", epilog="Example:  trimtab key change key_3f9c0a12be --rpm 1200 --tpm none")
@click.argument("key_id")
@click.option("--owner", help="Who answers for it.")
@click.option("--team", help="Whose limits it shares.")
@click.option("--role", type=click.Choice(ROLES))
@limit_options
@json_option
@server_options
def change(remote: Remote, key_id: str, as_json: bool, **fields: Any) -> None:
    """Give a key other limits, or another owner, team or role; `none` takes a limit away."""
    changed = remote.patch(f"/api/keys/{quote(key_id, safe='')}", _said(fields))
    if as_json:
        show_json(changed)
        return
    limits = ", ".join(f"{name} {value}" for name, value in changed["limits"].items()) or "nothing is limited"
    click.echo(f"{changed['name']}: {limits}")


@command.command("rotate", epilog="Example:  trimtab key rotate key_3f9c0a12be --overlap 24")
@click.argument("key_id")
@click.option("--overlap", type=click.FloatRange(0, 720), default=0.0, help="Hours for which the old secret is good.")
@json_option
@server_options
def rotate(remote: Remote, key_id: str, overlap: float, as_json: bool) -> None:
    """Give a key a new secret, shown once."""
    made = remote.post(f"/api/keys/{quote(key_id, safe='')}/rotate", {"overlap_s": overlap * 3600})
    if as_json:
        show_json(made)
        return
    click.echo(made["secret"])
    old = f"is good until {moment(made['old_until_ns'])}" if made["old_until_ns"] else "is good no more"
    click.echo(f"Keep it now: it is not shown again. The old secret {old}.", err=True)


@command.command("disable", epilog="Example:  trimtab key disable key_3f9c0a12be")
@click.argument("key_id")
@server_options
def disable(remote: Remote, key_id: str) -> None:
    """Refuse a key from the next request on."""
    remote.post(f"/api/keys/{quote(key_id, safe='')}/disable", {})
    click.echo(f"{key_id} is off.")


@command.command("usage", epilog="Example:  trimtab key usage key_3f9c0a12be --days 7")
@click.argument("key_id")
@click.option("--days", type=click.IntRange(1, 400), default=30, show_default=True)
@json_option
@server_options
def usage(remote: Remote, key_id: str, days: int, as_json: bool) -> None:
    """What a key used and spent: its budget, and requests, tokens and dollars by day."""
    found = remote.get(f"/api/keys/{quote(key_id, safe='')}/usage", days=days)
    if as_json:
        show_json(found)
        return
    if budget := found["budget"]:
        click.echo(
            f"{budget['spent_usd']:.4f} of {budget['limit_usd']:.2f} US dollars spent in {budget['period']},"
            f" {budget['reserved_usd']:.4f} reserved; starts anew at {budget['resets_at']}"
        )
    columns = {
        "day": "DAY", "requests": "REQUESTS", "input_tokens": "TOKENS IN", "output_tokens": "TOKENS OUT",
        "cost": "US DOLLARS", "unpriced": "UNPRICED",
    }  # fmt: skip
    rows = [{**row, "cost": f"{row['cost_usd']:.6f}"} for row in found["by_day"]]
    show_table(rows, columns, empty="Nothing was used in these days.")
    click.echo(f"{found['refused']} requests were refused.")


@command.command("why", epilog="Example:  trimtab key why 4bf92f3577b34da6a3ce929d0e0e4736, or trimtab key why tt-a1B2")
@click.argument("request_id")
@json_option
@server_options
def why(remote: Remote, request_id: str, as_json: bool) -> None:
    """Explain a refusal: the checks that a request passed, and the one it did not. The id is its x-trimtab-trace-id;
    of a key that is not known, its first seven characters (tt-....) are enough."""
    # Should somebody paste a whole secret, no more of it is sent than every list of keys shows.
    asked = request_id[:7] if request_id.startswith("tt-") else request_id
    found = remote.get(f"/api/refusals/{quote(asked, safe='')}")
    if as_json:
        show_json(found)
        return
    for step in found["checks"]:
        click.echo(f"{'ok ' if step['verdict'] == 'passed' else 'NO '} {_step(step)}")
    fields = {
        "refused": f"{moment(found['time_ns'])}, status {found['status']} ({found['code']})",
        "because": found["message"],
        "what to do": found["mend"],
    }
    click.echo()
    show_fields(fields)


def _step(step: dict[str, Any]) -> str:
    who = f" of the {step['scope']} {step['who']}" if step["scope"] and step["check"] != "key" else ""
    text = f"{step['check']}{who}"
    if step["limit"] is not None:
        text += f": {step['used']:g} of {step['limit']:g}"
        text += f", {step['reserved']:g} reserved" if step["reserved"] else ""
    return text + (f" ({step['said']})" if step["said"] else "")


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line; ``none`` as null."""
    for name in ("max_queue", "rpm", "tpm", "max_parallel"):
        if isinstance(fields.get(name), float):
            raise BadInput("must be a whole number.", field=f"--{name.replace('_', '-')}")
    return {name: None if value == _NONE else value for name, value in fields.items() if value is not None}
