"""``trimtab eval``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trimtab.core import BadInput
from trimtab.evals import METHODS
from trimtab.evals.rendering import METHOD_NAMES

from .eval_dataset import convert, dataset
from .eval_judge import calibrate, label
from .eval_live import live
from .eval_run import interval_of, run
from .listing import json_option, moment, show_fields, show_json, show_table
from .own_server import eval_options
from .remote import Remote

method_option = click.option(
    "--method", type=click.Choice(list(METHODS)), default="auto", show_default=True,
    help="How labels correct a judge: ppi (PPI++) where they are a random sample of this run, rogan-gladen where the "
    "judge was calibrated on other cases.",
)  # fmt: skip


@click.group(
    "eval",
    epilog="\b\nExamples:\n  trimtab eval run support.yaml --max-cost 2\n"
    "  trimtab eval show RUN\n  trimtab eval gate RUN --baseline RUN",
)
def command() -> None:
    """Run evaluations, compare and gate them, calibrate judges, keep datasets."""


for _command in (run, dataset, convert, calibrate, label, live):
    command.add_command(_command)


@command.command("list", epilog="Example:  trimtab eval list --state running,done --json")
@click.option("--state", default="", help="waiting, running, done, stopped, failed; several with commas.")
@click.option("--name", default="", help="Runs of this name only.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@click.option("--cursor", default="", help="Go on where the page before ended.")
@json_option
@eval_options
def listing(remote: Remote, state: str, name: str, limit: int, cursor: str, as_json: bool) -> None:
    """Runs, newest first, with the means of their scores."""
    page = remote.get("/api/evals/runs", state=state, name=name, limit=limit, cursor=cursor)
    if as_json:
        show_json(page)
        return
    kinds = {"kind": "KIND"} if any(one["plan"].get("kind") for one in page["runs"]) else {}
    columns = {"id": "RUN", "name": "NAME", **kinds, "state": "STATE", "at": "STARTED", "done": "DONE",
               "errors": "ERRORS", "cost": "COST", "scores": "SCORES"}  # fmt: skip
    show_table([_row(one) for one in page["runs"]], columns, empty="No runs yet. Start one: trimtab eval run --help")
    if page["cursor"]:
        click.echo(f"More: --cursor {page['cursor']}", err=True)


@command.command("show", epilog="Example:  trimtab eval show run_01 --failures --limit 20")
@click.argument("run_id", metavar="RUN")
@click.option("--failures", is_flag=True, help="Only answers where something is wrong.")
@click.option("--case", default="", help="Only the answers to this case.")
@click.option("--limit", type=click.IntRange(0, 1000), default=10, show_default=True, help="Answers to show.")
@json_option
@eval_options
def show(remote: Remote, run_id: str, failures: bool, case: str, limit: int, as_json: bool) -> None:
    """One run: its figures, and its answers with the worst first."""
    found = remote.get(f"/api/evals/runs/{run_id}", rates="1")
    flag = "1" if failures else ""
    path = f"/api/evals/runs/{run_id}/results"
    rows = remote.get(path, limit=limit, failures=flag, case=case)["results"] if limit else []
    if as_json:
        show_json({**found, "results": rows})
        return
    show_run(found)
    for row in rows:
        _show_result(row)


@command.command("compare", epilog="Example:  trimtab eval compare NEW OLD --score quality")
@click.argument("new")
@click.argument("old")
@click.option("--score", default="", help="The score; by default the only one, else all of them together.")
@json_option
@eval_options
def compare(remote: Remote, new: str, old: str, score: str, as_json: bool) -> None:
    """How a run differs from another one over the same cases: paired by case, with an interval."""
    _show_record(remote.get("/api/evals/compare", new=new, old=old, score=score), as_json=as_json)


@command.command(
    "gate",
    epilog="\b\nExamples:\n  trimtab eval gate NEW --baseline OLD --max-drop 0.03\n"
    "  trimtab eval gate NEW --floor 0.9 --score quality --junit report.xml --markdown comment.md\n"
    "  trimtab eval gate NEW --floor 0.9 --score quality --labels golden-support --method rogan-gladen",
)
@click.argument("run_id", metavar="RUN")
@click.option("--baseline", default="", help="The run to compare with.")
@click.option("--floor", type=click.FloatRange(0, 1), default=None, help="The pass rate that must be reached instead.")
@click.option("--max-drop", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="A drop that may be.")
@click.option("--alpha", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="False alarms allowed.")
@click.option("--score", default="", help="The score; by default the only one, else all of them together.")
@click.option("--labels", default="", help="The dataset whose labels correct a judge's pass rate.")
@method_option
@click.option("--any-time", is_flag=True, help="Ask while the run goes on, as often as you like.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML here.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown here.")
@json_option
@eval_options
def gate(  # house: parameters because each is an option of the command
    remote: Remote, run_id: str, baseline: str, floor: float | None, max_drop: float, alpha: float, score: str,
    labels: str, method: str, any_time: bool, junit: Path | None, markdown: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Pass, fail or cannot tell: exit status 0, 1 or 2."""
    if not baseline and floor is None:
        raise BadInput("is missing.", field="--baseline", mend="Name a run, or give --floor.")
    asked = {"baseline": baseline, "floor": floor, "max_drop": max_drop, "alpha": alpha, "score": score,
             "labels": labels, "method": method, "any_time": "1" if any_time else ""}  # fmt: skip
    found = remote.get("/api/evals/gate", run=run_id, **asked)
    if junit is not None:
        junit.write_bytes(b"".join(remote.parts(f"/api/evals/runs/{run_id}/junit", **asked)))
    if markdown is not None:
        markdown.write_text(found["markdown"] + "\n", encoding="utf-8")
    _show_record(found, as_json=as_json)
    sys.exit(found["exit_code"])


@command.command(
    "estimate",
    epilog="\b\nExamples:\n  trimtab eval estimate RUN --score quality --labels support\n"
    "  trimtab eval estimate RUN --score quality --labels golden-support --method rogan-gladen",
)
@click.argument("run_id", metavar="RUN")
@click.option("--score", default="", help="The score; by default the only one, else all of them together.")
@click.option("--labels", default="", help="The dataset whose labels correct it; by default the run's own.")
@method_option
@json_option
@eval_options
def estimate(remote: Remote, run_id: str, score: str, labels: str, method: str, as_json: bool) -> None:
    """The pass rate with its interval; that of a judge is corrected by people's labels where there are any.

    The method auto takes PPI++ with labels of the run's own cases, and Rogan-Gladen where the judge's error rates are
    known from calibrating it on other cases.
    """
    asked = {"score": score, "labels": labels, "method": method}
    _show_record(remote.get(f"/api/evals/runs/{run_id}/rate", **asked), as_json=as_json)


@command.command("stability", epilog="Example:  trimtab eval stability RUN --score quality")
@click.argument("run_id", metavar="RUN")
@click.option("--score", default="", help="The score; by default the only one, else all of them together.")
@click.option("--embeddings", default="", help="The model that compares answers, provider/model; or words.")
@click.option("--same", type=click.FloatRange(0, 1), default=None, help="How alike two answers that say the same are.")
@json_option
@eval_options
def stability(remote: Remote, run_id: str, score: str, embeddings: str, same: float | None, as_json: bool) -> None:
    """What repeats of a run say: how much is cases, generation and judge, which cases flip, how answers differ."""
    asked = {"score": score, "embeddings": embeddings, **({} if same is None else {"same": same})}
    _show_record(remote.get(f"/api/evals/runs/{run_id}/stability", **asked), as_json=as_json)


@command.command("power", epilog="Example:  trimtab eval power --cases 300 --repeats 1 --drop 0.05")
@click.option("--cases", type=click.IntRange(1, 1_000_000), required=True)
@click.option("--repeats", type=click.IntRange(1, 100), default=1, show_default=True)
@click.option("--drop", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="The drop to be found.")
@click.option("--rate", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="The pass rate as it is.")
@click.option("--steadiness", type=click.FloatRange(0, 1), default=None, help="From `trimtab eval stability`.")
@json_option
@eval_options
def power(
    remote: Remote, cases: int, repeats: int, drop: float, rate: float, steadiness: float | None, as_json: bool
) -> None:
    """What a comparison of that size would find, before anything is run."""
    asked = {"cases": cases, "repeats": repeats, "drop": drop, "rate": rate, "steadiness": steadiness}
    _show_record(remote.get("/api/evals/power", **asked), as_json=as_json)


@command.command("stop", epilog="Example:  trimtab eval stop RUN")
@click.argument("run_id", metavar="RUN")
@click.option("--by", default="cli", help="Who you are.")
@eval_options
def stop(remote: Remote, run_id: str, by: str) -> None:
    """Stop a run: what is under way ends, and `resume` goes on from there."""
    found = remote.post(f"/api/evals/runs/{run_id}/stop", {"actor": by})
    click.echo(f"{run_id}: {found['state']}")


def show_run(found: Mapping[str, Any]) -> None:
    """A run's own fields and the table of its scores."""
    progress = found["progress"]
    retries = ", ".join(f"{n} after {code}" for code, n in progress.get("retries", {}).items())
    show_fields({
        "run": found["id"], "name": found["name"], "state": found["state"], "why": found["reason"],
        "by": found["actor"], "dataset": found["dataset"], "kind of cases": found["plan"].get("kind", ""),
        "started": moment(found["started_ns"]),
        "answers": f"{progress['done']} of {progress['total']}", "errors": progress["errors"] or "",
        "score errors": progress["score_errors"] or "", "tried again": retries, "cost": _cost(progress),
        "from the cache": found.get("cached") or "",
    })  # fmt: skip
    click.echo()
    rows = [
        {
            **row, "rate": f"{row['passed']}/{row['n']}", "interval": interval_of(row),
            "judge": row.get("status", {}).get("state", ""),
            "corrected": _corrected(row.get("rate")) if row["n"] else "",
        }
        for row in found["scores"]
    ]  # fmt: skip
    columns = {
        "name": "SCORE", "mean": "MEAN", "rate": "PASSED", "interval": "95 %", "errors": "ERRORS", "judge": "JUDGE",
        **({"corrected": "CORRECTED BY LABELS"} if any(row["corrected"] for row in rows) else {}),
    }  # fmt: skip
    show_table(rows, columns, empty="No scores yet.")


def _corrected(rate: Mapping[str, Any] | None) -> str:
    """A judge's pass rate after correction with its method, sample size and interval, in words."""
    if not rate:
        return ""
    if "refused" in rate:
        return f"refused: {rate['refused']}"
    if not rate["labels"]:
        return "nothing: no label fits"
    low, high = rate["low"] * 100, rate["high"] * 100
    how = f"{METHOD_NAMES.get(rate['method'], rate['method'])}, {rate['labels']} labels"
    doubt = f"; {rate['doubt']}" if rate["doubt"] else ""
    return f"{rate['value'] * 100:.1f} % ({low:.1f} to {high:.1f}; {how}{doubt})"


def _show_result(row: Mapping[str, Any]) -> None:
    wrong = [f"{s['name']}: {s['error']}" for s in row["scores"] if s["error"]]
    low = [s for s in row["scores"] if s["value"] is not None and s["value"] < 0.5]
    said = [row["error"]] if row["error"] else [*wrong, *(f"{s['name']} {s['value']:g} {s['reason']}" for s in low)]
    mark = "error" if row["error"] or wrong else "FAIL" if low else "ok"
    repeat = f" #{row['repeat'] + 1}" if row["repeat"] else ""
    click.echo(f"\n{mark:<5} {row['case']}{repeat}" + (f": {_line('; '.join(said), 300)}" if said else ""))
    click.echo(f"      asked   {_line(row['asked'].get('input') or str(row['asked'].get('variables', '')), 200)}")
    if text := row["output"].get("text"):
        click.echo(f"      answer  {_line(text, 300)}")
    if row["trace_id"]:
        click.echo(f"      trace   {row['trace_id']}")


def _show_record(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(found)
    else:
        click.echo(found["markdown"].strip())


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    progress = one["progress"]
    means = [f"{s['name']} {s['mean']:.3g}" for s in one["scores"] if s["mean"] is not None]
    return {
        **one, "kind": one["plan"].get("kind", ""), "at": moment(one["started_ns"] or one["time_ns"]),
        "done": f"{progress['done']}/{progress['total']}", "errors": progress["errors"] or "",
        "cost": _cost(progress), "scores": ", ".join(means[:4]),
    }  # fmt: skip


def _cost(progress: Mapping[str, Any]) -> str:
    more = " and what has no price" if progress["unpriced"] else ""
    return f"${progress['cost_usd']:.4f}{more}"


def _line(text: str, limit: int) -> str:
    shown = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    return shown[:limit]
