"""Payloads, compressed one by one or many at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from trimtab.core import Span
from trimtab.store import payload
from trimtab.store.payload import (
    Codec,
    FolderDictionaries,
    attributes_in,
    attributes_line,
    attributes_lines,
    payload_of,
    said_in,
)

MANY = payload._MANY


@pytest.mark.parametrize("count", [0, 1, MANY - 1, MANY, MANY + 1, 5 * MANY])
@pytest.mark.parametrize("learnt", [False, True])
def test_many_are_packed_as_each_by_itself_would_be(tmp_path: Path, count: int, learnt: bool) -> None:
    codec = Codec(FolderDictionaries(tmp_path))
    if learnt:
        words = [f"word{number} " * (number % 7 + 1) for number in range(50)]
        codec.learn((f"user-{n}", " ".join(words[n % 40 : n % 40 + 10]).encode()) for n in range(payload.SAMPLES))
        assert codec.current == 1
    payloads = [f"payload {number} ".encode() * number for number in range(count)]
    packed = codec.pack_all(payloads)
    assert [codec.unpack(codec.current, data) for data in packed] == payloads
    assert [codec.unpack(codec.current, codec.pack(one)) for one in payloads] == payloads


def test_a_library_that_cannot_pack_many_at_once_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "_AT_ONCE", False)
    codec = Codec(FolderDictionaries(tmp_path))
    payloads = [bytes([number % 256]) * number for number in range(2 * MANY)]
    assert [codec.unpack(0, data) for data in codec.pack_all(payloads)] == payloads


def test_a_payload_is_its_texts_and_its_attributes() -> None:
    span = Span(
        trace_id="t", span_id="s", name="ask", kind="llm", start_ns=1, end_ns=2, input="é?\n", output="ok", error="no",
        attributes={"a": [1, {"b": "line\nbreak"}]},
    )  # fmt: skip
    line = attributes_line(span)
    frozen = replace(span, attributes=MappingProxyType(dict(span.attributes)))
    bare = replace(span, attributes={})
    assert attributes_lines([span, bare]) == [line, b""]
    assert attributes_lines([span, frozen]) == [line, line]
    whole = payload_of(span, line)
    assert whole.count(b"\n") == 1
    assert said_in(whole) == ("é?\n", "ok", "no")
    assert attributes_in(whole) == span.attributes
    assert attributes_line(Span(trace_id="t", span_id="s", name="a", kind="llm", start_ns=1, end_ns=2)) == b""
