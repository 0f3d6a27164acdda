"""Reading a field of JSON that somebody else wrote: every complaint names the place and the mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput


def known_keys(mapping: object, known: Sequence[str], field: str) -> None:
    """Raise BadInput unless this is an object with no other keys than ``known``."""
    if not isinstance(mapping, Mapping):
        raise BadInput("must be an object", field=field or "content", mend=f"Its fields are {', '.join(known)}.")
    for key in mapping:
        if key not in known:
            path = f"{field}.{key}" if field else str(key)
            raise BadInput("is not a known field", field=path, mend=f"The fields are {', '.join(known)}.")


def an_object(value: object, field: str, example: str) -> Mapping[str, Any]:
    """The value as an object. ``example`` is shown in the complaint."""
    if not isinstance(value, Mapping):
        raise BadInput("must be an object", field=field, mend=f"Write {example}.")
    return value


def a_list(value: object, field: str, example: str, most: int) -> Sequence[Any]:
    """The value as a list of at most ``most`` items."""
    if not isinstance(value, list | tuple):
        raise BadInput("must be a list", field=field, mend=f"Write {example}.")
    if len(value) > most:
        raise BadInput(f"has {len(value)} items", field=field, mend=f"Give at most {most}.")
    return value


def a_text(value: object, field: str, example: str) -> str:
    """The value as text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise BadInput("must be text that is not empty", field=field, mend=f"Write for example {example}.")
    return value


def a_count(value: object, field: str, most: int) -> int:
    """The value as a whole number from 1 to ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadInput(f"must be a whole number from 1 to {most}", field=field, mend="Write for example 4.")
    return value
