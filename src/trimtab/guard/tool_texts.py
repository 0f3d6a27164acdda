"""What tools say to the model: their descriptions, results and resources. Orders in them are taken out.

A description may say how its tool is used, and that sounds like an order. It is cut only where it also speaks of more
than its tool: of silence towards the user, of another tool, of files, addresses, or rules to be ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from .indirect import Content, removed, screen
from .verdicts import SCREENED

#: Signs, in a sentence that speaks to the model, that make it more than a use of its tool, whatever the score.
_SURELY = re.compile(
    r"(?:\bnot|n't|\bnever|\bwithout)\s+(?:\w+\s+){0,3}(?:mention|tell|notif|inform|reveal|alert|warn)|"
    r"\b(?i:ignore|disregard|forget|override)\b[^.]{0,40}\b(?i:instruction|rule|prompt|previous|above)|<[A-Z]{4,}>"
)
#: Signs that do so where the scanner is sure.
_PROBABLY = re.compile(
    r"https?://|[\w.+-]@[\w-]{1,63}\.\w|\+\d{7}|~/|(?<!\w)/(?:etc|home|root|Users)/|\.(?:ssh|env|aws|cursor)\b"
)
_SENTENCE_END = re.compile(r"[.!?](?:\s+|(?=<))|\n+")
_TAG = re.compile(r"<[A-Za-z][\w-]{2,30}>")
#: Scores from which a sentence is looked at for each kind of sign.
_LEAST, _SURE = 0.5, 0.7
#: How deep a schema or a result is looked into.
_DEEPEST = 20


def described(tool: Mapping[str, Any], others: Collection[str]) -> tuple[Mapping[str, Any], bool]:
    """A tool as the client may see it, and whether something was cut out of its descriptions. ``others`` are the names
    of the server's other tools."""
    cut = [False]

    def clean(text: str, key: str) -> str:
        if key != "description":
            return text
        left = _cut(text, others)
        cut[0] |= left != text
        return left

    return _walked(tool, clean, "", 0), cut[0]


@lru_cache(maxsize=1024)
def goes_beyond(description: str, others: frozenset[str]) -> bool:
    """Whether a description gives orders about more than its tool."""
    return _cut(description, others) != description


def without_orders(value: Any, origin: str) -> tuple[Any, bool]:
    """Structured content with the orders in its texts taken out, and whether there were any."""
    cut = [False]

    def clean(text: str, key: str) -> str:
        found = screen(Content(text=text, source="tool", origin=origin), then="keep")
        if found.clean:
            return text
        cut[0] = True
        return removed(text, found.matches)

    return _walked(value, clean, "", 0), cut[0]


def _cut(text: str, others: Collection[str]) -> str:
    matches = screen(Content(text=text, source="tool"), threshold=_LEAST, then="keep").matches
    wrong = [
        (match, at) for match in matches if (at := _beyond(text[match.start : match.end], match.score, others)) >= 0
    ]
    if not wrong:
        return text
    first, at = min(wrong, key=lambda each: each[0].start)
    # A match may begin before the sentence that makes it one.
    sentences = [0, *(end.end() for end in _SENTENCE_END.finditer(text[first.start : first.start + at]))]
    start = first.start + sentences[-1]
    tag = _TAG.search(text)  # what stands in a block of its own goes as a whole
    if tag is not None and tag.start() < max(match.end for match, _ in wrong):
        start = tag.start()
    return f"{text[:start].rstrip()} {SCREENED}".strip()


def _beyond(said: str, score: float, others: Collection[str]) -> int:
    """Where a sentence begins to speak of more than its tool; -1 where it does not."""
    signs = [sign.start() for sign in _SURELY.finditer(said)]
    if score >= _SURE:
        signs += [sign.start() for sign in _PROBABLY.finditer(said)]
        signs += [at for name in others if (at := said.find(name)) >= 0]
    return min(signs, default=-1)


def _walked(value: Any, clean: Callable[[str, str], str], key: str, depth: int) -> Any:
    if isinstance(value, str):
        return clean(value, key)
    if depth > _DEEPEST:
        return value
    if isinstance(value, Mapping):
        return {name: _walked(each, clean, str(name), depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_walked(each, clean, key, depth + 1) for each in value]
    return value
