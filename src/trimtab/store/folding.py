"""Case folding for databases that can only make A to Z small: what differs is folded when a span is stored."""

from __future__ import annotations

from typing import Final

from trimtab.core import Span

from .rows import SPAN_COLUMNS, Row

_TEXTS: Final = {
    place: name.replace("stamp_", "stamp.")
    for place, name in enumerate(SPAN_COLUMNS)
    if name in ("trace_id", "span_id", "parent_id", "project", "session", "name", "kind", "status")
    or name in ("model", "provider", "fingerprint")
    or name.startswith("stamp_")
}


def fold(text: str) -> str:
    """The case-folded text where that differs from making A to Z small; empty where it does not."""
    if text.isascii():
        return ""
    folded = text.casefold()
    return "" if folded == text.encode().lower().decode() else folded


def folded_texts(span: Span, row: Row) -> dict[str, str]:
    """The texts of a span that need it, by the name that a query has for them (``tag:NAME`` for tags). ``row`` is the
    span's ``span_row``."""
    found = {}
    for place, name in _TEXTS.items():
        value = row[place]
        if isinstance(value, str) and not value.isascii() and (folded := fold(value)):
            found[name] = folded
    for name, value in (("error", span.error), *((f"tag:{tag}", value) for tag, value in span.tags.items())):
        if folded := fold(value):
            found[name] = folded
    return found
