"""The scanner for a system prompt that leaves: canaries, and long runs of its words, in every reading."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from trimtab.core import BadInput

from .scanner import Match, Scan, Scanner, refuse_unknown
from .text import Context, Reading, Text

#: Words in a row that are taken for a quotation.
RUN = 10
#: Words of one comparison.
SHINGLE = 4
LONGEST = 256
_MOST_WORDS = 20_000
_WORD = re.compile(r"\w+")
_LEAST_CANARY = 6


def _build(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("run", "canaries"))
    run = options.get("run", RUN)
    if isinstance(run, bool) or not isinstance(run, int) or not SHINGLE <= run <= 200:
        raise BadInput("must be a whole number of words", field="run", mend=f"Write a number from {SHINGLE} to 200.")
    marks = options.get("canaries", [])
    if not isinstance(marks, Sequence) or isinstance(marks, str) or not all(_is_canary(mark) for mark in marks):
        mend = f"List texts of at least {_LEAST_CANARY} characters that stand in the system prompt only."
        raise BadInput("must be a list of texts", field="canaries", mend=mend)

    def scan(text: Text) -> Sequence[Match]:
        found: list[Match] = []
        canaries = [*marks, *text.context.canaries]
        prompt = _words(text.context.system)
        spots = _shingles(prompt)
        asked = text.context.asked.casefold()
        for reading in text.readings:
            found.extend(_canaries(reading, canaries))
            if len(prompt) >= SHINGLE:
                found.extend(_runs(reading, prompt, spots, min(run, len(prompt)), asked))
        return found

    return scan


def _is_canary(mark: object) -> bool:
    return isinstance(mark, str) and len(mark) >= _LEAST_CANARY


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())[:_MOST_WORDS]


def _shingles(words: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Where each run of a few words first stands."""
    places: dict[tuple[str, ...], int] = {}
    for at in range(len(words) - SHINGLE + 1):
        places.setdefault(tuple(words[at : at + SHINGLE]), at)
    return places


def _canaries(reading: Reading, canaries: Sequence[str]) -> list[Match]:
    found = []
    folded = reading.text.casefold()
    if len(folded) != len(reading.text):  # some capitals fold to two letters: positions must stay
        folded = reading.text.lower() if len(reading.text.lower()) == len(reading.text) else reading.text
    for canary in canaries:
        at = folded.find(canary.casefold())
        if at >= 0:
            found.append(Match("canary", *reading.spot(at, at + len(canary)), 1.0, how=reading.how))
    return found


def _runs(
    reading: Reading, prompt: Sequence[str], spots: Mapping[tuple[str, ...], int], run: int, asked: str
) -> list[Match]:
    """Runs of words that stand in the prompt in the same order, and were not in the question."""
    words = list(_WORD.finditer(reading.text))[:_MOST_WORDS]
    folded = [word.group().casefold() for word in words]
    found = []
    at = 0
    while at <= len(folded) - SHINGLE:
        place = spots.get(tuple(folded[at : at + SHINGLE]))
        if place is None:
            at += 1
            continue
        size = SHINGLE
        while at + size < len(folded) and place + size < len(prompt) and folded[at + size] == prompt[place + size]:
            size += 1
        start, end = words[at].start(), words[at + size - 1].end()
        if size >= run and reading.text[start:end].casefold() not in asked:
            score = min(1.0, 0.6 + 0.4 * size / max(len(prompt), 1))
            found.append(Match("system-prompt", *reading.spot(start, end), score, how=reading.how))
        at += size
    return found


def _open(text: str, context: Context) -> int:
    """From where the last words follow one another in the system prompt too, or a canary may have begun."""
    end = len(text)
    start = max(text.rfind(space) for space in " \n\t") + 1
    if context.system:
        pairs, words = _prompt_pairs(context.system), list(_WORD.finditer(text, max(0, end - 4096)))
        at = len(words) - 1
        while at > 0 and (words[at - 1].group().casefold(), words[at].group().casefold()) in pairs:
            at -= 1
        # The word before the run may begin one with a word that is not whole yet.
        start = min(start, words[max(0, at - 1)].start()) if words else start
    for canary in context.canaries:
        for size in range(min(len(canary) - 1, end), 0, -1):
            if text.endswith(canary[:size]):
                start = min(start, end - size)
                break
    return start


@lru_cache(maxsize=64)
def _prompt_pairs(system: str) -> frozenset[tuple[str, str]]:
    words = _words(system)
    return frozenset(pairwise(words))


SCANNERS = (
    Scanner(
        name="prompt-leak",
        stages=("output", "action"),
        description="The system prompt leaving: canaries, and runs of its words, also encoded or reversed.",
        build=_build,
        threshold=0.5,
        longest=LONGEST,
        open=_open,
        options={
            "run": f"words in a row that count as a quotation, {RUN} unless given",
            "canaries": "marks that must never leave",
        },
    ),
)
