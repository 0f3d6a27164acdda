"""Where a value comes from: the user, the application, a trusted look-up, a text from outside, or the model itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .calls import History
from .fields import fields_of
from .values import entities_in, indexed
from .wording import orders_about


class Origin(NamedTuple):
    """Where a value comes from. ``trusted`` is the allowed origin that covers it, empty if there is none.

    ``outside`` says that a text from outside names it; ``order`` is the order there that does, if one does.
    """

    trusted: str
    outside: bool
    order: str = ""

    @property
    def words(self) -> str:
        """For people."""
        if self.trusted:
            return f"it comes from {self.trusted}"
        if self.order:
            return "it comes from an instruction in text from outside"
        return "it comes only from text from outside" if self.outside else "nobody named it but the model"


def origin_of(
    value: Any, history: History, allowed: Sequence[str], lookups: Sequence[str], own: Sequence[str]
) -> Origin:
    """The origin of one value, measured by the allowed ones (``from`` of a rule).

    What the user or the application named is trusted, however else it is named. What comes from a look-up counts
    unless an order in a text from outside names it too: an attacker may know what is in the directory.
    """
    if "any" in allowed:
        return Origin("anywhere", False)
    if "user" in allowed and any(indexed(text).has(value) for text in history.said):
        return Origin("the user", False)
    if "system" in allowed and history.system and indexed(history.system).has(value):
        return Origin("the system prompt", False)
    if any(_owned(value, each) for each in own):
        return Origin("the owner", False)
    order = _order(value, history)
    if order:
        return Origin("", True, order)
    for name in allowed:
        kind, _, place = name.partition(":")
        if kind in ("lookup", "result") and _looked_up(value, history, place, lookups if kind == "lookup" else None):
            return Origin(f"{kind} {place}".strip(), False)
        if kind == "field" and any(_is(each.value, value) for r in history.results for each in fields_of(r.text)):
            return Origin("a field of a result", False)
    outside = any(indexed(text).has(value) for text in history.untrusted)
    if outside and "document" in allowed and any(indexed(text).has(value) for text in history.documents):
        return Origin("a document", True)
    if not outside and "model" in allowed:
        return Origin("the model", False)
    return Origin("", outside)


def _owned(value: Any, own: str) -> bool:
    """Whether a value is the owner's: the same, or an address of mail at his ``@domain``."""
    if own.startswith("@"):
        return isinstance(value, str) and value.strip().casefold().endswith(own.casefold())
    return indexed(own).has(value)


def _order(value: Any, history: History) -> str:
    return next((order for text in history.untrusted if (order := orders_about(text, value))), "")


def _looked_up(value: Any, history: History, place: str, lookups: Sequence[str] | None) -> bool:
    tool, _, name = place.partition(".")
    for result in history.results:
        if result.tool == tool or (not tool and (lookups is None or result.tool in lookups)):
            if not name:
                if indexed(result.text).has(value):
                    return True
            elif any(_is(field.value, value) for field in fields_of(result.text) if _named(field.name, name)):
                return True
    return False


def _named(field: str, name: str) -> bool:
    return field == name or field.endswith(f".{name}")


def _is(found: Any, value: Any) -> bool:
    """Whether a field is the value, and not only a longer text that names it."""
    if isinstance(found, int | float) and isinstance(value, int | float):
        return float(found) == float(value)
    return indexed(str(found)).run == indexed(str(value)).run and indexed(str(value)).run != ""


def addresses_in(text: str) -> Iterator[str]:
    """The addresses and accounts within a longer text, as values."""
    for entity in dict.fromkeys(entities_in(text)):
        yield f"www.{entity.form}" if entity.kind == "link" else entity.form
