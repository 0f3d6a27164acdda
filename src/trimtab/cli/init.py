"""``trimtab init``."""

from __future__ import annotations

from pathlib import Path

import click

from trimtab.config import environment
from trimtab.core import Conflict

HEAD = """\
# Trimtab's configuration. docs/configuration.md explains every line.
# Secrets never stand here: write env:NAME and put the secret into the environment.
"""

OPENAI = """
providers:
  openai: {kind: openai, api_key: "env:OPENAI_API_KEY"}

routes:
  support:                       # the model name that your application asks for
    targets:
      - {model: openai/gpt-4o-mini}
    timeout: {first_byte: 10s, total: 60s}
"""

ANTHROPIC = """
providers:
  anthropic: {kind: anthropic, api_key: "env:ANTHROPIC_API_KEY"}

routes:
  support:                       # the model name that your application asks for
    targets:
      - {model: anthropic/claude-sonnet-4-5}
    timeout: {first_byte: 10s, total: 60s}
"""

SIMULATED = """
# No provider key was found in the environment, so this route asks the simulated provider.
# With a key:  providers: {openai: {kind: openai, api_key: "env:OPENAI_API_KEY"}}
routes:
  support:                       # the model name that your application asks for
    targets:
      - {model: scripted/echo}
"""

TAIL = """
owners:                          # who is paged when something falls
  default: on-call
"""


@click.command("init", epilog="Example:  trimtab init --path trimtab.yaml")
@click.option(
    "--path", type=click.Path(dir_okay=False, path_type=Path), default=Path("trimtab.yaml"), show_default=True
)
def command(path: Path) -> None:
    """Write a trimtab.yaml to start from, fitted to the provider keys in the environment."""
    env = environment()
    body = OPENAI if env.get("OPENAI_API_KEY") else ANTHROPIC if env.get("ANTHROPIC_API_KEY") else SIMULATED
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(HEAD + body + TAIL)
    except FileExistsError:
        raise Conflict(f"{path} exists already.", field="--path", mend="Edit it, or name another file.") from None
    click.echo(f"Wrote {path}. Next: trimtab up --config {path}")
