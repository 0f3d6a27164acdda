"""``trimtab trace``."""

from __future__ import annotations

import sys
from typing import IO, Any

import click

from trimtab.core import BadInput

from .listing import json_option, moment, show_fields, show_json, show_table
from .remote import Remote, server_options
from .trace_cache import command as cache
from .trace_copy import copy


@click.group(
    "trace",
    epilog="\b\nExamples:\n  trimtab trace list 'score:cites<1 stamp.prompt=support-answer/2'\n"
    "  trimtab trace stats '| by model | sum cost, p95 duration'\n  trimtab trace show TRACE_ID\n"
    "  trimtab trace export 'score:thumb=1' --format openai > train.jsonl\n"
    "  trimtab trace copy --from sqlite:trimtab-data --to env:TRIMTAB_SPANS_URL",
)
def command() -> None:
    """Find and read traces."""


command.add_command(copy)
command.add_command(cache)


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
    type=click.Choice(["jsonl", "openai", "otlp", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Whole traces, conversations for fine-tuning or OpenTelemetry's JSON, one a line; Parquet, one span a row.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--since", default="", help="So long ago (7d) or a time (2026-11-01).")
@click.option("--out", type=click.File("wb"), default="-", help="A file instead of standard output.")
@server_options
def export(remote: Remote, query: str, form: str, limit: int, since: str, out: IO[bytes]) -> None:
    """Traces to standard output, newest first. QUERY as for `trace list`. How far it is stands on standard error."""
    if form == "parquet" and out.isatty():
        raise BadInput("Parquet is not for a terminal.", field="--out", mend="Name a file with --out.")
    size = lines = 0
    for part in remote.parts("/api/traces/export", q=query, format=form, limit=limit, since=since):
        out.write(part)
        size, lines = size + len(part), lines + part.count(b"\n")
        _progress(form, lines, size, end=False)
    out.flush()
    _progress(form, lines, size, end=True)


def _progress(form: str, lines: int, size: int, *, end: bool) -> None:
    """One line that is written over, where somebody looks at it."""
    if sys.stderr.isatty():
        traces = "" if form == "parquet" else f"{lines:,} traces, "
        click.echo(f"\r{traces}{size / 1e6:,.1f} MB", nl=end, err=True)


@command.command(
    "forget",
    epilog="\b\nExamples:\n  trimtab trace forget --user mara@example.com\n"
    "  trimtab trace forget --session s-42 --yes\n  trimtab trace forget --tag tenant=acme --yes",
)
@click.option("--user", default="", help="Whose traces: the tag user, as every dialect's user id is kept.")
@click.option("--session", default="", help="The traces of one session.")
@click.option("--tag", default="", metavar="NAME=VALUE", help="The traces with this tag.")
@click.option("--yes", is_flag=True, help="Delete. Without it, only what would be deleted is counted.")
@json_option
@server_options
def forget(remote: Remote, user: str, session: str, tag: str, yes: bool, as_json: bool) -> None:
    """Delete one person's data: all spans, texts and scores of the traces. Sums over time stay."""
    body = {name: value for name, value in (("user", user), ("session", session), ("tag", tag)) if value}
    found = remote.post("/api/erasures", {**body, "dry_run": not yes}, timeout=60.0)
    if as_json:
        show_json(found)
        return
    shown = {name: found[name] for name in ("traces", "spans", "scores")}
    copies = {"copies": ", ".join(found["copies"])} if found["copies"] else {}
    show_fields({"whose": f"{found['by']} #{found['whose']}", **shown, **copies})
    said = {
        "found": "Nothing was deleted. To delete it, add --yes.",
        "running": "The server goes on deleting; GET /api/erasures tells when it is done.",
        "done": f"Deleted. The ledger has it as {found['change']}.",
    }
    click.echo(said[found["state"]], err=True)


@command.command("sampling", epilog="Example:  trimtab trace sampling --json")
@json_option
@server_options
def sampling(remote: Remote, as_json: bool) -> None:
    """Which traces keep their texts, and how many lost them. Counts, costs and percentiles are of all traces."""
    found = remote.get("/api/sampling")
    if as_json:
        show_json(found)
        return
    show_fields({"share": found["share"], "low": found["low"], "decided after": f"{found['after_s']:g} s",
                 **{f"share of {name}": share for name, share in found["projects"].items()}})  # fmt: skip
    click.echo()
    rows = [{"what": f"kept: {why}", "n": n} for why, n in found["kept"].items()]
    rows += [{"what": f"dropped: {project}", "n": n} for project, n in found["dropped"].items()]
    show_table(rows, {"what": "TRACES", "n": "COUNT"}, empty="Nothing was decided yet.")


@command.command(
    "stats",
    epilog="\b\nExamples:\n  trimtab trace stats 'in:calls | by model | count, sum cost, p95 duration'\n"
    "  trimtab trace stats 'name=support | by time:1h | count, errors' --since 24h\n"
    "  trimtab trace stats '| by model | errors | compare previous' --since 7d\n"
    "  trimtab trace stats '| errors, avg score:quality | compare prompt=a/1 with prompt=a/2'",
)
@click.argument("query")
@click.option("--since", default="24h", show_default=True, help="So long ago (7d) or a time (2026-11-01).")
@click.option("--until", default="", help="So long ago or a time; now by default.")
@json_option
@server_options
def stats(remote: Remote, query: str, since: str, until: str, as_json: bool) -> None:
    """Numbers over groups of traces or calls. QUERY: terms as for `trace list`, then clauses after bars: by COLUMNS,
    measures (count, errors, p95 duration, sum cost, avg score:NAME), top N, compare previous."""
    asked = query if "|" in query else f"{query} | count"
    answer = remote.post("/api/spans/query", {"q": asked, "since": since, "until": until})
    if as_json:
        show_json(answer)
        return
    by, measures = answer["by"], answer["measures"]
    compared = "compared" in answer
    rows = [_group_row(by, measures, group) for group in answer["compared" if compared else "groups"]]
    headings = {column: column.upper() for column in by} | {one: one.upper() for one in measures}
    show_table(rows, headings, empty="No trace matches. Drop a term, or look further back with --since.")
    if compared and rows:
        click.echo("Before -> after; a star marks a difference that chance alone hardly makes (95 %).", err=True)


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


def _group_row(by: list[str], measures: list[str], group: dict[str, Any]) -> dict[str, Any]:
    keys = {
        column: moment(key) if column.startswith("time:") else key
        for column, key in zip(by, group["keys"], strict=True)
    }
    if "deltas" in group:
        return keys | {delta["measure"]: _delta(delta) for delta in group["deltas"]}
    return keys | {one: _number(value) for one, value in zip(measures, group["values"], strict=True)}


def _delta(delta: dict[str, Any]) -> str:
    interval = f" [{_number(delta['low'])}, {_number(delta['high'])}]" if delta["low"] is not None else ""
    return f"{_number(delta['before'])} -> {_number(delta['after'])}{interval}{' *' if delta['clear'] else ''}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def _ms(span: dict[str, Any]) -> int:
    return round((int(span["end_ns"]) - int(span["start_ns"])) / 1e6)
