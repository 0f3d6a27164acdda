"""``trimtab rollout``."""

from __future__ import annotations

import re
import time
from typing import Any

import click

from trimtab.core import BadInput, parse_address

from .listing import json_option, moment, show_fields, show_json, show_table
from .remote import Remote, server_options

_STATES = {"harm": "worse", "no_worse": "no worse", "undecided": "undecided", "not_measured": "not measured"}
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
#: Exit status of ``watch``: promoted, taken back, time was up.
PROMOTED, TAKEN_BACK, STILL_RUNNING = 0, 1, 2


class Seconds(click.ParamType[float]):
    """A length of time: ``90``, ``10m``, ``1h``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip())
        if match is None or (match[2] or "s") not in _UNITS:
            self.fail(f"{value!r} is no length of time; write 90s, 10m or 1h.", param, ctx)
        return float(match[1]) * _UNITS[match[2] or "s"]


class GuardOption(click.ParamType[dict[str, Any]]):
    """``METRIC:POINTS``: what may not fall, and by how many points of a hundred it matters."""

    name = "metric:points"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        metric, _, points = str(value).partition(":")
        try:
            margin = float(points) / 100 if points else 0.05
        except ValueError:
            self.fail(f"{value!r} is no guard; write quality:5.", param, ctx)
        return {"metric": metric, "margin": margin}


@click.group(
    "rollout",
    epilog="\b\nExamples:\n  trimtab rollout start prompts:/support-answer/7 --by mara\n  trimtab rollout list\n"
    "  trimtab rollout abort rol_5d442a1326 --by mara",
)
def command() -> None:
    """Start, watch and steer staged rollouts."""


@command.command(
    "start",
    epilog="\b\nExamples:\n  trimtab rollout start prompts:/support-answer/7 --by mara\n"
    "  trimtab rollout start guards:/default/3 --stages 1,10,100 --guard allowed:1 --least-time 1h --by kim\n"
    "  trimtab rollout start prompts:/support-answer/7 --shadow --by mara",
)
@click.argument("address")
@click.option("--stages", default="5,25,50,100", show_default=True, help="Percent of the traffic, stage by stage.")
@click.option("--least-time", type=Seconds(), default="10m", show_default=True, help="The least time of a stage.")
@click.option("--least-answers", type=click.IntRange(1), default=50, show_default=True,
              help="The least judged answers of the candidate in a stage.")  # fmt: skip
@click.option("--holdback", type=click.FloatRange(0, 50), default=5.0, show_default=True,
              help="Percent that stays on the base version in the last stage.")  # fmt: skip
@click.option("--hold", type=Seconds(), default="1h", show_default=True, help="How long that is kept.")
@click.option("--guard", "guards", type=GuardOption(), multiple=True,
              help="METRIC:POINTS that may not get worse; repeat it. Default: quality and the checks.")  # fmt: skip
@click.option("--sticky", type=click.Choice(["session", "user", "request"]), default="session", show_default=True)
@click.option("--shadow", is_flag=True, help="Let both versions answer first, and serve the base version's answers.")
@click.option("--only-watch", is_flag=True, help="Judge it, and move nothing.")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--note", default="", help="Why.")
@server_options
def start(remote: Remote, address: str, stages: str, shadow: bool, only_watch: bool, **given: Any) -> None:
    """Let a version go out in stages: ADDRESS is KIND:/NAME/NUMBER."""
    where = parse_address(address, "prompts")
    if not where.number:
        raise BadInput(f"{address!r} names no version.", field="address", mend="Write prompts:/support-answer/7.")
    if shadow and only_watch:
        raise BadInput("A shadow moves by itself.", field="--only-watch", mend="Leave one of the two out.")
    change = remote.post("/api/rollouts", {
        "kind": where.kind, "name": where.name, "number": where.number, "stages": _shares(stages),
        "mode": "shadow" if shadow else "watch" if only_watch else "auto", "sticky": given["sticky"],
        "least_s": given["least_time"], "least_answers": given["least_answers"], "holdback": given["holdback"] / 100,
        "hold_s": given["hold"], "guards": list(given["guards"]), "actor": given["by"], "note": given["note"],
    })  # fmt: skip
    whom = "nobody yet, in its shadow" if shadow else f"{change['share'] * 100:g} % of {given['sticky']}s"
    click.echo(f"{change['rollout']}: {where.kind}:/{where.name}/{where.number} for {whom}")


@command.command("list", epilog="Example:  trimtab rollout list --json")
@click.option("--all", "everything", is_flag=True, help="Ended ones too.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@server_options
def listing(remote: Remote, everything: bool, limit: int, as_json: bool) -> None:
    """Running rollouts, newest first."""
    rows = remote.get("/api/rollouts", running="" if everything else "1", limit=limit)["rollouts"]
    if as_json:
        show_json(rows)
        return
    shown = [
        {**row, "asset": f"{row['kind']}:/{row['name']}", "versions": f"{row['base']} to {row['candidate']}",
         "share": f"{row['share'] * 100:g} %", "state": "paused" if row["paused"] else row["state"],
         "started": moment(row["started_ns"])}
        for row in rows
    ]  # fmt: skip
    columns = {"id": "ID", "asset": "ASSET", "versions": "VERSIONS", "share": "SHARE", "mode": "MODE",
               "state": "STATE", "started": "STARTED"}  # fmt: skip
    show_table(shown, columns, empty="No rollouts. Start one: trimtab rollout start prompts:/NAME/NUMBER")


@command.command("show", epilog="Example:  trimtab rollout show rol_5d442a1326")
@click.argument("rollout")
@json_option
@server_options
def show(remote: Remote, rollout: str, as_json: bool) -> None:
    """One rollout: what its guards say, what comes next and why, what was decided."""
    found = remote.get(f"/api/rollouts/{rollout}")
    if as_json:
        show_json(found)
        return
    decision = found["decision"] or {}
    show_fields({
        "rollout": found["id"], "asset": f"{found['kind']}:/{found['name']}",
        "versions": f"{found['base']} to {found['candidate']}", "state": found["state"],
        "share": f"{found['share'] * 100:g} % of {found['sticky']}s", "mode": found["plan"]["mode"],
        "paused": found["paused"], "now": decision.get("text", ""),
    })  # fmt: skip
    click.echo()
    guards = [
        {**guard, "state": _STATES[guard["state"]], "answers": guard["candidate_n"] or guard["pairs"],
         "points": f"{guard['difference'] * 100:+.1f}",
         "interval": f"{guard['low'] * 100:+.1f} to {guard['high'] * 100:+.1f}", "margin": f"{guard['margin'] * 100:g}"}
        for guard in found["guards"]
    ]  # fmt: skip
    show_table(guards, {"metric": "GUARD", "state": "STATE", "answers": "ANSWERS", "points": "POINTS",
                        "interval": "INTERVAL", "margin": "MARGIN"}, empty="")  # fmt: skip
    click.echo()
    events = [{**event, "at": moment(event["time_ns"])} for event in found["events"]]
    show_table(events, {"at": "TIME", "action": "DECISION", "actor": "WHO", "text": "WHY"}, empty="")


@command.command("pause", epilog="Example:  trimtab rollout pause rol_5d442a1326 --by mara --reason 'odd answers'")
@click.argument("rollout")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--reason", default="", help="Why.")
@server_options
def pause(remote: Remote, rollout: str, by: str, reason: str) -> None:
    """Keep the share where it is. Shown harm still takes the candidate back."""
    remote.post(f"/api/rollouts/{rollout}/pause", {"actor": by, "reason": reason})
    click.echo(f"{rollout}: paused by {by}.")


@command.command("resume", epilog="Example:  trimtab rollout resume rol_5d442a1326 --by mara")
@click.argument("rollout")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--reason", default="", help="Why.")
@server_options
def resume(remote: Remote, rollout: str, by: str, reason: str) -> None:
    """Go on by the plan."""
    remote.post(f"/api/rollouts/{rollout}/resume", {"actor": by, "reason": reason})
    click.echo(f"{rollout}: goes on.")


@command.command("promote", epilog="Example:  trimtab rollout promote rol_5d442a1326 --by mara --reason 'it is urgent'")
@click.argument("rollout")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--reason", default="", help="Why; needed while the test has not passed.")
@server_options
def promote(remote: Remote, rollout: str, by: str, reason: str) -> None:
    """Give the candidate to everybody, now."""
    change = remote.post(f"/api/rollouts/{rollout}/promote", {"actor": by, "reason": reason})
    click.echo(f"{rollout}: {change['after']} for everybody.")


@command.command("abort", epilog="Example:  trimtab rollout abort rol_5d442a1326 --by mara --reason 'wrong tone'")
@click.argument("rollout")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--reason", default="", help="Why.")
@server_options
def abort(remote: Remote, rollout: str, by: str, reason: str) -> None:
    """Return everybody to the base version, with the next request."""
    change = remote.post(f"/api/rollouts/{rollout}/abort", {"actor": by, "reason": reason})
    click.echo(f"{rollout}: back to {change['after']}.")


@command.command("watch", epilog="Example:  trimtab rollout watch rol_5d442a1326 --for 2h")
@click.argument("rollout")
@click.option("--for", "most", type=Seconds(), default="24h", show_default=True, help="Give up after this long.")
@click.option("--every", type=Seconds(), default="5s", show_default=True, help="How often to look.")
@server_options
def watch(remote: Remote, rollout: str, most: float, every: float) -> None:
    """Print decisions as they come, until it ends. Exit status 0: promoted, 1: taken back, 2: still running."""
    until, told, last = time.monotonic() + most, 0, ""
    while True:
        found = remote.get(f"/api/rollouts/{rollout}")
        events = found["events"][::-1]
        for event in events[told:]:
            click.echo(f"{moment(event['time_ns'])}  {event['action']}  {event['actor']}  {event['text']}")
        told = len(events)
        if found["state"] != "running":
            raise SystemExit(PROMOTED if found["state"] == "promoted" else TAKEN_BACK)
        now = (found["decision"] or {}).get("text", "")
        if now != last:
            last = now
            click.echo(f"{found['share'] * 100:g} %  {now}")
        left = until - time.monotonic()
        if left <= 0:
            raise SystemExit(STILL_RUNNING)
        time.sleep(min(max(every, 0.1), left))


def _shares(text: str) -> list[float]:
    """``5,25,100`` as shares."""
    try:
        return [float(part) / 100 for part in text.replace(" ", "").split(",") if part]
    except ValueError:
        mend = "Write percentages such as 5,25,50,100."
        raise BadInput(f"{text!r} are no stages.", field="--stages", mend=mend) from None
