"""``trimtab eval live``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from .listing import json_option, show_json, show_table
from .remote import Remote, server_options


@click.command("live", epilog="Example:  trimtab eval live --hours 24 --json")
@click.option("--hours", type=click.IntRange(1, 744), default=24, show_default=True, help="How far back rates look.")
@click.option("--project", default="default", show_default=True, help="Whose traffic.")
@json_option
@server_options
def live(remote: Remote, hours: int, project: str, as_json: bool) -> None:
    """The scorers of live traffic: what each sees, what it has spent today, and the rates of its scores.

    Lists of scorers are assets: `trimtab asset push scorers:/NAME FILE.json` makes a version of one.
    """
    found = remote.get("/api/evals/live", hours=hours, project=project)
    if as_json:
        show_json(found)
        return
    columns = {"score": "SCORE", "kind": "SCORER", "sees": "SEES", "spent": "SPENT TODAY", "note": "NOTE"}
    none = "No live scorers yet. Push a list: trimtab asset push scorers:/NAME FILE.json"
    show_table([_scorer(line) for line in found["scorers"]], columns, empty=none)
    if found["rates"]:
        click.echo()
        columns = {"score": "SCORE", "rate": "RATE", "interval": "95 %", "n": "N", "corrected": "CORRECTED BY LABELS",
                   "by": "BY", "others": "LEFT OUT"}  # fmt: skip
        show_table([_rate(rate) for rate in found["rates"]], columns, empty="")
    for note in found["notes"]:
        click.echo(f"\n{note}")


def _scorer(line: Mapping[str, Any]) -> dict[str, Any]:
    raised = f", up to {line['sample_raised']:.0%}" if line["sample_raised"] > line["sample"] else ""
    spent = f"${line['spent_usd']:.4f}" + (f" of ${line['budget_usd']:g}" if line["budget_usd"] else "")
    unpriced = f", {line['unpriced']} unpriced" if line["unpriced"] else ""
    note = line["problem"] or ("rests until midnight UTC" if line["resting"] else "")
    return {
        "score": line["score"], "kind": line["kind"],
        "sees": f"{line['sample']:.0%}{raised}" if line["kind"] else "",
        "spent": spent + unpriced if line["asks"] else "free",
        "note": note or (f"{line['errors']} not scored" if line["errors"] else ""),
    }  # fmt: skip


def _rate(rate: Mapping[str, Any]) -> dict[str, Any]:
    found = rate["rate"]
    return {
        "score": rate["score"], "rate": f"{found['value']:.3f}", "n": found["n"],
        "interval": f"{found['low']:.3f} to {found['high']:.3f}", "by": rate["by_version"] or rate["by"],
        "others": rate["others"] or "",
        "corrected": _corrected(rate["corrected"], rate["labels"]),
    }  # fmt: skip


def _corrected(found: Mapping[str, Any] | None, labels: int) -> str:
    if found is None:
        return ""
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f}), {labels} labels"
