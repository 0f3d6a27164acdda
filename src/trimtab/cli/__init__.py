"""The command line. Commands are loaded when they are named, so that ``trimtab --help`` is quick."""

from __future__ import annotations

import gc
import importlib
import sys

import click

from trimtab import __version__
from trimtab.core import TrimtabError

#: Every command: its name, where it lives, and its line in the help.
COMMANDS = {
    "up": "start the server",
    "demo": "server, UI and a sample application, with a fault on its way",
    "init": "write a trimtab.yaml to start from",
    "prompt": "list, show, compare, publish and roll back prompts",
    "rollout": "start, watch and steer staged rollouts",
    "asset": "versions, labels, gates and protection of every kind of asset",
    "change": "read the change ledger, add to it, undo a change",
    "rollback": "take back one asset, or everything to a moment in time",
    "trace": "find and read traces",
    "eval": "run evaluations, compare and gate them, calibrate judges, keep datasets",
    "review": "queues for experts: make one, list them, see how far people may be relied on",
    "guard": "scan texts, list the scanners, check a policy",
    "incident": "read, acknowledge, act on and close incidents",
    "monitor": "list, make, change, remove and try the monitors",
    "probe": "the probes: how they stand, their runs, run one now",
    "key": "create, list, change, rotate and disable virtual keys; explain refusals",
    "doctor": "check this machine, the configuration and the store",
}

#: Exit status: done, a gate failed, could not tell or wrong usage.
DONE, FAILED, UNSURE = 0, 1, 2


class Commands(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        gc.disable()  # nothing that is imported becomes garbage: looking for it takes a tenth of the start
        try:
            command: click.Command = importlib.import_module(f"trimtab.cli.{name}").command
        finally:
            gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `trimtab demo`, or with `trimtab init` and `trimtab up`.",
)
@click.version_option(__version__, "-V", "--version", prog_name="trimtab")
def group() -> None:
    """Trimtab: the operational control system for LLM applications."""


def main() -> None:
    """The console script. An error made on purpose is one clear line and exit status 2, never a traceback."""
    try:
        group.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(UNSURE)
    except TrimtabError as error:
        click.echo(f"trimtab: {error}", err=True)
        sys.exit(UNSURE)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
