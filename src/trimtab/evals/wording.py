"""Words, sentences and citations of an answer, as the deterministic checks count them.

Kept apart from the simulated model's own reading on purpose: a check that shares code with what it checks would share
its mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

#: How a passage is cited: ``[n]``.
CITATION = re.compile(r"\[(\d{1,3})\]")

_WORD = re.compile(r"[^\W_]+")
#: Every ASCII character that is in no word, to a space.
_GAPS = {at: " " for at in range(128) if _WORD.match(chr(at)) is None}
_ENDINGS = re.compile(r"(?<=\w{3})(?:ings?|edly|ed|ies|es|s|ly|y|e)$")
_DECLINES = re.compile(
    r"^\W*(?:(?:i am|i'?m) (?:sorry|afraid)\b\W*(?:but )?(?:that )?)?"
    r"(?:i (?:do not|don['’]?t|cannot|can['’]?t) (?:know|say|tell|answer|find)|"
    r"the (?:passages?|documents?|context) (?:do|does) not (?:say|tell|contain|mention))\b",
    re.IGNORECASE,
)
_FUNCTION_WORD_LIST = (
    "a about after all also an and any are as at be been before being but by can could did do does each either for "
    "from had has have he her here his how i if in into is it its may me might more most must my no nor not of on only "
    "or other our out over own shall she should so some such than that the their them then there these they this those "
    "to too under up upon us very was we were what when where which while who whom why will with would yes you your"
)
_FUNCTION_WORDS = frozenset(_FUNCTION_WORD_LIST.split())


def content_words(text: str) -> set[str]:
    """The words of a text that carry meaning: lower case, endings cut, citations and function words left out."""
    text = text.lower()
    if "[" in text:
        text = CITATION.sub(" ", text)
    # The same words, four times as fast where it can be had.
    words = text.translate(_GAPS).split() if text.isascii() else _WORD.findall(text)
    found = set(map(_stem, set(words)))
    found.discard("")
    return found


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    """The word without its ending, empty for one that carries no meaning."""
    return _ENDINGS.sub("", word) if word not in _FUNCTION_WORDS and len(word) > 1 else ""


def passage_words(passage: Mapping[str, Any]) -> frozenset[str]:
    """The content words of a passage's title and text. Remembered for the passages asked about last: a few of them
    answer most questions, and each is looked at by several checks."""
    return _remembered(f"{passage.get('title', '')} {passage.get('text', '')}")


@lru_cache(maxsize=1024)
def _remembered(text: str) -> frozenset[str]:
    return frozenset(content_words(text))


def cited(text: str) -> set[int]:
    """The numbers that a text cites as ``[n]``."""
    return {int(number) for number in CITATION.findall(text)}


def declines(text: str) -> bool:
    """Whether an answer says, at its beginning, that it does not know."""
    return bool(_DECLINES.match(text))
