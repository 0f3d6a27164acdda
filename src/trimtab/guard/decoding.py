"""Every further reading of a text: each disguise undone and what it shows read again, to a bounded depth and size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import disguises, encodings, markup
from .expressions import Screen, compiled
from .spots import Reading

#: How often what was undone is looked at again.
DEPTH = 3
#: The most further readings of one part of a text.
MOST_READINGS = 16
#: The most characters of all further readings together: so many, and so many times the text.
MOST_CHARACTERS = 1 << 17
TIMES = 2
#: A longer text is read in parts of so many characters that overlap.
BLOCK = 1 << 14
OVERLAP = 1 << 9


class Undone(NamedTuple):
    """The further readings, and whether there may have been more."""

    readings: tuple[Reading, ...]
    full: bool = False


Undo = Callable[[Reading], Reading | None]


class Step(NamedTuple):
    """One disguise: a cheap sign that it may be there (none: always looked for), and how it is undone."""

    sign: str
    undo: Undo


_STEPS: tuple[Step, ...] = (
    Step(r"[a-z][A-Z0-9]|[0-9][A-Za-z]|[A-Za-z0-9+/_-]{20}", encodings.blobs),
    Step(r"(?:[0-9A-Fa-f]{2}[ ,:\\%x0=]{0,4}){5}[0-9A-Fa-f]{2}", encodings.hexadecimal),
    Step(r"[01]{7}|(?:\d\d\d?[ ,\\]{1,2}){3}", encodings.binary),
    Step(r"(?:\d\d?[-.,_ /]{1,3}){8}\d", encodings.numbered),
    Step(r"[!-~]{25}", encodings.base85),
    Step(r"[A-Za-z0-9@][!-/:-@\[-`{-~][A-Za-z0-9@!-/:-@\[-`{-~]{2}", encodings.rot47),
    Step(r"%[0-9A-Fa-f]{2}|&#?[A-Za-z0-9]{2,12};|\\[xuU0-3]", encodings.escapes),
    Step(r"[.\-\x{2022}\x{b7}_][.\-\x{2022}\x{b7}_ /|]{12}", encodings.morse),
    Step(r"[\x{2800}-\x{283f}]{4}", encodings.braille),
    Step(r"<[A-Za-z!/]|\]\(|/\*|\[//\]|\]:", markup.hidden),
    Step(r"<[A-Za-z!/]|[a-zA-Z][*~`]+[a-zA-Z]", markup.shown),
    Step(r"(?:[^\s][ .\-_*|/~,+\\\x{2190}-\x{2bff}\x{1f300}-\x{1faff}]{1,3}){4}[^\s]", disguises.spelled_out),
    Step(r"(?:\n[ \t]{0,4}\w?[ \t]{0,4}\r?){4}\n", disguises.downwards),
    Step(r"[A-Za-z]{14}|[a-z][A-Z][a-z]|[A-Za-z][_.\-/+*~|][A-Za-z]", disguises.run_together),
    Step("[\"'`]\\s{0,4}(?:\\+|\\.\\.|\\|\\||&|,)\\s{0,4}[\"'`]|-\\r?\\n", disguises.put_together),
    Step("", disguises.words_repaired),
    Step("", disguises.deciphered),
)
_SIGNED = tuple(step.undo for step in _STEPS if step.sign)
_ALWAYS = tuple(step.undo for step in _STEPS if not step.sign)
#: Which signs are there: one pass, and most short texts have none.
_SIGNS = Screen([step.sign for step in _STEPS if step.sign])
_HIDDEN = compiled("[\ufe00-\ufe0f\U000e0000-\U000e01ef\u202d\u202e]")
_TAGS = re.compile("[\ufe00-\ufe0f\U000e0000-\U000e01ef]")
_OVERRIDE = re.compile("[\u202e\u202d]([^\u202c\n]{2,2000})")


def decoded(original: str, first: Reading) -> Undone:
    """The further readings of a text whose plain reading is ``first``."""
    found: list[Reading] = []
    seen = {first.text}
    waiting = first.parts(BLOCK, OVERLAP)
    room = MOST_CHARACTERS + TIMES * len(original)
    for extra in _unseen(original):
        found.append(extra)
        waiting += extra.parts(BLOCK, OVERLAP)
        seen.add(extra.text)
    most = MOST_READINGS * len(waiting)
    for _ in range(DEPTH):
        fresh: list[Reading] = []
        for reading in waiting:
            for undone in _undone(reading):
                if undone.text in seen or not undone.text.strip():
                    continue
                if len(found) >= most or len(undone.text) > room:
                    return Undone(tuple(found), full=True)
                room -= len(undone.text)
                seen.add(undone.text)
                found.append(undone)
                fresh.append(undone)
        waiting = fresh
        if not waiting:
            break
    return Undone(tuple(found))


def _undone(reading: Reading) -> Iterator[Reading]:
    for number in _SIGNS.which(reading.text):
        if (undone := _SIGNED[number](reading)) is not None:
            yield undone
    for undo in _ALWAYS:
        if (undone := undo(reading)) is not None:
            yield undone


def _unseen(original: str) -> list[Reading]:
    """What only the characters that arrived show, since the plain reading drops them: tags, turned directions."""
    if original.isascii() or _HIDDEN.search(original) is None:
        return []
    found: list[Reading] = []
    if _TAGS.search(original) and (reading := encodings.tags(Reading(original))):
        found.append(reading)
    changes = [disguises.Change(*run.span(1), "", backwards=True) for run in _OVERRIDE.finditer(original)]
    if turned := disguises.woven(Reading(original), changes, "direction"):
        found.append(turned)
    return found
