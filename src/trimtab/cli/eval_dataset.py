"""``trimtab eval dataset`` and ``convert``: cases from elsewhere, what is wrong with them, configurations of others."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from trimtab.core import BadInput
from trimtab.evals import (
    GOLDEN,
    KINDS,
    READERS,
    WRITERS,
    Case,
    Dataset,
    cases_of,
    check_cases,
    convert_promptfoo,
    read_cases,
    write_cases,
)
from trimtab.evals.dataset_routes import MAX_GOLDEN, MAX_GOLDEN_CASES

from .listing import json_option, moment, show_json, show_table
from .own_server import eval_options
from .remote import Remote


@click.group(
    "dataset",
    epilog="\b\nExamples:\n  trimtab eval dataset import support cases.csv --split test\n"
    "  trimtab eval dataset check support",
)
def dataset() -> None:
    """Import, export, list and check datasets."""


_kinds = click.Choice(list(KINDS))


@dataset.command("list", epilog="Example:  trimtab eval dataset list --kind adversarial --json")
@click.option("--kind", type=_kinds, default=None, help="Only datasets of this kind.")
@json_option
@eval_options
def listing(remote: Remote, kind: str | None, as_json: bool) -> None:
    """Every dataset with its kind and its live version."""
    rows = remote.get("/api/evals/datasets", kind=kind or "")["datasets"]
    if as_json:
        show_json(rows)
        return
    shown = [{**row, "live": row["live"] or "", "changed": moment(row["changed_ns"])} for row in rows]
    columns = {"name": "DATASET", "kind": "KIND", "cases": "CASES", "live": "LIVE", "versions": "VERSIONS",
               "changed": "CHANGED", "note": "NOTE"}  # fmt: skip
    none = f"No {kind} datasets." if kind else "No datasets yet. Import one: trimtab eval dataset import NAME FILE"
    show_table(shown, columns, empty=none)


@dataset.command(
    "kind",
    epilog="\b\nExamples:\n  trimtab eval dataset kind attacks adversarial\n  trimtab eval dataset kind support golden",
)
@click.argument("name")
@click.argument("kind", type=_kinds)
@click.option("--by", default="cli", help="Who you are.")
@eval_options
def kind_(remote: Remote, name: str, kind: str, by: str) -> None:
    """Say what a dataset is for: a new version with the same cases, at which production stands.

    golden is held out: its cases are looked for in other datasets and its labels never refine a judge. On adversarial
    a pass is an attack that failed. regression holds what went wrong once. benchmark, sampled and synthetic say where
    cases are from.
    """
    content = {**_whole(remote, name, needed=True), "kind": kind}
    number = _keep(remote, name.removeprefix("datasets:/"), content, by, f"it is {kind}")
    click.echo(f"datasets:/{name.removeprefix('datasets:/')}/{number} is {kind}: {KINDS[kind]}")


@dataset.command(
    "import",
    epilog="\b\nExamples:\n  trimtab eval dataset import support cases.jsonl\n"
    "  trimtab eval dataset import support export.jsonl --format langsmith --split dev\n"
    "  trimtab eval dataset import jailbreaks attacks.csv --kind adversarial\n"
    "  trimtab eval dataset import prefer pairs.jsonl --format pairs",
)
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(list(READERS)), default=None, help="By default by the ending.")
@click.option("--kind", type=_kinds, default=None, help="What the dataset is for; by default it stays what it is.")
@click.option("--split", default="", help="The split for cases that name none.")
@click.option("--replace", is_flag=True, help="The file is the whole dataset; by default its cases are added.")
@click.option("--note", default="", help="Where it is from and why.")
@click.option("--by", default="cli", help="Who you are.")
@json_option
@eval_options
def import_(  # house: parameters because each is an option of the command
    remote: Remote, name: str, file: Path, form: str | None, kind: str | None, split: str, replace: bool, note: str,
    by: str, as_json: bool,
) -> None:  # fmt: skip
    """Make a version of a dataset from a file, and let production stand at it. Cases that are there already stay."""
    read = read_cases(file.read_text(encoding="utf-8"), form or ("csv" if file.suffix == ".csv" else "jsonl"))
    whole = _whole(remote, name)
    kept: list[dict[str, Any]] = [] if replace else list(whole.get("cases", ()))
    seen = {case.identity for case in cases_of({"cases": kept})}
    added = 0
    for case in Dataset.of(name, read.cases).cases:
        if case.identity in seen:
            continue
        seen.add(case.identity)
        content = case.content
        content.setdefault("origin", f"file {file.name}")
        if split:
            content.setdefault("split", split)
        kept.append(content)
        added += 1
    said = note or f"{added} cases from {file.name}"
    found = kind or str(whole.get("kind", ""))
    number = _keep(remote, name, {**whole, "cases": kept, **({"kind": found} if found else {})}, by, said)
    if as_json:
        show_json({"dataset": f"{name}/{number}", "kind": found, "added": added, "cases": len(kept),
                   "left_out": list(read.left_out)})  # fmt: skip
        return
    told = f", {found}" if found else ""
    click.echo(f"datasets:/{name}/{number}: {added} case{'s' * (added != 1)} added, {len(kept)} in all{told}")
    for what in read.left_out:
        click.echo(f"left out: {what}", err=True)


def _keep(remote: Remote, name: str, content: Mapping[str, Any], by: str, note: str) -> int:
    """Register a version and let production stand at it; its number."""
    made = remote.post(f"/api/versions/datasets/{name}", {"content": content, "author": by, "note": note})
    move = {"kind": "datasets", "name": name, "label": "production", "number": made["number"], "actor": by}
    remote.post("/api/labels", {**move, "note": note})
    return int(made["number"])


@dataset.command("export", epilog="Example:  trimtab eval dataset export support --format csv > cases.csv")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(list(WRITERS)), default="jsonl", show_default=True)
@eval_options
def export(remote: Remote, name: str, form: str) -> None:
    """Print the cases. NAME is the live version, NAME/3 another one."""
    click.echo(write_cases(cases_of({"cases": _content(remote, name, needed=True)}), form), nl=False)


@dataset.command("check", epilog="Example:  trimtab eval dataset check support --near 0.8 --json")
@click.argument("name")
@click.option("--near", type=click.FloatRange(0, 1, min_open=True), default=0.8, show_default=True,
              help="From which similarity on two cases are near duplicates.")  # fmt: skip
@click.option("--against", multiple=True, help="Another dataset or file that must share nothing; again for more.")
@json_option
@eval_options
def check(remote: Remote, name: str, near: float, against: Sequence[str], as_json: bool) -> None:
    """Near duplicates, leaks between splits or from golden sets, torn groups; exit status 1 for a leak.

    NAME is a dataset or a file. Golden sets are held out: a case of a dataset that is near one of theirs is a leak. A
    file is looked at by itself, without a server, unless --against names what it must share nothing with.
    """
    cases = _cases(remote, name)
    golden = {} if Path(name).is_file() else _golden(remote, name.removeprefix("datasets:/").partition("/")[0])
    golden.update((other, Dataset.of(other, _cases(remote, other)).cases) for other in against)
    found = check_cases(Dataset.of(name, cases).cases, near, held_out=golden)
    if as_json:
        show_json({**asdict(found), "leaks": len(found.leaks), "clean": found.clean, "held_out": list(golden)})
    else:
        parts = ", ".join(f"{split or 'no split'} {n}" for split, n in sorted(found.splits.items()))
        click.echo(f"{found.cases} cases ({parts}); {found.empty_expected} without an expected answer, "
                   f"{found.unknown_origin} of unknown origin")  # fmt: skip
        for pair in found.near[:50]:
            where = f"  LEAK {pair.splits[0] or '-'} / {pair.splits[1] or '-'}" if pair.leaks else ""
            click.echo(f"near  {pair.similarity:.2f}  {pair.first}  {pair.second}{where}")
        for group in found.torn[:50]:
            click.echo(f"torn  {group} stands in several splits")
        if found.clean:
            also = f" Nothing of {', '.join(golden)} either." if golden else ""
            click.echo(f"No near duplicates, no leaks.{also}")
    sys.exit(1 if found.leaks or found.torn else 0)


@click.command(
    "convert",
    epilog="\b\nExamples:\n  trimtab eval convert promptfooconfig.yaml -o support.yaml\n"
    "  trimtab eval convert promptfooconfig.yaml --judge support-judge",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write; else printed.")
@click.option("--judge", default="", help="The model or route for rubrics that name none.")
@click.option("--gateway", default="", help="The gateway's address: its providers' models are routes here.")
@json_option
def convert(file: Path, output: Path | None, judge: str, gateway: str, as_json: bool) -> None:
    """A promptfooconfig.yaml as a file for `trimtab eval run`. What has no counterpart is named, not guessed."""
    text = file.read_text(encoding="utf-8")
    done = convert_promptfoo(text, lambda path: _text_of(file.parent / path), judge=judge, gateway=gateway)
    if as_json:
        show_json({"plans": done.plans, "left_out": done.left_out})
        return
    content = _as_config(done.plans)
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.representer.ignore_aliases = lambda *_: True  # what two targets share is written twice, for people to edit
    if output is None:
        yaml.dump(content, sys.stdout)
    else:
        with output.open("w", encoding="utf-8") as out:
            yaml.dump(content, out)
        click.echo(f"{output}: {len(done.plans)} targets, {len(done.plans[0]['cases'])} cases", err=True)
    for what in done.left_out:
        click.echo(f"left out: {what}", err=True)


def _as_config(plans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Plans that differ in their target only, as one file."""
    first = {key: value for key, value in plans[0].items() if key not in ("name", "target")}
    if len(plans) == 1:
        return {"name": plans[0]["name"], "target": plans[0]["target"], **first}
    return {"targets": [{"name": plan["name"], **plan["target"]} for plan in plans], **first}


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"{path} cannot be read.", field="file", mend="Put it where the file names it.") from None


def _read(path: Path) -> list[Case]:
    return read_cases(_text_of(path), "csv" if path.suffix == ".csv" else "jsonl").cases


def _cases(remote: Remote, name: str) -> list[Case]:
    """The cases of a file, else of a dataset."""
    return _read(Path(name)) if Path(name).is_file() else cases_of({"cases": _content(remote, name, needed=True)})


def _golden(remote: Remote, but: str) -> dict[str, Sequence[Case]]:
    """The cases of the golden sets by "golden set NAME", without one of them, within the bounds of the server."""
    found: dict[str, Sequence[Case]] = {}
    room = MAX_GOLDEN_CASES
    for row in remote.get("/api/evals/datasets", kind=GOLDEN)["datasets"][:MAX_GOLDEN]:
        if row["name"] != but and row["cases"] <= room:
            room -= row["cases"]
            cases = cases_of({"cases": _content(remote, row["name"])})
            found[f"golden set {row['name']}"] = Dataset.of(row["name"], cases).cases
    return found


def _content(remote: Remote, name: str, *, needed: bool = False) -> list[dict[str, Any]]:
    """The cases of a dataset's live version, or of NAME/NUMBER; none where there is no such dataset."""
    return list(_whole(remote, name, needed=needed).get("cases", ()))


def _whole(remote: Remote, name: str, *, needed: bool = False) -> dict[str, Any]:
    """The content of a dataset's live version, or of NAME/NUMBER; empty where there is no such dataset."""
    bare, _, number = name.removeprefix("datasets:/").partition("/")
    if bare not in remote.get("/api/versions/datasets")["names"]:
        if needed:
            raise BadInput(f"There is no dataset {bare!r}.", field="name", mend="See `trimtab eval dataset list`.")
        return {}
    live = number or remote.get(f"/api/versions/datasets/{bare}")["labels"].get("production")
    if not live:
        return {}
    return dict(remote.get(f"/api/versions/datasets/{bare}/{live}")["content"])
