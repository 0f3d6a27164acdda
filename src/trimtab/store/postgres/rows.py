"""Spans and scores as rows of PostgreSQL, and back.

PostgreSQL's text cannot hold U+0000. In columns it is written as U+0001 U+0001, and U+0001 as U+0001 U+0002, which
keeps both equality and order by code point. Ids lie in ``bytea``: hex of the usual lengths as the bytes that it means,
anything else as its UTF-8 behind 0xFF, a byte that UTF-8 never has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from trimtab.core import Score, Span
from trimtab.store import rows as columns
from trimtab.store.folding import folded_texts
from trimtab.store.intake import PackedScore, PackedSpan
from trimtab.store.payload import Codec
from trimtab.store.rows import Row

#: The columns of ``spans`` in the order of ``span_row``, without ``day``.
SPAN_COLUMNS = ("seq", *columns.SPAN_COLUMNS, "error", "folded", "dictionary", "data")
SPAN_TYPES = (
    "int8", "bytea", "bytea", "bytea", "text", "text", "text", "text", "text", "int4", "int8", "int8",
    "text", "text", "text", "text", "text", "text", "text", "text",
    "int8", "int8", "int8", "int8", "float8", "int8", "jsonb", "text", "jsonb", "int4", "bytea",
)  # fmt: skip
SCORE_COLUMNS = ("seq", *columns.SCORE_COLUMNS)
SCORE_TYPES = (
    "int8", "text", "bytea", "bytea", "text", "text", "float8", "text", "text", "text", "text", "text", "int8",
    "text", "text", "text", "text", "text",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


def escape(text: str) -> str:
    """Text without U+0000, in the same order."""
    if "\0" not in text and "\1" not in text:
        return text
    return text.replace("\1", "\1\2").replace("\0", "\1\1")


def unescape(text: str) -> str:
    """What ``escape`` was given."""
    if "\1" not in text:
        return text
    return text.replace("\1\1", "\0").replace("\1\2", "\1")


def id_in(given: str) -> bytes:
    """An id as it is stored."""
    return _id(columns.id_in(given))


def _id(stored: bytes | str) -> bytes:
    if isinstance(stored, bytes):
        return stored
    if not stored:
        return b""
    other = b"\xff" + escape(stored).encode()
    return b"\xff" + other if len(other) in (8, 16) else other


def id_out(stored: bytes) -> str:
    """An id as it was given."""
    return stored.hex() if len(stored) in (8, 16) else unescape(stored.lstrip(b"\xff").decode())


def span_row(seq: int, packed: PackedSpan, dictionary: int, data: bytes) -> Row:
    """A new span as a row of SPAN_COLUMNS."""
    span, row, _ = packed
    return (
        seq,
        *map(_id, row[:3]),
        *(escape(value) for value in row[3:8]),
        *row[8:11],
        *(escape(value) for value in row[11:19]),
        *row[19:25],
        _tags(row[25], span.tags),
        escape(span.error),
        _folded(span, row),
        dictionary,
        data,
    )


def score_row(seq: int, packed: PackedScore) -> Row:
    """A new score as a row of SCORE_COLUMNS."""
    row = packed[1]
    return (
        seq,
        escape(row[0]),
        *map(_id, row[1:3]),
        *(escape(value) for value in row[3:5]),
        row[5],
        *(escape(value) for value in row[6:11]),
        row[11],
        *(escape(value) for value in row[12:]),
    )


def span_of(row: Row, codec: Codec) -> Span:
    """The span of a row of ``columns.SPAN_COLUMNS`` (tags as text) followed by its payload's dictionary and data."""
    given = (
        *map(id_out, row[:3]),
        *map(unescape, row[3:8]),
        *row[8:11],
        *map(unescape, row[11:19]),
        *row[19:25],
        _tags_out(row[25]),
        *row[26:],
    )
    return columns.span_of(given, codec)


def score_of(row: Row) -> Score:
    """The score of a row of ``columns.SCORE_COLUMNS``."""
    return columns.score_of(
        (
            unescape(row[0]),
            *map(id_out, row[1:3]),
            *map(unescape, row[3:5]),
            row[5],
            *map(unescape, row[6:11]),
            row[11],
            *map(unescape, row[12:]),
        )
    )


def _tags(stored: str | None, tags: Mapping[str, str]) -> Jsonb | None:
    if stored is None:
        return None
    if "\\u0000" in stored or "\\u0001" in stored:
        stored = _encode({escape(name): escape(value) for name, value in tags.items()}).decode()
    return Jsonb(stored, dumps=_as_it_is)


def _tags_out(stored: str | None) -> str | None:
    if stored is None or "\\u0001" not in stored:
        return stored
    tags = columns.tags_in(stored)
    return _encode({unescape(name): unescape(value) for name, value in tags.items()}).decode()


def _as_it_is(text: Any) -> str:
    return str(text)


def _folded(span: Span, row: Row) -> Jsonb | None:
    """The texts whose case folding is more than making A to Z small, folded, by the name that a query has for them."""
    texts = folded_texts(span, row)
    return Jsonb({escape(name): escape(text) for name, text in texts.items()}, dumps=_encode) if texts else None
