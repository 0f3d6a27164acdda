"""``trimtab eval calibrate`` and ``label``: judges beside people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trimtab.core import BadInput
from trimtab.evals.judge import MAX_EXAMPLES

from .eval_run import estimated, watch
from .listing import json_option, show_json
from .own_server import eval_options
from .remote import Remote


@click.command(
    "calibrate",
    epilog="\b\nExamples:\n  trimtab eval calibrate RUN --score quality --labels support\n"
    "  trimtab eval calibrate RUN --score quality --refine\n"
    "  trimtab eval calibrate RUN --score quality --examples 6",
)
@click.argument("run_id", metavar="RUN")
@click.option("--score", default="", help="The judge's score; not needed where there is only one.")
@click.option("--labels", default="", help="The dataset whose labels count; by default the run's own.")
@click.option("--test-share", type=click.FloatRange(0, 1, min_open=True), default=0.5, show_default=True,
              help="Part of the labels that only measures and never refines.")  # fmt: skip
@click.option("--refine", is_flag=True, help="Draft a better rubric from the disagreements; costs one call.")
@click.option("--examples", type=click.IntRange(1, MAX_EXAMPLES), default=None,
              help="Write a judge version with so many of the experts' examples, and measure it too.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask before the new version costs money.")
@json_option
@eval_options
def calibrate(  # house: parameters because each is an option of the command
    remote: Remote, run_id: str, score: str, labels: str, test_share: float, refine: bool, examples: int | None,
    yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """How far a judge agrees with people: kappa with its interval on labels that were not used for refining.

    A judge that compares two answers is measured by people's preferences, and looked through for what the order, the
    length and the style of answers do to it.
    """
    path = f"/api/evals/runs/{run_id}"
    asked = {"score": score, "labels": labels, "test_share": test_share}
    found = remote.post(f"{path}/calibrate", asked, timeout=300)
    draft = remote.post(f"{path}/refine", {"score": score, "labels": labels}, timeout=300) if refine else None
    if not as_json:
        _show_calibration(found, draft)
    made = _with_examples(remote, path, {**asked, "count": examples}, yes=yes, quiet=as_json) if examples else None
    if as_json:
        show_json({**found, **({"draft": draft} if draft else {}), **({"with_examples": made} if made else {})})
    elif made:
        click.echo(f"\nWith {len(made['examples'])} examples, {made['version']}, on the same untouched labels:\n")
        click.echo(made["calibration"]["markdown"].strip())
        name, _, number = made["version"].rpartition("/")
        click.echo(f"\nNo label stands at it yet. To use it: trimtab asset label {name} production {number}")


def _show_calibration(found: Mapping[str, Any], draft: Mapping[str, Any] | None) -> None:
    click.echo(found["markdown"].strip())
    if found["disagreements"]:
        count = len(found["disagreements"])
        click.echo(f"\nWhere they differ among the labels that may refine ({min(10, count)} of {count}):\n")
    for differ in found["disagreements"][:10]:
        said = f"experts {differ['expert']}, judge {differ['judge']}"
        click.echo(f"- {differ['case']}: {said}. {' / '.join(dict.fromkeys(differ['critiques']))[:200]}".rstrip())
    if draft:
        click.echo(f"\nA draft, to be read by a person before it becomes a version:\n\n{draft['rubric']}")


def _with_examples(remote: Remote, path: str, asked: Mapping[str, Any], *, yes: bool, quiet: bool) -> dict[str, Any]:
    """Register the judge with examples, let it judge the untouched answers, and measure it on them."""
    made: dict[str, Any] = remote.post(f"{path}/examples", {**asked, "actor": "cli"}, timeout=300)
    if not quiet:
        click.echo(f"\n{made['version']} is the judge with these examples:\n")
        for example in made["examples"]:
            wrong = f", where the judge said {example['judge']}"
            said = example["verdict"] + (wrong if example["judge"] not in ("", example["verdict"]) else "")
            click.echo(f"- {example['case']}: {said}. {example['critique'][:200]}".rstrip())
    estimate = remote.post("/api/evals/runs", {**made["run"], "estimate": True}, timeout=120)
    click.echo(f"\n{estimated(estimate)}", err=True)
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    started = remote.post("/api/evals/runs", {**made["run"], "actor": "cli"}, timeout=120)
    ended = watch(remote, str(started["id"]), quiet=quiet)
    if ended["state"] != "done":
        raise BadInput(f"{ended['id']} is {ended['state']}: {ended['reason']}", field="run", mend="Resume it.")
    again = {"labels": made["labels"], "score": asked["score"], "test_share": asked["test_share"]}
    calibration = remote.post(f"/api/evals/runs/{ended['id']}/calibrate", again, timeout=300)
    return {**{key: made[key] for key in ("version", "examples")}, "run": ended["id"], "calibration": calibration}


@click.command(
    "label",
    epilog="\b\nExamples:\n  trimtab eval label support labels.jsonl\n  trimtab eval label support > labels.jsonl",
)
@click.argument("dataset")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@json_option
@eval_options
def label(remote: Remote, dataset: str, file: Path | None, as_json: bool) -> None:
    """Add people's labels of a dataset's cases from JSON lines or CSV; without FILE, print those that are there.

    A label has case, value (pass, fail or a number from 0 to 1) and by, and may have criterion, critique, group, blind.
    A file of pairs has question, a, b and preferred (a, b or tie): a label of 1 says that a is the better answer.
    """
    if file is None:
        for part in remote.parts("/api/evals/labels", dataset=dataset):
            click.echo(part, nl=False)
        return
    found = remote.post("/api/evals/labels", {"dataset": dataset, "labels": file.read_text(encoding="utf-8")})
    if as_json:
        show_json(found)
    else:
        click.echo(f"{found['new']} new labels of {found['labels']}")
