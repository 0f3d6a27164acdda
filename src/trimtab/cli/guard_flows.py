"""``trimtab guard flows`` and ``trimtab guard convert``: try a dialogue, bring one over from NeMo Guardrails."""

from __future__ import annotations

import sys
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from trimtab.core import BadInput
from trimtab.guard import compile_policy
from trimtab.guard.dialogue import Turn
from trimtab.guard.dialogue.nemo import convert as converted

from .listing import json_option, show_json, show_table
from .policy_file import content_of

_SHOWN = 60


@click.command(
    "flows",
    epilog="\b\nExamples:\n  trimtab guard flows policy.yaml 'hello' 'I feel good'\n"
    "  trimtab guard flows policy.yaml 'which stock should I buy?' --json",
)
@click.argument("policy", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("messages", nargs=-1, required=True)
@json_option
def flows(policy: Path, messages: tuple[str, ...], as_json: bool) -> None:
    """Go through a conversation: what each of the user's MESSAGES means and gets by the flows of POLICY.

    Messages are compared by their words, also where the policy names a model for embeddings.
    """
    rules = compile_policy(content_of(policy)).flows
    if rules is None:
        raise BadInput("has no flows", field=str(policy), mend="Write flows: {intents, answers, dialogue}.")
    turns: list[Turn] = []
    rows: list[dict[str, Any]] = []
    for text in messages:
        meant = rules.by_words(text)
        turns.append(rules.turn(text, meant.intent))
        outcome = rules.follow(turns, messages[0])
        rows.append({"message": text, "score": meant.score, **asdict(outcome), "intent": meant.intent})
    if as_json:
        show_json(rows)
        return
    for row in rows:
        row["text"] = row["text"].replace("\n", " / ") or "(the model answers)"
        row["message"] = row["message"][:_SHOWN]
    columns = {"message": "MESSAGE", "intent": "INTENT", "score": "SCORE", "by": "BY", "text": "ANSWER"}
    show_table(rows, columns, empty="No message.")


@click.command(
    "convert",
    epilog="\b\nExamples:\n  trimtab guard convert ./config --out policy.yaml\n"
    "  trimtab guard convert ./config --out policy.yaml --prompt prompt.yaml --strict\n"
    "  trimtab guard convert ./config --json",
)
@click.argument("config", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the policy here.")
@click.option("--prompt", type=click.Path(dir_okay=False, path_type=Path), help="Write the instructions here.")
@click.option("--strict", is_flag=True, help="Exit code 1 when something could not be converted.")
@json_option
def convert(config: Path, out: Path | None, prompt: Path | None, strict: bool, as_json: bool) -> None:
    """Convert the folder CONFIG of NeMo Guardrails (config.yml and Colang 1.0) to a policy.

    Every piece of the configuration is listed with what became of it. Without --out the policy is printed.
    """
    made = converted(config)
    compile_policy(made.policy)
    if out is not None:
        out.write_text(_yaml(made.policy), encoding="utf-8")
    if prompt is not None and made.prompt:
        prompt.write_text(_yaml({"messages": made.prompt}), encoding="utf-8")
    if as_json:
        show_json({"policy": made.policy, "prompt": made.prompt, "notes": [asdict(note) for note in made.notes]})
    else:
        rows = [asdict(note) for note in made.notes]
        show_table(rows, {"state": "STATE", "where": "WHERE", "what": "WHAT", "how": "HOW"}, empty="Nothing was found.")
        if out is None:
            click.echo()
            click.echo(_yaml(made.policy), nl=False)
    lost = [note for note in made.notes if note.state == "not converted"]
    if lost and not as_json:
        click.echo(f"{len(lost)} of {len(made.notes)} pieces were not converted.", err=True)
    if lost and strict:
        sys.exit(1)


def _yaml(content: dict[str, Any]) -> str:
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 110
    out = StringIO()
    writer.dump(content, out)
    return out.getvalue()
