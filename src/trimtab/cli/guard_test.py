"""``trimtab guard test`` and ``trimtab guard wrong``: what a policy stops wrongly, measured, and one such block."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trimtab.core import BadInput
from trimtab.guard import DEFAULT_POLICY, builtin, cases_from, compile_policy, measure

from .listing import json_option, show_fields, show_json, show_table
from .remote import Remote, server_options

_TIMEOUT_S = 120.0


@click.command(
    "test",
    epilog="\b\nExamples:\n  trimtab guard test --traffic 1000\n  trimtab guard test --policy guards:/default/3\n"
    "  trimtab guard test --data cases.jsonl --budget 0.005\n  trimtab guard test --here",
)
@click.option("--policy", default="guards:/default@production", show_default=True, help="The policy's address.")
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Cases, JSON lines.")
@click.option("--traffic", type=click.IntRange(0, 5000), default=0, help="So many of your own latest requests as well.")
@click.option("--budget", type=click.FloatRange(0, 1), default=None, help="Share of ordinary requests it may stop.")
@click.option("--here", is_flag=True, help="The policy that Trimtab ships, on this machine, without a server.")
@server_options
@json_option
def test(
    remote: Remote, policy: str, data: Path | None, traffic: int, budget: float | None, here: bool, as_json: bool
) -> None:
    """Measure a policy: what each scanner and all together stop wrongly and rightly. Exit code 1 over its budget.

    Without --data the built-in cases are used. A case is {"text": ..., "label": "benign" or "attack", "set"?: ...,
    "stage"?: ..., "source"?: user, document or tool, "answer"?: ...}; "messages" may stand for "text".
    """
    records = _records(data) if data is not None else []
    if here:
        cases = cases_from(records) if records else builtin()
        told = {"policy": "shipped", **measure(compile_policy(DEFAULT_POLICY), cases, budget=budget).told()}
    else:
        body: dict[str, Any] = {"policy": policy, "traffic": traffic, "cases": records, "builtin": not records}
        told = remote.post("/api/guard/test", {**body, "budget": budget}, timeout=_TIMEOUT_S)
    show_json(told) if as_json else _show(told)
    if told["over_budget"]:
        sys.exit(1)


@click.command(
    "wrong", epilog="\b\nExample:\n  trimtab guard wrong TRACE_ID --note 'a customer asking about our rules'"
)
@click.argument("trace_id")
@click.option("--note", default="", help="Why the block was wrong.")
@server_options
@json_option
def wrong(remote: Remote, trace_id: str, note: str, as_json: bool) -> None:
    """Say that a block was wrong: the request becomes a case of the dataset guard-benign."""
    kept = remote.post("/api/guard/wrong", {"trace_id": trace_id, "note": note})
    show_json(kept) if as_json else show_fields(kept)


def _records(path: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").split("\n"), 1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise BadInput(
                    f"line {number} is not JSON: {error}", field=str(path), mend="One object a line."
                ) from None
    return records


def _show(told: Mapping[str, Any]) -> None:
    columns = {"rule": "SCANNER", "false": "STOPS GOOD", "hard": "HARD", "recall": "ATTACKS", "only": "ONLY IT"}
    rows = [
        {
            "rule": row["rule"],
            "false": _rate(row["false_positives"]),
            "hard": _rate(row["hard"]),
            "recall": _rate(row["recall"]),
            "only": f"{row['only_it_recall']['hits']} found, {row['only_it_false']['hits']} wrong",
        }
        for row in told["scanners"]
    ]
    show_table(rows, columns, empty="The policy has no rule.")
    click.echo("")
    sets = [
        {
            "set": each["set"],
            "kind": "attack" if each["attack"] else "good",
            "stopped": _rate(each["stopped"]),
            "found": _rate(each["touched"]),
        }
        for each in told["sets"]
    ]
    show_table(
        sets, {"set": "SET", "kind": "KIND", "stopped": "STOPPED BY ALL", "found": "OR FLAGGED"}, empty="No case."
    )
    joint = told["false_positives"]
    click.echo(
        f"\nGood requests stopped: {_rate(joint)}; {told['independent']:.2%} if mistakes were independent; "
        f"budget {told['budget']:.2%}: {'OVER' if told['over_budget'] else 'kept'}. p50 {told['p50_ms']:g} ms, "
        f"p95 {told['p95_ms']:g} ms."
    )
    if (told.get("answered") or {}).get("n"):
        click.echo(f"Of those whose answers are known: {_rate(told['answered'])}.")
    for what, count in told["failures"].items():
        click.echo(f"A scanner failed {count} times: {what}", err=True)
    if told["cut"]:
        click.echo(f"{told['cut']} cases were left out because the time was spent.", err=True)


def _rate(rate: Mapping[str, Any]) -> str:
    if not rate["n"]:
        return "-"
    return f"{rate['share']:.2%} ({rate['hits']}/{rate['n']}; {rate['low']:.1%} to {rate['high']:.1%})"
