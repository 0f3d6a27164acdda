"""Injection, jailbreak and prompt extraction in what users write: a light trained model over every reading of a text.

The model is linear over hashed n-grams and concepts (see ``model``); how it was trained, on what, and what it misses is
in docs/guard-model.md. A score of 0.5 is the point where about one in a hundred ordinary texts of sources it never saw
is flagged.
"""

from __future__ import annotations

from .model import Scored, model
from .scanner import Match, Scanner, plain
from .text import Reading, Text

#: Characters of one reading that are scored: of a longer one the beginning and the end.
HEAD, TAIL = 72_000, 24_000
#: Tokens of one reading at most, and readings of one text at most.
TOKENS = 24_000
READINGS = 12
KIND = "injection"
#: Log-odds added where the words were disguised (spelled backwards, encoded, spaced out): honest requests seldom are.
DISGUISED = 1.0
#: What is undone in honest texts all the time: it adds nothing.
USUAL = frozenset(("unicode", "markup", "escapes", "run-together", "joined"))


def scan(text: Text) -> list[Match]:
    """The loudest window of the text, over all of its readings. It reports one match whatever its score."""
    best: tuple[Scored, Reading, int] | None = None
    for reading in text.readings[:READINGS]:
        found, shift = loudest(reading.text)
        if not USUAL.issuperset(reading.how):
            found = Scored(found.logit + DISGUISED, found.start, found.end)
        if best is None or found.logit > best[0].logit:
            best = found, reading, shift
    if best is None or best[0].end <= best[0].start:
        return []
    found, reading, shift = best
    start, end = reading.spot(found.start + shift, found.end + shift)
    return [
        Match(KIND, start, end, round(found.probability, 4), "it reads like an attack on the assistant", reading.how)
    ]


def loudest(text: str, name: str = "injection") -> tuple[Scored, int]:
    """The best window of a text by a model, and what to add to its positions. Time is bounded for any length."""
    linear = model(name)
    if len(text) <= HEAD + TAIL:
        return linear.best(text, TOKENS), 0
    head, tail = linear.best(text[:HEAD], TOKENS), linear.best(text[-TAIL:], TOKENS)
    return (head, 0) if head.logit >= tail.logit else (tail, len(text) - TAIL)


SCANNERS = (
    Scanner(
        name="injection",
        stages=("input", "output"),
        description="It reads like an attempt to override the assistant, free it from its rules or extract its prompt.",
        build=plain(scan),
        cost="some",
    ),
)
