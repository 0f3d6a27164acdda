"""Blocks: the payloads of spans that were committed together, compressed as one.

The spans of a trace repeat each other: the question, the answer, the passages. Compressed together they take half the
room and half the time. A root's texts lie by themselves in ``payloads``, because most searches look at roots only; its
attributes lie in the block with the spans under it. A block has the number of its first span, so a span's block is the
last one that begins no later. Files of schema 1 have no blocks, and of schema 2 only what was written since: a payload
that is whole is read as it is.

A block is lines of JSON: its different texts; for each span its place and which texts are its input, output and error
(none for a root); the attributes of each span.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from trimtab.core import Span

from .payload import Codec, Said, attributes_in, may_say, read_attributes, said_in
from .rows import SPAN_COLUMNS, Row, span_with

#: A block is full with so many spans where another trace begins, and at last with so many spans or characters.
FEW_SPANS, MOST_SPANS, MOST_SIZE = 4, 32, 64 * 1024
#: What stands for attributes that lie in the block.
IN_BLOCK: Final = b"*"
_MARKED: Final = b"\n" + IN_BLOCK
#: What a query joins to ``spans s`` for its payload, and what it selects for ``Opener.span``.
JOIN: Final = (
    "LEFT JOIN payloads p ON p.seq = s.seq"
    " LEFT JOIN blocks b ON b.seq = (SELECT max(k.seq) FROM blocks k WHERE k.seq <= s.seq)"
)
COLUMNS: Final = "s.seq, p.dictionary, p.data, b.seq, b.dictionary, b.data"
SPAN: Final = ", ".join(f"s.{name}" for name in SPAN_COLUMNS) + f", {COLUMNS}"
#: Blocks whose findings a search remembers: the spans of a block are met near each other.
_MET: Final = 4096
_NOTHING: Final = Said("", "", "")
_encode = msgspec.json.Encoder().encode
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_places = msgspec.json.Decoder(list[list[int]]).decode


class Entry(NamedTuple):
    """What a block holds of a span: its texts, where they are not elsewhere, and its attributes as JSON."""

    said: Said | None
    attributes: bytes


def packed(spans: Sequence[tuple[int, Span, bytes]], codec: Codec) -> tuple[list[Row], list[Row]]:
    """Spans, each with its number and the line of its attributes, as rows of ``payloads`` and of ``blocks``. A trace is
    not divided unless it is large."""
    whole: dict[int, bytes] = {}
    blocks: list[_Block] = []
    add = _Block.add
    block, count, size, last = _Block(-1), MOST_SPANS, 0, ""
    for seq, span, attributes in spans:
        texts = (span.input, span.output, span.error)
        its = len(attributes) + len(texts[0]) + len(texts[1])
        trace_id = span.trace_id
        if count >= (MOST_SPANS if trace_id == last else FEW_SPANS) or size + its > MOST_SIZE:
            block = _Block(seq)
            blocks.append(block)
            count = size = 0
        count, size, last = count + 1, size + its, trace_id
        if span.parent_id:
            add(block, seq, texts, attributes)
        else:
            if attributes:
                add(block, seq, None, attributes)
            whole[seq] = _encode(texts) + (_MARKED if attributes else b"\n")
    blocks = [one for one in blocks if one.lines]
    data = codec.pack_all([*whole.values(), *[one.encoded() for one in blocks]])
    dictionary = codec.current
    rows = [(seq, dictionary, one) for seq, one in zip((*whole, *[one.first for one in blocks]), data, strict=True)]
    return rows[: len(whole)], rows[len(whole) :]


def encoded(first: int, entries: Mapping[int, Entry]) -> bytes:
    """A block that begins with the number ``first``."""
    block = _Block(first)
    for seq, (said, attributes) in entries.items():
        block.add(seq, said, attributes)
    return block.encoded()


class _Block:
    """A block while it is made."""

    __slots__ = ("_places", "_texts", "first", "lines")

    def __init__(self, first: int) -> None:
        self.first = first
        self._texts: dict[str, int] = {}
        self._places: list[tuple[int, ...]] = []
        self.lines: list[bytes] = []

    def add(self, seq: int, said: tuple[str, str, str] | None, attributes: bytes) -> None:
        """A span with its texts, where they are not elsewhere, and the line of its attributes."""
        if said is None:
            self._places.append((seq - self.first,))
        else:
            texts = self._texts
            place_of = texts.setdefault
            its = (place_of(said[0], len(texts)), place_of(said[1], len(texts)), place_of(said[2], len(texts)))
            self._places.append((seq - self.first, *its))
        self.lines.append(attributes)

    def encoded(self) -> bytes:
        """As it is compressed."""
        return b"\n".join([_encode(list(self._texts)), _encode(self._places), *self.lines])


def decoded(first: int, block: bytes) -> dict[int, Entry]:
    """What ``encoded`` was given."""
    texts_line, places_line, *attributes = block.split(b"\n")
    texts = _decode_texts(texts_line)
    return {
        first + place: Entry(Said(*(texts[at] for at in its)) if its else None, line)
        for (place, *its), line in zip(_decode_places(places_line), attributes, strict=True)
    }


class Opener:
    """Reads the spans of one answer; the block that was read last is at hand for the next span."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._key: tuple[int, bytes] | None = None
        self._entries: Mapping[int, Entry] = {}

    def span(self, row: Row) -> Span:
        """The span of a row of ``SPAN``."""
        said, attributes = self.read(*row[len(SPAN_COLUMNS) :])
        return span_with(row, said, attributes)

    def read(
        self, seq: int, dictionary: int, data: bytes | None, first: int, block_dictionary: int, block: bytes
    ) -> tuple[Said, Mapping[str, Any]]:
        """The texts and attributes of a span, from its ``COLUMNS``."""
        if data is None:
            entry = self._entry(seq, first, block_dictionary, block)
            return entry.said or _NOTHING, read_attributes(entry.attributes)
        payload = self._codec.unpack(dictionary, data)
        if payload.endswith(_MARKED):
            return said_in(payload), read_attributes(self._entry(seq, first, block_dictionary, block).attributes)
        return said_in(payload), attributes_in(payload)

    def error(self, *stored: Any) -> str:
        """The error text of a span, from its ``COLUMNS``."""
        return self.read(*stored)[0].error

    def _entry(self, seq: int, first: int, dictionary: int, block: bytes | None) -> Entry:
        """A span whose block is gone or knows nothing of it has been erased while we read."""
        if block is None:
            return _ERASED
        if self._key != (first, block):
            self._entries = decoded(first, self._codec.unpack(dictionary, block))
            self._key = (first, block)
        return self._entries.get(seq, _ERASED)


_ERASED: Final = Entry(_NOTHING, b"")


def texts_of(connection: sqlite3.Connection, codec: Codec, first: int, last: int) -> list[str]:
    """The inputs and outputs of the spans with a number in [first, last], each text of a block once."""
    found: list[str] = []
    for dictionary, data in connection.execute(
        "SELECT dictionary, data FROM payloads WHERE seq BETWEEN ? AND ?", (first, last)
    ):
        found += said_in(codec.unpack(dictionary, data))[:2]
    for begin, dictionary, data in connection.execute(
        "SELECT seq, dictionary, data FROM blocks"
        " WHERE seq >= coalesce((SELECT max(seq) FROM blocks WHERE seq <= ?1), ?1) AND seq <= ?2",
        (first, last),
    ):
        texts_line, places_line, _ = codec.unpack(dictionary, data).split(b"\n", 2)
        texts = _decode_texts(texts_line)
        # A place is followed by an input, an output and an error, or by nothing.
        its = {at for place, *its in _decode_places(places_line) if first <= begin + place <= last for at in its[:2]}
        found += [texts[at] for at in its]
    return found


def block_finder(codec: Codec, needle: str) -> Callable[[int, int, bytes], frozenset[int]]:
    """Like ``sayer``, for a block: the numbers of its spans that say the needle, as a function of its number,
    dictionary and data. What is not in the texts of a block is in none of its spans."""
    may = may_say(needle)

    def find(first: int, dictionary: int, data: bytes) -> frozenset[int]:
        block = codec.unpack(dictionary, data)
        if not may(block):
            return frozenset()
        return frozenset(
            number
            for number, entry in decoded(first, block).items()
            if entry.said and (needle in entry.said.input.casefold() or needle in entry.said.output.casefold())
        )

    return find


def block_sayer(codec: Codec, needle: str) -> Callable[[int, int, int, bytes], bool]:
    """Like ``sayer``, for a span in a block: a function of the span's number and the block's number, dictionary and
    data. A block is looked at once."""
    find = block_finder(codec, needle)
    met: dict[int, frozenset[int]] = {}

    def said(seq: int, first: int, dictionary: int, data: bytes) -> bool:
        found = met.get(first)
        if found is None:
            if len(met) >= _MET:
                met.clear()
            found = met[first] = find(first, dictionary, data)
        return seq in found

    return said
