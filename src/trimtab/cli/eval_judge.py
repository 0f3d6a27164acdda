"""``trimtab eval calibrate`` and ``label``: judges beside people."""

from __future__ import annotations

from pathlib import Path

import click

from .listing import json_option, show_json
from .own_server import eval_options
from .remote import Remote


@click.command(
    "calibrate",
    epilog="\b\nExamples:\n  trimtab eval calibrate RUN --score quality --labels support\n"
    "  trimtab eval calibrate RUN --score quality --refine",
)
@click.argument("run_id", metavar="RUN")
@click.option("--score", default="", help="The judge's score; not needed where there is only one.")
@click.option("--labels", default="", help="The dataset whose labels count; by default the run's own.")
@click.option("--test-share", type=click.FloatRange(0, 1, min_open=True), default=0.5, show_default=True,
              help="Part of the labels that only measures and never refines.")  # fmt: skip
@click.option("--refine", is_flag=True, help="Draft a better rubric from the disagreements; costs one call.")
@json_option
@eval_options
def calibrate(
    remote: Remote, run_id: str, score: str, labels: str, test_share: float, refine: bool, as_json: bool
) -> None:
    """How far a judge agrees with people: kappa with its interval on labels that were not used for refining."""
    path = f"/api/evals/runs/{run_id}"
    found = remote.post(f"{path}/calibrate", {"score": score, "labels": labels, "test_share": test_share}, timeout=300)
    draft = remote.post(f"{path}/refine", {"score": score, "labels": labels}, timeout=300) if refine else None
    if as_json:
        show_json({**found, **({"draft": draft} if draft else {})})
        return
    click.echo(found["markdown"].strip())
    for differ in found["disagreements"][:10]:
        expert, judge = ("pass" if differ[by] else "fail" for by in ("expert", "judge"))
        click.echo(f"- {differ['case']}: experts {expert}, judge {judge}. {' / '.join(differ['critiques'])[:200]}")
    if draft:
        click.echo(f"\nA draft, to be read by a person before it becomes a version:\n\n{draft['rubric']}")


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
