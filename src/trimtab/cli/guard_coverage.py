"""``trimtab guard coverage``: which control covers which item of the OWASP lists."""

from __future__ import annotations

import click

from trimtab.guard.coverage import CONTROLS, ITEMS, LISTS, coverage

from .listing import json_option, show_json, show_table


@click.command("coverage", epilog="\b\nExamples:\n  trimtab guard coverage\n  trimtab guard coverage --json")
@json_option
def command(as_json: bool) -> None:
    """Which control covers which item of the OWASP lists for LLM and agentic applications, and what none covers."""
    if as_json:
        show_json(coverage())
        return
    columns = {"id": "ITEM", "name": "NAME", "level": "LEVEL", "controls": "CONTROLS"}
    for short, title in LISTS.items():
        click.echo(title)
        rows = [
            {"id": item.id, "name": item.name, "level": item.level,
             "controls": ", ".join(CONTROLS[key].where.removeprefix("scanner:") for key in item.controls)}
            for item in ITEMS if item.id.startswith(short)
        ]  # fmt: skip
        show_table(rows, columns, empty="None.")
        click.echo("")
