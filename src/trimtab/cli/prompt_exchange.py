"""``trimtab prompt import`` and ``export``: prompts from other systems, and one prompt as a file."""

from __future__ import annotations

from pathlib import Path

import click

from trimtab.core import BadInput
from trimtab.prompts import FORMATS, PromptFile, read_import, validate, write_prompt_file

from .prompt_version import find_version
from .remote import Remote, server_options


@click.command(
    "import",
    epilog="\b\nExamples:\n  trimtab prompt import qa.json --from mlflow\n"
    "  trimtab prompt import greeting.json --from langfuse --labels\n"
    "  trimtab prompt import hello.txt --from text --name greeting",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from", "source", type=click.Choice(FORMATS), required=True, help="What the file is an export of.")
@click.option("--name", default="", help="The prompt's name; by default what the file says.")
@click.option("--labels", is_flag=True, help="Move the labels that the file names onto the new version as well.")
@click.option("--author", default="", help="Who you are.")
@server_options
def import_(remote: Remote, file: Path, source: str, name: str, labels: bool, author: str) -> None:
    """Register the prompts of an export of MLflow, Langfuse or OpenAI, or a plain text."""
    if not name and source == "text":
        name = file.stem
    found = read_import(file.read_text(encoding="utf-8"), source, name)
    for item in found:  # all of them are looked at before the first one is registered
        validate(item.content)
    for item in found:
        note = item.note or f"imported from {source}"
        path = f"/api/versions/prompts/{item.name}"
        made = remote.post(path, {"content": dict(item.content), "author": author, "note": note})
        click.echo(f"{item.name}/{made['number']}")
        if item.left_out:
            click.echo(f"  left out, having no place in a prompt: {', '.join(item.left_out)}", err=True)
        for label in item.labels if labels else ():
            remote.post("/api/labels", {"kind": "prompts", "name": item.name, "label": label, "number": made["number"],
                                        "actor": author or "cli", "note": note})  # fmt: skip
            click.echo(f"  {label} stands at it now", err=True)


@click.command("export", epilog="Example:  trimtab prompt export support-answer/2 > support-answer.yaml")
@click.argument("prompt")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@server_options
def export(remote: Remote, prompt: str, form: str) -> None:
    """Print one version as a file: PROMPT is NAME (the live one), NAME@LABEL or NAME/NUMBER."""
    found = find_version(remote, prompt)
    file = PromptFile(
        name=found["name"],
        content=found["content"],
        number=found["number"],
        digest=found["digest"],
        message=found["note"],
    )
    try:
        click.echo(write_prompt_file(file, form=form), nl=False)
    except BadInput as error:
        raise BadInput(error.message, field="--format", mend="Use --format json.") from None
