"""Hashed features of a text: what the light models see. Training and scoring share this file.

A text is a row of tokens. Each token brings its character 2- to 5-grams, the word itself and its concept; with its
neighbours it brings a pair, a pair over one token and a triple; and concepts near each other bring ordered pairs
(``concepts.py``). What ends a sentence, a line or a cell is one and the same neighbour, and nothing before it takes
part in what comes after. Every feature belongs to the token where it ends, so the sum over any stretch of tokens is the
difference of two running sums.

The hashes of all tokens are worked out at once: a long integer is a row of 64-bit lanes, and one multiplication of it
multiplies every lane.
"""

from __future__ import annotations

import re
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

from .concepts import SPACELESS, concept_of, spaceless_words

#: Number of hashed features, a power of two.
SIZE = 1 << 18
MASK = SIZE - 1
#: Characters of one token that are looked at.
TOKEN_LIMIT = 32
#: How many tokens apart two concepts may be, and how many concepts before one are looked at.
REACH = 8
HELD = 4
#: A token that came within so many tokens before does not count by itself again.
NEAR = 48
#: Lengths of the character n-grams.
GRAMS = (2, 3, 4, 5)

_ASCII = re.compile(r"[A-Za-z0-9]+|\n+|[!-/:-@\[-^`{-~]+|_+")
_ENDS = frozenset(".!?:;|>\"'`*#-=(\u3002\uff01\uff1f\uff1a\u060c\u0964\n")
#: Characters that are looked for tokens at once.
_STEP = 1 << 13
#: Bits of a hash; a lane holds the hash as a right neighbour, that as a left one, and whether the sentence goes on.
_BITS = 20
_LOW = (1 << _BITS) - 1
_GOES_ON = 1 << (2 * _BITS)
#: Where in a lane the concept stands.
CONCEPT_BITS = 2 * _BITS + 1
#: The left hash of whatever ends a sentence.
_END = 0x9E377
#: Which bits of a product make the feature. Every product of a hash, and a sum of four, fits a lane.
_SHIFT = 24
_PAIR = (0x19E3779B185, 0x1C2B2AE3D27)
_SKIP = (0x165667B19E3, 0x7D4EB2F16F)
_TRIPLE = (0x1D6E8FEB867, 0x10B4B825EC5, 0x1A9F2B6C31D)
_GRAM = (0x12C5F6A2B17, 0x1E19D3B4F2D, 0x17F8A93C6E5, 0x1B3D5F7A091, 0x14C2E8F6A7B)
_GRAM_SALT = (0x3A5F1C7E9B1, 0x5B8D2E6F417, 0x2C9E4A7B3D5, 0x4F1B6D8C2E3)
#: Set for one letter of a script without spaces: it is less than a word, so it counts half and has no n-grams.
LETTER = 1 << (CONCEPT_BITS + 8)
LETTER_SHARE = 0.5
_SPACELESS = re.compile(f"[{SPACELESS}]")
_LANE = 8
#: The beginning of a sentence and a concept in a row of bytes.
_BEGINS = re.compile(b"\\x00\\x01")
_CONCEPT = re.compile(b"[^\\x00]")


class Row(NamedTuple):
    """What every model needs of a text.

    Its tokens and their lanes; for each token the feature of the pair that it ends, of the pair over one token and of
    the triple; where sentences begin, and where they end with the first of the signs that end them; and one more than
    each token's concept, or 0.
    """

    words: Sequence[str]
    lanes: Sequence[int]
    pairs: Sequence[int]
    skips: Sequence[int]
    triples: Sequence[int]
    starts: Sequence[int]
    stops: Sequence[int]
    concepts: bytes


@cache
def _expression() -> re.Pattern[str]:
    words = spaceless_words()
    first = "".join(sorted({word[0] for word in words}))
    return re.compile(
        rf"[A-Za-z0-9]+(?![^\x00-\x7f])|\n+|[!-/:-@\[-^`{{-~]+(?![^\x00-\x7f])|(?=[{first}])(?:{'|'.join(words)})|"
        rf"[{SPACELESS}]|(?:[^\W_{SPACELESS}]|[\u0300-\u036f\u0900-\u0dff])+|[^\w\s]+|_+"
    )


def tokens_of(text: str, limit: int) -> list[str]:
    """The tokens of a text, at most ``limit``; a line break is one."""
    find = (_ASCII if text.isascii() else _expression()).findall
    if len(text) <= _STEP:
        return find(text)[:limit]
    found: list[str] = []
    for low, high in _parts(text):
        found += find(text, low, high)
        if len(found) >= limit:
            break
    return found[:limit]


def spans_of(text: str, limit: int) -> list[tuple[int, int]]:
    """First and last character (excluded) of the first ``limit`` tokens."""
    find = (_ASCII if text.isascii() else _expression()).finditer
    every = (found.span() for low, high in _parts(text) for found in find(text, low, high))
    return list(islice(every, limit))


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """A text in parts that end with a space where they can: no more is looked at than a limit asks for."""
    low, size = 0, len(text)
    while low < size:
        high = min(size, low + _STEP)
        if high < size:
            high = max(text.rfind(" ", low, high), low) + 1
            if high == low + 1:
                high = low + _STEP
        yield low, high
        low = high


def folded(word: str) -> str:
    """How a token is looked at: lower case, digits as one shape, very long runs cut."""
    word = word[:TOKEN_LIMIT].casefold()
    if word.isdigit():
        return "0" * min(len(word), 4)
    if not word[0].isalnum():
        return "\n" if word[0] == "\n" else word[:3]
    return word


def ends(word: str) -> bool:
    """Whether a token ends a sentence, a line or a cell."""
    return not word[0].isalnum() and word[-1] in _ENDS


def lane_of(word: str) -> int:
    """The lane of a token; above its hashes stands one more than the number of its concept, if it has one."""
    word = folded(word)
    number = zlib.crc32(b"w" + word.encode("utf-8", "replace")) & _LOW
    if ends(word):
        return number | _END << _BITS
    alone = LETTER if len(word) == 1 and _SPACELESS.match(word) else 0
    return number | number << _BITS | _GOES_ON | (concept_of(word) + 1) << CONCEPT_BITS | alone


def word_feature(lane: int) -> int:
    """The feature of the token by itself."""
    return ((lane & _LOW) * 0x9E3779B1 >> 13) & MASK


@cache
def concept_feature(number: int) -> int:
    """The feature of a concept by itself. Here and below a concept's number is one more than its place."""
    return zlib.crc32(b"c%d" % number) & MASK


@cache
def concept_pair(left: int, right: int) -> int:
    """The feature of two concepts in this order; 0 on the left stands for the beginning of a sentence."""
    return zlib.crc32(b"p%d,%d" % (left, right)) & MASK


def row(words: Sequence[str], lanes: Sequence[int]) -> Row:
    """The row of a text, from its tokens and their lanes."""
    count = len(lanes)
    if not count:
        return Row((), (), (), (), (), (0,), (0,), b"")
    packed = _packed(array("Q", lanes))
    low = _every(count, _LOW)
    right = packed & low
    left = (packed >> _BITS) & low
    goes_on = (packed >> 2 * _BITS) & _every(count, 1)
    whole = (1 << 64 * count) - 1
    before = (left << 64 & whole) | _END
    earlier = ((left << 128) | _END << 64) & (goes_on * _LOW << 64) & whole
    flags = goes_on.to_bytes(_LANE * count, "little")[::_LANE]
    starts = [0, *(found.end() - 1 for found in _BEGINS.finditer(flags))]
    return Row(
        words,
        lanes,
        _features(before * _PAIR[0] + right * _PAIR[1], count),
        _features(earlier * _SKIP[0] + right * _SKIP[1], count),
        _features(earlier * _TRIPLE[0] + before * _TRIPLE[1] + right * _TRIPLE[2], count),
        starts,
        [_after(flags, low, high) for low, high in zip(starts, (*starts[1:], count), strict=True)],
        ((packed >> CONCEPT_BITS) & _every(count, 0xFF)).to_bytes(_LANE * count, "little")[::_LANE],
    )


def _after(flags: bytes, low: int, high: int) -> int:
    """The token after the first sign that ends a sentence, or after the last one."""
    at = flags.find(0, low, high)
    return high if at < 0 else at + 1


def repeated(lanes: Sequence[int], starts: Sequence[int], *, apart: bool) -> list[int]:
    """The tokens that came within ``NEAR`` tokens before: what a table or a list repeats says nothing more.

    ``starts`` are the tokens that begin a sentence; ``apart``: only within the same sentence.
    """
    last: dict[int, int] = {}
    found = []
    afresh = frozenset(starts) if apart else frozenset()
    for at, lane in enumerate(lanes):
        if at in afresh:
            last.clear()
        if at - last.get(lane, -NEAR) < NEAR:
            found.append(at)
        last[lane] = at
    return found


def concept_pairs(concepts: bytes, starts: Sequence[int], *, apart: bool) -> list[tuple[int, int]]:
    """The features of concepts that come near each other, each with the token where it ends.

    ``starts`` are the tokens that begin a sentence; ``apart``: only concepts of the same sentence make a pair.
    """
    found: list[tuple[int, int]] = []
    held: list[tuple[int, int]] = []
    first = set(starts)
    sentence = iter((*starts[1:], len(concepts)))
    until = next(sentence)
    for hit in _CONCEPT.finditer(concepts):
        at = hit.start()
        number = concepts[at]
        if at >= until:
            while at >= until:
                until = next(sentence)
            if apart:
                held.clear()
        if at in first:
            found.append((at, concept_pair(0, number)))
        found += [(at, concept_pair(other, number)) for where, other in held if at - where <= REACH]
        held.append((at, number))
        if len(held) > HELD:
            del held[0]
    return found


def grams(words: Iterable[str]) -> tuple[list[Sequence[int]], list[tuple[int, int]]]:
    """The character n-grams of folded tokens, and where each token stands in them.

    For each length one row of features over all characters: that at ``i`` begins at character ``i``. A token from
    ``start`` to ``end`` (excluded, with a mark at either side) has those from ``start`` to ``end - length + 1``.
    """
    marked = [f"<{word}>" for word in words]
    codes = array("I", "".join(marked).encode("utf-32-le", "surrogatepass"))
    if sys.byteorder == "big":
        codes.byteswap()
    count = len(codes)
    packed = _packed(array("Q", codes))
    total = packed * _GRAM[0]
    rows: list[Sequence[int]] = []
    for more, (factor, salt) in enumerate(zip(_GRAM[1:], _GRAM_SALT, strict=True), 1):
        total += (packed >> 64 * more) * factor
        rows.append(_features(total + _every(count, salt), count))
    bounds, at = [], 0
    for word in marked:
        bounds.append((at, at + len(word)))
        at += len(word)
    return rows, bounds


def _packed(lanes: array[int]) -> int:
    if sys.byteorder == "big":
        lanes = array("Q", lanes)
        lanes.byteswap()
    return int.from_bytes(lanes.tobytes(), "little")


def _features(products: int, count: int) -> Sequence[int]:
    kept = (products >> _SHIFT) & _every(count, MASK)
    lanes = array("Q", kept.to_bytes(_LANE * count, "little"))
    if sys.byteorder == "big":
        lanes.byteswap()
    return lanes


def _every(count: int, value: int) -> int:
    """The same value in so many lanes."""
    return int.from_bytes(value.to_bytes(_LANE, "little") * count, "little")
