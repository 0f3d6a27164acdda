"""The text of a message's content, whoever reads it."""

from __future__ import annotations

import pytest

from trimtab.core import text_in


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        (7, ""),
        ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"text": "b"}], "a\nb"),
        ([{"type": "input_text", "text": "c"}, {"type": "output_text", "text": "d"}], "c\nd"),
        (({"type": "text", "text": 1}, "bare", {"type": "tool_result", "text": "no"}), ""),
    ],
)
def test_only_text_is_text(content: object, text: str) -> None:
    assert text_in(content) == text
