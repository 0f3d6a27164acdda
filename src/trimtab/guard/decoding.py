"""Every further reading of a text: each disguise undone and what it shows read again, to a bounded depth and size."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from . import disguises, encodings, markup
from .expressions import compiled
from .spots import Reading

#: How often what was undone is looked at again.
DEPTH = 3
MOST_READINGS = 16
#: The most characters of all further readings together.
MOST_CHARACTERS = 1 << 17


class Undone(NamedTuple):
    """The further readings, and whether there may have been more."""

    readings: tuple[Reading, ...]
    full: bool = False


Undo = Callable[[Reading], Reading | None]


class Step(NamedTuple):
    """One disguise: a cheap sign that it may be there, and how it is undone."""

    sign: Any
    undo: Undo


_STEPS: tuple[Step, ...] = (
    Step(compiled(r"[a-z][A-Z0-9]|[0-9][A-Za-z]|[A-Za-z0-9+/_-]{20}"), encodings.blobs),
    Step(compiled(r"(?:[0-9A-Fa-f]{2}[ ,:\\%x0]{0,4}){5}[0-9A-Fa-f]{2}"), encodings.hexadecimal),
    Step(compiled(r"[01]{8}|(?:\d\d\d?[ ,]{1,2}){3}"), encodings.binary),
    Step(compiled(r"%[0-9A-Fa-f]{2}|&#?[A-Za-z0-9]{2,12};|\\[xuU0-3]"), encodings.escapes),
    Step(compiled(r"[.\-\x{2022}\x{b7}_][.\-\x{2022}\x{b7}_ /|]{12}"), encodings.morse),
    Step(compiled(r"[\x{2800}-\x{283f}]{4}"), encodings.braille),
    Step(compiled(r"<[A-Za-z!/]|\]\(|/\*|\[//\]|\]:"), markup.hidden),
    Step(compiled(r"<[A-Za-z!/]|[a-zA-Z][*~`]+[a-zA-Z]"), markup.shown),
    Step(compiled(r"(?:[^\s][ .\-_*|/~,+\\]{1,3}){4}[^\s]"), disguises.spelled_out),
    Step(compiled(r"[A-Za-z]{14}|[a-z][A-Z][a-z]|[A-Za-z][_.\-/+*~|][A-Za-z]"), disguises.run_together),
    Step(compiled("[\"'`]\\s{0,4}(?:\\+|\\.\\.|\\|\\||&|,)\\s{0,4}[\"'`]|-\\r?\\n"), disguises.put_together),
    Step(None, disguises.words_repaired),
    Step(None, disguises.deciphered),
)
_TAGS = re.compile("[\ufe00-\ufe0f\U000e0000-\U000e01ef]")
_OVERRIDE = re.compile("[\u202e\u202d]([^\u202c\n]{2,2000})")


def decoded(original: str, first: Reading) -> Undone:
    """The further readings of a text whose plain reading is ``first``."""
    found: list[Reading] = []
    seen = {first.text}
    room = MOST_CHARACTERS
    waiting = [first]
    for extra in _unseen(original):
        found.append(extra)
        waiting.append(extra)
        seen.add(extra.text)
    for _ in range(DEPTH):
        fresh: list[Reading] = []
        for reading in waiting:
            for step in _STEPS:
                if step.sign is not None and step.sign.search(reading.text) is None:
                    continue
                undone = step.undo(reading)
                if undone is None or undone.text in seen or not undone.text.strip():
                    continue
                if len(found) >= MOST_READINGS or len(undone.text) > room:
                    return Undone(tuple(found), full=True)
                room -= len(undone.text)
                seen.add(undone.text)
                found.append(undone)
                fresh.append(undone)
        waiting = fresh
        if not waiting:
            break
    return Undone(tuple(found))


def _unseen(original: str) -> list[Reading]:
    """What only the characters that arrived show, since the plain reading drops them: tags, turned directions."""
    if original.isascii():
        return []
    found: list[Reading] = []
    if _TAGS.search(original) and (reading := encodings.tags(Reading(original))):
        found.append(reading)
    changes = [disguises.Change(*run.span(1), "", backwards=True) for run in _OVERRIDE.finditer(original)]
    if turned := disguises.woven(Reading(original), changes, "direction"):
        found.append(turned)
    return found
