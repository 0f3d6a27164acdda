"""What a version was made from and tested with. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from trimtab.core import LAYER_OF_KIND, BadInput, TrimtabError, parse_address

from .books import check_text
from .snapshot import Snapshot

#: What is no asset of its own: part of the content, or of the application.
NAMED = ("tools", "schema")
MAX_PARENTS = 8
MAX_VALUES = 50
MAX_CHARS = 300

#: Raises a TrimtabError unless what is named exists.
Known = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The numbers of the versions that one was edited from, and what it was tested with, by kind."""

    parents: Sequence[int] = ()
    needs: Mapping[str, Any] = field(default_factory=dict)


def checked(
    now: Snapshot, kind: str, name: str, lineage: Lineage, known: Mapping[str, Known]
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Parents and needs as they are kept: each exists, and a need that follows a label is pinned to its number.

    Raises BadInput naming the field. ``known`` checks what no asset of the registry stands for, such as models.
    """
    parents = tuple(dict.fromkeys(lineage.parents))
    if len(parents) > MAX_PARENTS:
        raise BadInput("are too many.", field="parents", mend=f"Name at most {MAX_PARENTS}.")
    for parent in parents:
        if isinstance(parent, bool) or not isinstance(parent, int):
            raise BadInput(f"{parent!r} is no version number.", field="parents", mend="Give whole numbers.")
        _exists(partial(now.entry, kind, name, parent), "parents")
    if not isinstance(lineage.needs, Mapping):
        mend = 'Write {"models": "openai/gpt-4o-mini", "corpora": "docs/3"}.'
        raise BadInput("must be an object.", field="needs", mend=mend)
    return parents, {need: _need(now, need, value, known) for need, value in lineage.needs.items()}


def _need(now: Snapshot, need: str, value: object, known: Mapping[str, Known]) -> Any:
    if need not in LAYER_OF_KIND and need not in NAMED:
        there = ", ".join(sorted({*LAYER_OF_KIND, *NAMED}))
        raise BadInput("is nothing that a version can need.", field=f"needs.{need}", mend=f"Use one of {there}.")
    if isinstance(value, str):
        return _one(now, need, value, known)
    if not isinstance(value, list | tuple) or not value or len(value) > MAX_VALUES:
        mend = f"Write one address, or a list of 1 to {MAX_VALUES}."
        raise BadInput("must be text or a list of text.", field=f"needs.{need}", mend=mend)
    return [_one(now, need, item, known) for item in value]


def _one(now: Snapshot, need: str, value: object, known: Mapping[str, Known]) -> str:
    where = f"needs.{need}"
    if not isinstance(value, str) or not value.strip():
        raise BadInput("must be text that is not empty.", field=where, mend="Name what it was tested with.")
    text = check_text(value.strip(), where, MAX_CHARS)
    if (check := known.get(need)) is not None:
        _exists(lambda: check(text), where)
        return text
    if need in NAMED or need == "models":
        return text
    address = _exists(lambda: parse_address(text, need), where)
    if address.kind != need:
        raise BadInput(f"{text!r} is of the kind {address.kind}.", field=where, mend=f"Write {need}:/name/number.")
    number = address.number or _exists(lambda: now.label(need, address.name, address.label), where)
    _exists(lambda: now.entry(need, address.name, number), where)
    return f"{address.name}/{number}"


def _exists(look: Callable[[], Any], field: str) -> Any:
    try:
        return look()
    except TrimtabError as error:
        raise BadInput(error.message, field=field, mend=error.mend) from error
