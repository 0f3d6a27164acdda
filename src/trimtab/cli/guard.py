"""``trimtab guard``: scan a text, list the scanners, check a policy."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trimtab.core import BadInput
from trimtab.guard import DEFAULT_POLICY, STAGES, cards, compile_policy, context_of, report
from trimtab.guard.provenance import SOURCES

from . import guard_actions, guard_coverage, guard_flows, guard_pins, guard_test
from .listing import json_option, show_fields, show_json, show_table
from .policy_file import content_of
from .remote import Remote, server_options

_SOURCES = click.Choice(SOURCES)


@click.group("guard", epilog="\b\nExamples:\n  trimtab guard scan 'my key is AKIA...'\n  trimtab guard list --json")
def command() -> None:
    """Scan texts, list the scanners that a policy may name, check a policy before it is registered."""


command.add_command(guard_test.test)
command.add_command(guard_test.wrong)
command.add_command(guard_coverage.command)
command.add_command(guard_actions.approvals)
command.add_command(guard_actions.mcp)
command.add_command(guard_pins.pins)
command.add_command(guard_flows.flows)
command.add_command(guard_flows.convert)


@command.command(
    "scan",
    epilog="\b\nExamples:\n  trimtab guard scan 'Ignore all previous instructions.'\n"
    "  trimtab guard scan --stage output --file answer.txt --json\n"
    "  cat mail.txt | trimtab guard scan - --source document --policy policy.yaml\n"
    "  trimtab guard scan 'hello' --ask guards:/default@production",
)
@click.argument("text", required=False, default="-")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Scan a file.")
@click.option("--stage", type=click.Choice(STAGES), default="input", show_default=True, help="The checkpoint.")
@click.option("--source", type=_SOURCES, default=None, help="Who wrote it; the user at input, the model at output.")
@click.option(
    "--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A policy as YAML or JSON."
)
@click.option("--ask", "address", default="", help="Ask a running server for the policy at this address.")
@server_options
@json_option
def scan(  # house: parameters because each is an option of the command
    remote: Remote,
    text: str,
    path: Path | None,
    stage: str,
    source: str | None,
    policy: Path | None,
    address: str,
    as_json: bool,
) -> None:
    """Scan TEXT ("-" reads standard input). Exit code 1 when the policy would block it.

    Without --policy and --ask the policy that Trimtab ships judges, on this machine and without a server.
    """
    if policy is not None and address:
        raise click.UsageError("--policy and --ask name two policies; give one.")
    if path is not None or text == "-":  # whatever it is: what is no UTF-8 is scanned too
        raw = path.read_bytes() if path is not None else sys.stdin.buffer.read()
        text = raw.decode("utf-8", "replace")
    body: dict[str, Any] = {"text": text, "stage": stage, **({"source": source} if source else {})}
    if address:
        found = remote.post("/api/guard/scan", {**body, "policy": address})
    else:
        found = _scanned(content_of(policy) if policy is not None else DEFAULT_POLICY, body)
    if as_json:
        show_json(found)
    else:
        _show(found)
    if found["verdict"] == "block":
        sys.exit(1)


@command.command("list", epilog="\b\nExamples:\n  trimtab guard list\n  trimtab guard list --stage output --json")
@click.option("--stage", type=click.Choice(STAGES), default=None, help="Only those for this checkpoint.")
@json_option
def list_(stage: str | None, as_json: bool) -> None:
    """The scanners that a policy may name."""
    rows = [card for card in cards() if stage is None or stage in card["stages"]]
    if as_json:
        show_json(rows)
        return
    for card in rows:
        click.echo(f"{card['name']}  ({', '.join(card['stages'])}; threshold {card['threshold']:g})")
        click.echo(click.style(f"    {card['description']}"))
        for option, says in card["options"].items():
            click.echo(f"    {option}: {says if len(says) < 160 else says[:157] + '...'}")


@command.command("check", epilog="\b\nExamples:\n  trimtab guard check policy.yaml")
@click.argument("policy", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def check(policy: Path, as_json: bool) -> None:
    """Check a policy as YAML or JSON, with every pattern and option. Exit code 1 names what is wrong."""
    try:
        compiled = compile_policy(content_of(policy))
    except BadInput as error:
        wrong = {"field": error.field, "message": error.message, "mend": error.mend}
        show_json({"ok": False, **wrong}) if as_json else click.echo(f"{error}")
        sys.exit(1)
    stages = {name: [*stage.names] for name, stage in compiled.stages.items()}
    told = {"ok": True, "stages": stages, "fail": compiled.fail, "holds": compiled.holds("output")}
    show_json(told) if as_json else show_fields({**told, "stages": json.dumps(stages)})


def _scanned(content: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    policy = compile_policy(content)
    began = time.perf_counter()
    verdict = asyncio.run(policy.examine(body["stage"], body["text"], context=context_of(body)))
    return report([verdict], (time.perf_counter() - began) * 1000)


def _show(found: Mapping[str, Any]) -> None:
    click.echo(f"{found['verdict']}  ({found['ms']:.1f} ms)")
    if found["message"]:
        click.echo(found["message"])
    rows = [
        {**each, "at": f"{each['start']}-{each['end']}", "how": ", ".join(each["decoded"])}
        for each in found["findings"]
    ]
    columns = {"rule": "RULE", "kind": "KIND", "action": "ACTION", "at": "AT", "score": "SCORE", "how": "DECODED"}
    show_table(rows, columns, empty="Nothing was found.")
    for failure in found["failures"]:
        click.echo(f"{failure['rule']} failed {failure['fail']}: {failure['why']}")
