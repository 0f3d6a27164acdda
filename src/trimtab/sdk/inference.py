"""What a function is for, from its name, from what it returns and from where that turns up again.

``@trace`` alone says nothing of a function's kind, and failures are blamed on layers by kinds. Pure but for what a
span's own trace and context remember of the spans before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple

from .livespan import LiveSpan

#: A retriever's trace counts as the one just before a generator's for this long.
NEAR_NS = 60 * 1_000_000_000
_PIECES, _SHORTEST, _LONGEST = 3, 20, 160
_READ = 64 * 1024
# A piece has nothing in it that JSON writes in another way than the text itself, so that it is found in both.
_RUN = re.compile(rf'[^\n\r\t"\\]{{{_SHORTEST},}}')
_MAKES_PROMPTS = re.compile(r"prompt|template|format|render|build|rewrite|translat|summar|message|histor", re.I)
_TEXTS, _MARKS = ("page_content", "content", "text", "document"), ("score", "metadata", "source", "id", "title", "url")
_EARLIER_KEPT = 4


def pieces_of(text: str) -> tuple[str, ...]:
    """The longest runs of a text by which it can be recognised elsewhere; none of a short one."""
    runs = [run.strip()[:_LONGEST] for run in _RUN.findall(text[:_READ])]
    return tuple(sorted([run for run in runs if len(run) >= _SHORTEST], key=len, reverse=True)[:_PIECES])


def flows(pieces: Sequence[str], given: str, asked: str) -> bool:
    """Whether any of the pieces turns up in ``asked`` without having been ``given``: then it was found in between."""
    return any(piece in asked and piece not in given for piece in pieces)


def makes_prompts(name: str) -> bool:
    """Whether a function of this name puts prompts together, so that all it returns turns up in them."""
    return _MAKES_PROMPTS.search(name) is not None


def returns_documents(output: str) -> bool:
    """Whether an output (JSON) is a list of documents: a text each, with a score, a source or metadata."""
    if not output.startswith("[{") or len(output) > _READ:
        return False
    try:
        found = json.loads(output)
    except (ValueError, RecursionError):
        return False
    return all(
        isinstance(item, dict) and any(isinstance(item.get(name), str) for name in _TEXTS) and item.keys() & {*_MARKS}
        and "role" not in item
        for item in found[:20]
    )  # fmt: skip


class _Earlier(NamedTuple):
    """A finished span and the pieces of what it returned."""

    span: LiveSpan
    pieces: tuple[str, ...]


# The last traces that ended in this thread or task.
_EARLIER: ContextVar[tuple[_Earlier, ...]] = ContextVar("trimtab_earlier", default=())


def remember(span: LiveSpan) -> None:
    """A span ended: what it is, as far as that was a guess, and what it returned, for the calls that follow."""
    if span.guessed and span.kind == "chain" and returns_documents(span.output):
        span.kind = "retriever"
    if span.speaks or not (span.kind == "retriever" or (span.guessed and span.kind == "chain")):
        return
    pieces = pieces_of(span.output)
    if not pieces and span.kind != "retriever":
        return
    seen = _Earlier(span, pieces)
    if span.root is span:
        span.earlier.clear()
        _EARLIER.set((*_EARLIER.get(), seen)[-_EARLIER_KEPT:])
    else:
        span.root.earlier.append(seen)


def asks(span: LiveSpan, asked: str, question: str = "") -> None:
    """A model is asked: what turns up in ``asked`` (all of its messages) names the functions it came from, and links
    their traces. What comes back as the whole ``question`` was put into other words, not found."""
    for seen in tuple(span.root.earlier):
        if question.strip() not in seen.pieces and flows(seen.pieces, seen.span.input, asked):
            _name(seen.span)
    for seen in _EARLIER.get():
        if question.strip() not in seen.pieces:
            _join(span, seen, asked)


def _join(span: LiveSpan, seen: _Earlier, asked: str) -> None:
    before, root = seen.span, span.root
    near = 0 <= root.start_ns - before.end_ns <= NEAR_NS
    if before.session != root.session or before.trace_id == root.trace_id or not near:
        return
    known = flows(seen.pieces, before.input, asked)
    if known:
        _name(before)
    if before.kind == "retriever" and (known or root.session):
        before.attributes["trimtab.linked_trace"] = root.trace_id
        root.attributes["trimtab.linked_trace"] = before.trace_id


def _name(span: LiveSpan) -> None:
    if span.guessed and span.kind == "chain" and not makes_prompts(span.name):
        span.kind = "retriever"
