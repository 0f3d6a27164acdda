"""The spans that a condition finds; what PostgreSQL cannot see for itself is looked at again here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trimtab.core import Span
from trimtab.store import rows as columns
from trimtab.store.conditions import Condition
from trimtab.store.payload import Codec, sayer
from trimtab.store.rows import Row

from .connection import Connection, rows
from .filters import Compiled
from .rows import span_of
from .schema import SCHEMA

#: What a whole span is read from, as ``span_of`` wants it.
SPAN = ", ".join(
    "s.tags::text" if name == "tags" else f"s.{name}" for name in (*columns.SPAN_COLUMNS, "dictionary", "data")
)
#: Candidates that are looked at again in one go: a few at first, for often the newest match.
_FIRST, _CHUNK = 200, 4000


def matching(connection: Connection, compiled: Compiled, codec: Codec) -> Iterator[int]:
    """The numbers of the spans that a condition finds and that hold when they are looked at again, newest first."""
    said = sayer(codec, compiled.text) if compiled.text else None
    place: tuple[int, ...] = ()
    size = _FIRST
    while True:
        where = f"({compiled.where}) AND (s.start_ns, s.seq) < (%s, %s)" if place else compiled.where
        found = rows(
            connection,
            f"SELECT s.seq, s.start_ns, s.dictionary, s.data FROM {SCHEMA}.spans s WHERE {where}"
            " ORDER BY s.start_ns DESC, s.seq DESC LIMIT %s",
            (*compiled.parameters, *place, size),
        )
        seqs = [row[0] for row in found if said is None or said(row[2], row[3])]
        if compiled.needles and seqs:
            seqs = [row[0] for row in at(connection, seqs) if _holds(span_of(row[2:], codec), compiled.needles)]
        yield from seqs
        if len(found) < size:
            return
        place = (found[-1][1], found[-1][0])
        size = _CHUNK


def at(connection: Connection, seqs: Sequence[int]) -> list[Row]:
    """Whole spans by their numbers, newest first."""
    return rows(
        connection,
        f"SELECT s.seq, s.start_ns, {SPAN} FROM {SCHEMA}.spans s WHERE s.seq = ANY(%s)"
        " ORDER BY s.start_ns DESC, s.seq DESC",
        (list(seqs),),
    )


def _holds(span: Span, needles: Sequence[Condition]) -> bool:
    def value(one: Condition) -> str:
        if one.kind == "tag":
            return span.tags.get(one.name, "")
        if one.name.startswith("stamp."):
            return str(getattr(span.stamp, one.name[len("stamp.") :]))
        return str(getattr(span, one.name))

    return all(str(one.values[0]) in value(one).casefold() for one in needles)
