"""Which groups of spans may have two common words next to each other.

Words that nearly all groups have tell a search nothing, but two of them side by side do. A segment's *pairs* are one
row of bits for each group: two words in a row, both common, are a number, and the number's bit is set. Several pairs
share a bit, so a set bit says "perhaps" and a bit that is not set says "no". Pairs that very many groups have are only
listed: their bits would be set everywhere.

Which words are common is seen from a segment's first groups, and written down with the bits. So no text has to be kept
until the segment is whole.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, repeat
from operator import add
from typing import Final, NamedTuple
from zlib import crc32

#: A word that so many of the first groups have is common, and a pair that more of them have is only listed. A word that
#: is less common leaves few enough groups by itself.
_COMMON: Final = 0.45
_LISTED: Final = 0.4
#: Bits of a row for each pair that a group has: 43 in 100 bits are set then.
_BITS: Final = 1.8
#: Bytes of the longest row.
_LONGEST_ROW: Final = 4096
#: The groups, and the most words of them, from which is seen what is common; of fewer groups nothing is.
FIRST: Final = 32
_FIRST_WORDS: Final = 200_000
_LEAST: Final = 8
#: Pairs of words that are looked up for two pieces of a text.
_MOST_PAIRS: Final = 64
_HEAD: Final = struct.Struct("<HHH")
#: Of two halves that are added the sum has 30 bits, which Python adds fastest.
_HALF: Final = (1 << 29) - 1
#: What makes the order of two words count: of the product the middle bits are taken, which have little to do with the
#: low bits that the other half adds.
_TURN: Final = 0x9E3779B1
#: What stands for a word that is not common: with it, every number is the same.
_NONE: Final = math.inf


class Maker:
    """Makes the pairs of a segment, group by group."""

    def __init__(self) -> None:
        self._waiting: list[list[list[bytes]]] = [[]]
        self._words = 0
        self._left: dict[bytes, int] | None = None  # until it is known what is common
        self._right: dict[bytes, int] = {}
        self._listed: set[int] = set()
        self._its: set[int] = set()
        self._row = 0
        self._rows: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Whether it is known what is common."""
        return self._left is not None

    def see(self, run: list[bytes]) -> None:
        """Some words of the next group, as they stand one after another."""
        if self._left is not None:
            self._its |= self.numbers(run)
            return
        self._waiting[-1].append(run)
        self._words += len(run)
        if self._words > _FIRST_WORDS:
            self._begin()

    def take(self, numbers: set[int]) -> None:
        """Some words of the next group again, by the ``numbers`` of their pairs."""
        self._its |= numbers

    def end(self, *, forget: bool) -> None:
        """The group has no more words; ``forget`` those that it has, for it may hold anything."""
        if self._left is not None:
            self._rows.append(self._row_of(set() if forget else self._its))
            self._its = set()
            return
        if forget:
            self._waiting[-1] = []
        self._waiting.append([])
        if len(self._waiting) > FIRST:
            self._begin()

    def made(self, number_of: Mapping[bytes, int]) -> bytes:
        """The pairs, where ``number_of`` says the number of a word in the segment. Empty where they would say
        nothing."""
        if self._left is None:
            self._begin()
        # A common word whose number is too large counts as seldom, and is looked up by itself.
        common = sorted(number_of[word] for word in self._right if number_of.get(word, 1 << 16) < 1 << 16)
        if not self._row or len(common) < 2 or len(self._listed) >= 1 << 16:
            return b""
        head = _HEAD.pack(len(common), len(self._listed), self._row)
        return b"".join([head, _packed("H", common), _packed("I", sorted(self._listed)), *self._rows])

    def _begin(self) -> None:
        """See from the first groups what is common, and make their rows."""
        groups, self._waiting = self._waiting, []
        had = Counter(word for runs in groups for word in {word for run in runs for word in run})
        saying = sum(map(bool, groups))
        common = [word for word, n in had.items() if n >= _COMMON * saying] if saying >= _LEAST else []
        self._right = {word: _right(word) for word in common}
        self._left = {word: _left(word) for word in common}
        numbers = [set().union(*map(self.numbers, runs)) for runs in groups]
        often = Counter(number for its in numbers for number in its)
        self._listed = {number for number, n in often.items() if n > _LISTED * saying}
        rest = sum(n for number, n in often.items() if number not in self._listed)
        self._row = min(_LONGEST_ROW, -int(-_BITS * rest // (8 * max(1, saying))))
        # The last group goes on.
        self._its = numbers.pop()
        self._rows = [self._row_of(its) for its in numbers]

    def numbers(self, run: list[bytes]) -> set[int]:
        """The numbers of the pairs in a run, once it is known what is common."""
        if not self._right or self._left is None:
            return set()
        none = repeat(_NONE)
        found = set(map(add, map(self._left.get, run, none), islice(map(self._right.get, run, none), 1, None)))
        found.discard(_NONE)
        return found

    def _row_of(self, numbers: set[int]) -> bytes:
        size = 8 * self._row
        if not size:
            return b""
        bits = bytearray(b"0" * size)
        for number in numbers - self._listed:
            bits[number % size] = 49  # the digit 1
        return int(bits, 2).to_bytes(self._row)


class Pairs(NamedTuple):
    """The pairs of a segment, opened."""

    common: frozenset[int]
    listed: frozenset[int]
    row: int
    rows: memoryview

    def kept(
        self, places: set[int], left: Sequence[int], right: Sequence[int], word: Callable[[int], bytes],
        having: Callable[[Iterable[int]], set[int]],
    ) -> set[int]:  # fmt: skip
        """Those of some places whose groups may have a word of ``left`` directly before one of ``right``. Words are
        given by their numbers; ``word`` says which one has a number, ``having`` which places have one of some."""
        befores, afters = ([number for number in side if number in self.common] for side in (left, right))
        if len(befores) * len(afters) > _MOST_PAIRS:
            return places
        firsts, seconds = [_left(word(before)) for before in befores], [_right(word(after)) for after in afters]
        numbers = {first + second for first in firsts for second in seconds}
        if numbers & self.listed:
            return places
        size = 8 * self.row
        bits = [(number % size >> 3, 128 >> (number % size & 7)) for number in numbers]
        rows, row = self.rows, self.row
        found = {place for place in places if any(rows[place * row + at] & bit for at, bit in bits)}
        seldom = [number for side in (left, right) for number in side if number not in self.common]
        return found | (places & having(seldom)) if seldom else found


def opened(data: memoryview) -> Pairs | None:
    """Pairs as they were made; None where they say nothing."""
    if not data:
        return None
    common, listed, row = _HEAD.unpack_from(data)
    first, second = _HEAD.size + 2 * common, _HEAD.size + 2 * common + 4 * listed
    return Pairs(
        frozenset(struct.unpack(f"<{common}H", data[_HEAD.size : first])),
        frozenset(struct.unpack(f"<{listed}I", data[first:second])),
        row,
        data[second:],
    )


def _right(word: bytes) -> int:
    return crc32(word) & _HALF


def _left(word: bytes) -> int:
    return _right(word) * _TURN >> 16 & _HALF


def _packed(kind: str, numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}{kind}", *numbers)
