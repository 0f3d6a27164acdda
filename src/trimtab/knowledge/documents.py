"""A document, and a passage of it as a model gets to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a corpus. ``updated_ns`` is when its content was last true, nanoseconds since 1970 UTC."""

    id: str
    title: str
    source: str
    text: str
    updated_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of a document that was found for a question.

    ``number`` counts from 1 in the order of the answer; ``document`` is the document's id; ``score`` is BM25, higher
    is better and only comparable within one search; ``corpus`` is the snapshot's pin (``docs/3``).
    """

    number: int
    document: str
    title: str
    source: str
    text: str
    score: float
    updated_ns: int
    corpus: str


def render(passages: Sequence[Passage]) -> str:
    """The passages as a prompt shows them: numbered, each with its title, source and date."""
    return "\n\n".join(
        f"[{passage.number}] {passage.title} ({passage.source}, updated {_day(passage.updated_ns)})\n{passage.text}"
        for passage in passages
    )


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).date().isoformat()
