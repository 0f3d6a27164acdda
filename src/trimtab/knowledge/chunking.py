"""Cutting a document into passages: first at headings, then between sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+\S")
_TABLE_RULE = re.compile(r"[\s|:-]+$")
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[`*_]*[^\W_a-z])")
#: A unit this many times longer than a passage is cut between words.
_LONGEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage to be: ``heading`` is the heading that it stands under, empty before the first."""

    heading: str
    text: str


@dataclass(slots=True)
class _Section:
    heading: str = ""
    units: list[tuple[str, str]] = field(default_factory=list)  # (what joins it to the unit before, text)


def chunks_of(text: str, words: int) -> list[Chunk]:
    """Cut a Markdown text into chunks of about ``words`` words, evenly within each section.

    A sentence, a list item, a table row and a code block are kept whole unless far longer than ``words``.
    """
    return [
        Chunk(heading=section.heading, text=packed)
        for section in _sections(text)
        for packed in _pack(list(_short(section.units, words)), words)
    ]


def _sections(text: str) -> Iterator[_Section]:
    section = _Section()
    paragraph: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        heading = _HEADING.match(line)
        if heading:
            _end_paragraph(section, paragraph)
            if section.units:
                yield section
            section = _Section(heading=heading.group(2))
        elif fence := _FENCE.match(line):
            _end_paragraph(section, paragraph)
            section.units.append(("\n", _fenced(line, lines, fence.group(1))))
        elif _ITEM.match(line) or line.lstrip().startswith("|"):
            _end_paragraph(section, paragraph)
            if not (_TABLE_RULE.match(line) and "-" in line):
                paragraph.append(line)
        elif line.strip():
            paragraph.append(line)
        else:
            _end_paragraph(section, paragraph)
    _end_paragraph(section, paragraph)
    if section.units:
        yield section


def _end_paragraph(section: _Section, paragraph: list[str]) -> None:
    if not paragraph:
        return
    text = " ".join(line.strip() for line in paragraph)
    paragraph.clear()
    for position, sentence in enumerate(_SENTENCE_END.split(text)):
        section.units.append((" " if position else "\n", sentence))


def _fenced(first: str, lines: Iterator[str], mark: str) -> str:
    block = [first]
    for line in lines:
        block.append(line)
        if line.strip().startswith(mark):
            break
    return "\n".join(block)


def _short(units: Sequence[tuple[str, str]], words: int) -> Iterator[tuple[str, str]]:
    for joint, text in units:
        parts = text.split()
        if len(parts) <= words * _LONGEST:
            yield joint, text
            continue
        for start in range(0, len(parts), words):
            yield (" " if start else joint), " ".join(parts[start : start + words])


def _pack(units: Sequence[tuple[str, str]], words: int) -> Iterator[str]:
    """Join units into pieces of about equal length, so that no section ends in a crumb."""
    lengths = [len(text.split()) for _, text in units]
    pieces = max(1, round(sum(lengths) / words))
    target = sum(lengths) / pieces
    piece, number, before = "", 0, 0
    for (joint, text), length in zip(units, lengths, strict=True):
        belongs = min(pieces - 1, int((before + length / 2) / target)) if target else 0
        if piece and belongs > number:
            yield piece
            piece = ""
        piece = f"{piece}{joint}{text}" if piece else text
        number, before = belongs, before + length
    if piece:
        yield piece
