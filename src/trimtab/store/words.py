"""Which groups of spans have which words, so that a text search opens only the groups that may hold the text.

A *group* is some twenty spans that were committed one after another. A *segment* is up to 512 groups: the different
words of their inputs and outputs, and for each word the groups that have it. Words are runs of letters and digits,
case-folded; in scripts that put no spaces between words each letter is a word. A text can stand only where all of its
words do: those inside it whole, the first and the last at the end or the beginning of a word, a single one anywhere in
a word. So a search for any part of a text loses nothing, and what is found is still looked at letter by letter.

A group whose words are no language (encoded files, random letters) would make a segment as large as its texts; its
words are left out, and it counts as one that may hold anything.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise
from operator import sub
from typing import Final, NamedTuple

import zstandard

from . import pairs

#: A group is full with so many spans where another block begins, and at last with twice as many.
GROUP_SPANS: Final = 20
#: Groups of a segment.
GROUPS: Final = 512
#: Bytes of the longest word that is kept: a digest in hex has 128.
_LONGEST: Final = 128
#: Bytes of different words that a segment may have at first, and more of them for each of its groups.
_ROOM: Final = 96 * 1024
_ROOM_EACH: Final = 1024
#: A part of a word that so many different words of a segment have says nothing worth looking up.
_MOST_WORDS: Final = 256
#: Letters that are words by themselves: Thai, Lao, Khmer and Burmese, kana, and Chinese characters.
_WIDE: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[^\W_{_WIDE}]+|[{_WIDE}]")
_ALONE: Final = re.compile(rf"[{_WIDE}]")
#: What stands between words, in text of small ASCII letters, as spaces.
_SPACED: Final = bytes(one if chr(one).isascii() and chr(one).isalnum() else 32 for one in range(256))
_LEVEL: Final = 6
_GROUP: Final = struct.Struct("<qqq")
_FAR: Final = 255
#: Characters that are taken apart at once, more or less.
_PART: Final = 65_536
#: Characters of a text that is looked up in what came before; how many of them are remembered, and words of those that
#: came again.
_LONG: Final = 256
_AGAIN_MET: Final = 8192
_AGAIN_WORDS: Final = 32_768
#: A text with fewer words, such as an image's, counts as one of a word for each so many characters.
_AGAIN_LETTERS: Final = 16
#: A word that so large a share of the groups have tells nothing.
_EVERYWHERE: Final = 0.95
#: Words of a text that are looked up, the longest: any of them exclude soundly, and the longest exclude the most.
_MOST_PIECES: Final = 32
#: What stands for any word; it is none.
_ANYTHING: Final = b"*"


class Group(NamedTuple):
    """Spans with a number in [first, last], and the first and last start among them."""

    first: int
    last: int
    low_ns: int
    high_ns: int


class Segment(NamedTuple):
    """A row of the table ``words``: what it covers, and three compressed columns."""

    first: int
    last: int
    groups: bytes
    words: bytes
    places: bytes


class Piece(NamedTuple):
    """A word of a text that is searched for, and whether a word that has it begins and ends with it."""

    word: bytes
    begins: bool
    ends: bool


def words_of(texts: Iterable[str]) -> set[bytes]:
    """The different words of some texts."""
    return {word for run in _runs_in(*_chunks_of(texts)) for word in run}


def _chunks_of(texts: Iterable[str]) -> tuple[set[str], set[str]]:
    """What stands between quotes, each once and case-folded: of texts that are plain ASCII, and of others."""
    plain: set[str] = set()
    other: set[str] = set()
    for text in dict.fromkeys(texts):  # An answer is the output of the call and of the root.
        # Calls of one trace repeat whole messages, which stand in quotes: each is read once.
        folded = text.casefold()
        (plain if folded.isascii() else other).update(folded.split('"'))
    return plain, other


def _runs_in(plain: Iterable[str], other: Iterable[str]) -> Iterator[list[bytes]]:
    """The words of some chunks as they stand one after another."""
    for part in _parts(plain):
        yield part.encode().translate(_SPACED).split()
    for part in _parts(other):
        # A text without quotes comes whole. Word by word, other threads have their turn.
        words = [match[0] for match in _WORD.finditer(part)] if len(part) > 2 * _PART else _WORD.findall(part)
        yield list(map(str.encode, words))


def _parts(chunks: Iterable[str]) -> Iterator[str]:
    """The chunks together, but not so much at once that other threads wait for it."""
    part: list[str] = []
    size = 0
    for chunk in chunks:
        part.append(chunk)
        size += len(chunk)
        if size > _PART:
            yield " ".join(part)
            part, size = [], 0
    yield " ".join(part)


def pieces_of(needle: str) -> list[Piece]:
    """The words of a case-folded text, each once, the longest first: of a long text some of them."""
    found = dict.fromkeys(map(_piece, _WORD.finditer(needle)))
    return sorted(found, key=lambda piece: len(piece.word), reverse=True)[:_MOST_PIECES]


def neighbours_in(needle: str) -> list[tuple[Piece, Piece]]:
    """The words of a case-folded text that stand side by side with no quote between them, each two once: of a long text
    the first of them."""
    found = islice(pairwise(_WORD.finditer(needle)), _MOST_PIECES)
    return list(dict.fromkeys((_piece(a), _piece(b)) for a, b in found if '"' not in needle[a.end() : b.start()]))


def _piece(match: re.Match[str]) -> Piece:
    alone = _ALONE.match(match[0]) is not None
    return Piece(match[0].encode(), alone or match.start() > 0, alone or match.end() < len(match.string))


class _Again:
    """What long texts say that come again and again, such as the instructions of a prompt: it is found once."""

    def __init__(self, its_pairs: pairs.Maker) -> None:
        self._pairs = its_pairs
        self._met: set[int] = set()
        self._known: dict[str, tuple[set[bytes], set[int]]] = {}
        self._room = _AGAIN_WORDS

    def take(self, chunks: set[str], words: set[bytes]) -> None:
        """Take those out of ``chunks`` that are known, and add their ``words`` and pairs to the group's."""
        for chunk in [one for one in chunks if _LONG <= len(one) <= _PART]:
            if (known := self._known.get(chunk)) is None and (known := self._learnt(chunk)) is None:
                continue
            chunks.discard(chunk)
            words |= known[0]
            self._pairs.take(known[1])

    def _learnt(self, chunk: str) -> tuple[set[bytes], set[int]] | None:
        """What a chunk says, to be kept, when it comes for the second time."""
        mark = hash(chunk)
        if mark not in self._met or self._room <= 0:
            if len(self._met) >= _AGAIN_MET:
                self._met.clear()
            self._met.add(mark)
            return None
        run = [word for its in _runs_in(*(([chunk], ()) if chunk.isascii() else ((), [chunk]))) for word in its]
        self._room -= max(len(run), len(chunk) // _AGAIN_LETTERS)
        known = self._known[chunk] = (set(run), self._pairs.numbers(run))
        return known


class Maker:
    """Makes a segment, group by group."""

    def __init__(self) -> None:
        self._pairs = pairs.Maker()
        self._groups: list[Group] = []
        self._places: defaultdict[bytes, list[int]] = defaultdict(list)
        self._size = 0
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._again = _Again(self._pairs)

    def add(self, group: Group, texts: Iterable[str]) -> None:
        """Add the next group, with the inputs and outputs of its spans."""
        words: set[bytes] = set()
        plain, other = _chunks_of(texts)
        if self._pairs.begun:
            for chunks in (plain, other):
                self._again.take(chunks, words)
        for run in _runs_in(plain, other):
            words.update(run)
            self._pairs.see(run)
        places, place = self._places, len(self._groups)
        new = [word for word in words if word not in places]
        size = sum(map(len, new))
        if self._size + size > _ROOM + place * _ROOM_EACH or max(map(len, new), default=0) > _LONGEST:
            words, size = {_ANYTHING}, 0
        self._pairs.end(forget=_ANYTHING in words)
        self._size += size
        for word in words:
            places[word].append(place)
        self._groups.append(group)

    def made(self, first: int) -> Segment:
        """The segment, which covers all spans from the number ``first`` on to the last group's last."""
        # Words of like frequency have like gaps, and what is alike compresses. Each sort alone is short, so that other
        # threads have their turn.
        by_frequency: defaultdict[int, list[bytes]] = defaultdict(list)
        for word, its in self._places.items():
            by_frequency[len(its)].append(word)
        words = [word for often in sorted(by_frequency, reverse=True) for word in sorted(by_frequency[often])]
        ways = [_ways(self._places[word]) for word in words]
        pack = self._compressor.compress
        # Behind the places lie the pairs, in one column: who knows nothing of pairs does not read that far.
        its_pairs = self._pairs.made({word: number for number, word in enumerate(words)})
        return Segment(
            first=first,
            last=self._groups[-1].last,
            groups=pack(b"".join(_GROUP.pack(one.last, one.low_ns, one.high_ns) for one in self._groups)),
            words=pack(b"\n" + b"".join(word + b"\n" for word in words)),
            places=pack(
                struct.pack(f"<{len(ways) + 1}H", len(self._groups), *map(len, ways)) + b"".join(ways) + its_pairs
            ),
        )


def groups_of(first: int, groups: bytes) -> list[Group]:
    """The groups of a segment that begins with the number ``first``, from its opened column."""
    found = []
    for last, low_ns, high_ns in _GROUP.iter_unpack(groups):
        found.append(Group(first, last, low_ns, high_ns))
        first = last + 1
    return found


def places_of(needle: str, words: bytes, open_places: Callable[[], bytes]) -> set[int] | None:
    """The places of the groups that may hold a case-folded text: they have a word for each of its words, and for each
    two common words that stand side by side a pair, as far as both tell; or they may hold anything. None for all of
    them. The columns are given opened, and ``open_places`` is called only where there may be such a group."""
    anything = _numbers(Piece(_ANYTHING, True, True), words)
    wanted: dict[Piece, list[int]] = {}
    for piece in pieces_of(needle):
        wanted[piece] = its = _numbers(piece, words)
        if not its and not anything:
            return set()
    column = _Places(words, open_places())
    few = {piece: its for piece, its in wanted.items() if len(its) < _MOST_WORDS}
    telling = [its for its in few.values() if column.tells(its)]
    couples = [(few[left], few[right]) for left, right in neighbours_in(needle) if left in few and right in few]
    if not telling and not (couples and column.pairs):
        return None
    places = set.intersection(*map(column.having, telling)) if telling else set(range(column.groups))
    if column.pairs:
        for left, right in couples:
            places = column.pairs.kept(places, left, right, column.word, column.having)
    return places | column.having(anything)


class _Places:
    """The column of places, opened, beside that of words."""

    def __init__(self, words: bytes, places: bytes) -> None:
        count = words.count(b"\n") - 1
        self.groups, *self._lengths = struct.unpack_from(f"<{count + 1}H", places)
        self._ends = list(accumulate(self._lengths, initial=2 * (count + 1)))
        self._words, self._places = words, places
        self.pairs = pairs.opened(memoryview(places)[self._ends[-1] :])

    def tells(self, numbers: Sequence[int]) -> bool:
        """Whether it says something that a group has one of these words. The first is the most frequent."""
        return not numbers or self._lengths[numbers[0]] < _EVERYWHERE * self.groups

    def having(self, numbers: Iterable[int]) -> set[int]:
        """The places of the groups that have any of these words."""
        places, ends = self._places, self._ends
        return {place for number in numbers for place in _led_by(places[ends[number] : ends[number + 1]])}

    def word(self, number: int) -> bytes:
        """The word with a number."""
        # The common ones, which are asked for, come first.
        return self._words.split(b"\n", number + 2)[number + 1]


def _ways(places: list[int]) -> bytes:
    """From each place to the next, beginning before the first: a byte for each, after a zero for every 255 more."""
    ways = list(map(sub, places, [-1, *places]))
    if max(ways) <= _FAR:
        return bytes(ways)
    return b"".join(bytes((way - 1) // _FAR) + bytes(((way - 1) % _FAR + 1,)) for way in ways)


def _led_by(ways: bytes) -> Iterator[int]:
    """The places that ``_ways`` leads to."""
    if 0 not in ways:
        return islice(accumulate(ways, initial=-1), 1, None)
    at = accumulate((way or _FAR for way in ways), initial=-1)
    return (place for way, place in zip(ways, islice(at, 1, None), strict=True) if way)


def _numbers(piece: Piece, words: bytes) -> list[int]:
    """The numbers of the words that have a piece, no more than would be looked up."""
    pattern = (b"\n" if piece.begins else b"") + piece.word + (b"\n" if piece.ends else b"")
    found: list[int] = []
    number, counted = -1, 0
    at = words.find(pattern)
    while at >= 0 and len(found) < _MOST_WORDS:
        begin = at + piece.begins
        number, counted = number + words.count(b"\n", counted, begin), begin
        found.append(number)
        at = words.find(pattern, words.index(b"\n", begin))
    return found
