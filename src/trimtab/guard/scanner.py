"""What a scanner is: a function from a text to what it found, and the card that describes it.

A scanner looks at any of a text's readings (see ``text``) and reports every hit at the original characters. It knows
nothing of policies: the policy gives it a threshold and an action.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.core import BadInput

from .text import Context, Text

#: Checkpoints of a request: what arrives, what leaves, and a tool call before it runs.
STAGES = ("input", "output", "action")
#: A scanner that needs the whole text: it cannot look at a stream through a window.
WHOLE = -1
#: A long text is searched in parts of so many characters; no match at a seam is lost that is shorter than the overlap.
BLOCK = 1 << 15
OVERLAP = 1 << 12
#: The most matches of one scanner in one text.
MOST = 4096


@dataclass(frozen=True, slots=True)
class Match:
    """One hit: what it is, which original characters (``end`` excluded), and how sure the scanner is (0 to 1).

    ``note`` may explain the hit, never quote it; ``how`` names what was undone to see it ("base64", "zero-width").
    """

    kind: str
    start: int
    end: int
    score: float
    note: str = ""
    how: tuple[str, ...] = ()


Scan = Callable[[Text], Sequence[Match]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """The card of a scanner: where it may stand, what it does, and how it is built from a policy's options.

    ``threshold`` is the default score from which a match counts. ``longest`` is the most characters that a match can
    span (``WHOLE`` if only the whole text can be judged): a stream holds that much back, or only what ``open`` says,
    which names the position of what has arrived from where a match may still begin or grow. ``build`` checks the
    options and gives the scan; it raises BadInput naming the option. ``cost`` says which time a scan of 2 KB takes:
    "small" (well under a millisecond), "some" (milliseconds) or "large": a large one runs in a thread of its own.
    ``sources`` are whose texts it is for, all if empty. A ``contextual`` scanner judges a message by the conversation
    before it, so it is asked about the newest message only and its answers are not kept.
    """

    name: str
    stages: tuple[str, ...]
    description: str
    build: Callable[[Mapping[str, Any]], Scan]
    threshold: float = 0.5
    longest: int = WHOLE
    open: Callable[[str, Context], int] | None = None
    options: Mapping[str, str] | None = None
    cost: Literal["small", "some", "large"] = "small"
    sources: tuple[str, ...] = ()
    contextual: bool = False


def plain(scan: Scan) -> Callable[[Mapping[str, Any]], Scan]:
    """The ``build`` of a scanner without options."""

    def build(options: Mapping[str, Any]) -> Scan:
        refuse_unknown(options, ())
        return scan

    return build


def refuse_unknown(options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises BadInput for an option that a scanner does not have."""
    for name in options:
        if name not in known:
            mend = f"It takes {', '.join(known) or 'none'}."
            raise BadInput("is not an option of this scanner", field=name, mend=mend)


def found_in(text: Text, find: Callable[[str], Sequence[Match]]) -> list[Match]:
    """The matches of ``find`` over every reading of a text, at original characters, each place and kind once.

    ``find`` sees the text of one reading, of a long one a part, and answers with positions in it. More than ``MOST``
    matches become one of each kind, as sure as the surest of it, from the first of all to the end of the text. The rest
    of the text is looked at all the same: what comes late may be what a policy stops.
    """
    kept: dict[tuple[str, int, int], Match] = {}
    many = False
    for reading in text.readings:
        for part in reading.parts(BLOCK, OVERLAP):
            for match in find(part.text):
                start, end = part.spot(match.start, match.end)
                key = (match.kind, start, end)
                if key not in kept or kept[key].score < match.score:
                    kept[key] = Match(match.kind, start, end, match.score, match.note, reading.how)
            if len(kept) > MOST:
                many = True
                kept = {(match.kind, match.start, match.end): match for match in few(kept.values(), text)}
    return few(kept.values(), text) if many else list(kept.values())


def few(found: Collection[Match], text: Text) -> list[Match]:
    """In place of too many matches one of each kind, from the first of all to the end of the text."""
    start, end = min(match.start for match in found), len(text.original)
    surest: dict[str, float] = {}
    for match in found:
        surest[match.kind] = max(match.score, surest.get(match.kind, 0.0))
    return [Match(kind, start, end, score, f"more than {MOST} matches") for kind, score in surest.items()]
