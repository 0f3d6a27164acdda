"""``trimtab trace``."""

from __future__ import annotations

from typing import Any

import click

from .listing import json_option, moment, show_fields, show_json, show_table
from .remote import Remote, server_options


@click.group(
    "trace",
    epilog="\b\nExamples:\n  trimtab trace list 'score:cites<1 stamp.prompt=support-answer/2'\n"
    "  trimtab trace show TRACE_ID\n  trimtab trace export 'score:thumb=1' --format openai > train.jsonl",
)
def command() -> None:
    """Find and read traces."""


@command.command("list", epilog="Example:  trimtab trace list 'tag:topic=gateway score:quality<1' --limit 20")
@click.argument("query", default="")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--cursor", default="", help="Go on where the page before ended.")
@json_option
@server_options
def listing(remote: Remote, query: str, limit: int, cursor: str, as_json: bool) -> None:
    """Traces, newest first. QUERY: column=value, <, >, tag:NAME=..., score:NAME<..., or words to find."""
    page = remote.get("/api/traces", q=query, limit=limit, cursor=cursor)
    if as_json:
        show_json(page)
        return
    columns = {"trace": "TRACE", "at": "TIME", "question": "QUESTION", "model": "MODEL", "prompt": "PROMPT", "ms": "MS",
               "status": "STATUS"}  # fmt: skip
    mend = (
        "No trace matches. Drop a term, or send a first request: docs/getting-started.md."
        if query
        else ("No traces yet. Point an OpenAI client at the server, or run `trimtab demo`.")
    )
    show_table([_row(span) for span in page["traces"]], columns, empty=mend)
    if page.get("cursor"):
        click.echo(f"More: --cursor {page['cursor']}", err=True)


@command.command("export", epilog="Example:  trimtab trace export 'tag:topic=gateway' --format otlp --limit 5000")
@click.argument("query", default="")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "openai", "otlp"]),
    default="jsonl",
    show_default=True,
    help="Whole traces, conversations for fine-tuning, or OpenTelemetry's JSON; one a line.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--since", default="", help="So long ago (7d) or a time (2026-11-01).")
@server_options
def export(remote: Remote, query: str, form: str, limit: int, since: str) -> None:
    """Traces to standard output, newest first, one a line. QUERY as for `trace list`."""
    for line in remote.lines("/api/traces/export", q=query, format=form, limit=limit, since=since):
        click.echo(line, nl=False)


@command.command("show", epilog="Example:  trimtab trace show 4bf92f3577b34da6a3ce929d0e0e4736 --json")
@click.argument("trace_id")
@json_option
@server_options
def show(remote: Remote, trace_id: str, as_json: bool) -> None:
    """One trace: its spans, stamp and scores."""
    trace = remote.get(f"/api/traces/{trace_id}")
    if as_json:
        show_json(trace)
        return
    root = next((span for span in trace["spans"] if not span["parent_id"]), trace["spans"][0])
    stamp = {f"stamp.{layer}": pin for layer, pin in root["stamp"].items()}
    show_fields({"trace": trace["id"], "question": root["input"], "answer": root["output"], "status": root["status"],
                 "error": root["error"], **stamp})  # fmt: skip
    click.echo()
    spans = [{**span, "ms": _ms(span)} for span in trace["spans"]]
    show_table(spans, {"kind": "KIND", "name": "SPAN", "model": "MODEL", "ms": "MS", "status": "STATUS"}, empty="")
    click.echo()
    show_table(
        trace["scores"], {"name": "SCORE", "value": "VALUE", "by": "BY", "by_version": "VERSION", "reason": "WHY"},
        empty="No scores yet.",
    )  # fmt: skip


def _row(span: dict[str, Any]) -> dict[str, Any]:
    return {
        "trace": span["trace_id"], "at": moment(span["start_ns"]), "question": span["input"][:48],
        "model": span["model"], "prompt": span["stamp"].get("prompt", ""), "ms": _ms(span), "status": span["status"],
    }  # fmt: skip


def _ms(span: dict[str, Any]) -> int:
    return round((int(span["end_ns"]) - int(span["start_ns"])) / 1e6)
