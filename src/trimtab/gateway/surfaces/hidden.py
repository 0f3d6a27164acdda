"""The texts within what chat has no words for, so that the guard reads them all the same."""

from __future__ import annotations

_TEXTS = ("title", "text", "output")


def texts_within(value: object) -> str:
    """Every text in a block or item of another dialect, a line each."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(texts_within, value)))
    if not isinstance(value, dict):
        return ""
    own = [value[name] for name in _TEXTS if isinstance(value.get(name), str)]
    return "\n".join(filter(None, [*own, *map(texts_within, value.values())]))
