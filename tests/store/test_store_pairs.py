"""Pairs of common words: they tell groups apart that have the same words, and never leave out one that has a phrase."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from words_world import found_in, segment_of

from trimtab.store import pairs
from trimtab.store.words import neighbours_in, places_of

COMMON = ["the", "of", "class", "if", "object", "return", "is", "a"]


def shuffled(groups: int, seed: int) -> list[list[str]]:
    """Groups that all have the same words, each in an order of its own, and one rare word."""
    rng = random.Random(seed)
    return [[" ".join([*rng.sample(COMMON, len(COMMON)), f"rare{place}"])] for place in range(groups)]


def saying(groups: Sequence[Sequence[str]], needle: str) -> set[int]:
    folded = needle.casefold()
    return {place for place, texts in enumerate(groups) if any(folded in text.casefold() for text in texts)}


@pytest.mark.parametrize("count", [20, 100])
def test_a_phrase_of_words_that_are_everywhere_is_looked_for_where_its_pairs_may_be(count: int) -> None:
    groups = shuffled(count, 1)
    segment = segment_of(groups)
    phrases = [f" {a} {b} {c} " for a in COMMON[:4] for b in COMMON[3:6] for c in COMMON[5:] if len({a, b, c}) == 3]
    opened = 0
    for phrase in phrases:
        found = found_in(segment, phrase)
        assert saying(groups, phrase) <= found
        opened += len(found)
    assert found_in(segment, "the") == set(range(count))
    assert opened < len(phrases) * count / 2


WORDS = ["the", "of", "class", "classes", "subclass", "if", "iffy", "款", "退", "Straße", "a"]


@given(
    st.lists(
        st.lists(
            st.lists(st.sampled_from(WORDS), max_size=8).flatmap(
                lambda its: st.sampled_from([" ", ", ", '"', "_"]).map(lambda mark: mark.join(its))
            ),
            max_size=3,
        ),
        min_size=8,
        max_size=40,
    ),
    st.data(),
)
def test_no_group_that_says_a_phrase_is_left_out(groups: list[list[str]], data: st.DataObject) -> None:
    texts = [text for group in groups for text in group if text]
    segment = segment_of(groups)
    for text in texts[:5]:
        start = data.draw(st.integers(0, len(text) - 1))
        needle = text[start : data.draw(st.integers(start + 1, len(text)))].swapcase()
        assert saying(groups, needle) <= found_in(segment, needle)


def test_a_group_that_comes_after_what_is_common_was_seen_is_told_apart_too() -> None:
    late = [["the of class if object return is a"], ["a is return object if class of the"]]
    groups = [*shuffled(pairs.FIRST, 2), *late]
    segment = segment_of(groups)
    forwards, backwards = len(groups) - 2, len(groups) - 1
    words = late[0][0].split()
    found = [found_in(segment, f" {' '.join(words[at : at + 4])} ") for at in range(1, 5)]
    assert all(forwards in its for its in found)
    assert sum(backwards in its for its in found) <= 2


def test_a_word_that_is_not_common_is_looked_up_by_itself() -> None:
    """Any word that ends with ``class`` may stand before ``if``, also a rare one."""
    groups = [*shuffled(40, 3), ["a subclass if the object of return is"]]
    found = found_in(segment_of(groups), "class if the")
    assert len(groups) - 1 in found
    assert saying(groups, "class if the") <= found


def test_few_groups_and_groups_that_may_hold_anything() -> None:
    noise = " ".join(f"{n:x}q{n * 7919:x}" for n in range(40_000))
    phrase = " of the class is a "
    few = shuffled(pairs._LEAST - 1, 4)
    assert found_in(segment_of(few), phrase) == set(range(len(few)))
    groups = [*shuffled(30, 4)[:15], [noise], *shuffled(30, 5)[:15], [noise]]
    assert {15, 31} <= found_in(segment_of(groups), phrase)
    assert len(found_in(segment_of(groups), phrase)) < 16


def test_pairs_that_nearly_all_groups_have_say_nothing() -> None:
    groups = [[f"it so be. {group[0]}"] for group in shuffled(40, 8)]
    segment = segment_of(groups)
    assert found_in(segment, " it so be ") == set(range(40))
    assert found_in(segment, " so it be ") < set(range(40))


def test_many_words_end_the_look_at_what_is_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group with more words than are kept is seen in parts, and no part of it is lost."""
    monkeypatch.setattr(pairs, "_FIRST_WORDS", 100)
    groups = shuffled(12, 6)
    groups[11:] = [[" ".join([groups[11][0]] * 9)], ["of if the a"], ["if of a the"]]
    segment = segment_of(groups)
    for text in [group[0] for group in groups]:
        for start in range(0, 12, 3):
            assert saying(groups, text[start : start + 14]) <= found_in(segment, text[start : start + 14])


def test_a_segment_without_pairs_is_searched_by_its_words() -> None:
    """Segments of earlier versions end with the places."""
    groups = shuffled(40, 7)
    segment = segment_of(groups)
    opened = zstandard.ZstdDecompressor().decompress
    places, words = opened(segment.places), opened(segment.words)
    tail = _length_of_pairs(groups)
    assert places_of(" of the class ", words, lambda: places) != set(range(40))
    assert places_of(" of the class ", words, lambda: places[:-tail]) is None
    assert places_of("rare7", words, lambda: places[:-tail]) == {7}


def _length_of_pairs(groups: Sequence[Sequence[str]]) -> int:
    maker = pairs.Maker()
    for texts in groups:
        maker.see(texts[0].encode().split())
        maker.end(forget=False)
    return len(maker.made({word.encode(): place for place, word in enumerate(COMMON)}))


def test_words_stand_side_by_side_where_no_quote_is_between_them() -> None:
    found = [(left.word, right.word) for left, right in neighbours_in('the class, "of" 退款 the class')]
    assert found == [
        (b"the", b"class"), ("退".encode(), "款".encode()), ("款".encode(), b"the"),
        (b"the", b"class"),
    ]  # fmt: skip
    assert neighbours_in("one") == []
    assert len(neighbours_in(" ".join(f"w{n}" for n in range(99)))) == 32
