"""``trimtab eval run``: what it will cost, the run itself, and how it goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from trimtab.core import BadInput
from trimtab.evals import KINDS, read_cases
from trimtab.evals.promptfoo_asserts import read_yaml

from .listing import json_option, show_json
from .own_server import eval_options
from .remote import Remote

#: Seconds between two looks at a run, and between two lines where no terminal shows a bar.
LOOK_S, LINE_S = 0.3, 10.0
ENDED = ("done", "stopped", "failed")
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".yaml": "promptfoo", ".yml": "promptfoo"}


@click.command(
    "run",
    epilog="\b\nExamples:\n  trimtab eval run support.yaml --max-cost 2 --yes\n"
    "  trimtab eval run --dataset datasets:/support --prompt support-answer/3 --scorer exact --repeats 3\n"
    "  trimtab eval run --resume RUN",
)
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--dataset", default="", help="datasets:/NAME, or a file of cases.")
@click.option("--kind", type=click.Choice(list(KINDS)), default=None, help="What cases of a file are for.")
@click.option("--split", default="", help="Only the cases of this split.")
@click.option("--prompt", default="", help="The prompt to ask with: prompts:/NAME@production or NAME/3.")
@click.option("--model", default="", help="A route or provider/model; by default what the prompt suggests.")
@click.option("--recorded", is_flag=True, help="Ask nobody: take the answers that the cases bring along.")
@click.option("--scorer", "scorers", multiple=True,
              help="A kind such as exact, or judges:/NAME, or pairwise=judges:/NAME; again for more.")  # fmt: skip
@click.option("--name", default="", help="The run's name.")
@click.option("--repeats", type=click.IntRange(1, 100), default=None, help="Answers to every case.")
@click.option("--judgements", type=click.IntRange(1, 100), default=None, help="Verdicts of each judge on every answer.")
@click.option("--limit", type=click.IntRange(0), default=None, help="Cases at most.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=None, help="Cases under way at once.")
@click.option("--max-cost", type=click.FloatRange(0, min_open=True), default=None, help="Stop at so many US dollars.")
@click.option("--cache", is_flag=True, help="Use what an earlier run has paid for.")
@click.option("--resume", default="", help="Let a run that ended early go on.")
@click.option("--estimate", is_flag=True, help="Only say what it would cost.")
@click.option("--detach", is_flag=True, help="Do not wait for the end.")
@click.option("--yes", is_flag=True, help="Do not ask before it costs money.")
@json_option
@eval_options
def run(  # house: parameters because each is an option of the command
    remote: Remote, config: Path | None, resume: str, estimate: bool, detach: bool, yes: bool, as_json: bool,
    max_cost: float | None, **given: Any,
) -> None:  # fmt: skip
    """Ask every case, score every answer, log it all.

    CONFIG is a YAML file (see docs/evaluation-runs.md); options overrule it. Exit status 2 when a run was stopped
    or failed.
    """
    if max_cost is not None:
        given["max_cost_usd"] = max_cost
    if resume:
        started = remote.post(f"/api/evals/runs/{resume}/resume", {"max_cost_usd": max_cost} if max_cost else {})
        sys.exit(_finish(remote, [started], detach=detach, as_json=as_json))
    plans = [_overruled(plan, given) for plan in plans_of(config)]
    estimates = [remote.post("/api/evals/runs", {**plan, "estimate": True}, timeout=120) for plan in plans]
    if estimate:
        if as_json:
            show_json(estimates)
        for found in estimates if not as_json else ():
            click.echo(estimated(found))
        return
    for found in estimates:
        click.echo(estimated(found), err=True)
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    runs = [remote.post("/api/evals/runs", {**plan, "actor": "cli"}, timeout=120) for plan in plans]
    sys.exit(_finish(remote, runs, detach=detach, as_json=as_json))


def plans_of(config: Path | None) -> list[dict[str, Any]]:
    """The plans of a file, one for each of its ``targets``; one empty plan without a file. Raises BadInput."""
    if config is None:
        return [{}]
    content = read_yaml(config.read_text(encoding="utf-8"), str(config))
    if not isinstance(content, Mapping):
        raise BadInput("holds no plan.", field=str(config), mend="Write dataset, target and scorers.")
    found = _plain(content)
    for name in ("cases", "dataset"):
        if isinstance(found.get(name), str):
            found |= _cases(found.pop(name), config.parent)
    targets = found.pop("targets", None)
    if targets is None:
        return [{"name": config.stem, **found}]
    if not isinstance(targets, list) or not targets or "target" in found:
        raise BadInput("must be a list, in place of target.", field="targets", mend="Write targets: [{model: ...}].")
    plans = []
    for number, target in enumerate(targets, 1):
        own = dict(target)
        name = own.pop("name", "") or f"{found.get('name', config.stem)}-{number}"
        plans.append({**found, "name": name, "target": own})
    return plans


def _overruled(plan: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(plan)
    for name in ("kind", "split", "name", "repeats", "judgements", "limit", "concurrency", "max_cost_usd"):
        if given.get(name) not in (None, ""):
            found[name] = given[name]
    if given["cache"]:
        found["cache"] = True
    if given["dataset"]:
        found.pop("cases", None)
        found.pop("dataset", None)
        found |= _cases(given["dataset"], Path())
    target = {**found.get("target", {}), **{k: given[k] for k in ("prompt", "model") if given[k]}}
    if given["recorded"]:
        target = {"recorded": True}
    if target:
        found["target"] = target
    if given["scorers"]:
        found["scorers"] = [_scorer(word) for word in given["scorers"]]
    return found


def _scorer(word: str) -> Any:
    """A scorer from a word: a kind, a judge, or a kind that a judge answers."""
    kind, _, judge = word.rpartition("=")
    return {"kind": kind or "judge", "judge": judge} if judge.startswith("judges:/") else word


def _cases(named: str, folder: Path) -> dict[str, Any]:
    """A dataset's address as it is; a file's cases, read here, because the server does not see this machine's files."""
    path = folder / named
    if named.startswith("datasets:/") or not path.suffix:
        return {"dataset": named}
    form = _SUFFIXES.get(path.suffix, "jsonl")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        said = f"{path} cannot be read: {error.strerror}."
        raise BadInput(said, field="dataset", mend="Name a file, or datasets:/NAME.") from None
    return {"cases": [case.content for case in read_cases(text, form).cases]}


def estimated(found: Mapping[str, Any]) -> str:
    """What a run will do and cost, in two sentences."""
    cost = found["cost_usd"]
    price = "at a price that is not known" if cost is None else f"for about ${cost:.4f}"
    what = f"{found['cases']} cases x {found['repeats']}"
    return (
        f"{found['name']}: {what}, {found['calls']:,} calls, about {found['input_tokens']:,} tokens in and "
        f"{found['output_tokens']:,} out, {price}. {found['power']['sentence']}."
    )


def _finish(remote: Remote, runs: Sequence[Mapping[str, Any]], *, detach: bool, as_json: bool) -> int:
    if detach:
        if as_json:
            show_json(list(runs))
        else:
            for one in runs:
                click.echo(one["id"])
        return 0
    ended = [watch(remote, str(one["id"]), quiet=as_json) for one in runs]
    if as_json:
        show_json(ended)
    else:
        for found in ended:
            _summary(found)
    return 0 if all(found["state"] == "done" for found in ended) else 2


def watch(remote: Remote, run_id: str, *, quiet: bool) -> dict[str, Any]:
    """Show a run's progress, cost so far and time left until it ends."""
    found: dict[str, Any] = remote.get(f"/api/evals/runs/{run_id}")
    if quiet:
        while found["state"] not in ENDED:
            time.sleep(LOOK_S)
            found = remote.get(f"/api/evals/runs/{run_id}")
        return found
    if not sys.stderr.isatty():
        return _watch_in_lines(remote, found)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(found["name"], total=max(1, found["progress"]["total"]), said="")
        while True:
            progress = found["progress"]
            said = "waits for its turn" if found["state"] == "waiting" else state_of(progress)
            bar.update(task, completed=progress["done"], said=said)
            if found["state"] in ENDED:
                return found
            time.sleep(LOOK_S)
            found = remote.get(f"/api/evals/runs/{run_id}")


def _watch_in_lines(remote: Remote, found: dict[str, Any]) -> dict[str, Any]:
    said_at = 0.0
    while found["state"] not in ENDED:
        if time.monotonic() - said_at >= LINE_S:
            said_at = time.monotonic()
            click.echo(f"{found['id']} {found['state']}: {state_of(found['progress'])}", err=True)
        time.sleep(LOOK_S)
        found = remote.get(f"/api/evals/runs/{found['id']}")
    return found


def state_of(progress: Mapping[str, Any]) -> str:
    """Progress in words: how far, what it cost so far, how long it still takes."""
    parts = [f"{progress['done']}/{progress['total']}", f"${progress['cost_usd']:.4f}"]
    if progress["unpriced"]:
        parts.append("some without a price")
    if progress["errors"] or progress["score_errors"]:
        parts.append(f"{progress['errors'] + progress['score_errors']} errors")
    if progress["retries"]:
        parts.append(f"{sum(progress['retries'].values())} tried again")
    if (left := progress["left_s"]) is not None and progress["done"] < progress["total"]:
        parts.append(f"{left:.0f} s left" if left < 120 else f"{left / 60:.0f} min left")
    return ", ".join(parts)


def interval_of(row: Mapping[str, Any]) -> str:
    """The 95 % interval of a score's share of passes, in words; empty where nothing is scored."""
    return "" if row["low"] is None else f"{row['low'] * 100:.0f} to {row['high'] * 100:.0f} %"


def _summary(found: Mapping[str, Any]) -> None:
    why = f" ({found['reason']})" if found["reason"] else ""
    click.echo(f"{found['id']}: {found['state']}{why}, {state_of(found['progress'])}")
    for row in found["scores"]:
        mean = "no value" if row["mean"] is None else f"{row['mean']:.3f}"
        rate = f"{row['passed']} of {row['n']} pass, {interval_of(row)}" if row["n"] else "nothing scored"
        errors = f", {row['errors']} errors" if row["errors"] else ""
        state = row.get("status", {}).get("state", "")
        judge = f", judge {state}" if state else ""
        click.echo(f"  {row['name']:<24} {mean}  ({rate}{errors}{judge})")
    click.echo(f"See the failures: trimtab eval show {found['id']} --failures", err=True)


def _plain(node: Any) -> Any:
    """YAML's own kinds of values as plain ones."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list) else node
