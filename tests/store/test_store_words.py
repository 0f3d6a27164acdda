"""The words of spans: a search by them finds what a search letter by letter finds, whatever was written or erased."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from moving_clock import DAY_NS, NOON, Clock
from words_world import found_in, rows, segment_of, world

from trimtab.core import Breakdown, Filter, Span, SpanQuery
from trimtab.store import SpanStore, dayfile, indexing, reader, words
from trimtab.store.ledger import Ledger
from trimtab.store.words import GROUPS, Segment, pieces_of

pytestmark = pytest.mark.usefixtures("only_when_asked")

MakeSpan = Callable[..., Span]
OpenStore = Callable[..., SpanStore]

#: Letters that fold to several or to other ones, that are words by themselves, that stand between words.
LETTERS = 'aAbBzs1 9_-."\\\n\x00ßẞſKkﬁİıÉé\u0301退款政策のカไทย한글𝄞ΣςσЖж'
tricky = st.text(st.sampled_from(LETTERS), max_size=14)


@given(st.lists(st.lists(tricky, max_size=3), min_size=1, max_size=5), tricky, st.data())
@example([["the Straße is"], ["die STRASSE"]], "SSE", None)
@example([["退款政策适用"], ["退货"]], "款政", None)
def test_no_group_that_says_a_text_is_left_out(
    groups: list[list[str]], needle: str, data: st.DataObject | None
) -> None:
    texts = [text for group in groups for text in group if text]
    if texts and data is not None and data.draw(st.booleans()):
        text = data.draw(st.sampled_from(texts))
        start = data.draw(st.integers(0, len(text) - 1))
        needle = text[start : data.draw(st.integers(start + 1, len(text)))].swapcase()
    saying = {
        place for place, group in enumerate(groups) if any(needle.casefold() in text.casefold() for text in group)
    }
    assert saying <= found_in(segment_of(groups), needle)


def test_a_text_is_looked_for_only_where_its_words_are() -> None:
    groups = [["the refund was made"], ["a Refund, The"], ["prefunding"], ["the policy of refunds"]]
    segment = segment_of(groups)
    assert found_in(segment, "refund") == {0, 1, 2, 3}
    assert found_in(segment, "the refund") == {0, 1, 3}
    assert found_in(segment, " refund ") == {0, 1}
    assert found_in(segment, "EFUNDI") == {2}
    assert found_in(segment, "refund was") == {0}
    assert found_in(segment, "nowhere refund") == set()
    assert found_in(segment, "...") == {0, 1, 2, 3}


def test_words_that_are_far_apart_and_words_that_are_everywhere() -> None:
    groups = [["everywhere"] + (["rare"] if place in (0, 1, 300, GROUPS - 1) else []) for place in range(GROUPS)]
    segment = segment_of(groups)
    assert found_in(segment, "rare") == {0, 1, 300, GROUPS - 1}
    assert found_in(segment, "everywhere") == set(range(GROUPS))
    assert segment.last == 10 * GROUPS - 1


def test_a_group_whose_words_are_no_language_may_hold_anything() -> None:
    noise = " ".join(f"{n:x}q{n * 7919:x}" for n in range(40_000))
    segment = segment_of([["plain words"], [noise], ["x" * 500], ["more words"]])
    assert found_in(segment, "plain") == {0, 1, 2}
    assert found_in(segment, "nowhere") == {1, 2}
    assert len(segment.words) < 200


def test_a_text_that_is_read_word_by_word_has_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Öl und Öl, 退款 Straße 17"
    whole = words.words_of([text])
    monkeypatch.setattr(words, "_PART", 4)
    assert words.words_of([text]) == whole == {one.encode() for one in ("öl", "und", "退", "款", "strasse", "17")}


def test_frequent_words_come_first_and_equally_frequent_ones_by_letter() -> None:
    segment = segment_of([["once both seldom"], ["both twice"], ["twice"], ["always both"]])
    opened = zstandard.ZstdDecompressor().decompress(segment.words)
    assert opened.split() == [b"both", b"twice", b"always", b"once", b"seldom"]


def test_of_a_long_text_the_longest_words_are_looked_up_once_each() -> None:
    text = " ".join(["the"] * 500 + [f"word{'x' * n}" for n in range(100)])
    pieces = pieces_of(text)
    assert len(pieces) == 32
    assert {len(piece.word) for piece in pieces} == {len(f"word{'x' * n}") for n in range(68, 100)}


def test_no_more_words_are_looked_up_once_one_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []
    numbers = words._numbers

    def noted(piece: words.Piece, its: bytes) -> list[int]:
        looked.append(piece.word)
        return numbers(piece, its)

    monkeypatch.setattr(words, "_numbers", noted)
    assert found_in(segment_of([["the refund was made"]]), "the nowhere was made") == set()
    assert looked == [b"*", b"nowhere"]


ASKED = (
    "refund", "the refund", "efundi", "STRASSE", "款政", "order 1", "der 18", "a_b", "one", "line\non", '"yes"', "e",
    "zzz", " ", "my refund is",
)  # fmt: skip


async def everything(store: SpanStore, query: SpanQuery) -> list[str]:
    """The spans of all pages."""
    found: list[str] = []
    while True:
        page = await store.query(query)
        found += [span.span_id for span in page.spans]
        if not page.cursor:
            return found
        query = replace(query, cursor=page.cursor)


def asked() -> list[SpanQuery]:
    """Questions with a text: alone, in pages, in a window and with conditions."""
    session = (Filter(column="session", op="=", value="s-1"),)
    return [
        query
        for text in ASKED
        for query in (
            SpanQuery(text=text, roots=False, limit=1000),
            SpanQuery(text=text, roots=False, limit=7),
            SpanQuery(text=text),
            SpanQuery(text=text, roots=False, since_ns=NOON + 20, until_ns=NOON + 60, limit=1000),
            SpanQuery(text=text, filters=session),
        )
    ]


@pytest.mark.parametrize("few_groups", [0, 1000])
async def test_every_question_is_answered_as_without_words(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, monkeypatch: pytest.MonkeyPatch, few_groups: int
) -> None:
    """Some spans have words, newer ones have none, and there is an earlier day."""
    monkeypatch.setattr(reader, "FEW_GROUPS", few_groups)
    store = open_store()
    counted = [Breakdown(query=query, by=("session",)) for query in asked()[::5]]
    for first in range(0, 120, 30):
        await store.write(world(make_span, first, 30))
        if first == 60:
            clock.now += DAY_NS
    expected = [await everything(store, query) for query in asked()]
    groups = [await store.groups(one) for one in counted]
    assert await store.index(today=True) == 2
    assert [await everything(store, query) for query in asked()] == expected
    assert [await store.groups(one) for one in counted] == groups
    late = world(make_span, 200, 3)
    await store.write(late)
    found = await everything(store, SpanQuery(text=late[1].output, roots=False))
    assert found == [late[1].span_id]
    assert await store.index(today=True) == 1
    assert await everything(store, SpanQuery(text=late[1].output, roots=False)) == found


async def test_words_of_what_is_erased_go_with_it(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "GROUPS", 2)
    store = open_store()
    spans = world(make_span, 0, 60)
    await store.write(spans)
    made = await store.index(today=True)
    assert made > 2
    query = SpanQuery(text="order", roots=False, limit=1000)
    gone = next(span for span in spans[60:] if "order" in span.input)
    before = await everything(store, query)
    await store.erase([gone.trace_id])
    assert len(rows(tmp_path / "spans", "SELECT first FROM words")) == made - 1
    left = {span.span_id for span in spans if span.trace_id != gone.trace_id}
    expected = [one for one in before if one in left]
    assert await everything(store, query) == expected
    assert await store.index(today=True) == 1
    assert await everything(store, query) == expected
    store.close()
    (count,) = rows(tmp_path / "spans", "SELECT count(*) FROM words")
    assert count == (made,)


async def test_a_segment_that_was_begun_before_an_erasure_is_not_kept(
    open_store: OpenStore, make_span: MakeSpan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    spans = world(make_span, 0, 20)
    await store.write(spans)
    keep = Ledger.keep_words
    late: list[bool] = []

    def keep_late(ledger: Ledger, file: dayfile.DayFile, segment: Segment, removed: tuple[int, int]) -> bool:
        if not late:
            ledger.erase([bytes.fromhex(spans[0].trace_id)])
        late.append(keep(ledger, file, segment, removed))
        return late[-1]

    monkeypatch.setattr(Ledger, "keep_words", keep_late)
    assert await store.index(today=True) == 0
    assert await store.index(today=True) == 1
    assert late == [False, True]
    assert rows(tmp_path / "spans", "SELECT count(*) FROM words") == [(1,)]


async def test_the_words_of_a_day_go_with_the_day(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment that comes too late is not kept."""
    store = open_store()
    await store.write(world(make_span, 0, 20))
    clock.now += 3 * DAY_NS
    keep = Ledger.keep_words

    def keep_late(ledger: Ledger, file: dayfile.DayFile, segment: Segment, removed: tuple[int, int]) -> bool:
        assert ledger.expire(clock.now) != []
        return keep(ledger, file, segment, removed)

    monkeypatch.setattr(Ledger, "keep_words", keep_late)
    assert await store.index(today=True) == 0
    assert await everything(store, SpanQuery(text="refund")) == []


async def test_words_of_dropped_texts_go_once_the_day_is_over(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "GROUPS", 2)
    monkeypatch.setattr(indexing, "FEW", 1)
    store = open_store()
    spans = world(make_span, 0, 60)
    await store.write(spans)
    made = await store.index(today=True)
    stale = "SELECT count(*) FROM words WHERE stale"
    assert await store.strip([spans[0].trace_id]) == 2
    assert rows(tmp_path / "spans", stale) == [(1,)]
    expected = [await everything(store, query) for query in asked()]
    clock.now += DAY_NS
    assert await store.index() == 1
    assert rows(tmp_path / "spans", "SELECT count(*), total(stale) FROM words") == [(made, 0)]
    assert [await everything(store, query) for query in asked()] == expected
    assert await store.strip([spans[-1].trace_id]) == 2
    assert await store.index() == 1


async def test_a_segment_that_was_begun_before_texts_were_dropped_is_made_again(
    open_store: OpenStore, make_span: MakeSpan, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    spans = world(make_span, 0, 20)
    await store.write(spans)
    keep = Ledger.keep_words

    def keep_late(ledger: Ledger, file: dayfile.DayFile, segment: Segment, removed: tuple[int, int]) -> bool:
        ledger.strip([bytes.fromhex(spans[0].trace_id)])
        return keep(ledger, file, segment, removed)

    monkeypatch.setattr(Ledger, "keep_words", keep_late)
    assert await store.index(today=True) == 1
    assert rows(tmp_path / "spans", "SELECT count(*) FROM words WHERE stale") == [(1,)]


LONG_TEXTS = ("You are the careful clerk of a shop. " * 9, "Die Straße ist lang und heiß, 退款政策适用. " * 9)


@pytest.mark.parametrize("text", LONG_TEXTS)
def test_a_long_text_that_comes_again_and_again_is_found_wherever_it_is(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words are found once and kept; each group has them all the same."""
    groups = [[f'{text if place % 3 else ""}" order {place}', f"answer {place}"] for place in range(60)]
    kept = segment_of(groups)
    calls: list[str] = []
    runs_in = words._runs_in

    def noted(plain: Iterable[str], other: Iterable[str]) -> Iterator[list[bytes]]:
        calls.extend(chunk for chunk in (*plain, *other) if len(chunk) >= len(text.casefold()))
        return runs_in(plain, other)

    monkeypatch.setattr(words, "_runs_in", noted)
    again = segment_of(groups)
    assert again == kept
    assert len(calls) < 30  # The first groups are read before it is known what is common, and two after them.
    monkeypatch.setattr(words, "_LONG", 1 << 30)
    anew = segment_of(groups)
    assert (anew.words, anew.groups) == (kept.words, kept.groups)
    having = {place for place in range(60) if place % 3}
    for needle in (text[5:30], text[:20], "careful clerk", "order 7"):
        assert {place for place in having if needle.casefold() in groups[place][0].casefold()} <= found_in(kept, needle)
        assert found_in(kept, needle) <= found_in(anew, needle)
