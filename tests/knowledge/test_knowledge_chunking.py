"""Cutting documents: nothing is lost, nothing is moved, and the pieces are of about the asked length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.knowledge import chunks_of

PAGE = """Before any heading.

# Title

First sentence. Second sentence, e.g. this one! "Quoted?" Third.

## List

- one item
- another item
1. numbered

| a | b |
|---|---|
| 1 | 2 |

```yaml
# not a heading
key: value
```
### Empty
## Last
The end.
"""


def test_headings_divide_and_code_is_kept_whole() -> None:
    chunks = chunks_of(PAGE, 90)
    assert [chunk.heading for chunk in chunks] == ["", "Title", "List", "Last"]
    assert chunks[1].text == 'First sentence. Second sentence, e.g. this one! "Quoted?" Third.'
    assert chunks[2].text.splitlines() == [
        "- one item", "- another item", "1. numbered", "| a | b |", "| 1 | 2 |",
        "```yaml", "# not a heading", "key: value", "```",
    ]  # fmt: skip


def test_sentences_are_never_cut() -> None:
    sentences = [f"Sentence number {i} has a few words in it." for i in range(40)]
    chunks = chunks_of(" ".join(sentences), 30)
    assert [part for chunk in chunks for part in chunk.text.replace(". ", ".\n").splitlines()] == sentences


def test_pieces_are_of_even_length() -> None:
    chunks = chunks_of(" ".join("Ten words are in this sentence, no more, no less." for _ in range(31)), 90)
    lengths = [len(chunk.text.split()) for chunk in chunks]
    assert all(70 <= length <= 110 for length in lengths), lengths


def test_a_text_without_sentences_is_still_bounded() -> None:
    chunks = chunks_of("word " * 1000, 50)
    assert max(len(chunk.text.split()) for chunk in chunks) <= 100


def test_an_unclosed_code_block_ends_with_the_document() -> None:
    assert chunks_of("```\ncode\n# still code", 50)[0].text == "```\ncode\n# still code"


@given(
    st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="#`~|"), max_size=400),
    st.integers(min_value=20, max_value=60),
)
def test_every_word_survives_in_its_order(text: str, words: int) -> None:
    joined = " ".join(chunk.text for chunk in chunks_of(text, words))
    assert joined.split() == text.split()
