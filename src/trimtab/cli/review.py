"""``trimtab review``."""

from __future__ import annotations

from typing import Any

import click

from .listing import json_option, moment, show_json, show_table
from .own_server import eval_options
from .remote import Remote


@click.group(
    "review",
    epilog="\b\nExamples:\n  trimtab review create refunds --query 'score:quality<0.5' --expert mara --expert jonas\n"
    "  trimtab review list\n  trimtab review report rev_01",
)
def command() -> None:
    """Let people label answers, and learn how far they agree and may be relied on."""


@command.command("list", epilog="Example:  trimtab review list --json")
@json_option
@eval_options
def list_queues(remote: Remote, as_json: bool) -> None:
    """The queues, the open ones first."""
    found = remote.get("/api/review/queues")["queues"]
    if as_json:
        show_json(found)
        return
    columns = {"id": "ID", "name": "NAME", "dataset": "LABELS", "people": "DONE", "state": "STATE", "made": "MADE"}
    show_table([_row(one) for one in found], columns, empty="No queues. Make one: trimtab review create --help")


@command.command(
    "create",
    epilog="\b\nExamples:\n  trimtab review create refunds --query 'score:quality<0.5' --expert mara --expert jonas\n"
    "  trimtab review create refunds --run run_01 --failures --expert mara:billing,refunds --expert jonas \\\n"
    "    --ask 'grounded=Is every claim supported?' --planted datasets:/golden@production\n"
    "  trimtab review create rare --run run_01 --by-verdict quality --limit 300 --expert mara --expert jonas",
)
@click.argument("name")
@click.option("--query", default="", help="Take the traces that this query finds.")
@click.option("--incident", type=int, default=None, help="Take the failing requests of this incident.")
@click.option("--run", "run_id", default="", help="Take the answers of this evaluation run.")
@click.option("--failures", is_flag=True, help="Of a run, only what did not pass.")
@click.option("--by-verdict", default="", metavar="SCORE",
              help="Of a run, draw among what this judge's score passes and what it fails, more of the rarer; every "
              "label keeps the chance with which it was drawn.")  # fmt: skip
@click.option("--dataset", default="", help="Take the recorded answers of this dataset.")
@click.option("--limit", type=click.IntRange(1, 2000), default=100, show_default=True, help="Items at most.")
@click.option("--expert", "experts", multiple=True, required=True,
              help="Who is asked; NAME:SLICE,SLICE where they know some slices only. Once a person.")  # fmt: skip
@click.option("--ask", "questions", multiple=True, help="CRITERION=QUESTION, up to three.")
@click.option("--overlap", type=click.IntRange(1, 50), default=2, show_default=True, help="People for each item.")
@click.option("--planted", default="", help="A dataset of answers with a known verdict, to be mixed in.")
@click.option("--plant", type=click.IntRange(0, 200), default=20, show_default=True, help="How many of them.")
@click.option("--labels", default="", help="The dataset under which the labels are kept; by default the source's.")
@json_option
@eval_options
def create(  # house: parameters because each is an option of the command
    remote: Remote, name: str, query: str, incident: int | None, run_id: str, failures: bool, by_verdict: str,
    dataset: str, limit: int, experts: tuple[str, ...], questions: tuple[str, ...], overlap: int, planted: str,
    plant: int, labels: str, as_json: bool,
) -> None:  # fmt: skip
    """Make a queue from traces, an incident, a run or a dataset."""
    source: dict[str, Any] = {"query": query, "incident": incident, "run": run_id, "dataset": dataset}
    source = {key: value for key, value in source.items() if value not in ("", None)}
    if len(source) != 1:
        raise click.UsageError("Name one of --query, --incident, --run and --dataset.")
    source |= {"limit": limit, **({"failures": True} if failures else {})}
    source |= {"by_verdict": by_verdict} if by_verdict else {}
    body: dict[str, Any] = {
        "name": name, "source": source, "experts": [_expert(one) for one in experts], "overlap": overlap,
        "planted": planted, "plant": plant, "dataset": labels,
    }  # fmt: skip
    if questions:
        body["criteria"] = [_question(one) for one in questions]
    found = remote.post("/api/review/queues", body)
    if as_json:
        show_json(found)
    else:
        click.echo(f"{found['id']}: open /review in the browser; labels land under {found['dataset']}.")


@command.command("report", epilog="Example:  trimtab review report rev_01")
@click.argument("queue")
@json_option
@eval_options
def report(remote: Remote, queue: str, as_json: bool) -> None:
    """How far people agree, what each of them catches, and whether that is enough to rely on."""
    found = remote.get(f"/api/review/queues/{queue}/report")
    if as_json:
        show_json(found)
        return
    click.echo(f"Oversight: {'may be relied on' if found['reliable'] else 'may not be relied on'}: {found['why']}")
    click.echo(f"{found['items']} items, {found['disputed']} in dispute, {found['settled']} settled\n")
    people = [
        {"who": one["who"], "saved": f"{one['saved']} of {one['owed']}", "caught": _rate(one["caught"]),
         "alarms": _rate(one["false_alarms"]), "seconds": one["seconds"]}
        for one in found["people"]
    ]  # fmt: skip
    columns = {"who": "WHO", "saved": "SAVED", "caught": "CAUGHT", "alarms": "FALSE ALARMS", "seconds": "SECONDS"}
    show_table(people, columns, empty="Nobody is asked.")
    click.echo()
    pairs = [
        {"people": f"{one['first']}, {one['second']}", "criterion": one["criterion"] or "verdict", "n": one["n"],
         "agree": _rate(one["agreement"]), "kappa": _rate(one["kappa"]), "note": "too few" if one["few"] else ""}
        for one in found["pairs"]
    ]  # fmt: skip
    columns = {"people": "PAIR", "criterion": "CRITERION", "n": "ITEMS", "agree": "AGREE", "kappa": "KAPPA", "note": ""}
    show_table(pairs, columns, empty="No two people labelled the same item yet.")


@command.command("close", epilog="Example:  trimtab review close rev_01")
@click.argument("queue")
@json_option
@eval_options
def close(remote: Remote, queue: str, as_json: bool) -> None:
    """End a queue: what was saved becomes labels, what waits is dropped."""
    found = remote.post(f"/api/review/queues/{queue}/close", {})
    if as_json:
        show_json(found)
    else:
        click.echo(f"{found['name']} is closed; labels are under {found['dataset']}.")


def _expert(text: str) -> dict[str, Any]:
    who, _, slices = text.partition(":")
    return {"who": who, "slices": [one for one in slices.split(",") if one]}


def _question(text: str) -> dict[str, str]:
    name, found, ask = text.partition("=")
    return {"name": name, "ask": ask} if found else {"name": "", "ask": text}


def _rate(value: dict[str, Any] | None) -> str:
    return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f}), n {value['n']}" if value else ""


def _row(queue: dict[str, Any]) -> dict[str, Any]:
    people = [f"{who} {counts['done']}/{counts['owed']}" for who, counts in sorted(queue["standing"].items())]
    state = "closed" if queue["closed_ns"] else "open"
    return {**queue, "people": ", ".join(people), "state": state, "made": moment(queue["time_ns"])}
