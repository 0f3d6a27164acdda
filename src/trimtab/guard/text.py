"""A text as the guard reads it: what arrived, and every reading of it that could mean something to a model.

The first reading is the plain one: Unicode compatibility forms composed (NFKC), look-alike letters, invisible and
direction characters put right. Each further reading undoes one disguise (base64, reversed letters, spelled-out words).
Every position in a reading leads back to the original characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .decoding import Undone, decoded
from .plaintext import plain
from .spots import Reading

__all__ = ["LIMIT", "NO_CONTEXT", "Context", "Reading", "Text", "Turn", "encodable", "read"]

#: The most characters of one text that are read at all; ``Text.cut`` says that there were more.
LIMIT = 1 << 20


class Turn(NamedTuple):
    """An earlier message of the conversation."""

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a scanner may know beside the text itself.

    ``source`` is who wrote the text: user, assistant, document or tool. ``turns`` are the earlier messages, oldest
    first. ``system`` is the system prompt. ``passages`` are the retrieved texts an answer should rest on. ``canaries``
    are marks that must never leave. ``asked`` is the user's request that an answer or a call serves. ``newest`` is
    false for a message of an earlier turn. ``extra`` is free for a scanner and its caller.
    """

    source: str = "user"
    turns: tuple[Turn, ...] = ()
    system: str = ""
    passages: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    asked: str = ""
    newest: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)


NO_CONTEXT = Context()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What arrived, with its readings: the plain one first, then each decoded one."""

    original: str
    readings: tuple[Reading, ...]
    context: Context = NO_CONTEXT
    #: Whether there was more than was read: a longer text, or more disguises than are undone.
    cut: bool = False
    #: For scanners that work out the same thing: the first keeps it here, by a name of its own.
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def plain(self) -> Reading:
        """The text put right, as a person would read it."""
        return self.readings[0]


def read(text: str, *, limit: int = LIMIT, context: Context = NO_CONTEXT, decode: bool = True) -> Text:
    """Read at most ``limit`` characters of a text. Time and memory are linear in it and bounded.

    ``decode`` false gives the plain reading alone.
    """
    taken = text[:limit]
    first = plain(taken)
    further = decoded(taken, first) if decode else Undone(())
    cut = len(text) > limit or further.full
    return Text(original=text, readings=(first, *further.readings), context=context, cut=cut)


def encodable(text: str) -> str:
    """The text with lone surrogates replaced, since neither RE2 nor a reply could carry them. Same length."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text
