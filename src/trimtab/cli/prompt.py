"""``trimtab prompt``."""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path
from typing import Any

import click

from trimtab.core import BadInput
from trimtab.prompts import read_prompt_file

from .listing import json_option, moment, show_fields, show_json, show_table
from .prompt_exchange import export, import_
from .prompt_folder import check_folder, pull, push_folder
from .prompt_trial import render, test
from .prompt_version import find_version
from .remote import Remote, server_options


@click.group(
    "prompt",
    epilog="\b\nExamples:\n  trimtab prompt push support-answer answer.json --note 'shorter'\n"
    "  trimtab prompt rollout support-answer 2 --share 10\n  trimtab prompt rollback support-answer --by mara",
)
def command() -> None:
    """List, show, compare, test, publish and roll back prompts, and keep them in step with a folder."""


for _command in (import_, export, pull, test, render):
    command.add_command(_command)


@command.command("list", epilog="Example:  trimtab prompt list --json")
@json_option
@server_options
def listing(remote: Remote, as_json: bool) -> None:
    """Every prompt and what is live."""
    names = remote.get("/api/versions/prompts")["names"]
    rows = [{"name": name, **_standing(remote, name)} for name in names]
    if as_json:
        show_json(rows)
        return
    columns = {"name": "PROMPT", "live": "LIVE", "versions": "VERSIONS", "rollout": "ROLLOUT"}
    show_table(rows, columns, empty="No prompts yet. Push one: trimtab prompt push NAME FILE.json")


@command.command("show", epilog="Example:  trimtab prompt show support-answer/2")
@click.argument("prompt")
@json_option
@server_options
def show(remote: Remote, prompt: str, as_json: bool) -> None:
    """One version: PROMPT is NAME (the live one) or NAME/NUMBER."""
    found = find_version(remote, prompt)
    if as_json:
        show_json(found)
        return
    show_fields({"prompt": f"{found['name']}/{found['number']}", "author": found["author"], "note": found["note"],
                 "made": moment(found["created_ns"]), "digest": found["digest"]})  # fmt: skip
    click.echo()
    click.echo(_readable(found["content"]))


@command.command("diff", epilog="Example:  trimtab prompt diff support-answer 1 2")
@click.argument("name")
@click.argument("before", type=int)
@click.argument("after", type=int)
@server_options
def diff(remote: Remote, name: str, before: int, after: int) -> None:
    """What changed from one version to another."""
    old, new = (_readable(find_version(remote, f"{name}/{n}")["content"]).splitlines() for n in (before, after))
    for line in difflib.unified_diff(old, new, f"{name}/{before}", f"{name}/{after}", lineterm=""):
        click.echo(line)


@command.command(
    "push",
    epilog="\b\nExamples:\n  trimtab prompt push support-answer answer.json --author mara --live\n"
    "  trimtab prompt push prompts/ --note 'shorter'\n  trimtab prompt push prompts/ --check",
)
@click.argument("target")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--author", default="", help="Who wrote it.")
@click.option("--note", default="", help="What changed and why.")
@click.option("--live", is_flag=True, help="Let everybody have it at once, without a rollout.")
@click.option("--check", is_flag=True, help="Change nothing; exit status 1 if a folder and the registry differ.")
@server_options
def push(remote: Remote, target: str, file: Path | None, author: str, note: str, live: bool, check: bool) -> None:
    """Make versions of files.

    With FILE, TARGET is the name of a prompt and FILE holds its content as JSON ({"messages": [...]}) or as it was
    exported. Without, TARGET is a folder that was pulled, and each changed file becomes a version. The same content
    makes no new number.
    """
    if file is None:
        folder = Path(target)
        if not folder.is_dir():
            raise BadInput(f"{target} is no folder.", field="target", mend="Name a prompt and a file, or a folder.")
        apart = check_folder(remote, folder) if check else push_folder(remote, folder, author, note, live=live)
        sys.exit(1 if apart else 0)
    if check:
        raise BadInput("is for a folder.", field="--check", mend="Name a folder only.")
    content = read_prompt_file(file.read_text(encoding="utf-8"), file.name).content
    made = remote.post(f"/api/versions/prompts/{target}", {"content": content, "author": author, "note": note})
    click.echo(f"{target}/{made['number']}")
    if live:
        remote.post("/api/labels", {"kind": "prompts", "name": target, "label": "production", "number": made["number"],
                                    "actor": author or "cli", "note": note})  # fmt: skip
        click.echo("live for everybody", err=True)


@command.command("rollout", epilog="Example:  trimtab prompt rollout support-answer 2 --share 10 --by mara")
@click.argument("name")
@click.argument("number", type=int)
@click.option("--share", type=click.FloatRange(0, 100), required=True, help="Percent of the sessions that get it.")
@click.option("--sticky", type=click.Choice(["session", "user", "request"]), default="session", show_default=True)
@click.option("--by", default="cli", help="Who you are.")
@server_options
def rollout(remote: Remote, name: str, number: int, share: float, sticky: str, by: str) -> None:
    """Let a share of the sessions have a version."""
    change = remote.post("/api/rollouts", {"kind": "prompts", "name": name, "number": number, "share": share / 100,
                                           "sticky": sticky, "actor": by})  # fmt: skip
    click.echo(f"{change['rollout']}: {name}/{number} for {share:g} % of {sticky}s")


@command.command("rollback", epilog="Example:  trimtab prompt rollback support-answer --by mara")
@click.argument("name")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--note", default="", help="Why.")
@server_options
def rollback(remote: Remote, name: str, by: str, note: str) -> None:
    """Take the last change of a prompt back, from the next request on."""
    change = remote.post("/api/rollback", {"kind": "prompts", "name": name, "actor": by, "note": note})
    click.echo(f"{change['before']} -> {change['after']}")


def _standing(remote: Remote, name: str) -> dict[str, Any]:
    found = remote.get(f"/api/versions/prompts/{name}")
    running = found.get("rollout")
    return {
        "live": found["labels"].get("production"),
        "versions": len(found["versions"]),
        "rollout": f"v{running['candidate']} {running['share'] * 100:g} %" if running else "",
    }


def _readable(content: dict[str, Any]) -> str:
    parts = [f"[{message['role']}]\n{message['content']}" for message in content.get("messages", [])]
    rest = {key: value for key, value in content.items() if key != "messages"}
    return "\n\n".join([*parts, *([json.dumps(rest, indent=2, sort_keys=True, ensure_ascii=False)] if rest else [])])
