"""``trimtab asset``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from trimtab.core import Address, BadInput, parse_address

from .listing import json_option, moment, show_fields, show_json, show_table
from .policy_file import decoded
from .remote import Remote, server_options

#: Characters of a content: the server takes no more bytes.
_MOST = 16 << 20


@click.group(
    "asset",
    epilog="\b\nExamples:\n  trimtab asset list guards\n  trimtab asset diff guards:/default 1 2\n"
    "  trimtab asset label routes:/support production 3 --by mara",
)
def command() -> None:
    """Versions, labels, gates and protection of every kind of asset.

    The kinds are prompts, models, corpora, guards, routes, judges, datasets, monitors
    and scorers.
    """


@command.command("list", epilog="Example:  trimtab asset list guards --json")
@click.argument("kind")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@json_option
@server_options
def listing(remote: Remote, kind: str, limit: int, as_json: bool) -> None:
    """The assets of a kind and where their labels stand."""
    rows = remote.get(f"/api/versions/{quote(kind, safe='')}", limit=limit)["assets"]
    if as_json:
        show_json(rows)
        return
    shown = [{**row, "labels": " ".join(f"{k}={v}" for k, v in sorted(row["labels"].items()))} for row in rows]
    columns = {"name": "NAME", "versions": "VERSIONS", "labels": "LABELS"}
    show_table(shown, columns, empty=f"No {kind} yet. Push one: trimtab asset push {kind}:/NAME FILE.json")


@command.command("show", epilog="Example:  trimtab asset show guards:/default/2")
@click.argument("address")
@json_option
@server_options
def show(remote: Remote, address: str, as_json: bool) -> None:
    """One version: ADDRESS is KIND:/NAME/NUMBER or KIND:/NAME@LABEL."""
    found = remote.get("/api/resolve", address=address)
    if as_json:
        show_json(found)
        return
    show_fields({
        "asset": found["address"], "labels": " ".join(found["labels"]), "author": found["author"],
        "note": found["note"], "made": moment(found["created_ns"]),
        "edited from": " ".join(f"{found['name']}/{number}" for number in found["parents"]),
        **{f"needs {kind}": value for kind, value in found["needs"].items()}, "digest": found["digest"],
    })  # fmt: skip
    click.echo()
    click.echo(json.dumps(found["content"], indent=2, ensure_ascii=False))


@command.command("diff", epilog="Example:  trimtab asset diff guards:/default 1 2")
@click.argument("asset")
@click.argument("before")
@click.argument("after")
@json_option
@server_options
def diff(remote: Remote, asset: str, before: str, after: str, as_json: bool) -> None:
    """What changed from one version to another; BEFORE and AFTER are numbers or labels."""
    found = remote.get(_path(_asset(asset), "versions") + "/diff", **{"from": before, "to": after})
    if as_json:
        show_json(found)
        return
    if found["same"]:
        click.echo("The same.")
    for edit in found["edits"]:
        click.echo(_clean(edit["text"]))
        if edit["words"]:
            click.echo("  " + _clean(_marked(edit["words"])).replace("\n", "\n  "))
    if found["more"]:
        click.echo(f"and {found['more']} more")


@command.command(
    "push",
    epilog="\b\nExamples:\n  trimtab asset push guards:/default policy.yaml --author mara --parent 1\n"
    "  trimtab asset push judges:/quality judge.json",
)
@click.argument("asset")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--author", default="", help="Who wrote it.")
@click.option("--note", default="", help="What changed and why.")
@click.option("--parent", "parents", type=int, multiple=True, help="The version it was edited from.")
@click.option("--needs", multiple=True, metavar="KIND=ADDRESS", help="What it was tested with, e.g. corpora=docs/3.")
@server_options
def push(
    remote: Remote, asset: str, file: Path, author: str, note: str, parents: tuple[int, ...], needs: tuple[str, ...]
) -> None:
    """Make a version of a file of JSON, or of YAML where its name ends in .yaml or .yml.

    The same content makes no new number; no label moves.
    """
    body = {"content": _content(file), "author": author, "note": note, "parents": list(parents), "needs": _needs(needs)}
    made = remote.post(_path(_asset(asset), "versions"), body)
    click.echo(made["address"])


def _content(file: Path) -> Any:
    """The content of a version in a file. A date in YAML is its text: JSON has none."""
    try:
        if file.suffix in (".yaml", ".yml"):
            return json.loads(_as_json(decoded(file), file))
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"not valid JSON: {error}.", field=str(file), mend="Correct the file.") from None


def _as_json(said: object, file: Path) -> str:
    """What YAML says, as JSON. Aliases of aliases can be far longer than their file. Raises BadInput, and what ``json``
    raises."""
    parts, size = [], 0
    for part in json.JSONEncoder(default=str, allow_nan=False).iterencode(said):
        parts.append(part)
        size += len(part)
        if size > _MOST:
            raise BadInput(f"is longer than {_MOST >> 20} MB.", field=str(file), mend="Write it without aliases.")
    return "".join(parts)


@command.command("label", epilog="Example:  trimtab asset label routes:/support production 3 --expect 2 --by mara")
@click.argument("asset")
@click.argument("label")
@click.argument("number", type=int)
@click.option("--expect", type=int, help="The number that the label must stand at now; 0 for a new label.")
@click.option("--override", default="", help="Why a missing gate is passed over; it stays visible in the ledger.")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--note", default="", help="Why.")
@server_options
def label(  # house: parameters because click passes every option by name
    remote: Remote, asset: str, label: str, number: int, expect: int | None, override: str, by: str, note: str
) -> None:
    """Move a label onto a version, for everybody at once."""
    where = _asset(asset)
    change = remote.post("/api/labels", {
        "kind": where.kind, "name": where.name, "label": label, "number": number, "expect": expect,
        "override": override, "actor": by, "note": note,
    })  # fmt: skip
    click.echo(f"{change['asset']}@{change['label']}: {change['before'] or 'new'} -> {change['after']}")


@command.command(
    "protect", epilog="Example:  trimtab asset protect prompts:/answer production --role admin --gate eval"
)
@click.argument("asset")
@click.argument("label")
@click.option("--role", type=click.Choice(["", "admin"]), default="", help="The role that moving the label needs.")
@click.option("--gate", default="", help="The gate that a version must have passed.")
@click.option("--by", default="cli", help="Who you are.")
@click.option("--note", default="", help="Why.")
@server_options
def protect(remote: Remote, asset: str, label: str, role: str, gate: str, by: str, note: str) -> None:
    """Say what it takes to move a label. Without --role and --gate the protection is taken away."""
    where = _path(_asset(asset), "labels") + f"/{quote(label, safe='')}/protection"
    found = remote.put(where, {"role": role, "gate": gate, "actor": by, "note": note})
    needs = [f"the role {found['role']}"] * bool(found["role"]) + [f"the gate {found['gate']}"] * bool(found["gate"])
    click.echo(f"{asset}@{label} needs {' and '.join(needs) or 'nothing'}.")


@command.command("gate", epilog="Example:  trimtab asset gate prompts:/answer/7 eval --passed --evidence 'run 12'")
@click.argument("address")
@click.argument("gate")
@click.option("--passed/--failed", required=True, default=None, help="The result.")
@click.option("--evidence", default="", help="What the result rests on.")
@click.option("--by", default="cli", help="Who you are.")
@server_options
def gate(remote: Remote, address: str, gate: str, passed: bool, evidence: str, by: str) -> None:
    """Record whether a version passed a gate. The latest result counts."""
    body = {"address": address, "gate": gate, "passed": passed, "evidence": evidence, "actor": by}
    found = remote.post("/api/gates", body)
    click.echo(f"{found['kind']}:/{found['name']}/{found['number']}: {gate} {'passed' if passed else 'failed'}")


def _asset(text: str) -> Address:
    return parse_address(text)


def _path(asset: Address, what: str) -> str:
    return f"/api/{what}/{quote(asset.kind, safe='')}/{quote(asset.name, safe='')}"


def _needs(said: tuple[str, ...]) -> dict[str, Any]:
    needs: dict[str, Any] = {}
    for text in said:
        kind, sign, value = text.partition("=")
        if not sign or not value:
            raise BadInput(f"{text!r} says no kind.", field="--needs", mend="Write KIND=ADDRESS, e.g. corpora=docs/3.")
        needs.setdefault(kind, []).append(value)
    return {kind: values[0] if len(values) == 1 else values for kind, values in needs.items()}


def _marked(words: list[dict[str, str]]) -> str:
    """The text with what was removed in [-...-] and what was added in {+...+}; long stretches that stayed are cut."""
    parts: list[str] = []
    for piece in words:
        text = piece["text"]
        if piece["op"] == "=":
            parts.append(text if len(text) <= 120 else f"{text[:50]} ... {text[-50:]}")
        else:
            parts.append(f"[-{text}-]" if piece["op"] == "-" else f"{{+{text}+}}")
    return "".join(parts)


def _clean(text: str) -> str:
    """A terminal is not a place for control characters that somebody wrote into a version."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text.replace("\t", "    "))
