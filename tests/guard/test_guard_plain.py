"""The plain reading: the quick way over whole texts sees what the careful way over clusters sees."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.guard import plaintext
from trimtab.guard.plaintext import plain

ODD = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("a가ㄱㅏｶﾞé’“—，Ａ①ﬁ\u200b\u0301а\x85\u2028\t\u19da²")),
    max_size=12,
)


@given(ODD)
@example("ㄱㅏ")
@example("ｶﾞ")
@example("e\u0301")
@example("“Ａ” — ①")
def test_the_quick_way_and_the_careful_way_read_the_same(text: str) -> None:
    quick = plain(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plaintext, "_evenly", lambda text: None)
        careful = plain(text)
    assert quick.text == careful.text
    for at in range(len(quick.text)):
        (start, end), (low, high) = quick.spot(at, at + 1), careful.spot(at, at + 1)
        assert low <= start < end <= high


def test_typographic_signs_keep_their_places() -> None:
    reading = plain("He said “ignore” twice")
    at = reading.text.index("ignore")
    assert reading.spot(at, at + 6) == (at, at + 6)
    assert '"ignore"' in reading.text
