"""Which assets an asset's content names, and so which assets are used by which. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.core import LAYER_OF_KIND, BadInput, Version, parse_address
from trimtab.prompts import Template

#: Fields that hold one address, by the kind of asset that has them; (field, kind that it names).
_FIELDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "routes": (("prompt", "prompts"), ("guard", "guards"), ("judge", "judges")),
    "prompts": (("corpus", "corpora"), ("cases", "datasets"), ("model", "models")),
    "judges": (("model", "models"), ("prompt", "prompts"), ("golden", "datasets")),
    "scorers": (("references", "datasets"),),
}
#: Kinds whose content names other assets.
USERS = tuple(_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One name in a content: the asset it names, how it is written, and in which field."""

    kind: str
    name: str
    address: str
    field: str


def references(version: Version) -> tuple[Reference, ...]:
    """What a version names in its content, then what it was tested with. What cannot be read is passed over."""
    found = [
        reference
        for field, kind, text in (*_named(version.kind, version.content), *_needed(version.needs))
        if (reference := _reference(field, kind, text)) is not None
    ]
    return tuple(dict.fromkeys(found))


def _named(kind: str, content: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    for field, named in _FIELDS.get(kind, ()):
        yield field, named, content.get(field)
    if kind == "routes":
        for target in _list(content, "targets"):
            if isinstance(target, Mapping):
                yield "targets", "models", target.get("model")
        for model in _list(content, "fallback"):
            yield "fallback", "models", model
    if kind == "scorers":
        yield from _asked(content)
    if kind == "prompts":
        yield from (("messages", "prompts", address) for address in _partials(content))


def _asked(content: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    """The judges and models that a list of scorers names."""
    for scorer in _list(content, "scorers"):
        if isinstance(scorer, Mapping):
            yield "scorers", "judges", scorer.get("judge")
            yield from (("scorers", "judges", address) for address in _list(scorer, "judges"))
            yield "scorers", "models", scorer.get("model")


def _list(content: Mapping[str, Any], field: str) -> list[Any]:
    value = content.get(field)
    return value if isinstance(value, list) else []


def _partials(content: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return Template(content).addresses
    except (BadInput, AttributeError, TypeError):  # a registry may hold prompts that were never checked
        return ()


def _needed(needs: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    for kind, value in needs.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            yield "tested with", kind, item


def _reference(field: str, kind: str, text: object) -> Reference | None:
    if not isinstance(text, str) or not text or kind not in LAYER_OF_KIND:
        return None
    if kind == "models":  # a model is named as its provider names it
        return Reference(kind=kind, name=text, address=text, field=field)
    try:
        address = parse_address(text, kind)
    except BadInput:
        return None
    return Reference(kind=address.kind, name=address.name, address=text, field=field)
