"""Payloads: what people read of a span (input, output, error, attributes), compressed with a learnt dictionary."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import zstandard

from trimtab.core import ConfigError, Span

#: The dictionary is learnt from this many payloads. Fewer teach little, more cost time and add little.
SAMPLES = 2000
_SAMPLE_BYTES = 16_384
_DICTIONARY_BYTES = 112_000
#: A dictionary outlives the spans that it was learnt from: only words go into it that so many of their sessions have.
SHARED_BY = 8
_WORDS = re.compile(rb"[\w\x80-\xff]+")
#: Splits into what is between words and, at every odd place, the words.
_PARTS = re.compile(rb"([\w\x80-\xff]+)")
_LEVEL = 3
#: Payloads that are compressed in one go from this many on, where the library can: it makes ready anew for each go.
_MANY = 64
_AT_ONCE = "multi_compress_to_buffer" in zstandard.backend_features
_FILE = re.compile(r"dictionary-(\d{1,9})\.zdict")
_attributes = attrgetter("attributes")
_encode = msgspec.json.Encoder().encode
_decode_said = msgspec.json.Decoder(tuple[str, str, str]).decode
_decode_attributes = msgspec.json.Decoder(dict[str, Any]).decode


class Said(NamedTuple):
    """The texts of a span."""

    input: str
    output: str
    error: str


def attributes_line(span: Span) -> bytes:
    """The span's attributes as one line of JSON, empty where there are none. Raises what the encoder raises for
    attributes that are not JSON or text that is not Unicode."""
    attributes = span.attributes
    if not attributes:
        return b""
    return _encode(attributes if isinstance(attributes, dict) else dict(attributes))


def attributes_lines(spans: Sequence[Span]) -> list[bytes]:
    """``attributes_line`` of each span."""
    given = list(map(_attributes, spans))
    if set(map(type, given)) != {dict}:  # nearly never
        return list(map(attributes_line, spans))
    return [_encode(attributes) if attributes else b"" for attributes in given]


def payload_of(span: Span, attributes: bytes) -> bytes:
    """The span's payload: one line of JSON with its texts and the line of its attributes, so that text search reads the
    first line only. Raises what the encoder raises for text that is not Unicode."""
    return _encode((span.input, span.output, span.error)) + b"\n" + attributes


def said_in(payload: bytes) -> Said:
    """The texts of a payload."""
    return Said(*_decode_said(payload.partition(b"\n")[0]))


def attributes_in(payload: bytes) -> Mapping[str, Any]:
    """The attributes of a payload."""
    return read_attributes(payload.partition(b"\n")[2])


def read_attributes(line: bytes) -> Mapping[str, Any]:
    """Attributes from their line of JSON, which is empty where there are none."""
    return _decode_attributes(line) if line else {}


#: The attributes that a span keeps when its texts are dropped: what rollouts, limits and the trace's page go by.
KEPT = ("gateway", "arms", "key", "finish", "attempts", "cache")
#: What a span without its texts says of itself.
STRIPPED = "sampled_out"


def stripped(payload: bytes) -> bytes | None:
    """The payload without texts; None when it is that already."""
    attributes = attributes_in(payload)
    if attributes.get(STRIPPED) is True:
        return None
    rest = {name: attributes[name] for name in KEPT if name in attributes}
    return _encode(("", "", "")) + b"\n" + _encode({**rest, STRIPPED: True})


class Dictionaries(Protocol):
    """Where dictionaries are kept for good; they are never changed or deleted."""

    def all(self) -> dict[int, bytes]:
        """Every dictionary by its number."""

    def keep(self, number: int, content: bytes) -> bytes:
        """Keep a new one; returns what lies under the number from now on, which another process may have put there."""

    def missing(self, number: int) -> ConfigError:
        """What to say when a dictionary is gone."""


class FolderDictionaries:
    """Beside the day files, as ``dictionary-N.zdict``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> dict[int, bytes]:
        found = ((_FILE.fullmatch(path.name), path) for path in self._folder.iterdir())
        return {int(match[1]): path.read_bytes() for match, path in found if match}

    def keep(self, number: int, content: bytes) -> bytes:
        _keep(self._folder / _name(number), content)
        return content

    def missing(self, number: int) -> ConfigError:
        return ConfigError(
            f"{self._folder / _name(number)} is missing, and spans were compressed with it.",
            field="data",
            mend="Put the file back from a backup of this folder.",
        )


class Codec:
    """Compresses payloads and opens them again. A row names the dictionary it needs by its number, and 0 is none.

    ``pack`` and ``learn`` belong to the writer's thread, ``unpack`` to any.
    """

    def __init__(self, kept: Dictionaries) -> None:
        self._kept = kept
        self._dictionaries: dict[int, zstandard.ZstdCompressionDict] = {}
        # Making a decompressor costs ten times as much as using one, and no two threads may use the same.
        self._mine = threading.local()
        self._samples: list[tuple[str, bytes]] = []
        self._read()
        self.current = max(self._dictionaries, default=0)
        self._compressor = self._new_compressor()

    def pack(self, payload: bytes) -> bytes:
        """Compress with the dictionary ``current``."""
        return self._compressor.compress(payload)

    def pack_all(self, payloads: list[bytes]) -> list[bytes]:
        """Compress each. Many are done in one go, in which other threads may run: after each by itself this thread
        would have to wait for its turn again."""
        if len(payloads) < _MANY or not _AT_ONCE:
            return [self._compressor.compress(payload) for payload in payloads]
        given: Any = payloads  # Its types ask for a list of any kind of bytes.
        packed = self._compressor.multi_compress_to_buffer(given)
        return [packed[place].tobytes() for place in range(len(packed))]

    def unpack(self, dictionary: int, data: bytes) -> bytes:
        """Open what ``pack`` made. Raises ConfigError when its dictionary is gone."""
        openers: dict[int, zstandard.ZstdDecompressor] | None = getattr(self._mine, "openers", None)
        if openers is None:
            openers = self._mine.openers = {}
        if (opener := openers.get(dictionary)) is None:
            opener = openers[dictionary] = self._opener(dictionary)
        return opener.decompress(data)

    def _opener(self, dictionary: int) -> zstandard.ZstdDecompressor:
        if not dictionary:
            return zstandard.ZstdDecompressor()
        if dictionary not in self._dictionaries:
            self._read()  # Another process may have learnt it.
        if dictionary not in self._dictionaries:
            raise self._kept.missing(dictionary)
        return zstandard.ZstdDecompressor(dict_data=self._dictionaries[dictionary])

    def learn(self, payloads: Iterable[tuple[str, bytes]]) -> None:
        """Collect samples, each with whose it is (a user or session); with enough of them, learn a dictionary, put it
        on disk for good, and use it from now on."""
        if self.current:
            return
        self._samples.extend((owner, payload[:_SAMPLE_BYTES]) for owner, payload in payloads)
        if len(self._samples) < SAMPLES:
            return
        samples, self._samples = self._samples[:SAMPLES], []
        try:
            learnt = zstandard.train_dictionary(_DICTIONARY_BYTES, _shared_words(samples))
        except zstandard.ZstdError:
            return  # Payloads too short or too alike to learn from: the next thousand may be better.
        number = self.current + 1
        content = self._kept.keep(number, learnt.as_bytes())
        self._dictionaries[number] = zstandard.ZstdCompressionDict(content)
        self.current = number
        self._compressor = self._new_compressor()

    def _read(self) -> None:
        found = {number: zstandard.ZstdCompressionDict(content) for number, content in self._kept.all().items()}
        self._dictionaries = found | self._dictionaries

    def _new_compressor(self) -> zstandard.ZstdCompressor:
        if not self.current:
            return zstandard.ZstdCompressor(level=_LEVEL)
        dictionary = self._dictionaries[self.current]
        dictionary.precompute_compress(level=_LEVEL)  # Else every go makes it ready anew, a fifth of the work.
        return zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary)


def may_say(needle: str) -> Callable[[bytes], bool]:
    """Whether the letters of a case-folded text stand in the first line of some JSON, case aside.

    Nearly nothing has them, and only what has them is read. JSON writes a text in one way only, so nothing is missed.
    """
    letters = _encode(needle)[1:-1].decode().casefold()
    plain = letters.encode()

    def may(payload: bytes) -> bool:
        texts = payload[: payload.find(b"\n")]
        return plain in texts.lower() if texts.isascii() else letters in texts.decode().casefold()

    return may


def sayer(codec: Codec, needle: str) -> Callable[[int, bytes], bool]:
    """Whether the case-folded ``needle`` occurs in the input or output of a payload, as a function of its dictionary
    and data."""
    unpack, may = codec.unpack, may_say(needle)

    def said(dictionary: int, data: bytes) -> bool:
        payload = unpack(dictionary, data)
        if not may(payload):
            return False
        read = said_in(payload)
        return needle in read.input.casefold() or needle in read.output.casefold()

    return said


def _shared_words(samples: Sequence[tuple[str, bytes]]) -> list[bytes | bytearray | memoryview[int]]:
    """The samples without the words that few of their owners have: names, numbers, what somebody told about himself."""
    owners: dict[bytes, set[str]] = {}
    for owner, payload in samples:
        for word in set(_WORDS.findall(payload)):
            known = owners.setdefault(word, set())
            if len(known) < SHARED_BY:
                known.add(owner)
    shared = {word for word, known in owners.items() if len(known) >= SHARED_BY}
    return [
        b"".join([part for place, part in enumerate(_PARTS.split(payload)) if place % 2 == 0 or part in shared])
        for _, payload in samples
    ]


def _name(number: int) -> str:
    return f"dictionary-{number}.zdict"


def _keep(path: Path, content: bytes) -> None:
    """Whole on disk under its name, or not there at all."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
