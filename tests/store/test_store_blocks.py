"""Blocks: what they hold comes back as it was, whoever shares them, and whatever is taken out of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Filter, Span, SpanQuery
from trimtab.store import SpanStore
from trimtab.store.blocks import FEW_SPANS, MOST_SPANS, Entry, decoded, encoded
from trimtab.store.payload import Said

MakeSpan = Callable[..., Span]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
entries = st.builds(
    Entry, st.none() | st.builds(Said, texts, texts, texts), st.sampled_from((b"", b'{"a":1}', b'{"b":"\\n*"}'))
)


@given(st.integers(0, 1 << 40), st.lists(st.tuples(st.integers(0, 90), entries), min_size=1, max_size=9))
def test_a_block_says_what_was_put_in(first: int, given_: list[tuple[int, Entry]]) -> None:
    its = {first + place: entry for place, entry in given_}
    assert decoded(first, encoded(first, its)) == its


def rows(folder: Path, sql: str) -> list[tuple[int, ...]]:
    connection = sqlite3.connect(next(folder.glob("*.db")))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def family(make_span: MakeSpan, children: int, **more: object) -> list[Span]:
    """A root with so many spans under it."""
    root = make_span(parent_id="", attributes={"root": "of a family"}, **more)
    under = [
        make_span(trace_id=root.trace_id, parent_id=root.span_id, attributes={"child": n}, output=root.output)
        for n in range(children)
    ]
    return [root, *under]


async def trace_of(store: SpanStore, trace_id: str) -> dict[str, Span]:
    """The spans of a trace by their ids."""
    found = await store.trace(trace_id)
    return {span.span_id: span for span in found.spans} if found is not None else {}


def by_id(spans: list[Span]) -> dict[str, Span]:
    return {span.span_id: span for span in spans}


async def all_of(store: SpanStore, **asked: object) -> list[str]:
    page = await store.query(SpanQuery(roots=False, limit=1000, **asked))  # type: ignore[arg-type]
    return sorted(span.span_id for span in page.spans)


async def test_a_trace_lies_in_one_block_and_a_large_one_in_several(tmp_path: Path, make_span: MakeSpan) -> None:
    store = SpanStore.open(tmp_path)
    small = [family(make_span, FEW_SPANS - 1) for _ in range(3)]
    large = family(make_span, 2 * MOST_SPANS)
    await store.write([span for trace in (*small, large) for span in trace])
    for trace in (*small, large):
        assert await trace_of(store, trace[0].trace_id) == by_id(trace)
    store.close()
    assert len(rows(tmp_path, "SELECT seq FROM blocks")) == 3 + 3
    assert len(rows(tmp_path, "SELECT seq FROM payloads")) == 4  # the roots' own texts


async def test_a_root_without_attributes_between_blocks_is_whole(tmp_path: Path, make_span: MakeSpan) -> None:
    store = SpanStore.open(tmp_path)
    bare = make_span(parent_id="", attributes={}, output="bare")
    await store.write(family(make_span, FEW_SPANS))
    await store.write([bare])
    assert await trace_of(store, bare.trace_id) == by_id([bare])
    store.close()


async def test_what_is_erased_or_stripped_leaves_its_neighbours_in_the_block(
    tmp_path: Path, make_span: MakeSpan
) -> None:
    store = SpanStore.open(tmp_path)
    gone, bare, stays = (family(make_span, 1, output=f"the {name} answer") for name in ("first", "second", "third"))
    await store.write([*gone, *bare, *stays])
    assert (await store.erase([gone[0].trace_id])).spans == 2
    assert await store.strip([bare[0].trace_id]) == 2
    assert await store.strip([bare[0].trace_id]) == 0
    assert await store.trace(gone[0].trace_id) is None
    assert [span.output for span in (await trace_of(store, bare[0].trace_id)).values()] == ["", ""]
    assert await trace_of(store, stays[0].trace_id) == by_id(stays)
    store.close()


async def test_text_and_errors_are_found_in_blocks(tmp_path: Path, make_span: MakeSpan) -> None:
    store = SpanStore.open(tmp_path)
    child = {"parent_id": "a" * 16}
    said = make_span(output="The Straße is closed", **child)
    failed = make_span(error="straße unknown", status="error", **child)
    quiet = [make_span(**child) for _ in range(3)]
    await store.write([said, failed, *quiet])
    assert await all_of(store, text="STRASSE") == [said.span_id]
    wanted = (Filter(column="error", op="contains", value="straße"),)
    assert await all_of(store, filters=wanted) == [failed.span_id]
    assert await all_of(store, text="nowhere") == []
    store.close()
