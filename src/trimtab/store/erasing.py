"""Rows of some traces deleted from one day file, or their texts only; and what is known of traces in a few words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from trimtab.core import BadInput

from .answers import Outline
from .blocks import JOIN, Entry, decoded, encoded
from .dayfile import has_words
from .payload import Codec, Said, said_in, stripped
from .rows import id_in, id_out

#: Traces that one call may name.
MOST = 1000
#: Milliseconds for which the writer waits for readers, to empty the log of a file.
_PATIENCE_MS = 100


def few(trace_ids: Sequence[str]) -> list[str]:
    """The ids, each once. Raises BadInput for too many at once."""
    if len(trace_ids) > MOST:
        raise BadInput(f"{len(trace_ids)} traces at once.", field="trace_ids", mend=f"Name at most {MOST}.")
    return list(dict.fromkeys(trace_ids))


def ids_of(trace_ids: Sequence[str]) -> list[bytes | str]:
    """The ids as they are stored. Raises BadInput for too many at once."""
    return [id_in(trace_id) for trace_id in few(trace_ids)]


def known(connection: sqlite3.Connection, ids: Sequence[bytes | str]) -> bool:
    """Whether the file has a span or a score of any of them."""
    marks = _marks(ids)
    found = connection.execute(
        f"SELECT EXISTS (SELECT 1 FROM spans WHERE trace_id IN ({marks}))"
        f" OR EXISTS (SELECT 1 FROM scores WHERE trace_id IN ({marks}))",
        (*ids, *ids),
    ).fetchone()
    return bool(found[0])


def erase(connection: sqlite3.Connection, ids: Sequence[bytes | str], codec: Codec) -> tuple[int, int]:
    """Delete their spans, payloads and scores inside the caller's transaction; returns how many spans and scores."""
    marks = _marks(ids)
    for block in _blocks(connection, ids, codec):
        for seq in block.seqs:
            block.entries.pop(seq, None)
        _write(connection, block, codec)
    if has_words(connection):
        connection.execute(f"DELETE FROM words WHERE first IN ({_segments(ids)})", tuple(ids))
    connection.execute(
        f"DELETE FROM payloads WHERE seq IN (SELECT seq FROM spans WHERE trace_id IN ({marks}))", tuple(ids)
    )
    spans = connection.execute(f"DELETE FROM spans WHERE trace_id IN ({marks})", tuple(ids)).rowcount
    scores = connection.execute(f"DELETE FROM scores WHERE trace_id IN ({marks})", tuple(ids)).rowcount
    return spans, scores


def _segments(ids: Sequence[bytes | str]) -> str:
    """The segments in which words of these traces are: those that cover their spans."""
    return (
        "SELECT w.first FROM spans s"
        " JOIN words w ON w.first = (SELECT max(k.first) FROM words k WHERE k.first <= s.seq) AND w.last >= s.seq"
        f" WHERE s.trace_id IN ({_marks(ids)})"
    )


def strip(connection: sqlite3.Connection, ids: Sequence[bytes | str], codec: Codec) -> int:
    """Drop their texts inside the caller's transaction; returns how many spans had any."""
    in_blocks: dict[int, Entry] = {}
    done = 0
    for block in _blocks(connection, ids, codec):
        for seq in block.seqs & block.entries.keys():
            entry = block.entries[seq]
            if entry.said is None:
                in_blocks[seq] = block.entries.pop(seq)
            elif (rest := stripped(_payload(entry.said, entry.attributes))) is not None:
                block.entries[seq] = Entry(said_in(rest), rest.partition(b"\n")[2])
                done += 1
        _write(connection, block, codec)
    rows = connection.execute(
        "SELECT p.seq, p.dictionary, p.data FROM spans s JOIN payloads p ON p.seq = s.seq"
        f" WHERE s.trace_id IN ({_marks(ids)})",
        tuple(ids),
    ).fetchall()
    smaller = []
    for seq, dictionary, data in rows:
        payload = codec.unpack(dictionary, data)
        if (told := in_blocks.get(seq)) is not None:
            payload = _payload(said_in(payload), told.attributes)
        if (rest := stripped(payload)) is not None:
            smaller.append((codec.current, codec.pack(rest), seq))
    connection.executemany("UPDATE payloads SET dictionary = ?, data = ? WHERE seq = ?", smaller)
    if has_words(connection) and done + len(smaller):
        connection.execute(f"UPDATE words SET stale = 1 WHERE first IN ({_segments(ids)})", tuple(ids))
    return done + len(smaller)


class _Block(NamedTuple):
    """A block, and the numbers of the spans in question that may lie in it."""

    first: int
    data: bytes
    entries: dict[int, Entry]
    seqs: set[int]


def _blocks(connection: sqlite3.Connection, ids: Sequence[bytes | str], codec: Codec) -> list[_Block]:
    """The blocks in which spans of these traces may lie."""
    found: dict[int, _Block] = {}
    for seq, first, dictionary, data in connection.execute(
        f"SELECT s.seq, b.seq, b.dictionary, b.data FROM spans s {JOIN}"
        f" WHERE s.trace_id IN ({_marks(ids)}) AND b.seq IS NOT NULL",
        tuple(ids),
    ):
        if first not in found:
            block = codec.unpack(dictionary, data)
            found[first] = _Block(first, block, decoded(first, block), set())
        found[first].seqs.add(seq)
    return list(found.values())


def _write(connection: sqlite3.Connection, block: _Block, codec: Codec) -> None:
    """Put a block back, if it was changed; one in which nothing is left is deleted."""
    data = encoded(block.first, block.entries)
    if not block.entries:
        connection.execute("DELETE FROM blocks WHERE seq = ?", (block.first,))
    elif data != block.data:
        connection.execute(
            "UPDATE blocks SET dictionary = ?, data = ? WHERE seq = ?", (codec.current, codec.pack(data), block.first)
        )


def _payload(said: Said, attributes: bytes) -> bytes:
    """A span's payload, put together again."""
    return msgspec.json.encode(said) + b"\n" + attributes


def settle(connection: sqlite3.Connection) -> bool:
    """Fold the log into the file and empty it, so that no deleted byte is left in it. False while a reader needs it."""
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}").close()
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(patience)}").close()
    return not busy


def outlines(connections: Iterable[sqlite3.Connection], ids: Sequence[bytes | str]) -> dict[str, Outline]:
    """What is known of the traces, summed over the files."""
    marks = _marks(ids)
    spans: dict[bytes | str, list[tuple[int, bool, bool, str]]] = {}
    scores: dict[bytes | str, list[tuple[int, float]]] = {}
    for connection in connections:
        for trace_id, n, root, bad, project in connection.execute(
            "SELECT trace_id, count(*), max(parent_id = ''), max(status IN ('error', 'refused')), min(project)"
            f" FROM spans WHERE trace_id IN ({marks}) GROUP BY trace_id",
            tuple(ids),
        ):
            spans.setdefault(trace_id, []).append((n, bool(root), bool(bad), project))
        for trace_id, n, lowest in connection.execute(
            f"SELECT trace_id, count(*), min(value) FROM scores WHERE trace_id IN ({marks}) GROUP BY trace_id",
            tuple(ids),
        ):
            scores.setdefault(trace_id, []).append((n, lowest))
    return {
        id_out(trace_id): Outline(
            spans=sum(row[0] for row in spans.get(trace_id, ())),
            scores=sum(row[0] for row in scores.get(trace_id, ())),
            root=any(row[1] for row in spans.get(trace_id, ())),
            bad=any(row[2] for row in spans.get(trace_id, ())),
            project=min((row[3] for row in spans.get(trace_id, ())), default=""),
            lowest=min((row[1] for row in scores.get(trace_id, ())), default=None),
        )
        for trace_id in [*spans, *(one for one in scores if one not in spans)]
    }


def _marks(ids: Sequence[bytes | str]) -> str:
    return ", ".join("?" * len(ids))
