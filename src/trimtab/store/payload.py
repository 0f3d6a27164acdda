"""Payloads: what people read of a span (input, output, error, attributes), compressed with a learnt dictionary."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trimtab.core import ConfigError, Span

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: The dictionary is learnt from this many payloads. Fewer teach little, more cost time and add little.
SAMPLES = 1000
_SAMPLE_BYTES = 16_384
_DICTIONARY_BYTES = 65_536
_LEVEL = 3
_FILE = re.compile(r"dictionary-(\d{1,9})\.zdict")
_encode = msgspec.json.Encoder().encode
_decode_said = msgspec.json.Decoder(tuple[str, str, str]).decode
_decode_attributes = msgspec.json.Decoder(dict[str, Any]).decode


class Said(NamedTuple):
    """The texts of a span."""

    input: str
    output: str
    error: str


def payload_of(span: Span) -> bytes:
    """The span's payload: one line of JSON with its texts and one with its attributes, so that text search reads the
    first line only. Raises what the encoder raises for attributes that are not JSON or text that is not Unicode."""
    said = _encode((span.input, span.output, span.error))
    attributes = span.attributes if isinstance(span.attributes, dict) else dict(span.attributes)
    return said + b"\n" + (_encode(attributes) if attributes else b"")


def said_in(payload: bytes) -> Said:
    """The texts of a payload."""
    return Said(*_decode_said(payload.partition(b"\n")[0]))


def attributes_in(payload: bytes) -> Mapping[str, Any]:
    """The attributes of a payload."""
    line = payload.partition(b"\n")[2]
    return _decode_attributes(line) if line else {}


class Codec:
    """Compresses payloads and opens them again.

    Dictionaries lie beside the day files as ``dictionary-N.zdict`` and are never changed or deleted; a row names the
    one it needs by N, and 0 is none. ``pack`` and ``learn`` belong to the writer's thread, ``unpack`` to any.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dictionaries: dict[int, zstd.ZstdDict] = {}
        self._samples: list[bytes] = []
        for path in folder.iterdir():
            if found := _FILE.fullmatch(path.name):
                self._dictionaries[int(found[1])] = zstd.ZstdDict(path.read_bytes())
        self.current = max(self._dictionaries, default=0)
        self._compressor = self._new_compressor()

    def pack(self, payload: bytes) -> bytes:
        """Compress with the dictionary ``current``."""
        return self._compressor.compress(payload, zstd.ZstdCompressor.FLUSH_FRAME)

    def unpack(self, dictionary: int, data: bytes) -> bytes:
        """Open what ``pack`` made. Raises ConfigError, naming the file, when its dictionary is gone."""
        if not dictionary:
            return zstd.decompress(data)
        if dictionary not in self._dictionaries:
            raise ConfigError(
                f"{self._folder / _name(dictionary)} is missing, and spans were compressed with it.",
                field="data",
                mend="Put the file back from a backup of this folder.",
            )
        return zstd.decompress(data, zstd_dict=self._dictionaries[dictionary])

    def learn(self, payloads: list[bytes]) -> None:
        """Collect samples; with enough of them, learn a dictionary, put it on disk for good, and use it from now on."""
        if self.current:
            return
        self._samples.extend(payload[:_SAMPLE_BYTES] for payload in payloads)
        if len(self._samples) < SAMPLES:
            return
        samples, self._samples = self._samples[:SAMPLES], []
        try:
            learnt = zstd.train_dict(samples, _DICTIONARY_BYTES)
        except zstd.ZstdError:
            return  # Payloads too short or too alike to learn from: the next thousand may be better.
        number = self.current + 1
        _keep(self._folder / _name(number), learnt.dict_content)
        self._dictionaries[number] = learnt
        self.current = number
        self._compressor = self._new_compressor()

    def _new_compressor(self) -> zstd.ZstdCompressor:
        if not self.current:
            return zstd.ZstdCompressor(level=_LEVEL)
        return zstd.ZstdCompressor(level=_LEVEL, zstd_dict=self._dictionaries[self.current].as_digested_dict)


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
