"""Spans that say different things, and a look into the day files, for the tests of words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zstandard
from moving_clock import NOON

from trimtab.core import Span
from trimtab.store.words import Group, Maker, Segment, groups_of, places_of

SAID = (
    "Where is my refund", "The REFUND is made", "prefunding", "die Straße", "退款政策适用于", "order 17", "ORDER 18",
    "a_b", "line\none", 'he said "yes"',
)  # fmt: skip


def world(make_span: Callable[..., Span], first: int, count: int) -> list[Span]:
    """Roots with a span under each, of which every one says something else."""
    made: list[Span] = []
    for n in range(first, first + count):
        root = make_span(parent_id="", input=SAID[n % len(SAID)], session=f"s-{n % 3}", start_ns=NOON + n * 7 % 100)
        under = make_span(
            trace_id=root.trace_id, parent_id=root.span_id, output=f"{SAID[n // 2 % len(SAID)]} {n}", start_ns=NOON + n
        )
        made += [root, under]
    return made


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """What a query gives, over all day files of a folder, the oldest first."""
    found: list[tuple[Any, ...]] = []
    for path in sorted(folder.glob("spans-*.db")):
        connection = sqlite3.connect(path)
        found += connection.execute(sql).fetchall()
        connection.close()
    return found


def segment_of(groups: Sequence[Sequence[str]]) -> Segment:
    """A segment of groups that hold these texts."""
    maker = Maker()
    for place, texts in enumerate(groups):
        maker.add(Group(10 * place, 10 * place + 9, place, place), texts)
    return maker.made(0)


def found_in(segment: Segment, needle: str) -> set[int]:
    """The places of the groups that may hold a text."""
    open_ = zstandard.ZstdDecompressor().decompress
    found = places_of(needle.casefold(), open_(segment.words), lambda: open_(segment.places))
    return set(range(len(groups_of(segment.first, open_(segment.groups))))) if found is None else found
