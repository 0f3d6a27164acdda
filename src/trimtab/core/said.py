"""The text of a message, for everybody who reads one."""

from __future__ import annotations

from collections.abc import Mapping


def text_in(content: object) -> str:
    """The text of a message's content; of several parts, those that are text (``text``, ``input_text``,
    ``output_text``, or without a type), a line each."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    return "\n".join(
        part["text"]
        for part in content
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        and str(part.get("type", "text")).endswith("text")
    )  # fmt: skip
