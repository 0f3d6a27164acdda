"""Scanners for an answer against what it should rest on: its passages, its citations, its question.

They compare words and numbers, no meaning: what they miss a judge may see, and what they flag is worth a look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .language import SMALL_WORDS
from .scanner import Match, Scan, Scanner, plain, refuse_unknown
from .text import Text
from .tone import refuses

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\d)[^.!?\n]+)*[.!?\n]?")
_WORD = re.compile(r"\d+(?:[.,]\d+)*%?|[^\W\d_]+")
_CITATION = re.compile(r"\[(\d{1,3})(?:\s*[,-]\s*(\d{1,3}))*\]")
_SMALL = frozenset(word for words in SMALL_WORDS.values() for word in words)
_STEM = 5
_LEAST_WORDS = 4


def _stems(text: str) -> list[str]:
    """The words that carry meaning, cut to their beginning so that endings do not count; numbers whole."""
    return [
        word if word[0].isdigit() else word[:_STEM]
        for word in _WORD.findall(text.lower())
        if (len(word) > 2 and word not in _SMALL) or word[0].isdigit()
    ]


def support(sentence: str, stems: frozenset[str]) -> float:
    """The share of a sentence's words that the passages have; a number that they lack halves it."""
    words = _stems(_CITATION.sub("", sentence))
    if not words:
        return 1.0
    share = sum(word in stems for word in words) / len(words)
    strange = any(word[0].isdigit() and word not in stems for word in words)
    return share / 2 if strange else share


def _groundedness(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("least",))
    least = _part(options, "least", 0.5)

    def scan(text: Text) -> Sequence[Match]:
        if not text.context.passages or refuses(text.plain.text):
            return []
        stems = frozenset(stem for passage in text.context.passages for stem in _stems(passage))
        stems |= frozenset(_stems(text.context.asked))
        return list(_unsupported(text, stems, least))

    return scan


def _unsupported(text: Text, stems: frozenset[str], least: float) -> Iterator[Match]:
    for sentence in _SENTENCE.finditer(text.plain.text):
        if len(_stems(sentence.group())) < _LEAST_WORDS:
            continue
        share = support(sentence.group(), stems)
        if share < least:
            yield Match("unsupported", *text.plain.spot(*sentence.span()), 1 - share)


def _citations(text: Text) -> Sequence[Match]:
    """Citations of passages that are not there, and sentences that a cited passage does not support."""
    passages = text.context.passages
    if not passages:
        return []
    stems = [frozenset(_stems(passage)) for passage in passages]
    found = []
    for sentence in _SENTENCE.finditer(text.plain.text):
        for citation in _CITATION.finditer(sentence.group()):
            start = sentence.start() + citation.start()
            where = text.plain.spot(start, start + len(citation.group()))
            numbers = [int(number) for number in re.findall(r"\d+", citation.group())]
            if any(not 1 <= number <= len(passages) for number in numbers):
                found.append(Match("no-such-passage", *where, 1.0))
                continue
            cited = frozenset().union(*(stems[number - 1] for number in numbers))
            said = _CITATION.sub("", sentence.group())
            if len(_stems(said)) >= _LEAST_WORDS and (share := support(said, cited)) < 0.4:
                found.append(Match("unsupported-citation", *where, 1 - share))
    return found


def _relevance(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("least",))
    least = _part(options, "least", 0.1)

    def scan(text: Text) -> Sequence[Match]:
        asked = frozenset(_stems(text.context.asked))
        said = frozenset(_stems(text.plain.text))
        if len(asked) < 3 or len(said) < _LEAST_WORDS or refuses(text.plain.text):
            return []
        share = len(asked & said) / len(asked)
        return [Match("off-question", 0, len(text.original), 1 - share)] if share < least else []

    return scan


def _part(options: Mapping[str, Any], key: str, default: float) -> float:
    value = options.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise BadInput("must be above 0 and at most 1", field=key, mend="Write a share of the words.")
    return float(value)


SCANNERS = (
    Scanner(
        name="groundedness",
        stages=("output",),
        description="Sentences whose words and numbers the retrieved passages do not have.",
        build=_groundedness,
        threshold=0.5,
        options={"least": "the share of a sentence's words that passages must have, 0.5 unless given"},
    ),
    Scanner(
        name="citations",
        stages=("output",),
        description="Citations of passages that are not there, or that do not say what is cited.",
        build=plain(_citations),
        threshold=0.5,
    ),
    Scanner(
        name="relevance",
        stages=("output",),
        description="An answer that shares next to no words with its question.",
        build=_relevance,
        threshold=0.9,
        options={"least": "the share of the question's words that the answer must have, 0.1 unless given"},
    ),
)
