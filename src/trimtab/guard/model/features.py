"""Hashed features of a text: what the light models see. Training and scoring share this file.

A text is a row of tokens. Each token brings its character 2- to 5-grams and the word itself; a token that begins a
sentence brings that too; neighbours bring pairs and triples; and the concepts of ``concepts.py`` bring ordered pairs
over a distance of up to eight tokens. Every feature belongs to the token where it ends, so the sum over any stretch of
tokens is the difference of two running sums.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from .concepts import CONCEPTS, SPACELESS, SPACELESS_WORDS, concepts_of

#: Number of hashed features, a power of two.
SIZE = 1 << 17
MASK = SIZE - 1
#: Characters of one token that are looked at.
TOKEN_LIMIT = 32
#: How many tokens apart two concepts may be, and how many concepts are remembered.
REACH = 8
HELD = 4
#: A token or pair that came within so many tokens before does not count again: rows of tables say nothing more.
NEAR = 48
#: Weights of the families of features: characters (divided by the root of their number), word, first word, pair,
#: skip pair, triple, concept pair.
CHARS, WORD, FIRST, PAIR, SKIP, TRIPLE, CONCEPT = 1.0, 1.0, 1.0, 1.0, 0.7, 0.7, 1.2

_TOKEN = re.compile(
    rf"(?:[^\W_{SPACELESS}]|[\u0300-\u036f\u0900-\u0dff])+|\n+|[^\w\s]+|_+|{'|'.join(SPACELESS_WORDS)}|[{SPACELESS}]"
)
_ENDS = frozenset(".!?:;|>\"'`*#-=(\u3002\uff01\uff1f\uff1a\u060c\u0964")
#: Multipliers and shift that make one feature of an ordered pair of hashes.
LEFT, RIGHT, SHIFT = 0x9E3779B1, 0x85EBCA77, 11
_CONCEPT_SALT = 0x51ED270B


class Token(NamedTuple):
    """What is known of a token by itself: its hash, its features, and its concepts."""

    hash: int
    features: tuple[tuple[int, float], ...]
    first: int  # the feature of this token at the beginning of a sentence
    concepts: tuple[int, ...]


def mix(left: int, right: int) -> int:
    """The feature of an ordered pair of hashes."""
    return (((left * LEFT) ^ (right * RIGHT)) >> SHIFT) & MASK


def folded(word: str) -> str:
    """How a token is looked at: lower case, digits as one shape, very long runs cut."""
    word = word[:TOKEN_LIMIT].casefold()
    if word.isdigit():
        return "0" * min(len(word), 4)
    if not word[0].isalnum():
        return word[:3]
    return word


def token_of(word: str) -> Token:
    """The features of one token by itself."""
    word = folded(word)
    inner = f"<{word}>"
    crc, most = zlib.crc32, len(inner)
    if inner.isascii():
        raw = inner.encode()
        grams = [crc(raw[i : i + n]) for n in range(2, 6) for i in range(most - n + 1)]
    else:
        grams = [crc(inner[i : i + n].encode("utf-8", "replace")) for n in range(2, 6) for i in range(most - n + 1)]
    share = CHARS / (len(grams) ** 0.5)
    features = [(gram & MASK, share) for gram in grams]
    whole = zlib.crc32(b"w" + word.encode("utf-8", "replace"))
    features.append((whole & MASK, WORD))
    concepts = concepts_of(word)
    features.extend((zlib.crc32(b"c%d" % number) & MASK, WORD) for number in concepts)
    return Token(whole, tuple(features), zlib.crc32(b"^" + word.encode("utf-8", "replace")) & MASK, concepts)


@cache
def concept_pair(left: int, right: int) -> int:
    """The feature of two concepts in this order."""
    number = left * len(CONCEPTS) + right + 1
    return (((number * LEFT) ^ ((left + 7) * RIGHT) ^ _CONCEPT_SALT) >> SHIFT) & MASK


def words_of(text: str, limit: int) -> Iterator[tuple[str, int, int, bool]]:
    """Tokens of a text with their positions and whether each begins a sentence or line; at most ``limit``."""
    first = True
    for count, match in enumerate(_TOKEN.finditer(text)):
        if count >= limit:
            return
        word = match.group()
        if word[0] == "\n":
            first = True
            continue
        yield word, match.start(), match.end(), first
        first = not word[0].isalnum() and (word[-1] in _ENDS or first)
