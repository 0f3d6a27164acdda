"""Near-duplicate sentences that disagree in a number, a date or a negation. Pure.

That is what this finds, and no other contradiction: two sentences of almost the same words, of which one says 30 where
the other says 14, or says not where the other does not. It needs no model, so it runs over whole corpora.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

#: The least words of a sentence, the least overlap of its words with the other's (Jaccard), sentences looked at, and
#: sentences that share a key: more are a boilerplate.
LEAST_WORDS, OVERLAP, MOST, CROWD = 5, 0.85, 60_000, 40
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_NEGATION_WORDS = """
no not never none nothing neither nor cannot can't won't don't doesn't didn't isn't aren't wasn't weren't without
nicht kein keine keinen nie ohne non ne pas jamais sans nunca sin
"""
_LIGHT_WORDS = "a an the is are was were be been of to in on at for and or with by as it its this that"
_NEGATIONS, _LIGHT = frozenset(_NEGATION_WORDS.split()), frozenset(_LIGHT_WORDS.split())
_DATE = re.compile(
    r"\b(?:19|20)\d{2}-\d{2}-\d{2}\b|\b\d{1,2}[./]\d{1,2}[./](?:19|20)?\d{2}\b|\b(?:19|20)\d{2}\b", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two sentences of two documents (or two places of one), and in what they differ: number, date or negation."""

    what: str
    one: str
    other: str
    one_document: str
    other_document: str

    @property
    def key(self) -> str:
        """The same for the same two sentences, whatever their order."""
        return f"{self.one_document}: {self.one} | {self.other_document}: {self.other}"


@dataclass(frozen=True, slots=True)
class _Read:
    document: str
    text: str
    words: frozenset[str]
    numbers: tuple[str, ...]
    negated: bool
    names: frozenset[str]


def disagreements(texts: Mapping[str, str], most: int = 200) -> list[Disagreement]:
    """The disagreements between sentences of documents, given by id; at most ``most``."""
    read = [one for document, text in texts.items() for one in _sentences(document, text)][:MOST]
    common = Counter(word for one in read for word in one.words)
    blocks: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, one in enumerate(read):
        rare = sorted(one.words, key=lambda word: (common[word], word))[:4]
        for pair in combinations(rare, 2):
            blocks[pair].append(number)
    found: dict[str, Disagreement] = {}
    for members in blocks.values():
        if not 2 <= len(members) <= CROWD:
            continue
        for a, b in combinations(members, 2):
            made = _compare(read[a], read[b])
            if made is not None:
                found.setdefault(made.key, made)
        if len(found) >= most:
            break
    return sorted(found.values(), key=lambda d: d.key)[:most]


def disagree(passages: Sequence[str]) -> bool:
    """Whether any two of a few passages disagree. Made for traffic: the same passages are found again and again, and
    what was read of one is remembered."""
    seen: dict[str, list[tuple[int, _Read]]] = defaultdict(list)
    for number, passage in enumerate(passages):
        for one, first in _read(passage):
            for word in first:
                if any(place != number and _compare(one, other) is not None for place, other in seen[word]):
                    return True
            for word in first:
                seen[word].append((number, one))
    return False


@lru_cache(maxsize=4096)
def _read(passage: str) -> tuple[tuple[_Read, tuple[str, ...]], ...]:
    """The sentences of a passage, each with its first words in the order of the alphabet: of two sets of words that
    overlap by OVERLAP, so many of the first ones cannot all be missing in the other."""
    found = []
    for one in _sentences("", passage):
        words = sorted(one.words)
        found.append((one, tuple(words[: len(words) - math.ceil(OVERLAP * len(words)) + 1])))
    return tuple(found)


def _sentences(document: str, text: str) -> list[_Read]:
    found = []
    for sentence in _SENTENCE.split(text):
        said = " ".join(sentence.split()).strip("#*->| ")
        tokens = _TOKEN.findall(said)
        lowered = [token.lower().replace("\u2019", "'") for token in tokens]
        words = frozenset(w for w in lowered if not w[0].isdigit() and w not in _NEGATIONS and w not in _LIGHT)
        if len(words) >= LEAST_WORDS:
            numbers = tuple(w for w in lowered if w[0].isdigit())
            names = frozenset(token.lower() for token in tokens[1:] if token[0].isupper())
            found.append(_Read(document, said[:400], words, numbers, bool(_NEGATIONS.intersection(lowered)), names))
    return found


def _compare(one: _Read, other: _Read) -> Disagreement | None:
    if one.text == other.text or one.names != other.names:
        return None
    if len(one.words & other.words) < OVERLAP * len(one.words | other.words):
        return None
    what = ""
    if one.numbers != other.numbers and len(one.numbers) == len(other.numbers):
        dates = _DATE.findall(one.text) != _DATE.findall(other.text)
        what = "date" if dates else "number"
    elif one.numbers == other.numbers and one.negated != other.negated and one.words == other.words:
        what = "negation"
    if not what:
        return None
    one, other = sorted((one, other), key=lambda read: (read.document, read.text))
    return Disagreement(
        what=what, one=one.text, other=other.text, one_document=one.document, other_document=other.document
    )
