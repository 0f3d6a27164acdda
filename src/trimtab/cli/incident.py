"""``trimtab incident``."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from .incident_actions import add_actions
from .listing import json_option, moment, show_fields, show_json, show_table, show_text
from .remote import Remote, server_options


@click.group("incident", epilog="\b\nExamples:\n  trimtab incident list\n  trimtab incident rollback 3 --by jonas")
def command() -> None:
    """Read, acknowledge, act on and close incidents."""


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
    """One incident: what broke, since when, for whom, the cause, the evidence, the timeline."""
    found = remote.get(f"/api/incidents/{incident_id}")
    if as_json:
        show_json(found)
        return
    report = found.get("report") or {}
    cause = report.get("cause") or {}
    show_fields({
        "incident": found["id"], "what": found["title"], "state": found["state"], "severity": found["severity"],
        "owner": found["owner"], "acknowledged by": found["acknowledged_by"],
        "fell": _fell(report), "since": _since(found, report), "for whom": _whom(found, report),
        "layer": found["layer"], "cause": cause.get("title"), "certainty": report.get("certainty"),
        report.get("together") or "together": " and ".join(each["title"] for each in report.get("also") or ()),
        "allowed action": found["action"],
        "cases": f"{found['cases']} in datasets:/{found['dataset']}" if found["cases"] else "",
        "replays": _replays(found["replay"]),
        "before you close": ", ".join(_to_do(found)), "runbook": found["runbook"], "lesson": found["lesson"],
    }, whole=True)  # fmt: skip
    _evidence(report, found["pairs"])
    click.echo()
    events = [{**event, "at": moment(event["time_ns"])} for event in found["events"]]
    show_table(events, {"at": "TIME", "actor": "WHO", "text": "WHAT"}, empty="", whole=True)
    if found["deeds"]:
        click.echo()
        columns = {"id": "ACTION", "action": "WHAT", "state": "STATE", "actor": "WHO", "text": "DID"}
        show_table(found["deeds"], columns, empty="", whole=True)


def _fell(report: dict[str, Any]) -> str:
    """How far, and what fell with it."""
    if not report:
        return ""
    more = [signal for signal in report["signals"] if signal != report["signal"]]
    also = f"; also {', '.join(more)}" if more else ""
    return f"{report['signal']} from {report['baseline']:.2f} to {report['now']:.2f} over {report['n']} answers{also}"


def _since(found: dict[str, Any], report: dict[str, Any]) -> str:
    """Since when, and between which times that surely lies."""
    if not found["onset_ns"]:
        return ""
    until = found["mitigated_ns"] or found["closed_ns"]
    ended = f", until {moment(until)}" if until else ""
    if not report:
        return f"{moment(found['onset_ns'])}{ended}"
    low, high = moment(report["onset_low_ns"]), moment(report["onset_high_ns"])
    return f"{moment(found['onset_ns'])}{ended} (onset between {low} and {high})"


def _whom(found: dict[str, Any], report: dict[str, Any]) -> str:
    """Whose answers, and how many; and whose alone where an alarm saw it in those of one model."""
    seen = f"{report['slice'] or 'all slices'}, {report['affected']} bad answers seen" if report else ""
    models = found.get("models") or ()
    whose = f"the alarm: answers of model{'s' if len(models) > 1 else ''} {' and '.join(models)}" if models else ""
    return "; ".join(filter(None, (seen, whose)))


def _to_do(found: dict[str, Any]) -> list[str]:
    """What is left to do until it may close."""
    if found["state"] == "closed":
        return []
    steps = (
        (found["mitigated_ns"], "mitigate it"),
        (found["state"] == "resolved", "see its signal back"),
        (found["cases"], "keep its failing requests as cases"),
        (found["lesson"], "write the lesson"),
    )
    return [text for done, text in steps if not done]


def _replays(spent: dict[str, Any]) -> str:
    """What replays have cost, and what they ask for."""
    if not spent["calls"]:
        return ""
    more = f"; {spent['wanted']} more are asked for" if spent["wanted"] else ""
    return f"{spent['calls']} of {spent['allowed']} calls, about ${spent['usd']:.2f}{more}"


def _evidence(report: dict[str, Any], pairs: list[dict[str, Any]]) -> None:
    """The report in the order of the page: the comparison, the replays, who was cleared, what was not tested."""
    if report.get("slices"):
        click.echo()
        rows = [
            {
                "slice": s["slice"] or "all", "with": s["exposed"], "without": s["unexposed"],
                "by": f"{s['effect']['value']:+.2f} ({s['effect']['low']:+.2f} to {s['effect']['high']:+.2f})",
            }
            for s in report["slices"]
        ]  # fmt: skip
        columns = {"slice": "SLICE", "with": "WITH", "without": "WITHOUT", "by": "DIFFERENCE (95 %)"}
        show_table(rows, columns, empty="")
    if report.get("arms"):
        click.echo()
        arms = [
            {
                "restored": a["restored"] or "nothing changed",
                "passed": f"{a['passed']} of {a['n']}",
                "spoilt": f"{a['spoilt']} of {a['sound']}",
                "e": a["e_value"],
            }
            for a in report["arms"]
        ]
        columns = {"restored": "REPLAYED WITH", "passed": "MENDED", "spoilt": "SPOILT", "e": "EVIDENCE"}
        show_table(arms, columns, empty="")
    for pair in pairs:
        click.echo()
        show_text("request       ", pair["trace_id"])
        show_text("  fails:      ", pair["before"])
        show_text("  passes:     ", f"{pair['after']} (with {pair['restored']} put back)")
    click.echo()
    for candidate in report.get("candidates") or ():
        if candidate.get("cleared"):
            show_text("cleared:    ", f"{candidate['title']}: {candidate['cleared']}")
    for text in report.get("apart") or ():
        show_text("apart:      ", text)
    for text in report.get("not_tested") or (["Everything was testable."] if report else ()):
        show_text("not tested: ", text)


@command.command("postmortem", epilog="Example:  trimtab incident postmortem 3 > incident-3.md")
@click.argument("incident_id", type=int)
@server_options
def postmortem(remote: Remote, incident_id: int) -> None:
    """The incident as a post-mortem in Markdown."""
    click.echo(remote.text(f"/api/incidents/{incident_id}/postmortem"), nl=False)


@command.command("report", epilog="Example:  trimtab incident report --days 90 --json")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True)
@json_option
@server_options
def report(remote: Remote, days: int, as_json: bool) -> None:
    """How long detection, attribution and mitigation took, and where incidents came from."""
    found = remote.get("/api/incidents/report", days=days)
    if as_json:
        show_json(found)
        return
    show_fields({
        "incidents": found["n"], "open": found["open"], "mitigated by the machine": found["by_machine"],
        "came back": found["reopened"], "taken back by hand": found["undone"],
        "nobody acted on": ", ".join(map(str, found["without_action"])),
    })  # fmt: skip
    click.echo()
    took = [
        {
            "step": step, "n": t["n"], "median": f"{t['median_s']:.0f} s" if t["n"] else "",
            "p95": f"{t['p95_s']:.0f} s" if t["n"] else "",
        }
        for step, t in found["took"].items()
    ]  # fmt: skip
    show_table(took, {"step": "TIME TO", "n": "N", "median": "MEDIAN", "p95": "95TH"}, empty="")
    click.echo()
    layers = [
        {"layer": s["layer"] or "", "name": s["name"], "n": s["n"],
         "share": f"{s['share']:.0%} ({s['low']:.0%} to {s['high']:.0%})"}
        for s in found["layers"]
    ]  # fmt: skip
    columns = {"layer": "LAYER", "name": "NAME", "n": "N", "share": "SHARE (95 %)"}
    show_table(layers, columns, empty="No incidents in that time.")


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


add_actions(command)
