"""How commands print: a table for people, JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

#: Columns of the lines that texts are broken into.
_WIDTH = 118


def json_option(function: F) -> F:
    """``--json``, on every listing."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def show_json(value: Any) -> None:
    """Print JSON, readable."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str, whole: bool = False
) -> None:
    """Print rows under headings (``columns``: key -> heading). ``empty`` says what to do when there are none. Of
    ``whole`` rows the last column is broken into lines, in others everything is cut short."""
    if not rows:
        click.echo(empty)
        return
    *first, last = columns
    cells = [[*(_text(row.get(key)) for key in first), _text(row.get(last), whole=whole)] for row in rows]
    widths = [max(len(h), *(len(c[i]) for c in cells)) for i, h in enumerate(columns.values())]
    click.echo("  ".join(h.ljust(w) for h, w in zip(columns.values(), widths, strict=True)).rstrip())
    for *line, end in cells:
        prefix = "".join(f"{c.ljust(w)}  " for c, w in zip(line, widths, strict=False))
        show_text(prefix, end) if whole else click.echo(f"{prefix}{end}".rstrip())


def show_fields(fields: Mapping[str, Any], *, whole: bool = False) -> None:
    """Print one thing, a line a field; empty ones are left out. ``whole`` ones take as many lines as they need."""
    shown = {key: _text(value, whole=whole) for key, value in fields.items() if value not in (None, "", [], {})}
    width = max((len(key) for key in shown), default=0)
    for key, value in shown.items():
        show_text(f"{key.ljust(width)}  ", value) if whole else click.echo(f"{key.ljust(width)}  {value}")


def show_text(prefix: str, text: str) -> None:
    """Print a text behind a prefix, broken into lines under itself."""
    said = _text(text, whole=True)
    width = max(40, _WIDTH - len(prefix))
    for at, line in enumerate(textwrap.wrap(said, width, break_on_hyphens=False) or [""]):
        click.echo(f"{prefix if at == 0 else ' ' * len(prefix)}{line}".rstrip())


def moment(ns: int | None) -> str:
    """A time as people read it, local, to the second; empty for none."""
    return datetime.fromtimestamp(ns / 1e9).strftime("%Y-%m-%d %H:%M:%S") if ns else ""


def _text(value: Any, *, whole: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    text = " ".join(str(value).split())
    # A terminal is not a place for control characters that a model or a user wrote.
    return "".join(c if c.isprintable() else "�" for c in (text if whole else text[:100]))
