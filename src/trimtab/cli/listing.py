"""How commands print: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """``--json``, on every listing."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def show_json(value: Any) -> None:
    """Print JSON, readable."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """Print rows under headings (``columns``: key -> heading). ``empty`` says what to do when there are none."""
    if not rows:
        click.echo(empty)
        return
    cells = [[_text(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(h), *(len(c[i]) for c in cells)) for i, h in enumerate(columns.values())]
    click.echo("  ".join(h.ljust(w) for h, w in zip(columns.values(), widths, strict=True)).rstrip())
    for line in cells:
        click.echo("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def show_fields(fields: Mapping[str, Any]) -> None:
    """Print one thing, a line a field; empty ones are left out."""
    shown = {key: _text(value) for key, value in fields.items() if value not in (None, "", [], {})}
    width = max((len(key) for key in shown), default=0)
    for key, value in shown.items():
        click.echo(f"{key.ljust(width)}  {value}")


def moment(ns: int | None) -> str:
    """A time as people read it, local, to the second; empty for none."""
    return datetime.fromtimestamp(ns / 1e9).strftime("%Y-%m-%d %H:%M:%S") if ns else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    text = " ".join(str(value).split())
    # A terminal is not a place for control characters that a model or a user wrote.
    return "".join(c if c.isprintable() else "�" for c in text[:100])
