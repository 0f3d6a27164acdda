"""``trimtab demo``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import uvloop

from trimtab.config import environment
from trimtab.demo import FAULTS, Options, run


@click.command(
    "demo",
    epilog="\b\nExamples:\n  trimtab demo\n  trimtab demo --fault knowledge\n"
    "  trimtab demo --once --json --fault none\n"
    "  trimtab demo --provider http://127.0.0.1:8000/v1 --model my-model\n\n\b\nFaults:\n"
    + "\n".join(f"  {fault.name:<11}{fault.summary}" for fault in FAULTS.values()),
)
@click.option("--fault", type=click.Choice(list(FAULTS)), default="prompt", show_default=True, help="What goes wrong.")
@click.option("--once", is_flag=True, help="Play the story and stop; exit status 0 only if the loop got it right.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object on the last line.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=4100, show_default=True, help="With --once: any free port."
)
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Keep the store here; scratch otherwise."
)
@click.option("--provider", default="", help="openai, anthropic or an OpenAI-compatible address; simulated otherwise.")
@click.option("--model", default="", help="The model of that provider.")
def command(  # house: parameters because click passes every option by name
    fault: str, once: bool, as_json: bool, host: str, port: int, data: Path | None, provider: str, model: str
) -> None:
    """Server, UI and a sample application, on an embedded store, with a fault on its way.

    Without --provider every model is simulated, and named so wherever it is seen.
    """
    options = Options(
        fault=fault, once=once, json=as_json, host=host, port=port, data=data, provider=provider, model=model
    )
    outcome = uvloop.run(run(options, environment()))
    if as_json:
        click.echo(json.dumps(outcome.as_dict()))
    if once and not outcome.ok:
        sys.exit(1)
