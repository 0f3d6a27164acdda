"""The text of a message's content, whoever reads it."""

from __future__ import annotations

import pytest

from trimtab.core import OWN_WORDS, text_in


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        (7, ""),
        ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"text": "b"}], "a\nb"),
        ([{"type": "input_text", "text": "c"}, {"type": "output_text", "text": "d"}], "c\nd"),
        ([{"type": "refusal", "text": "e"}, {"type": None, "text": "f"}, {"type": "own", "text": "g"}], "e\nf\ng"),
        ([{"type": "text", "text": {"value": "h", "annotations": []}}], "h"),
        (({"type": "text", "text": 1}, "bare", {"type": "text", "text": {"value": 2}}), ""),
    ],
)
def test_whatever_a_part_holds_as_text_is_read(content: object, text: str) -> None:
    assert text_in(content) == text


def test_who_trusts_a_writer_takes_own_words_only() -> None:
    kinds = ["text", "input_text", "output_text", "document", "context", "tool_result", None, ["text"]]
    parts: list[dict[str, object]] = [{"type": kind, "text": str(kind)} for kind in kinds]
    assert text_in([*parts, {"text": "bare"}], OWN_WORDS) == "text\ninput_text\noutput_text\nbare"
