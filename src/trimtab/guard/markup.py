"""HTML and Markdown unwrapped: the text that is shown, and the text that is hidden in comments and attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .disguises import Change, woven
from .spots import Reading, Weave

_TAG = re.compile(r"<[A-Za-z/!?][^<>]{0,2000}>")
_COMMENTS = (("<!--", "-->"), ("/*", "*/"), ("<![CDATA[", "]]>"))
_ATTRIBUTE = re.compile(
    r"\b(?:alt|title|aria-label|aria-description|content|value|placeholder|data-[a-z-]{1,30}|summary|label)"
    r"\s{0,3}=\s{0,3}(?:\"([^\"<>]{8,2000})\"|'([^'<>]{8,2000})')",
    re.IGNORECASE,
)
_HIDDEN_STYLE = re.compile(
    r"<[a-z][^<>]{0,400}(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0|"
    r"color\s*:\s*(?:white|#fff)|\bhidden\b)[^<>]{0,400}>([^<>]{8,4000})",
    re.IGNORECASE,
)
_LINK_TITLE = re.compile(r"!?\[([^\[\]\n]{0,300})\]\(([^()\s]{1,2000})(?:\s+[\"']([^\"'\n]{8,1000})[\"'])?\)")
_REFERENCE = re.compile(
    r"(?m)^\[//\]:\s*#\s*[(\"']([^\n)\"']{8,1000})|^\[[^\]\n]{1,100}\]:\s*\S{1,400}\s+[\"(]([^\n\")]{8,1000})"
)
_EMPHASIS = re.compile(r"(?<=\w)(?:\*{1,3}|_{1,3}|~~|``?)(?=\w)")


def shown(reading: Reading) -> Reading | None:
    """The text without its HTML tags and without emphasis within words."""
    changes = [Change(tag.start(), tag.end(), _space(tag.group())) for tag in _TAG.finditer(reading.text)]
    if len(changes) < 1:
        marks = list(_EMPHASIS.finditer(reading.text))
        # snake_case has such marks too: only pairs of them around a part of a word are emphasis.
        changes = [Change(mark.start(), mark.end(), "") for mark in marks if "_" not in mark.group()]
    return woven(reading, changes, "markup")


def hidden(reading: Reading) -> Reading | None:
    """What a page says where nobody looks: comments, attributes, invisible elements, link titles."""
    places = list(_comments(reading.text))
    for pattern in (_ATTRIBUTE, _HIDDEN_STYLE, _REFERENCE):
        for found in pattern.finditer(reading.text):
            group = found.lastindex or 0
            places.append(found.span(group))
    for link in _LINK_TITLE.finditer(reading.text):
        if link.group(3):
            places.append(link.span(3))
    if not places:
        return None
    weave = Weave(reading)
    for start, end in sorted(places):
        if weave.length:
            weave.put("\n", start, start + 1)
        weave.copy(start, end)
    return weave.done("hidden markup")


def _comments(text: str) -> Iterator[tuple[int, int]]:
    for opening, closing in _COMMENTS:
        at = text.find(opening)
        while at >= 0:
            start = at + len(opening)
            end = text.find(closing, start)
            if end < 0:
                end = len(text)  # a comment that nobody closes hides all that follows
            if end - start >= 8:
                yield start, end
            at = text.find(opening, end)


def _space(tag: str) -> str:
    """What a tag leaves behind: nothing for one that stands within a word, a space for the others."""
    name = tag.strip("</>").split(None, 1)[0].lower() if tag.strip("</>") else ""
    return (
        "" if name in {"b", "i", "em", "strong", "u", "s", "span", "font", "small", "big", "mark", "a", "wbr"} else " "
    )
