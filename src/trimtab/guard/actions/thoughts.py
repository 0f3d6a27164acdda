"""Orders in a text from outside that come back in what the model thinks, writes or answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from .values import indexed
from .wording import gives_orders, sentences

#: Words in a row that are taken for a quotation.
RUN = 6
#: Words of one text that are compared.
MOST_WORDS = 2000
#: What stands in place of an answer's sentence that an order from outside dictated.
REMOVED = "[removed: dictated by text from outside]"
_PIECE = re.compile(r"[^.!?\n]+[.!?]*\s*|\n+")
_NAME = re.compile(r"\b[A-Z][\w'&-]*(?:\s+(?:of|the|de|la|le)?\s*[A-Z][\w'&-]*)+")
#: Words of an order that tell the model what to say to the user.
_SAYING = re.compile(
    r"(?i)\b(?:say|tell|mention|state|claim|recommend|answer|reply|respond|suggest|write|add|include|repeat)\b"
)


def quoted_orders(text: str, untrusted: Sequence[str], said: Sequence[str] = ()) -> bool:
    """Whether a text repeats six words in a row of an order from outside that the user has not said too."""
    runs = frozenset(_runs(text))
    for source in untrusted:
        for run in runs & _ordered(source):
            if not any(run in indexed(each).words for each in said):
                return True
    return False


def without_dictation(answer: str, untrusted: Sequence[str], said: Sequence[str] = ()) -> str:
    """An answer without the sentences that an order from outside dictated ("Say that ...").

    A sentence is dictated when it repeats a run of such an order's words, or a name that stands in no other sentence
    of anything the model was given.
    """
    orders = [order for source in untrusted for order in _orders(source) if _SAYING.search(order)]
    if not orders:
        return answer
    names = {name for order in orders for name in _NAME.findall(order) if not _elsewhere(name, untrusted, said, orders)}
    out = []
    for piece in _PIECE.findall(answer):
        words = indexed(piece).words
        told = any(run in words for order in orders for run in _runs(order)) or any(
            indexed(name).words in words for name in names
        )
        out.append(REMOVED + ("\n" if piece.endswith("\n") else " ") if told else piece)
    return "".join(out).strip() if REMOVED in "".join(out) else answer


def _elsewhere(name: str, untrusted: Sequence[str], said: Sequence[str], orders: Sequence[str]) -> bool:
    """Whether a name was also given where nobody orders anything."""
    if any(indexed(each).has(name) for each in said):
        return True
    wanted = indexed(name).words
    return any(
        wanted in indexed(sentence).words
        for source in untrusted
        for sentence in sentences(source)
        if sentence and sentence not in orders
    )


@lru_cache(maxsize=256)
def _orders(source: str) -> tuple[str, ...]:
    return tuple(sentence for sentence in sentences(source) if sentence and gives_orders(sentence))


@lru_cache(maxsize=64)
def _ordered(source: str) -> frozenset[str]:
    """The runs of words within the orders of a source."""
    return frozenset(run for order in _orders(source) for run in _runs(order))


@lru_cache(maxsize=1024)
def _runs(text: str) -> tuple[str, ...]:
    return tuple(_run_of(indexed(text).words.split()[:MOST_WORDS]))


def _run_of(words: Sequence[str]) -> Iterator[str]:
    for start in range(len(words) - RUN + 1):
        yield f" {' '.join(words[start : start + RUN])} "
