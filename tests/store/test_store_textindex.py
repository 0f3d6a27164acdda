"""The text index finds what people mean and survives what they type."""

from __future__ import annotations

import gc
import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.store import TextIndex

TEXTS = [
    "Refunds are paid within fourteen days of the return.",
    "The café opens at nine; the kitchen opens at ten.",
    "Returning a parcel is free. Print the return label, then return the parcel at any shop.",
    "",
    "Nothing to see here",
]


def test_the_best_text_comes_first_with_the_higher_score() -> None:
    found = TextIndex(TEXTS).search("how do I return a parcel?", 5)
    assert found[0][0] == 2
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert {0, 2} <= {position for position, _ in found}


def test_words_match_by_stem_and_without_accents() -> None:
    index = TextIndex(TEXTS)
    assert [position for position, _ in index.search("REFUND paying", 9)] == [0]
    assert [position for position, _ in index.search("cafe", 9)] == [1]
    assert [position for position, _ in index.search("CAFÉ", 9)] == [1]


def test_limit_and_empty_questions() -> None:
    index = TextIndex(TEXTS)
    assert len(index.search("return opens refunds", 1)) == 1
    assert index.search("return", 0) == []
    assert index.search("  ?! ", 5) == []
    assert TextIndex([]).search("return", 5) == []


def test_equal_texts_keep_their_order() -> None:
    found = TextIndex(["apple pie", "apple pie", "pear", "pear", "pear", "apple pie"]).search("apple", 9)
    assert [position for position, _ in found] == [0, 1, 5]


@given(st.lists(st.text(st.characters(), max_size=40), max_size=6), st.text(st.characters(), max_size=60))
def test_any_text_and_any_question_is_safe(texts: list[str], question: str) -> None:
    found = TextIndex(texts).search(question, 4)
    assert len(found) <= 4
    assert all(0 <= position < len(texts) for position, _ in found)


@given(st.text(st.sampled_from('ab"*():^-+{} NEAR AND OR NOT'), max_size=30))
def test_query_syntax_is_only_text(question: str) -> None:
    TextIndex(["a b near and or not"]).search(question, 3)


def test_threads_may_share_an_index() -> None:
    index = TextIndex(TEXTS)
    expected = index.search("return parcel", 5)
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(50):
            if (found := index.search("return parcel", 5)) != expected:
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forgotten_index_frees_its_database() -> None:
    index = TextIndex(TEXTS)
    connection = index._connection
    del index
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
