"""``trimtab prompt test`` and ``render``: what a prompt says, and what a model makes of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trimtab.core import BadInput
from trimtab.prompts import Variable, fill, variables_of

from .listing import json_option, show_json
from .prompt_version import find_version
from .remote import Remote, server_options

#: Cases asked in one request, and how long such a request may take, in seconds.
BATCH, PATIENCE_S = 8, 600.0


@click.command(
    "test",
    epilog="\b\nExamples:\n  trimtab prompt test support-answer/3\n"
    "  trimtab prompt test support-answer --cases datasets:/regressions --model scripted/steady --yes\n"
    "  trimtab prompt test support-answer/3 --gate regressions --yes",
)
@click.argument("prompt")
@click.option("--cases", default="", help="A dataset's address; by default the cases attached to the prompt.")
@click.option("--model", default="", help="provider/model or a route; by default what the prompt suggests.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Cases to ask at most.")
@click.option("--gate", default="", help="Record the result as this gate's, for labels that need it.")
@click.option("--yes", is_flag=True, help="Do not ask before it costs money.")
@json_option
@server_options
def test(  # house: parameters because each is an option of the command
    remote: Remote, prompt: str, cases: str, model: str, limit: int, gate: str, yes: bool, as_json: bool
) -> None:
    """Ask a model the prompt's cases and hold every answer against the prompt's assertions.

    PROMPT is NAME (the live version) or NAME/NUMBER. Exit status 1 when a case fails.
    """
    name, _, number = prompt.partition("/")
    if number and not number.isdigit():
        raise BadInput(f"{prompt!r} is no version.", field="prompt", mend="Write NAME or NAME/NUMBER.")
    plan = {"number": int(number or 0), "cases": cases, "model": model}
    path = f"/api/prompts/{name}/test"
    estimate = remote.post(path, {**plan, "limit": min(limit, 200), "estimate": True})
    plan["number"] = int(estimate["prompt"].rpartition("/")[2])  # the version that was priced is the one that is asked
    if not yes:
        click.confirm(f"{_estimated(estimate)} Go on?", abort=True, err=True)
    found = _run(remote, path, plan, limit, quiet=as_json)
    if gate:
        evidence = {key: found[key] for key in ("passed", "failed", "model", "cost_usd")}
        remote.post("/api/gates", {"address": f"prompts:/{found['prompt']}", "gate": gate, "actor": "cli",
                                   "passed": not found["failed"], "evidence": evidence})  # fmt: skip
    if as_json:
        show_json(found)
    else:
        _show(found)
    sys.exit(1 if found["failed"] else 0)


def _run(remote: Remote, path: str, plan: Mapping[str, Any], limit: int, *, quiet: bool) -> dict[str, Any]:
    """Ask in batches, so that each request ends and its results are seen when they are there."""
    whole: dict[str, Any] = {}
    for offset in range(0, limit, BATCH):
        body = {**plan, "offset": offset, "limit": min(BATCH, limit - offset)}
        try:
            part = remote.post(path, body, timeout=PATIENCE_S)
        except BadInput as error:
            if offset and error.field == "cases":  # there are no more
                break
            raise
        if not quiet:
            for result in part["results"]:
                _show_case(result)
        if not whole:
            whole = part
        else:
            whole["results"] += part["results"]
            whole["passed"] += part["passed"]
            whole["failed"] += part["failed"]
            costs = (whole["cost_usd"], part["cost_usd"])
            whole["cost_usd"] = None if None in costs else sum(costs)
        if len(part["results"]) < body["limit"]:
            break
    return whole


def _estimated(estimate: Mapping[str, Any]) -> str:
    cost = estimate["cost_usd"]
    price = "at a price that is not known" if cost is None else f"for about ${cost:.4f}"
    return (
        f"{estimate['prompt']}: {estimate['cases']} cases with {estimate['model']}, about {estimate['input_tokens']:,} "
        f"tokens in and {estimate['output_tokens']:,} out, {price}."
    )


def _show_case(result: Mapping[str, Any]) -> None:
    wrong = [f"{a['name']} {a['reason']}" for a in result["assertions"] if not a["ok"]]
    wrong += [result["error"]] if result["error"] else []
    click.echo(f"{'ok  ' if result['ok'] else 'FAIL'} {result['case']}" + (f": {'; '.join(wrong)}" if wrong else ""))
    if wrong:
        answer = " ".join(result["answer"].split())
        click.echo(f"     {answer[:200] or 'no answer'}  (trace {result['trace_id']})")


def _show(found: Mapping[str, Any]) -> None:
    if not any(result["assertions"] for result in found["results"]):
        click.echo("Nothing was asserted of any answer: give the prompt assertions.", err=True)
    cost = "price not known" if found["cost_usd"] is None else f"${found['cost_usd']:.4f}"
    click.echo(f"{found['prompt']} with {found['model']}: {found['passed']} passed, {found['failed']} failed, {cost}")


@click.command(
    "render",
    epilog="\b\nExamples:\n  trimtab prompt render support-answer --var product=lamps\n"
    '  trimtab prompt render support-answer/2 --var \'items=["a", "b"]\' --var text=@letter.txt',
)
@click.argument("prompt")
@click.option("--var", "pairs", multiple=True, metavar="NAME=VALUE", help="A variable; @FILE reads it from a file.")
@click.option("--message", default="", help="What the user says.")
@json_option
@server_options
def render(remote: Remote, prompt: str, pairs: tuple[str, ...], message: str, as_json: bool) -> None:
    """Print the messages that a model would get. PROMPT is NAME (the live one), NAME@LABEL or NAME/NUMBER.

    Variables that are not text are read as JSON. Passages are filled in by the gateway, and left empty here.
    """
    content = find_version(remote, prompt)["content"]
    known: dict[str, Mapping[str, Any]] = {}

    def resolve(address: str) -> Mapping[str, Any]:
        if address not in known:
            known[address] = find_version(remote, address)["content"]
        return known[address]

    declared = variables_of(content, resolve)
    given = {"passages": "", **dict(_variable(pair, declared) for pair in pairs)}
    asked = [{"role": "user", "content": message}] if message else []
    messages = fill(content, given, asked, resolve)
    if as_json:
        show_json(messages)
        return
    for each in messages:
        body = each["content"]
        click.echo(f"[{each['role']}]\n{body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)}\n")


def _variable(pair: str, declared: Mapping[str, Variable]) -> tuple[str, Any]:
    name, equals, text = pair.partition("=")
    if not equals or not name:
        raise BadInput(f"{pair!r} gives no value.", field="--var", mend="Write NAME=VALUE.")
    if text.startswith("@"):
        path = Path(text[1:])
        if not path.is_file():
            raise BadInput(f"there is no file {path}.", field=f"--var {name}", mend="Correct the path.")
        text = path.read_text(encoding="utf-8")
    if name not in declared or declared[name].type == "string":
        return name, text
    try:
        return name, json.loads(text)
    except ValueError:
        mend = f"It is of type {declared[name].type}: write it as JSON."
        raise BadInput(f"{text[:60]!r} is not JSON.", field=f"--var {name}", mend=mend) from None
